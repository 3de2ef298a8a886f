"""The peak of memory of a step over several processes: how many holes freed blocks leave is another in each of them."""

from __future__ import annotations

import statistics
from typing import Any

from .helper import Variant
from .shapes import Case
from .turns import START_LIMIT, HelperFailed, start

PROCESSES = 3
"""How many, with the one that took turns."""
KEYS: dict[Variant, tuple[str, str]] = {
    "ours": ("peak_mb", "peaks_mb"),
    "defaults": ("reference_peak_mb", "reference_peaks_mb"),
}
"""Variant -> key of the median in a row, and of the peaks of all processes."""


def over_processes(case: Case, device: str, threads: int, row: dict[str, Any]) -> dict[str, Any]:
    """The row with the median of several processes as its peaks, in MiB, where it has that of one.

    Nothing is timed here, so the others do it side by side. On a GPU torch counts itself what it holds, the same each
    time. One that fails adds nothing.
    """
    names = [name for name, (median, _) in KEYS.items() if row[median] is not None and device == "cpu"]
    others = [(name, start(name, case, device, threads)) for name in names for _ in range(PROCESSES - 1)]
    peaks = {name: [row[KEYS[name][0]]] for name in names}
    try:
        for name, one in others:
            try:
                peaks[name].append(one.hear("ready", START_LIMIT)["peak_mb"])
            except HelperFailed:
                continue
    finally:
        for _, one in others:
            one.end()
    found: dict[str, Any] = {}
    for name, measured in peaks.items():
        median, each = KEYS[name]
        found |= {median: float(f"{statistics.median(measured):.4g}"), each: measured}
    return row | found
