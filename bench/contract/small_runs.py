"""Short trainings by the suite's own loop, on the first few examples of a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...tasks.base import Batch, Split, Splits, Task
from ..engine.checkpoint import Checkpoint
from ..engine.devices import device_of
from ..engine.lanes import finished
from ..engine.outcome import Outcome, never, say_nothing
from ..engine.repeatable import repeatable
from ..engine.training import Loop, loaded
from ..experiments.runs import Run

CPU = torch.device("cpu")
BATCH = 8
STEPS = 6
"""Of an epoch."""


class Few(Split):
    """The first examples of a split."""

    def __init__(self, whole: Split, count: int) -> None:
        self.whole, self.streams, self.context = whole, whole.streams, whole.context
        side_by_side = whole.streams or 1
        self.count = min(len(whole), max(1, count // side_by_side) * side_by_side)

    def __len__(self) -> int:
        return self.count

    def to(self, device: torch.device) -> Split:
        return Few(self.whole.to(device), self.count)

    def batch(self, index: Tensor) -> Batch:
        return self.whole.batch(index)

    def extent(self, index: Tensor) -> int | None:
        return self.whole.extent(index)

    def laid_out(self, index: Tensor, extent: int | None) -> Batch:
        return self.whole.laid_out(index, extent)

    @property
    def lengths(self) -> Tensor | None:
        return None if self.whole.lengths is None else self.whole.lengths[: self.count]


def few(run: Run, device: torch.device) -> Splits:
    """The first examples of each part of a run's task."""
    return Splits(*(Few(split, BATCH * STEPS) for split in loaded(run, device)))


def short(run: Run) -> Run:
    """The run with settings that train a few steps."""
    return replace(run, training=replace(run.training, epochs=2, batch=BATCH))


def trained(
    run: Run, checkpoint: Checkpoint | None = None, should_stop: Callable[[], bool] = never, load: Any = few
) -> Outcome:
    """What a short training gives. Raises Stopped where it was asked to stop; checkpoint: as of `engine.training`."""
    with repeatable(CPU), device_of(CPU).lane() as lane:
        try:
            loop = Loop(run, CPU, lane, checkpoint, should_stop, say_nothing, load, say=lambda _: None)
            outcome: Outcome = finished(loop.turns())
        finally:
            lane.close()
    return outcome


def measured(outcome: Outcome) -> list[Any]:
    """What two trainings of one run must have in common, to the bit."""
    curve = [{**point, "seconds": 0} for point in outcome.progress.curve]
    return [curve, outcome.progress.trace, [part.tolist() for part in outcome.network.state_dict().values()]]


def first_batch(task: Task, run: Run) -> Batch:
    """The first examples of training, as a network is shown them."""
    train = few(run, CPU).train
    return train.batch(torch.arange(min(BATCH, len(train))))
