"""Environment variables mean what people mean by them: empty is unset, `~` is a home, and a home need not be there."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from experiments import SMALL, write
from seqbench.bench import api
from seqbench.bench.engine.training import train
from seqbench.bench.errors import UsageError
from seqbench.bench.rows.store import Workplace
from seqbench.models import _compiling
from seqbench.tasks import datasets
from seqbench.tasks.datasets import DataError, Remote

REMOTE = Remote("set/a.txt", "0" * 64, ("https://example.org/a.txt",))


def area(folder: Path) -> Path:
    return Workplace(folder).area


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "results" / "mine", SMALL)


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container: HOME is not set, and the system does not know the user."""

    def nowhere(path: str) -> str:
        return path

    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA", "SEQBENCH_DATA", "SEQBENCH_RUNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", nowhere)  # it leaves `~` as it is where it does not know better
    with pytest.raises(RuntimeError):
        Path.home()


def test_the_working_area(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    beside = area(folder)
    assert beside == tmp_path / "runs" / "mine"
    for value, expected in (
        ("", beside),
        ("~/runs", tmp_path / "home" / "runs" / "mine"),
        (str(tmp_path / "other"), tmp_path / "other" / "mine"),
    ):
        monkeypatch.setenv("SEQBENCH_RUNS", value)
        assert area(folder) == expected


def test_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for value, expected in (("", tmp_path / ".cache" / "seqbench"), ("~/data", tmp_path / "data")):
        monkeypatch.setenv("SEQBENCH_DATA", value)
        assert datasets.cache_folder() == expected


@pytest.mark.parametrize(
    ("value", "first"),
    [
        ("", "https://example.org/a.txt"),
        ("~/mirror", "HOME/mirror/set/a.txt"),
        ("file:///data/the%20mirror", "/data/the mirror/set/a.txt"),
        ("FILE:///data/mirror/", "/data/mirror/set/a.txt"),
        ("file://localhost/data", "/data/set/a.txt"),
        ("https://mirror.example.org/", "https://mirror.example.org/set/a.txt"),
        ("HTTP://mirror.example.org", "HTTP://mirror.example.org/set/a.txt"),
        ("relative/mirror", "relative/mirror/set/a.txt"),
    ],
)
def test_the_mirror(value: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SEQBENCH_MIRROR", value)
    source = datasets._sources(REMOTE)[0]
    assert str(source) == first.replace("HOME", str(tmp_path))
    assert isinstance(source, str) == first.lower().startswith("http")


def test_a_mirror_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("SEQBENCH_MIRROR", "ftp://example.org")
    with pytest.raises(DataError, match=r"SEQBENCH_MIRROR=ftp://example\.org: a folder, or a URL with http, https or"):
        datasets.fetch(REMOTE)


@pytest.mark.usefixtures("homeless")
def test_no_home_is_needed_where_none_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generated task is trained; kernels are compiled without a place to keep them, if there is none else."""
    run = api.make_run("adding(length=6, train=8, valid=4, test=4)", "gru(width=2)", epochs=1, batch=8)
    assert train(run).status == "done"
    assert area(folder).is_absolute()
    (folder / "no-folder").touch()
    monkeypatch.setattr(_compiling, "__file__", str(folder / "no-folder" / "_compiling.py"))
    monkeypatch.setattr(_compiling.config, "CACHE_DIR", "")
    assert _compiling._folder.__wrapped__() is None


@pytest.mark.usefixtures("homeless")
def test_where_a_home_is_needed_it_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="there is no home folder to keep data in: name a folder in SEQBENCH_DATA"):
        importlib.import_module("seqbench.tasks.jsb").Task().load(0)
    monkeypatch.setenv("SEQBENCH_RUNS", "~/runs")
    with pytest.raises(UsageError, match="SEQBENCH_RUNS=~/runs: there is no such user, or no home folder"):
        area(folder)
