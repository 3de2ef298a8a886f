"""How fast the synthetic tasks are generated, against a plain loop of the kind that the published code has.

An asv suite; `python bench/speed/generators.py` prints the two side by side, measured in one run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

COUNT, LENGTH, SHOWN = 50_000, 600, 10_000


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


def digits_loop(count: int = SHOWN) -> tuple[np.ndarray]:
    """The array of `copy_memory.Task.examples`, by one `randint` an example."""
    random = np.random.RandomState(0)
    digits = np.empty((count, 10), np.uint8)
    for example in range(count):
        digits[example] = random.randint(1, 9, size=10)
    return (digits,)


def shown_loop(digits: torch.Tensor, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (N, T, 1) and targets (N, T) of copy memory, filled example by example."""
    inputs, targets = torch.zeros((len(digits), steps, 1)), torch.zeros((len(digits), steps), dtype=torch.int64)
    for example in range(len(digits)):
        inputs[example, :10, 0] = digits[example]
        inputs[example, -11:] = 9
        targets[example, -10:] = digits[example]
    return inputs, targets


def show(name: str, taken: float, count: int, copy: float, loop: float) -> None:
    """Prints a line: milliseconds, bytes that were written, and the times that a copy of as many and the loop take."""
    print(
        f"{name:<38}{taken:>9.2f} ms{count / 1e6:>8.1f} MB{count / taken / 1e6:>7.1f} GB/s"
        f"{copy / taken:>7.2f} of a copy's speed{loop / taken:>7.0f} times faster than the loop"
    )


def main() -> None:
    """Prints how long examples take to generate and to show, beside loops and a copy of as many bytes, on one thread.

    A copy reads as many bytes as well; only what is written is counted, of both. It goes into new memory each time, as
    examples do, whose pages the system fills with zeros first; or into old memory, where it is said.
    """
    from seqbench.tasks import _random

    torch.set_num_threads(1)
    suite = Generators()
    suite.setup(2)
    task = suite.copy_memory
    print(f"fastest of several calls; adding {COUNT} x {LENGTH}, copy memory {SHOWN} x {task.steps}")
    reference, published = fastest(reference_loop, repeat=2), fastest(published_loop, repeat=1)
    print(f"{'adding, loop for the same arrays':<38}{reference:>9.2f} ms")
    print(f"{'adding, loop as published':<38}{published:>9.2f} ms")
    (digits,), loop = task.examples(0, "train", 0, SHOWN), fastest(digits_loop, repeat=2)
    shown = torch.from_numpy(digits)
    filled = fastest(partial(shown_loop, shown, task.steps), repeat=1)
    values, marks = suite.adding.examples(0, "train", 0, COUNT)
    key, again = _random.stream("again"), np.empty_like(values)
    for threads in Generators.params[0]:
        copy = fastest(partial(np.copyto, again, values), repeat=10)
        taken = fastest(partial(_random._fill, _random._fill_uniform, again, key, 0, threads), repeat=10)
        show(f"adding, in old memory, threads {threads}", taken, again.nbytes, copy, reference)
        copy = fastest(values.copy, repeat=10)
        taken = fastest(partial(suite.time_adding, threads), repeat=10)
        show(f"adding, generated, threads {threads}", taken, values.nbytes + marks.nbytes, copy, reference)
        taken = fastest(partial(task.examples, 0, "train", 0, SHOWN, threads), repeat=10)
        show(f"copy memory, generated, threads {threads}", taken, digits.nbytes, fastest(digits.copy, repeat=10), loop)
    batch = task.present(shown)
    copy = fastest(lambda: (batch.inputs.clone(), batch.targets.clone()), repeat=5)
    taken = fastest(partial(task.present, shown), repeat=5)
    show("copy memory, shown", taken, batch.inputs.nbytes + batch.targets.nbytes, copy, filled)


if __name__ == "__main__":
    main()
