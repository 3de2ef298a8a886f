"""Made-up rows of real runs, for whatever reads rows: experiments without a training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, get_origin, get_type_hints

from seqbench.bench.experiments import config
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows import row_shape, sources
from seqbench.bench.rows.store import Row, signed

LONE = """
question: Which one?
rows:
- task: adding(length=20)
  models: [gru(width=4)]
"""
"""An experiment of one run."""

VERSIONS = {
    "python": "3.11.7", "torch": "2.13.0", "numpy": "2.3.5", "numba": "0.63.1", "scipy": "1.16.3", "seqbench": "0.1.0",
}  # fmt: skip


REQUIRED = frozenset(
    key
    for key, hint in get_type_hints(row_shape.Provenance, include_extras=True).items()
    if get_origin(hint) is not NotRequired or key in row_shape.LATER
)
"""The keys that the provenance of a new row has."""


def origin(run: Run, **changes: Any) -> dict[str, Any]:
    """The provenance of a clean row of the run."""
    return {
        "commit": "c0ffee1234",
        "dirty": False,
        "diff": None,
        "source": sources.source_hash(run),
        "source_files": sources.file_hashes(run),
        "versions": VERSIONS,
        "platform": "Linux-6.1-x86_64",
        "processor": "a processor, 2 cores",
        "cpu": "AuthenticAMD family 25 model 1",
        "instructions": "AVX2",
        "device": "cpu",
        "driver": None,
        "threads": 1,
        "data": {},
        "command": ["run", "results/x"],
        "started": "2026-11-01T10:00:00+00:00",
        "finished": "2026-11-01T10:05:00+00:00",
        **changes,
    }


def write(folder: Path, text: str) -> Experiment:
    """The experiment of a folder whose `experiment.yaml` has this text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.yaml").write_text(text, encoding="utf-8")
    return config.load(folder)


def made(run: Run, score: float | None = 0.5, status: str = "done", curve: Sequence[float] = (), **changes: Any) -> Row:
    """A row of the run whose test scores of the last epochs are 10 times those of the best on validation.

    score: in every metric. curve: the test score after each epoch of 100 steps, else the score alone after one.
    """
    names = [metric.name for metric in run.make_task().metrics]
    row = {
        "id": run.id,
        "status": status,
        "device": "cpu",
        "label": str(run),
        "config": run.config,
        "error": None if status in ("done", "diverged") else {"message": "out of memory"},
        "provenance": origin(run),
    }
    if status in ("done", "diverged"):
        last = None if score is None else 10 * score
        points = [dict.fromkeys(names, value) for value in curve or [score]]
        row |= {
            "parameters": 105,
            "scores": {
                "best": {"epoch": 1, "valid": dict.fromkeys(names, score), "test": dict.fromkeys(names, score)},
                "last": {"test": dict.fromkeys(names, last)},
            },
            "seconds": {"training": 3.0, "evaluation": 1.0, "cpu": 3.5},
            "peak_memory_mb": 400.5,
            "curve": [
                {"epoch": epoch, "steps": 100 * epoch, "seconds": 1.5 * epoch, "valid": test, "test": test}
                for epoch, test in enumerate(points, 1)
            ],
        }
    return signed(row | changes)


def misshapen(row: Row) -> str:
    """What of a row has not the shape of rows; empty where it all has."""
    try:
        row_shape.typed(json.dumps(row).encode())
    except row_shape.Misshapen as error:
        return str(error)
    return ""


def dirtied(row: Row, **origin: Any) -> Row:
    """The row with another provenance, signed again."""
    return signed({**row, "provenance": {**row["provenance"], **origin}})


def of_scores(experiment: Experiment, scores: Mapping[tuple[str, str], Sequence[float | None]]) -> list[Row]:
    """A row for each score of a cell, named by the first word of its task and of its model; None: it diverged."""
    rows = []
    for cell in experiment.cells:
        values = scores.get((cell.runs[0].task.name, cell.runs[0].model.name), ())
        rows += [
            made(run, value, "done" if value is not None else "diverged")
            for run, value in zip(cell.runs, values, strict=False)
        ]
    return rows
