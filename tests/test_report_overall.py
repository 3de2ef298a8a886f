"""The block over all tasks, and the remarks on rows that a table cannot or should not take as they are."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from seqbench.bench.analysis import aggregates, grid, overall
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.tables import experiment_table, records
from seqbench.bench.rows.store import Row, signed
from seqbench.tasks import adding
from seqbench.tasks.base import Metric

from .made_rows import dirtied, made, of_scores, write

TEXT = """
question: Which?
seeds: 2
training: {epochs: 1, learning_rate: 0.01}
rows:
- {task: adding(length=20), models: MODELS}
- {task: copy-memory(delay=5), models: MODELS}
- {task: jsb, models: MODELS}
"""
MODELS = '[rnn(width=4), gru(width=4), "tcn(width=4, kernel=2, levels=2)"]'
JSB_FLOOR = 11.0923
SCORES = {
    ("adding", "rnn"): [1 / 6, 1 / 6],  # 0: at the floor
    ("adding", "gru"): [1e-3, 1e-3],  # 1: just solved
    ("copy-memory", "rnn"): [1 / 8, 1 / 8],  # in both metrics: 0
    ("copy-memory", "gru"): [0.99, 0.99],  # 1
    ("jsb", "rnn"): [10.0, 10.2],
    ("jsb", "gru"): [9.0, 9.0],  # the best model's mean: 1
}


@pytest.fixture(autouse=True)
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs a task can be checked by hand; that five are needed is a test of its own."""
    monkeypatch.setattr(overall, "FEWEST_RUNS", 2)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return write(tmp_path / "three", TEXT.replace("MODELS", MODELS))


def found_in(experiment: Experiment, scores: Any) -> overall.Overall | None:
    return overall.overall(grid.collect(experiment, of_scores(experiment, scores)))


def test_the_aggregates_by_hand(experiment: Experiment) -> None:
    """Each task counts with the metric that says when it is solved, else its first."""
    entries = grid.collect(experiment, of_scores(experiment, SCORES))
    found = overall.overall(entries)
    assert found is not None
    floor = grid.floor_of(entry for entry in entries if entry.task == "jsb")
    assert floor == pytest.approx(JSB_FLOOR, abs=1e-3)
    rnn, gru = found.lines
    on_jsb = [(score - floor) / (9.0 - floor) for score in SCORES["jsb", "rnn"]]
    assert (rnn.model, rnn.runs, rnn.better, rnn.better_interval) == ("rnn", (2, 2, 2), None, None)
    assert rnn.mean == pytest.approx(aggregates.interquartile_mean([0, 0, 0, 0, *on_jsb]))
    assert (gru.mean, gru.better) == (pytest.approx(1.0), 1.0)
    assert found.left_out == ("tcn",), "it has no run"
    assert found.tasks == ("adding(length=20)", "copy-memory(delay=5)", "jsb")


def test_a_run_that_diverged_stays_in_as_the_worst(experiment: Experiment) -> None:
    diverged = SCORES | {("jsb", "gru"): [9.0, None], ("adding", "gru"): [1e-3, None]}
    whole, found = found_in(experiment, SCORES), found_in(experiment, diverged)
    assert whole is not None
    assert found is not None
    assert found.lines[1].runs == (2, 2, 2)
    assert found.lines[1].mean < whole.lines[1].mean
    assert found.lines[1].better == pytest.approx((1 + 0.5 + 0.5) / 3), "lost to the plain RNN at its floor too"
    below = found_in(experiment, SCORES | {("jsb", "rnn"): [50.0, None]})
    assert below is not None
    score = (50.0 - JSB_FLOOR) / (9.0 - JSB_FLOOR)  # of both; of six runs one is cut off at each end
    assert below.lines[0].mean == pytest.approx(score / 4)


def test_every_format_has_the_block(experiment: Experiment) -> None:
    entries = grid.collect(experiment, of_scores(experiment, SCORES))
    found = overall.overall(entries)
    assert found is not None
    markdown, latex = experiment_table.table(entries), experiment_table.table(entries, "latex")
    for text in (markdown, latex):
        assert "Over 3 tasks" in text
        assert "over adding(length=20); copy-memory(delay=5); jsb; n=2 runs a task and model" in text
        assert "Left out: tcn" in text
    assert "| gru   |    6 | 1.00 " in markdown
    aggregate = [
        record for record in json.loads(experiment_table.table(entries, "json")) if record["kind"] == "aggregate"
    ]
    assert [(record["model"], record["metric"].split()[0], record["mean"]) for record in aggregate] == [
        ("rnn", "interquartile", pytest.approx(found.lines[0].mean)),
        ("gru", "interquartile", pytest.approx(1.0)),
        ("gru", "probability", 1.0),
    ]
    frame = records.long_form(entries)
    assert frame["kind"].tolist().count("aggregate") == 3
    assert experiment_table.table(entries) == markdown, "the same call gives the same intervals"


def test_below_five_runs_a_task_there_is_none_and_the_table_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interquartile mean of two runs is their mean: it hides that one solved the task and the other did not."""
    monkeypatch.undo()
    experiment = write(tmp_path / "more", TEXT.replace("seeds: 2", "seeds: 5").replace("MODELS", MODELS))
    five = {key: [*values, *[values[0] * factor for factor in (1.1, 1.2, 1.3)]] for key, values in SCORES.items()}
    for count, there in ((5, True), (4, False)):
        scores = five | {("jsb", "gru"): five["jsb", "gru"][:count]}
        entries = grid.collect(experiment, of_scores(experiment, scores))
        text = experiment_table.table(entries)
        needed = "No numbers over all tasks: these need 5 runs of each model on each task, and the fewest is 4 runs."
        assert ("Over 3 tasks" in text, needed in text) == (there, not there)
        aggregate = [one for one in json.loads(experiment_table.table(entries, "json")) if one["kind"] == "aggregate"]
        assert {one["interval"] for one in aggregate} == ({"stratified bootstrap, percentiles"} if there else set())
        assert all(one["low"] <= one["mean"] <= one["high"] for one in aggregate)
    two = {key: values for key, values in SCORES.items() if key[0] != "jsb"}
    assert "No numbers over all tasks" not in experiment_table.table(
        grid.collect(experiment, of_scores(experiment, two))
    ), "two tasks have none at any number of runs"


def test_below_three_tasks_of_two_models_there_is_no_block(experiment: Experiment) -> None:
    assert found_in(experiment, {key: values for key, values in SCORES.items() if key[0] != "jsb"}) is None
    assert found_in(experiment, {key: values for key, values in SCORES.items() if key[1] == "gru"}) is None
    at_floor = SCORES | {("jsb", "gru"): [12.0, 12.0], ("jsb", "rnn"): [13.0, 13.0]}
    assert found_in(experiment, at_floor) is None, "no model is better than the floor: there is no scale"
    assert "Over" not in experiment_table.table(grid.collect(experiment, []))


def test_a_perplexity_is_normalised_by_its_logarithm() -> None:
    perplexity = Metric("perplexity", "per word", "lower", 1000.0, scale="exp")
    assert overall._value(perplexity, math.e) == pytest.approx(1.0)
    assert overall._value(Metric("nats", "", "lower", 1.0), math.e) == math.e


def all_of(experiment: Experiment) -> list[Row]:
    return of_scores(experiment, SCORES)


def lines_after(experiment: Experiment, rows: list[Row]) -> list[str]:
    return experiment_table.table(grid.collect(experiment, rows)).splitlines()


def test_good_rows_need_no_remark(experiment: Experiment) -> None:
    assert {entry.remarks for entry in grid.collect(experiment, all_of(experiment))} == {()}


def test_rows_of_another_variant_are_left_out_and_named(experiment: Experiment, tmp_path: Path) -> None:
    other = write(tmp_path / "other", TEXT.replace("MODELS", MODELS).replace("delay=5", "delay=6"))
    strangers = [row for row in of_scores(other, SCORES) if "delay=6" in row["label"]]
    lines = lines_after(experiment, all_of(experiment) + strangers)
    said = "Left out: 4 rows of no run of this experiment (copy-memory(delay=6) rnn, copy-memory(delay=6) gru)."
    assert lines.count(said) == 1
    assert not any("delay=6" in line for line in lines if line.startswith("|"))
    record = json.loads(experiment_table.table(grid.collect(experiment, all_of(experiment) + strangers), "json"))[0]
    assert record["remarks"] == said


def test_rows_of_an_older_version_of_a_task_are_left_out_and_named(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = all_of(experiment)
    monkeypatch.setattr(adding.Task, "version", adding.Task.version + 1)
    anew = write(tmp_path / "anew", TEXT.replace("MODELS", MODELS))
    lines = lines_after(anew, rows)
    now = adding.Task.version
    assert f"Left out: 4 rows made by another version, task adding {now - 1} (now {now})." in lines
    assert any(line.startswith("| adding(length=20)") and "not run" in line for line in lines)


def test_many_that_are_left_out_are_not_all_named(experiment: Experiment) -> None:
    strangers = [
        signed({**row, "id": f"x{place}", "label": f"a{place} gru seed 0"})
        for place, row in enumerate(all_of(experiment)[:5])
    ]
    assert "Left out: 5 rows of no run of this experiment (a0 gru, a1 gru, a2 gru, …)." in lines_after(
        experiment, strangers
    )


def test_a_row_of_a_task_that_is_gone_is_no_error(experiment: Experiment) -> None:
    row = all_of(experiment)[0]
    gone = signed(
        {**row, "id": "gone", "config": {**row["config"], "task": {"name": "gone", "options": {}, "version": 1}}}
    )
    assert any(line.startswith("Left out: 1 row of no run") for line in lines_after(experiment, [gone]))


def test_scores_that_the_task_does_not_know_are_named(experiment: Experiment) -> None:
    run = experiment.cells[0].runs[0]
    test = {"mse": 0.1, "mae": 0.2}
    row = signed({**made(run), "scores": {"best": {"test": test}, "last": {"test": test}}})
    assert "Not shown, because the task has no such metric: mae of adding(length=20)." in lines_after(experiment, [row])


def test_rows_made_with_different_versions_are_named(experiment: Experiment) -> None:
    first, *rest = all_of(experiment)
    origin = first["provenance"]
    other = dirtied(first, versions={**origin["versions"], "torch": "2.14.0"})
    lines = lines_after(experiment, [other, *rest])
    assert lines.count("Rows were made with different versions: torch 2.13.0, 2.14.0.") == 1


def test_an_experiment_without_rows_says_what_to_do(experiment: Experiment) -> None:
    text = experiment_table.table(grid.collect(experiment, []))
    assert "Rows: 0 of 18 runs (there are none yet: seqbench run makes them)." in text
    assert text.count("not run") == 12
