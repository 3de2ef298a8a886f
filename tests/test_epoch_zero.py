"""A curve begins at epoch 0, the untrained network: it changes no bit, decides nothing, and old rows lack it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import drawing
import made_rows
import pytest
import torch
from experiments import clean, measured_of, published_in, rows_of, sweep_in, write
from recording import CPU, RecordingLane, train_in
from seqbench.bench import api
from seqbench.bench.analysis import grid, samples
from seqbench.bench.engine.evaluation import best_of, epochs_since_best, evaluate, history, select, trained
from seqbench.bench.engine.training import Loop, train
from seqbench.bench.experiments import config
from seqbench.bench.experiments.runs import Run
from seqbench.bench.report.figures import curves, learning_curves
from seqbench.bench.report.figures.panels import gather
from seqbench.bench.report.page import page_curves, run_facts
from seqbench.bench.rows import comparing
from seqbench.bench.rows.store import Row, finite, signed
from seqbench.tasks import jsb, sequential_mnist

COPY = "copy-memory(delay=3, train=32, valid=16, test=16)"
TEXT = "experiments:TinyText"

pytestmark = pytest.mark.usefixtures("thread")  # as in training, so that an evaluation here has the same bits


def make_run(task: str = COPY, model: str = "gru(width=4)", **settings: Any) -> Run:
    return api.make_run(task, model, **{"epochs": 2, "batch": 8, **settings})


# What it is.


@pytest.mark.parametrize("task", [COPY, TEXT])
def test_it_is_the_evaluation_of_the_untrained_network(task: str) -> None:
    run = make_run(task)
    made = run.make_task()
    splits, network = made.load(run.seed), run.make_network(made)
    point = train(run).progress.curve[0]
    assert point == {
        "epoch": 0,
        "steps": 0,
        "learning_rate": None,
        "train_loss": None,
        "valid": evaluate(network, made, splits.valid),
        "test": evaluate(network, made, splits.test),
        "seconds": point["seconds"],
    }


def test_at_other_lengths_too() -> None:
    run = make_run(test_lengths=[3, 9])
    point = train(run).progress.curve[0]
    task = run.make_task()
    longer = task.at_length(9)
    assert set(point["lengths"]) == {"3", "9"}
    assert point["lengths"]["3"] == point["test"]
    assert point["lengths"]["9"] == evaluate(run.make_network(task), longer, longer.load(run.seed).test)
    assert all("lengths" not in other for other in train(run).progress.curve[1:])


def test_it_counts_as_evaluation() -> None:
    seen: list[tuple[int, float, float]] = []
    train(
        make_run(),
        report=lambda one, _: seen.append((one.total_steps, one.training_seconds, one.evaluation_seconds)),
    )
    steps, training, evaluation = seen[0]
    assert (steps, training) == (0, 0.0)
    assert evaluation > 0


@pytest.mark.parametrize(
    ("task", "model"),
    [
        (COPY, "tcn(width=4, kernel=2, levels=2, dropout=0.2)"),
        (TEXT, "lstm(width=6, layers=2, dropout=0.2, recurrent_dropout=0.2)"),
    ],
)
@pytest.mark.parametrize("captures", [False, True])
def test_no_bit_of_the_training_changes(task: str, model: str, captures: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training without epoch 0 has the same curve, trace, scores and weights; a text's carried state is untouched."""

    def measured_now() -> dict[str, Any]:
        outcome = train_in(RecordingLane(), run) if captures else train(run)
        return measured_of(outcome) | {"curve": [without(point) for point in trained(outcome.progress.curve)]}

    def without(point: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in point.items() if key != "seconds"}

    def nothing(self: Loop) -> Any:
        yield from ()

    run = make_run(task, model, epochs=3, batch=4)
    ours = measured_now()
    monkeypatch.setattr(Loop, "_evaluate_untrained", nothing)
    assert measured_now() == ours


def test_on_a_device_that_captures_its_steps_are_the_captured_ones() -> None:
    with RecordingLane() as lane:
        loop = Loop(make_run(), CPU, lane)
        turns = loop.turns()
        graphs, replays = lane.graphs, lane.replays
        while not loop.progress.curve:
            next(turns)
    assert lane.graphs == graphs > 0
    assert lane.replays - replays >= 2, "one of validation, one of test"


def test_scores_that_are_not_finite_there_end_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("adding(length=4, train=8, valid=3, test=2)", epochs=1)
    task = run.make_task()
    totals = type(task).totals
    passes = iter([float("inf")] * 2)

    def broken(self: Any, outputs: Any, batch: Any) -> Any:
        return {"mse": (torch.tensor(next(passes, 1.0)), 1)}

    monkeypatch.setattr(type(task), "totals", broken)
    outcome = train(run)
    monkeypatch.setattr(type(task), "totals", totals)
    assert outcome.status == "done"
    assert [point["valid"]["mse"] for point in outcome.progress.curve] == [float("inf"), 1.0]


# What it does not decide.


def point(epoch: int, valid: float, test: float = 0.0, metric: str = "nats") -> dict[str, Any]:
    return {"epoch": epoch, "steps": 10 * epoch, "seconds": 1.0} | {"valid": {metric: valid}, "test": {metric: test}}


def test_it_is_outside_of_selection_of_the_last_three_of_history_and_of_patience() -> None:
    curve = [point(0, 0.1, 7.0), point(1, 3.0, 30.0), point(2, 2.0, 20.0), point(3, 2.5, 10.0)]
    task = jsb.Task()
    assert trained(curve) == curve[1:]
    assert best_of(task, curve) is curve[2]
    assert history(task, curve) == [3.0, 2.0, 2.5]
    assert epochs_since_best(task, curve) == 1
    assert select(task, curve) == select(task, curve[1:])
    assert select(task, curve[:3])["last"] == {"epochs": [1, 2], "test": {"nats": 25.0}}


def test_a_curve_of_epoch_0_alone_has_no_scores() -> None:
    """The run diverged within its first epoch."""
    assert select(jsb.Task(), [point(0, 1.0)]) == {}
    assert epochs_since_best(jsb.Task(), [point(0, 1.0)]) == 0
    outcome = train(make_run("adding(length=12, train=64, valid=8, test=8)", optimizer="sgd", learning_rate=1e30))
    assert (outcome.status, outcome.scores) == ("diverged", {})
    assert [one["epoch"] for one in outcome.progress.curve] == [0]


# Who reads curves: rows with epoch 0, rows of before, and both together.

EXPERIMENT = """
question: One task
seeds: 2
training: {epochs: 3, learning_rate: 0.01}
rows:
- task: jsb
  models: [gru(width=4)]
"""
SCORES = [16.0, 8.0, 4.0, 2.0]
"""On validation, at epochs 0 to 3."""


def rows_with(tmp_path: Path, *first: int) -> tuple[Any, list[Row]]:
    """An experiment and a row of each of its runs, whose curve begins at the epoch `first` of that run."""
    experiment = made_rows.write(tmp_path, EXPERIMENT)
    rows = []
    for run, begin in zip(experiment.runs, first, strict=True):
        curve = [point(epoch, SCORES[epoch], 10 * SCORES[epoch]) for epoch in range(begin, 4)]
        row = drawing.made(run, 0)
        rows.append(signed(row | {"curve": curve, "seconds": {"training": 6.0, "evaluation": 1.0, "cpu": 6.0}}))
    return experiment, rows


def test_a_row_with_it_has_the_shape_of_rows(tmp_path: Path) -> None:
    sweep_in(folder := write(tmp_path / "results" / "one"))
    (row, _) = rows_of(folder)
    assert [one["epoch"] for one in row["curve"]] == [0, 1, 2]
    assert made_rows.misshapen(row) == ""
    row = copy.deepcopy(row)
    row["curve"][0]["train_loss"] = "none"
    assert made_rows.misshapen(row) == f"row {row['id']}: curve[0].train_loss: expected `int | float | null`, got `str`"


def test_a_row_without_it_is_the_same_row(tmp_path: Path) -> None:
    _, (with_it, _) = rows_with(tmp_path, 0, 0)
    without = with_it | {"curve": with_it["curve"][1:]}
    assert comparing.differences(with_it, without) == comparing.differences(without, with_it) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda curve: curve[0]["test"].update(nats=1.0), ["curve[epoch 0].test.nats"]),
        (lambda curve: curve[1]["test"].update(nats=1.0), ["curve[epoch 1].test.nats"]),
        (lambda curve: curve[2]["test"].update(nats=1.0), ["curve[epoch 2].test.nats"]),
        (lambda curve: curve.pop(), ["curve (number of epochs)"]),
        (lambda curve: curve.__delitem__(slice(1, None)), ["curve (number of epochs)"]),
    ],
    ids=["epoch 0", "epoch 1", "epoch 2", "one less", "none"],
)
def test_curves_are_compared_by_epoch(change: Callable[[list[Any]], object], found: list[str], tmp_path: Path) -> None:
    _, (row, _) = rows_with(tmp_path, 0, 0)
    other = finite(row)
    change(other["curve"])
    assert [one.path for one in comparing.differences(other, row)] == found


@pytest.mark.parametrize("first", [0, 1])
def test_tables_count_epochs_of_training(first: int, tmp_path: Path) -> None:
    experiment, rows = rows_with(tmp_path, first, first)
    (entry,) = grid.collect(experiment, rows)
    assert dict(entry.early) == {0: 80.0, 1: 80.0}
    assert entry.epoch_seconds == 2.0
    table = run_facts._runs(experiment.cells[0], [entry], {row["id"]: row for row in rows}, frozenset())
    assert [line[table.header.index("Epochs")] for line in table.lines] == [("3",), ("3",)]


def test_a_task_is_not_solved_before_training() -> None:
    metric = sequential_mnist.Task().metrics[0]
    solved = {"curve": [point(0, 0.0, 0.0, "mse"), point(1, 0.0, 1.0, "mse"), point(2, 0.0, 0.0, "mse")]}
    mse = api.make_task("adding(length=20)").metrics[0]
    assert samples.steps_to_solve(mse, solved) == 20
    assert samples.steps_to_solve(metric, solved) is None


@pytest.mark.parametrize(("first", "begins"), [((0, 0), 0), ((0, 1), 1), ((1, 1), 1)])
def test_figures_begin_at_epoch_0_where_all_rows_have_it(first: tuple[int, int], begins: int, tmp_path: Path) -> None:
    """The rows of before and those with it are averaged epoch by epoch, not place by place."""
    experiment, rows = rows_with(tmp_path, *first)
    evidence = gather(experiment, rows)
    figure = curves.draw(evidence, "epochs")
    (mean,) = [line for line in figure.axes[0].lines if line.get_marker() in "^osv"]
    expected = [(epoch, SCORES[epoch]) for epoch in range(begins, 4)]
    assert drawing.points(mean) == [(epoch, pytest.approx(score)) for epoch, score in expected]
    assert (learning_curves.UNTRAINED in drawing.caption(figure)) == (0 in first)
    assert curves.ALONE not in drawing.caption(figure)
    on_page = page_curves.curves(evidence)
    (shown,) = on_page.drawings
    assert [one[3] for one in shown.values[0]["points"]] == [epoch for epoch, _ in expected]
    assert [float(one[2].split()[0]) for one in shown.values[0]["points"]] == [score for _, score in expected]
    assert (learning_curves.UNTRAINED in on_page.note) == (begins == 0)


def test_a_curve_goes_on_after_an_untrained_network_without_a_score(tmp_path: Path) -> None:
    _, (row, _) = rows_with(tmp_path, 0, 0)
    row["curve"][0]["valid"]["nats"] = None
    assert [one.at[0] for one in learning_curves.scores_of(row, "nats")] == [1, 2, 3]


def test_one_epoch_after_it_is_still_one_epoch(tmp_path: Path) -> None:
    experiment, rows = rows_with(tmp_path, 0, 0)
    short = [signed(row | {"curve": row["curve"][:2]}) for row in rows]
    with pytest.raises(curves.NothingToDraw, match="no run has a second epoch"):
        curves.draw(gather(experiment, short), "epochs")
    (shown,) = page_curves.curves(gather(experiment, short)).drawings
    assert shown.axes == learning_curves.STEPS_AXIS


def test_old_published_rows_are_renewed_and_verified_by_runs_that_have_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "results" / "one")
    sweep_in(folder)
    old = [clean(row, curve=trained(row["curve"])) for row in rows_of(folder)]
    published_in(folder, old)
    runs = {run.id: run for run in config.load(folder).runs}
    for row in old:  # in the order in which they were finished
        again = measured_of(train(runs[row["id"]])) | {"provenance": row["provenance"]}
        assert comparing.differences(row | again, row) == []
