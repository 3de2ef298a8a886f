"""The connection of a driver to a Ray cluster, made within a bounded time."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import ray
import ray.exceptions as failures

from ..errors import UsageError
from .cores import cores

CONNECTING = 200.0
"""Seconds that a connection may take: where its server cannot start, Ray's client can wait for ever to give up."""
OBJECTS = 256 * 2**20
"""What a cluster of this machine alone keeps free for objects: rows are small."""


def connect(address: str | None) -> None:
    """Joins the cluster of an address, or of RAY_ADDRESS, or starts one here. Raises UsageError where that fails."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    joins = address or os.environ.get("RAY_ADDRESS")
    if not joins:
        os.environ.setdefault("RAY_worker_niceness", "0")  # else runs would give way to whatever else computes here
    own = {"num_cpus": cores(), "include_dashboard": False, "object_store_memory": OBJECTS}
    here: dict[str, Any] = {} if joins else own
    try:
        # None would join the cluster that was last started on this machine, if its address was left in a file
        with bounded(CONNECTING):
            where = address or (None if joins else "local")
            ray.init(address=where, namespace=f"seqbench-{uuid.uuid4()}", **quiet, **here)
    except (OSError, RuntimeError, ValueError, failures.RayError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"--on ray: {joins or 'this machine'}: no cluster can be used: {reason[:300]}") from error


@contextlib.contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Ends what takes longer with TimeoutError; only in the main thread, and where the system has alarms."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return

    def end(number: int, frame: object) -> None:
        raise TimeoutError(f"no connection within {seconds:.0f} s")

    handler = signal.signal(signal.SIGALRM, end)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, handler)
