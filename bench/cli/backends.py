"""The options that say where runs are trained: on this machine, or by a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError

if TYPE_CHECKING:
    from ..running.backend import Backend
    from ..running.ray_engine import Ray

On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="ray[://HOST:PORT]",
        help="Train on a Ray cluster: that of the address, of RAY_ADDRESS, or one started here.",
    ),
]
Kept = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="PLACE",
        help="With --on: a folder or URL that all nodes see, for checkpoints and data.",
    ),
]
INSTALL = "--on ray needs Ray: pip install 'seqbench[ray]'"


def check(on: str | None, storage: str | None) -> None:
    """Looks at both options before anything is loaded. Raises UsageError."""
    if on is None and storage is not None:
        raise UsageError("--storage goes with --on: on this machine checkpoints are in the working area")
    if on is not None and on != "ray" and not (on.startswith("ray://") and on != "ray://"):
        raise UsageError(f"--on {on[:60]}: ray is needed, or ray://HOST:PORT")


@contextmanager
def backend_on(
    on: str | None, storage: str | None, device: str = "cpu", jobs: int | None = None, threads: int = 1
) -> Iterator[Backend | None]:
    """The backend that the options name, closed at the end; None for this machine, as `sweep.run` has it.

    device, jobs, threads: as of `sweep.run`. Raises UsageError where Ray is not installed, there is no cluster, or no
    node of it has what a run needs.
    """
    check(on, storage)
    if on is None:
        yield None
        return
    from ..running import cluster
    from ..running.storage import Storage

    place = Storage(storage) if storage is not None else None
    if place is not None:
        place.try_out()
    engine = _engine(on, place.url if place is not None else None)
    try:
        backend = cluster.Cluster(engine, device, jobs if device == "cpu" else None, threads, place)
    except BaseException:
        engine.close()
        raise
    with backend:
        yield backend


@contextmanager
def pool_on(on: str | None) -> Iterator[Executor | None]:
    """Where functions are called that train nothing; None for this machine. Raises UsageError as `backend_on` does."""
    check(on, None)
    if on is None:
        yield None
        return
    engine = _engine(on, None)
    try:
        from ..running.ray_engine import Pool

        yield Pool()
    finally:
        engine.close()


def _engine(on: str, storage: str | None) -> Ray:
    try:
        from ..running import ray_engine
    except ImportError as error:
        raise UsageError(INSTALL) from error
    return ray_engine.Ray(on if on != "ray" else None, storage)
