"""What of the GPU's lanes needs no GPU: which streams they take."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from seqbench.bench.engine.cuda import Cuda
from seqbench.bench.running.packing import Packing


class Stream:
    """A stream that counts how often its work was waited for."""

    made = 0

    def __init__(self, device: torch.device) -> None:
        Stream.made += 1
        self.waited = 0

    def synchronize(self) -> None:
        self.waited += 1


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 0))
    monkeypatch.setattr(Stream, "made", 0)
    return Cuda(torch.device("cuda"))


def test_a_stream_goes_to_the_next_lane_when_its_own_is_closed_and_done(card: Cuda) -> None:
    first, second = card.lane(), card.lane()
    streams: list[Any] = [first.stream, second.stream]  # type: ignore[attr-defined]
    assert streams[0] is not streams[1]
    first.close()
    assert streams[0].waited == 1
    first.close()
    third, fourth = card.lane(), card.lane()
    assert third.stream is streams[0]  # type: ignore[attr-defined]
    assert fourth.stream not in streams, "closed twice, and given back once"  # type: ignore[attr-defined]


def test_so_many_runs_as_torch_has_streams_may_be_in_work_and_all_the_others_follow(card: Cuda) -> None:
    for _ in range(5):
        lanes = [card.lane() for _ in range(Packing(card).most)]
        assert len({id(lane.stream) for lane in lanes}) == 32  # type: ignore[attr-defined]
        for lane in lanes:
            lane.close()
    assert Stream.made == 32
