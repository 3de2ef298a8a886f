"""What a worker does: it trains the runs of a job and says what happens, wherever it is executed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing import connection, parent_process

import torch

from ...tasks.base import Splits
from ..engine import outcome as outcomes
from ..engine.checkpoint import Checkpoint
from ..engine.devices import device_of
from ..engine.lanes import Lane, Turns
from ..engine.outcome import Outcome, Progress, never
from ..engine.repeatable import check_precision, repeatable
from ..engine.training import Loop, loaded
from ..errors import UsageError
from ..experiments import runs
from ..experiments.runs import Run
from ..experiments.user_code import described
from ..rows import files_read, provenance, sources, unhashed
from ..rows.making import make_row, now, origin_of
from .backend import Assignment, Begun, Event, Job, Progressed, Refused, RowMade, Said, Stopped
from .packing import Packing, Shelf

LOADED = sources.loop_hash()
"""Of the loop as this process has it: from the fork server, which may have imported it long before a run is known."""

REPORT_EVERY = 0.2
"""Seconds between two reports of a worker to its parent."""


class OtherSources(Exception):
    """The code here is not the code that the sweep has read; what it makes would not be the run that was asked for."""


def main(pipe: connection.Connection, job: Job) -> None:
    """What a process of `Local` does: it says "started", performs the job, and sends the events to its parent.

    It stops when the parent says "stop". It ends at once when the parent is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the parent says what to do
    stop = threading.Event()
    threading.Thread(target=_watch, args=(pipe, stop), daemon=True).start()
    pipe.send("started")
    perform(job, pipe.send, stop.is_set)


def perform(job: Job, send: Callable[[Event], None], should_stop: Callable[[], bool]) -> None:
    """Trains the runs of a job in this process, and gives what happens to `send`, as `backend` describes it.

    should_stop: asked before every step. Once it says yes, the runs that are in work save checkpoints and stop, and no
    other is begun. A job of one run begins it in any case. Every run has come to its end when this returns.
    """
    files_read.watch()
    device, shelf = torch.device(job.device), Shelf(loaded)
    members = []
    for assignment in job.runs:
        try:
            members.append(_Member(assignment, job, send, should_stop, shelf))
        except UsageError as error:  # on another machine a user's file may be missing
            send(Refused(assignment.run, str(error)))
    with repeatable(device, job.threads):
        # one run alone is begun whatever was said, and stops by itself: the parent waits to hear of it
        Packing(device_of(device), job.most).run(members, should_stop if len(job.runs) > 1 else never)
    for member in members:
        if not member.ended:
            send(Stopped(member.run.id))


class _Member:
    """One run of a job, for `Packing`: from its assignment to its row."""

    def __init__(
        self,
        assignment: Assignment,
        job: Job,
        send: Callable[[Event], None],
        should_stop: Callable[[], bool],
        load: Callable[[Run, torch.device], Splits],
    ) -> None:
        self.assignment, self.job, self.send, self.should_stop, self.load = assignment, job, send, should_stop, load
        self.run = runs.from_config(assignment.config, job.folder)
        self.device = torch.device(job.device)
        self.kind = json.dumps({**assignment.config, "seed": None}, sort_keys=True)
        self.held = ExitStack()
        self.lane: Lane | None = None
        self.ended = False

    def begin(self, lane: Lane) -> Turns:
        self.lane, self.started = lane, now()
        self.send(Begun(self.run.id))
        check_precision(self.run, self.device)
        if sources.source_hash(self.run) != self.assignment.source or sources.loop_hash() != LOADED:
            raise OtherSources("its source here is not the one that the sweep started with; the next run trains anew")
        found = torch.backends.cpu.get_cpu_capability()
        if self.job.instructions not in (None, found):
            raise RuntimeError(f"torch computes with {found} here, though {self.job.instructions} was asked for")
        report = _Reporter(self.send, self.run.id)
        with ExitStack() as held:  # given back where the run cannot begin
            checkpoint = None
            if self.assignment.checkpoint:
                kept = Checkpoint(self.assignment.checkpoint, self.assignment.source, self.job.checkpoint_every)
                checkpoint = held.enter_context(kept)
            arguments = (checkpoint, self.should_stop, report, self.load, self.job.threads, self._say)
            loop = Loop(self.run, self.device, lane, *arguments)
            self.held = held.pop_all()
        return loop.turns()

    def _say(self, text: str) -> None:
        self.send(Said(self.run.id, text))

    def end(self, outcome: Outcome) -> None:
        self.held.close()
        try:
            if self.assignment.trained:
                with Checkpoint(self.assignment.trained) as trained:
                    trained.save({"network": outcome.network.state_dict()})
        except Exception as error:
            self._send_row(None, error)
        else:
            self._send_row(outcome, None)

    def fail(self, error: Exception) -> None:
        self.held.close()
        if isinstance(error, outcomes.Stopped | OtherSources):
            self.ended = True
            stopped = isinstance(error, outcomes.Stopped)
            self.send(Stopped(self.run.id) if stopped else Refused(self.run.id, str(error)))
        else:  # whatever a task or a model does wrong becomes a row; the others go on
            self._send_row(None, error)

    def _send_row(self, outcome: Outcome | None, error: Exception | None) -> None:
        origin = origin_of(self.run, self.device, self.job.sweep, self.job.threads, self.started)
        memory = provenance.peak_memory_mb(self.device)
        if self.lane is not None and self.lane.beside > 1:  # the process's peak is that of all together
            origin["beside"], memory = self.lane.beside - 1, self.lane.memory / 2**20
        if outcome is not None and outcome.uncaptured:
            origin["uncaptured"] = outcome.uncaptured
        origin |= unhashed.of_run(self.run, origin) | files_read.of_run(self.run)
        failure = None
        if error is not None:
            trace = "".join(traceback.format_exception(error))
            failure = {"message": described(error), "traceback": trace}
        row = make_row(self.run, self.job.device, origin, outcome, failure)
        row["peak_memory_mb"] = round(memory, 1)
        self.ended = True
        self.send(RowMade(self.run.id, row))


class _Reporter:
    def __init__(self, send: Callable[[Event], None], run: str) -> None:
        self.send, self.run, self.reported_at = send, run, 0.0

    def __call__(self, progress: Progress, steps: int) -> None:
        if time.monotonic() - self.reported_at >= REPORT_EVERY:
            self.reported_at = time.monotonic()
            last = progress.curve[-1]["valid"] if progress.curve else {}
            self.send(Progressed(self.run, progress.total_steps, steps, progress.epoch, last))


def _watch(pipe: connection.Connection, stop: threading.Event) -> None:
    """Hears what the parent says, and ends the process when there is no parent any more."""
    parent = parent_process()
    assert parent is not None
    while True:
        ready = connection.wait([pipe, parent.sentinel])
        if parent.sentinel in ready:
            os._exit(1)
        try:
            if pipe.recv() == "stop":
                stop.set()
                return _wait_for_end(parent.sentinel)
        except (EOFError, OSError):
            os._exit(1)


def _wait_for_end(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
