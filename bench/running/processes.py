"""How processes of ours are made, and what their end means: workers of a sweep, and helpers of a measurement."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import Any

import psutil

from ..errors import UsageError
from ..rows.instructions import chosen
from ..rows.instructions import environment as pinning
from .cores import cores

PRELOAD = ["torch", "torch._dynamo", "numba", "numba.np.arraymath", "numpy", "scipy.io", f"{__package__}.worker"]
"""What the fork server imports, so that a worker need not: it makes a worker ready at once. torch imports `_dynamo`
with the first optimizer (1.3 s), numba `arraymath` with the first compiled call. The server imports only; one parallel
operation of torch in it would hang every worker for ever."""
LONGEST_FOLDER = 103 - len("/pymp-12345678/listener-12345678")
"""Bytes: the name of a socket has at most 103 (macOS; Linux 107), and `multiprocessing` makes it of this pattern."""
GPUS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""One of them is there where a GPU is: by Nvidia's driver, under Windows, by AMD's. torch knows, and takes seconds."""
START_UP_LIMIT = 120.0
"""Seconds in which a process must say that it has started."""
GRACE = 60.0
"""Seconds that a process has to end when it is asked to."""
STARTS = 3
"""How often in a row the start of a process may fail before it is given up."""
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))
"""What asks a sweep to stop: Ctrl-C, `kill`, a terminal that is gone, a scheduler's warning that the time is over."""
SERVER_IS_GONE = 255
"""The exit code that `multiprocessing` gives to all processes of a fork server that has died."""

_wanted: dict[str, str] = {}  # what the open blocks of `environment` ask for
_served: dict[str, str] | None = None  # the same, when the fork server was started; None before it was


class Child:
    """A process of ours, and the pipe to it: `target(pipe, *arguments)`.

    It never gets Ctrl-C nor any other of `STOPPING`, which only this process acts on. With a context of
    `worker_context` a fork server that dies meanwhile is replaced. Raises UsageError where the process cannot be
    started, three times in a row.
    """

    def __init__(self, context: Any, target: Callable[..., None], *arguments: Any) -> None:
        for _ in range(STARTS):
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
            self.started_at = time.monotonic()
            try:
                with signals_held_back():
                    if context.get_start_method() == "forkserver":
                        _ensure_fork_server()
                    self.process.start()
                return
            except (EOFError, OSError) as error:
                failure = error
                self.pipe.close()
                if context.get_start_method() == "forkserver":
                    _end_fork_server()  # it is broken, or dying: the next attempt must not meet it again
            finally:
                theirs.close()
        reason = str(failure) or "the fork server ended, perhaps for want of memory"
        raise UsageError(f"no process can be started ({reason}): ask for fewer at a time with --jobs") from failure

    @property
    def handles(self) -> list[Any]:
        """What becomes ready when the process has sent something or has ended, for `connection.wait`."""
        return [self.pipe] if self._orphaned else [self.pipe, self.process.sentinel]

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._orphaned or self.process.is_alive()

    @property
    def _orphaned(self) -> bool:
        """Whether it runs although its fork server has died: `multiprocessing` takes it for ended then."""
        return self.process.exitcode == SERVER_IS_GONE and _runs(self.process.pid)

    def kill(self) -> None:
        """Ends the process, whatever it does, and waits for its end; what it has sent can still be read."""
        if self._orphaned:
            _kill(self.process.pid)
        self.process.kill()
        self.process.join()

    def how_it_ended(self, too_soon: str = "") -> str:
        """The end of the process in words; waits for it, a moment."""
        self.process.join(5)
        return how_it_ended(self.process.exitcode, too_soon)


def worker_context(device: str) -> Any:
    """How workers are made: from a fork server that has imported what they need; spawned on Windows and for CUDA.

    Spawned also where the name of the folder for temporary files leaves no room for the server's socket.
    """
    has_server = "forkserver" in multiprocessing.get_all_start_methods()
    if device == "cpu" and has_server and len(os.fsencode(tempfile.gettempdir())) <= LONGEST_FOLDER:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        return context
    return multiprocessing.get_context("spawn")


def start_ahead(device: str, threads: int = 1, instructions: str | None = None) -> None:
    """Starts the fork server before this process itself has imported torch: both take seconds, and do it side by side.

    device: cpu, cuda or auto. Where runs will be on a GPU, as `auto` means where there seems to be one, nothing is
    started. instructions: avx2, avx512, native, or None for the pinned set. Raises UsageError for another word, and for
    instructions that this processor lacks.
    """
    likely = "cpu" if device == "auto" and not any(Path(one).exists() for one in GPUS) else device
    if worker_context(likely).get_start_method() == "forkserver":
        atexit.unregister(_end_fork_server)
        atexit.register(_end_fork_server)
        with threads_in_children(threads, chosen(instructions)), signals_held_back():
            _ensure_fork_server()


def _ensure_fork_server() -> None:
    """Starts the fork server where there is none, and another where the one that runs has another environment.

    Its processes have the environment that it was started with, whatever is asked for later.
    """
    global _served
    if _served not in (None, _wanted):
        _end_fork_server()
    forkserver.ensure_running()
    _served = dict(_wanted)


def _end_fork_server() -> None:
    """Kills it and waits for its end. By itself it would import to the end before it saw that nobody is there any more,
    and keep a pipe of ours open for so long.

    Which process it is, `multiprocessing` tells nobody but itself; where that is called otherwise, it ends later.
    """
    process_id = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
    if process_id is not None:
        _kill(process_id)


def _kill(process_id: int) -> None:
    """Kills a process and waits for its end, a few seconds at most. Its exit code is left for whoever asks for it."""
    with suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)
        give_up_at = time.monotonic() + 5
        while _runs(process_id) and time.monotonic() < give_up_at:
            time.sleep(0.005)


def _runs(process_id: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE)
    return False


@contextmanager
def threads_in_children(count: int = 1, instructions: str | None = None) -> Iterator[None]:
    """Within it new processes have the `variables` of so many threads and these vector instructions."""
    with environment(variables(count, instructions)):
        yield


def variables(threads: int, instructions: str | None = None) -> dict[str, str]:
    """What the environment of a process of ours needs: so many threads a library, and a set of vector instructions.

    Several runs share the cores, and bits must not differ. OpenMP's threads sleep when they have had nothing to do for
    some 50 microseconds: spinning for longer, as they do by default, they would take the core from the threads of our
    own kernels, which work in turn with them (a step took 1.4 times as long); sleeping at once, they would have to be
    woken for each of many small operations. A fork server is started anew for another number. On a GPU products are the
    same each time, and as many streams as it has queues do not wait for each other.
    """
    libraries = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    sleeping = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "5000"}  # GNU's OpenMP counts 10 ns each
    gpu = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "CUDA_DEVICE_MAX_CONNECTIONS": "32"}
    return {**dict.fromkeys(libraries, str(threads)), **sleeping, **gpu, **pinning(instructions)}


@contextmanager
def environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Within it these variables have these values, for this process and those that it starts."""
    before, outer = {name: os.environ.get(name) for name in wanted}, dict(_wanted)
    os.environ.update(wanted)
    _wanted.update(wanted)
    try:
        yield
    finally:
        _wanted.clear()
        _wanted.update(outer)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Within it the signals of `STOPPING` wait, and processes that are started never get them.

    A terminal, or a scheduler, sends them to all processes; only the parent acts on them. Without this a Ctrl-C would
    kill the fork server while it imports.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # before Python 3.12 its start would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
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


def default_jobs(device: str, threads: int = 1) -> int:
    """How many runs at a time: on a CPU as many as have a core for each thread, on a GPU as many as pay there."""
    if device == "cpu":
        return max(1, cores() // threads)
    from .packing import MOST  # imports torch, which need not be here yet

    return MOST
