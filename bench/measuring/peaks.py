"""The peak of memory of a step over several processes: how many holes freed blocks leave is another in each of them."""

from __future__ import annotations

import statistics
from contextlib import suppress
from typing import Any

from ..running.processes import environment
from .helper import Variant
from .shapes import Case
from .turns import START_LIMIT, Helper, HelperFailed, start

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
    time. Where one fails the row keeps the peak that it has.
    """
    names = [name for name, (median, _) in KEYS.items() if row[median] is not None and device == "cpu"]
    peaks = {name: [row[KEYS[name][0]]] for name in names}
    others: list[tuple[Variant, Helper]] = []
    try:
        with environment({"OMP_WAIT_POLICY": "PASSIVE"}):  # or they spin on the cores that the others need
            for name in names * (PROCESSES - 1):
                others.append((name, start(name, case, device, threads)))
        for name, one in others:
            with suppress(HelperFailed):
                peaks[name].append(one.hear("ready", START_LIMIT)["peak_mb"])
    finally:
        for _, one in others:
            one.end()
    found: dict[str, Any] = {}
    for name, measured in peaks.items():
        if len(measured) == PROCESSES and None not in measured:
            median, each = KEYS[name]
            found |= {median: float(f"{statistics.median(measured):.4g}"), each: measured}
    return row | found
