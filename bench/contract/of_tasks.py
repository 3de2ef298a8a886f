"""What the contract of a task asks (`tasks.base.Task`), tried with a small model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...tasks.base import Batch, Continuous, Pair, Split, Splits, Task
from .. import seeding
from ..experiments.runs import Run
from .items import Answer, Broken, Item, items_of
from .of_training import of_training
from .small_runs import CPU

SHOWN = 4
"""Examples of a batch that is looked at."""
CLOSE = 1e-4
MOST_ALIKE = 0.95
"""The share of targets that are the next input, from which a task predicts its own input."""


def of_task(run: Run, task: Task) -> Iterator[Item]:
    """The items of a run's task, with its model."""
    it = _Trial(run, task)
    yield from items_of(
        ("declarations", it.declarations),
        ("data", it.data),
        ("shapes", it.shapes),
        ("loss", it.loss),
        ("totals", it.totals),
        ("padding", it.padding),
        ("own input", it.own_input),
        ("lengths", it.lengths),
    )
    for item in of_training(run, task, it.place):
        if item.name != "gradients":  # of the model alone
            yield item


class _Trial:
    """A task, and a network that is shown it; each method is an item."""

    def __init__(self, run: Run, task: Task) -> None:
        self.run, self.task = run, task
        self.place = f"{type(task).__module__.rpartition('.')[2]}.{type(task).__qualname__}"
        self._splits: Splits | None = None

    def splits(self) -> Splits:
        if self._splits is None:
            self._splits = self.task.load(0)
        return self._splits

    def batch(self, split: Split, count: int = SHOWN) -> Batch:
        return split.batch(torch.arange(min(count, len(split))))

    def answers(self, batch: Batch) -> Any:
        network = self.run.make_network(self.task).eval()
        return network.read(batch.inputs, batch.reads, batch.lengths, batch.source)

    def declarations(self) -> Answer:
        metrics = self.task.metrics
        if not metrics:
            raise Broken(f"{self.place}: it has no metric", "the first metric is the one that selects on validation")
        if self.task.steps < 1 or self.task.outputs < 1:
            raise Broken(f"{self.place}: steps={self.task.steps}, outputs={self.task.outputs}", "at least 1 is needed")
        first = metrics[0]
        if not math.isfinite(first.floor) and not self.task.yardsticks():
            return (
                "remark",
                f"{first.name} has no floor, the score of the best answer that ignores the input",
                "give Metric its floor, or let yardsticks() compute scores of simple answers: without one nobody sees "
                "whether a model has learned anything",
            )
        return f"{first.name} with a floor of {first.floor:g}; {self.task.outputs} outputs, {self.task.steps} steps"

    def data(self) -> Answer:
        """The same again, and a test part that no seed changes."""
        before = _states()
        one, again, other = ([self.batch(split) for split in self.task.load(seed)] for seed in (0, 0, 1))
        if not all(map(_same, one, again)):
            raise Broken(
                f"{self.place}: load(0) gives other data each time",
                "draw from a generator of the seed, `tasks.base.generator_of(seed)`, or by the index of the example",
            )
        if not _same(one[2], other[2]):
            raise Broken(
                f"{self.place}: the test part is not the same for every seed",
                "draw it from a seed of its own: scores of several seeds are compared on it",
            )
        if not seeding.same(_states(), before):
            return (
                "remark",
                "load draws from global generators; within a run they are streams of its seed",
                "a generator of its own keeps data the same whoever else draws",
            )
        sizes = ", ".join(f"{len(split):,} {name}" for name, split in self.splits()._asdict().items())
        return f"{sizes}; the same for each seed again, the test part for all"

    def shapes(self) -> Answer:
        texts = []
        for name, split in self.splits()._asdict().items():
            batch = self.batch(split)
            examples, kind = min(SHOWN, len(split)), self.task.input
            inputs = tuple(batch.inputs.shape)
            wanted = f"inputs of {name} are {inputs} of {batch.inputs.dtype}"
            if isinstance(kind, Continuous):
                fits = inputs == (examples, inputs[1] if len(inputs) > 1 else 0, kind.channels)
                if not fits or batch.inputs.dtype != torch.float32:
                    raise Broken(f"{self.place}: {wanted}", f"(B, T, C={kind.channels}) of float32 is needed")
                if not batch.inputs.isfinite().all():
                    raise Broken(f"{self.place}: inputs of {name} are not finite", "see where they are computed")
            else:
                if len(inputs) != 2 or inputs[0] != examples or batch.inputs.dtype != torch.int64:
                    raise Broken(f"{self.place}: {wanted}", "(B, T) of int64 is needed")
                if isinstance(kind, Pair):
                    self._check_source(name, batch, kind)
                symbols = kind.target if isinstance(kind, Pair) else kind.vocabulary
                low, high = int(batch.inputs.min()), int(batch.inputs.max())
                if low < 0 or high >= symbols:
                    raise Broken(f"{self.place}: symbols {low} … {high}", f"0 … {symbols - 1} are declared")
            if inputs[1] > self.task.steps:
                raise Broken(
                    f"{self.place}: examples of {inputs[1]} steps where steps={self.task.steps}",
                    "`steps` is the longest of all parts",
                )
            texts.append(f"{name} {inputs} -> {tuple(batch.targets.shape)}")
        return ", ".join(texts)

    def _check_source(self, name: str, batch: Batch, kind: Pair) -> None:
        source, lengths = batch.source, batch.lengths
        if source is None or source.ndim != 2 or len(source) != len(batch.inputs) or source.dtype != torch.int64:
            found = "none" if source is None else f"{tuple(source.shape)} of {source.dtype}"
            raise Broken(f"{self.place}: the source of {name} is {found}", "Batch.source (B, S) of int64 is needed")
        low, high = int(source.min()), int(source.max())
        if low < 0 or high >= kind.source:
            raise Broken(f"{self.place}: source symbols {low} … {high}", f"0 … {kind.source - 1} are declared")
        if lengths is not None and not bool(((lengths > 0) & (lengths <= source.shape[1])).all()):
            raise Broken(
                f"{self.place}: lengths {lengths.tolist()} of sources (B, {source.shape[1]})",
                "Batch.lengths (B,) counts the symbols of each source before its padding, at least 1",
            )

    def loss(self) -> Answer:
        batch = self.batch(self.splits().train)
        network = self.run.make_network(self.task)
        loss = self.task.loss(network.read(batch.inputs, batch.reads, batch.lengths, batch.source), batch)
        if not isinstance(loss, Tensor) or loss.shape != ():
            raise Broken(f"{self.place}: loss gave {loss!r:.60}", "a scalar tensor is needed")
        if not loss.isfinite():
            raise Broken(
                f"{self.place}: the loss of an untrained network is {loss.item()}", "a finite number is needed"
            )
        loss.backward()
        if not any(part.grad is not None and part.grad.any() for part in network.parameters()):
            raise Broken(f"{self.place}: the loss has no gradient", "it must depend on the outputs it is given")
        return f"{loss.item():.4g} of an untrained network"

    def totals(self) -> Answer:
        """For each metric, additive over examples: so a score does not depend on how they are batched."""
        split = self.splits().test
        chosen = torch.arange(min(SHOWN, len(split)))
        with torch.no_grad():
            together, *alone = (
                self.task.totals(self.answers(batch), batch)
                for batch in (split.batch(chosen), *(split.batch(one[None]) for one in chosen))
            )
        named, wanted = set(together), {metric.name for metric in self.task.metrics}
        if named != wanted:
            raise Broken(f"{self.place}: totals gives {sorted(named)}", f"{sorted(wanted)}, its metrics, are needed")
        for name, (total, count) in together.items():
            parts = [one[name] for one in alone]
            if float(count) != sum(float(part[1]) for part in parts) or not math.isclose(
                float(total), math.fsum(float(part[0]) for part in parts), rel_tol=1e-3, abs_tol=1e-6
            ):
                raise Broken(
                    f"{self.place}: the totals of {name} over a batch are not the sums over its examples",
                    "give sum and number over the scored positions, not means",
                )
        first, (total, count) = self.task.metrics[0], together[self.task.metrics[0].name]
        return f"sums over examples; {first.name} of an untrained network {first.value(float(total), float(count)):.4g}"

    def padding(self) -> Answer:
        """Examples of different lengths: what stands behind an end must not count."""
        split = self.splits().test
        if split.lengths is None:
            return "not asked", "all examples have one length", ""
        order = torch.argsort(split.lengths)
        pair = torch.stack([order[0], order[-1]])
        with torch.no_grad():
            together = self.task.totals(self.answers(batch := split.batch(pair)), batch)
            alone = [self.task.totals(self.answers(one), one) for one in (split.batch(at[None]) for at in pair)]
        for name, (total, count) in together.items():
            apart = abs(float(total) - math.fsum(float(one[name][0]) for one in alone))
            if float(count) != sum(float(one[name][1]) for one in alone) or apart > CLOSE * max(1, abs(float(total))):
                raise Broken(
                    f"{self.place}: beside a longer example a short one has another {name}",
                    "mask what stands behind its end, or read each at its own last steps (`last_steps`)",
                )
        return "padding does not count"

    def own_input(self) -> Answer:
        """Whether targets are later inputs, though the task does not say so."""
        batch = self.batch(self.splits().train, 64)
        inputs, targets = batch.inputs, batch.targets
        alike = 0.0
        if targets.shape[:2] == inputs.shape[:2] and targets.ndim == inputs.ndim and inputs.shape[1] > 2:
            alike = float((targets[:, :-1] == inputs[:, 1:]).double().mean())
        if isinstance(self.task.input, Pair):
            return "a decoder is shown the target, and a source before it"
        if alike > MOST_ALIKE and not self.task.predicts_input:
            raise Broken(
                f"{self.place}: {alike:.0%} of its targets are the next input, and it does not say so",
                "say `predicts_input = True` in the class: a model that sees later inputs would copy them",
            )
        asked = (
            "its answers may depend on the inputs so far" if self.task.asks_causality else "a whole sequence is read"
        )
        return "it predicts its own input" if self.task.predicts_input else asked

    def lengths(self) -> Answer:
        name = self.task.length_option
        if name is None:
            return "not asked", "no option says how long sequences are", ""
        own = self.task.options()
        longer = self.task.at_length(own[name] + 3)
        changed = [key for key, value in longer.options().items() if value != own[key]]
        if changed != [name] or longer.steps <= self.task.steps:
            raise Broken(
                f"{self.place}: at_length changes {changed}, and steps from {self.task.steps} to {longer.steps}",
                f"`length_option` is {name!r}: it alone must change, and steps grow with it",
            )
        self.batch(longer.load(0).test, 1)
        return f"can be tested at other lengths, by {name}"


def _same(one: Batch, other: Batch) -> bool:
    pairs: Any = zip(one, other, strict=True)
    return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs)


def _states() -> seeding.States:
    return seeding.states((*seeding.of_host(CPU), *seeding.of_device(CPU)), CPU)
