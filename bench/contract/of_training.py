"""What a training asks of a model and its task: the same bits, gradients everywhere, a falling loss; and its speed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ...models.network import Network
from ...tasks.base import Task
from .. import seeding
from ..engine.checkpoint import Checkpoint
from ..engine.outcome import Stopped
from ..engine.repeatable import repeatable
from ..errors import UsageError
from ..experiments import registry, sizing
from ..experiments.notation import Spec
from ..experiments.runs import Run
from . import small_runs
from .items import Answer, Broken, Item, items_of
from .small_runs import CPU

RATES = (1e-2, 1e-3)
REPEATS = 60
"""Steps on one batch, at each of these learning rates, within which the loss must fall to FALLEN of the first."""
FALLEN = 0.8
TIMED = 5
LEARNING_STEPS = 10
"""Within so many steps every parameter must have had a gradient: some have none at first, behind a zero."""


def of_training(run: Run, task: Task, place: str) -> Iterator[Item]:
    """The items of a run that is trained for some steps. place: the line that a finding names."""
    it = _Training(run, task, place)
    yield from items_of(
        ("same bits twice", it.twice),
        ("same bits after a stop", it.resumed),
        ("gradients", it.gradients),
        ("learning", it.learning),
    )


class _Training:
    """A model that is trained on a task; each method is an item."""

    def __init__(self, run: Run, task: Task, place: str) -> None:
        self.run, self.task, self.place = small_runs.short(run), task, place

    def network(self) -> Network:
        network = self.run.make_network(self.task)
        network.seed_dropout(seeding.generator("dropout", 0))
        return network

    @cached_property
    def whole(self) -> list[Any]:
        """What a short training in one piece gives."""
        return small_runs.measured(small_runs.trained(self.run))

    def twice(self) -> Answer:
        if small_runs.measured(small_runs.trained(self.run)) != self.whole:
            raise Broken(
                f"{self.place}: two trainings of one run differ",
                "what is drawn must come from Python's, NumPy's or torch's global generators or from `Dropout` of "
                "models.base; nothing may be kept outside of the module, or depend on time, or on an order of sets",
            )
        return "two trainings of one run are the same to the bit"

    def resumed(self) -> Answer:
        with tempfile.TemporaryDirectory() as folder, Checkpoint(Path(folder) / "run.pt") as kept:
            for asked in (4, 9):  # in the first epoch, then in the second
                calls = iter(range(asked))
                try:
                    small_runs.trained(self.run, kept, lambda calls=calls: next(calls, None) is None)  # type: ignore[misc]
                except Stopped:
                    continue
            resumed = small_runs.measured(small_runs.trained(self.run, kept))
        if resumed != self.whole:
            raise Broken(
                f"{self.place}: a training that was stopped and gone on with differs from one in one piece",
                "what a step leaves behind must be in parameters and buffers, which checkpoints hold",
            )
        return "a training that was stopped twice is the same to the bit"

    def gradients(self) -> Answer:
        network, batch = self.network(), small_runs.first_batch(self.task, self.run)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        waiting = {name for name, parameter in network.body.named_parameters() if parameter.requires_grad}
        count = len(waiting)
        with seeding.forked("check", 0):
            for _ in range(LEARNING_STEPS):
                optimizer.zero_grad()
                self.task.loss(network.read(batch.inputs, batch.reads, batch.lengths, batch.source), batch).backward()
                for name, parameter in network.body.named_parameters():
                    if parameter.grad is not None and not parameter.grad.isfinite().all():
                        raise Broken(f"{self.place}: the gradient of {name} is not finite", "see how it is computed")
                    if parameter.grad is not None and parameter.grad.any():
                        waiting.discard(name)
                optimizer.step()
        if waiting:
            named = ", ".join(sorted(waiting)[:3]) + (", …" if len(waiting) > 3 else "")
            raise Broken(
                f"{self.place}: {len(waiting)} of {count} parameters get no gradient: {named}",
                "they count as parameters and learn nothing; use them in forward, or leave them out",
            )
        return f"each of {count} parameter tensors gets one"

    def learning(self) -> Answer:
        batch = small_runs.first_batch(self.task, self.run)
        lowest = []
        for rate in RATES:
            network = self.network().train()
            optimizer = torch.optim.Adam(network.parameters(), lr=rate)
            losses: list[float] = []
            with seeding.forked("check", 0):
                while len(losses) < REPEATS and not (losses and min(losses) <= FALLEN * losses[0]):
                    optimizer.zero_grad()
                    loss = self.task.loss(network.read(batch.inputs, batch.reads, batch.lengths, batch.source), batch)
                    loss.backward()
                    optimizer.step()
                    losses.append(loss.item())
            if min(losses) <= FALLEN * losses[0]:
                fall = f"from {losses[0]:.3g} to {min(losses):.3g}"
                return f"the loss on a repeated batch falls {fall} in {len(losses)} steps"
            lowest.append(f"from {losses[0]:.3g} to {min(losses):.3g} at a rate of {rate:g}")
        raise Broken(
            f"{self.place}: the loss on a repeated batch does not fall in {REPEATS} steps ({', '.join(lowest)})",
            "see whether features depend on the inputs, and whether a gradient reaches all parameters",
        )


def speed_beside(run: Run, task: Task) -> Answer:
    """How long a training step takes, beside the suite's models of as many parameters."""
    own, parameters = _milliseconds(run, task), run.make_network(task).parameter_count
    beside = {}
    for name in registry.listing("model"):
        try:
            spec = sizing.sized(task, Spec(name, {}), parameters, 0.5, run.head, run.embedding)
            other = Run(run.task, spec, run.training, run.head, run.embedding)
            beside[name] = _milliseconds(other, task)
        except UsageError:  # of so few parameters there is none
            continue
    listed = ", ".join(f"{name} {took:.1f}" for name, took in sorted(beside.items(), key=lambda pair: pair[1]))
    return (
        "remark",
        f"a training step of {parameters:,} parameters takes {own:.1f} ms; of the suite's: {listed}",
        "",
    )


def _milliseconds(run: Run, task: Task) -> float:
    """Of a training step: the median of a few, after two that compile and allocate."""
    network = run.make_network(task).train()
    network.seed_dropout(seeding.generator("dropout", 0))
    batch = small_runs.first_batch(task, run)
    optimizer = torch.optim.Adam(network.parameters())
    times = []
    with repeatable(CPU), seeding.forked("check", 0):
        for _ in range(TIMED + 2):
            started = time.perf_counter()
            optimizer.zero_grad()
            task.loss(network.read(batch.inputs, batch.reads, batch.lengths, batch.source), batch).backward()
            optimizer.step()
            times.append(time.perf_counter() - started)
    return 1e3 * median(times[2:])
