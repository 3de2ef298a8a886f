"""Scores at lengths that a run was not trained at stand in the table, in every format, and on the page."""

from __future__ import annotations

import json
from pathlib import Path

import pages
import pytest
from drawing import made, write
from seqbench.bench.analysis.grid import collect
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.page import page
from seqbench.bench.report.tables import experiment_table
from seqbench.bench.rows.store import Row, Workplace

TEXT = """
question: How far beyond its length?
seeds: 3
training: {test_lengths: [40, 80]}
rows:
- task: [adding(length=20), copy-memory(delay=5)]
  models: [gru(width=4)]
"""
ON_ADDING = [
    {"40": {"mse": 1e-4}, "80": {"mse": 0.1}},
    {"40": {"mse": 9e-4}, "80": {"mse": 0.2}},
    {"40": {"mse": 0.2}, "80": {"mse": None}},
]
ON_COPY = [{"40": {"loss": loss, "recall": 0.5}, "80": {"loss": 2 * loss, "recall": 0.2}} for loss in (0.1, 0.2, 0.4)]


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    return write(tmp_path / "results" / "x", TEXT)


def rows(experiment: Experiment) -> list[Row]:
    pairs = zip(experiment.cells, (ON_ADDING, ON_COPY), strict=True)
    return [made(run, 0, lengths=at) for cell, scores in pairs for run, at in zip(cell.runs, scores, strict=True)]


def test_the_table_has_them(experiment: Experiment) -> None:
    text = " ".join(experiment_table.table(collect(experiment, rows(experiment))).split())
    assert "Tested at other lengths" in text
    assert "| Length 40 | Length 80 |" in text.replace("  ", " ")
    assert "2/3 solved [21–94 %], median 9.00e-4, n=3" in text
    assert "0/3 solved [0–56 %], 0.100 and 0.200, n=2 of 3, 1 not finite" in text
    assert "0.200 [0.0357–1.12], n=3" in text, "of errors the geometric mean"


def test_without_such_scores_there_is_no_block(experiment: Experiment) -> None:
    plain = [made(run, 0) for run in experiment.runs]
    assert "other lengths" not in experiment_table.table(collect(experiment, plain))


def test_every_format_has_them(experiment: Experiment) -> None:
    entries = collect(experiment, rows(experiment))
    records = [one for one in json.loads(experiment_table.table(entries, "json")) if one["kind"] == "length"]
    assert [(one["task"], one["metric"], one["length"], one["done"], one["solved"]) for one in records] == [
        ("adding(length=20)", "mse", 40, 3, 2),
        ("adding(length=20)", "mse", 80, 2, 0),
        ("copy-memory(delay=5)", "loss", 40, 3, None),
        ("copy-memory(delay=5)", "loss", 80, 3, None),
        ("copy-memory(delay=5)", "recall", 40, 3, 0),
        ("copy-memory(delay=5)", "recall", 80, 3, 0),
    ]
    assert records[2]["mean"] == pytest.approx(0.2)
    assert [records[0][f"seed_{seed}"] for seed in range(3)] == [1e-4, 9e-4, 0.2]
    assert "Tested at other lengths" in experiment_table.table(entries, "latex")
    assert "\nlength," in experiment_table.table(entries, "csv")


def test_the_page_shows_them(experiment: Experiment, tmp_path: Path) -> None:
    Workplace(experiment.folder).published.replace(rows(experiment))
    written = page.write(tmp_path / "x.html", [experiment.folder])
    text = written.read_text(encoding="utf-8")
    assert "Tested at other lengths" in text
    assert "2/3 solved" in text
    pictures = [one["alt"] for one in pages.read(written).all("img")]
    (lengths,) = [alt for alt in pictures if "against the length of the sequences" in alt]
    assert "adding, trained at length=20: gru" in lengths
    assert "0.141 at 80" in lengths
