"""One run in a process of its own: what a worker does from its first line to the row that it sends home."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

import torch

from ..tasks.datasets import sums
from . import provenance, runs
from .checkpoint import Checkpoint
from .runs import Run
from .training import Outcome, Progress, Stopped, train

PRELOAD = ["torch", "torch._dynamo", "numba", "numba.np.arraymath", "numpy", "scipy.io", __name__]
"""What the fork server imports, so that a worker need not: it makes a worker ready at once. torch imports `_dynamo`
with the first optimizer (1.3 s), numba `arraymath` with the first compiled call. The server imports only; one parallel
operation of torch in it would hang every worker for ever."""

REPORT_EVERY = 0.2
"""Seconds between two reports of a worker to its parent."""


@dataclass(frozen=True)
class Job:
    """What a worker is told: all of it small and made of plain types.

    checkpoint, trained: the files for going on and for what a language model has learned; None where nothing is kept.
    """

    config: dict[str, Any]
    folder: Path
    device: str
    checkpoint: Path | None
    trained: Path | None
    checkpoint_every: float
    sweep: dict[str, Any]
    source: str


def main(pipe: connection.Connection, job: Job) -> None:
    """Trains the job's run and sends `("row", row)`, after `("progress", …)` now and then; `("stopped",)` if asked to.

    The process ends at once when its parent is gone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the parent says what to do
    stop = threading.Event()
    threading.Thread(target=_watch, args=(pipe, stop), daemon=True).start()
    pipe.send(("started", os.getpid()))
    reporter = _Reporter(pipe)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    run = runs.from_config(job.config, job.folder)
    device = torch.device(job.device)
    outcome, error = None, None
    try:
        if provenance.source_hash(run) != job.source:
            raise RuntimeError("the source has changed since the sweep started; the next run trains with the new one")
        held = Checkpoint(job.checkpoint, job.source, job.checkpoint_every) if job.checkpoint else nullcontext()
        with held as checkpoint:
            outcome = train(run, device, checkpoint, stop.is_set, reporter)
        if job.trained and run.task_class.distribution:  # a person will want to see what it writes
            with Checkpoint(job.trained) as trained:
                trained.save({"network": outcome.network.state_dict()})
    except Stopped:
        pipe.send(("stopped",))
        return
    except Exception as failure:  # whatever a task or a model does wrong becomes a row; the sweep goes on
        error = {"message": f"{type(failure).__name__}: {failure}", "traceback": traceback.format_exc()}
    origin = {
        **job.sweep,
        **provenance.of_process(device),
        "threads": 1,
        "source": job.source,
        "data": sums(run.task_class.remotes),
        "started": started,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    row = make_row(run, job.device, origin, outcome, error)
    row["peak_memory_mb"] = round(provenance.peak_memory_mb(device), 1)
    pipe.send(("row", row))


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
    def __init__(self, pipe: connection.Connection) -> None:
        self.pipe, self.reported_at = pipe, 0.0

    def __call__(self, progress: Progress, steps: int) -> None:
        if time.monotonic() - self.reported_at >= REPORT_EVERY:
            self.reported_at = time.monotonic()
            last = progress.curve[-1]["valid"] if progress.curve else {}
            self.pipe.send(("progress", progress.total_steps, steps, progress.epoch, last))


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
