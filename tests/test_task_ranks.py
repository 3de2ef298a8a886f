"""Mean ranks over tasks: by hand, with equal scores, with an interval, and drawn for models that were tuned alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawing import write
from made_rows import of_scores
from seqbench.bench.analysis.grid import collect
from seqbench.bench.analysis.task_ranks import mean_ranks
from seqbench.bench.experiments import config
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.figures import rank_figure
from seqbench.bench.report.figures.panels import NothingToDraw, gather
from seqbench.bench.rows.store import Row
from seqbench.bench.tuning import selection, winners
from studies import study_in, trial_rows

THREE = """\
question: Who leads?
seeds: 5
rows:
- task: adding(length=20)
  models: [gru(width=4), lstm(width=4), rnn(width=4)]
- task: copy-memory(delay=5)
  models: [gru(width=4), lstm(width=4), rnn(width=4)]
- task: parity
  models: [gru(width=4), lstm(width=4), rnn(width=4)]
"""
SCORES = {
    ("adding", "gru"): [1e-4] * 5,  # both solve it: they are equal
    ("adding", "lstm"): [9e-4] * 5,
    ("adding", "rnn"): [0.1] * 5,
    ("copy-memory", "gru"): [0.9] * 5,
    ("copy-memory", "lstm"): [0.5] * 5,
    ("copy-memory", "rnn"): [0.2] * 5,
    ("parity", "gru"): [60, 60, 60, 60, 90],  # the mean is that of the LSTM; another draw is not
    ("parity", "lstm"): [66] * 5,
    ("parity", "rnn"): [55] * 5,
}


def rows_of(experiment: Experiment) -> list[Row]:
    return of_scores(experiment, SCORES)


def test_ranks_by_hand(tmp_path: Path) -> None:
    experiment = write(tmp_path, THREE)
    found = mean_ranks(collect(experiment, rows_of(experiment)))
    assert found is not None
    assert len(found.tasks) == 3
    assert {line.model: round(line.rank, 6) for line in found.models} == {
        "gru": round((1.5 + 1 + 1.5) / 3, 6),
        "lstm": round((1.5 + 2 + 1.5) / 3, 6),
        "rnn": 3.0,
    }
    assert [line.model for line in found.models] == ["gru", "lstm", "rnn"]
    first, second, last = (line.interval for line in found.models)
    assert first is not None
    assert second is not None
    assert last is not None
    assert first[:2] == pytest.approx(((1.5 + 1 + 1) / 3, (1.5 + 1 + 2) / 3)), "first or second on parity"
    assert last[:2] == (3, 3)
    again = mean_ranks(collect(experiment, rows_of(experiment)))
    assert again == found, "the same rows give the same interval"


def test_no_ranks_of_models_that_were_not_tuned_alike(tmp_path: Path) -> None:
    experiment = write(tmp_path, THREE)
    with pytest.raises(NothingToDraw, match="tuned alike"):
        rank_figure.draw(gather(experiment, rows_of(experiment)))


def test_ranks_are_drawn_the_best_on_top(tmp_path: Path) -> None:
    block = "tune:\n  trials: 2\n  seeds: [9]\n  space:\n    clip: [0.25, none]\n"
    searched = study_in(tmp_path, THREE.replace("rows:", f"{block}rows:"))
    winners.write(searched, selection.searched(searched, trial_rows(searched, tasks=3)))
    experiment = config.load(tmp_path)
    figure = rank_figure.draw(gather(experiment, rows_of(experiment)))
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["gru", "lstm", "rnn"]
    assert axes.yaxis_inverted()
