"""Whether an experiment's conclusions and comparisons were there before its first row: by git's history of the file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from made_rows import LONE, dirtied, made, write
from seqbench.bench.evidence import checking, plans
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.rows.store import Row, RowFile

TWO = LONE.replace("[gru(width=4)]", "[gru(width=4), lstm(width=4)]")
REFERENCE = "reference of adding(length=20):"
LATER = "after the first row, of 2026-11-01; its contrasts were planned only if the question named them, which"
DECIDES = "decides: If the GRU leads, it is the gates.\n"


def git(folder: Path, *words: str, date: str = "2026-11-01T09:00:00+00:00") -> str:
    names = {f"GIT_{who}_{what}": "x@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date, "GIT_CONFIG_GLOBAL": os.devnull}
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | names | dates).stdout


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """An experiment of two models, committed at nine o'clock; its rows are begun at ten."""
    found = write(tmp_path / "results" / "x", TWO)
    git(tmp_path, "init", "--quiet")
    committed(found)
    return found


def committed(experiment: Experiment, date: str = "2026-11-01T09:00:00+00:00") -> str:
    git(experiment.folder, "add", ".")
    git(experiment.folder, "commit", "--quiet", "-m", "x", date=date)
    return git(experiment.folder, "rev-parse", "HEAD").strip()


def said(experiment: Experiment, row: Row, text: str) -> list[str]:
    """What is said of an experiment with this row where its file has got this text since."""
    write(experiment.folder, text)
    return [*plans.changed_since(experiment.folder, [row])]


@pytest.mark.parametrize("known", [True, False], ids=["by the row's commit", "by dates"])
def test_what_was_added_or_changed_after_the_first_row_is_said(experiment: Experiment, known: bool) -> None:
    commit = git(experiment.folder, "rev-parse", "HEAD").strip() if known else "c0ffee1234"
    row = dirtied(made(experiment.runs[0]), commit=commit)
    assert said(experiment, row, TWO) == []
    assert said(experiment, row, TWO + DECIDES) == ["decides: added after the first row, of 2026-11-01"]
    added = f"{REFERENCE} added {LATER}"
    (as_then,) = said(experiment, row, TWO + "reference: lstm\n")
    assert as_then == f"{added} is as it was then"
    (too,) = said(experiment, row, TWO.replace("Which one", "Is the GRU") + "reference: lstm\n")
    assert too == f"{added} was changed too"


def test_what_was_there_before_may_be_changed_and_taken_away(experiment: Experiment) -> None:
    write(experiment.folder, TWO + DECIDES + "reference: lstm\n")
    row = dirtied(made(experiment.runs[0]), commit=committed(experiment))
    assert said(experiment, row, TWO + DECIDES.replace("gates.", "\n  gates.") + "reference: lstm\n") == []
    assert said(experiment, row, TWO + DECIDES.replace("gates", "width") + "reference: gru\n") == [
        "decides: changed after the first row, of 2026-11-01",
        f"{REFERENCE} changed {LATER} is as it was then",
    ]
    assert said(experiment, row, TWO + "reference: lstm\n") == [
        "decides: taken away after the first row, of 2026-11-01"
    ]


def test_a_commit_of_later_than_the_first_row_does_not_count(experiment: Experiment) -> None:
    write(experiment.folder, TWO + DECIDES)
    committed(experiment, date="2026-11-01T11:00:00+00:00")
    row = dirtied(made(experiment.runs[0]), commit="c0ffee1234")
    assert said(experiment, row, TWO + DECIDES) == ["decides: added after the first row, of 2026-11-01"]


def test_the_first_row_counts_and_not_the_order_of_the_file(experiment: Experiment) -> None:
    first = dirtied(made(experiment.runs[0]), commit=git(experiment.folder, "rev-parse", "HEAD").strip())
    write(experiment.folder, TWO + DECIDES)
    later = dirtied(made(experiment.runs[1]), commit=committed(experiment), started="2026-11-02T10:00:00+00:00")
    assert [*plans.changed_since(experiment.folder, [later])] == []
    assert len([*plans.changed_since(experiment.folder, [later, first])]) == 1


def test_outside_of_git_and_of_a_file_that_git_does_not_know_nothing_is_said(
    tmp_path: Path, experiment: Experiment
) -> None:
    row = made(experiment.runs[0])
    other = write(tmp_path / "results" / "unknown", TWO + DECIDES)
    assert [*plans.changed_since(other.folder, [row])] == []
    assert [*plans.changed_since(experiment.folder, [])] == []


def test_the_static_check_says_it_as_a_remark(experiment: Experiment) -> None:
    row = dirtied(made(experiment.runs[0]), commit=git(experiment.folder, "rev-parse", "HEAD").strip())
    RowFile(experiment.folder / "runs.jsonl").replace([row])
    write(experiment.folder, TWO + DECIDES)
    found = [one for one in checking.check(experiment.folder).findings if one.where == plans.FILE]
    assert [(one.what, one.kind) for one in found] == [("decides: added after the first row, of 2026-11-01", "remark")]
