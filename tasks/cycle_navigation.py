"""Cycle navigation: where a walk on a ring of five places has ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from . import _automata

PLACES = 5
AUTOMATON = _automata.Automaton(
    following=((np.arange(PLACES)[:, None] + np.array([-1, 0, 1])) % PLACES).astype(np.uint8),
    answers=np.arange(PLACES, dtype=np.uint8),
    alphabets={"moves": (0, 3)},
)


@dataclass(frozen=True)
class Task(_automata.FormalLanguage):
    """Say where a walk on a ring of five places has ended, at lengths never trained.

    Delétang et al. 2023, "Neural networks and the Chomsky hierarchy" (arXiv:2207.02098), `cycle navigation`. The walk
    starts at place 0; the symbols 0, 1 and 2, each as likely, move it by -1, 0 and +1. Training strings have `shortest`
    to `longest` symbols, each length as likely, those of validation and test `length`.

    `target` stands in the id: "end" asks once, after the last symbol, as in the paper; "prefixes" after every symbol.

    Shapes: inputs (B, T) int64, T the longest of the batch; targets (B, 1) or (B, T) int64, the place; logits (B, 1, 5)
    at each string's last step, or (B, T, 5). `accuracy` is the share of right answers in per cent, `sequences` that of
    strings without a wrong one.

    Floor: place 0 is likeliest after any number of moves, after many hardly so: 20 % at the end of 256; 20.2 % over all
    its prefixes. Solved at 99 %.

    >>> task = Task(target="prefixes", length=8)
    >>> symbols, lengths = task.examples(seed=1, split="test", start=0, count=1)
    >>> symbols.tolist(), task.automaton.read(symbols).tolist()
    ([[0, 0, 1, 1, 2, 2, 1, 2]], [[4, 3, 3, 3, 4, 0, 0, 1]])
    """

    name: ClassVar[str] = "cycle-navigation"
    version: ClassVar[int] = 1
    variants: ClassVar[tuple[str, ...]] = ("cycle-navigation(target=end)", "cycle-navigation(target=prefixes)")
    source: ClassVar[str] = "Delétang et al. 2023"

    @property
    def automaton(self) -> _automata.Automaton:
        return AUTOMATON
