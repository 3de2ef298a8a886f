"""Even pairs: whether a string changes its symbol an even number of times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from . import _automata

AUTOMATON = _automata.Automaton(
    # Before the first symbol, then with 0…0, 0…1, 1…0 and 1…1 as the first and the last symbol.
    following=np.array([[1, 4], [1, 2], [1, 2], [3, 4], [3, 4]], np.uint8),
    answers=np.array([1, 1, 0, 0, 1], np.uint8),
    alphabets={"bits": (0, 2)},
)


@dataclass(frozen=True)
class Task(_automata.FormalLanguage):
    """Say whether a string has an even number of unequal neighbours, at lengths never trained.

    Delétang et al. 2023, "Neural networks and the Chomsky hierarchy" (arXiv:2207.02098), `even pairs`: whether 01 and
    10 occur an even number of times together. That is so where the first symbol equals the last. Strings of zeros and
    ones, each as likely. Training strings have `shortest` to `longest` symbols, each length as likely, those of
    validation and test `length`.

    `target` stands in the id: "end" asks once, after the last symbol, as in the paper; "prefixes" after every symbol.

    Shapes: inputs (B, T) int64, T the longest of the batch; targets (B, 1) or (B, T) int64, 1 for even; logits
    (B, 1, 2) at each string's last step, or (B, T, 2). `accuracy` is the share of right answers in per cent,
    `sequences` that of strings without a wrong one.

    Floor: 50 %. After every prefix a little more, because a single symbol is always even: 50 + 50 / `length` %. Solved
    at 99 %.

    >>> task = Task(target="prefixes", length=8)
    >>> symbols, lengths = task.examples(seed=1, split="test", start=0, count=1)
    >>> symbols.tolist(), task.automaton.read(symbols).tolist()
    ([[1, 0, 1, 1, 0, 1, 0, 1]], [[1, 0, 1, 1, 0, 1, 0, 1]])
    >>> task.metrics[0].floor
    56.25
    """

    name: ClassVar[str] = "even-pairs"
    version: ClassVar[int] = 1
    variants: ClassVar[tuple[str, ...]] = ("even-pairs(target=end)", "even-pairs(target=prefixes)")
    source: ClassVar[str] = "Delétang et al. 2023"

    @property
    def automaton(self) -> _automata.Automaton:
        return AUTOMATON
