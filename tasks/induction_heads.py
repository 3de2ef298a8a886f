"""Induction heads: name the symbol that followed a special one before."""

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


@dataclass(frozen=True)
class Task(Answers):
    """Name the symbol that followed the special symbol, when this stands at the end for the second time.

    Gu & Dao 2023, "Mamba" (arXiv:2312.00752), section 4.1, after Olsson et al. 2022. A sequence of T = `length`
    symbols, each of the V = `alphabet` ordinary ones as likely. At one step, each but the last two as likely, stands
    the special symbol V instead; it stands again at the last step, where the symbol that followed it is asked for. With
    V = 4:

        input    2 0 4 3 1 1 0 4
        answer                 3

    Shapes: inputs (B, T) int64; targets (B, 1) int64; logits (B, 1, V) at the last step. `accuracy` is the share of
    right answers in per cent.

    Small by default: `length` 64. The paper trains at 256, with 16 symbols as here, and tests from 64 to 2**20.

    Floor: a guess among the V symbols, 6.25 % of 16. Solved at 99 %.

    >>> task = Task(length=8)
    >>> batch = task.load(1).test.batch(torch.tensor([0]))
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[2, 11, 11, 16, 11, 12, 10, 16]], [[11]])
    """

    version: ClassVar[int] = 1
    variant: ClassVar[tuple[str, ...]] = ("length",)
    variants: ClassVar[tuple[str, ...]] = ("induction-heads(length=64)", "induction-heads(length=256)")
    length_option: ClassVar[str | None] = "length"
    source: ClassVar[str] = "Gu & Dao 2023"
    test_parameters: ClassVar[dict[str, Any]] = {"length": 8, "train": 64, "valid": 32, "test": 32}

    length: int = 64
    alphabet: int = 16
    train: int = 20_000
    valid: int = 500
    test: int = 1_000

    def __post_init__(self) -> None:
        require_range("induction-heads", "length", self.length, 3)
        require_range("induction-heads", "alphabet", self.alphabet, 2, 255)
        for split in ("train", "valid", "test"):
            require_range("induction-heads", split, getattr(self, split), 1)

    @property
    def input(self) -> base.Tokens:
        return base.Tokens(self.alphabet + 1)

    @property
    def outputs(self) -> int:
        return self.alphabet

    @property
    def reads(self) -> int:
        return 1

    @property
    def steps(self) -> int:
        return self.length

    @property
    def floor(self) -> float:
        return 1 / self.alphabet

    @property
    def several(self) -> bool:
        return False

    def examples(
        self, seed: int, split: str, start: int, count: int, threads: int = 1
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Examples `start`, …, `start` + `count` - 1 of a split: ordinary symbols (count, T) uint8, and the step of the
        special one, (count,) int32; at this step and at the last one the ordinary symbol is not shown.

        A pure function of its arguments, and of `threads` not even that: they change the speed only. `start` and
        `count` may go beyond the number of examples that the task declares. Raises ValueError for an unknown split.
        """
        key = _random.split_stream("induction-heads", split, "symbols", seed)
        symbols = _random.integers(key, start, count, self.length, 0, self.alphabet, threads)
        key = _random.split_stream("induction-heads", split, "places", seed)
        places = _random.integers(key, start, count, 1, 0, self.length - 2, threads)[:, 0]
        return symbols, places.astype(np.int32)

    def present(self, symbols: Tensor, places: Tensor) -> base.Batch:
        """The batch of ordinary symbols (B, T) and the steps of the special one (B,)."""
        inputs, place = symbols.long(), places.long().unsqueeze(1)  # (B, T), (B, 1)
        inputs.scatter_(1, place, self.alphabet)
        inputs[:, -1] = self.alphabet
        return base.Batch(inputs, inputs.gather(1, place + 1))

    def load(self, seed: int) -> base.Splits:
        def split(name: str, count: int) -> base.Split:
            return base.Examples(*map(torch.from_numpy, self.examples(seed, name, 0, count)), present=self.present)

        return base.Splits(split("train", self.train), split("valid", self.valid), split("test", self.test))
