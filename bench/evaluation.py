"""A network's answers judged by the task's metrics, and the number that stands for a whole curve."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..models.base import State, detached
from ..models.network import Network
from ..tasks.base import Batch, Split, Task

EVALUATION_STEPS = 1 << 16
"""Time steps of one batch of evaluation: a constant, so that rounding does not depend on anything else."""

Scores = dict[str, float]


def answer(network: Network, split: Split, batch: Batch, state: State = None) -> tuple[Any, State]:
    """The head's answer for a batch of a split, and the state that goes into the batch after it.

    On a text a model that carries its state goes on from where the windows before have left it, and reads only what
    they have not shown. Everywhere else each example starts anew: the state is None.
    """
    if split.streams is None or not network.body.carries:
        return network(batch.inputs, None, batch.reads)[0], None
    inputs = batch.inputs if state is None else batch.inputs[:, split.context :]
    outputs, state = network(inputs, state, batch.reads)
    return outputs, detached(state)


def evaluate(network: Network, task: Task, split: Split, device: torch.device | str = "cpu") -> Scores:
    """The task's metrics of a network on a split that lies on `device`, in evaluation mode; sums in float64.

    Sequences of differing length are batched with their like, so that little is padded. A metric of which the split
    scores nothing is left out, unless it is the first.
    """
    lengths = split.lengths
    order = torch.arange(len(split)) if lengths is None else torch.argsort(lengths, stable=True)
    size = split.streams or max(1, min(1000, EVALUATION_STEPS // task.steps))
    sums: dict[str, Tensor] = {}
    state: State = None
    network.eval()
    with torch.no_grad():
        for index in order.split(size):
            batch = split.batch(index)
            outputs, state = answer(network, split, batch, state)
            for name, (total, count) in task.totals(outputs, batch).items():
                pair = torch.stack(
                    [torch.as_tensor(part, dtype=torch.float64, device=device) for part in (total, count)]
                )
                sums[name] = sums[name] + pair if name in sums else pair
    pairs = {metric: sums[metric.name].tolist() for metric in task.metrics if metric.name in sums}
    return {metric.name: metric.value(*pair) for metric, pair in pairs.items() if pair[1] or metric == task.metrics[0]}


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
