"""Buckets of lengths: padding is bounded, and changes neither outputs nor loss nor gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from recording import RecordingLane, train_in
from seqbench.bench import api
from seqbench.bench.engine.buckets import RATIO, Buckets
from seqbench.bench.engine.lanes import HostLane
from seqbench.models.network import Network
from seqbench.tasks.base import Batch, Split, Task

MODELS = ["rnn(width=6)", "lstm(width=6, layers=2)", "gru(width=6)", "tcn(width=6, kernel=3, levels=3)"]


def test_no_sequence_is_padded_to_more_than_the_ratio() -> None:
    """Of 25 to 1,793 steps, as in music."""
    generator = torch.Generator().manual_seed(1)
    lengths = torch.randint(25, 1794, (500,), generator=generator)
    buckets = Buckets(lengths)
    for length in lengths.tolist():
        edge = buckets.of(length)
        assert length <= edge <= RATIO * length
    assert set(buckets.edges) <= set(lengths.tolist()), "an edge is a length that occurs"
    assert all(after > RATIO * before for before, after in zip(buckets.edges, buckets.edges[1:], strict=False))
    assert len(buckets.edges) <= 31, "ln(1793 / 25) / ln(1.15)"


def test_as_few_buckets_as_there_can_be() -> None:
    assert Buckets(torch.tensor([7, 7, 7])).edges == [7]
    assert Buckets(torch.tensor([100, 87, 86]), ratio=1.15).edges == [86, 100], "87 * 1.15 is 100.05"
    with pytest.raises(ValueError, match="a sequence of 8 steps, where the longest has 7"):
        Buckets(torch.tensor([7])).of(8)


def answers(network: Network, task: Task, batch: Batch) -> tuple[torch.Tensor, float, list[torch.Tensor]]:
    """Outputs (B, R, O), the loss, and the gradients."""
    network.zero_grad()
    outputs, _ = network(batch.inputs, None, batch.reads)
    loss = task.loss(outputs, batch)
    loss.backward()
    return outputs.detach(), loss.item(), [one.grad.clone() for one in network.parameters() if one.grad is not None]


@pytest.mark.usefixtures("miniature_data", "thread")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["jsb", "nottingham", "muse", "piano"])
def test_padding_changes_nothing(name: str, model: str) -> None:
    """One piece alone, in each length that a bucket may have."""
    task = api.make_task(name)
    network, split = api.make_run(name, model).make_network(task).train(), task.load(0).train
    buckets = Buckets(split.lengths)
    longest = buckets.edges[-1]
    for place in range(len(split)):
        index = torch.tensor([place])
        plain = split.batch(index)
        steps = plain.inputs.shape[1]
        outputs, loss, gradients = answers(network, task, plain)
        for edge in {buckets.of(steps), longest + 3}:
            batch = split.laid_out(index, edge)
            assert batch.inputs.shape[1] == edge
            assert batch.mask is not None
            assert int(batch.mask.sum()) == steps
            padded, padded_loss, padded_gradients = answers(network, task, batch)
            torch.testing.assert_close(padded[:, :steps], outputs, rtol=1e-5, atol=1e-6)
            assert padded_loss == pytest.approx(loss, rel=1e-5)
            for ours, expected in zip(padded_gradients, gradients, strict=True):
                torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
            ours, expected_totals = task.totals(padded, batch)["nats"], task.totals(outputs, plain)["nats"]
            assert [float(part) for part in ours] == pytest.approx([float(part) for part in expected_totals], rel=1e-5)


@pytest.mark.usefixtures("miniature_data", "thread")
def test_a_passage_padded() -> None:
    task = api.make_task("lambada(context=4, scored=4)")
    split = task.load(0).test
    network = api.make_run("lambada(context=4, scored=4)", "gru(width=6)").make_network(task).eval()
    plain = split.batch(torch.arange(3))
    wider = split.laid_out(torch.arange(3), plain.inputs.shape[1] + 5)
    with torch.no_grad():
        totals = [task.totals(network(batch.inputs, None, batch.reads)[0], batch) for batch in (plain, wider)]
    for name, pair in totals[0].items():
        assert [float(part) for part in totals[1][name]] == pytest.approx([float(part) for part in pair], rel=1e-5)


@pytest.mark.usefixtures("miniature_data")
@pytest.mark.parametrize("batch", [1, 4])
def test_a_graph_for_each_bucket(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no length goes to the device while it is trained."""
    run, lane = api.make_run("jsb", "gru(width=4)", epochs=2, batch=batch), RecordingLane()
    split = run.make_task().load(0).train
    buckets = Buckets(split.lengths)
    asked: list[Any] = []
    monkeypatch.setattr(type(split), "batch", lambda self, index: asked.append(index))
    train_in(lane, run)
    assert asked == []
    assert lane.graphs == len(buckets.edges) + 2


@pytest.mark.usefixtures("miniature_data")
def test_bucketed_training_is_training() -> None:
    run = api.make_run("jsb", "lstm(width=4)", epochs=3, batch=2)
    ours, expected = train_in(RecordingLane(), run), train_in(HostLane(), run)
    for mine, other in zip(ours.progress.curve, expected.progress.curve, strict=True):
        assert mine["test"] == pytest.approx(other["test"], rel=1e-4)


def test_a_split_without_layouts_says_so() -> None:
    class Bare(Split):
        def __len__(self) -> int:
            return 1

        def to(self, device: torch.device) -> Split:
            return self

        def batch(self, index: torch.Tensor) -> Batch:
            return Batch(index, index)

    with pytest.raises(NotImplementedError, match="Bare does not lay batches out on the device"):
        Bare().laid_out(torch.zeros(1), None)
    assert Bare().extent(torch.zeros(1)) is None
