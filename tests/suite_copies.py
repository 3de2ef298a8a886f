"""A copy of the suite's sources, in which tests may change files."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from seqbench.bench.experiments import registry
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows import sources


def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The copy, at which hashes and commits are looked up from now on, until the end of the test."""
    original = registry.ROOT
    copy = tmp_path / "suite"
    for folder in ("bench", "tasks", "models"):
        shutil.copytree(original / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(original / name, copy / name)
    entrances = sources.entrances

    def moved(run: Run) -> list[sources.Entrance]:
        return [
            replace(one, file=copy / one.file.relative_to(original)) if original in one.file.parents else one
            for one in entrances(run)
        ]

    monkeypatch.setattr(registry, "ROOT", copy)
    monkeypatch.setattr(sources, "entrances", moved)
    sources.forget()
    return copy


def edit(path: Path, change: Callable[[str], str]) -> None:
    """Changes a source, which must still be one; hashes are read anew."""
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before
    ast.parse(after)
    path.write_text(after, encoding="utf-8")
    sources.forget()
