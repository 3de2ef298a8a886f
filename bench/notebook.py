"""How a training goes on, as one line that renews itself, in a notebook."""

from __future__ import annotations

import sys
import time
from typing import Any

from .engine.outcome import Progress
from .experiments.runs import Run

EVERY = 0.2
"""Seconds between two renewals."""


def shell() -> Any:
    """The IPython shell of a notebook that this program runs in; None elsewhere, a terminal's IPython included."""
    module = sys.modules.get("IPython")
    found = module.get_ipython() if module is not None else None
    return found if type(found).__name__ == "ZMQInteractiveShell" else None


class Line:
    """A `report` for `train`: the run, its epoch and step, and the last scores on validation."""

    def __init__(self, run: Run) -> None:
        from IPython.display import Pretty, display  # type: ignore[import-not-found]  # a notebook has it

        self.run, self.shown_at, self._pretty = run, 0.0, Pretty
        self._handle = display(Pretty(f"{run}: begins"), display_id=True)

    def __call__(self, progress: Progress, steps: int) -> None:
        done = progress.total_steps == steps
        if done or time.monotonic() - self.shown_at >= EVERY:
            self.shown_at = time.monotonic()
            self._handle.update(self._pretty(f"{self.run}: {text_of(progress, steps)}"))


def text_of(progress: Progress, steps: int) -> str:
    """How far a training is, in words.

    >>> text_of(Progress(epoch=1, total_steps=30, curve=[{"valid": {"mse": 0.125}}]), 120)
    'epoch 1, step 30 of 120 (25 %), mse 0.125 on validation'
    """
    scores = progress.curve[-1]["valid"] if progress.curve else {}
    said = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
    share = 100 * progress.total_steps / max(1, steps)
    place = f"epoch {progress.epoch}, step {progress.total_steps:,} of {steps:,} ({share:.0f} %)"
    return f"{place}, {said} on validation" if said else place
