"""Arithmetic that gives the same bits each time, and what a device can do of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .errors import UsageError
from .runs import Run


def check_precision(run: Run, device: torch.device) -> None:
    """Raises UsageError where the device cannot do the run's precision: a slow imitation would be of no use."""
    if run.precision != "float32" and device.type != "cuda":
        raise UsageError(
            f"precision={run.precision} needs a GPU (--device cuda); on {device.type} only float32 is there"
        )


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Arithmetic that gives the same bits each time: one thread on a CPU, deterministic algorithms on a GPU.

    Denormals are flushed to zero on the CPU: vanishing gradients decay into them and slow a step 3 to 7 times.
    """
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    flushed = torch.tensor(torch.finfo(torch.float32).tiny).div(2).item() == 0  # torch has no question for it
    if device.type == "cpu":
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
    else:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic products need it
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        if device.type == "cpu":
            torch.set_num_threads(threads)
            torch.set_flush_denormal(flushed)
        else:
            torch.use_deterministic_algorithms(deterministic)
            torch.backends.cudnn.benchmark = benchmark
