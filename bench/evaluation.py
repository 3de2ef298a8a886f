"""A network's answers judged by the task's metrics, and the number that stands for a whole curve."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..models.network import Network
from ..tasks.base import Split, Task

EVALUATION_STEPS = 1 << 16
"""Time steps of one batch of evaluation: a constant, so that rounding does not depend on anything else."""

Scores = dict[str, float]


def evaluate(network: Network, task: Task, split: Split, device: torch.device | str = "cpu") -> Scores:
    """The task's metrics of a network on a split that lies on `device`, in evaluation mode; sums in float64.

    Sequences of differing length are batched with their like, so that little is padded.
    """
    lengths = split.lengths
    order = torch.arange(len(split)) if lengths is None else torch.argsort(lengths, stable=True)
    size = max(1, min(1000, EVALUATION_STEPS // task.steps))
    sums: dict[str, Tensor] = {}
    network.eval()
    with torch.no_grad():
        for index in order.split(size):
            batch = split.batch(index)
            outputs, _ = network(batch.inputs)
            for name, (total, count) in task.totals(outputs, batch).items():
                pair = torch.stack(
                    [torch.as_tensor(part, dtype=torch.float64, device=device) for part in (total, count)]
                )
                sums[name] = sums[name] + pair if name in sums else pair
    return {metric.name: metric.value(*sums[metric.name].tolist()) for metric in task.metrics}


def select(task: Task, curve: list[dict[str, Any]]) -> dict[str, Any]:
    """The test values of both reporting rules.

    `best`: at the epoch that is best on validation (the first of equals). `last`: the mean over the last three
    epochs, as in the paper where it had no validation set (its authors' word; protocol of Bai et al. 2018).
    """
    if not curve:
        return {}
    selecting = task.metrics[0]
    best = curve[0]
    for point in curve[1:]:
        if selecting.better(point["valid"][selecting.name], best["valid"][selecting.name]):
            best = point
    last = curve[-3:]
    means = {
        metric.name: math.fsum(point["test"][metric.name] for point in last) / len(last) for metric in task.metrics
    }
    return {
        "best": {"epoch": best["epoch"], "valid": best["valid"], "test": best["test"]},
        "last": {"epochs": [point["epoch"] for point in last], "test": means},
    }
