"""A process of its own for one variant of a step: it prepares, and then takes steps when it is told to.

The mode in which denormals are flushed, and the number of threads, belong to a process from its first parallel
operation on: a pool's threads keep the mode in which they were born. So each variant has its own.
"""

from __future__ import annotations

import ctypes
import gc
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any, Literal

import torch

from ..engine.repeatable import products_in, repeatable
from ..experiments import runs
from . import machine
from .variants import Ours, Plain, Steps

Variant = Literal["ours", "defaults", "flushed", "compile", "jax"]
"""The engine's step; the reference as PyTorch comes; the reference with denormals flushed to zero, as ours has it; and
the peers, where they are asked for: the reference compiled by `torch.compile`, and the same network in JAX."""


@dataclass(frozen=True)
class Order:
    """What a helper is told at its start: all of it small and made of plain types."""

    variant: Variant
    config: dict[str, Any]
    folder: Path
    device: str
    threads: int


def main(pipe: connection.Connection, order: Order) -> None:
    """Prepares and says `("ready", facts)`; answers `("go", steps)` and `("evaluate", times)` with `("took", seconds)`,
    and `("stream", 1)` with the seconds of one step of a sequence that is read step by step, None where it cannot be.

    `("another", config)` makes it prepare for another run, and say again that it is ready. An error is sent as
    `("failed", text)`. It ends when its parent ends it, or is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the parent ends its helpers
    try:
        with _set_up(order):
            _answer(pipe, order)
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:  # whatever goes wrong is a line of the table, and the others go on
        pipe.send(("failed", f"{type(error).__name__}: {error}".partition("\n")[0]))


def _answer(pipe: connection.Connection, order: Order) -> None:
    steps = _prepared(order, order.config)
    pipe.send(("ready", _facts(steps)))
    while True:
        kind, what = pipe.recv()
        if kind == "another":
            del steps  # first, so that the memory of the one before is free
            steps = _prepared(order, what)
            pipe.send(("ready", _facts(steps)))
            continue
        begin = time.perf_counter()
        if kind == "go":
            steps.go(what)
        elif kind == "stream":
            count = steps.stream()
            pipe.send(("took", (time.perf_counter() - begin) / count if count else None))
            continue
        else:
            assert isinstance(steps, Ours)
            for _ in range(what):
                steps.evaluate()
        pipe.send(("took", time.perf_counter() - begin))


def measure_rates(pipe: connection.Connection, device: str, threads: int) -> None:
    """Sends `("ready", rates)` of the machine, measured in a process that does nothing else."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe.send(("ready", machine.rates(torch.device(device), threads)))


@contextmanager
def _set_up(order: Order) -> Iterator[None]:
    """Denormals, threads, memory and precision as the variant has them, before anything is computed.

    Ours has what a training has. The reference is PyTorch as it comes, but for float32 products of all digits on a GPU,
    where cuDNN's would have 10 bits: a step that computes less is another step.
    """
    device = torch.device(order.device)
    if order.variant == "ours":
        with repeatable(device, order.threads):
            yield
        return
    if order.variant == "flushed" and device.type == "cpu":
        torch.set_flush_denormal(True)
    if torch.get_num_threads() != order.threads:
        torch.set_num_threads(order.threads)
    with products_in("float32") if device.type == "cuda" else nullcontext():
        yield


def _prepared(order: Order, config: dict[str, Any]) -> Steps:
    run, device = runs.from_config(config, order.folder), torch.device(order.device)
    if order.variant == "jax":
        from . import jax_peer  # where it is not installed the line of the table says so

        jax_peer.keep_to(order.threads)
        made: Steps = jax_peer.JaxSteps(run, device)
    elif order.variant == "ours":
        made = Ours(run, device)
    else:
        made = Plain(run, device, compiled=order.variant == "compile")
    made.network.train()
    return made


def _facts(steps: Steps) -> dict[str, Any]:
    """The peak of memory of the first steps, and what else is known after them."""
    steps.prepare()
    with Peak(steps.device) as peak:
        steps.go(max(2, steps.cycle))
    return {**steps.facts(), "cycle": steps.cycle, "peak_mb": peak.mb}


class Peak:
    """The most memory that is held inside a `with` beyond what was held at its beginning: `mb`, in MiB.

    On a CPU from the resident set of the process (Linux only, elsewhere None), on a GPU from torch's own count.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.mb: float | None = None

    def __enter__(self) -> Peak:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.before: float | None = torch.cuda.memory_allocated(self.device) / 2**20
            return self
        self.before = None
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)  # what was freed must not be found again
            try:
                Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
                self.before = _status("VmRSS")
            except OSError:  # a machine that does not allow it
                pass
        return self

    def __exit__(self, *failure: object) -> None:
        if self.before is not None:
            cuda = self.device.type == "cuda"
            peak = torch.cuda.max_memory_allocated(self.device) / 2**20 if cuda else _status("VmHWM")
            self.mb = round(max(0.0, peak - self.before), 1)


def _status(key: str) -> float:
    """A size from the kernel's notes on this process, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:")) / 1024
