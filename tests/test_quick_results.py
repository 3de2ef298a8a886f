"""What the committed rows of `results/quick` show, said so that it can be false."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from seqbench.bench.analysis.grid import Entry, collect
from seqbench.bench.evidence.publishing import write_answers
from seqbench.bench.experiments import config
from seqbench.bench.rows.store import RowFile, untouched

QUICK = Path(__file__).resolve().parent.parent / "results" / "quick"


@pytest.fixture(scope="module")
def scores() -> dict[str, dict[str, list[float]]]:
    """`task metric` -> model -> the scores of its seeds."""
    entries: list[Entry] = collect(config.load(QUICK), RowFile(QUICK / "runs.jsonl").read(), "cpu")
    found: dict[str, dict[str, list[float]]] = {}
    for entry in entries:
        assert entry.done == entry.expected == 2, f"{entry.task} {entry.model} is not whole"
        task = entry.task.partition("(")[0]
        found.setdefault(f"{task} {entry.metric.name}", {})[entry.model_name] = list(entry.values.values())
    return found


def test_rows_are_clean_and_as_they_were_written() -> None:
    rows = RowFile(QUICK / "runs.jsonl").read()
    assert rows
    for row in rows:
        assert untouched(row), row["label"]
        assert row["provenance"]["dirty"] is False, row["label"]
        assert row["provenance"]["commit"], row["label"]


def test_only_the_tcn_repeats_what_it_saw(scores: dict[str, dict[str, list[float]]]) -> None:
    recall = scores["copy-memory recall"]
    assert min(recall["tcn"]) > 0.95
    assert max(max(recall[name]) for name in ("rnn", "lstm", "gru")) < 0.25


def test_gru_and_tcn_learn_to_add_and_the_plain_rnn_does_not(scores: dict[str, dict[str, list[float]]]) -> None:
    error = scores["adding mse"]
    assert max(error["gru"]) < 0.001
    assert max(error["tcn"]) < 0.02
    assert min(error["rnn"]) > 0.15


def test_recurrent_networks_do_not_lose_on_rows_of_digits(scores: dict[str, dict[str, list[float]]]) -> None:
    accuracy = scores["sequential-mnist accuracy"]
    gated = [*accuracy["lstm"], *accuracy["gru"], *accuracy["tcn"]]
    spread = max(gated) - min(gated)
    assert spread < 3
    assert min(gated) - max(accuracy["rnn"]) > spread  # the plain RNN is further behind than they lie apart


def test_on_chorales_the_tcn_is_before_the_lstm_and_the_lstm_before_the_rnn(
    scores: dict[str, dict[str, list[float]]],
) -> None:
    nats = scores["jsb nats"]
    assert max(nats["tcn"]) < min(nats["lstm"])
    assert max(nats["lstm"]) < min(nats["rnn"])


def test_two_seeds_are_shown_as_they_are_and_nothing_is_said_over_all_tasks() -> None:
    table = (QUICK / "table.md").read_text("utf-8")
    scores = table.partition("\n\nCells:")[0]
    assert " and " in scores
    assert not re.search(r"\[\S+–\S+\]", scores), "no interval of two scores"
    assert "No numbers over all tasks: these need 5 runs of each model on each task, and the fewest is 2 runs." in table


def test_table_and_figure_are_what_the_rows_give(tmp_path: Path) -> None:
    for name in ("experiment.yaml", "runs.jsonl", "renewed.jsonl", "gradients.csv"):
        (tmp_path / "quick").mkdir(exist_ok=True)
        (tmp_path / "quick" / name).write_bytes((QUICK / name).read_bytes())
    written = write_answers(config.load(tmp_path / "quick"), "cpu")
    figures = ("overview", "scores", "score-state", "score-cost", "learning-epochs", "learning-time", "gradients")
    assert {path.name for path in written} == {
        "table.md",
        *(f"{name}.{end}" for name in figures for end in ("png", "svg")),
    }
    assert (tmp_path / "quick" / "table.md").read_text("utf-8") == (QUICK / "table.md").read_text("utf-8")
