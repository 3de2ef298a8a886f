"""How many processors this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def cores() -> int:
    """Those that its affinity allows, and the quota of its container; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    granted = quota()
    return allowed if granted is None else max(1, min(allowed, int(granted)))


def quota(root: Path = Path("/")) -> float | None:
    """Processors' worth of time that Linux's control groups grant (`docker run --cpus`, Kubernetes); None: no limit.

    root: the folder in which `proc` and `sys` lie. A group has no more than those above it, so the least counts.
    """
    limits = []
    for group in _groups(root):
        words = _words(group / "cpu.max")  # version 2 has both numbers in one file
        if not words:
            words = [*_words(group / "cpu.cfs_quota_us"), *_words(group / "cpu.cfs_period_us")]
        if len(words) == 2 and all(word.isdecimal() for word in words):  # "max", or -1, is no limit
            limits.append(int(words[0]) / int(words[1]))
    return min(limits, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of the groups of this process that may limit processors, from its own up to the mounted one."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # another system than Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            mounted = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
            own = mounted / path.strip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(mounted))


def _words(file: Path) -> list[str]:
    """Those in a file of the system; none where it is not there, or not for us."""
    try:
        return file.read_text().split()
    except OSError:
        return []
