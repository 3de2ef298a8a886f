"""Slices of a batch, one for each thread: sequences do not see each other, so threads need not wait for each other.

The threads are Python's and run kernels of Numba that release the lock. Numba's own parallel loops are not used:
they share OpenMP's settings with torch and change how many threads it has (numba issue 9387).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

ROWS = 8
"""Sequences that a product of a recurrent step takes together: a slice has a multiple of them."""
_TINY, _TWO = np.float32(torch.finfo(torch.float32).tiny), np.float32(2)


class Slice(NamedTuple):
    """Sequences first … end-1 of a batch, and the number of the slice."""

    first: int
    end: int
    slot: int


_pool: ThreadPoolExecutor | None = None
_making = threading.Lock()


def slices(count: int, multiple: int = ROWS, threads: int | None = None) -> list[Slice]:
    """Sequences 0 … count-1 cut into at most `threads` slices (torch's number where none is given).

    Every slice but the last has a multiple of `multiple` sequences.

    >>> [tuple(part) for part in slices(20, threads=2)], len(slices(7, threads=2)), len(slices(7, 1, threads=2))
    ([(0, 16, 0), (16, 20, 1)], 1, 2)
    """
    rows = -(-count // (threads or torch.get_num_threads()))
    rows = -(-rows // multiple) * multiple
    starts = range(0, count, rows)
    return [Slice(first, min(first + rows, count), slot) for slot, first in enumerate(starts)]


def run(kernel: Callable[[int, int, int], object], parts: list[Slice]) -> None:
    """Calls kernel(first, end, slot) for every slice, side by side, the first of them in this thread; waits for all.

    Denormals count as zero meanwhile: vanishing gradients decay into them, and many processors then take
    tens of times as long.
    Whatever a kernel raises is raised here.
    """
    flushed = _TINY / _TWO == 0  # torch has no question for it
    if not flushed:
        torch.set_flush_denormal(True)
    others = [_threads(len(parts) - 1).submit(kernel, *part) for part in parts[1:]]
    try:
        kernel(*parts[0])
    finally:
        if not flushed:
            torch.set_flush_denormal(False)
        for other in others:
            other.result()


def _threads(count: int) -> ThreadPoolExecutor:
    global _pool
    with _making:
        if _pool is None or _pool._max_workers < count:
            _pool = ThreadPoolExecutor(count, "slice", initializer=torch.set_flush_denormal, initargs=(True,))
        return _pool


def _forget() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_forget)
