"""A network's answers judged by the task's metrics, and the number that stands for a whole curve."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..models.network import Network
from ..tasks.base import Split, Task
from .engine.lanes import HostLane, Lane, Turns, finished
from .engine.steps import EvaluationStep

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


def select(task: Task, curve: list[dict[str, Any]]) -> dict[str, Any]:
    """The test values of both reporting rules.

    `best`: at the epoch that is best on validation (the first of equals). `last`: the mean over the last three
    epochs, as in the paper where it had no validation set (its authors' word; protocol of Bai et al. 2018).
    """
    if not curve:
        return {}
    best = best_of(task, curve)
    last = curve[-3:]
    means = {name: math.fsum(point["test"][name] for point in last) / len(last) for name in best["test"]}
    return {
        "best": {"epoch": best["epoch"], "valid": best["valid"], "test": best["test"]},
        "last": {"epochs": [point["epoch"] for point in last], "test": means},
    }


def best_of(task: Task, curve: list[dict[str, Any]]) -> dict[str, Any]:
    """The point of a curve that is best on validation, the first of equals."""
    selecting = task.metrics[0]
    best = curve[0]
    for point in curve[1:]:
        if selecting.better(point["valid"][selecting.name], best["valid"][selecting.name]):
            best = point
    return best
