"""What `seqbench check` finds of one model on one task, or of one task, as tests ask for it."""

from __future__ import annotations

from seqbench.bench.contract import fitting
from seqbench.bench.contract.items import Item

SMALL_PAIRS = "reverse(alphabet=4, longest=4, length=4, train=32, valid=8, test=8)"
SMALL = "copy-memory(delay=3, train=32, valid=8, test=8)"


def items(name: str, *tasks: str) -> dict[str, Item]:
    """The items of a model on one task, or of a task, by name; a model's speed is not measured."""
    (subject,) = fitting.check(name, tasks, speed=False)
    return {item.name: item for item in subject.items}


def broken(found: dict[str, Item]) -> set[str]:
    """The names of those that are broken."""
    return {name for name, item in found.items() if item.verdict == "broken"}
