"""How the row of a run is made, from its outcome or from the error that ended it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import torch

from ...tasks.datasets import sums
from ..engine.outcome import Outcome
from ..experiments.runs import Run
from . import provenance


def now() -> str:
    """The time as rows have it: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def origin_of(run: Run, device: torch.device, sweep: dict[str, Any], threads: int, started: str) -> dict[str, Any]:
    """The provenance of a row that this process makes now; `provenance` describes its keys.

    sweep: what is the same for all rows of a sweep. threads: of the run, on a CPU. started: when the run began, as
    `now` gives it.
    """
    return {
        **sweep,
        **provenance.of_process(device),
        "threads": threads,
        **provenance.of_sources(run),
        "data": sums(run.task_class.remotes),
        "started": started,
        "finished": now(),
    }


def make_row(
    run: Run,
    device: str,
    origin: dict[str, Any],
    outcome: Outcome | None = None,
    error: dict[str, str] | None = None,
    status: str = "failed",
) -> dict[str, Any]:
    """The row of a run, without its checksum.

    It is made of the outcome; without one, of the error (`message` and `traceback`), with `status` failed or died.
    origin: the row's provenance.
    """
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
            "state_size": body.state_size_after(run.make_task().steps),
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
        if not outcome.causal:
            row["causal"] = False
    return row
