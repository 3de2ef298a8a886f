"""`seqbench check` of tasks: the suite's keep the contract, and those that break a rule are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from checked import broken, items
from seqbench.bench.experiments import registry
from seqbench.tasks import base, copy_memory
from torch import Tensor, nn

GENERATED = [name for name in registry.listing("task") if not registry.find("task", name).remotes]


@pytest.mark.parametrize("name", GENERATED)
def test_the_suites_tasks_keep_the_contract(name: str) -> None:
    found = items(name)
    assert {item.verdict for item in found.values()} <= {"kept", "not asked"}, [str(item) for item in found.values()]
    assert len(found) == 11


@dataclass(frozen=True)
class Task(copy_memory.Task):
    """A sound task, from which those below differ in one thing."""

    test_parameters: ClassVar[dict[str, Any]] = {"delay": 5, "train": 64, "valid": 32, "test": 32}


@dataclass(frozen=True)
class Unsteady(Task):
    def load(self, seed: int) -> base.Splits:
        return super().load(int(torch.randint(1000, ())))


@dataclass(frozen=True)
class Seeded(Task):
    def load(self, seed: int) -> base.Splits:
        found = super().load(seed)
        return found._replace(test=found.train)


@dataclass(frozen=True)
class Means(Task):
    def totals(self, outputs: Any, batch: base.Batch) -> base.Totals:
        return {name: (total / count, 1) for name, (total, count) in super().totals(outputs, batch).items()}


@dataclass(frozen=True)
class Nameless(Task):
    def totals(self, outputs: Any, batch: base.Batch) -> base.Totals:
        return {"points": next(iter(super().totals(outputs, batch).values()))}


@dataclass(frozen=True)
class Vector(Task):
    def loss(self, outputs: Any, batch: base.Batch) -> Tensor:
        return super().loss(outputs, batch).expand(3)


@dataclass(frozen=True)
class Doubles(Task):
    def load(self, seed: int) -> base.Splits:
        found = super().load(seed)
        present = found.train.present  # type: ignore[attr-defined]

        def doubled(*columns: Tensor) -> base.Batch:
            batch: base.Batch = present(*columns)
            return batch._replace(inputs=batch.inputs.double())

        return base.Splits(*(base.Examples(*split.columns, present=doubled) for split in found))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Silent(base.Task):
    """The next of a few symbols, without a word on it."""

    @property
    def input(self) -> base.Tokens:
        return base.Tokens(4)

    outputs: ClassVar[int] = 4  # type: ignore[assignment]
    reads: ClassVar[None] = None  # type: ignore[assignment]
    steps: ClassVar[int] = 9  # type: ignore[assignment]
    metrics: ClassVar[Any] = (base.Metric("loss", "nats", "lower", floor=1.4),)

    def load(self, seed: int) -> base.Splits:
        def split(key: int, count: int) -> base.Examples:
            symbols = torch.randint(4, (count, 1), generator=base.generator_of(key)) + torch.arange(10)
            return base.Examples(symbols % 4, present=lambda rows: base.Batch(rows[:, :-1], rows[:, 1:]))

        return base.Splits(split(seed, 64), split(seed + 100, 16), split(10_000, 16))

    def loss(self, outputs: Tensor, batch: base.Batch) -> Tensor:
        return nn.functional.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten())

    def totals(self, outputs: Tensor, batch: base.Batch) -> base.Totals:
        return {"loss": (self.loss(outputs, batch) * batch.targets.numel(), batch.targets.numel())}


@dataclass(frozen=True)
class Longer(Silent):
    predicts_input: ClassVar[bool] = True
    steps: ClassVar[int] = 8  # type: ignore[misc]


@pytest.mark.parametrize(
    ("task", "expected", "remedy"),
    [
        (Task, set(), ""),
        (Unsteady, {"data"}, "draw from a generator of the seed"),
        (Seeded, {"data"}, "scores of several seeds are compared on it"),
        (Means, {"totals"}, "give sum and number over the scored positions"),
        (Nameless, {"totals"}, "its metrics, are needed"),
        (Vector, {"loss"}, "a scalar tensor is needed"),
        (Doubles, {"shapes"}, "of float32 is needed"),
        (Longer, {"shapes"}, "`steps` is the longest of all parts"),
        (Silent, {"own input"}, "say `predicts_input = True` in the class"),
    ],
)
def test_each_rule_that_a_task_breaks_is_found(task: type[base.Task], expected: set[str], remedy: str) -> None:
    found = items(f"test_check_tasks:{task.__name__}")
    assert broken(found) >= expected
    if task in (Task, Unsteady, Seeded, Means, Longer, Silent):
        assert broken(found) == expected
    for name in expected:
        assert remedy in str(found[name])
