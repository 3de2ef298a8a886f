"""Where verbs write: what keeps a file from being written, and a folder without an experiment, is said in one line."""

from __future__ import annotations

from pathlib import Path

import made_rows
import pytest
from command import seqbench
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.rows.store import Workplace


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    experiment = made_rows.write(tmp_path / "results" / "x", made_rows.LONE)
    Workplace(experiment.folder).published.replace([made_rows.made(experiment.runs[0])])
    return experiment


def test_a_table_is_written_where_it_is_wanted(experiment: Experiment, tmp_path: Path) -> None:
    out = tmp_path / "new" / "table.md"
    answer = seqbench("table", experiment.folder, "--out", out)
    assert (answer.code, answer.out) == (0, f"wrote {out}\n")
    assert out.read_text(encoding="utf-8") == seqbench("table", experiment.folder).out
    assert seqbench("table", "--ledger", "--format", "csv", "--out", out).code == 0
    assert out.read_text(encoding="utf-8").startswith("source,table,row,")


@pytest.mark.parametrize(
    "words",
    [["table", "{}", "--out", "{out}.md"], ["table", "--ledger", "--out", "{out}.md"],
     ["report", "{}", "--out", "{out}.html"], ["plot", "{}", "--out", "{out}"],
     ["gradients", "{}", "--steps", "1", "--out", "{out}"]],
    ids=lambda words: words[0],
)  # fmt: skip
def test_what_cannot_be_written_is_said_with_a_remedy(words: list[str], experiment: Experiment, tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # where a folder is needed
    answer = seqbench(*(word.format(experiment.folder, out=tmp_path / "file" / "out") for word in words))
    assert answer.code == 2, answer
    assert answer.err.startswith(f"seqbench: --out {tmp_path / 'file'}")
    assert answer.err.endswith("; name another place, or mend that one\n")
    assert len(answer.err.splitlines()) == 1


@pytest.mark.parametrize("verb", ["table", "status", "run", "report", "plot", "publish", "verify", "gradients"])
def test_a_folder_without_an_experiment(verb: str, tmp_path: Path) -> None:
    answer = seqbench(verb, tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(
        f"seqbench: {tmp_path}: no experiment.yaml there; name a folder that has one, such as "
    )
    assert len(answer.err.splitlines()) == 1


def test_only_means_what_the_one_rule_says(experiment: Experiment) -> None:
    run = experiment.runs[0]
    for text in ("gru", run.id[:6], "adding seed 0"):
        assert seqbench("run", experiment.folder, "--device", "cpu", "--dry-run", "--only", text).out.startswith(run.id)
    answer = seqbench("run", experiment.folder, "--device", "cpu", "--dry-run", "--only", "gru", "--only", "lstm")
    assert answer.code == 2
    assert f"--only 'lstm': no run of {experiment.folder} has that in its label" in answer.err
