"""Evaluation: what a batch, its padding or its mode must not change, and which test value is the number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from seqbench.bench import api, evaluation
from seqbench.bench.evaluation import evaluate, select
from seqbench.models.network import Network
from seqbench.tasks import copy_memory, jsb, sequential_mnist
from seqbench.tasks.base import Split, Task

MODELS = ["rnn(width=6)", "lstm(width=6)", "gru(width=6)", "tcn(width=6, kernel=3, levels=3, dropout=0.5)"]
EVERY_TASK = [
    "adding(length=9, test=40)",
    "copy-memory(delay=4, test=40)",
    "jsb",
    "nottingham",
    "sequential-mnist(view=rows)",
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small batches are slow with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def one_by_one(network: Network, task: Task, split: Split) -> dict[str, float]:
    """The metrics from examples that are shown alone, hence without any padding, in the given order."""
    sums = {metric.name: [0.0, 0.0] for metric in task.metrics}
    network.eval()
    with torch.no_grad():
        for index in range(len(split)):
            batch = split.batch(torch.tensor([index]))
            outputs, _ = network(batch.inputs)
            for name, (total, count) in task.totals(outputs, batch).items():
                sums[name][0] += float(total)
                sums[name][1] += float(count)
    return {metric.name: metric.value(*sums[metric.name]) for metric in task.metrics}


@pytest.mark.usefixtures("miniature_data")
@pytest.mark.parametrize("name", EVERY_TASK)
@pytest.mark.parametrize("model", MODELS)
def test_equals_examples_one_by_one(name: str, model: str) -> None:
    run = api.make_run(name, model)
    task = run.make_task()
    network = run.make_network(task)
    split = task.load(0).test
    expected = one_by_one(network, task, split)
    assert evaluate(network, task, split) == pytest.approx(expected, rel=1e-5)


@pytest.mark.usefixtures("miniature_data")
def test_ragged_pieces_are_batched_with_their_like(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many go into a batch, the score is the same; and the batches go from short to long."""
    run = api.make_run("jsb", "gru(width=6)")
    task = run.make_task()
    network, split = run.make_network(task), task.load(0).train
    assert split.lengths is not None
    assert len(set(split.lengths.tolist())) > 3, "the pieces differ"
    longest: list[int] = []
    forward = Network.forward

    def watched(self: Network, inputs: torch.Tensor, *more: Any) -> Any:
        longest.append(inputs.shape[1])
        return forward(self, inputs, *more)

    monkeypatch.setattr(Network, "forward", watched)
    whole = evaluate(network, task, split)
    assert longest == [int(split.lengths.max())]
    longest.clear()
    monkeypatch.setattr(evaluation, "EVALUATION_STEPS", 3 * task.steps)
    assert evaluate(network, task, split) == pytest.approx(whole, rel=1e-6)
    assert longest == split.lengths.sort().values[2::3].tolist()


def test_dropout_is_off_and_the_network_has_no_gradients() -> None:
    run = api.make_run("adding(length=9, test=40)", MODELS[-1])
    task = run.make_task()
    network, split = run.make_network(task).train(), task.load(0).test
    assert evaluate(network, task, split) == evaluate(network, task, split)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("steps", [1, 5, 10_000_000])
def test_the_size_of_its_batches_is_bounded(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    task = copy_memory.Task(delay=1, train=1, valid=1, test=2_100)
    network = api.make_run("copy-memory(delay=1, train=1, valid=1, test=2100)", "rnn(width=2)").make_network(task)
    forward = Network.forward

    def watched(self: Network, inputs: torch.Tensor, *more: Any) -> Any:
        sizes.append(len(inputs))
        return forward(self, inputs, *more)

    monkeypatch.setattr(Network, "forward", watched)
    monkeypatch.setattr(copy_memory.Task, "steps", steps)
    monkeypatch.setattr(evaluation, "EVALUATION_STEPS", 5_000)
    split = task.load(0).test
    evaluate(network, task, split if steps < 6 else _First(split, 3))
    assert sizes == ([1000, 1000, 100] if steps < 6 else [1, 1, 1])


class _First:
    """The first examples of a split."""

    def __init__(self, split: Split, count: int) -> None:
        self.batch, self.count, self.lengths, self.streams = split.batch, count, None, None

    def __len__(self) -> int:
        return self.count


def point(epoch: int, valid: float, test: float, **more: float) -> dict[str, Any]:
    return {"epoch": epoch, "valid": {"nats": valid, **more}, "test": {"nats": test, **more}}


def test_select_where_lower_is_better() -> None:
    """The best epoch is that of validation (2, the first of two equals), not that of the test (5)."""
    curve = [point(1, 3.0, 30.0), point(2, 1.0, 20.0), point(3, 1.0, 10.0), point(4, 2.0, 40.0), point(5, 1.5, 1.0)]
    assert select(jsb.Task(), curve) == {
        "best": {"epoch": 2, "valid": {"nats": 1.0}, "test": {"nats": 20.0}},
        "last": {"epochs": [3, 4, 5], "test": {"nats": 17.0}},
    }


def test_select_where_higher_is_better_and_every_metric_follows_the_first() -> None:
    curve = [
        {"epoch": epoch, "valid": {"accuracy": valid, "loss": 1.0}, "test": {"accuracy": test, "loss": loss}}
        for epoch, valid, test, loss in [(1, 50.0, 52.0, 0.3), (2, 60.0, 51.0, 0.9)]
    ]
    scores = select(sequential_mnist.Task(), curve)
    assert scores["best"] == {"epoch": 2, "valid": curve[1]["valid"], "test": {"accuracy": 51.0, "loss": 0.9}}
    assert scores["last"] == {"epochs": [1, 2], "test": {"accuracy": 51.5, "loss": pytest.approx(0.6)}}


def test_select_passes_over_what_is_not_a_number() -> None:
    nan = float("nan")
    curve = [point(1, nan, 1.0), point(2, 3.0, 2.0), point(3, nan, 3.0)]
    assert select(jsb.Task(), curve)["best"]["epoch"] == 2
    assert select(jsb.Task(), []) == {}
