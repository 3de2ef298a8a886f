"""Scores with their intervals, by model and by size: what is drawn is what the rows and the statistics say."""

from __future__ import annotations

from pathlib import Path

import pytest
from drawing import FEW, MANY, all_rows, assert_readable, caption, made, marks, points, scored, write
from matplotlib.axes import Axes
from matplotlib.markers import CARETDOWNBASE, CARETUPBASE
from seqbench.bench.analysis import statistics
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.figures import scores
from seqbench.bench.report.figures.panels import NothingToDraw, gather
from seqbench.bench.rows.store import Row, signed

JSB = """
question: One task
seeds: 3
models: [gru(width=4), "tcn(width=4, kernel=2, levels=2)"]
rows:
- task: jsb
"""
ADDING = JSB.replace("jsb", "adding(length=20)")
SIZES = """
question: One architecture at several sizes
seeds: 2
rows:
- task: jsb
  models: ["tcn(width=4, levels=3)", "tcn(width=4, levels=2)", gru(width=4), "tcn(width=4, levels=4)"]
"""


def rows_of(experiment: Experiment, *values: list[float | None]) -> list[Row]:
    """For each cell its seeds' scores; None is a run that diverged."""
    return [
        made(run, 0, "diverged") if value is None else made(run, 0, **scored(value))
        for cell, of_cell in zip(experiment.cells, values, strict=True)
        for run, value in zip(cell.runs, of_cell, strict=False)
    ]


def bars(axes: Axes) -> list[list[tuple[float, float]]]:
    """Both ends of each interval that is drawn."""
    upright = [points(line) for line in axes.lines if line.get_linestyle() == "-" and len(points(line)) == 2]
    return [ends for ends in upright if ends[0][0] == ends[1][0]]


def test_means_intervals_and_runs_are_those_of_the_rows(tmp_path: Path) -> None:
    experiment = write(tmp_path, JSB)
    values: list[list[float | None]] = [[8.0, 8.2, 8.5], [9.0, 9.1, 9.3]]
    (axes,) = scores.by_model(gather(experiment, rows_of(experiment, *values))).axes
    for place, (mark, sample) in enumerate(zip("^o", ([8.0, 8.2, 8.5], [9.0, 9.1, 9.3]), strict=True)):
        *runs, centre = sorted(marks(axes, mark), key=lambda point: point[0])
        assert [score for _, score in runs] == sample
        assert all(x < place for x, _ in runs)
        assert centre == (place, pytest.approx(statistics.centre(sample, logarithmic=True)))
        interval = statistics.interval(sample, logarithmic=True)
        assert interval
        assert bars(axes)[place] == [(place, pytest.approx(interval.low)), (place, pytest.approx(interval.high))]


def test_a_single_run_has_a_mark_and_no_bar(tmp_path: Path) -> None:
    experiment = write(tmp_path, JSB)
    figure = scores.by_model(gather(experiment, rows_of(experiment, [8.0], [9.0, 9.2, 9.1])))
    (axes,) = figure.axes
    assert (0, pytest.approx(8.0)) in marks(axes, "^")
    assert [ends[0][0] for ends in bars(axes)] == [1]
    assert "One or two runs have no interval." in caption(figure)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["gru\n1/3", "tcn"]
    assert_readable(figure)


def test_the_mean_of_a_solvable_task_is_of_the_runs_that_solved_it(tmp_path: Path) -> None:
    experiment = write(tmp_path, ADDING)
    figure = scores.by_model(gather(experiment, rows_of(experiment, [1e-5, 1e-3, 0.16], [0.16, 0.17, None])))
    (axes,) = figure.axes
    assert (0, pytest.approx(1e-4)) in marks(axes, "^")
    assert 1 not in {x for x, _ in marks(axes, "o")}  # none solved it: the runs alone
    assert sorted(score for _, score in marks(axes, "o")) == [0.16, 0.17]
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[0] > 0
    assert "mean of the runs that solved it" in caption(figure)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["gru", "tcn\n2/3"]


def test_a_wide_interval_is_cut_and_does_not_crowd_out_the_scores(tmp_path: Path) -> None:
    experiment = write(tmp_path, JSB)
    figure = scores.by_model(gather(experiment, rows_of(experiment, [8.0, 8.0, 9.4], [9.4, 9.5, 9.45])))
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    assert (low, high) == (pytest.approx(8.0 - 0.5 * 1.5 - 0.09), pytest.approx(9.5 + 0.5 * 1.5 + 0.09))
    assert marks(axes, CARETDOWNBASE) == [(0, low)]  # type: ignore[arg-type]
    assert marks(axes, CARETUPBASE) == [(0, high)]  # type: ignore[arg-type]
    assert scores.CUT in caption(figure)
    whole = scores.by_model(gather(experiment, rows_of(experiment, [8.0, 8.01, 8.02], [9.4, 9.5, 9.45])))
    assert not marks(whole.axes[0], CARETDOWNBASE)  # type: ignore[arg-type]
    assert scores.CUT not in caption(whole)


def test_a_floor_far_away_is_left_out_and_one_nearby_is_not(tmp_path: Path) -> None:
    experiment = write(tmp_path, JSB)
    far = scores.by_model(gather(experiment, rows_of(experiment, [8.0, 8.1], [8.2, 8.3])))
    assert not far.axes[0].texts
    assert scores.FAR in caption(far)
    near = scores.by_model(gather(experiment, rows_of(experiment, [8.0, 8.1], [10.5, 10.6])))
    assert [text.get_text() for text in near.axes[0].texts] == ["floor"]
    assert scores.FAR not in caption(near)


def test_published_numbers_are_marked_where_they_are_known(tmp_path: Path) -> None:
    experiment = write(tmp_path, JSB)
    rows = rows_of(experiment, [8.0, 8.2], [9.0, 9.1])
    known = {("jsb", "gru"): 12.5, ("jsb", "lstm"): 1.0, ("nottingham", "tcn"): 2.0}
    figure = scores.by_model(gather(experiment, rows, published=known))
    (axes,) = figure.axes
    assert [score for _, score in marks(axes, "*")] == [12.5]
    assert axes.get_ylim()[1] > 12.5
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["published"]
    own = {**known, ("jsb", "tcn(kernel=2, levels=2)"): 7.5}
    assert [score for _, score in marks(scores.by_model(gather(experiment, rows, published=own)).axes[0], "*")] == [
        12.5,
        7.5,
    ]
    assert not scores.by_model(gather(experiment, rows)).legends


def test_sizes_are_those_of_the_rows_and_an_architecture_is_joined(tmp_path: Path) -> None:
    experiment = write(tmp_path, SIZES)
    sizes = [3000, 2000, 2500, 4000]
    rows = [
        signed(row | {"parameters": size, "state_size": size // 10})
        for size, cell in zip(sizes, experiment.cells, strict=True)
        for row in (made(run, 0, **scored(8.0 + size / 1e4 + run.seed / 100)) for run in cell.runs)
    ]
    figure = scores.by_size(gather(experiment, rows), "parameters")
    (axes,) = figure.axes
    assert sorted(x for x, _ in marks(axes, "o")) == [2000, 3000, 4000]
    assert [x for x, _ in marks(axes, "^")] == [2500]
    (joined,) = [points(line) for line in axes.lines if len(points(line)) == 3]
    assert [x for x, _ in joined] == [2000, 3000, 4000]
    assert axes.get_xlabel() == "parameters"
    assert len({text.get_text() for text in figure.legends[0].get_texts()}) == 4
    fills = {line.get_fillstyle() for line in axes.lines if line.get_marker() == "o"}
    assert fills == {"full", "none", "left"}
    state = scores.by_size(gather(experiment, rows), "state").axes[0]
    assert sorted(x for x, _ in marks(state, "o")) == [200, 300, 400]
    assert_readable(figure)


@pytest.mark.parametrize(("largest", "scale"), [(250, "linear"), (900, "log"), (90_000, "log")])
def test_sizes_far_apart_stand_on_a_logarithmic_axis(tmp_path: Path, largest: int, scale: str) -> None:
    experiment = write(tmp_path, JSB)
    rows = [signed(row | {"state_size": 100 if "gru" in row["label"] else largest}) for row in all_rows(experiment)]
    figure = scores.by_size(gather(experiment, rows), "state")
    assert figure.axes[0].get_xscale() == scale
    low, high = figure.axes[0].get_xlim()
    shown = [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high]
    assert 2 <= len(shown) <= 4
    assert_readable(figure)


def test_matched_sizes_are_no_axis(tmp_path: Path) -> None:
    experiment = write(tmp_path, JSB)
    rows = [signed(row | {"parameters": 1000 + place}) for place, row in enumerate(all_rows(experiment))]
    with pytest.raises(NothingToDraw, match=r"differ in parameters \(by 10% or more\)"):
        scores.by_size(gather(experiment, rows), "parameters")


@pytest.mark.parametrize("text", [FEW, MANY])
def test_no_text_covers_another_and_none_is_cut_off(tmp_path: Path, text: str) -> None:
    experiment = write(tmp_path, text)
    rows = [
        signed(made(run, place, "diverged" if place % 17 == 5 else "done") | {"state_size": 10 ** (1 + place % 4)})
        for place, run in enumerate(experiment.runs)
    ]
    published = {(cell.task, cell.model): 5.0 for cell in experiment.cells}
    evidence = gather(experiment, rows, published=published)
    assert_readable(scores.by_model(evidence))
    if text == FEW:
        assert_readable(scores.by_size(evidence, "state"))


def test_one_score_alone_has_an_axis(tmp_path: Path) -> None:
    experiment = write(tmp_path, JSB)
    figure = scores.by_model(gather(experiment, rows_of(experiment, [8.0], [])))
    low, high = figure.axes[0].get_ylim()
    assert low < 8.0 < high
    assert_readable(figure)


def test_planned_contrasts_are_drawn_with_their_reference_and_what_matters(tmp_path: Path) -> None:
    text = JSB.replace("seeds: 3", "seeds: 5\npreset: published\nreference: tcn")
    experiment = write(tmp_path, text)
    rows = rows_of(experiment, [8.5, 8.52, 8.54, 8.51, 8.53], [8.1, 8.12, 8.14, 8.11, 8.13])
    figure = scores.by_model(gather(experiment, rows))
    (axes,) = figure.axes
    mean = statistics.centre([8.1, 8.12, 8.14, 8.11, 8.13], logarithmic=True)
    dashed = [line for line in axes.lines if line.get_linestyle() == "--" and points(line)[0][1] == pytest.approx(mean)]
    assert len(dashed) == 1
    (band,) = axes.patches
    low, high = band.get_extents().transformed(axes.transData.inverted()).intervaly  # of JSB 1 % matter
    assert (low, high) == pytest.approx((mean / 1.01, mean * 1.01), rel=1e-6)
    said = caption(figure)
    assert scores.REFERENCE in said
    assert scores.EFFECT in said
    assert "Differences from tcn, not found where not marked: gru +4.93 % [+4.64 to +5.22] (found)." in said
    plain = scores.by_model(gather(write(tmp_path / "plain", JSB), rows_of(experiment, [8.5], [8.1])))
    assert not plain.axes[0].patches
    assert scores.REFERENCE not in caption(plain)
