"""Parity: whether the ones of a string are odd in number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from . import _automata

AUTOMATON = _automata.Automaton(
    following=np.array([[0, 1], [1, 0]], np.uint8),  # after an even and an odd number of ones
    answers=np.array([0, 1], np.uint8),
    alphabets={"bits": (0, 2)},
)


@dataclass(frozen=True)
class Task(_automata.FormalLanguage):
    """Say whether the ones of a string are odd in number, at lengths never trained.

    Delétang et al. 2023, "Neural networks and the Chomsky hierarchy" (arXiv:2207.02098), `parity check`. Strings of
    zeros and ones, each as likely. Training strings have `shortest` to `longest` symbols, each length as likely, those
    of validation and test `length`: so the best epoch is chosen, and an answer is judged, where nothing was trained.

    The literature has two tasks of this name, which differ by far in how soon they are learned, so `target` stands in
    the id: "end" asks once, after the last symbol, as in the paper; "prefixes" asks after every symbol.

    Shapes: inputs (B, T) int64, T the longest of the batch; targets (B, 1) or (B, T) int64, 1 for odd; logits (B, 1, 2)
    at each string's last step, or (B, T, 2). `accuracy` is the share of right answers in per cent, `sequences` that of
    strings without a wrong one.

    Floor: 50 %, after any number of symbols both answers are as likely. Solved at 99 %.

    >>> task = Task(target="prefixes", length=6)
    >>> symbols, lengths = task.examples(seed=1, split="test", start=0, count=1)
    >>> symbols.tolist(), task.automaton.read(symbols).tolist()
    ([[0, 0, 1, 1, 0, 1]], [[0, 0, 1, 0, 0, 1]])
    """

    name: ClassVar[str] = "parity"
    version: ClassVar[int] = 1
    variants: ClassVar[tuple[str, ...]] = ("parity(target=end)", "parity(target=prefixes)")
    source: ClassVar[str] = "Delétang et al. 2023"

    @property
    def automaton(self) -> _automata.Automaton:
        return AUTOMATON
