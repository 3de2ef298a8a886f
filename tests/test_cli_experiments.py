"""The verbs of experiments, on one that is trained in a second: run, status, table, plot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Answer, seqbench
from seqbench.bench import make_run, read_rows
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments.config import load
from seqbench.bench.experiments.notation import parse
from seqbench.bench.rows.store import Workplace

EXPERIMENT = """\
question: Which of two tiny ones?
seeds: 2
training: {epochs: 1, batch: 16}
rows:
- task: adding(length=6, train=32, valid=8, test=8)
  models: [rnn(width=3), gru(width=3)]
"""


def write(folder: Path) -> Path:
    """A folder with the experiment."""
    folder.mkdir(parents=True)
    (folder / "experiment.yaml").write_text(EXPERIMENT, encoding="utf-8")
    return folder


@pytest.fixture
def untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment of which nothing has been run; its working area is beside it."""
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    return write(tmp_path / "results" / "tiny")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Answer]]:
    """The experiment with two of its four runs trained by the command line, and what that answered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SEQBENCH_RUNS", raising=False)
        folder = write(tmp_path_factory.mktemp("trained") / "results" / "tiny")
        answer = seqbench("run", folder, "--device", "cpu", "--seeds", "0", "--figure")
        yield folder, answer


def test_a_dry_run_says_what_and_why(untouched: Path) -> None:
    answer = seqbench("run", untouched, "--dry-run", "--device", "cpu")
    assert answer.code == 0
    expected = [f"{run.id}  {run}  new" for run in load(untouched).runs]
    assert answer.out.splitlines() == expected
    assert len(expected) == 4
    assert [path.name for path in untouched.parents[1].rglob("*") if path.is_file()] == ["experiment.yaml"]


@pytest.mark.parametrize(
    ("options", "seeds", "models"),
    [
        (["--seeds", "3"], [3, 3], ["rnn", "gru"]),
        (["--seeds", "0,2-4,3"], [0, 0, 2, 2, 3, 3, 4, 4], ["rnn", "gru"] * 4),
        (["--only", "gru"], [0, 1], ["gru", "gru"]),
        (["--only", "rnn seed 1"], [1], ["rnn"]),
        (["--only", "rnn seed 1", "--only", "gru seed 0"], [0, 1], ["gru", "rnn"]),
        (["--only", "adding(length=6"], [0, 0, 1, 1], ["rnn", "gru"] * 2),
    ],
)
def test_which_runs_are_chosen(untouched: Path, options: list[str], seeds: list[int], models: list[str]) -> None:
    lines = seqbench("run", untouched, "--dry-run", *options).out.splitlines()
    assert [int(line.split(" seed ")[1].split()[0]) for line in lines] == seeds
    assert ["gru" if " gru " in line else "rnn" for line in lines] == models


def test_a_run_can_be_chosen_by_its_id(untouched: Path) -> None:
    run = load(untouched).runs[2]
    (line,) = seqbench("run", untouched, "--dry-run", "--only", run.id).out.splitlines()
    assert line.startswith(run.id)


def test_run_trains_into_the_working_area_and_prints_the_table(trained: tuple[Path, Answer]) -> None:
    folder, answer = trained
    assert answer.code == 0, answer.err
    area = folder.parents[1] / "runs" / "tiny"
    assert Workplace(folder).area == area
    rows = [json.loads(line) for line in (area / "runs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["id"] for row in rows} == {run.id for run in load(folder, [0]).runs}
    assert {row["status"] for row in rows} == {"done"}
    assert not (folder / "runs.jsonl").exists()
    for part in ("[2/2]", "Which of two tiny ones?", "adding(length=6, train=32, valid=8, test=8)", "rnn", "gru"):
        assert part in answer.out
    assert (area / "overview.png").is_file()
    assert "figure: " in answer.out


def test_what_is_there_is_not_run_again(trained: tuple[Path, Answer]) -> None:
    folder, _ = trained
    lines = seqbench("run", folder, "--dry-run", "--device", "cpu").out.splitlines()
    assert [line.rpartition("  ")[2] for line in lines] == ["finished", "finished", "new", "new"]
    lines = seqbench("run", folder, "--dry-run", "--device", "cpu", "--afresh").out.splitlines()
    assert [line.rpartition("  ")[2] for line in lines] == ["afresh"] * 4
    before = (Workplace(folder).area / "runs.jsonl").read_bytes()
    assert seqbench("run", folder, "--device", "cpu", "--seeds", "0").code == 0
    assert (Workplace(folder).area / "runs.jsonl").read_bytes() == before


def test_status(trained: tuple[Path, Answer]) -> None:
    folder, _ = trained
    lines = seqbench("status", folder, "--json").json["runs"]
    assert [line["id"] for line in lines] == [run.id for run in load(folder).runs]
    assert [line["state"] for line in lines] == ["done", "done", "not run", "not run"]
    assert [line["next"] for line in lines] == ["finished", "finished", "new", "new"]
    assert not any(line["published"] or line["error"] for line in lines)
    text = seqbench("status", folder)
    assert text.code == 0
    assert "2 of 4 runs are done" in text.out
    assert all(line["id"] in text.out for line in lines)


def test_status_before_anything_is_run(untouched: Path) -> None:
    assert [line["state"] for line in seqbench("status", untouched, "--json").json["runs"]] == ["not run"] * 4
    assert "0 of 4 runs are done" in seqbench("status", untouched).out


@pytest.mark.parametrize("format", ["md", "csv", "latex", "json"])
def test_table(trained: tuple[Path, Answer], format: str) -> None:
    folder, _ = trained
    answer = seqbench("table", folder, "--format", format, "--device", "cpu")
    assert answer.code == 0
    whole = answer.out.replace(r"\penalty\exhyphenpenalty ", "")  # LaTeX may break a line there
    assert "adding(length=6" in whole
    assert "gru" in answer.out
    if format == "json":
        assert answer.json
    if format == "md":
        assert "Rows: 2 of 4 runs" in answer.out
        assert seqbench("table", folder).out == answer.out
        assert seqbench("table", folder, "--working").out == answer.out


def test_a_table_without_rows_shows_what_is_missing(untouched: Path) -> None:
    answer = seqbench("table", untouched)
    assert answer.code == 0
    assert "rnn" in answer.out
    assert "gru" in answer.out


def test_plot(trained: tuple[Path, Answer], tmp_path: Path) -> None:
    folder, _ = trained
    answer = seqbench("plot", folder, "--out", tmp_path / "figures")
    assert answer.code == 0
    names = [f"{name}.{ending}" for name in ("overview", "scores") for ending in ("png", "svg", "pdf")]
    assert answer.out.splitlines()[:6] == [f"wrote {tmp_path / 'figures' / name}" for name in names]
    assert "no learning-epochs: no run has a second epoch" in answer.out
    assert {path.name for path in (tmp_path / "figures").iterdir()} >= set(names)
    assert (tmp_path / "figures" / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_one_figure_is_chosen_by_its_name(trained: tuple[Path, Answer]) -> None:
    folder, _ = trained
    answer = seqbench("plot", folder, "--only", "scores")
    area = folder.parents[1] / "runs" / "tiny"
    assert answer.out.splitlines() == [f"wrote {area / f'scores.{ending}'}" for ending in ("png", "svg", "pdf")]
    wrong = seqbench("plot", folder, "--only", "score")
    assert (wrong.code, wrong.err) == (2, "seqbench: there is no figure 'score': did you mean 'scores'?\n")
    missing = seqbench("plot", folder, "--only", "lengths")
    assert missing.code == 2
    assert "lengths: there is no solvable task at several lengths" in missing.err


def test_plot_without_rows(untouched: Path) -> None:
    answer = seqbench("plot", untouched)
    assert answer.code == 2
    assert "there are no rows to draw; seqbench run " in answer.err
    assert answer.err.count("\n") == 1


def test_read_rows(trained: tuple[Path, Answer]) -> None:
    folder, _ = trained
    frame = read_rows(folder)
    assert len(frame) == 2
    assert {parse(model).name for model in frame["model"]} == {"rnn", "gru"}
    assert set(frame["status"]) == {"done"}
    assert frame["best_mse"].between(0, 5).all()
    assert frame["last_mse"].equals(frame["best_mse"])  # of one epoch
    assert list(frame["id"]) == [row["id"] for row in Workplace(folder).working.read()]
    assert read_rows(str(folder), "published").empty
    row = frame.iloc[0]
    assert row["id"] == make_run(row["task"], row["model"], epochs=1, batch=16, seed=int(row["seed"])).id


def test_read_rows_gives_one_line_a_run(
    tmp_path: Path, trained: tuple[Path, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained afresh stands twice in the file; a failure after it hides no result."""
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    folder = write(tmp_path / "results" / "tiny")
    rows = Workplace(trained[0]).working.read()
    failed = {**rows[0], "status": "failed", "scores": {}, "error": {"message": "no", "traceback": ""}}
    newer = {**rows[1], "parameters": 7}
    for row in (*rows, newer, failed):
        Workplace(folder).working.append({key: value for key, value in row.items() if key != "sum"})
    frame = read_rows(folder).set_index("id")
    assert len(frame) == 2
    assert frame.loc[rows[0]["id"], "status"] == "done"
    assert frame.loc[rows[1]["id"], "parameters"] == 7


def test_read_rows_of_nothing() -> None:
    with pytest.raises(UsageError, match="no such experiment"):
        read_rows("results/nothing-of-this-name")
