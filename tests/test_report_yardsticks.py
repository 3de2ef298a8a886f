"""Yardsticks in tables: what simple answers score stands below the scores, and is the floor where a task knows none."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from seqbench.bench.analysis import grid
from seqbench.bench.experiments import config
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.experiments.runs import Run
from seqbench.bench.report.tables import cells, experiment_table
from seqbench.bench.rows import sources
from seqbench.bench.rows.store import finite, signed

TEXT = """\
question: Q
seeds: 2
rows:
- {task: lambada, models: [gru(width=4), lstm(width=4)]}
- {task: ptb-word, models: [gru(width=4)]}
- {task: adding(length=20), models: [gru(width=4)]}
"""
MEASURED = {
    "lambada": [("unigram", {"perplexity": 11400.0}), ("bigram", {"perplexity": 5210.0})],
    "ptb-word": [("unigram", {"perplexity": 650.0}), ("bigram", {"perplexity": 212.0})],
}


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    (tmp_path / "experiment.yaml").write_text(TEXT, encoding="utf-8")
    return config.load(tmp_path)


def made(run: Run, **changes: Any) -> dict[str, Any]:
    """A row of the run."""
    test = {metric.name: 50.0 for metric in run.make_task().metrics}
    row = {
        "id": run.id,
        "status": "done",
        "device": "cpu",
        "config": run.config,
        "provenance": {"commit": "c0ffee1", "dirty": False, "source": sources.source_hash(run)},
        "parameters": 100,
        "scores": {"best": {"test": test}, "last": {"test": test}},
        "seconds": {"training": 3.0, "evaluation": 1.0, "cpu": 3.5},
        "yardsticks": [{"name": name, "scores": scores} for name, scores in MEASURED.get(run.task.name, [])],
    }
    return row | changes


def collected(experiment: Experiment, **changes: Any) -> list[grid.Entry]:
    """The entries of rows of the first seed that have been on the disk, where keys are sorted."""
    rows = [made(run, **changes) for run in experiment.runs[:4]]
    return grid.collect(experiment, [json.loads(json.dumps(signed(finite(row)), sort_keys=True)) for row in rows])


def test_a_paragraph_names_them_in_their_order(experiment: Experiment) -> None:
    entries = collected(experiment)
    line = (
        "Yardsticks, computed from the training split. lambada perplexity: unigram 11400, bigram 5210; "
        "ptb-word perplexity: unigram 650, bigram 212."
    )
    assert cells.yardsticks(entries) == [line]
    markdown, latex = experiment_table.table(entries), experiment_table.table(entries, "latex")
    assert f"\n\n{line}\n\n**Size and cost" in markdown
    assert line in latex
    assert markdown.count("Yardsticks") == latex.count("Yardsticks") == 1


def test_the_first_is_the_floor_where_the_metric_has_none(experiment: Experiment) -> None:
    entries = collected(experiment)
    floors = {(entry.task, entry.metric.name): entry.floor for entry in entries if entry.model_name == "gru"}
    assert floors["lambada", "perplexity"] == 11400.0
    assert math.isnan(floors["lambada", "accuracy"]), "of which there is no yardstick"
    assert floors["ptb-word", "perplexity"] == pytest.approx(639.73, abs=0.01), "the task's own word goes first"
    assert floors["adding(length=20)", "mse"] == pytest.approx(1 / 6)
    lines = [[part.strip() for part in line.split("|")[1:4]] for line in experiment_table.table(entries).splitlines()]
    assert ["lambada", "perplexity (per word) ↓", "11400"] in lines
    assert ["lambada", "accuracy (%) ↑", "–"] in lines
    assert ["ptb-word", "perplexity (per word) ↓", "640"] in lines


def test_a_model_without_rows_leaves_the_floor_to_the_others(experiment: Experiment) -> None:
    run = next(run for run in experiment.runs if run.model.name == "lstm")
    gru, lstm = (
        next(entry for entry in grid.collect(experiment, [signed(made(run))]) if entry.model_name == name)
        for name in ("gru", "lstm")
    )
    assert math.isnan(gru.floor)
    assert grid.floor_of([gru, lstm]) == lstm.floor == 11400.0
    assert math.isnan(grid.floor_of([gru]))


def test_programs_get_them_too(experiment: Experiment) -> None:
    entries = collected(experiment)
    records = json.loads(experiment_table.table(entries, "json"))
    lines = list(csv.DictReader(io.StringIO(experiment_table.table(entries, "csv"))))
    assert len(records) == len(lines) == len(entries)
    for entry, record, line in zip(entries, records, lines, strict=True):
        expected = ""
        if entry.metric.name == "perplexity":
            expected = ", ".join(f"{name}={scores['perplexity']}" for name, scores in MEASURED[entry.task])
        assert record["yardsticks"] == line["yardsticks"] == expected
        assert record["floor"] == (None if math.isnan(entry.floor) else entry.floor)
        assert line["floor"] == ("" if math.isnan(entry.floor) else str(entry.floor))


def test_without_any_there_is_no_paragraph(experiment: Experiment) -> None:
    before = [made(run) for run in experiment.runs]
    for row in before:  # as rows were before there were any
        del row["yardsticks"]
    nothing = grid.collect(experiment, [])
    for entries in (nothing, collected(experiment, yardsticks=[]), grid.collect(experiment, map(signed, before))):
        assert cells.yardsticks(entries) == []
        assert "Yardsticks" not in experiment_table.table(entries)
        assert all(math.isnan(entry.floor) for entry in entries if entry.task == "lambada")


def test_one_that_was_not_finite_is_no_floor(experiment: Experiment) -> None:
    """JSON has no such numbers, so a row has null there; and the second knows the input, so it is none either."""
    scores = [
        {"name": "unigram", "scores": {"perplexity": math.inf}},
        {"name": "bigram", "scores": {"perplexity": 9.0}},
    ]
    entries = collected(experiment, yardsticks=scores)
    assert "lambada perplexity: unigram –, bigram 9.00; " in experiment_table.table(entries)
    assert all(math.isnan(entry.floor) for entry in entries if entry.task == "lambada")
    assert json.loads(experiment_table.table(entries, "json"))[0]["floor"] is None
