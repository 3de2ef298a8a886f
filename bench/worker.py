"""Runs in a process of their own: what a worker does from its first line to the rows that it sends home."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

import torch

from ..tasks.base import Splits
from ..tasks.datasets import sums
from . import provenance, runs
from .checkpoint import Checkpoint
from .engine.lanes import Lane, Turns, device_of
from .engine.packing import Packing, Shelf
from .outcome import Outcome, Progress
from .repeatable import check_precision, repeatable
from .runs import Run
from .training import Loop, Stopped, loaded, never

LOADED = provenance.loop_hash()
"""Of the loop as this process has it: from the fork server, which may have imported it long before a run is known."""

REPORT_EVERY = 0.2
"""Seconds between two reports of a worker to its parent."""


@dataclass(frozen=True)
class Assignment:
    """One run of a job. source: the hash of what defines its result, as the parent has read it.

    checkpoint, trained: the files for going on and for what a language model has learned; None where nothing is kept.
    """

    config: dict[str, Any]
    source: str
    checkpoint: Path | None
    trained: Path | None


@dataclass(frozen=True)
class Job:
    """What a worker is told: all of it small and made of plain types.

    most: how many of the runs are in work at the same time, in turn.
    """

    runs: tuple[Assignment, ...]
    folder: Path
    device: str
    checkpoint_every: float
    sweep: dict[str, Any]
    threads: int = 1
    most: int = 1


def main(pipe: connection.Connection, job: Job) -> None:
    """Trains the job's runs and sends, with the run's id, `("begun", id)`, now and then `("progress", id, …)`, what a
    person should know as `("say", id, text)`, and `("row", id, row)`, or `("stopped", id)` where it was asked to.

    The process ends at once when its parent is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the parent says what to do
    stop = threading.Event()
    threading.Thread(target=_watch, args=(pipe, stop), daemon=True).start()
    pipe.send(("started", os.getpid()))
    device, shelf = torch.device(job.device), Shelf(loaded)
    members = [_Member(assignment, job, pipe, stop.is_set, shelf) for assignment in job.runs]
    with repeatable(device, job.threads):
        # one run alone is begun whatever was said, and stops by itself: the parent waits to hear of it
        Packing(device_of(device), job.most).run(members, stop.is_set if len(members) > 1 else never)


class _Member:
    """One run of a job, for `Packing`: from its assignment to its row."""

    def __init__(
        self,
        assignment: Assignment,
        job: Job,
        pipe: connection.Connection,
        should_stop: Callable[[], bool],
        load: Callable[[Run, torch.device], Splits],
    ) -> None:
        self.assignment, self.job, self.pipe, self.should_stop, self.load = assignment, job, pipe, should_stop, load
        self.run = runs.from_config(assignment.config, job.folder)
        self.device = torch.device(job.device)
        self.kind = json.dumps({**assignment.config, "seed": None}, sort_keys=True)
        self.held = ExitStack()
        self.lane: Lane | None = None

    def begin(self, lane: Lane) -> Turns:
        self.lane, self.started = lane, _now()
        self.pipe.send(("begun", self.run.id))
        check_precision(self.run, self.device)
        if provenance.source_hash(self.run) != self.assignment.source or provenance.loop_hash() != LOADED:
            raise RuntimeError("the source has changed since the sweep started; the next run trains with the new one")
        report = _Reporter(self.pipe, self.run.id)
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
        self.pipe.send(("say", self.run.id, text))

    def end(self, outcome: Outcome) -> None:
        self.held.close()
        try:
            if self.assignment.trained and self.run.task_class.distribution:  # a person will want to see what it writes
                with Checkpoint(self.assignment.trained) as trained:
                    trained.save({"network": outcome.network.state_dict()})
        except Exception as error:
            self._send(None, error)
        else:
            self._send(outcome, None)

    def fail(self, error: Exception) -> None:
        self.held.close()
        if isinstance(error, Stopped):
            self.pipe.send(("stopped", self.run.id))
        else:  # whatever a task or a model does wrong becomes a row; the others go on
            self._send(None, error)

    def _send(self, outcome: Outcome | None, error: Exception | None) -> None:
        origin = {
            **self.job.sweep,
            **provenance.of_process(self.device),
            "threads": self.job.threads,
            "source": self.assignment.source,
            "data": sums(self.run.task_class.remotes),
            "started": self.started,
            "finished": _now(),
        }
        memory = provenance.peak_memory_mb(self.device)
        if self.lane is not None and self.lane.beside > 1:  # the process's peak is that of all together
            origin["beside"], memory = self.lane.beside - 1, self.lane.memory / 2**20
        if outcome is not None and outcome.uncaptured:
            origin["uncaptured"] = outcome.uncaptured
        failure = None
        if error is not None:
            trace = "".join(traceback.format_exception(error))
            failure = {"message": f"{type(error).__name__}: {error}", "traceback": trace}
        row = make_row(self.run, self.job.device, origin, outcome, failure)
        row["peak_memory_mb"] = round(memory, 1)
        self.pipe.send(("row", self.run.id, row))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def make_row(
    run: Run,
    device: str,
    origin: dict[str, Any],
    outcome: Outcome | None = None,
    error: dict[str, str] | None = None,
    status: str = "failed",
) -> dict[str, Any]:
    """The row of a run: of its outcome, or of its `error` with `status` failed or died."""
    row: dict[str, Any] = {
        "id": run.id,
        "status": outcome.status if outcome else status,
        "device": torch.device(device).type,
        "label": str(run),
        "config": run.config,
        "error": error,
        "provenance": origin,
    }
    if outcome is not None:
        progress, body = outcome.progress, outcome.network.body
        row |= {
            "parameters": outcome.network.parameter_count,
            "state_size": body.state_size,
            "receptive_field": body.receptive_field,
            "scores": outcome.scores,
            "lengths": outcome.lengths,
            "curve": progress.curve,
            "trace": progress.trace,
            "yardsticks": [{"name": name, "scores": scores} for name, scores in outcome.yardsticks.items()],
            "resumed": progress.resumed,
            "seconds": {
                "training": round(progress.training_seconds, 3),
                "evaluation": round(progress.evaluation_seconds, 3),
                "cpu": round(progress.cpu_seconds, 3),
            },
        }
    return row


class _Reporter:
    def __init__(self, pipe: connection.Connection, run: str) -> None:
        self.pipe, self.run, self.reported_at = pipe, run, 0.0

    def __call__(self, progress: Progress, steps: int) -> None:
        if time.monotonic() - self.reported_at >= REPORT_EVERY:
            self.reported_at = time.monotonic()
            last = progress.curve[-1]["valid"] if progress.curve else {}
            self.pipe.send(("progress", self.run, progress.total_steps, steps, progress.epoch, last))


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
