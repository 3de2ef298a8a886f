"""Reversal: write a string backwards."""

from __future__ import annotations

import string
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from . import _pairs, _random
from ._options import require_range


@dataclass(frozen=True)
class Task(_pairs.PairTask):
    """Write a string of letters backwards.

    The task with which courses show why a decoder wants attention: a recurrent encoder has to keep the whole string in
    one vector (Cho et al. 2014), attention looks each letter up (Bahdanau et al. 2015), and its map is the diagonal
    from corner to corner.

        source    s e q
        target    q e s END

    Training strings have `shortest` to `longest` letters, each length as likely, those of validation and test `length`;
    `at_length` judges beyond what was trained. Each letter is drawn from the first `alphabet` of a … z, each as likely.

    Shapes: source (B, S) int64, S the longest of the batch; targets (B, S + 1). The metrics are explained at
    `_pairs.PairTask`.

    >>> task = Task(length=5, alphabet=4)
    >>> sources, targets = task.examples(seed=1, split="test", start=1, count=1)
    >>> "".join(task.symbols()[one] for one in sources[0]), task.decode(targets[0])
    ('cbacc', 'ccabc')
    """

    name: ClassVar[str] = "reverse"
    version: ClassVar[int] = 1
    variants: ClassVar[tuple[str, ...]] = ("reverse(length=20)",)
    source: ClassVar[str] = "after Sutskever, Vinyals & Le 2014 and Bahdanau, Cho & Bengio 2015"
    test_parameters: ClassVar[dict[str, Any]] = {
        **{"longest": 5, "length": 5, "alphabet": 4},
        **{"train": 64, "valid": 32, "test": 32},
    }

    alphabet: int = 26

    def __post_init__(self) -> None:
        self.require_options()
        require_range(self.name, "alphabet", self.alphabet, 2, 26)

    @cached_property
    def source_symbols(self) -> tuple[str, ...]:
        return tuple(string.ascii_lowercase[: self.alphabet])

    def examples(self, seed: int, split: str, start: int, count: int, threads: int = 1) -> _pairs.Made:
        lengths = self.lengths_of(split, seed, start, count, threads)  # (N, 1)
        size = self.longest if split == "train" else self.length
        key = _random.split_stream(self.name, split, "letters", seed)
        letters = _random.integers(key, start, count, size, 0, self.alphabet, threads).astype(np.int16)
        steps = np.arange(size)
        backwards = np.take_along_axis(letters, np.maximum(lengths - 1 - steps, 0), 1)
        sources: _pairs.Ids = np.where(steps < lengths, letters + np.int16(1), np.int16(_pairs.PAD))
        return sources, _pairs.with_end(backwards + _pairs.SPECIAL, lengths[:, 0])
