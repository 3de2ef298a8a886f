"""Addition of written numbers: "12+345" to "357", digit by digit."""

from __future__ import annotations

import string
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from . import _pairs, _random
from ._options import require_range

MOST_DIGITS = 17  # the sum of two such numbers fits into 64 bits


@dataclass(frozen=True)
class Task(_pairs.PairTask):
    """Add two numbers that are written in digits, and write the sum.

    Not the task `adding`, where two marked real numbers of a long sequence are summed up and the answer is a number:
    here source and target are texts. Zaremba & Sutskever 2014, "Learning to execute" (arXiv:1410.4615), section 4, with
    numbers of differing length as courses have it.

        source    1 2 + 3 4 5
        target    3 5 7 END

    In training each number has `shortest` to `longest` digits, each as likely, in validation and test both have
    `length`; no number begins with 0 but 0 itself. `backwards` writes the source from its end ("543+21"), as their
    section 5 does with good effect. Short numbers are few: of one digit there are 100 pairs, of two 8,100, so that
    there test pairs were trained; of three digits 0.3 % were, of more none to speak of.

    Shapes: source (B, S) int64; targets (B, T), S and T the longest of the batch. The metrics are explained at
    `_pairs.PairTask`.

    >>> task = Task(length=3)
    >>> sources, targets = task.examples(seed=1, split="test", start=0, count=1)
    >>> "".join(task.symbols()[one] for one in sources[0]), task.decode(targets[0])
    ('705+642', '1347')
    """

    name: ClassVar[str] = "addition"
    version: ClassVar[int] = 1
    variants: ClassVar[tuple[str, ...]] = ("addition(length=3)", "addition(length=3, backwards=true)")
    source: ClassVar[str] = "Zaremba & Sutskever 2014"
    test_parameters: ClassVar[dict[str, Any]] = {
        **{"longest": 2, "length": 2},
        **{"train": 64, "valid": 32, "test": 32},
    }

    longest: int = 3
    length: int = 3
    backwards: bool = False

    def __post_init__(self) -> None:
        self.require_options()
        for option in ("longest", "length"):
            require_range(self.name, option, getattr(self, option), 1, MOST_DIGITS)

    @cached_property
    def source_symbols(self) -> tuple[str, ...]:
        return ("+", *string.digits)

    @cached_property
    def target_symbols(self) -> tuple[str, ...]:
        return tuple(string.digits)

    def most_symbols(self, length: int) -> tuple[int, int]:
        return 2 * length + 1, length + 2

    def numbers(self, seed: int, split: str, start: int, count: int, threads: int = 1) -> Any:
        """The two numbers of each pair, (count, 2) int64."""
        digits_of = self.lengths_of(split, seed, start, count, threads, columns=2)  # (N, 2)
        size = self.longest if split == "train" else self.length
        drawn = {
            column: _random.integers(
                _random.split_stream(self.name, split, column, seed), start, count, width, low, 10, threads
            ).astype(np.int64)
            for column, width, low in (("digits", 2 * size, 0), ("leading", 2, 1))
        }
        digits = drawn["digits"].reshape(count, 2, size)  # from the last digit to the first
        places = np.arange(size)
        leading = (places == digits_of[:, :, None] - 1) & (digits_of[:, :, None] > 1)
        digits = np.where(leading, drawn["leading"][:, :, None], digits)
        return (np.where(places < digits_of[:, :, None], digits, 0) * 10**places).sum(2)

    def examples(self, seed: int, split: str, start: int, count: int, threads: int = 1) -> _pairs.Made:
        numbers = self.numbers(seed, split, start, count, threads).tolist()
        sources = [f"{first}+{second}" for first, second in numbers]
        if self.backwards:
            sources = [text[::-1] for text in sources]
        answers = [str(first + second) for first, second in numbers]
        targets = _pairs.spelled(answers, self.target_symbols, _pairs.SPECIAL)
        lengths = np.array([len(text) for text in answers])
        return _pairs.spelled(sources, self.source_symbols, 1), _pairs.with_end(targets, lengths)
