"""Learning curves: the mean and the band are those of the rows, and runs that leave them show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawing import FEW, MANY, all_rows, assert_readable, caption, made, points, write
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from seqbench.bench.report.figures import curves
from seqbench.bench.report.figures.panels import NothingToDraw, gather
from seqbench.bench.rows.store import Row, signed

ONE = """
question: One task
seeds: 3
training: {epochs: 4, learning_rate: 0.01}
rows:
- task: adding(length=20)
  models: [gru(width=4), "tcn(width=4, kernel=2, levels=2)"]
- task: jsb
  models: [gru(width=4)]
"""


def curve(row: Row, scores: list[float | None], seconds: float) -> Row:
    """The row with a validation curve of these scores, an epoch every `seconds`."""
    entries = [
        {"epoch": epoch, "valid": {"mse": score, "nats": score}, "seconds": seconds * epoch}
        for epoch, score in enumerate(scores, 1)
    ]
    return signed(row | {"curve": entries})


def means(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_marker() in "^osv"]


def test_the_mean_and_the_band_are_those_of_the_seeds(tmp_path: Path) -> None:
    experiment = write(tmp_path, ONE)
    runs = experiment.cells[0].runs
    scores: list[list[float | None]] = [[8.0, 2.0], [4.0, 1.0], [2.0, 0.5]]
    rows = [curve(made(run, 0), score, 10.0 + run.seed) for run, score in zip(runs, scores, strict=True)]
    evidence = gather(experiment, rows)
    figure = curves.draw(evidence, "epochs")
    (axes,) = figure.axes
    (mean,) = means(axes)
    assert points(mean) == [(1, pytest.approx(4.0)), (2, pytest.approx(1.0))]  # geometric: errors
    (band,) = [part for part in axes.collections if isinstance(part, PolyCollection)]
    corners = {(float(x), float(y)) for x, y in band.get_paths()[0].vertices}  # type: ignore[union-attr]
    assert corners == {(1, 2.0), (1, 8.0), (2, 0.5), (2, 2.0)}
    assert axes.get_xlabel() == "epochs"
    assert figure.get_figwidth() == 3.3
    (mean,) = means(curves.draw(evidence, "time").axes[0])
    assert [x for x, _ in points(mean)] == [pytest.approx(11.0), pytest.approx(22.0)]
    assert "not shown" not in caption(figure).lower()


def test_scores_of_which_more_is_better_are_averaged_as_they_are(tmp_path: Path) -> None:
    experiment = write(tmp_path, ONE.replace("adding(length=20)", "sequential-mnist(view=rows)"))
    runs = experiment.cells[0].runs
    rows = []
    for run, score in zip(runs, (10.0, 20.0, 90.0), strict=True):
        row = made(run, 0, epochs=2)
        for entry in row["curve"]:
            entry["valid"]["accuracy"] = score
        rows.append(signed(row))
    (mean,) = means(curves.draw(gather(experiment, rows), "epochs").axes[0])
    assert points(mean) == [(1, pytest.approx(40.0)), (2, pytest.approx(40.0))]


def test_runs_that_diverge_or_stop_early_never_drop_out(tmp_path: Path) -> None:
    experiment = write(tmp_path, ONE)
    one, two, three = experiment.cells[0].runs
    rows = [
        curve(made(one, 0), [1.0, 0.5, 0.25], 1.0),
        curve(made(two, 0), [1.0, 0.5], 1.0),
        curve(made(three, 0, "diverged"), [1.0, 3.0, None, 9.0], 1.0),
        curve(made(experiment.cells[1].runs[0], 0, "diverged"), [None], 1.0),
    ]
    figure = curves.draw(gather(experiment, rows), "epochs")
    (axes,) = figure.axes
    (mean,) = means(axes)
    assert points(mean) == [(1, 1.0), (2, 0.5)]
    thin = [points(line) for line in axes.lines if line.get_linewidth() < 0.8 and line.get_marker() == "None"]
    assert [(2, 0.5), (3, 0.25)] in thin
    assert [(1, 1.0), (2, 3.0)] in thin
    assert [points(line) for line in axes.lines if line.get_marker() == "x"] == [[(2, 3.0)]]
    for words in (curves.APART, curves.ALONE, "Diverged before there was a score: 1."):
        assert words in caption(figure)
    assert_readable(figure)


def test_one_seed_has_a_line_and_no_band(tmp_path: Path) -> None:
    experiment = write(tmp_path, ONE.replace("seeds: 3", "seeds: 1"))
    (axes,) = curves.draw(gather(experiment, [made(experiment.runs[0], 0, epochs=3)]), "epochs").axes
    assert len(means(axes)) == 1
    assert not axes.collections


def test_tasks_of_one_epoch_are_named_and_not_drawn(tmp_path: Path) -> None:
    experiment = write(tmp_path, ONE)
    rows = [made(run, 0, epochs=2 if "jsb" in str(run) else 1) for run in experiment.runs]
    figure = curves.draw(gather(experiment, rows), "time")
    assert [axes.get_title() for axes in figure.axes] == ["jsb"]
    assert "because of one epoch: adding(length=20)" in caption(figure)
    with pytest.raises(NothingToDraw, match="no run has a second epoch"):
        curves.draw(gather(experiment, all_rows(experiment)), "time")


@pytest.mark.parametrize(
    ("longest", "unit", "length"), [(599.0, "seconds", 1), (600.0, "minutes", 60), (40_000.0, "hours", 3600)]
)
def test_time_has_a_unit_that_is_easily_read(tmp_path: Path, longest: float, unit: str, length: int) -> None:
    experiment = write(tmp_path, ONE)
    rows = [curve(made(experiment.runs[0], 0), [1.0, 0.5], longest / 2)]
    (axes,) = curves.draw(gather(experiment, rows), "time").axes
    assert axes.get_xlabel() == unit
    assert points(means(axes)[0])[-1][0] == pytest.approx(longest / length)


def test_errors_decades_apart_stand_on_a_logarithmic_axis(tmp_path: Path) -> None:
    experiment = write(tmp_path, ONE)
    rows = [curve(made(experiment.runs[0], 0), [1.0, 1e-4], 1.0)]
    (axes,) = curves.draw(gather(experiment, rows), "epochs").axes
    assert axes.get_yscale() == "log"
    assert np.log10(axes.get_ylim()[0]) < -4


@pytest.mark.parametrize(("text", "epochs"), [(FEW, 3), (MANY, 12)])
def test_no_text_covers_another_and_none_is_cut_off(tmp_path: Path, text: str, epochs: int) -> None:
    experiment = write(tmp_path, text)
    rows = [
        made(run, place, "diverged" if place % 17 == 5 else "done", epochs) for place, run in enumerate(experiment.runs)
    ]
    assert_readable(curves.draw(gather(experiment, rows), "time"))
