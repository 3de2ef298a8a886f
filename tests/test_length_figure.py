"""The share of runs that solve a task against its length, trained there or only tested there."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawing import FEW, all_rows, assert_readable, caption, made, points, scored, write
from matplotlib.axes import Axes
from seqbench.bench.analysis import statistics
from seqbench.bench.report.figures import length_scores
from seqbench.bench.report.figures.panels import NothingToDraw, gather

SEVERAL = """
question: Which lengths?
seeds: 4
models: [gru(width=4), "tcn(width=4, kernel=2, levels=2)"]
rows:
- task: [adding(length=40), "adding(length=20)", "adding(length=20, train=3200)", jsb]
"""
TESTED = """
question: How far beyond its length?
seeds: 2
training: {test_lengths: [40, 80]}
rows:
- task: adding(length=20)
  models: [gru(width=4)]
"""


def shares(axes: Axes, marker: str) -> list[tuple[float, float]]:
    """The nearest length that has a name, and the share, of each mark."""
    ticks = axes.get_xticks()
    (line,) = [line for line in axes.lines if line.get_marker() == marker]
    return [(float(min(ticks, key=lambda tick: abs(tick - x))), y) for x, y in points(line)]


def test_shares_are_those_of_the_runs_that_ended(tmp_path: Path) -> None:
    experiment = write(tmp_path, SEVERAL)
    of_task = {cell.task: cell for cell in experiment.cells if cell.runs[0].model.name == "gru"}
    one, two, three, _ = of_task["adding(length=20)"].runs  # the fourth has not run
    rows = [made(one, 0, **scored(1e-4)), made(two, 0, **scored(0.1)), made(three, 0, "diverged")]
    rows += [made(run, 0, **scored(1e-4)) for run in of_task["adding(length=40)"].runs]
    figure = length_scores.draw(gather(experiment, rows))
    (axes,) = figure.axes
    assert axes.get_title() == "adding"
    assert axes.get_xlabel() == "length"
    assert [*axes.get_xticks()] == [20, 40]
    assert shares(axes, "^") == [(20, pytest.approx(1 / 3)), (40, 1.0)]
    assert not [line for line in axes.lines if line.get_marker() == "o"]  # no run of it has ended
    bars = [points(line) for line in axes.lines if line.get_marker() == "None"]
    assert [(low, high) for (_, low), (_, high) in bars] == [statistics.wilson(1, 3)[:2], statistics.wilson(4, 4)[:2]]
    assert "Wilson" in caption(figure)
    assert length_scores.ELSEWHERE not in caption(figure)
    assert_readable(figure)


def test_lengths_that_were_only_tested_are_a_panel_of_their_own(tmp_path: Path) -> None:
    experiment = write(tmp_path, TESTED)
    at = [{"40": {"mse": 1e-4}, "80": {"mse": 0.1}}, {"40": {"mse": 0.2}, "80": {"mse": None}}]
    rows = [made(run, 0, **scored(1e-4), lengths=at[run.seed]) for run in experiment.runs]
    figure = length_scores.draw(gather(experiment, rows))
    (axes,) = figure.axes
    assert axes.get_title() == "adding, trained at length=20"
    assert shares(axes, "^") == [(20, 1.0), (40, 0.5), (80, 0.0)]
    assert length_scores.ELSEWHERE in caption(figure)


def test_models_of_one_length_stand_side_by_side(tmp_path: Path) -> None:
    experiment = write(tmp_path, SEVERAL)
    (axes,) = length_scores.draw(gather(experiment, all_rows(experiment))).axes
    left, right = ([x for x, _ in points(line)] for line in axes.lines if line.get_marker() in "^o")
    assert all(0 < b - a < 0.2 * 20 for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("text", [FEW, SEVERAL.replace("[adding(length=40), ", "[")])
def test_one_length_is_no_figure(tmp_path: Path, text: str) -> None:
    experiment = write(tmp_path, text)
    with pytest.raises(NothingToDraw, match="no solvable task at several lengths"):
        length_scores.draw(gather(experiment, all_rows(experiment)))


def test_lengths_close_together_have_no_names_that_touch(tmp_path: Path) -> None:
    several = ", ".join(f"adding(length={length})" for length in (20, 21, 22, 100, 2000))
    experiment = write(tmp_path, SEVERAL.replace('adding(length=40), "adding(length=20)"', several))
    figure = length_scores.draw(gather(experiment, all_rows(experiment)))
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["20", "", "", "", "2000"]
    assert_readable(figure)
