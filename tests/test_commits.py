"""Sources are compared with their commits by content, in whosever repository they lie, whatever git is told."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_rows
import pytest
from experiments import Recorder, sweep_in, write
from seqbench.bench.evidence import checking, renewing
from seqbench.bench.evidence.publishing import publish
from seqbench.bench.experiments import config, registry
from seqbench.bench.rows import commits, repositories, sources
from seqbench.bench.rows.provenance import of_sweep
from seqbench.bench.running import sweep
from suite_copies import copied, edit
from test_own_files import CELLS, ONE, net
from test_provenance import git

pytestmark = pytest.mark.usefixtures("forgotten")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git checkout of the suite, with a committed experiment in results/mine, whose model has a helper."""
    suite = copied(tmp_path, monkeypatch)
    folder = write(suite / "results" / "mine", ONE, net=net("from lab.cells import KEEP"))
    write(folder / "lab", cells=CELLS)
    return committed(suite)


def committed(root: Path) -> Path:
    """The folder as a repository with all that is in it."""
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "all")
    return root


def judged(folder: Path) -> dict[str, Any]:
    """What a sweep of the experiment would say of commits."""
    sources.forget()
    return of_sweep(folder, config.load(folder).runs)


def differing(folder: Path) -> list[str]:
    """The files that differ, in a sweep of the experiment."""
    origin = judged(folder)
    names: list[str] = origin.get("differing", [])
    assert origin["dirty"] == bool(names) == (origin["diff"] is not None)
    return names


def assumed_unchanged(root: Path, name: str) -> None:
    edit(root / name, lambda text: f"{text}\nADDED = 1\n")
    git(root, "update-index", "--assume-unchanged", name)


def skipped(root: Path, name: str) -> None:
    edit(root / name, lambda text: f"{text}\nADDED = 1\n")
    git(root, "update-index", "--skip-worktree", name)


def untracked_in_silence(root: Path, name: str) -> None:
    git(root, "rm", "-q", "--cached", name)
    git(root, "commit", "-q", "-m", "forgotten")
    git(root, "config", "status.showUntrackedFiles", "no")


def excluded(root: Path, name: str) -> None:
    git(root, "rm", "-q", "--cached", name)
    git(root, "commit", "-q", "-m", "left out")
    (root / ".git" / "info" / "exclude").write_text(f"{Path(name).name}\n", encoding="utf-8")


def ignored(root: Path, name: str) -> None:
    git(root, "rm", "-q", "--cached", name)
    (root / ".gitignore").write_text(f"{Path(name).name}\n", encoding="utf-8")
    git(root, "add", ".gitignore")
    git(root, "commit", "-q", "-m", "ignored")


def edited(root: Path, name: str) -> None:
    edit(root / name, lambda text: f"{text}\nADDED = 1\n")


HIDING = [edited, assumed_unchanged, skipped, untracked_in_silence, excluded, ignored]


@pytest.mark.parametrize("hide", HIDING, ids=lambda hide: hide.__name__)
@pytest.mark.parametrize("name", ["results/mine/net.py", "results/mine/lab/cells.py", "models/gru.py"])
def test_what_defines_a_result_is_compared_whatever_git_is_told(
    hide: Callable[[Path, str], None], name: str, checkout: Path
) -> None:
    folder = checkout / "results" / "mine"
    assert differing(folder) == []
    hide(checkout, name)
    assert differing(folder) == [name]


def test_another_repository_in_the_environment_does_not_count(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = committed(write(tmp_path / "other", ONE))
    commit = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    origin = judged(checkout / "results" / "mine")
    assert (origin["commit"], origin["dirty"]) == (commit, False)


def test_ends_of_lines_that_git_has_changed_are_no_difference(checkout: Path) -> None:
    """As `core.autocrlf` does on Windows."""
    path = checkout / "results" / "mine" / "net.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert differing(path.parent) == []


def test_an_experiment_in_a_repository_of_its_own(checkout: Path, tmp_path: Path) -> None:
    """Its commit stands beside the suite's; a helper in a third repository has its own."""
    lab = write(tmp_path / "lab", cells=CELLS)
    (lab / "__init__.py").touch()
    folder = write(tmp_path / "paper" / "mine", ONE, net=net("from lab.cells import KEEP"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        assert differing(folder) == ["__init__.py", "cells.py", "net.py"], "in no repository: no one else can have them"
        committed(tmp_path / "paper")
        committed(lab)
        origin = judged(folder)
        assert (origin["commit"], origin["dirty"]) == (git(checkout, "rev-parse", "HEAD"), False)
        assert origin["experiment"] == "paper"
        assert origin["repositories"] == {
            name: {"commit": git(tmp_path / name, "rev-parse", "HEAD"), "dirty": False, "diff": None}
            for name in ("lab", "paper")
        }
        edit(lab / "cells.py", lambda text: text.replace("0.5", "0.6"))
        origin = judged(folder)
        assert origin["differing"] == ["lab/cells.py"]
        assert [one["dirty"] for one in origin["repositories"].values()] == [True, False]
        (folder / "experiment.yaml").write_text(ONE.replace("epochs: 1", "epochs: 2"), encoding="utf-8")
        assert differing(folder) == ["lab/cells.py", "paper/mine/experiment.yaml"]


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> dict[Path, str]:
    """The suite as an installed package: of no commit, and with a checksum for each file."""

    def checksum(file: Path) -> str:
        return base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()

    installed = {file: checksum(file) for room in sources.ROOMS for file in (registry.ROOT / room).rglob("*.py")}
    monkeypatch.setattr(commits, "of_suite", lambda: None)
    monkeypatch.setattr(commits, "_installed", lambda: installed)
    return installed


@pytest.mark.usefixtures("no_figure")
def test_a_model_of_ones_own_is_published_from_an_installed_package(tmp_path: Path, package: dict[Path, str]) -> None:
    """Where it is committed in the user's repository, whose commit stands beside the package's version."""
    folder = write(tmp_path / "paper" / "mine", ONE, net=net("from cells import KEEP"), cells=CELLS)
    sweep_in(folder)
    (left,) = publish(config.load(folder)).left
    assert left[1].startswith("of no commit: neither the suite nor the experiment was in a git repository")
    committed(tmp_path / "paper")
    edit(folder / "cells.py", lambda text: text.replace("0.5", "0.6"))
    sweep_in(folder, afresh=True)
    (left,) = publish(config.load(folder)).left
    assert left[1] == "dirty: the sources differed from the commit when it was made (paper/mine/cells.py)"
    git(folder, "commit", "-q", "-a", "-m", "other cells")
    sweep_in(folder, afresh=True)
    publication = publish(config.load(folder))
    assert (len(publication.moved), publication.left) == (1, [])
    (row,) = publication.moved
    assert (row["provenance"]["commit"], row["provenance"]["experiment"]) == (None, "paper")
    assert row["provenance"]["repositories"]["paper"]["commit"] == git(folder, "rev-parse", "HEAD")
    assert row["provenance"]["versions"]["seqbench"]
    assert made_rows.misshapen(row) == ""
    found = checking.check(folder)
    assert [str(one) for one in found.findings if one.kind == "error" and "png" not in one.where] == []
    for file in package:
        if file.stem == "gru":
            package[file] = "of another content"
    assert differing(folder) == ["models/gru.py"], "nor may the package differ from what was installed"


def test_a_copy_of_the_sources_that_is_no_package_stays_of_no_commit(tmp_path: Path, package: dict[Path, str]) -> None:
    package.clear()
    folder = committed(write(tmp_path / "paper", ONE, net=net("KEEP = 0.5")))
    assert commits.why_unclean(judged(folder)) == (
        "of no commit: neither the suite nor the experiment was in a git repository when it was made"
    )


def git_that_says(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a git in the way that only complains."""
    folder.mkdir()
    (folder / "git").write_text(f'#!/bin/sh\necho "{text}" >&2\nexit 128\n', encoding="utf-8")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_repository_that_git_refuses_to_read_is_said_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in containers, where the folder belongs to someone else than who works in it."""
    folder = committed(write(tmp_path / "mine", ONE, net=net("KEEP = 0.5")))
    experiment, quiet, display = config.load(folder), Recorder(), Recorder()
    sweep.run(experiment, [], quiet)
    assert quiet.said == []
    git_that_says(tmp_path / "bin", f"fatal: detected dubious ownership in repository at '{folder}'", monkeypatch)
    sweep.run(experiment, [], display)
    assert (
        f"{folder}: git does not say its commit (its folder belongs to another user), and rows of no commit are not "
        f"published: git config --global --add safe.directory {folder}"
    ) in display.said


@pytest.mark.parametrize("reason", ["no git", "no commit", "no repository"])
def test_other_reasons_why_there_is_no_commit(reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "mine", ONE)
    if reason != "no repository":
        git(folder, "init", "-q")
    if reason == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    text = repositories.trouble(folder)
    expected = {"no git": "(git cannot be run (No such file or directory))", "no commit": "(it has no commit)"}
    assert (text is None) if reason == "no repository" else (expected[reason] in (text or ""))


def test_what_a_renewal_cannot_see(checkout: Path) -> None:
    """Both codes would train the model that is there now: a row of an experiment's own file is to be trained again."""
    folder = checkout / "results" / "mine"
    (run,) = config.load(folder).runs
    row = made_rows.made(run, provenance=made_rows.origin(run, commit=git(checkout, "rev-parse", "HEAD")))
    edit(folder / "lab" / "cells.py", lambda text: text.replace("0.5", "0.6"))
    git(checkout, "commit", "-q", "-a", "-m", "other cells")
    sources.forget()
    found: list[renewing.Renewal] = []
    assert renewing._stale(row, folder, found) is None
    assert "own have changed (results/mine/lab/cells.py), and only of the suite's code" in found[0].reason
    assert found[0].reason.endswith(" --stale trains it again")
