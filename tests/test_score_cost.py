"""Scores against time: where the marks stand, and which models are on the Pareto front."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drawing import FEW, MANY, all_rows, assert_readable, caption, made, marks, scored, write
from matplotlib.axes import Axes
from seqbench.bench.analysis import statistics
from seqbench.bench.report.figures import score_cost
from seqbench.bench.report.figures.panels import NothingToDraw, gather
from seqbench.bench.report.figures.score_cost import Point, pareto_front
from seqbench.bench.rows.store import Row, signed

TEXT = """
question: One task
seeds: 3
models: [gru(width=4), "tcn(width=4, kernel=2, levels=2)", lstm(width=4)]
rows:
- task: jsb
"""


def timed(run: Any, score: float, seconds: float, **more: Any) -> Row:
    return made(run, 0, **scored(score), seconds={"training": 2 * seconds, "evaluation": 1.0, "cpu": seconds}, **more)


def ringed(axes: Axes) -> list[tuple[float, float]]:
    """The models of the front, from the shortest run to the longest."""
    (rings,) = [line for line in axes.lines if line.get_markersize() == score_cost.RING["markersize"]]
    return list(zip(rings.get_xdata(), rings.get_ydata(), strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("points", "direction", "front"),
    [
        ([(1, 9.0), (2, 8.0), (3, 8.5), (4, 7.0)], "lower", [0, 1, 3]),
        ([(1, 90.0), (2, 80.0), (3, 95.0)], "higher", [0, 2]),
        ([(1, 8.0), (1, 7.0)], "lower", [1]),  # as long: the better one
        ([(1, 8.0), (2, 8.0)], "lower", [0]),  # as good: the shorter one
        ([(4, 7.0), (1, 9.0)], "lower", [1, 0]),
        ([], "lower", []),
    ],
)
def test_the_front_by_hand(points: list[tuple[float, float]], direction: str, front: list[int]) -> None:
    found = pareto_front([Point(*point) for point in points], direction)
    assert found == [Point(*points[place]) for place in front]


def test_what_is_no_better_than_the_floor_is_not_on_the_front() -> None:
    assert pareto_front([Point(1, 11.0, able=False), Point(2, 8.0)], "lower") == [Point(2, 8.0)]


def test_marks_stand_at_the_mean_score_and_the_median_time(tmp_path: Path) -> None:
    experiment = write(tmp_path, TEXT)
    samples = {"gru": ([8.4, 8.5, 8.6], [10, 11, 30]), "tcn": ([8.0, 8.1, 8.3], [20, 25, 21])}
    rows = [
        timed(run, score, seconds)
        for cell, (values, times) in zip(experiment.cells, samples.values(), strict=False)
        for run, score, seconds in zip(cell.runs, values, times, strict=True)
    ]
    figure = score_cost.draw(gather(experiment, rows))
    (axes,) = figure.axes
    centres = [(11, statistics.centre(samples["gru"][0], True)), (21, statistics.centre(samples["tcn"][0], True))]
    assert ringed(axes) == [pytest.approx(centre) for centre in centres]
    assert {x for x, _ in marks(axes, "^")} == {10, 11, 30}
    assert {x for x, _ in marks(axes, "o")} >= {20, 25, 21}
    assert axes.get_xlabel() == "processor seconds per run"
    assert "Ringed" in caption(figure)
    assert score_cost.SEVERAL not in caption(figure)
    assert_readable(figure)


def test_a_model_whose_interval_holds_the_floor_is_not_ringed(tmp_path: Path) -> None:
    """The floor of JSB is 11.09 nats; it is the cheapest, and the front begins with the next."""
    experiment = write(tmp_path, TEXT)
    values = [[10.9, 11.0, 11.3], [8.0, 8.1, 8.2], [9.0, 9.1, 9.2]]
    rows = [
        timed(run, score, 1.0 + 10 * place)
        for place, (cell, of_cell) in enumerate(zip(experiment.cells, values, strict=True))
        for run, score in zip(cell.runs, of_cell, strict=True)
    ]
    (axes,) = score_cost.draw(gather(experiment, rows)).axes
    assert [x for x, _ in ringed(axes)] == [11.0]


def test_of_a_task_that_can_be_solved_the_median_of_all_runs_stands(tmp_path: Path) -> None:
    experiment = write(tmp_path, TEXT.replace("jsb", "adding(length=20)"))
    values = [[1e-5, 1e-1, 1e-4], [0.1, 0.12, 0.15], []]
    rows = [
        timed(run, score, 5000.0)
        for cell, of_cell in zip(experiment.cells, values, strict=True)
        for run, score in zip(cell.runs, of_cell, strict=False)
    ]
    figure = score_cost.draw(gather(experiment, rows))
    (axes,) = figure.axes
    assert ringed(axes) == [(pytest.approx(5000 / 3600), 1e-4)]
    assert axes.get_xlabel() == "processor hours per run"
    assert score_cost.OF_SOLVED in caption(figure)


def test_times_of_several_instruction_sets_are_said_not_to_compare(tmp_path: Path) -> None:
    experiment = write(tmp_path, TEXT)
    rows = all_rows(experiment)
    first = {**rows[0], "provenance": {**rows[0]["provenance"], "instructions": "another"}}
    assert score_cost.SEVERAL in caption(score_cost.draw(gather(experiment, [signed(first), *rows[1:]])))


def test_one_model_alone_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    experiment = write(tmp_path, TEXT)
    with pytest.raises(NothingToDraw, match="no task has two models with a score"):
        score_cost.draw(gather(experiment, [timed(run, 8.0, 1.0) for run in experiment.cells[0].runs]))


@pytest.mark.parametrize(("longest", "least"), [(1.0, 1), (9, 2), (90, 2), (4000, 2)])
def test_times_far_apart_stand_on_a_logarithmic_axis(tmp_path: Path, longest: float, least: int) -> None:
    experiment = write(tmp_path, TEXT)
    cells = experiment.cells
    rows = [timed(run, 8.0 + run.seed, (1.0, longest, 1.5)[place]) for place in range(3) for run in cells[place].runs]
    figure = score_cost.draw(gather(experiment, rows))
    low, high = figure.axes[0].get_xlim()
    assert len([tick for tick in figure.axes[0].get_xticks() if low <= tick <= high]) >= least
    assert figure.axes[0].get_xscale() == ("log" if longest > 3 else "linear")
    assert_readable(figure)


@pytest.mark.parametrize("text", [FEW, MANY])
def test_no_text_covers_another_and_none_is_cut_off(tmp_path: Path, text: str) -> None:
    experiment = write(tmp_path, text)
    assert_readable(score_cost.draw(gather(experiment, all_rows(experiment))))
