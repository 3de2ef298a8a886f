"""What several test files use."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")  # as workers have it: torch reads it when it is imported
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait leave the cores to other tests

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # so that a test can import its helpers, which are not installed
import compiled_once
import fingerprints
import miniature
from file_server import Server, running
from seqbench.bench.evidence import publishing
from seqbench.bench.experiments import kept_sizes
from seqbench.bench.report.figures import ledger_figure
from seqbench.bench.rows import sources
from seqbench.bench.rows.store import Workplace

ROOT = Path(__file__).resolve().parent.parent
AREA = Workplace._area
"""As the suite has it, before tests patch it."""
MIRROR = "SEQBENCH_MIRROR"
GIT = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")
"""What git sets for its hooks. A test that runs git in a repository of its own would change the checkout instead."""
SHOWN = ("COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""What changes how text is laid out."""


def pytest_configure(config: pytest.Config) -> None:
    """Of test processes that run side by side each computes with one thread: more of them only wake each other."""
    if hasattr(config, "workerinput"):
        torch.set_num_threads(1)


LONG = ("test_wheel", "test_interruption", "test_renewing", "test_local", "test_house", "test_experiments_train")
"""Files of few tests that take long. The processes that test take them first: taken last, one would wait for one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take long come first, all others in their order."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


@pytest.fixture(scope="session", autouse=True)
def no_traces_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str | None]:
    """Tests see neither the user's variables, nor the data in the user's cache, nor what the checkout's `runs/` holds.

    The value is the user's mirror of the data. Only tests that ask for `real_data` or `users_mirror` see it.
    """
    with pytest.MonkeyPatch.context() as patch:
        mirror = os.environ.get(MIRROR)
        for name in [*os.environ]:
            if name.startswith("SEQBENCH_") or name in (*GIT, *SHOWN):
                patch.delenv(name)
        patch.setenv("SEQBENCH_DATA", str(tmp_path_factory.mktemp("no-data")))
        shared = tmp_path_factory.getbasetemp()
        if "PYTEST_XDIST_WORKER" in os.environ:
            shared = shared.parent  # of all test processes of this session
            compiled_once.compile_in_turn(patch, shared / "compiling")
        patch.setattr(kept_sizes, "place", lambda: shared / "sizes")
        keep_out_of_the_checkout(patch, tmp_path_factory)
        yield mirror


@pytest.fixture(autouse=True)
def own_working_area(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test begins with empty working areas for the experiments of the checkout."""
    keep_out_of_the_checkout(monkeypatch, tmp_path_factory)


def keep_out_of_the_checkout(patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Working areas that would be in the checkout's `runs/` are in a new folder. Those of all other folders stay.

    The folder is made when it is first needed, because most tests need none.
    """

    @functools.cache
    def new_folder() -> Path:
        return tmp_path_factory.mktemp("runs-of-the-checkout")

    def area_elsewhere(self: Workplace) -> Path:
        place = AREA(self)
        runs = ROOT / "runs"
        return new_folder() / place.relative_to(runs) if place.is_relative_to(runs) else place

    patch.setattr(Workplace, "_area", area_elsewhere)


@pytest.fixture
def users_mirror(no_traces_of_the_user: str | None, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """The user's mirror of the data, which this test sees in its environment; None where the user names none."""
    if no_traces_of_the_user:
        monkeypatch.setenv(MIRROR, no_traces_of_the_user)
    return no_traces_of_the_user or None


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
def real_data(
    users_mirror: str | None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skips where no mirror is named; with one, a file that it lacks is a failure. The user's cache is not touched."""
    if not users_mirror:
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
    monkeypatch.setattr(ledger_figure, "write", lambda *arguments: [])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on the loopback interface, reached whatever proxy is set."""
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    with running() as server:
        yield server
