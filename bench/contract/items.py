"""One thing that the contract asks, what was found, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..experiments.user_code import described

Verdict = Literal["kept", "broken", "remark", "not asked"]


@dataclass(frozen=True)
class Item:
    """What was found of one thing that the contract asks.

    verdict: a `remark` is nothing that must be mended; `not asked`: the contract asks nothing of this model or task.
    remedy: what to do; empty where there is nothing to do.
    """

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.found}" + (f"; {self.remedy}" if self.remedy else "")


class Broken(Exception):
    """The contract is not kept. The arguments are what was found, and what to do."""

    def __init__(self, found: str, remedy: str = "") -> None:
        super().__init__(found)
        self.found, self.remedy = found, remedy


Answer = str | tuple[Verdict, str, str]
"""What an item's function gives where the contract is kept: what was found; or the verdict, that, and the remedy."""


def items_of(*asked: tuple[str, Callable[[], Answer]]) -> Iterator[Item]:
    """Each item in its turn; whatever goes wrong within one is its finding, and the others go on."""
    for name, ask in asked:
        try:
            answer = ask()
        except Broken as broken:
            yield Item(name, "broken", broken.found, broken.remedy)
        except Exception as error:  # whatever a user's model or task does wrong
            yield Item(name, "broken", described(error))
        else:
            verdict, found, remedy = ("kept", answer, "") if isinstance(answer, str) else answer
            yield Item(name, verdict, found, remedy)
