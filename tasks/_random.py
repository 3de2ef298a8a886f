"""Random numbers that are a pure function of (stream, seed, example, draw).

The generator is SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators"), used as a
counter: draw j of the generator with key k is mix(k + (j + 1) * GOLDEN), so any draw can be computed alone. A stream
(a name and a seed) has a key; the key of example i is draw i of its stream; the numbers of an example are the draws of
its key. Hence an example is the same in any chunk and for any number of threads.

Windows of two examples in SplitMix64's one orbit of 2**64 could overlap; for 50,000 examples of 600 draws the chance
is about 50,000**2 * 600 / 2**64 = 8e-8.

All compiled code stands in this one file, because Numba's cache notices edits of the file of the function that is
called, not of the files from which it calls others. The kernels release the lock of the interpreter, and several
threads are plain Python threads: Numba's own parallel loops change the thread count of torch in the same process
(numba#9387) and cannot be used on both sides of a fork.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, the step of the counter
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_LOW_32 = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)
_WORTH_A_THREAD = 1 << 18  # numbers that take longer to draw than a thread takes to start


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles at the first call, without the interpreter's lock, and keeps the machine code where that is possible."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return njit(nogil=True)(function)


def stream(name: str, seed: int | None = None) -> np.uint64:
    """The key of a named stream: the first 8 bytes of sha256("name") or sha256("name/seed"), little-endian."""
    text = name if seed is None else f"{name}/{seed}"
    return np.uint64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little"))


def split_stream(task: str, split: str, column: str, seed: int) -> np.uint64:
    """The key from which one column of a split is drawn; that of "test" ignores the seed, so the test set is fixed.

    Raises ValueError where `split` is not "train", "valid" or "test".
    """
    if split not in ("train", "valid", "test"):
        raise ValueError(f"{task}: split must be 'train', 'valid' or 'test', got {split!r}")
    return stream(f"{task}/{split}/{column}", None if split == "test" else seed)


@_compiled
def _draw(key, index):  # type: ignore[no-untyped-def]
    mixed = key + (index + _ONE) * _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MULTIPLIER_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MULTIPLIER_2
    return mixed ^ (mixed >> np.uint64(31))


@_compiled
def _below(key, index, bound):  # type: ignore[no-untyped-def]
    """A uniform integer in [0, bound), 1 <= bound < 2**32, and the index of the next unused draw.

    Lemire 2019, "Fast random integer generation in an interval": multiply, keep the high half, and reject the few
    draws that would make some values likelier. Exact; a bound that is a power of two takes one draw always.
    """
    while True:
        product = (_draw(key, index) >> np.uint64(32)) * bound
        index += _ONE
        low = product & _LOW_32
        if low >= bound or low >= (np.uint64(1 << 32) - bound) % bound:
            return product >> np.uint64(32), index


@_compiled
def _fill_draws(out, key, start):  # type: ignore[no-untyped-def]
    for row in range(len(out)):
        out[row] = _draw(key, start + np.uint64(row))


@_compiled
def _fill_uniform(out, key, start):  # type: ignore[no-untyped-def]
    scale = np.float32(2.0**-24)
    for row in range(out.shape[0]):
        example = _draw(key, start + np.uint64(row))
        for column in range(out.shape[1]):
            high = np.int32(_draw(example, np.uint64(column)) >> np.uint64(40))  # 24 bits; made a float faster than 64
            out[row, column] = np.float32(high) * scale


@_compiled
def _fill_integers(out, key, start, low, high):  # type: ignore[no-untyped-def]
    bound = np.uint64(high - low)
    for row in range(out.shape[0]):
        example = _draw(key, start + np.uint64(row))
        if bound & (bound - _ONE) == 0:  # a power of two refuses no draw, so that none has to wait for the one before
            for column in range(out.shape[1]):
                number = ((_draw(example, np.uint64(column)) >> np.uint64(32)) * bound) >> np.uint64(32)
                out[row, column] = low + np.int64(number)
            continue
        index = np.uint64(0)
        for column in range(out.shape[1]):
            number, index = _below(example, index, bound)
            out[row, column] = low + np.int64(number)


@_compiled
def _fill_pairs(out, key, start, split, high):  # type: ignore[no-untyped-def]
    for row in range(out.shape[0]):
        example = _draw(key, start + np.uint64(row))
        if split > 0:  # one on each side
            first, index = _below(example, np.uint64(0), np.uint64(split))
            second, index = _below(example, index, np.uint64(high - split))
            second += np.uint64(split)
        else:  # anywhere: the second among the other high - 1, then both in order
            first, index = _below(example, np.uint64(0), np.uint64(high))
            second, index = _below(example, index, np.uint64(high - 1))
            if second >= first:
                second += _ONE
            else:
                first, second = second, first
        out[row, 0] = np.int64(first)
        out[row, 1] = np.int64(second)


@_compiled
def _fill_chosen(out, key, start, weights):  # type: ignore[no-untyped-def]
    left = np.empty_like(weights)
    for row in range(out.shape[0]):
        example = _draw(key, start + np.uint64(row))
        index = np.uint64(0)
        left[:] = weights
        total = weights.sum()
        for column in range(out.shape[1]):
            number, index = _below(example, index, total)
            place = 0
            while number >= left[place]:
                number -= left[place]
                place += 1
            out[row, column] = place
            total -= left[place]
            left[place] = 0


def _fill(
    kernel: Callable[..., Any], out: NDArray[Any], key: np.uint64, start: int, threads: int, *bounds: Any
) -> None:
    """Runs `kernel` over the rows of `out`, the examples from `start` on, in at most `threads` blocks."""
    if start < 0 or threads < 1:
        raise ValueError(f"start must be 0 or more and threads 1 or more, got {start} and {threads}")
    threads = min(threads, 1 + out.size // _WORTH_A_THREAD)
    if threads == 1:
        kernel(out, key, np.uint64(start), *bounds)
        return
    edges = [len(out) * block // threads for block in range(threads + 1)]

    def block(begin: int, end: int) -> None:
        kernel(out[begin:end], key, np.uint64(start + begin), *bounds)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(block, edges[:-1], edges[1:]))  # the list raises what a thread raised


def draws(key: np.uint64, start: int, count: int) -> NDArray[np.uint64]:
    """Draws `start`, …, `start` + `count` - 1 of the SplitMix64 generator with this key: (count,) uint64.

    All draws of one key differ, because the counter's steps and `mix` are both one-to-one on 64 bits.

    >>> draws(np.uint64(1234567), 0, 2).tolist()
    [6457827717110365317, 3203168211198807973]
    """
    out = np.empty(count, np.uint64)
    _fill(_fill_draws, out, key, start, 1)
    return out


def permutation(key: np.uint64, size: int) -> NDArray[np.int64]:
    """A permutation of 0, …, `size` - 1: the order of the first `size` draws, which are never equal. (size,) int64."""
    return np.argsort(draws(key, 0, size))


def uniform(key: np.uint64, start: int, count: int, size: int, threads: int = 1) -> NDArray[np.float32]:
    """Examples `start`, … of `size` multiples of 2**-24, uniform in [0, 1): (count, size) float32."""
    out = np.empty((count, size), np.float32)
    _fill(_fill_uniform, out, key, start, threads)
    return out


def integers(key: np.uint64, start: int, count: int, size: int, low: int, high: int, threads: int = 1) -> NDArray[Any]:
    """Examples `start`, … of `size` uniform integers in [low, high), 0 <= low < high <= 2**31: (count, size).

    They are uint8 where `high` <= 256, else int32.
    """
    out = np.empty((count, size), np.uint8 if high <= 256 else np.int32)
    _fill(_fill_integers, out, key, start, threads, low, high)
    return out


def pairs(key: np.uint64, start: int, count: int, high: int, split: int = 0, threads: int = 1) -> NDArray[np.int32]:
    """Examples `start`, … of two distinct positions in [0, high), in increasing order: (count, 2) int32.

    With `split` = 0 every pair is equally likely; else the first is uniform in [0, split), the second in [split, high).
    """
    out = np.empty((count, 2), np.int32)
    _fill(_fill_pairs, out, key, start, threads, split, high)
    return out


def chosen(
    key: np.uint64, start: int, count: int, size: int, weights: Sequence[int], threads: int = 1
) -> NDArray[np.int32]:
    """Examples `start`, … of `size` distinct indices of `weights`, in the order in which they are drawn: (count, size)
    int32.

    Each draw takes one of the indices that are left, with a probability in proportion to its weight: whole numbers of
    which at least `size` are positive, and whose sum is below 2**32.
    """
    shares = np.array(weights, np.uint64)
    if np.count_nonzero(shares) < size or int(shares.sum()) >= 1 << 32:
        raise ValueError(f"{size} of {len(shares)} weights cannot be drawn")
    out = np.empty((count, size), np.int32)
    _fill(_fill_chosen, out, key, start, threads, shares)
    return out
