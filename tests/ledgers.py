"""Made-up published numbers, and made-up rows beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from made_rows import origin
from seqbench.bench.analysis import grid
from seqbench.bench.analysis.published import Number
from seqbench.bench.analysis.verdicts import Judgement, judge
from seqbench.bench.experiments import config
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows.store import Row, Workplace, signed

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


ADDING = {"task": "adding(length=20)", "metric": "mse"}
THREE = (8.0, 8.1, 8.2)
"""Mean 8.1 and s 0.1; t of two degrees of freedom is 4.302653, so one more run falls in 8.1 ± 0.496828. Of logarithms
the mean is that of 8.099588 and s 0.0123464: 7.617689 to 8.611973."""

SCORES = THREE
JSB = TEXT.replace("seeds: 10", "seeds: 3")


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
        "margin": math.inf,  # so that an interval alone decides, where a test says nothing else
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


def lay_out(experiment: Experiment, published: Sequence[Row] = (), working: Sequence[Row] = ()) -> None:
    """Puts rows where an experiment has its published and its working ones."""
    place = Workplace(experiment.folder)
    place.area.mkdir(parents=True, exist_ok=True)
    place.published.replace(published)
    place.working.replace(working)


def gru_rows(experiment: Experiment, **changes: Any) -> list[Row]:
    """A row for each of `SCORES`, of the experiment's first cell."""
    runs = experiment.cells[0].runs
    return [made(run, score, **changes) for run, score in zip(runs, SCORES, strict=True)]


def verdict(folder: Path, scores: Sequence[Any], published: str, text: str = TEXT, **options: Any) -> Judgement:
    """The verdict on a number by runs with these scores: a number, None (diverged), or the changes of a row.

    For copy-memory a score is the loss, and runs below 0.01 have a recall of 1. options: of the number, and `flaws`.
    """
    flaws = options.pop("flaws", None)
    wanted = number(published, **options)
    experiment = write(folder, text)
    cell = next(cell for cell in experiment.cells if cell.task == wanted.task)
    rows = []
    for run, score in zip(cell.runs, scores, strict=False):
        changes = score if isinstance(score, dict) else {}
        value = changes.pop("score", 8.1) if isinstance(score, dict) else score
        row = made(run, value, **changes)
        if wanted.metric == "loss" and value is not None:
            for rule in row["scores"].values():
                rule["test"]["recall"] = 1.0 if value < 0.01 else 0.125
        rows.append(signed(row))
    entries = grid.collect(replace(experiment, cells=(cell,)), rows)
    entry = next(entry for entry in entries if entry.metric.name == wanted.metric)
    solving = next((entry for entry in entries if entry.metric.solved_at is not None), None)
    return judge(wanted, entry, solving, flaws)
