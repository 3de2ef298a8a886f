"""The steps that are timed: ours as the engine takes it, and the reference's, on the same batches of the real data.

The learning rate is zero: every part of the step is computed, and the numbers stay as they were at initialisation,
which is where gradients that vanish over time are at their worst. So all variants do the same work in every step.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from ...models.base import UNKNOWN
from ...tasks.base import Batch, Split, Task
from .. import seeding
from ..engine.evaluation import EVALUATION_STEPS, evaluate
from ..engine.steps import TrainingStep, answer
from ..experiments.runs import Run
from . import floors
from .reference import PlainStep, Reference

BATCHES, PIECES = 8, 16
"""How many batches the steps go round; where sequences differ in length, so many over the whole range of lengths."""


class Steps(ABC):
    """Training steps of a run on a device, over a few batches of its data, again and again."""

    def __init__(self, run: Run, device: torch.device) -> None:
        self.run, self.device = run, device
        self.task = run.make_task()
        splits = self.task.load(run.seed)
        self.split = splits.train.in_streams(run.training.batch).to(device)
        self.held = splits.test.to(device)
        self.evaluated = splits.valid, splits.test
        self.indices = indices(self.split, run)
        self.network = run.make_network(self.task).to(device)
        self.network.seed_dropout(seeding.generator("dropout", run.seed, device=device))
        self.taken = 0

    @abstractmethod
    def take(self, place: int) -> None:
        """The step of the batch at `place`."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What a row says of the steps besides times; after the first step, when the optimizer has its numbers."""

    @abstractmethod
    def prepare(self) -> None:
        """A short forward and backward pass of a copy, which loads and compiles what the steps will use."""

    def go(self, count: int) -> None:
        """So many steps more, and waits for the device."""
        for _ in range(count):
            self.take(self.taken % len(self.indices))
            self.taken += 1
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def stream(self) -> int:
        """Reads one sequence of the test data step by step, and says how many steps; 0 where it cannot be streamed."""
        sequence = self.held.batch(torch.arange(1)).inputs[:, : self.task.steps]  # (1, T, C) or (1, T)
        network = self.streaming.eval()
        with torch.inference_mode():
            state = None
            for t in range(sequence.shape[1] if self.streams else 0):
                _, state = network(sequence[:, t : t + 1], state)
        network.train()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return sequence.shape[1] if self.streams else 0

    @property
    @abstractmethod
    def streaming(self) -> nn.Module:
        """What gives outputs, and the state for the next step, of (1, 1, C) or (1, 1) and a state."""

    @property
    @abstractmethod
    def streams(self) -> bool:
        """Whether it can be streamed."""

    @property
    def cycle(self) -> int:
        """Steps that have to be taken together, because their lengths differ; else 1."""
        return 1 if self.split.lengths is None else len(self.indices)

    @property
    def carries(self) -> bool:
        """Whether a step goes on from the state that the one before has left."""
        return self.split.streams is not None and self.network.body.carries


class Ours(Steps):
    """The engine's own training step and evaluation."""

    def __init__(self, run: Run, device: torch.device) -> None:
        super().__init__(run, device)
        captured = device.type == "cuda"
        self.optimizer = still(run.training.make_optimizer(self.network.parameter_groups(), in_graph=captured))
        self.step = TrainingStep(run, self.task, self.split, self.network, self.optimizer, device)
        self.part = Part(self.held, self.task)
        self.extents: list[int | None] = [None] * len(self.indices)
        if self.step.lane.captures:  # as in a training: the order lies on the device, and the host knows the extents
            self.extents = [self.step.extent(index) for index in self.indices]
            self.indices = [index.to(device) for index in self.indices]

    def go(self, count: int) -> None:
        with self.step.lane:
            super().go(count)

    def take(self, place: int) -> None:
        self.step.run(self.indices[place], self.extents[place])

    def prepare(self) -> None:
        network = copy.deepcopy(self.network)
        network.seed_dropout(seeding.generator("dropout", 0, device=self.device))
        outputs, _ = answer(network.train(), self.split, shortened(self.split.batch(self.indices[0])))
        _backward(outputs, self.run, network)

    @property
    def streaming(self) -> nn.Module:
        return self.network

    @property
    def streams(self) -> bool:
        return self.network.body.causal

    def evaluate(self) -> None:
        """One batch of evaluation (of a text two, of pieces of differing length all)."""
        evaluate(self.network, self.task, self.part, self.device)
        self.network.train()

    def facts(self) -> dict[str, Any]:
        layout = layout_of(self)
        return {
            "parameters": layout.parameters,
            "batch": layout.batch,
            "steps": round(layout.steps, 1),
            "evaluated": self.part.steps(self.carries),
            "run_steps": self.run.training.epochs * math.ceil(len(self.split) / self.run.training.batch),
            "run_evaluated": (self.run.training.epochs + 1)  # epoch 0, too
            * sum(sequence_steps(split, len(split), self.task, self.carries) for split in self.evaluated),
            "counts": floors.count(layout),
        }


class Plain(Steps):
    """The reference's step, over batches that were made before.

    compiled: by `torch.compile`, whole, with what it chooses for the device.
    """

    def __init__(self, run: Run, device: torch.device, compiled: bool = False) -> None:
        super().__init__(run, device)
        self.reference = Reference(run, self.task).to(device).take(self.network)
        self.batches = [self.reference.prepare(self.split.batch(index)) for index in self.indices]
        optimizer = still(run.training.make_optimizer(self.reference.parameters(), fused=None))
        self.step = PlainStep(run, self.task, self.reference, optimizer, self.carries, self.split.context)
        if compiled:
            self.reference.compile()  # in place: what is called is the compiled one, what is kept stays the module

    def take(self, place: int) -> None:
        self.step.run(self.batches[place])

    def prepare(self) -> None:
        reference = Reference(self.run, self.task).to(self.device)  # not a copy: the old weight norm has none
        outputs, _ = reference(reference.prepare(shortened(self.split.batch(self.indices[0]))).inputs)
        _backward(outputs, self.run, reference)

    @property
    def streaming(self) -> nn.Module:
        return self.reference

    @property
    def streams(self) -> bool:
        return self.reference.streams

    def facts(self) -> dict[str, Any]:
        """What the reference is built of."""
        return {"reference": self.reference.name}


class Part(Split):
    """As much of a split as one batch of evaluation shows; of a text two, of pieces of differing length all."""

    def __init__(self, split: Split, task: Task) -> None:
        self.split, self.task = split, task
        self.streams, self.context = split.streams, split.context
        size = 2 * split.streams if split.streams else max(1, min(1000, EVALUATION_STEPS // task.steps))
        self.count = len(split) if split.lengths is not None else min(size, len(split))

    def __len__(self) -> int:
        return self.count

    def to(self, device: torch.device) -> Part:
        return Part(self.split.to(device), self.task)

    def batch(self, index: Tensor) -> Batch:
        return self.split.batch(index)

    @property
    def lengths(self) -> Tensor | None:
        return self.split.lengths

    def steps(self, carries: bool) -> int:
        """Time steps of all its sequences together, as a model reads them."""
        return sequence_steps(self.split, self.count, self.task, carries)


def sequence_steps(split: Split, count: int, task: Task, carries: bool) -> int:
    """Time steps of the first `count` sequences of a split together, as a model reads them; of pieces, of all.

    A model that carries its state over a text reads what stands before a window only at the beginning of a stream.
    """
    if split.lengths is not None:
        return int(split.lengths.sum())
    streams = split.streams or 0
    known = count - streams if carries and count > streams else 0
    return count * task.steps - known * split.context


def indices(split: Split, run: Run) -> list[Tensor]:
    """The examples of each step, (B,): of a text its first windows, else examples as the run's first epoch has them.

    Where lengths differ, pieces from all over their range: of N sorted ones those in the middle of equal parts.
    """
    batch = min(run.training.batch, len(split))
    if split.streams is not None:
        count = min(BATCHES, len(split) // batch)
        return list(torch.arange(count * batch).split(batch))
    if split.lengths is None:
        count = max(1, min(BATCHES, len(split) // batch))
        return list(seeding.order(run.seed, 0, len(split))[: count * batch].split(batch))
    order = torch.argsort(split.lengths, stable=True)
    count = max(1, min(PIECES, len(split) // batch))
    middles = (torch.arange(count * batch) * 2 + 1) * len(split) // (2 * count * batch)
    return list(order[middles].split(batch))


def layout_of(ours: Ours) -> floors.Layout:
    """What is counted of a step of ours; the mean over the batches where lengths differ."""
    task, network = ours.task, ours.network
    if ours.split.lengths is not None:
        steps = sum(float(ours.split.lengths[index].max()) for index in ours.indices) / len(ours.indices)
    else:
        steps = task.steps - (ours.split.context if ours.carries else 0)
    body: Any = network.body
    channels = network.embedding.width if network.embedding is not None else task.input.channels  # type: ignore[union-attr]
    try:
        with torch.device("meta"):
            written = Reference(ours.run, task).written
    except Exception:  # a model that has no reference: what it shows of itself
        written = body.features
    return floors.Layout(
        batch=len(ours.indices[0]),
        steps=steps,
        reads=steps if task.reads is None else min(task.reads, steps),
        channels=channels,
        written=written,
        outputs=task.outputs,
        body=0 if body.macs_per_step == UNKNOWN else body.macs_per_step,
        head=network.head.macs_per_step,
        parameters=network.parameter_count,
        states=floors.states_of(ours.optimizer),
    )


def still(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """The optimizer with a learning rate of zero."""
    for group in optimizer.param_groups:
        group["lr"] = 0.0 * group["lr"]
    return optimizer


def shortened(batch: Batch, steps: int = 4) -> Batch:
    """The beginning of the first sequence of a batch."""
    return Batch(batch.inputs[:1, :steps], batch.targets[:1])


def _backward(outputs: Any, run: Run, module: nn.Module) -> None:
    """A backward pass, of a distribution from surprisals as in training, and a step of an optimizer like the run's."""
    total = outputs if isinstance(outputs, Tensor) else outputs.surprisal(outputs.most_probable())
    total.sum().backward()
    run.training.make_optimizer(module.parameters()).step()
