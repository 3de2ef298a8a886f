"""What a task of a cluster does on its node: it has one job trained in a process of its own, and tells the driver.

The process is one of `local.Local`, so a run is trained on a node exactly as it is on one machine, and a run that kills
its process does not kill the task. Nothing here imports torch: only the process does.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from .backend import End, Event, Job, Lost, Progressed, RowMade, Said
from .local import Local
from .storage import NodeFiles, Storage

OWNER_PATIENCE = 60.0
"""Seconds for which a run waits for its checkpoint, which an earlier attempt on this node may hold until it ends."""
LOOK_EVERY = 0.2
"""Seconds between two looks at the clock, while nothing happens."""


@dataclass(frozen=True)
class Ticket:
    """Which attempt at which job of a backend a message is about."""

    job: int
    attempt: int


@dataclass(frozen=True)
class Letter:
    """An event, and its place among those of its attempt: one that comes twice is known by it."""

    place: int
    event: Event


class Line(Protocol):
    """The way to the driver."""

    def send(self, letters: list[Letter]) -> bool:
        """Sends letters without waiting. False where the last ones are still on their way: then these stay here."""

    def stopping(self) -> bool:
        """Whether the driver has asked the job to stop, as of its last answer."""


class Outbox:
    """The events of an attempt: all but progress are kept for the end, and sent ahead every `every` seconds.

    Of a run that makes progress only the latest is sent. Whatever ends a run is sent at once.
    """

    def __init__(self, line: Line, every: float) -> None:
        self.line, self.every = line, every
        self.kept: list[Letter] = []
        self._unsent: list[Letter] = []
        self._progress: dict[str, Letter] = {}
        self._places = 0
        self._urgent = True
        self._sent_at = 0.0

    def add(self, event: Event) -> None:
        """Takes an event."""
        self._places += 1
        letter = Letter(self._places, event)
        if isinstance(event, Progressed):
            self._progress[event.run] = letter
            return
        self.kept.append(letter)
        self._unsent.append(letter)
        self._urgent = self._urgent or isinstance(event, End | Lost)

    def tend(self) -> None:
        """Sends what is due. An empty message tells that the attempt is alive, and brings the answer."""
        if not self._urgent and time.monotonic() - self._sent_at < self.every:
            return
        letters = sorted([*self._unsent, *self._progress.values()], key=lambda letter: letter.place)
        if self.line.send(letters):
            self._unsent.clear()
            self._progress.clear()
            self._urgent, self._sent_at = False, time.monotonic()


def supervise(job: Job, line: Line, every: float, storage: str | None, facts: Mapping[str, str]) -> list[Letter]:
    """Has the job done on this node, and gives all of its events but progress, in order.

    every: seconds between two reports. storage: where checkpoints are kept; None: in the files that the job names.
    facts: of the node, for the provenance of its rows. An interrupt asks the job to stop.
    """
    outbox = Outbox(line, every)
    job = replace(job, sweep={**job.sweep, "cluster": {**facts, "node": socket.gethostname()}})

    def say(text: str) -> None:
        outbox.add(Said(None, f"{socket.gethostname()}: {text}"))

    with (
        _own_files(job, storage, say) as (here, close),
        _no_main(),
        Local(here.device, 1, here.threads, target=train) as local,
    ):
        local.submit(here)
        while not local.free:
            try:
                if line.stopping():
                    local.stop()
                for event in local.events(LOOK_EVERY):
                    if isinstance(event, RowMade):
                        close(event.run, event.row["status"] in ("done", "diverged"))
                    elif isinstance(event, End):
                        close(event.run, False)
                    outbox.add(event)
                outbox.tend()
            except KeyboardInterrupt:
                local.stop()
    return outbox.kept


def train(pipe: Connection, job: Job) -> None:
    """What the process does: `worker.main`, which imports torch, and so is not imported in the task.

    Where a task was killed its process ends soon after, but holds its checkpoint till then; the next attempt waits.
    """
    from ..engine import checkpoint
    from . import worker

    checkpoint.OWNER_PATIENCE = OWNER_PATIENCE
    worker.main(pipe, job)


@contextmanager
def _own_files(
    job: Job, storage: str | None, say: Callable[[str], None]
) -> Iterator[tuple[Job, Callable[[str, bool], None]]]:
    """The job with the files that it has on this node, and what is to be called when a run of it has ended."""
    if storage is None:
        _look_for_the_working_area(job, say)
        yield job, lambda run, finished: None
        return
    place, folder = Storage(storage), Path(tempfile.gettempdir()) / f"seqbench-{_user()}"
    place.fetch_data(job.data, say)
    files = {one.run: NodeFiles(one, place, folder, say) for one in job.runs}

    def close(run: str, finished: bool) -> None:
        if run in files:
            files.pop(run).close(finished)

    here = {run: own.files for run, own in files.items()}
    runs = tuple(
        replace(one, checkpoint=here[one.run].get("checkpoint"), trained=here[one.run].get("trained"))
        for one in job.runs
    )
    try:
        yield replace(job, runs=runs), close
    finally:
        for run in [*files]:
            close(run, False)


def _look_for_the_working_area(job: Job, say: Callable[[str], None]) -> None:
    areas = {one.checkpoint.parent.parent for one in job.runs if one.checkpoint is not None}
    for area in areas:
        if not area.is_dir():
            say(f"{area} is not seen here, so checkpoints are on this node alone; --storage names a place that all see")


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "user"


@contextmanager
def _no_main() -> Iterator[None]:
    """Within it processes do not import the program of this one again: it is the cluster's, and takes a second."""
    main: Any = sys.modules["__main__"]
    before = {name: vars(main).get(name) for name in ("__file__", "__spec__")}
    vars(main).update(dict.fromkeys(before))
    try:
        yield
    finally:
        vars(main).update(before)
