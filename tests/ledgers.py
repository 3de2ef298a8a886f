"""Made-up published numbers, and made-up rows beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from made_rows import origin
from seqbench.bench.analysis.published import Number
from seqbench.bench.experiments import config
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows.store import Row, signed

TEXT = """
question: Does it hold?
preset: published
seeds: 10
training: {epochs: 1, learning_rate: 0.01}
rows:
- task: jsb
  models: [gru(width=4), rnn(width=4)]
- task: adding(length=20)
  models: [gru(width=4)]
- task: copy-memory(delay=5)
  models: [gru(width=4)]
"""


def write(folder: Path, text: str = TEXT) -> Experiment:
    """The experiment in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.yaml").write_text(text, encoding="utf-8")
    return config.load(folder)


def number(printed: str, **changes: Any) -> Number:
    """A number that a GRU on JSB got, with what is to be different."""
    fields: dict[str, Any] = {
        "source": "A paper",
        "table": "Table 1",
        "row": "JSB",
        "name": "GRU",
        "model": "gru",
        "task": "jsb",
        "metric": "nats",
        "direction": "lower",
        "printed": printed,
        "size": "300K",
        "parameters": None,
        "experiment": "results/x",
        "solved": None,
        "sampling_error": 0.0,
        "cannot": "",
        "note": "",
        "row_note": "",
    }
    return Number(**(fields | changes))


def made(run: Run, score: float | None = 8.1, status: str = "done", **changes: Any) -> Row:
    """A clean row of a run, signed; its test score is the same by both rules. A score of None has diverged."""
    status = "diverged" if score is None and status == "done" else status
    test = {metric.name: score for metric in run.make_task().metrics}
    row: Row = {
        "id": run.id,
        "status": status,
        "device": "cpu",
        "label": str(run),
        "config": run.config,
        "error": None if status in ("done", "diverged") else {"message": "out of memory"},
        "provenance": origin(run, **changes.pop("provenance", {})),
    }
    if status in ("done", "diverged"):
        row |= {
            "parameters": 105,
            "scores": {"best": {"epoch": 1, "valid": {**test}, "test": {**test}}, "last": {"test": {**test}}},
            "seconds": {"training": 3.0, "evaluation": 1.0, "cpu": 3.5},
            "peak_memory_mb": 400.5,
            "curve": [],
        }
    return signed(row | changes)
