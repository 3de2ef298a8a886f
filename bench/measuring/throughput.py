"""Runs per hour of a small sweep: one thread a run and a run on every core, and one run after the other on all of them.

Both are the command `seqbench run` in a process of its own, start-up included, as a user would have it.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from ..errors import UsageError
from . import machine

SWEEP = """\
question: How many runs an hour?
seeds: {seeds}
training: {{epochs: 1, batch: 32, learning_rate: 2.0e-3, clip: 1.0}}
rows:
- task: adding(length=200, train=4000, valid=64, test=64)
  parameters: 20000
  tolerance: 0.03
  models: [rnn, lstm, gru, "tcn(kernel=7, levels=6)"]
"""
MODELS, LIMIT = 4, 1800.0
ROUNDS = 3
"""How often both ways are measured, in turn: one measurement differs from another by a tenth."""
SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of Linux: orphans among the descendants become children."""


def measure(threads: int, device: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Runs per hour in both ways. `side_by_side`: jobs = threads, one thread each; `in_turn`: one job.

    Medians of the rounds, in which the ways change places; `ratios` are those of the rounds, and `ratio` is the median
    of these. Raises UsageError where a sweep fails.
    """
    seeds = max(4, -(-2 * threads // MODELS))
    runs = MODELS * seeds
    _seconds(SWEEP.format(seeds=1), threads, 1, device)  # a first one of all may have the kernels to compile
    ways = {"side_by_side": (threads, 1), "in_turn": (1, threads)}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for place in range(ROUNDS):
        for name in [*ways] if place % 2 == 0 else [*ways][::-1]:
            jobs, each = ways[name]
            seconds = _seconds(SWEEP.format(seeds=seeds), jobs, each, device)
            taken[name].append(seconds)
            say(f"{runs} runs, {jobs} at a time, {each} thread{'s' * (each > 1)} each: {seconds:.1f} s")
    found = {}
    for name, (jobs, each) in ways.items():
        seconds = median(taken[name])
        found[name] = {
            "jobs": jobs,
            "threads": each,
            "seconds": round(seconds, 1),
            "runs_per_hour": round(3600 * runs / seconds),
        }
    ratios = [turn / side for side, turn in zip(taken["side_by_side"], taken["in_turn"], strict=True)]
    rounded = {"ratio": round(median(ratios), 3), "ratios": [round(ratio, 3) for ratio in ratios]}
    return {"runs": runs, "experiment": SWEEP.format(seeds=seeds), **found, **rounded}


def _seconds(experiment: str, jobs: int, threads: int, device: str) -> float:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "sweep"
        folder.mkdir()
        (folder / "experiment.yaml").write_text(experiment, encoding="utf-8")
        words = ["run", str(folder), "--afresh", "--device", device, "--jobs", str(jobs), "--threads", str(threads)]
        begin = time.perf_counter()
        with _orphans_are_ours():
            ended = subprocess.run(
                [sys.executable, "-m", f"{machine.__package__.rpartition('.')[0]}.cli", *words],
                env={**os.environ, "SEQBENCH_RUNS": str(Path(place) / "runs")},
                capture_output=True,
                text=True,
                timeout=LIMIT,
            )
            seconds = time.perf_counter() - begin
        made = Path(place) / "runs" / "sweep" / "runs.jsonl"
        rows = made.read_text(encoding="utf-8").splitlines() if made.is_file() else []
        if ended.returncode or not rows or not all(json.loads(row)["status"] == "done" for row in rows):
            raise UsageError(f"--sweep: seqbench {' '.join(words)} failed: {ended.stderr.strip()[-500:]}")
        return seconds


@contextmanager
def _orphans_are_ours() -> Iterator[None]:
    """Waits at its end for processes whose parent has ended before them, so that their seconds count as ours.

    The command ends the server that makes a sweep's workers, and waits for neither; without this their work would be
    that of others.
    """
    if sys.platform != "linux":
        yield
        return
    libc, before = ctypes.CDLL(None), {one.pid for one in psutil.Process().children()}
    libc.prctl(SUBREAPER, 1, 0, 0, 0)
    try:
        yield
        psutil.wait_procs([one for one in psutil.Process().children() if one.pid not in before], timeout=10)
    finally:
        libc.prctl(SUBREAPER, 0, 0, 0, 0)
