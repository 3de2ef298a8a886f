"""Loops over vectors that several kernels of Numba share."""

from __future__ import annotations

from numba import njit

from ._compiling import OPTIONS

_summing = njit(**{**OPTIONS, "fastmath": {*OPTIONS["fastmath"], "reassoc"}})
"""Sums may be taken in another order: LLVM then holds a vector of partial sums."""


@_summing
def dot(left, right):
    """Σ_i left_i · right_i of two vectors of one length and type, which it has, too."""
    total = left.dtype.type(0)
    for i in range(left.size):
        total += left[i] * right[i]
    return total
