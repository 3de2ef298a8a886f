"""Sorting: write numbers in increasing order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from . import _pairs, _random
from ._options import require_range


@dataclass(frozen=True)
class Task(_pairs.PairTask):
    """Write numbers in increasing order; each number is one symbol.

    Vinyals, Bengio & Kudlur 2016, "Order matters: sequence to sequence for sets" (arXiv:1511.06391), section 4.2, sort
    floats with pointers; here numbers are symbols, as in courses. What is to be written next depends on all of the
    source and on what was written before.

        source    31 4 15 4
        target    4 4 15 31 END

    Training sources have `shortest` to `longest` numbers, each many as likely, those of validation and test `length`.
    Each number is drawn from 0 … `values` - 1, each as likely, and may come again.

    Shapes: source (B, S) int64, S the longest of the batch; targets (B, S + 1). The metrics are explained at
    `_pairs.PairTask`.

    >>> task = Task(length=5)
    >>> sources, targets = task.examples(seed=1, split="test", start=0, count=1)
    >>> " ".join(task.symbols()[one] for one in sources[0]), task.decode(targets[0])
    ('45 38 3 14 41', '3 14 38 41 45')
    """

    name: ClassVar[str] = "sort"
    version: ClassVar[int] = 1
    variants: ClassVar[tuple[str, ...]] = ("sort(length=15)",)
    source: ClassVar[str] = "after Vinyals, Bengio & Kudlur 2016"
    separator: ClassVar[str] = " "
    test_parameters: ClassVar[dict[str, Any]] = {
        **{"shortest": 2, "longest": 5, "length": 5, "values": 6},
        **{"train": 64, "valid": 32, "test": 32},
    }

    shortest: int = 5
    longest: int = 15
    length: int = 15
    values: int = 50

    def __post_init__(self) -> None:
        self.require_options()
        require_range(self.name, "values", self.values, 2, 1000)

    @cached_property
    def source_symbols(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.values)))

    def examples(self, seed: int, split: str, start: int, count: int, threads: int = 1) -> _pairs.Made:
        lengths = self.lengths_of(split, seed, start, count, threads)  # (N, 1)
        size = self.longest if split == "train" else self.length
        key = _random.split_stream(self.name, split, "numbers", seed)
        numbers = _random.integers(key, start, count, size, 0, self.values, threads).astype(np.int16)
        inside = np.arange(size) < lengths
        ordered = np.sort(np.where(inside, numbers, np.int16(self.values)), axis=1)  # what pads goes behind
        sources: _pairs.Ids = np.where(inside, numbers + np.int16(1), np.int16(_pairs.PAD))
        return sources, _pairs.with_end(ordered + _pairs.SPECIAL, lengths[:, 0])
