"""The ledger for people: one table a family of tasks, narrow enough for a browser, and what the README shows of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ledgers import JSB, gru_rows, lay_out, number, write
from seqbench.bench.analysis import published
from seqbench.bench.analysis.ledger import lines
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.tables import ledger_table
from seqbench.bench.report.tables.writers import Table

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    return write(tmp_path / "results" / "x", JSB)


def test_numbers_of_one_family_stand_in_one_table(experiment: Experiment) -> None:
    lay_out(experiment, gru_rows(experiment))
    numbers = [number("8.10", family="Music"), number("3.1", task="nottingham", family="Words"),
               number("8.91", name="RNN", model="rnn", family="Music")]  # fmt: skip
    tables = {
        block.title: block for block in ledger_table.blocks(lines([experiment.folder], numbers=numbers[::2]))
        if isinstance(block, Table)
    }  # fmt: skip
    assert list(tables) == ["Music"]
    header, (gru, rnn) = tables["Music"].header, tables["Music"].lines
    assert header == ["Task", "Model", "Published", "Ours", "Parameters (published)", "Verdict", "Why"]
    assert gru[:4] == [("jsb", "nats (nats/frame) ↓"), ("GRU",), ("8.10",), ("8.10 [7.85–8.35]", "n=3")]
    assert rnn[3:6] == [("–",), ("– (300K)",), ("not run",)]


def test_the_score_at_the_best_epoch_stands_where_another_is_compared() -> None:
    """That is where the paper's number is the mean of the last three epochs; music has a validation set."""
    tables = [block for block in ledger_table.blocks(lines(source="published")) if isinstance(block, Table)]
    beside = {table.title: ledger_table.BEST_TITLE in table.header for table in tables}
    assert beside["Synthetic"]
    assert beside["Digits by pixels"]
    assert not beside["Polyphonic music"]


def test_every_judged_number_of_the_suite_is_of_a_family() -> None:
    judged = [one for one in published.read() if one.judged]
    assert len(judged) == 41
    assert len({one.family for one in judged}) == 5
    assert all(one.family for one in judged)


def test_no_table_of_verdicts_is_wider_than_a_browser() -> None:
    """At 1200 points GitHub gives a page 1012, some 130 letters: the longest words of a line fit side by side."""
    for block in ledger_table.blocks(lines(source="published")):
        if isinstance(block, Table):
            widest = [
                max(len(word) for text in column for part in text for word in re.split(r"[\s–-]", part))
                for column in zip(*block.lines, [(name,) for name in block.header], strict=True)
            ]
            assert sum(widest) + 4 * len(widest) < 130, block.title


def test_the_readme_shows_the_ledgers_figure_and_counts_its_verdicts() -> None:
    """Where this fails: make answers."""
    committed = (ROOT / "results" / "ledger.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert ledger_table.PICTURE in committed
    assert "](results/ledger.png)" in readme
    assert (ROOT / "results" / "ledger.png").is_file()
    assert committed.partition("\n")[0] in readme
