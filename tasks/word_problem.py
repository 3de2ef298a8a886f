"""The word problem of a finite group: the product of all elements so far."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from . import _automata
from ._options import require_choice

GROUPS = ("Z60", "A5", "S5")


@lru_cache
def table(group: str) -> NDArray[np.uint8]:
    """The products of a group's elements: entry (a, b) is a · b, (order, order) uint8; element 0 changes nothing.

    >>> table("Z60")[59, 2].item(), table("S5").shape  # 59 + 2 = 1 modulo 60
    (1, (120, 120))
    """
    if group == "Z60":
        return np.add.outer(np.arange(60), np.arange(60)).astype(np.uint8) % 60
    elements = np.array(permutations(even=group == "A5"))  # (order, 5)
    products = elements[np.arange(len(elements))[None, :, None], elements[:, None, :]]  # (a · b)(i) = b(a(i))
    places = 5 ** np.arange(5)
    number = np.zeros(5**5, np.uint8)
    number[elements @ places] = np.arange(len(elements))
    return number[products @ places]


def permutations(even: bool) -> list[tuple[int, ...]]:
    """The permutations of 0, …, 4 in lexicographic order, all 120 or the 60 even ones; p takes i to p[i].

    >>> permutations(even=True)[:3]
    [(0, 1, 2, 3, 4), (0, 1, 3, 4, 2), (0, 1, 4, 2, 3)]
    """

    def inversions(permutation: tuple[int, ...]) -> int:
        return sum(before > after for before, after in itertools.combinations(permutation, 2))

    return [one for one in itertools.permutations(range(5)) if not even or inversions(one) % 2 == 0]


@lru_cache
def automaton_of(group: str) -> _automata.Automaton:
    """The machine whose state is the product so far."""
    products = table(group)
    return _automata.Automaton(products, np.arange(len(products), dtype=np.uint8), {"elements": (0, len(products))})


@dataclass(frozen=True)
class Task(_automata.Recognition):
    """Name the product of all elements of a finite group so far, at lengths never trained.

    Merrill, Petty & Sabharwal 2024, "The illusion of state in state-space models" (arXiv:2404.08819). A string is of
    the group's elements, each as likely; after each of them the product of the prefix is asked for. Training strings
    have `shortest` to `longest` elements, each length as likely, those of validation and test `length`.

    `group`: "Z60", the whole numbers modulo 60 under addition, element k the number k; "A5" and "S5", the 60 even and
    all 120 permutations of five things in lexicographic order. Products go from left to right: x_1 · x_2 · … first does
    what x_1 does, then x_2, so that (a · b)(i) = b(a(i)). Element 0 is the identity.

    All three need as much memory as one element. Z60 is a solvable group, A5 and S5 are not: no linear recurrence with
    a diagonal matrix and no Transformer of fixed depth names their products at every length (under the usual
    conjecture TC0 ≠ NC1; see the paper).

    Shapes: inputs (B, T) int64, T the longest of the batch; targets (B, T) int64; logits (B, T, O) with O the order of
    the group. `accuracy` is the share of right answers in per cent, `sequences` that of strings without a wrong one.

    Floor: every product is as likely, 1 / order: 1.67 % (S5: 0.83 %). Solved at 99 %.

    >>> task = Task(group="S5", length=3)
    >>> symbols, lengths = task.examples(seed=1, split="test", start=0, count=1)
    >>> symbols.tolist(), task.automaton.read(symbols).tolist()
    ([[66, 91, 15]], [[66, 3, 16]])
    """

    name: ClassVar[str] = "word-problem"
    version: ClassVar[int] = 1
    variant: ClassVar[tuple[str, ...]] = ("group",)
    variants: ClassVar[tuple[str, ...]] = (
        "word-problem(group=Z60)",
        "word-problem(group=A5)",
        "word-problem(group=S5)",
    )
    length_option: ClassVar[str | None] = "length"
    source: ClassVar[str] = "Merrill, Petty & Sabharwal 2024"
    test_parameters: ClassVar[dict[str, Any]] = {"longest": 8, "length": 12, "train": 64, "valid": 32, "test": 32}

    group: Literal["Z60", "A5", "S5"] = "Z60"
    shortest: int = 2
    longest: int = 32
    length: int = 256
    train: int = 20_000
    valid: int = 500
    test: int = 1_000

    def __post_init__(self) -> None:
        require_choice("word-problem", "group", self.group, GROUPS)
        self.require_options()

    @property
    def target(self) -> Literal["end", "prefixes"]:  # type: ignore[override]  # an option of the other tasks
        return "prefixes"

    @property
    def automaton(self) -> _automata.Automaton:
        return automaton_of(self.group)
