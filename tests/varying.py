"""A toy formal language: sequences of different lengths, and one answer each, at its own last step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from seqbench.tasks import base
from torch import Tensor
from torch.nn import functional as F

SHORTEST, LONGEST = 3, 9


class Strings(base.Split):
    """N strings of two symbols, filled up with zeros: symbols (N, longest) uint8, lengths (N,) on the CPU."""

    def __init__(self, symbols: Tensor, lengths: Tensor) -> None:
        self.symbols, self.ends = symbols, lengths.to(symbols.device)
        self._lengths = lengths

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def lengths(self) -> Tensor:
        return self._lengths

    def to(self, device: torch.device) -> Strings:
        return Strings(self.symbols.to(device), self._lengths)

    def batch(self, index: Tensor) -> base.Batch:
        return self.laid_out(index.to(self.symbols.device), self.extent(index))

    def laid_out(self, index: Tensor, extent: int | None) -> base.Batch:
        inputs, ends = self.symbols[index, :extent].long(), self.ends[index]
        inputs = F.pad(inputs, (0, (extent or 0) - inputs.shape[1]))
        inside = torch.arange(inputs.shape[1], device=inputs.device) < ends.unsqueeze(1)
        odd = (inputs * inside).sum(1) % 2
        return base.Batch(inputs, odd, reads=base.last_steps(ends), lengths=ends)


@dataclass(frozen=True)
class Parity(base.Task):
    """Whether a string has an odd number of ones, asked after its last symbol. Its name is `varying:Parity`."""

    test_parameters: ClassVar[Mapping[str, Any]] = {}

    input = base.Tokens(2)
    outputs = 2
    reads = 1
    steps = LONGEST
    metrics = (
        base.Metric("loss", "nats", "lower", floor=0.6931, kind="likelihood"),
        base.Metric("accuracy", "%", "higher", floor=50.0, kind="share"),
    )

    def load(self, seed: int) -> base.Splits:
        def split(name: int, count: int) -> Strings:
            random = base.generator_of(97 * seed + name)
            lengths = torch.randint(SHORTEST, LONGEST + 1, (count,), generator=random)
            symbols = torch.randint(0, 2, (count, LONGEST), generator=random, dtype=torch.uint8)
            return Strings(symbols, lengths)

        return base.Splits(split(0, 40), split(1, 12), split(2, 12))

    def nats(self, outputs: Any, batch: base.Batch) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), batch.targets, reduction="sum")

    def correct(self, outputs: Any, batch: base.Batch) -> Tensor:
        return (outputs.flatten(0, 1).argmax(1) == batch.targets).sum()

    def loss(self, outputs: Any, batch: base.Batch) -> Tensor:
        return self.nats(outputs, batch) / len(batch.targets)

    def totals(self, outputs: Any, batch: base.Batch) -> base.Totals:
        count = len(batch.targets)
        return {"loss": (self.nats(outputs, batch), count), "accuracy": (100 * self.correct(outputs, batch), count)}


@dataclass(frozen=True)
class Said(Parity):
    """The same with a head that gives a distribution. Its name is `varying:Said`."""

    distribution: ClassVar[bool] = True
    head: ClassVar[str] = "softmax"

    input = base.Tokens(6)
    outputs = 6

    def nats(self, outputs: Any, batch: base.Batch) -> Tensor:
        return outputs.surprisal(batch.targets.unsqueeze(1)).sum()

    def correct(self, outputs: Any, batch: base.Batch) -> Tensor:
        return (outputs.most_probable().squeeze(1) == batch.targets).sum()
