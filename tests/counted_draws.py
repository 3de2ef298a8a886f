"""A second implementation of the random numbers, in Python's whole numbers, and a hash of arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

MASK = (1 << 64) - 1


def splitmix64(state: int) -> Iterator[int]:
    """SplitMix64 in Python's whole numbers, one state after the other as its authors wrote it."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        mixed = state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        yield mixed ^ (mixed >> 31)


def example_draws(name: str, index: int) -> Iterator[int]:
    """The draws of one example of a stream."""
    keys = splitmix64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    for _ in range(index):
        next(keys)
    return splitmix64(next(keys))


def below(draws: Iterator[int], bound: int) -> int:
    """An exactly uniform number: of the 2**32 high halves, the last 2**32 % bound of each value's share are refused."""
    while True:
        high = next(draws) >> 32
        if (high * bound) % (1 << 32) >= (1 << 32) % bound:
            return high * bound >> 32


def chosen(draws: Iterator[int], size: int, weights: Sequence[int]) -> list[int]:
    """Distinct indices, each drawn among those that are left in proportion to its weight."""
    left, found = [*weights], []
    for _ in range(size):
        number = below(draws, sum(left))
        ends = np.cumsum(left).tolist()
        found.append(next(index for index, end in enumerate(ends) if number < end))
        left[found[-1]] = 0
    return found


def digest(*columns: np.ndarray) -> str:
    joined = hashlib.sha256()
    for column in columns:
        joined.update(str((column.dtype.str, column.shape)).encode() + column.tobytes())
    return joined.hexdigest()[:16]
