"""Benchmarks that asv runs over the commits of this project: time and memory, lower is always better.

They have to run on old commits too: what a commit lacks is imported in `setup`, and skipped by NotImplementedError.
May import no room by its place, but finds modules wherever a commit has them. Front door: `history.module`, and `asv`.
"""
