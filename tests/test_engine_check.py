"""The check that a card is given, on a device that records."""

from __future__ import annotations

import pytest
import torch
from experiments import TinyText
from recording import CPU, RecordingLane
from seqbench.bench.engine.devices import Host
from seqbench.bench.engine.lanes import HostLane, Lane
from seqbench.bench.engine.training import Outcome
from seqbench.bench.experiments.runs import Run
from seqbench.bench.running import card
from seqbench.models._compiling import plain
from seqbench.tasks.datasets import DataError


class Card(Host):
    """A CPU whose lanes record."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def lane(self) -> Lane:
        return RecordingLane()


SMALL = "adding(length=8, train=42, valid=8, test=8)"
CASES = [
    *((SMALL, model, {}) for model in card.MODELS),
    (SMALL, card.MODELS[2], {"optimizer": "sgd", "momentum": 0.9}),
    ("experiments:TinyText", "lstm(width=4)", {}),
]


@pytest.fixture(autouse=True)
def recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "Cuda", Card)
    monkeypatch.setattr(card, "CudaLane", lambda device, captures: RecordingLane() if captures else HostLane())
    monkeypatch.setattr(card, "ADDING", SMALL)
    monkeypatch.setattr(card, "CASES", CASES)
    monkeypatch.setattr(card, "LANES", 8)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_all_agree(capsys: pytest.CaptureFixture[str]) -> None:
    with plain():
        assert card.agree(CPU)
    lines = said(capsys)
    assert len(lines) == 2 * len(CASES)
    assert all(line.startswith("agrees: ") and "not captured" not in line for line in lines)
    alone, packed = lines[: len(CASES)], lines[len(CASES) :]
    assert all("again 0.0e+00, captured " in line for line in alone)
    assert all(line.endswith("packed 0.0e+00") for line in packed)


def spoiled(monkeypatch: pytest.MonkeyPatch, replays: int) -> None:
    """From so many replays of a lane on nothing is done any more."""
    original = RecordingLane.capture

    def forgetful(self: RecordingLane, work: object, generator: object) -> object:
        replay = original(self, work, generator)  # type: ignore[arg-type]
        return lambda: replay() if self.replays < replays else None

    monkeypatch.setattr(RecordingLane, "capture", forgetful)


@pytest.mark.parametrize("replays", [3, 5])
def test_a_difference_is_seen(
    replays: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 42 examples in batches of 32: the third replay is the first evaluation."""
    spoiled(monkeypatch, replays)
    monkeypatch.setattr(card, "CASES", CASES[:1])
    with plain():
        assert not card.agree(CPU)
    assert said(capsys)[0].startswith("DIFFERS: ")


def test_what_raises_is_a_line_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = card.alone

    def breaking(run: Run, device: torch.device, captures: bool) -> Outcome:
        if captures and run.model.name == "tcn":
            raise RuntimeError("no such thing")
        return original(run, device, captures)

    monkeypatch.setattr(card, "alone", breaking)
    monkeypatch.setattr(card, "CASES", [CASES[3], CASES[0]])
    with plain():
        assert not card.agree(CPU)
    broken, alone, packed = said(capsys)
    assert broken.startswith("DIFFERS: ")
    assert broken.endswith("RuntimeError: no such thing")
    assert alone.startswith("agrees: ")
    assert packed.startswith("agrees: ")


def test_what_has_no_data_is_left_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def nowhere(task: object, seed: int) -> None:
        raise DataError("cannot be had")

    monkeypatch.setattr(TinyText, "load", nowhere)
    monkeypatch.setattr(card, "CASES", [CASES[0], CASES[-1]])
    with plain():
        assert card.agree(CPU)
    assert said(capsys)[0].endswith("left out: cannot be had")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card here")
def test_without_a_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert card.main() == 2
    assert "no CUDA device here" in capsys.readouterr().err
