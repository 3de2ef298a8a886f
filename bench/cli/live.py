"""What a person sees while a sweep goes on: one bar for all runs, one for each that is being trained."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .terminal import Console, clean

if TYPE_CHECKING:
    from ..experiments.runs import Run
    from ..rows.store import Row

MOST_BARS = 24
"""Runs that have a bar at the same time: a cluster may have hundreds, and a screen has few lines."""


def score_text(scores: Mapping[str, float | None]) -> str:
    """Scores in a few characters: `mse 0.00381, …`."""
    return ", ".join(f"{name} {'not finite' if value is None else f'{value:.4g}'}" for name, value in scores.items())


class Live:
    """The display of `sweep.run` on a terminal; elsewhere a line for each run that ends.

    part: whose scores are shown; of trials validation's, as nobody is to choose by those of the test.
    """

    def __init__(self, console: Console, part: Literal["test", "valid"] = "test") -> None:
        self.console, self.part = console, part
        self.bars: dict[str, TaskID] = {}
        self.planned = self.ended = 0
        self.started_at = time.monotonic()
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[score]}", markup=False),
            console=console,
            disable=not console.is_live,
        )

    def __enter__(self) -> Live:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def begin(self, planned: int, done: int) -> None:
        self.planned = planned
        self.overall = self.bar.add_task("all runs", total=float(planned) or 1.0, score=f"{done} there already")
        self.fractions: dict[str, float] = {}
        self.completed = 0.0  # the sum of all fractions

    def progress(self, run: Run, steps: int, all_steps: int, epoch: int, scores: dict[str, float]) -> None:
        if run.id not in self.bars and len(self.bars) < MOST_BARS:
            self.bars[run.id] = self.bar.add_task(clean(f"  {run}"), total=1.0, score="")
        self._at(run, steps / all_steps)
        if run.id in self.bars:
            self.bar.update(self.bars[run.id], completed=steps / all_steps, score=score_text(scores))

    def end(self, run: Run, row: Row | None) -> None:
        if run.id in self.bars:
            self.bar.remove_task(self.bars.pop(run.id))
        if row is None:
            self._at(run, 0.0)
            self.console.print(f"{run}: stopped; the next run goes on with it", soft_wrap=True)
            return
        self.ended += 1
        self._at(run, 1.0)
        if row["error"]:
            text = f"{row['status']}: {row['error']['message']}"
        else:
            seconds = sum(row["seconds"][part] for part in ("training", "evaluation"))
            scores = row["scores"].get("best", {}).get(self.part, {})
            text = f"{score_text(scores)} in {seconds:.1f} s" if row["status"] == "done" else row["status"]
        self.console.print(f"[{self.ended}/{self.planned}] {run}: {text}", soft_wrap=True)

    def say(self, text: str) -> None:
        self.console.print(text, style="yellow", soft_wrap=True)

    def _at(self, run: Run, fraction: float) -> None:
        self.completed += fraction - self.fractions.get(run.id, 0.0)
        self.fractions[run.id] = fraction
        self.bar.update(self.overall, completed=self.completed)
