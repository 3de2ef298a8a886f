"""The check that a card is given, on a device that records."""

from __future__ import annotations

import pytest
import torch
from recording import CPU, RecordingLane
from seqbench.bench.engine import check
from seqbench.bench.engine.lanes import Host, HostLane, Lane
from seqbench.models._compiling import plain


class Card(Host):
    """A CPU whose lanes record."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def lane(self) -> Lane:
        return RecordingLane()


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "Cuda", Card)
    monkeypatch.setattr(check, "CudaLane", lambda device, captures: RecordingLane() if captures else HostLane())
    monkeypatch.setattr(check, "TASKS", ("adding(length=8, train=42, valid=8, test=8)",))


@pytest.mark.usefixtures("recording")
def test_all_agree(capsys: pytest.CaptureFixture[str]) -> None:
    with plain():
        assert check.agree(CPU)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(check.MODELS)
    assert all("packed 0.0e+00" in line and "not captured" not in line for line in lines)


@pytest.mark.usefixtures("recording")
def test_a_difference_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: RecordingLane, work: object, generator: object) -> object:
        capture = original(self, work, generator)  # type: ignore[arg-type]
        return lambda: capture() if self.replays < 3 else setattr(self, "replays", self.replays + 1)

    original = RecordingLane.capture
    monkeypatch.setattr(RecordingLane, "capture", forgetful)
    with plain():
        assert not check.agree(CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card here")
def test_without_a_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main() == 2
    assert "no CUDA device here" in capsys.readouterr().err
