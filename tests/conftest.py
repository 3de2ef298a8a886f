"""What several test files use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")  # as workers have it: torch reads it when it is imported

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # so that a test can import its helpers, which are not installed
import fingerprints
import miniature
from file_server import Server, running
from seqbench.bench import publishing, sources


def pytest_configure(config: pytest.Config) -> None:
    """Of test processes that run side by side each computes with one thread: more of them only wake each other."""
    if hasattr(config, "workerinput"):
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def miniature_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the miniature files stand for the whole session."""
    return tmp_path_factory.mktemp("miniature")


@pytest.fixture
def miniature_data(miniature_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every task of real data loads miniature files in this test; the folder for `miniature.install` elsewhere."""
    miniature.install(miniature_folder, monkeypatch)
    return miniature_folder


@pytest.fixture
def real_data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skips where no mirror is named; with one, a file that it lacks is a failure. The user's cache is not touched."""
    if not os.environ.get("SEQBENCH_MIRROR"):
        pytest.skip("SEQBENCH_MIRROR names no mirror of the real files")
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path_factory.getbasetemp() / "real-data"))


@pytest.fixture
def thread() -> Iterator[None]:
    """One thread, as in training; it is also faster for networks this small."""
    with fingerprints.one_thread():
        yield


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hashes are kept for the life of a process; here files change within it. Working areas are beside the folders."""
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    sources.forget()
    yield
    sources.forget()


@pytest.fixture
def no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of what `publish` does beside its figures: to draw takes half a second."""
    monkeypatch.setattr(publishing, "write_figures", lambda *arguments: [])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on the loopback interface, reached whatever proxy is set."""
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with running() as server:
        yield server
