"""Files of real data: named by payload sum, found in the cache, a mirror or a public home, verified, then kept."""

from __future__ import annotations

from dataclasses import dataclass


class DataError(Exception):
    """A data file that cannot be had or is not what it should be; the message says which, and what to do."""


@dataclass(frozen=True)
class Remote:
    """One file: its name in the cache and in a mirror, the sha256 of its payload, its public homes in turn."""

    filename: str
    sha256: str
    urls: tuple[str, ...] = ()
