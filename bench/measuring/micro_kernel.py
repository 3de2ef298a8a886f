"""How fast our own kernel multiplies where all it needs lies in the cache: the most that any of our loops can reach.

torch's large product moves its matrices through the memory, and its library may not be at its best on every processor;
a floor that is taken from it alone can be beaten, and is none.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ...models._compiling import kernel
from ...models._products import multiply_add
from ...models._slices import Slice, run

ROWS, STEPS, COLUMNS = 48, 96, 96
"""Of the product: its two inputs and its result, 70 KiB of float32, lie in the caches of a core."""
TRIES = 10
LONG_ENOUGH = 0.02
"""Seconds of a try, beside which the start of the threads is nothing."""


@kernel
def _again(out: Any, a: Any, b: Any, rows: int, steps: int, columns: int, times: int) -> None:
    """out (rows, columns) += a (rows, steps) · b (steps, columns), so many times."""
    for _ in range(times):
        multiply_add(out, 0, columns, a, 0, steps, 1, 0, b, 0, columns, 1, steps, rows, columns)


def product_gflops(threads: int) -> float:
    """Billions of operations a second (2 for each multiply-add) of all threads together, the fastest of ten."""
    random = np.random.default_rng(0)
    given = []
    for _ in range(threads):
        a, b = (random.random(shape, np.float32) for shape in ((ROWS, STEPS), (STEPS, COLUMNS)))
        given.append((np.zeros((ROWS, COLUMNS), np.float32), a / (ROWS * STEPS), b))
    times, seconds = 1, _seconds(given, 1)  # the first call compiles
    while (seconds := _seconds(given, times)) < LONG_ENOUGH:
        times *= 2
    seconds = min(seconds, *(_seconds(given, times) for _ in range(TRIES - 1)))
    return 2e-9 * ROWS * STEPS * COLUMNS * times * threads / seconds


def _seconds(given: list[tuple[Any, Any, Any]], times: int) -> float:
    """Of so many products of each thread, side by side."""

    def work(first: int, end: int, slot: int) -> None:
        _again(*given[slot], ROWS, STEPS, COLUMNS, times)

    begin = time.perf_counter()
    run(work, [Slice(slot, slot + 1, slot) for slot in range(len(given))])
    return time.perf_counter() - begin
