"""Arithmetic that gives the same bits each time, and what a device can do of it."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import nn

from ..errors import UsageError
from ..experiments.runs import Run

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h
_LARGEST = 2**31 - 1
Made = TypeVar("Made", bound=nn.Module)


def check_precision(run: Run, device: torch.device) -> None:
    """Raises UsageError where the device cannot do the run's precision: a slow imitation would be of no use."""
    if run.precision != "float32" and device.type != "cuda":
        raise UsageError(
            f"precision={run.precision} needs a GPU (--device cuda); on {device.type} only float32 is there"
        )


def check_threads(device: torch.device, wanted: int) -> None:
    """Raises RuntimeError where torch has another number of threads on a CPU than was set.

    A parallel Numba call silently gives torch all cores back (numba issue 9387), which changes gradients' bits.
    """
    if device.type == "cpu" and torch.get_num_threads() != wanted:
        were = "one was" if wanted == 1 else f"{wanted} were"
        raise RuntimeError(f"torch has {torch.get_num_threads()} threads where {were} set; the bits would differ")


def drawing_globally(network: Made) -> Made:
    """The same network, no part of which draws on a GPU from a random state that outlives the run.

    cuDNN's dropout between the layers of torch's recurrent modules has a state of its own for each device, which no
    seed sets anew and no checkpoint holds (aten/src/ATen/native/cudnn/RNN.cpp, `get_dropout_state`). Such modules are
    computed without cuDNN, where torch's global generator is drawn from.
    """
    for part in network.modules():
        if isinstance(part, nn.RNNBase) and part.dropout > 0 and part.num_layers > 1:
            part.forward = _without_cudnn(part.forward)
    return network


def _without_cudnn(forward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(forward)
    def called(*arguments: Any, **named: Any) -> Any:
        switches, before = cast(Any, torch.backends.cudnn), torch.backends.cudnn.enabled
        switches.enabled = False
        try:
            return forward(*arguments, **named)
        finally:
            switches.enabled = before

    return called


@functools.cache
def keep_freed_memory() -> bool:
    """Keeps freed memory for the next step, for the rest of the process; True where the C library can do that.

    glibc gives every block beyond 32 MiB back at once. A step asks for the same blocks again and again, and the
    system hands them out page by page, zeroed: a third of the time of a step of 64 sequences of 784 steps.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _LARGEST))


@contextmanager
def repeatable(device: torch.device, threads: int = 1) -> Iterator[None]:
    """Arithmetic that gives the same bits each time: so many threads on a CPU, deterministic algorithms on a GPU.

    Denormals are flushed to zero on the CPU: vanishing gradients decay into them and slow a step 3 to 7 times.
    Threads beyond the first flush only if they are born within: with several, begin before anything is computed.
    On a GPU float32 is float32: the tensor cores' short products (TF32) are off.
    """
    before_threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    benchmark, filling = torch.backends.cudnn.benchmark, cast(Any, torch.utils.deterministic)  # its stubs lack it
    filled = filling.fill_uninitialized_memory
    flushed = torch.tensor(torch.finfo(torch.float32).tiny).div(2).item() == 0  # torch has no question for it
    if device.type == "cpu":
        keep_freed_memory()
        torch.set_flush_denormal(True)  # first: the threads take it over from this one
        torch.set_num_threads(threads)
    else:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic products need it
        torch.use_deterministic_algorithms(True)
        filling.fill_uninitialized_memory = False  # nothing of ours reads what it has not written
        torch.backends.cudnn.benchmark = False
    try:
        if device.type == "cpu":
            yield
        else:
            with products_in("float32"):
                yield
    finally:
        if device.type == "cpu":
            torch.set_num_threads(before_threads)
            torch.set_flush_denormal(flushed)
        else:
            torch.use_deterministic_algorithms(deterministic)
            filling.fill_uninitialized_memory = filled
            torch.backends.cudnn.benchmark = benchmark


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Within it products of float32 matrices on a GPU are exact, or with `tf32` of 10 bits: cuBLAS's and cuDNN's."""
    before = [(owner, name, getattr(owner, name)) for owner, name in _switches()]
    for owner, name, _ in before:
        short = precision == "tf32"
        setattr(owner, name, short if name == "allow_tf32" else "tf32" if short else "ieee")
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _switches() -> list[tuple[Any, str]]:
    """Where it is switched; torch 2.9 has renamed it, and refuses those who use both names."""
    matmul, cudnn = torch.backends.cuda.matmul, cast(Any, torch.backends.cudnn)  # the stubs lack the new names
    if hasattr(cudnn, "rnn"):
        return [(part, "fp32_precision") for part in (matmul, cudnn.conv, cudnn.rnn)]
    return [(matmul, "allow_tf32"), (cudnn, "allow_tf32")]
