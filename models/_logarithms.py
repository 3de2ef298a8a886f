"""The logarithm of a sigmoid for Numba's kernels, written so that LLVM computes a whole vector of them at once.

In float32 the logarithm is the polynomial of Cephes (S. Moshier, Methods and Programs for Mathematical Functions,
1989); in float64 it is the C library's.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types
from numba.extending import overload

from ._activations import exponential
from ._compiling import OPTIONS, kernel

_scalar = njit(**OPTIONS)
_single = np.float32
_LOG = tuple(
    map(
        _single,
        (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
         2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
    )
)  # fmt: skip
_ROOT_OF_TWO, _LOG_OF_TWO = _single(1.41421356237309505), _single(0.693147180559945309)
_ONE, _HALF = _single(1), _single(0.5)


@_scalar
def _log_of_sum(x):
    """log(1 + x) of a float32 between 0 and 1; the error is that of rounding 1 + x."""
    x = x + _ONE
    far = x > _ROOT_OF_TWO
    x = (x * _HALF if far else x) - _ONE
    c0, c1, c2, c3, c4, c5, c6, c7, c8 = _LOG
    polynomial = (((((((c0 * x + c1) * x + c2) * x + c3) * x + c4) * x + c5) * x + c6) * x + c7) * x + c8
    square = x * x
    near = polynomial * square * x - _HALF * square + x
    return near + _LOG_OF_TWO if far else near


@_scalar
def _log_sigmoid_single(x):
    """log σ(x) of a float32."""
    low = x if x < 0 else x - x  # a NaN comes through
    return low - _log_of_sum(exponential(-abs(x)))


def _log_sigmoid(x):
    raise NotImplementedError


@overload(_log_sigmoid, jit_options=OPTIONS)  # type: ignore[arg-type]
def _log_sigmoid_of(x):
    if x == types.float32:
        return lambda x: _log_sigmoid_single(x)
    return lambda x: (x if x < 0 else x - x) - math.log1p(math.exp(-abs(x)))


@kernel
def log_sigmoids(values):
    """The numbers of a vector become log σ = -log(1 + e^-x) of what they were."""
    for i in range(values.size):
        values[i] = _log_sigmoid(values[i])
