"""How fast the synthetic tasks are generated, against a plain loop of the kind that the published code has.

An asv suite; `python bench/speed/generators.py` prints the two side by side, measured in one run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

COUNT, LENGTH = 50_000, 600


def reference_loop(count: int = COUNT, length: int = LENGTH) -> tuple[np.ndarray, np.ndarray]:
    """The arrays of `adding.Task.examples`, by one `choice` without replacement an example."""
    random = np.random.RandomState(0)
    values = random.rand(count, length).astype(np.float32)
    marks = np.empty((count, 2), np.int32)
    for example in range(count):
        marks[example] = random.choice(length, size=2, replace=False)
    return values, marks


def published_loop(count: int = COUNT, length: int = LENGTH) -> tuple[torch.Tensor, torch.Tensor]:
    """The published way: inputs (N, 2, T) and sums (N, 1), filled element by element."""
    random = np.random.RandomState(0)
    values = torch.rand((count, 1, length), generator=torch.Generator().manual_seed(0))
    marks, sums = torch.zeros((count, 1, length)), torch.zeros((count, 1))
    for example in range(count):
        first, second = random.choice(length, size=2, replace=False)
        marks[example, 0, first] = 1
        marks[example, 0, second] = 1
        sums[example, 0] = values[example, 0, first] + values[example, 0, second]
    return torch.cat((values, marks), dim=1), sums


class Generators:
    """50,000 examples of the adding problem of length 600, and 50,000 of copy memory."""

    version = "1"
    param_names = ("threads",)
    params = ((1, 2),)
    rounds, repeat, timeout = 1, (3, 10, 1.0), 60

    def setup(self, threads: int) -> None:
        from seqbench.tasks import adding, copy_memory

        self.adding = adding.Task(length=LENGTH)
        self.copy_memory = copy_memory.Task()
        self.adding.examples(0, "train", 0, threads, threads)  # compile, or load what was compiled
        self.copy_memory.examples(0, "train", 0, threads, threads)

    def time_adding(self, threads: int) -> None:
        self.adding.examples(0, "train", 0, COUNT, threads)

    def time_copy_memory(self, threads: int) -> None:
        self.copy_memory.examples(0, "train", 0, COUNT, threads)


class References:
    """What `Generators.time_adding` is compared with."""

    version = "1"
    number, rounds, repeat, warmup_time, timeout = 1, 1, 2, 0.0, 120

    def time_reference_loop(self) -> None:
        reference_loop()

    def time_published_loop(self) -> None:
        published_loop()


def fastest(function: Callable[[], object], repeat: int) -> float:
    """Milliseconds of the fastest of `repeat` calls."""
    milliseconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        milliseconds.append(1000 * (time.perf_counter() - start))
    return min(milliseconds)


def main() -> None:
    """Prints milliseconds, and how many times faster the adding problem is than each of the loops."""
    reference, published = fastest(reference_loop, repeat=2), fastest(published_loop, repeat=1)
    print(f"{COUNT} examples, adding of length {LENGTH}; fastest of several calls, in ms")
    print(f"{'loop, the same arrays':<26}{reference:>9.1f}")
    print(f"{'loop, as published':<26}{published:>9.1f}")
    suite = Generators()
    for threads in Generators.params[0]:
        suite.setup(threads)
        taken = fastest(partial(suite.time_adding, threads), repeat=10)
        ratios = f"   {reference / taken:.0f} times and {published / taken:.0f} times faster"
        print(f"{f'adding, threads {threads}':<26}{taken:>9.1f}{ratios}")
        taken = fastest(partial(suite.time_copy_memory, threads), repeat=10)
        print(f"{f'copy-memory, threads {threads}':<26}{taken:>9.1f}")


if __name__ == "__main__":
    main()
