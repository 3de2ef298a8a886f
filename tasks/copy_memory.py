"""The copy-memory task: repeat ten symbols after a long silence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from . import _random, base
from ._options import require_choice, require_range

MEMORY = 10  # symbols to be remembered
SYMBOLS = 8  # different ones: the digits 1 to 8
CUE = 9  # asks for the answer; 0 is the blank
VOCABULARY = 10


@dataclass(frozen=True)
class Task(base.Task):
    """Repeat ten symbols after a silence of `delay` steps.

    Hochreiter & Schmidhuber 1997 and Arjovsky, Shah & Bengio 2016, in the form of Bai, Kolter & Koltun 2018. The
    input is 10 digits, each uniform in 1…8; `delay` - 1 blanks (0); and 11 cues (9), of which the first says "now" and
    the others stand under the answer. The answer is `delay` + 10 blanks, then the 10 digits. T = `delay` + 20 steps.
    With a delay of 3 and the digits 4 8 1 7 3 2 2 6 5 1:

        input    4 8 1 7 3 2 2 6 5 1 0 0 9 9 9 9 9 9 9 9 9 9 9
        answer   0 0 0 0 0 0 0 0 0 0 0 0 0 4 8 1 7 3 2 2 6 5 1

    Shapes: inputs (B, T, 1) float32, the digit itself as a number (`coding` "scalar", as in Bai et al.), or
    (B, T, 10) ("one-hot", as in most other work); targets (B, T) int64; the head gives 10 logits at every step,
    (B, T, 10). `loss` is the cross-entropy in nats, a mean over all T steps; `recall` is the share of the last 10
    steps whose digit is right.

    Floors: blanks for sure, then any of the 8 digits, costs 10 ln 8 / T nats and recalls 1/8. Accuracy over all
    steps is not reported: silence alone has 99 % of it. Solved at a recall of 0.99.

    Options: `train`, `valid` and `test` are numbers of examples. Training and validation examples are drawn anew for
    every seed, the test examples never; the digits do not depend on the delay.

    >>> task = Task(delay=3)
    >>> (digits,) = task.examples(seed=1, split="train", start=0, count=1)
    >>> digits.tolist()
    [[1, 1, 2, 4, 8, 6, 2, 2, 5, 2]]
    >>> inputs, targets, *_ = task.present(torch.from_numpy(digits))
    >>> inputs[0, :, 0].int().tolist()
    [1, 1, 2, 4, 8, 6, 2, 2, 5, 2, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]
    >>> targets[0].tolist()
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 4, 8, 6, 2, 2, 5, 2]
    """

    version: ClassVar[int] = 1
    variant: ClassVar[tuple[str, ...]] = ("delay",)
    length_option: ClassVar[str | None] = "delay"  # a sequence has `delay` + 20 steps
    variants: ClassVar[tuple[str, ...]] = (
        "copy-memory(delay=500)",
        "copy-memory(delay=1000)",
        "copy-memory(delay=2000)",
        "copy-memory(delay=1000, coding=one-hot)",
    )
    source: ClassVar[str] = "Arjovsky, Shah & Bengio 2016"
    published_validation: ClassVar[bool] = False
    test_parameters: ClassVar[dict[str, Any]] = {"delay": 5, "train": 64, "valid": 32, "test": 32}

    delay: int = 1000
    coding: Literal["scalar", "one-hot"] = "scalar"
    train: int = 10_000
    valid: int = 1_000
    test: int = 1_000

    def __post_init__(self) -> None:
        require_range("copy-memory", "delay", self.delay, 1)
        require_choice("copy-memory", "coding", self.coding, ("scalar", "one-hot"))
        for split in ("train", "valid", "test"):
            require_range("copy-memory", split, getattr(self, split), 1)

    @property
    def input(self) -> base.Continuous:
        return base.Continuous(1 if self.coding == "scalar" else VOCABULARY)

    @property
    def outputs(self) -> int:
        return VOCABULARY

    @property
    def reads(self) -> None:
        return None

    @property
    def steps(self) -> int:
        return self.delay + 2 * MEMORY

    @property
    def metrics(self) -> tuple[base.Metric, ...]:
        chance = MEMORY * math.log(SYMBOLS) / self.steps
        return (
            # It falls to 0 when the task is solved, a few steps sooner or later: two machines differ by factors.
            base.Metric("loss", "nats", "lower", floor=chance, kind="likelihood", tolerance=0.75),
            base.Metric("recall", "", "higher", floor=1 / SYMBOLS, solved_at=0.99, kind="share"),
        )

    def examples(self, seed: int, split: str, start: int, count: int, threads: int = 1) -> tuple[NDArray[np.uint8]]:
        """Examples `start`, …, `start` + `count` - 1 of a split: their digits, (count, 10) uint8.

        A pure function of its arguments, and of `threads` not even that: they change the speed only. `start` and
        `count` may go beyond the number of examples that the task declares. Raises ValueError for an unknown split.
        """
        key = _random.split_stream("copy-memory", split, "digits", seed)
        return (_random.integers(key, start, count, MEMORY, 1, SYMBOLS + 1, threads),)

    def present(self, digits: Tensor) -> base.Batch:
        """The batch of digits (B, 10)."""
        targets = digits.new_zeros((len(digits), self.steps), dtype=torch.int64)  # (B, T)
        targets[:, -MEMORY:] = digits
        inputs = digits.new_zeros((len(digits), self.steps, self.input.channels), dtype=torch.float32)  # (B, T, C)
        if self.coding == "scalar":
            inputs[:, :MEMORY, 0] = digits
            inputs[:, -MEMORY - 1 :] = CUE
        else:
            # a comparison, because F.one_hot looks at the values and so waits for a GPU
            every = torch.arange(VOCABULARY, dtype=torch.uint8, device=digits.device)
            inputs[:, :MEMORY] = digits.unsqueeze(2) == every
            inputs[:, MEMORY : -MEMORY - 1, 0] = 1
            inputs[:, -MEMORY - 1 :, CUE] = 1
        return base.Batch(inputs, targets)

    def load(self, seed: int) -> base.Splits:
        def split(name: str, count: int) -> base.Split:
            (digits,) = self.examples(seed, name, 0, count)
            return base.Examples(torch.from_numpy(digits), present=self.present)

        return base.Splits(split("train", self.train), split("valid", self.valid), split("test", self.test))

    def loss(self, outputs: Tensor, batch: base.Batch) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten())

    def totals(self, outputs: Tensor, batch: base.Batch) -> base.Totals:
        loss = F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten(), reduction="sum")
        answer = batch.targets[:, -MEMORY:]
        recalled = (outputs[:, -MEMORY:].argmax(2) == answer).sum()
        return {"loss": (loss, batch.targets.numel()), "recall": (recalled, answer.numel())}
