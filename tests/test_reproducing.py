"""The commands that make a row again are right: a shell takes them, git follows them, the suite understands them."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_rows
import pytest
from command import Answer, seqbench
from experiments import SMALL, clean, published_in, write
from seqbench.bench.errors import UsageError
from seqbench.bench.evidence import reproducing
from seqbench.bench.experiments import config, registry
from seqbench.bench.rows.newest import latest
from seqbench.bench.rows.provenance import COMPUTE
from seqbench.bench.rows.store import Row, RowFile, Workplace
from test_sweep import OWN_TASK

QUICK = registry.ROOT / "results" / "quick"
ROWS = RowFile(QUICK / "runs.jsonl").read()
ADDRESS = reproducing.address


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Working areas are beside the folders, and the suite's own holds nothing."""
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    monkeypatch.chdir(registry.ROOT)
    monkeypatch.setattr(reproducing, "address", lambda: "https://example.org/seqbench.git")


def words_of(answer: Answer) -> list[list[str]]:
    """The commands as a shell cuts them into words."""
    assert answer.code == 0, answer.err
    return [shlex.split(line) for line in answer.out.splitlines() if not line.startswith("#")]


def of_program(commands: list[list[str]], program: str) -> list[list[str]]:
    return [words[1:] for words in commands if words[0] == program]


@pytest.mark.parametrize("row", [ROWS[0], ROWS[-1]], ids=lambda row: row["id"])
def test_a_published_row(row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the suite is told is tried out: the run as a dry run, the comparison with the published rows themselves."""
    commands = words_of(seqbench("reproduce", "results/quick", row["id"]))
    clone, checkout, back = of_program(commands, "git")
    assert (clone[0], clone[2]) == ("clone", of_program(commands, "cd")[0][0])
    assert checkout == ["checkout", "--quiet", "--detach", row["provenance"]["commit"]]
    assert back == ["checkout", "--quiet", "-"]
    python = ".".join(row["provenance"]["versions"]["python"].split(".")[:2])
    assert of_program(commands, f"python{python}") == [["-m", "venv", ".venv"]]
    installed = [words[3:] for words in of_program(commands, ".venv/bin/python")]
    pinned = {word for words in installed for word in words if "==" in word}
    versions = row["provenance"]["versions"]
    assert pinned == {f"{name}=={versions[name].partition('+')[0]}" for name in COMPUTE}
    assert installed.count(["--editable", "."]) == 2
    *fetched, run, verify = of_program(commands, ".venv/bin/seqbench")
    assert fetched == ([["fetch", row["config"]["task"]["name"]]] if row["provenance"]["data"] else [])
    monkeypatch.setenv("SEQBENCH_RUNS", str(tmp_path))
    assert seqbench(*run, "--dry-run").out.splitlines() == [f"{row['id']}  {row['label']}  afresh"]
    assert verify[-1] == "runs/quick/runs.jsonl"
    compared = seqbench(*verify[:-1], QUICK / "runs.jsonl")
    assert (compared.code, compared.out.splitlines()[-1]) == (0, "1 rows: 1 the same")


def test_a_row_is_found_in_all_folders_by_a_part_of_its_label(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [*latest(Workplace(QUICK).rows()).values()]
    row = next(row for row in there if row["label"].startswith("copy-memory") and "tcn" in row["label"])
    monkeypatch.setattr(reproducing, "own_folders", lambda: [QUICK])
    assert seqbench("reproduce", row["label"]).out == seqbench("reproduce", "results/quick", row["id"]).out
    told = seqbench("reproduce", row["label"], "--json").json
    assert (told["id"], told["folder"]) == (row["id"], str(QUICK))
    assert told["commands"][0].startswith("git clone ")
    assert not any(line.startswith("#") for line in (*told["commands"], *told["remarks"]))


def made_up(folder: Path, place: int = 0, **changes: Any) -> Row:
    """A row of a run of the folder's experiment; what it measured is of no matter."""
    run = config.load(folder).runs[place]
    versions = {"python": "3.12.4", "torch": "2.9.0", "numpy": "2.1.0", "numba": "0.61.0", "scipy": "1.15.1"}
    row = made_rows.made(run, seconds={"training": 4.0, "evaluation": 1.0, "cpu": 5.0})
    row["provenance"] |= {"versions": versions, "processor": "known", "platform": "known"}
    return clean(row, **changes)


def test_an_experiment_of_ones_own_is_copied_and_quoted(tmp_path: Path) -> None:
    folder = write(tmp_path / "it's mine; rm -rf ~" / "the $HOME test", SMALL)
    published_in(folder, [made_up(folder)])
    answer = seqbench("reproduce", folder, "gru")
    commands = words_of(answer)
    copied = "results/the $HOME test"
    assert of_program(commands, "cp") == [["-R", str(folder), copied]]
    run, verify = of_program(commands, ".venv/bin/seqbench")
    assert run[:2] == ["run", copied]
    assert verify == ["verify", copied, made_up(folder)["id"], "--rows", "runs/the $HOME test/runs.jsonl"]
    script = "\n".join(shlex.join(["printf", "%s\\n", *words]) for words in commands)
    echoed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert echoed.splitlines() == [word for words in commands for word in words], "and sh reads them so too"


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(root), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_git_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the commands those that only git and a shell need, on a repository of two commits."""
    origin = tmp_path / "the origin"
    (origin / "results").mkdir(parents=True)
    (origin / "results" / "kept").touch()
    git(origin, "init", "-q")
    commits = []
    for content in ("one", "two"):
        (origin / "file").write_text(content, encoding="utf-8")
        git(origin, "add", ".")
        git(origin, "commit", "-q", "-m", content)
        commits.append(git(origin, "rev-parse", "HEAD"))
    monkeypatch.setattr(reproducing, "address", lambda: str(origin))
    folder = write(tmp_path / "small", SMALL)
    published_in(folder, [made_up(folder, provenance={"commit": commits[0]})])
    lines = seqbench("reproduce", folder, "gru").out.splitlines()
    wanted = [line for line in lines if line.startswith(("git ", "cd ", "cp ", "#"))]
    script = "\n".join(f"{line}\ngit rev-parse HEAD" if line.startswith("git checkout") else line for line in wanted)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ended = subprocess.run(["sh", "-e", "-c", script], cwd=elsewhere, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout.split()) == (0, commits), ended.stderr
    (clone,) = elsewhere.iterdir()
    assert (clone / "results" / "small" / "experiment.yaml").is_file()


REMARKS: dict[str, tuple[Callable[[Path], Row], str]] = {
    "dirty": (
        lambda folder: made_up(folder, provenance={"dirty": True, "diff": "0" * 64}),
        "# * the row is dirty: its sources differed from the commit, which these commands train as it is",
    ),
    "build": (
        lambda folder: made_up(
            folder, provenance={"versions": made_up(folder)["provenance"]["versions"] | {"torch": "2.9.0+cpu"}}
        ),
        "# of torch it was the build 2.9.0+cpu; pytorch.org says which --index-url has that one",
    ),
    "gpu": (
        lambda folder: made_up(folder, device="cuda", provenance={"device": "H100", "driver": "550.1"}),
        "# made on: H100, driver 550.1, known, known; it took 5 s",
    ),
    "cpu": (made_up, "# made on: known, known; it took 5 s"),
    "python": (made_up, "# the row was made with Python 3.12.4"),
}


@pytest.mark.parametrize("how", REMARKS)
def test_what_is_remarked(how: str, tmp_path: Path) -> None:
    change, remark = REMARKS[how]
    folder = write(tmp_path / "small", SMALL)
    published_in(folder, [change(folder)])
    answer = seqbench("reproduce", folder, "gru")
    assert remark in answer.out.splitlines()
    assert (
        of_program(words_of(answer), ".venv/bin/python")[0][-1],
        of_program(words_of(answer), ".venv/bin/seqbench")[0][6],
    ) == ("torch==2.9.0", "--device")


def test_a_row_that_is_not_published_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    folder = write(tmp_path / "results" / "small", SMALL)
    Workplace(folder).area.mkdir(parents=True)
    Workplace(folder).working.replace([made_up(folder)])
    answer = seqbench("reproduce", folder, "gru")
    assert answer.out.splitlines()[-1].startswith("# the row is not published")
    assert [words[0] for words in of_program(words_of(answer), ".venv/bin/seqbench")] == ["run"]


def test_a_row_of_another_version_is_left_to_its_own_commit(tmp_path: Path) -> None:
    folder = write(tmp_path / "small", SMALL)
    row = made_up(folder)
    task = row["config"]["task"] | {"version": 0}
    published_in(folder, [clean(row, config=row["config"] | {"task": task})])
    run, _ = of_program(words_of(seqbench("reproduce", folder, "gru")), ".venv/bin/seqbench")
    assert run[0] == "run"


def test_a_users_task_fetches_its_own_files(tmp_path: Path) -> None:
    """`fetch` knows the suite's tasks only; the run fetches what it needs."""
    text = "question: q\nrows:\n- {task: my_task.py(length=9), models: [gru(width=3)]}\n"
    folder = write(tmp_path / "own", text, my_task=OWN_TASK)
    published_in(folder, [made_up(folder)])
    assert [words[0] for words in of_program(words_of(seqbench("reproduce", folder, "gru")), ".venv/bin/seqbench")] == [
        "run",
        "verify",
    ]


def test_mistakes(tmp_path: Path) -> None:
    folder = write(tmp_path / "small", SMALL)
    rows = [made_up(folder, 0), made_up(folder, 1, provenance={"commit": None})]
    published_in(folder, [*rows, clean(rows[0], device="cuda")])
    name = f"{rows[1]['id']} {rows[1]['label']} (cpu)"
    for words, message in [
        ([folder, "lstm"], f"no row in {folder} has 'lstm' in its label or at the beginning of its id"),
        (
            [folder, "adding"],
            f"3 rows in {folder} fit 'adding': {folder} {rows[0]['id']} {rows[0]['label']} (cpu); ",
        ),
        ([folder, "gru"], f"2 rows in {folder} fit 'gru': "),
        ([folder, "tcn"], f"{name} is of no commit (neither the suite nor the experiment "),
        ([folder, "gru", "seed", "0"], "reproduce takes one run, and its folder before it; quote a label: "),
        (["no-such-run"], "no row in the experiments of the suite has 'no-such-run' in its label"),
        (["results/nothing-of-this-name", "gru"], "no such experiment"),
    ]:
        answer = seqbench("reproduce", *words)
        assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
        assert message in answer.err
    assert seqbench("reproduce", folder, "gru", "--device", "cuda").code == 0


PROJECT = """\
[project]
name = "seqbench"
[project.urls]
Homepage = "https://example.org/home"
Repository = "https://user:secret@example.org/seqbench.git"
"""


def test_where_the_suite_is_cloned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reproducing, "address", ADDRESS)
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    assert reproducing.address() == "https://example.org/seqbench.git", "without the password"
    (tmp_path / "pyproject.toml").write_text(PROJECT.partition("Repository")[0], encoding="utf-8")
    assert reproducing.address() == "https://example.org/home"
    (tmp_path / "pyproject.toml").write_text(PROJECT.partition("[project.urls]")[0], encoding="utf-8")
    assert reproducing.address() is None
    git(tmp_path, "init", "-q")
    assert reproducing.address() is None
    git(tmp_path, "remote", "add", "origin", "git@example.org:seqbench.git")
    assert reproducing.address() == "git@example.org:seqbench.git"


def test_where_no_address_is_known_it_says_in_words_what_to_begin_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "small", SMALL)
    found = reproducing.Found(made_up(folder), folder, True)
    monkeypatch.setattr(reproducing, "address", lambda: None)
    lines = reproducing.commands(found)
    begin = lines.index("# begin inside a fresh clone of this repository, from wherever you have it")
    assert lines[begin + 1].startswith("git checkout --quiet --detach ")
    assert not any(line.startswith(("git clone", "cd ")) for line in lines)
    monkeypatch.setattr(reproducing, "address", lambda: "https://example.org/seqbench.git")
    lines = reproducing.commands(found)
    assert any(line.startswith("git clone https://example.org/seqbench.git ") for line in lines)
    assert not any("begin inside" in line for line in lines)


def test_the_folder_must_be_named_where_a_run_stands_in_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [write(tmp_path / "results" / name, SMALL) for name in ("one", "two")]
    for folder in folders:
        published_in(folder, [made_up(folder)])
    monkeypatch.setattr(reproducing, "own_folders", lambda: folders)
    with pytest.raises(UsageError, match=r"2 rows in the experiments of the suite fit .+; name one, with its folder"):
        reproducing.find(made_up(folders[0])["id"])
    assert reproducing.find(made_up(folders[0])["id"], folders[1]).folder == folders[1]


def test_a_row_of_the_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sources are those of the package's version and of the commit in which its user has the experiment."""
    root = tmp_path / "lab"
    folder = write(root / "trials" / "small", SMALL)
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "one")
    commit = git(root, "rev-parse", "HEAD")
    held = {"commit": commit, "dirty": False, "diff": None}
    other = {"commit": "ab" * 20, "dirty": False, "diff": None}
    origin = {"commit": None, "experiment": "lab", "repositories": {"lab": held, "cells": other}}
    row = made_up(folder, provenance=origin)
    row["provenance"]["versions"] |= {"seqbench": "0.1.0"}
    published_in(folder, [clean(row, provenance={"commit": None})])
    answer = seqbench("reproduce", folder, "gru")
    commands = words_of(answer)
    assert f"# beside it is needed {'ab' * 20} in the repository cells" in answer.out
    assert of_program(commands, "git") == [["checkout", "--quiet", "--detach", commit], ["checkout", "--quiet", "-"]]
    assert not of_program(commands, "cp")
    installed = [words[3:] for words in of_program(commands, ".venv/bin/python")]
    assert installed[-1] == ["seqbench==0.1.0"]
    assert ["--editable", "."] not in installed
    run, verify = of_program(commands, ".venv/bin/seqbench")
    assert run[:2] == ["run", "trials/small"]
    assert verify == ["verify", "trials/small", row["id"], "--rows", "runs/small/runs.jsonl"]
    monkeypatch.chdir(root)
    monkeypatch.setenv("SEQBENCH_RUNS", "runs")
    assert seqbench(*run, "--dry-run").out.splitlines() == [f"{row['id']}  {row['label']}  afresh"]


def test_a_row_of_no_commit_says_what_to_do(tmp_path: Path) -> None:
    folder = write(tmp_path / "small", SMALL)
    published_in(folder, [clean(made_up(folder), provenance={"commit": None})])
    answer = seqbench("reproduce", folder, "gru")
    assert answer.code == 2
    assert "commit the experiment, and run it again" in answer.err
