"""To which lengths sequences of differing length are padded on a GPU, where each length costs a graph."""

from __future__ import annotations

from bisect import bisect_left

from torch import Tensor

RATIO = 1.15
"""How many times its own length a sequence may be padded to."""


class Buckets:
    """The lengths to which sequences are padded: as few as there can be with no sequence padded to `ratio` its length.

    From long to short: the longest sequence that has no bucket yet makes one, for all that are at least 1/ratio as
    long. So each edge is a length that occurs.

    >>> import torch
    >>> buckets = Buckets(torch.tensor([100, 90, 80, 79, 30]))
    >>> buckets.edges, buckets.of(79), buckets.of(85)
    ([30, 80, 100], 80, 100)
    """

    def __init__(self, lengths: Tensor, ratio: float = RATIO) -> None:
        edges: list[int] = []
        for length in sorted(set(lengths.tolist()), reverse=True):
            if not edges or length * ratio < edges[-1]:
                edges.append(length)
        self.edges = edges[::-1]

    def of(self, length: int) -> int:
        """The length to which a sequence is padded. Raises ValueError for one that is longer than all."""
        if length > self.edges[-1]:
            raise ValueError(f"a sequence of {length} steps, where the longest has {self.edges[-1]}")
        return self.edges[bisect_left(self.edges, length)]
