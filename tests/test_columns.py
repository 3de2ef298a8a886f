"""A column of costs is added in one file, and stands in Markdown, LaTeX, CSV, JSON and on the page."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from command import seqbench
from made_rows import made, write
from seqbench.bench.report.tables import cost_table
from seqbench.bench.report.tables.cost_table import Column
from seqbench.bench.rows.store import Workplace

TEXT = """
question: Which one?
rows:
- task: adding(length=20)
  models: [gru(width=4), "OWN"]
"""
NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, channels, width=4):
        super().__init__()
        self.map = nn.Linear(channels, width)

    def forward(self, x):
        return self.map(x)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rows of a model of the suite and of a plain module, which does not tell the size of its state."""
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "net.py").write_text(NET, encoding="utf-8")
    experiment = write(tmp_path / "mine", TEXT.replace("OWN", "net.py:Net"))
    Workplace(experiment.folder).published.replace(made(run) for run in experiment.runs)
    return experiment.folder


def test_a_column_is_added_in_one_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    column = Column("kilobytes", "Kilobytes", lambda entry: None if entry.parameters is None else 4 * entry.parameters)
    monkeypatch.setattr(cost_table, "COLUMNS", (*cost_table.COLUMNS, column))
    answers = {name: seqbench("table", folder, "--format", name) for name in ("md", "latex", "csv", "json")}
    assert {answer.code for answer in answers.values()} == {0}
    for name in ("md", "latex"):
        assert "Kilobytes" in answers[name].out
        assert "420" in answers[name].out
    (first, *_) = csv.DictReader(io.StringIO(answers["csv"].out))
    assert first["kilobytes"] == "420"
    assert json.loads(answers["json"].out)[0]["kilobytes"] == 420
    page = folder / "page.html"
    assert seqbench("report", folder, "--out", page).code == 0
    assert "Kilobytes" in page.read_text(encoding="utf-8")


def test_a_size_that_a_model_does_not_tell_is_a_word(folder: Path) -> None:
    lines = [*csv.DictReader(io.StringIO(seqbench("table", folder, "--format", "csv").out))]
    assert [line["state_size"] for line in lines] == ["4", "unknown"]
    assert [line["parameters"] for line in lines] == ["105", "105"]
