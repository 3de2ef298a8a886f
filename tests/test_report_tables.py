"""Tables: whatever is missing shows, the preset's rule is kept, and every format says the same numbers."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from seqbench.bench.analysis import digits, grid
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.experiments.runs import Run
from seqbench.bench.report.tables import cells, cost_table, experiment_table, records
from seqbench.tasks.base import Metric

from .latex_pages import NEEDS_TEX, colliding, compiled, content
from .made_rows import dirtied, made, write

TEXT = """
question: Which one, at 100 % of a_b & more?
preset: suite
seeds: 3
training: {epochs: 1, learning_rate: 0.01}
rows:
- task: adding(length=20)
  models: [gru(width=4), {model: lstm(width=4), assumed: [clip]}, "tcn(width=4, kernel=2, levels=2)"]
- task: copy-memory(delay=5)
  models: [gru(width=4), "tcn(width=4, kernel=3, levels=2)"]
- task: jsb
  models: [gru(width=4)]
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return write(tmp_path, TEXT)


def all_rows(experiment: Experiment) -> list[dict[str, Any]]:
    return [made(run, 0.0001234 * (place + 1)) for place, run in enumerate(experiment.runs)]


def first_cell(experiment: Experiment, make: Callable[[Run], Iterator[dict[str, Any]]]) -> grid.Entry:
    rows = [row for run in experiment.cells[0].runs for row in make(run)]
    return grid.collect(experiment, rows)[0]


def numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", text)


def test_every_place_of_the_grid_has_an_entry_without_any_row(experiment: Experiment) -> None:
    entries = grid.collect(experiment, [])
    assert [(entry.task, entry.metric.name, entry.model_name) for entry in entries] == [
        ("adding(length=20)", "mse", "gru"),
        ("adding(length=20)", "mse", "lstm"),
        ("adding(length=20)", "mse", "tcn"),
        ("copy-memory(delay=5)", "loss", "gru"),
        ("copy-memory(delay=5)", "recall", "gru"),
        ("copy-memory(delay=5)", "loss", "tcn"),
        ("copy-memory(delay=5)", "recall", "tcn"),
        ("jsb", "nats", "gru"),
    ]
    assert {(entry.missing, entry.done, cells.cell_text(entry)) for entry in entries} == {(3, 0, ("not run",))}
    assert experiment_table.table(entries).count("not run") == 8
    assert "0 of 18 runs" in experiment_table.table(entries)


def test_a_missing_run_shows(experiment: Experiment) -> None:
    rows = [made(run, 0.0036) for run in experiment.cells[-1].runs[:2]]
    entry = grid.collect(experiment, rows)[-1]
    assert (entry.done, entry.missing, entry.expected) == (2, 1, 3)
    assert cells.cell_text(entry) == ("0.00360 and 0.00360", "n=2 of 3")
    assert cells.cell_text(grid.collect(experiment, rows[:1])[-1]) == ("0.00360", "n=1 of 3: no interval")


@pytest.mark.parametrize(
    ("statuses", "text"),
    [
        (("done", "done", "done"), "3/3 solved [44–100 %], median 9.00e-4, SOLVED, ≤ 100 steps to solve"),
        (
            ("done", "diverged", "done"),
            "2/3 solved [21–94 %], 9.00e-4 and 9.00e-4, ≤ 100 steps to solve, 1 diverged",
        ),
        (("done", None, "done"), "2/2 solved, 9.00e-4 and 9.00e-4, ≤ 100 steps to solve, n=2 of 3"),
        (("done", None, None), "1/1 solved, 9.00e-4, ≤ 100 steps to solve, n=1 of 3: no interval"),
        (
            ("done", "failed", "died"),
            "1/1 solved, 9.00e-4, ≤ 100 steps to solve, n=1 of 3: no interval, 2 failed",
        ),
        (("diverged", "diverged", "diverged"), "0/3 solved [0–56 %], 3 diverged"),
        (("diverged", None, None), "0/1 solved, n=1 of 3: no interval, 1 diverged"),
        (("failed", None, None), "2 not run, 1 failed"),
    ],
)
def test_diverged_and_failed_runs_show(experiment: Experiment, statuses: tuple[str | None, ...], text: str) -> None:
    runs = experiment.cells[0].runs
    rows = [made(run, 0.0009, status) for run, status in zip(runs, statuses, strict=True) if status]
    text = text.replace("SOLVED", "solved ones 9.00e-4 [9.00e-4–9.00e-4]")
    assert ", ".join(cells.cell_text(grid.collect(experiment, rows)[0])) == text


def test_a_score_that_is_not_finite_is_a_divergence(experiment: Experiment) -> None:
    rows = [made(run, None if run.seed == 1 else 8.5) for run in experiment.cells[-1].runs]
    assert cells.cell_text(grid.collect(experiment, rows)[-1]) == ("8.50 and 8.50", "n=2 of 3", "1 diverged")


def test_the_newest_result_counts(experiment: Experiment) -> None:
    entry = first_cell(experiment, lambda run: iter([made(run, 0.5), made(run, 0.25), made(run, status="failed")]))
    assert list(entry.values.values()) == [0.25, 0.25, 0.25]


def test_the_preset_chooses_the_number(tmp_path: Path, experiment: Experiment) -> None:
    suite = grid.collect(experiment, [made(run, 0.5) for run in experiment.runs])
    assert {entry.rule for entry in suite} == {"best on validation"}
    assert {value for entry in suite for value in entry.values.values()} == {0.5}
    published = write(tmp_path, TEXT.replace("preset: suite", "preset: published"))
    entries = grid.collect(published, [made(run, 0.5) for run in published.runs])
    rules = {entry.task: (entry.rule, entry.values[0]) for entry in entries}
    assert rules == {
        "adding(length=20)": ("mean of last 3 epochs", 5.0),
        "copy-memory(delay=5)": ("mean of last 3 epochs", 5.0),
        "jsb": ("best on validation", 0.5),  # the paper had a validation set there
    }
    assert (
        "mean of last 3 epochs (adding(length=20), copy-memory(delay=5)); best on validation (jsb)"
        in experiment_table.table(entries)
    )


def test_devices_are_never_mixed(experiment: Experiment) -> None:
    runs = experiment.cells[0].runs
    rows = [made(runs[0], 0.5), made(runs[0], 0.25, device="cuda"), made(runs[1], 0.125, device="cuda")]
    with pytest.raises(UsageError, match=r"cpu and cuda.*--device"):
        grid.collect(experiment, rows)
    assert grid.collect(experiment, rows, "cpu")[0].values == {0: 0.5}
    assert grid.collect(experiment, rows, "cuda")[0].values == {0: 0.25, 1: 0.125}
    only = grid.collect(experiment, rows[1:])[0]
    assert (only.device, only.values) == ("cuda", {0: 0.25, 1: 0.125})


def test_marks_are_explained_only_where_used(experiment: Experiment) -> None:
    rows = all_rows(experiment)
    text = experiment_table.table(grid.collect(experiment, rows))
    assert "‡ with settings that the paper does not give: lstm: clip" in text
    assert "†" not in text
    assert r"\*" not in text
    rows = [dirtied(row, dirty=True, source="old") for row in rows]
    entries = grid.collect(experiment, rows)
    assert {(entry.dirty, entry.stale) for entry in entries} == {(3, 3)}
    text = experiment_table.table(entries)
    assert r"\*†‡" in text
    assert "\n\\* run with" in text
    assert "\n† stale: made by other code, of a commit that is not in this repository" in text


def test_columns_are_plain_names_where_they_tell_models_apart(tmp_path: Path, experiment: Experiment) -> None:
    assert set(grid.columns(grid.collect(experiment, [])).values()) == {"gru", "lstm", "tcn"}
    several = write(tmp_path, TEXT.replace('models: [gru(width=4), "tcn', 'models: [gru(width=4), tcn(width=4), "tcn'))
    assert list(dict.fromkeys(grid.columns(grid.collect(several, [])).values())) == [
        "gru",
        "lstm",
        "tcn(kernel=2, levels=2)",
        "tcn",
        "tcn(kernel=3, levels=2)",
    ]


def test_cells_that_differ_in_settings_alone_stay_apart(tmp_path: Path) -> None:
    text = TEXT + "- {task: jsb, training: {epochs: 2}, models: [gru(width=4)]}\n"
    experiment = write(tmp_path, text)
    rows = [made(run, 1.0 + run.training.epochs) for run in experiment.runs]
    entries = [entry for entry in grid.collect(experiment, rows) if entry.task == "jsb"]
    assert [(entry.model, entry.values[0]) for entry in entries] == [("gru, epochs=1", 2.0), ("gru, epochs=2", 3.0)]
    assert "| gru, epochs=2" in experiment_table.table(entries)


def test_formats_hold_the_same_numbers(experiment: Experiment) -> None:
    entries = grid.collect(experiment, all_rows(experiment)[:-3])
    frame = records.long_form(entries)
    csv = pd.read_csv(io.StringIO(experiment_table.table(entries, "csv")))
    read = json.loads(experiment_table.table(entries, "json"))
    assert len(frame) == len(csv) == len(read) == len(entries)
    for place, entry in enumerate(entries):
        for seed in entry.seeds:
            score = entry.values.get(seed)
            assert read[place][f"seed_{seed}"] == score
            assert csv[f"seed_{seed}"][place] == score or score is None
        assert (read[place]["missing"], csv["missing"][place]) == (entry.missing, entry.missing)
    markdown = experiment_table.table(entries, "md", experiment.question)
    latex = experiment_table.table(entries, "latex", experiment.question)
    assert numbers(markdown) == numbers(re.sub(r"\\times10\^\{(.*?)\}", r"e\1", content(latex)))
    line = next(line for line in markdown.splitlines() if "nats/frame" in line)
    both = (digits.number(frame[f"seed_{seed}"].iloc[-1]) for seed in (0, 1))
    assert " and ".join(both) in line, "two runs have no interval"


def test_the_long_form_of_no_entries_is_empty() -> None:
    assert records.long_form([]).empty
    assert json.loads(experiment_table.table([], "json")) == []
    assert "no cells" in experiment_table.table([], "md")


def latex_with_every_mark(experiment: Experiment) -> str:
    rows = [dirtied(row, dirty=True, source="old") for row in all_rows(experiment)]
    return experiment_table.table(grid.collect(experiment, rows), "latex", experiment.question)


def test_latex_is_balanced_and_escaped(experiment: Experiment) -> None:
    text = latex_with_every_mark(experiment)
    bare = re.sub(r"\\.", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert text.count(r"\begin{longtblr}") == text.count(r"\end{longtblr}") > 0
    assert text.isascii()
    assert r"100 \% of a\_b \& more" in text


@NEEDS_TEX
def test_latex_compiles_as_it_is(experiment: Experiment, tmp_path: Path) -> None:
    compiled(latex_with_every_mark(experiment), tmp_path)
    assert colliding(tmp_path) == []


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.0, None, "0"),
        (0.0009999, None, "0.00100"),
        (0.00043918, None, "4.39e-4"),
        (0.16666, None, "0.167"),
        (99.96, None, "100"),
        (12345.6, None, "12346"),
        (1234567.0, None, "1.23e6"),
        (97.604, 2, "97.60"),
        (None, None, "–"),
        (float("nan"), None, "–"),
    ],
)
def test_numbers_have_sensible_digits(value: float | None, decimals: int | None, text: str) -> None:
    assert digits.number(value, decimals) == text


def test_a_metric_tells_unit_direction_and_threshold() -> None:
    assert cells.metric_text(Metric("loss", "nats", "lower", 1.0)) == ("loss (nats) ↓",)
    assert cells.metric_text(Metric("recall", "", "higher", 0.1, 0.99)) == ("recall ↑", "solved ≥ 0.99")


def test_sizes_and_times_stand_below(tmp_path: Path) -> None:
    text = TEXT.replace("models: [gru(width=4)]", "parameters: 100\n  models: [gru(width=4)]")
    experiment = write(tmp_path, text)
    entries = grid.collect(experiment, all_rows(experiment))
    *_, table, meaning = experiment_table.blocks(entries)
    # multiply-adds by hand: three gates of 4 units that read 88 keys and 4 units, and 88 outputs at every step
    macs = str(3 * 4 * (88 + 4) + 4 * 88)
    said = ["jsb", "gru", "105", "+5.0 %", "4", macs, "3.5", "4.0"]
    assert [", ".join(text) for text in table.lines[-1]] == said
    assert table.header[-2:] == ["Processor seconds", "Wall seconds"]
    assert meaning == cost_table.MEANING
    frame = records.long_form(entries)
    assert frame[["state_size", "macs_per_step", "processor_seconds"]].iloc[-1].tolist() == [4, int(macs), 3.5]


def test_what_the_last_step_alone_costs_is_shared_among_all(experiment: Experiment) -> None:
    """adding(length=20): a head of 4 numbers is read once in 20 steps."""
    (entry, *_) = grid.collect(experiment, all_rows(experiment))
    assert entry.macs_per_step == 3 * 4 * (2 + 4) + round(4 / 20)


def test_long_runs_are_in_hours_and_what_was_not_run_costs_nothing(experiment: Experiment) -> None:
    long = {"seconds": {"training": 7000.0, "evaluation": 200.0, "cpu": 3600.0}}
    rows = [made(run, 0.1, **long) for run in experiment.cells[0].runs]
    table, _ = cost_table.blocks(grid.collect(experiment, rows))
    assert table.header[-2:] == ["Processor hours", "Wall hours"]
    assert [text[0] for text in table.lines[0][-2:]] == ["1.00", "2.00"]
    assert {text for line in table.lines[1:] for text in line[2:]} == {("–",)}


def test_several_epochs_say_early_whether_a_rerun_goes_as_they_did(tmp_path: Path) -> None:
    experiment = write(tmp_path, TEXT.replace("epochs: 1", "epochs: 2"))
    seconds = {"training": 3.0, "evaluation": 1.0, "cpu": 5.0}
    entries = grid.collect(experiment, [made(experiment.runs[-1], 8.0, curve=[9.5, 8.0], seconds=seconds)])
    line = experiment_table.table(entries).splitlines()[-1]
    said = [part.strip() for part in line.strip("|").split("|")]
    assert said == ["jsb", "nats (nats/frame) ↓", "gru", "9.50, n=1 of 3: no interval", "2.5"]
    record = json.loads(experiment_table.table(entries, "json"))[-1]
    assert (record["after_first_epoch"], record["epoch_seconds"]) == (pytest.approx(9.5), 2.5)
    assert record["after_first_epoch_low"] is None


def test_a_single_epoch_has_no_early_score(experiment: Experiment) -> None:
    assert "early" not in experiment_table.table(grid.collect(experiment, all_rows(experiment)))


def test_two_sources_are_compared_cell_by_cell(experiment: Experiment) -> None:
    here = grid.collect(experiment, [made(run, 0.5) for run in experiment.runs])
    committed = grid.collect(experiment, [made(run, 0.25) for run in experiment.cells[0].runs])
    rows = experiment_table.compare(here, committed)
    assert len(rows) == len(here)
    texts = ("0/3 solved [0–56 %], median 0.500", "0/3 solved [0–56 %], median 0.250")
    assert rows[0] == ("adding(length=20)", "mse ↓", "gru", *texts)
    assert rows[-1] == ("jsb", "nats (nats/frame) ↓", "gru", "0.500 [0.500–0.500], n=3", "not run")
    assert experiment_table.compare(here[:1], [])[0].committed == "–"
