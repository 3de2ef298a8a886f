"""Multi-query associative recall: give back the values that were shown with keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import _random, base
from ._answers import Answers
from ._options import require_choice, require_range

POWER = 0.01  # of the power law of the distances
BLANK = 0


@dataclass(frozen=True)
class Task(Answers):
    """Give back the values that were shown with `pairs` keys, each when its key is shown again.

    Arora et al. 2024, "Zoology: measuring and improving recall in efficient language models" (arXiv:2312.04927), the
    task MQAR. Of V = `vocabulary` symbols 0 is the blank, the others below V / 2 are keys, those from V / 2 on values.
    The first 2 n steps show n = `pairs` keys, all different, each followed by its value, all different too. Afterwards
    each key stands once more, at an even distance, and at this step its value is asked for. The n places are drawn from
    the (T - 2 n) / 2 even ones without putting back: the g-th is drawn in proportion to g^(a - 1) with a = 0.01, so
    most keys return soon. With two pairs of 1, … and 8, … of V = 16:

        input    3 9 5 8 5 0 0 0 3 0
        answer           8       9

    Small by default: V = 256, T = `length` = 64, n = 8. The paper has V = 8192, with (T, n) of (64, 4), (128, 8),
    (256, 16) and (512, 64): there nearly all parameters are of the embedding.

    `filler` says what the other steps show: "blank" (as in the paper's second figure) or "random", any symbol (the
    default of the published code).

    Shapes: inputs (B, T) int64; targets (B, n) int64 in the order of time; logits (B, n, V) at the steps where a key
    returns. `accuracy` is the share of right values in per cent, `sequences` that of sequences without a wrong one.

    Floor: a guess among the V / 2 values, 0.78 % of 128. Solved at 99 %.

    >>> task = Task(vocabulary=16, length=10, pairs=2)
    >>> batch = task.load(1).test.batch(torch.tensor([0]))
    >>> batch.inputs.tolist(), batch.reads.tolist(), batch.targets.tolist()
    ([[3, 14, 5, 10, 5, 0, 3, 0, 0, 0]], [[4, 6]], [[10, 14]])
    """

    version: ClassVar[int] = 1
    variant: ClassVar[tuple[str, ...]] = ("vocabulary", "length", "pairs")
    variants: ClassVar[tuple[str, ...]] = (
        "associative-recall(vocabulary=256, length=64, pairs=8)",
        "associative-recall(vocabulary=8192, length=64, pairs=4)",
        "associative-recall(vocabulary=8192, length=256, pairs=16)",
    )
    length_option: ClassVar[str | None] = "length"
    source: ClassVar[str] = "Arora et al. 2024"
    test_parameters: ClassVar[dict[str, Any]] = {
        **{"vocabulary": 12, "length": 12, "pairs": 3},
        **{"train": 64, "valid": 32, "test": 32},
    }

    vocabulary: int = 256
    length: int = 64
    pairs: int = 8
    filler: Literal["blank", "random"] = "blank"
    train: int = 20_000
    valid: int = 500
    test: int = 1_000

    def __post_init__(self) -> None:
        require_range("associative-recall", "pairs", self.pairs, 1)
        require_range("associative-recall", "vocabulary", self.vocabulary, 2 * self.pairs + 2)
        require_range("associative-recall", "length", self.length, 4 * self.pairs)
        if self.vocabulary % 2:
            raise ValueError(f"associative-recall: vocabulary must be even, got {self.vocabulary}")
        require_choice("associative-recall", "filler", self.filler, ("blank", "random"))
        for split in ("train", "valid", "test"):
            require_range("associative-recall", split, getattr(self, split), 1)

    @property
    def input(self) -> base.Tokens:
        return base.Tokens(self.vocabulary)

    @property
    def outputs(self) -> int:
        return self.vocabulary

    @property
    def reads(self) -> None:
        return None  # the batch names the steps

    @property
    def steps(self) -> int:
        return self.length

    @property
    def floor(self) -> float:
        return 2 / self.vocabulary

    def examples(
        self, seed: int, split: str, start: int, count: int, threads: int = 1
    ) -> tuple[NDArray[Any], NDArray[np.int16], NDArray[np.int32]]:
        """Examples `start`, …, `start` + `count` - 1 of a split: what fills the steps (count, T), the keys and values
        (count, 2, n) int16, and the steps at which the keys return, (count, n) int32.

        A pure function of its arguments, and of `threads` not even that: they change the speed only. `start` and
        `count` may go beyond the number of examples that the task declares. Raises ValueError for an unknown split.
        """

        def key(column: str) -> np.uint64:
            return _random.split_stream("associative-recall", split, column, seed)

        def chosen(column: str, weights: NDArray[np.int64]) -> NDArray[np.int32]:
            return _random.chosen(key(column), start, count, self.pairs, weights.tolist(), threads)

        half = self.vocabulary // 2
        keys = 1 + chosen("keys", np.ones(half - 1, np.int64))
        values = half + chosen("values", np.ones(half, np.int64))
        # Whole numbers, because what is drawn must not depend on the last bits of a machine's powers.
        distances = np.arange(1, self.length // 2 - self.pairs + 1)
        law = np.floor(2.0**20 * distances ** (POWER - 1)).astype(np.int64)
        returns = 2 * (self.pairs + chosen("returns", law))
        filling = np.full((count, self.length), BLANK, np.uint8)
        if self.filler == "random":
            filling = _random.integers(key("filler"), start, count, self.length, 0, self.vocabulary, threads)
        return filling, np.stack([keys, values], 1).astype(np.int16), returns

    def present(self, filling: Tensor, pairs: Tensor, returns: Tensor) -> base.Batch:
        """The batch of what fills the steps (B, T), keys and values (B, 2, n), and where the keys return (B, n)."""
        inputs, pairs = filling.long(), pairs.long()
        inputs[:, : 2 * self.pairs] = pairs.transpose(1, 2).flatten(1)  # key, value, key, value, …
        inputs.scatter_(1, returns.long(), pairs[:, 0])
        reads, order = returns.long().sort(1)
        return base.Batch(inputs, pairs[:, 1].gather(1, order), reads=reads)

    def load(self, seed: int) -> base.Splits:
        def split(name: str, count: int) -> base.Split:
            return base.Examples(*map(torch.from_numpy, self.examples(seed, name, 0, count)), present=self.present)

        return base.Splits(split("train", self.train), split("valid", self.valid), split("test", self.test))
