"""What several test files use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that a test can import its helpers, which are not installed
import miniature


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
