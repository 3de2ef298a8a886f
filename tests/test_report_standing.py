"""What is bold in a table, why nothing is, and what stands below it, on made-up rows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from seqbench.bench.analysis import digits, grid, samples, standing
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.tables import cells, experiment_table, records
from seqbench.bench.rows.store import Row, signed
from seqbench.tasks.base import Metric

from .latex_pages import NEEDS_TEX, colliding, compiled
from .made_rows import LONE, made, of_scores, write

TEXT = """
question: Which?
seeds: SEEDS
training: {epochs: 1, learning_rate: 0.01}
rows:
- {task: adding(length=20), models: MODELS}
- {task: copy-memory(delay=5), models: MODELS}
- {task: jsb, models: MODELS}
"""
MODELS = '[rnn(width=4), gru(width=4), "tcn(width=4, kernel=2, levels=2)"]'
Scores = Mapping[tuple[str, str], Sequence[float | None]]


@pytest.fixture
def five(tmp_path: Path) -> Experiment:
    return write(tmp_path / "five", TEXT.replace("SEEDS", "5").replace("MODELS", MODELS))


ON_JSB = {
    ("jsb", "rnn"): [9.1, 9.2, 9.0, 9.3, 9.15],
    ("jsb", "gru"): [8.2, 8.4, 8.3, 8.1, 8.5],
    ("jsb", "tcn"): [8.25, 8.35, 8.15, 8.3, 8.2],
}
ON_ADDING = {
    ("adding", "rnn"): [0.17, 0.16, 0.17, 0.15, 0.16],
    ("adding", "gru"): [1e-4, 2e-4, 9e-5, 8e-4, 5e-4],
    ("adding", "tcn"): [1e-4, 2e-4, 0.02, 8e-4, 5e-4],
}


def line_of(experiment: Experiment, scores: Scores, task: str) -> list[grid.Entry]:
    entries = grid.collect(experiment, of_scores(experiment, scores))
    return [entry for entry in entries if entry.task.startswith(task)]


def test_the_best_and_whatever_is_not_separated_from_it_are_bold(five: Experiment) -> None:
    line = line_of(five, ON_JSB, "jsb")
    found = standing.standing(line)
    names = {entry.model: entry.model_name for entry in line}
    assert found.best is not None
    assert names[found.best] == "tcn"
    assert {names[model] for model in found.bold} == {"gru", "tcn"}
    assert {names[model]: round(p_value, 4) for model, p_value in found.adjusted.items()}["rnn"] == 0.0238
    assert (found.why, found.left_out) == ("", {})


def test_solved_or_not_is_compared_by_the_number_that_solve(five: Experiment) -> None:
    """4 of 5 is not separated from 5 of 5; 0 of 5 is: p = 2/252, times three pairs. A diverged run solves nothing."""
    line = line_of(five, ON_ADDING, "adding")
    names = {entry.model: entry.model_name for entry in line}
    found = standing.standing(line)
    assert {names[model] for model in found.bold} == {"gru", "tcn"}
    diverged = {**ON_ADDING, ("adding", "tcn"): [1e-4, None, None, None, None]}
    found = standing.standing(line_of(five, diverged, "adding"))
    assert {names[model] for model in found.bold} == {"gru", "tcn"}, "1 of 5: p = 0.048, times three"
    diverged = {**ON_ADDING, ("adding", "tcn"): [None] * 5}
    found = standing.standing(line_of(five, diverged, "adding"))
    assert {names[model] for model in found.bold} == {"gru"}
    assert len(found.adjusted) == 2, "a model that always diverges is compared all the same"


def test_where_no_run_solves_nothing_is_bold(five: Experiment) -> None:
    found = standing.standing(line_of(five, {key: [0.17, 0.16, 0.1, 0.2, 0.3] for key in ON_ADDING}, "adding"))
    assert (found.bold, found.why) == (frozenset(), "no run solves the task")


@pytest.mark.parametrize(("status", "reason"), [("diverged", "diverged runs"), ("failed", "failed runs")])
def test_a_mean_without_its_bad_runs_is_not_compared(five: Experiment, status: str, reason: str) -> None:
    """The best four runs of the table, and one without a score: the four alone would flatter the model."""
    rows = of_scores(five, ON_JSB)
    cell = five.cells[-1]
    rows = [row for row in rows if row["id"] not in {run.id for run in cell.runs}]
    rows += [made(run, 7.0) for run in cell.runs[:4]] + [made(cell.runs[4], None, status)]
    entries = grid.collect(five, rows)
    found = standing.standing([entry for entry in entries if entry.task == "jsb"])
    assert found.left_out == {cell.model: reason}
    assert cell.model not in found.bold
    text = experiment_table.table(entries)
    assert f"Not compared, so never bold: {cell.model} in jsb nats ({reason})." in text
    assert f"7.00 [7.00–7.00], n=4 of 5, 1 {status}" in text
    assert "**8.30 [8.10–8.50]**, n=5" in text, "the best of those that are compared"


def test_a_sample_that_is_too_small_takes_no_part(tmp_path: Path) -> None:
    """Two runs beside six and six: whatever they score, no test could tell them from the best."""
    six = write(tmp_path / "six", TEXT.replace("SEEDS", "6").replace("MODELS", MODELS))
    scores: Scores = {key: [*values, values[0]] for key, values in ON_JSB.items()} | {("jsb", "gru"): [8.0, 8.1]}
    line = line_of(six, scores, "jsb")
    names = {entry.model: entry.model_name for entry in line}
    found = standing.standing(line)
    assert {names[model]: reason for model, reason in found.left_out.items()} == {"gru": "too few runs"}
    assert {names[model] for model in found.bold} == {"tcn"}


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (2, "with 2 runs a model the smallest p possible is 0.333, and 0.0167 is needed (0.05 over 3 pairs)"),
        (3, "with 3 runs a model the smallest p possible is 0.1, and 0.0167 is needed (0.05 over 3 pairs)"),
        (4, "with 4 runs a model the smallest p possible is 0.0286, and 0.0167 is needed (0.05 over 3 pairs)"),
    ],
)
def test_where_no_difference_can_pass_the_table_says_so_and_bolds_nothing(
    tmp_path: Path, seeds: int, words: str
) -> None:
    few = write(tmp_path / "few", TEXT.replace("SEEDS", str(seeds)).replace("MODELS", MODELS))
    entries = grid.collect(few, of_scores(few, {key: values[:seeds] for key, values in (ON_JSB | ON_ADDING).items()}))
    text = experiment_table.table(entries)
    assert f"\n\nNothing is bold: {words}.\n\n" in text
    assert "**" not in text.partition("\n\nNothing is bold")[0]
    assert ("Differences from the best of the row" in text) == (seeds > 2), "two values have no interval"
    assert r"\bfseries" not in experiment_table.table(entries, "latex")
    assert not any(record["bold"] for record in json.loads(experiment_table.table(entries, "json")))


def test_one_seed_has_no_interval_and_the_table_says_so(tmp_path: Path) -> None:
    one = write(tmp_path / "one", TEXT.replace("SEEDS", "1").replace("MODELS", MODELS))
    entries = grid.collect(one, of_scores(one, {key: values[:1] for key, values in (ON_JSB | ON_ADDING).items()}))
    text = experiment_table.table(entries)
    assert "8.20, n=1: no interval" in text
    assert "1/1 solved, 1.00e-4, ≤ 100 steps to solve, n=1: no interval" in text
    assert "Nothing is bold: with 1 run a model the smallest p possible is 1" in text
    assert all(record["low"] is None for record in json.loads(experiment_table.table(entries, "json")))


def test_every_format_marks_the_same_cells_and_says_the_same_intervals(five: Experiment) -> None:
    entries = grid.collect(five, of_scores(five, ON_JSB | ON_ADDING))
    markdown, latex = experiment_table.table(entries), experiment_table.table(entries, "latex")
    read = json.loads(experiment_table.table(entries, "json"))
    bold = [record for record in read if record["bold"]]
    assert [(record["task"], record["model_name"]) for record in bold] == [
        ("adding(length=20)", "gru"),
        ("adding(length=20)", "tcn"),
        ("jsb", "gru"),
        ("jsb", "tcn"),
    ]
    leads = re.findall(r"\*\*([^*|]+)\*\*,", markdown)
    assert leads == ["5/5 solved [57–100 %]", "4/5 solved [38–96 %]", "8.30 [8.10–8.50]", "8.25 [8.15–8.35]"]
    set_bold = re.findall(r"\{\\bfseries\\boldmath ([^{}]*)\}", latex)
    plain = [line.replace("--", "–").replace(r"\%", "%").rstrip(",") for line in set_bold]
    assert plain == [part for lead in leads for part in re.split(r" (?=\[)", lead)]
    for record in read:
        if record["mean"] is not None and record["task"] == "jsb":
            summary = (
                f"{digits.number(record['mean'])} [{digits.number(record['low'])}–{digits.number(record['high'])}]"
            )
            assert summary in markdown
            assert (record["mean_kind"], record["interval"]) == ("geometric", "Student's t on the log scale")
    assert "Bold: the best of a row and every model that is not separated from it" in markdown


def test_errors_never_have_a_negative_bound_and_shares_stay_shares() -> None:
    error, accuracy = Metric("mse", "", "lower", 1.0), Metric("accuracy", "%", "higher", 10.0)
    recall, reward = Metric("recall", "", "higher", 0.1, 0.99), Metric("reward", "points", "higher", 0.0)
    for values in ([1e-6, 1e-3, 0.5], [0.0, 1e-3, 0.5]):
        found = samples.summary(error, values)
        assert found is not None
        assert found.interval is not None
        assert found.interval.low >= 0
        assert found.logarithmic is (min(values) > 0)
    for metric, values, bounds in (
        (accuracy, [99.0, 99.5, 100.0], (..., 100.0)),
        (recall, [0.0, 0.5, 1.0], (0.0, 1.0)),
        (reward, [0.0, 0.5, 1.0], (-0.742, 1.742)),
    ):
        found = samples.summary(metric, values)
        assert found is not None
        assert found.interval is not None
        for bound, expected in zip(found.interval[:2], bounds, strict=True):
            assert expected is ... or bound == pytest.approx(expected, abs=1e-3)
    solving = samples.summary_of_solved(recall, [0.5, 0.991, 0.995, 1.0])
    assert solving is not None
    assert solving.interval is not None
    assert solving.interval[:2] == (0.99, 1.0)
    assert solving.mean == pytest.approx(0.9953333)


def test_steps_to_solve_are_the_first_of_each_curve_and_their_median(five: Experiment) -> None:
    runs = five.cells[0].runs
    curves = [(0.17, 9e-4, 8e-4), (9e-4, 0.17, 9e-4), (0.17, 0.17, 9e-4), (0.17, 0.17, 0.17)]
    rows = [made(run, curve[-1], curve=curve) for run, curve in zip(runs, curves, strict=False)]
    entry = grid.collect(five, rows)[0]
    assert entry.steps == {0: 200, 1: 100, 2: 300}
    assert entry.steps_to_solve == 200
    assert "3/4 solved [30–95 %], median 9.00e-4" in ", ".join(cells.cell_text(entry))
    assert "200 steps to solve, n=4 of 5" in ", ".join(cells.cell_text(entry))
    assert records.long_form([entry])["steps_to_solve"].tolist() == [200.0]


def test_a_row_that_was_edited_by_hand_is_marked_and_does_not_count(five: Experiment) -> None:
    rows = of_scores(five, ON_JSB)
    better = {rule: {**rows[0]["scores"][rule], "test": {"nats": 1.0}} for rule in ("best", "last")}
    edited: Row = {**rows[0], "scores": better}
    entries = grid.collect(five, [edited, *rows[1:]])
    text = experiment_table.table(entries)
    assert "n=4 of 5, 1 edited§" in text
    assert "§ edited by hand" in text
    assert "(edited rows)" in text, "and it is not compared"
    entry = next(entry for entry in entries if entry.edited)
    assert (entry.done, entry.missing, entry.edited, entry.expected) == (4, 0, 1, 5)
    assert 0 not in entry.values
    without = next(entry for entry in grid.collect(five, rows[1:]) if entry.model == entry.model and entry.missing == 1)
    assert entry.summary == without.summary
    assert "§" not in experiment_table.table(grid.collect(five, [signed(edited), *rows[1:]]))


@NEEDS_TEX
def test_bold_and_brackets_compile(five: Experiment, tmp_path: Path) -> None:
    rows = of_scores(five, ON_JSB | ON_ADDING | {("copy-memory", model): [0.5] * 5 for model in ("rnn", "gru", "tcn")})
    for chosen, said in ((rows, "Over 3 tasks"), ([{**rows[0], "label": "edited"}, *rows[1:]], r"\S{}")):
        text = experiment_table.table(grid.collect(five, chosen), "latex", "∞ 100 %?")
        compiled(text, tmp_path)
        assert colliding(tmp_path) == []
        assert said in text


def test_a_row_under_the_id_of_another_run_does_not_count(tmp_path: Path) -> None:
    experiment = write(tmp_path, LONE + "seeds: 2\n")
    one, two = experiment.runs
    forged = made(two, 0.25, id=one.id)
    entry, *_ = grid.collect(experiment, [forged, made(two, 0.5)])
    assert (entry.values, entry.edited) == ({two.seed: 0.5}, 1)
    assert "Rows: 1 of 2 runs" in experiment_table.table([entry])


def test_rows_of_one_run_that_disagree_are_told(tmp_path: Path) -> None:
    experiment = write(tmp_path, LONE)
    (run,) = experiment.runs
    text = experiment_table.table(grid.collect(experiment, [made(run, 0.25), made(run, 0.5)]))
    assert "Rows of the same run disagree that must have the same bits; the last of them is shown: adding" in text
    older = made(run, 0.25)
    older = signed({**older, "provenance": older["provenance"] | {"source": "0" * 16}})
    assert "disagree" not in experiment_table.table(grid.collect(experiment, [older, made(run, 0.5)]))


def test_an_interval_that_was_cut_says_so() -> None:
    metric = Metric("accuracy", "%", "higher", 10.0)
    found = samples.summary(metric, [99.0, 99.9, 96.0])
    assert found is not None
    assert found.interval is not None
    assert found.interval.high == 100.0
    assert found.interval.method.endswith(samples.CUT)
