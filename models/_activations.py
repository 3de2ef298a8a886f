"""Sigmoid, tanh and exp for Numba's kernels, written so that LLVM computes a whole vector of them at once.

In float32 exp, and tanh near 0, are the polynomials of Cephes (S. Moshier, Methods and Programs for Mathematical
Functions, 1989): the error is at most 2 units in the last place, as with the functions that torch has. In
float64 they are the C library's, for tests only: slow and exact.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types
from numba.extending import overload

from ._compiling import OPTIONS, kernel

_scalar = njit(**OPTIONS)
_single = np.float32
_LOG2_E = _single(1.44269504088896341)
_LN2_HIGH, _LN2_LOW = _single(0.693359375), _single(-2.12194440e-4)
_LARGEST = _single(87.0)
"""Beyond ±87 exp leaves the normal numbers of float32, and a sigmoid or a tanh is 0 or 1 to rounding long before."""
_EXP = tuple(
    map(
        _single,
        (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1),
    )
)
_TANH = tuple(
    map(_single, (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1))
)
_NEAR_ZERO = _single(0.625)
_ONE, _TWO, _HALF = _single(1), _single(2), _single(0.5)


@_scalar
def _exp(x):
    """e^x of a float32."""
    x = _LARGEST if x > _LARGEST else x  # not min and max: a NaN must come through
    x = -_LARGEST if x < -_LARGEST else x
    power = np.floor(x * _LOG2_E + _HALF)
    x = x - power * _LN2_HIGH - power * _LN2_LOW
    c0, c1, c2, c3, c4, c5 = _EXP
    polynomial = ((((c0 * x + c1) * x + c2) * x + c3) * x + c4) * x + c5
    mantissa = polynomial * x * x + x + _ONE
    return mantissa * np.int32((np.int32(power) + np.int32(127)) << np.int32(23)).view(np.float32)


@_scalar
def _tanh_single(x):
    """tanh of a float32."""
    c0, c1, c2, c3, c4 = _TANH
    square = x * x
    near = ((((c0 * square + c1) * square + c2) * square + c3) * square + c4) * square * x + x
    size = abs(x)
    far = _ONE - _TWO / (_exp(_TWO * size) + _ONE)
    far = far if x > 0 else -far
    return near if size < _NEAR_ZERO else far


def exponential(x):
    """e^x of one number, for loops of other kernels; in float32 x beyond ±87 counts as ±87."""
    raise NotImplementedError


def _sigmoid(x):
    raise NotImplementedError


def _tanh(x):
    raise NotImplementedError


@overload(exponential, jit_options=OPTIONS)  # type: ignore[arg-type]
def _exponential_of(x):
    if x == types.float32:
        return lambda x: _exp(x)
    return lambda x: math.exp(x)


@overload(_sigmoid, jit_options=OPTIONS)  # type: ignore[arg-type]
def _sigmoid_of(x):
    if x == types.float32:
        return lambda x: _ONE / (_ONE + _exp(-x))
    return lambda x: 1.0 / (1.0 + math.exp(-x))


@overload(_tanh, jit_options=OPTIONS)  # type: ignore[arg-type]
def _tanh_of(x):
    if x == types.float32:
        return lambda x: _tanh_single(x)
    return lambda x: math.tanh(x)


# Loops of their own over one array each: LLVM then has nothing to check before it takes whole vectors.


@kernel
def sigmoids(values, first, end):
    """values[first:end] of a vector become σ = 1/(1 + e^-x) of what they were."""
    part = values[first:end]  # counting from 0, so that no index can be negative and mean one from the end
    for i in range(part.size):
        part[i] = _sigmoid(part[i])


@kernel
def tanhs(values, first, end):
    """values[first:end] of a vector become tanh of what they were."""
    part = values[first:end]  # counting from 0, so that no index can be negative and mean one from the end
    for i in range(part.size):
        part[i] = _tanh(part[i])
