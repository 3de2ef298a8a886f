"""The share of runs that solve a task against its length, trained there or only tested there."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawing import FEW, all_rows, assert_readable, caption, made, points, scored, write
from matplotlib.axes import Axes
from seqbench.bench.analysis import statistics
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.figures import length_scores, tested_lengths
from seqbench.bench.report.figures.panels import NothingToDraw, gather
from seqbench.bench.rows.store import Row

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


RANGED = """
question: How far beyond its lengths?
seeds: 3
training: {test_lengths: [40, 512]}
rows:
- task: [parity(target=end), selective-copying]
  models: [gru(width=4), "tcn(width=4, kernel=2, levels=2)"]
"""


def ranged(folder: Path) -> tuple[Experiment, list[Row]]:
    """Accuracies 100, 90 and 80 at the task's own length, at 40 as much, at 512 the floor."""
    experiment = write(folder, RANGED)
    rows = []
    for run in experiment.runs:
        test = {metric.name: 100.0 - 10 * run.seed for metric in run.make_task().metrics}
        low = {metric.name: metric.floor for metric in run.make_task().metrics}
        best = {"best": {"epoch": 1, "valid": test, "test": test}, "last": {"test": test}}
        rows.append(made(run, 0, scores=best, lengths={"40": test, "512": low}))
    return experiment, rows


def test_lengths_of_training_are_shaded_where_they_are_a_range(tmp_path: Path) -> None:
    figure = length_scores.draw(gather(*ranged(tmp_path)))
    titles = ["".join(axes.get_title().split()) for axes in figure.axes]
    assert titles == ["parity(target=end),trainedatlength3to40", "selective-copying(memory=8),trainedatlength=64"]
    assert [len(axes.patches) for axes in figure.axes] == [1, 0]
    (span,) = figure.axes[0].patches
    assert [span.get_x(), span.get_x() + span.get_width()] == [3, 40]  # type: ignore[attr-defined]
    assert shares(figure.axes[0], "^") == [(40, pytest.approx(1 / 3)), (256, pytest.approx(1 / 3)), (512, 0.0)]
    assert length_scores.RANGE in caption(figure)
    assert_readable(figure)


def test_scores_at_each_length_are_the_means_of_the_runs(tmp_path: Path) -> None:
    experiment, rows = ranged(tmp_path)
    for place, run in enumerate(experiment.runs):
        if run.task.name == "parity" and run.seed == 2:
            rows[place] = made(run, 0, "diverged")
    figure = tested_lengths.draw(gather(experiment, rows))
    one, other = figure.axes
    assert shares(one, "^") == [(40, 95.0), (256, 95.0), (512, 50.0)]
    assert shares(other, "^") == [(40, 90.0), (64, 90.0), (512, pytest.approx(100 / 14))]
    low, high, _ = statistics.interval([100.0, 90.0, 80.0], False)  # type: ignore[misc]
    bars = [points(line) for line in other.lines if line.get_marker() == "None" and len(points(line)) == 2]
    assert any([y for _, y in bar] == [pytest.approx(low), 100.0] for bar in bars), "cut at what can be reached"
    assert high > 100
    assert {text.get_text() for axes in figure.axes for text in axes.texts} == {"floor", "solved"}
    assert length_scores.RANGE in caption(figure)
    assert_readable(figure)


def test_a_floor_that_depends_on_the_length_is_left_out(tmp_path: Path) -> None:
    experiment = write(tmp_path, RANGED.replace("parity(target=end), selective-copying", "copy-memory(delay=20)"))
    rows = [made(run, 0, lengths={"40": {"loss": 0.1}, "512": {"loss": 0.2}}) for run in experiment.runs]
    (axes,) = tested_lengths.draw(gather(experiment, rows)).axes
    assert not axes.texts


def test_without_other_lengths_there_is_no_such_figure(tmp_path: Path) -> None:
    experiment = write(tmp_path, SEVERAL)
    with pytest.raises(NothingToDraw, match="tested at other lengths"):
        tested_lengths.draw(gather(experiment, all_rows(experiment)))


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
