"""A share of an experiment's runs, for job arrays: element 3 of 16 trains what no other element does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import UsageError


@dataclass(frozen=True)
class Shard:
    """Share `number` (from 1) of `count` shares. Raises UsageError where there is no such share."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise UsageError(f"--shard {self}: the shards are 1/{self.count} to {self.count}/{self.count}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """The folder of its rows within the working area, such as `shard-3-of-16`."""
        return f"shard-{self.number}-of-{self.count}"

    def ids(self, runs: Iterable[str]) -> frozenset[str]:
        """The ids of its runs, of those of a whole experiment in any order.

        The shares of all shards are disjoint, together they are all runs, and their sizes differ by one at most. Ids
        are dealt in their alphabetical order: they are hashes, so no share has only the slow models.

        >>> sorted(Shard(1, 2).ids(["c0", "a7", "b2"]))
        ['a7', 'c0']
        """
        return frozenset(sorted({*runs})[self.number - 1 :: self.count])


def parse(text: str) -> Shard:
    """The shard that `3/16` names. Raises UsageError for another text."""
    found = re.fullmatch(r"([0-9]{1,6})/([1-9][0-9]{0,5})", text)
    if found is None:
        raise UsageError(f"--shard {text[:20]}: a number of how many is needed, such as 3/16")
    return Shard(int(found[1]), int(found[2]))
