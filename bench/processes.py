"""How worker processes are made, and what their end means."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any

PRELOAD = ["torch", "torch._dynamo", "numba", "numba.np.arraymath", "numpy", "scipy.io", f"{__package__}.worker"]
"""What the fork server imports, so that a worker need not: it makes a worker ready at once. torch imports `_dynamo`
with the first optimizer (1.3 s), numba `arraymath` with the first compiled call. The server imports only; one parallel
operation of torch in it would hang every worker for ever."""
GPUS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""One of them is there where a GPU is: by Nvidia's driver, under Windows, by AMD's. torch knows, and takes seconds."""


def worker_context(device: str) -> Any:
    """How workers are made: from a fork server that has imported what they need; spawned on Windows and for CUDA."""
    if device == "cpu" and "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        return context
    return multiprocessing.get_context("spawn")


def start_ahead(device: str, threads: int = 1) -> None:
    """Starts the fork server before this process itself has imported torch: both take seconds, and do it side by side.

    device: cpu, cuda or auto. Where runs will be on a GPU, as `auto` means where there seems to be one, nothing is
    started.
    """
    likely = "cpu" if device == "auto" and not any(Path(one).exists() for one in GPUS) else device
    if worker_context(likely).get_start_method() == "forkserver":
        atexit.unregister(_end_fork_server)
        atexit.register(_end_fork_server)
        with threads_in_children(threads), signals_held_back():
            forkserver.ensure_running()


def _end_fork_server() -> None:
    """It would import to the end before it saw that nobody is there any more, and keep a pipe of ours open for so long.

    Which process it is, `multiprocessing` tells nobody but itself; where that is called otherwise, it ends later.
    """
    process_id = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
    if process_id is not None:
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)


@contextmanager
def threads_in_children(count: int = 1) -> Iterator[None]:
    """Within it new processes get so many threads a library: several runs share the cores, and bits must not differ.

    OpenMP's threads sleep when they have had nothing to do for some 50 microseconds: spinning for longer, as they do by
    default, they would take the core from the threads of our own kernels, which work in turn with them (a step took
    1.4 times as long); sleeping at once, they would have to be woken for each of many small operations.
    Those of a fork server get what it was started with. On a GPU products are the same each time, and as many streams
    as it has queues do not wait for each other.
    """
    libraries = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    sleeping = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5000"}  # GNU's OpenMP counts 10 ns each
    gpu = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "CUDA_DEVICE_MAX_CONNECTIONS": "32"}
    with environment({**dict.fromkeys(libraries, str(count)), **sleeping, **gpu}):
        yield


@contextmanager
def environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Within it these variables have these values, for this process and those that it starts."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Within it Ctrl-C and SIGTERM wait, and processes that are started never get them.

    A terminal, or a scheduler, sends them to all processes; only the parent acts on them. Without this a Ctrl-C would
    kill the fork server while it imports.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # before Python 3.12 its start would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def how_it_ended(exit_code: int | None, too_soon: str = " before it sent its row") -> str:
    """The end of a process in words: the signal that killed it, or its exit code, and before what that was."""
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        return f"was killed by {name}" + (" (out of memory, perhaps)" if name == "SIGKILL" else "")
    return f"ended with exit code {exit_code}{too_soon}"


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_jobs(device: str, threads: int = 1) -> int:
    """How many runs at a time: on a CPU as many as have a core for each thread, on a GPU as many as pay there."""
    if device == "cpu":
        return max(1, cores() // threads)
    from .engine.packing import MOST  # imports torch, which need not be here yet

    return MOST
