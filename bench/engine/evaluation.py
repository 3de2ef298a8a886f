"""A network's answers judged by the task's metrics, and the number that stands for a whole curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ...models.network import Network
from ...tasks.base import Split, Task
from ..experiments.settings import Training
from .lanes import HostLane, Lane, Turns, finished
from .steps import EvaluationStep

EVALUATION_STEPS = 1 << 16
"""Time steps of one batch of evaluation: a constant, so that rounding does not depend on anything else."""

Scores = dict[str, float]


class Evaluation:
    """The task's metrics of a network on a split that lies on the network's device, as often as they are asked for.

    Sequences of differing length are batched with their like, so that little is padded. lane: where it is launched;
    without one each step is executed as it stands, on whatever device.
    """

    def __init__(self, network: Network, task: Task, split: Split, lane: Lane | None = None) -> None:
        self.network, self.task, self.lane = network, task, lane or HostLane()
        self.step = EvaluationStep(task, split, network, lane=self.lane)
        lengths = split.lengths
        order = torch.arange(len(split)) if lengths is None else torch.argsort(lengths, stable=True)
        size = split.streams or max(1, min(1000, EVALUATION_STEPS // task.steps))
        self.batches: list[tuple[Tensor, int | None]] = [(index, None) for index in order.split(size)]
        if self.lane.captures:
            self.batches = [(index.to(self.step.device), self.step.extent(index)) for index, _ in self.batches]

    def prepare_all(self) -> None:
        """Captures the step for every layout of a pass."""
        layouts = [(len(index), extent, number == 0) for number, (index, extent) in enumerate(self.batches)]
        for size, extent, fresh in dict.fromkeys(layouts):
            self.step.prepare(size, extent, fresh)

    def turns(self) -> Turns:
        """A pass, one step a turn; it returns the scores."""
        self.network.eval()
        self.step.begin()
        for index, extent in self.batches:
            self.step.run(index, extent)
            yield None
        sums = self.step.sums
        reading = self.lane.read(torch.stack([*sums.values()]) if sums else torch.empty(0))
        while not reading.ready():
            yield reading
        numbers = iter(reading.values())
        pairs = {name: (next(numbers), next(numbers)) for name in sums}
        first = self.task.metrics[0]
        return {
            metric.name: metric.value(*pairs[metric.name])
            for metric in self.task.metrics
            if metric.name in pairs and (pairs[metric.name][1] or metric == first)
        }


def evaluate(network: Network, task: Task, split: Split, device: torch.device | str = "cpu") -> Scores:
    """The task's metrics of a network on a split that lies on `device`, in evaluation mode; sums in float64.

    A metric of which the split scores nothing is left out, unless it is the first.
    """
    scores: Scores = finished(Evaluation(network, task, split).turns())
    return scores


def trained(curve: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points of a curve after an epoch of training: without epoch 0, the evaluation of the untrained network.

    Rows made before curves had an epoch 0 have these points alone.
    """
    return [point for point in curve if point["epoch"] > 0]


def select(task: Task, curve: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The test values of both reporting rules; epoch 0 counts in neither.

    `best`: at the epoch that is best on validation (the first of equals). `last`: the mean over the last three
    epochs, as in the paper where it had no validation set (its authors' word; protocol of Bai et al. 2018).
    """
    last = trained(curve)[-3:]
    if not last:
        return {}
    best = best_of(task, curve)
    means = {name: math.fsum(point["test"][name] for point in last) / len(last) for name in best["test"]}
    return {
        "best": {"epoch": best["epoch"], "valid": best["valid"], "test": best["test"]},
        "last": {"epochs": [point["epoch"] for point in last], "test": means},
    }


def best_of(task: Task, curve: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The point of a curve that is best on validation, the first of equals. Epoch 0 is never the best.

    The curve must have an epoch after epoch 0.
    """
    selecting = task.metrics[0]
    best, *others = trained(curve)
    for point in others:
        if selecting.better(point["valid"][selecting.name], best["valid"][selecting.name]):
            best = point
    return best


def history(task: Task, curve: Sequence[dict[str, Any]]) -> list[float]:
    """The selecting metric on validation after each epoch from the first on, signed so that lower is better."""
    metric = task.metrics[0]
    sign = 1 if metric.direction == "lower" else -1
    return [sign * point["valid"][metric.name] for point in trained(curve)]


def ends_early(training: Training, task: Task, curve: Sequence[dict[str, Any]]) -> bool:
    """Whether the settings end a training here, before its last epoch: out of patience, or solved on validation."""
    if training.until_solved and (points := trained(curve)):
        found = points[-1]["valid"]
        if any(metric.solved(found.get(metric.name, math.nan)) for metric in task.metrics):
            return True
    return training.patience is not None and epochs_since_best(task, curve) >= training.patience


def epochs_since_best(task: Task, curve: Sequence[dict[str, Any]]) -> int:
    """How many epochs have gone by since the one that is best on validation; 0 before the first."""
    points = trained(curve)
    return int(points[-1]["epoch"] - best_of(task, points)["epoch"]) if points else 0
