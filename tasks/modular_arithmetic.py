"""Modular arithmetic: the value of a sum of products modulo five."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from . import _automata

MODULUS = 5
PLUS, MINUS, TIMES = 5, 6, 7  # the symbols after the digits 0, …, 4


def _automaton() -> _automata.Automaton:
    """States 0 … 24: after a digit, with the sum s of the terms before and the value p of the last one, 5 s + p.

    25 … 29: after a plus, with s. 30 … 34: after a minus, with s. 35 … 59: after a times, with s and p as above. A
    symbol that cannot follow changes nothing; there is none.
    """
    following = np.repeat(np.arange(60, dtype=np.uint8)[:, None], 8, axis=1)
    digits = np.arange(MODULUS)
    for total in range(MODULUS):
        following[25 + total, :MODULUS] = 5 * total + digits
        following[30 + total, :MODULUS] = 5 * total + -digits % MODULUS
        for term in range(MODULUS):
            state, value = 5 * total + term, (total + term) % MODULUS
            following[35 + state, :MODULUS] = 5 * total + term * digits % MODULUS
            following[state, [PLUS, MINUS, TIMES]] = 25 + value, 30 + value, 35 + state
    answers = np.zeros(60, np.uint8)
    answers[:25] = (digits[:, None] + digits).ravel() % MODULUS
    return _automata.Automaton(following, answers, {"digits": (0, 5), "operators": (5, 8)}, start=25)


AUTOMATON = _automaton()


@dataclass(frozen=True)
class Task(_automata.FormalLanguage):
    """Say what an expression of digits is modulo five, without brackets and at lengths never trained.

    Delétang et al. 2023, "Neural networks and the Chomsky hierarchy" (arXiv:2207.02098), `modular arithmetic (simple)`.
    Digits 0, …, 4 alternate with the operators +, - and x (symbols 5, 6, 7), each as likely; x binds before + and -. So
    strings have odd lengths, and an even number means one less. Training strings have `shortest` to `longest` symbols,
    each odd length as likely, those of validation and test `length`.

    `target` stands in the id: "end" asks once, after the last digit, as in the paper; "prefixes" after every digit.

    Shapes: inputs (B, T) int64, T the longest of the batch; targets (B, 1) or (B, T) int64, the value; logits (B, 1, 5)
    at each string's last step, or (B, T, 5) with a mask that is true at the digits. `accuracy` is the share of right
    answers in per cent, `sequences` that of strings without a wrong one.

    Floor: products are often 0, so this value is likeliest; after many digits hardly so: 20 % at the end of 255
    symbols, 20.1 % over all its prefixes. Solved at 99 %.

    >>> task = Task(target="prefixes", length=9)
    >>> symbols, lengths = task.examples(seed=1, split="test", start=0, count=1)
    >>> symbols.tolist(), task.automaton.read(symbols)[:, ::2].tolist()  # 4 + 4 x 1 x 1 + 2
    ([[4, 5, 4, 7, 1, 7, 1, 5, 2]], [[4, 3, 3, 3, 0]])
    """

    name: ClassVar[str] = "modular-arithmetic"
    version: ClassVar[int] = 1
    variants: ClassVar[tuple[str, ...]] = ("modular-arithmetic(target=end)", "modular-arithmetic(target=prefixes)")
    source: ClassVar[str] = "Delétang et al. 2023"
    test_parameters: ClassVar[dict[str, Any]] = {"longest": 9, "length": 13, "train": 64, "valid": 32, "test": 32}

    @property
    def automaton(self) -> _automata.Automaton:
        return AUTOMATON
