"""The adding problem: add the two numbers of a long sequence that are marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from . import _random, base
from ._options import require_choice, require_range


@dataclass(frozen=True)
class Task(base.Task):
    """Add the two marked numbers among `length` random ones.

    Hochreiter & Schmidhuber 1997, "Long short-term memory", experiment 4, in the form of Bai, Kolter & Koltun 2018.
    Each of the T = `length` steps shows a number, uniform in [0, 1), and a mark, which is 1 at two of the steps and
    else 0. After the last step the sum of the two marked numbers is asked for.

    Shapes: inputs (B, T, 2) float32, channel 0 the numbers and channel 1 the marks; targets (B,) float32; the head
    answers at the last step only, (B, 1, 1). No units. The metric, and the loss, is the mean squared error.

    Floor: the best constant answer is 1, and its error is the variance of a sum of two uniform numbers,
    2 * 1/12 = 1/6 (the 0.1767 printed in the paper of 2018 is a slip). Who knows one of the two reaches 1/12.
    Solved at 1e-3.

    Options: `marks` says where they are: "anywhere" is two distinct steps, each pair equally likely (as in Bai et
    al.), "halves" one uniform step in the first T // 2 and one in the rest (as in much other work; the same floor).
    `train`, `valid` and `test` are numbers of examples. Training and validation examples are drawn anew for every
    seed, the test examples never. The numbers of a shorter length are the first numbers of a longer one.

    >>> task = Task(length=6)
    >>> values, marks = task.examples(seed=1, split="train", start=0, count=1)
    >>> print(values.round(2), marks)
    [[0.98 0.11 0.52 0.7  0.93 0.36]] [[4 5]]
    >>> inputs, targets, *_ = task.present(torch.from_numpy(values), torch.from_numpy(marks))
    >>> inputs.shape, inputs[0, :, 1].tolist(), round(targets.item(), 2)  # 0.93 + 0.36
    (torch.Size([1, 6, 2]), [0.0, 0.0, 0.0, 0.0, 1.0, 1.0], 1.3)
    """

    version: ClassVar[int] = 1
    variant: ClassVar[tuple[str, ...]] = ("length",)
    length_option: ClassVar[str | None] = "length"
    variants: ClassVar[tuple[str, ...]] = (
        "adding(length=200)",
        "adding(length=400)",
        "adding(length=600)",
        "adding(length=600, marks=halves)",
    )
    source: ClassVar[str] = "Hochreiter & Schmidhuber 1997"
    published_validation: ClassVar[bool] = False
    test_parameters: ClassVar[dict[str, Any]] = {"length": 20, "train": 64, "valid": 32, "test": 32}

    length: int = 600
    marks: Literal["anywhere", "halves"] = "anywhere"
    train: int = 50_000
    valid: int = 1_000
    test: int = 1_000

    def __post_init__(self) -> None:
        require_range("adding", "length", self.length, 2)
        require_choice("adding", "marks", self.marks, ("anywhere", "halves"))
        for split in ("train", "valid", "test"):
            require_range("adding", split, getattr(self, split), 1)

    @property
    def input(self) -> base.Continuous:
        return base.Continuous(2)

    @property
    def outputs(self) -> int:
        return 1

    @property
    def reads(self) -> int:
        return 1

    @property
    def steps(self) -> int:
        return self.length

    @property
    def metrics(self) -> tuple[base.Metric, ...]:
        return (base.Metric("mse", "", "lower", floor=1 / 6, solved_at=1e-3, kind="error"),)

    def examples(
        self, seed: int, split: str, start: int, count: int, threads: int = 1
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Examples `start`, …, `start` + `count` - 1 of a split: values (count, T) float32 and the two marked steps of
        each, in increasing order, (count, 2) int32.

        A pure function of its arguments, and of `threads` not even that: they change the speed only. `start` and
        `count` may go beyond the number of examples that the task declares. Raises ValueError for an unknown split.
        """
        values = _random.uniform(
            _random.split_stream("adding", split, "values", seed), start, count, self.length, threads
        )
        middle = self.length // 2 if self.marks == "halves" else 0
        marks = _random.pairs(
            _random.split_stream("adding", split, "marks", seed), start, count, self.length, middle, threads
        )
        return values, marks

    @staticmethod
    def present(values: Tensor, marks: Tensor) -> base.Batch:
        """The batch of values (B, T) and marked steps (B, 2)."""
        steps = marks.long()
        # A complex number is two floats side by side, so this lays out both channels in one pass over the memory.
        inputs = torch.view_as_real(values.to(torch.complex64))  # (B, T, 2), the second channel zero
        inputs[:, :, 1].scatter_(1, steps, 1.0)
        return base.Batch(inputs, values.gather(1, steps).sum(1))

    def load(self, seed: int) -> base.Splits:
        def split(name: str, count: int) -> base.Split:
            values, marks = self.examples(seed, name, 0, count)
            return base.Examples(torch.from_numpy(values), torch.from_numpy(marks), present=self.present)

        return base.Splits(split("train", self.train), split("valid", self.valid), split("test", self.test))

    def loss(self, outputs: Tensor, batch: base.Batch) -> Tensor:
        return F.mse_loss(outputs.flatten(), batch.targets)  # (B, 1, 1) -> (B,)

    def totals(self, outputs: Tensor, batch: base.Batch) -> base.Totals:
        return {"mse": (F.mse_loss(outputs.flatten(), batch.targets, reduction="sum"), len(batch.targets))}
