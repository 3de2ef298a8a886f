"""The ledger from folders to text: which rows are taken, what is marked, and that every format says the same."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command import seqbench
from latex_pages import content
from ledgers import JSB, gru_rows, lay_out, made, number, write
from seqbench.bench.analysis import ledger as report
from seqbench.bench.analysis.grid import collect
from seqbench.bench.analysis.ledger import Line, lines, summary
from seqbench.bench.analysis.published import Number
from seqbench.bench.analysis.verdicts import Verdict
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.tables import ledger_table
from seqbench.bench.report.tables.cells import cell_text
from seqbench.bench.report.tables.ledger_records import long_form
from seqbench.bench.report.tables.ledger_table import ledger, ours, write_ledger
from seqbench.bench.rows.store import Row, Workplace

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    return write(tmp_path / "results" / "x", JSB)


def found(experiment: Experiment, numbers: Sequence[Number] = (), **options: Any) -> list[Line]:
    return lines([experiment.folder], numbers=numbers or [number("8.10")], **options)


def test_published_rows_give_a_verdict(experiment: Experiment) -> None:
    lay_out(experiment, gru_rows(experiment))
    (line,) = found(experiment)
    assert (line.judgement.verdict, line.folder, line.unpublished) == (Verdict.REPRODUCED, "x", 0)
    assert ours(line) == ("8.10 [7.85–8.35]", "n=3")


def test_the_ledger_and_the_table_print_one_mean_and_interval(experiment: Experiment) -> None:
    """Whatever the spread, and whether the task can be solved or not."""
    for cell, scores in zip(experiment.cells[:3:2], [(2.0, 8.1, 30.0), (1e-6, 9e-5, 8e-4)], strict=True):
        lay_out(experiment, [made(run, score) for run, score in zip(cell.runs, scores, strict=True)])
        options = {} if cell.task == "jsb" else {"task": cell.task, "metric": "mse", "solved": True}
        (line,) = found(experiment, [number("1", **options)])
        (entry,) = collect(replace(experiment, cells=(cell,)), [*Workplace(experiment.folder).rows()])
        printed = re.findall(r"\d\S* \[[^%\]]+\]", ", ".join(cell_text(entry)))
        assert len(printed) == 1
        assert printed[0] in ours(line)


def test_a_row_that_was_edited_does_not_count(experiment: Experiment) -> None:
    first, *others = gru_rows(experiment)
    lay_out(experiment, [{**first, "seconds": {"training": 1.0, "evaluation": 1.0, "cpu": 9.0}}, *others])
    (line,) = found(experiment)
    assert ours(line) == ("8.10 and 8.20 (no interval)", "n=2 of 3", "1 edited§")
    assert "nothing of it counts" in ledger([line])


def test_working_rows_are_marked_and_can_be_left_out(experiment: Experiment) -> None:
    rows = gru_rows(experiment)
    lay_out(experiment, rows[:1], rows[1:])
    (line,) = found(experiment)
    assert (line.judgement.verdict, line.unpublished) == (Verdict.REPRODUCED, 2)
    assert ours(line) == ("8.10 [7.85–8.35]", "n=3", "2 unpublished")
    (published,) = found(experiment, source="published")
    assert (ours(published), published.judgement.reason) == (("8.00 (no interval)", "n=1 of 3"), "n=1, 3 are needed")
    (working,) = found(experiment, source="working")
    assert ours(working) == ("8.10 and 8.20 (no interval)", "n=2 of 3", "2 unpublished")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda row: {**row, "seconds": {"training": 1.0, "evaluation": 1.0, "cpu": 9.0}}, "1 of 3 edited by hand"),
        (lambda row: {**row, "sum": None}, "1 of 3 edited by hand"),
    ],
)
def test_a_row_that_was_edited_is_not_judged(experiment: Experiment, spoil: Callable[[Row], Row], reason: str) -> None:
    first, *others = gru_rows(experiment)
    lay_out(experiment, [spoil(first), *others])
    (line,) = found(experiment)
    assert (line.judgement.verdict, line.judgement.reason) == (Verdict.NOT_JUDGED, reason)


def test_rows_of_no_commit_are_not_judged(experiment: Experiment) -> None:
    lay_out(experiment, [], gru_rows(experiment, provenance={"commit": None}))
    (line,) = found(experiment)
    assert (line.judgement.verdict, line.judgement.reason) == (Verdict.NOT_JUDGED, "3 of 3 of no commit")


def test_marks_stand_behind_ours(experiment: Experiment) -> None:
    lay_out(experiment, gru_rows(experiment, provenance={"dirty": True, "source": "old"}))
    (line,) = found(experiment)
    assert ours(line)[-1] == "n=3*†"
    assert "uncommitted changes" in ledger([line])


def test_device_classes_are_never_mixed(experiment: Experiment) -> None:
    lay_out(experiment, [*gru_rows(experiment), *gru_rows(experiment, device="cuda")[:2]])
    cpu, cuda = found(experiment)
    assert (ours(cpu)[1], ours(cuda)[1]) == ("n=3", "n=2 of 3")
    assert (cpu.judgement.verdict, cuda.judgement.verdict) == (Verdict.REPRODUCED, Verdict.NOT_JUDGED)
    assert summary([cpu, cuda]).startswith("2 lines on 1 published number: 1 reproduced, ")
    assert "GRU: gru on cuda" in ledger([cpu, cuda])
    (line,) = found(experiment, device="cuda")
    assert ours(line)[1] == "n=2 of 3"


def test_a_number_without_rows_or_without_a_cell_is_not_run(experiment: Experiment) -> None:
    lay_out(experiment)
    (line,) = found(experiment)
    assert (line.judgement.verdict, ours(line), line.folder) == (Verdict.NOT_RUN, ("–",), "x")
    (line,) = found(experiment, [number("8.10", name="TCN", model="tcn")])
    assert (line.judgement.verdict, ours(line), line.folder) == (Verdict.NOT_RUN, ("–",), None)


def test_solved_runs_are_counted_and_their_mean_is_geometric(experiment: Experiment) -> None:
    cell = experiment.cells[2]
    scores = (1e-5, 1e-3, 0.2)
    lay_out(experiment, [made(run, score) for run, score in zip(cell.runs, scores, strict=True)])
    options = {"task": "adding(length=20)", "metric": "mse"}
    (line,) = found(experiment, [number("5.3e-5", solved=True, **options)])
    assert ours(line)[0] == "2/3 solved [21–94 %]"
    assert ours(line)[1] == "1.00e-5 and 0.00100 (no interval)"
    (line,) = found(experiment, [number("0.16", solved=False, **options)])
    assert ours(line)[1:] == ("0.200 (no interval)", "n=3")


def test_numbers_are_chosen_by_the_tasks_of_the_folders(experiment: Experiment, tmp_path: Path) -> None:
    numbers = [number("8.10"), number("3.29", task="nottingham")]
    assert [line.number for line in found(experiment, numbers)] == numbers[:1]
    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other", JSB.replace("jsb", "muse"))
    with pytest.raises(UsageError, match=r"other: no published number is of these tasks"):
        lines([other.folder], numbers=numbers)


def test_the_summary_counts_the_verdicts(experiment: Experiment) -> None:
    lay_out(experiment, gru_rows(experiment))
    numbers = [
        number("8.10", name="a"), number("8.12", name="b"), number("7.00", name="c"), number("9.00", name="d"),
        number("8.1", name="e", cannot="why"), number("8.1", name="f", model="rnn"),
        number("8.1", name="g", parameters=1000), number("8.1", name="h", experiment=None),
    ]  # fmt: skip
    assert summary(found(experiment, numbers)) == (
        "7 published numbers: 2 reproduced, 1 better, 1 worse, 0 inconclusive, 0 at the floor, 1 not judged, "
        "1 not run, 1 cannot."
    )


@pytest.fixture
def every_kind(experiment: Experiment) -> list[Line]:
    """Lines of all verdicts, with notes."""
    lay_out(experiment, gru_rows(experiment), [made(experiment.cells[1].runs[0], 8.5)])
    numbers = [
        number("8.10", name="a_b", row_note="100 % of a & b"), number("7.00", name="c"), number("9.00", name="d"),
        number("8.1", name="e", cannot="its settings are those of others, training is not stated"),
        number("8.1", name="f", model="rnn"), number("8.1", name="g", model="tcn"),
        number("8.2", name="h", experiment=None, note="context only: tuned"), number("8.3", name="i", experiment=None),
    ]  # fmt: skip
    return found(experiment, numbers)


def test_formats_say_the_same(every_kind: list[Line]) -> None:
    frame = long_form(every_kind)
    csv = pd.read_csv(io.StringIO(ledger(every_kind, "csv")), dtype={"published": str})
    records = json.loads(ledger(every_kind, "json"))
    assert len(frame) == len(csv) == len(records) == len(every_kind)
    for place, line in enumerate(every_kind):
        assert records[place]["verdict"] == csv["verdict"][place] == line.judgement.verdict.value
        assert records[place]["published"] == csv["published"][place] == line.number.printed
        mean = records[place]["mean"]
        assert mean == csv["mean"][place] or (mean is None and pd.isna(csv["mean"][place]))
    assert records[0]["mean"] == pytest.approx((8.0 * 8.1 * 8.2) ** (1 / 3))
    assert records[0]["one_more_run_high"] == pytest.approx(8.611973 + 0.005, abs=1e-5)
    markdown, latex = ledger(every_kind, "md"), ledger(every_kind, "latex")
    figures = r"\d+(?:\.\d+)?"
    assert re.findall(figures, markdown) == re.findall(figures, content(latex))
    for line in every_kind:
        assert line.judgement.verdict.value in markdown or line.judgement.verdict == Verdict.CONTEXT


def test_latex_is_balanced_and_knows_its_characters(every_kind: list[Line]) -> None:
    text = ledger(every_kind, "latex")
    bare = re.sub(r"\\.", "", text)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert text.isascii()
    assert "?" not in text  # a character that the writer does not know
    assert r"100 \% of a \& b" in text
    assert "?" not in ledger(lines(source="published"), "latex")


def test_an_unknown_format_is_refused(every_kind: list[Line]) -> None:
    with pytest.raises(ValueError, match="format html"):
        ledger(every_kind, "html")


def test_the_ledger_of_a_results_folder_is_of_its_published_rows(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "read", lambda: (number("8.10"), number("8.1", experiment="results/y")))
    rows = gru_rows(experiment)
    path = experiment.folder.parent / "ledger.md"
    lay_out(experiment, rows[:2], rows[2:])
    assert write_ledger(path) == path
    text = path.read_text(encoding="utf-8")
    assert "n=2 of 3" in text
    assert "unpublished" not in text
    assert "0 worse, 0 inconclusive, 0 at the floor, 1 not judged, 1 not run, 0 cannot" in text
    lay_out(experiment, rows)
    assert write_ledger(path) == path
    assert "1 reproduced" in path.read_text(encoding="utf-8")


def test_variants_are_judged_on_lines_of_their_own(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    variant = write(experiment.folder.parent / "larger", JSB.replace("width=4", "width=5"))
    numbers = (number("8.10", variants=("results/larger",)), number("7.00", name="b"))
    monkeypatch.setattr(report, "read", lambda: numbers)
    lay_out(experiment, gru_rows(experiment))
    path = experiment.folder.parent / "ledger.md"
    assert write_ledger(path) == path
    assert "larger" not in path.read_text(encoding="utf-8"), "before it is run"
    lay_out(variant, [made(run, score) for run, score in zip(variant.cells[0].runs, (6.0, 6.1, 6.2), strict=True)])
    found = report.of_results(path.parent)
    assert [(line.folder, line.variant, line.judgement.verdict.value) for line in found] == [
        ("x", False, "reproduced"), ("larger", True, "better"), ("x", False, "worse"),
    ]  # fmt: skip
    text = ledger(found)
    assert text.startswith("A paper, Table 1. 2 published numbers: 1 reproduced, 0 better, 1 worse, ")
    assert "Beside them 1 of other settings or sizes: 1 better." in text
    assert re.search(r"\| GRU: gru on cpu, larger +\|", text)
    assert long_form(found)["variant"].tolist() == [False, True, False]


def test_a_folder_without_experiments_of_the_ledger_gets_none(experiment: Experiment) -> None:
    path = experiment.folder.parent / "ledger.md"
    assert write_ledger(path) is None
    assert not path.exists()


def test_the_command_prints_all_41_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEQBENCH_RUNS", str(tmp_path))
    answer = seqbench("table", "--ledger", "--format", "json")
    assert answer.code == 0
    records = answer.json
    judged = [record for record in records if record["verdict"] != "context"]
    assert len(judged) >= 41
    assert len({(record["row"], record["name"]) for record in judged}) == 41
    assert sum(record["verdict"] == "cannot" for record in judged) >= 4


def test_the_command_takes_folders(experiment: Experiment) -> None:
    lay_out(experiment, gru_rows(experiment))
    answer = seqbench("table", "--ledger", experiment.folder)
    assert answer.code == 0
    assert "4 published numbers: " in answer.out
    assert "| 8.43 | 8.10 [7.85–8.35], n=3 | " in re.sub(" +", " ", answer.out)
    assert seqbench("table", "--ledger", experiment.folder, "--working").out.count("n=3") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table",), "one DIR is needed"),
        (("table", "results/quick", "results/bai2018-jsb"), "one DIR is needed"),
        (("table", "--ledger", "results/quack"), "no such experiment; did you mean 'results/quick'?"),
    ],
)
def test_a_wrong_call_is_said_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    answer = seqbench(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1


def test_all_is_said_of_a_line_in_the_long_form(every_kind: list[Line]) -> None:
    frame = long_form(every_kind)
    assert frame["n"].tolist() == [3, 3, 3, 3, 1, 0, 3, 3]
    assert frame["unpublished"].tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert frame["rule"].iloc[0] == "best on validation"
    assert ledger_table.RULES in ledger(every_kind)
