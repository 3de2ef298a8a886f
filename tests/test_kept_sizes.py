"""Sizes that were fitted once are read back by later processes: the same, and only while the sources are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from seqbench.bench.experiments import config, kept_sizes, registry, sizing
from seqbench.bench.experiments.config import Experiment

TEXT = """
question: Which one?
rows:
- task: copy-memory(delay=20)
  parameters: 4000
  tolerance: 0.1
  models: [gru, "tcn(kernel=3, levels=2)", mlstm(heads=2), OWN]
"""
OWN = """
from seqbench.models import gru


class Model(gru.Model):
    pass
"""


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models whose sizes are searched for, as that happens."""
    names, search = list[str](), sizing.sized

    def counted(task: Any, spec: Any, *rest: Any) -> Any:
        names.append(registry.short(spec.name))
        return search(task, spec, *rest)

    monkeypatch.setattr(sizing, "sized", counted)
    return names


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment's folder, and an empty place for sizes."""
    monkeypatch.setattr(kept_sizes, "place", lambda: tmp_path / "sizes")
    (tmp_path / "experiment.yaml").write_text(TEXT.replace("OWN", "my_model.py"), encoding="utf-8")
    (tmp_path / "my_model.py").write_text(OWN, encoding="utf-8")
    return tmp_path


def load_afresh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """As another process does, which knows only what the file holds."""
    monkeypatch.setattr(config, "KEPT", kept_sizes.KeptSizes())
    return config.load(folder)


def test_sizes_are_read_back(folder: Path, fitted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_afresh(folder, monkeypatch)
    assert fitted == ["gru", "tcn", "mlstm", "my_model.py"]
    second = load_afresh(folder, monkeypatch)
    assert fitted[4:] == ["my_model.py"], "a file of the user's own may change"
    assert second == first
    assert [list(run.model.options) for run in second.runs] == [list(run.model.options) for run in first.runs]


def test_other_sources_other_sizes(folder: Path, fitted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    load_afresh(folder, monkeypatch)
    monkeypatch.setattr(kept_sizes, "_state", lambda root: "other")
    load_afresh(folder, monkeypatch)
    assert len(fitted) == 8
    assert sorted(path.stem for path in (folder / "sizes").glob("*.json"))[-1] == "other"


def test_the_state_is_that_of_every_source(tmp_path: Path) -> None:
    for room in kept_sizes.ROOMS:
        (tmp_path / room).mkdir(parents=True)
        (tmp_path / room / "one.py").write_text("x = 1\n", encoding="utf-8")
    states = {kept_sizes._state.__wrapped__(tmp_path)}
    for room in kept_sizes.ROOMS:
        (tmp_path / room / "one.py").write_text(f"x = {room!r}\n", encoding="utf-8")
        states.add(kept_sizes._state.__wrapped__(tmp_path))
    assert len(states) == 1 + len(kept_sizes.ROOMS)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"sizes": {"a": {"width": 3}}}', "[" * 100_000, "\0", None])
def test_a_file_that_is_none_is_made_again(
    content: str | None, folder: Path, fitted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None: a width in it is another, which would be another run."""
    first = load_afresh(folder, monkeypatch)
    (file,) = (folder / "sizes").glob("*.json")
    if content is None:
        before = file.read_text(encoding="utf-8")
        content = before.replace('"width": ', '"width": 1')
        assert content != before
    file.write_text(content, encoding="utf-8")
    assert load_afresh(folder, monkeypatch) == first
    assert len(fitted) == 8


def test_a_place_that_cannot_be_written_is_no_error(
    folder: Path, fitted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sizes").write_text("a file where the folder would be", encoding="utf-8")
    assert len(load_afresh(folder, monkeypatch).runs) == 4


def test_few_states_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(kept_sizes.STATES + 3):
        monkeypatch.setattr(kept_sizes, "_state", lambda root, number=number: f"state{number}")
        load_afresh(folder, monkeypatch)
    assert len(list((folder / "sizes").iterdir())) == kept_sizes.STATES
