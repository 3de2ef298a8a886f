"""What a sweep asks of whatever shows it to a person."""

from __future__ import annotations

from typing import Protocol

from ..experiments.runs import Run
from ..rows.store import Row


class Display(Protocol):
    """What a sweep shows of itself while it goes on."""

    def begin(self, planned: int, done: int) -> None:
        """`planned` runs will be trained, `done` are there already."""

    def progress(self, run: Run, steps: int, all_steps: int, epoch: int, scores: dict[str, float]) -> None:
        """A run is at `steps`."""

    def end(self, run: Run, row: Row | None) -> None:
        """A run has ended with a row, or stopped without one."""

    def say(self, text: str) -> None:
        """Something that a person should know."""
