"""What a run will probably take, from rows of runs like it: seconds, so that short ones share a job, and memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..rows.store import FINISHED, Row


class Estimates:
    """The largest measured values by kind of run; a kind is the configuration without the seed.

    Of a kind that has no row yet, the largest of the same task with the same options is taken: trials of a study differ
    in their settings, and each is a kind of its own. device: rows of another class of device say nothing.
    """

    def __init__(self, device: str, rows: Iterable[Row] = ()) -> None:
        self._device = device.partition(":")[0]
        self._seconds: dict[str, float] = {}
        self._memory: dict[str, float] = {}
        for row in rows:
            self.learn(row)

    def learn(self, row: Row) -> None:
        """Takes in what a run has taken; rows without a result say nothing."""
        if row["status"] not in FINISHED or row["device"] != self._device:
            return
        seconds = row["seconds"]["training"] + row["seconds"]["evaluation"]
        for name in _names(row["config"]):
            self._seconds[name] = max(self._seconds.get(name, 0.0), seconds)
            self._memory[name] = max(self._memory.get(name, 0.0), row.get("peak_memory_mb", 0.0))

    def seconds(self, config: Mapping[str, Any]) -> float | None:
        """How long a run of this configuration probably takes; None where nothing is known of it."""
        return _first(self._seconds, config)

    def filling(self, seconds: float, configs: Iterable[Mapping[str, Any]]) -> int:
        """How many of the next runs, of these configurations, fill so much time one after the other; at least 1."""
        count = 0
        for config in configs:
            taken = self.seconds(config)
            if taken is None or taken > seconds:
                break
            seconds, count = seconds - taken, count + 1
        return max(1, count)

    def memory(self, configs: Iterable[Mapping[str, Any]]) -> float | None:
        """The MiB that a process with these runs, in turn, probably holds at the most; None where one is unknown."""
        most = 0.0
        for config in configs:
            needed = _first(self._memory, config)
            if needed is None:
                return None
            most = max(most, needed)
        return most


def _names(config: Mapping[str, Any]) -> tuple[str, str]:
    """Under which names a configuration is measured: its kind, then its task."""
    return json.dumps({**config, "seed": None}, sort_keys=True), json.dumps(config.get("task"), sort_keys=True)


def _first(found: Mapping[str, float], config: Mapping[str, Any]) -> float | None:
    return next((found[name] for name in _names(config) if name in found), None)
