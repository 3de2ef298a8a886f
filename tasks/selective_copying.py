"""Selective copying: repeat the symbols that stand scattered in noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import _random, base
from ._answers import Answers
from ._options import require_range

NOISE = 0


@dataclass(frozen=True)
class Task(Answers):
    """Repeat, in order, `memory` symbols that stand at random places among noise.

    Gu & Dao 2023, "Mamba" (arXiv:2312.00752), section 4.1, after Jing et al. 2019. Of the A = `alphabet` symbols
    0 is the noise, A - 1 the marker, and 1, …, A - 2 are to be copied. The first `length` + `memory` steps hold
    `memory` of these, each as likely, at distinct places, each set of places as likely, and noise elsewhere; then
    follow `memory` markers, at which the symbols are asked for in their order. T = `length` + 2 `memory`. This is the
    form of the S4 repository (`copying`, `variable=True`). With 3 symbols to copy:

        input    0 0 4 0 0 1 0 0 4 0 9 9 9
        answer                       4 1 4

    Small by default: `length` 64 with 8 symbols. The paper has `length` 4096 with 16, other small work 256 with 16.

    Shapes: inputs (B, T) int64; targets (B, memory) int64; logits (B, memory, A) at the markers. `accuracy` is the
    share of right symbols in per cent, `sequences` that of sequences without a wrong one.

    Floor: a guess among A - 2 symbols, 7.14 % of 14. Solved at 99 %.

    >>> task = Task(length=6, memory=2)
    >>> batch = task.load(1).test.batch(torch.tensor([0]))
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[0, 0, 0, 0, 11, 0, 13, 0, 15, 15]], [[11, 13]])
    """

    version: ClassVar[int] = 1
    variant: ClassVar[tuple[str, ...]] = ("length", "memory")
    variants: ClassVar[tuple[str, ...]] = (
        "selective-copying(length=64, memory=8)",
        "selective-copying(length=256, memory=16)",
        "selective-copying(length=4096, memory=16)",
    )
    length_option: ClassVar[str | None] = "length"  # a sequence has `length` + 2 `memory` steps
    source: ClassVar[str] = "Gu & Dao 2023"
    test_parameters: ClassVar[dict[str, Any]] = {"length": 6, "memory": 2, "train": 64, "valid": 32, "test": 32}

    length: int = 64
    memory: int = 8
    alphabet: int = 16
    train: int = 20_000
    valid: int = 500
    test: int = 1_000

    def __post_init__(self) -> None:
        require_range("selective-copying", "length", self.length, 0)
        require_range("selective-copying", "memory", self.memory, 1)
        require_range("selective-copying", "alphabet", self.alphabet, 4, 256)
        for split in ("train", "valid", "test"):
            require_range("selective-copying", split, getattr(self, split), 1)

    @property
    def input(self) -> base.Tokens:
        return base.Tokens(self.alphabet)

    @property
    def outputs(self) -> int:
        return self.alphabet

    @property
    def reads(self) -> int:
        return self.memory

    @property
    def steps(self) -> int:
        return self.length + 2 * self.memory

    @property
    def floor(self) -> float:
        return 1 / (self.alphabet - 2)

    def examples(
        self, seed: int, split: str, start: int, count: int, threads: int = 1
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Examples `start`, …, `start` + `count` - 1 of a split: the symbols (count, memory) uint8 and their places, in
        increasing order, (count, memory) int32.

        A pure function of its arguments, and of `threads` not even that: they change the speed only. `start` and
        `count` may go beyond the number of examples that the task declares. Raises ValueError for an unknown split.
        """
        key = _random.split_stream("selective-copying", split, "symbols", seed)
        symbols = _random.integers(key, start, count, self.memory, 1, self.alphabet - 1, threads)
        key = _random.split_stream("selective-copying", split, "places", seed)
        room = [1] * (self.length + self.memory)
        places = _random.chosen(key, start, count, self.memory, room, threads)
        return symbols, np.sort(places, axis=1)

    def present(self, symbols: Tensor, places: Tensor) -> base.Batch:
        """The batch of symbols (B, memory) at places (B, memory)."""
        answer = symbols.long()
        inputs = answer.new_full((len(answer), self.steps), NOISE)  # (B, T)
        inputs.scatter_(1, places.long(), answer)
        inputs[:, -self.memory :] = self.alphabet - 1
        return base.Batch(inputs, answer)

    def load(self, seed: int) -> base.Splits:
        def split(name: str, count: int) -> base.Split:
            return base.Examples(*map(torch.from_numpy, self.examples(seed, name, 0, count)), present=self.present)

        return base.Splits(split("train", self.train), split("valid", self.valid), split("test", self.test))
