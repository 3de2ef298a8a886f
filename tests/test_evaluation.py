"""Evaluation: what a batch, its padding or its mode must not change, and which test value is the number."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from experiments import TinyText
from seqbench.bench import api
from seqbench.bench.engine import evaluation
from seqbench.bench.engine.evaluation import best_of, evaluate, select
from seqbench.models.network import Network
from seqbench.tasks import _text, adding, jsb, lambada, sequential_mnist
from seqbench.tasks.base import Batch, Split, Task, Totals
from torch import Tensor, nn
from torch.nn import functional as F

MODELS = ["rnn(width=6)", "lstm(width=6)", "gru(width=6)", "tcn(width=6, kernel=3, levels=3, dropout=0.5)"]
EVERY_TASK = [
    "adding(length=9, test=40)",
    "copy-memory(delay=4, test=40)",
    "jsb",
    "nottingham",
    "sequential-mnist(view=rows)",
    "lambada(context=4, scored=4)",
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
            outputs, _ = network(batch.inputs, None, batch.reads)
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
    read = Network.read

    def watched(self: Network, inputs: torch.Tensor, *more: Any) -> Any:
        longest.append(inputs.shape[1])
        return read(self, inputs, *more)

    monkeypatch.setattr(Network, "read", watched)
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
    task = adding.Task(length=2, train=1, valid=1, test=2_100)
    network = api.make_run("adding(length=2, train=1, valid=1, test=2100)", "rnn(width=2)").make_network(task)
    read = Network.read

    def watched(self: Network, inputs: torch.Tensor, *more: Any) -> Any:
        sizes.append(len(inputs))
        return read(self, inputs, *more)

    monkeypatch.setattr(Network, "read", watched)
    monkeypatch.setattr(adding.Task, "steps", steps)
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


# Texts.


@dataclass(frozen=True)
class Numbered(TinyText):
    """A text in which every token has a number of its own: 1, 2, …, 60 after a 0."""

    vocabulary: ClassVar[int] = 61
    train: int | None = None
    held: int | None = None

    def encoded_now(self) -> _text.Encoded:
        names = ("train", "valid", "test")
        return _text.Encoded([], dict.fromkeys(names, np.arange(61)), dict.fromkeys(names, "numbers"))


class Echo(nn.Module):
    """A head for which the surprisal of a target is the target."""

    def forward(self, features: Tensor) -> SimpleNamespace:
        self.reads = features.shape[:2]
        return SimpleNamespace(surprisal=self.surprisal)

    def surprisal(self, targets: Tensor) -> Tensor:
        assert targets.shape == self.reads, "an answer for each target"
        return targets.float()


@pytest.mark.parametrize(("context", "scored"), [(3, 4), (0, 5), (7, 1), (20, 40)])
@pytest.mark.parametrize("streams", [1, 2, 5, 7])
def test_every_model_is_scored_on_every_token_once(
    context: int, scored: int, streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TinyText, "evaluation_streams", streams)
    task = Numbered(context=context, scored=scored)
    counted: dict[str, list[int]] = {}
    totals = Numbered.totals

    def watched(self: Numbered, outputs: Any, batch: Batch) -> Totals:
        assert batch.mask is not None
        assert batch.group is not None
        counted["all"] += batch.targets[batch.mask].tolist()
        counted["scored"] += batch.targets[batch.mask & (batch.group == 1)].tolist()
        return totals(self, outputs, batch)

    monkeypatch.setattr(Numbered, "totals", watched)
    for model in MODELS:
        network = api.make_run("experiments:TinyText", model).make_network(task)
        network.head = Echo()  # type: ignore[assignment]
        counted |= {"all": [], "scored": []}
        found = evaluate(network, task, task.load(0).test)
        assert sorted(counted["all"]) == list(range(1, 61))
        assert sorted(counted["scored"]) == list(range(context + 1, 61))
        expected = {"bpc": (context + 61) / 2 / math.log(2), "bpc_all": 30.5 / math.log(2)}
        assert found == pytest.approx(expected, rel=1e-12)


def plain_passes(network: Network, task: TinyText, ids: Tensor, streams: int, carries: bool) -> dict[str, float]:
    """Bits a character of a text (N + 1,), read from end to end in each stream, or anew for each single target."""

    def surprisals(begin: int, end: int) -> Tensor:  # of the targets of positions begin … end - 1, read from begin on
        assert network.embedding is not None
        features, _ = network.body(network.embedding(ids[None, begin:end]))
        return F.cross_entropy(network.head.linear(features)[0], ids[begin + 1 : end + 1], reduction="none")  # type: ignore[union-attr]

    count, context = len(ids) - 1, task.context
    chunk = math.ceil((count - context) / streams)
    before = surprisals(0, context)
    scored = []
    for begin in range(0, count - context, chunk):
        end = min(begin + chunk, count - context)
        if carries:
            scored.append(surprisals(begin, context + end)[context:])
        else:
            for place in range(begin, end):
                window = begin + (place - begin) // task.scored * task.scored
                scored.append(surprisals(window, context + place + 1)[-1:])
    nats = torch.cat(scored)
    return {"bpc": nats.mean().item() / math.log(2), "bpc_all": torch.cat([before, nats]).mean().item() / math.log(2)}


@pytest.mark.parametrize("streams", [1, 3, 7])
@pytest.mark.parametrize("model", [*MODELS, "lstm(width=6, layers=2)"])
def test_a_text_gives_what_plain_passes_give(model: str, streams: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one stream a recurrent net has read the whole text in one call."""
    monkeypatch.setattr(TinyText, "evaluation_streams", streams)
    run = api.make_run("experiments:TinyText", model)
    task = TinyText()
    network, split = run.make_network(task).eval(), task.load(0).test
    carries = not model.startswith("tcn")
    with torch.no_grad():
        expected, other = (plain_passes(network, task, split.ids, streams, one) for one in (carries, not carries))
    assert evaluate(network, task, split) == pytest.approx(expected, rel=1e-6)
    assert abs(other["bpc"] / expected["bpc"] - 1) > 1e-5, "else the comparison would say nothing"


def test_without_memory_the_streams_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    task, scores = TinyText(), []
    network = api.make_run("experiments:TinyText", "tcn(kernel=1, levels=2, width=6)").make_network(task)
    for streams in (1, 2, 3, 7, 40):
        monkeypatch.setattr(TinyText, "evaluation_streams", streams)
        scores.append(evaluate(network, task, task.load(0).test))
    assert scores[1:] == [pytest.approx(scores[0], rel=1e-6)] * 4


@pytest.mark.usefixtures("miniature_data")
def test_a_metric_of_which_a_split_scores_nothing_is_left_out() -> None:
    """The development passages of LAMBADA have no control passages."""
    task = lambada.Task(context=4, scored=4)
    network, splits = api.make_run("lambada(context=4, scored=4)", MODELS[0]).make_network(task), task.load(0)
    assert set(evaluate(network, task, splits.valid)) == {"perplexity", "accuracy"}
    assert set(evaluate(network, task, splits.test)) == {metric.name for metric in task.metrics}


def test_the_first_metric_is_there_even_where_nothing_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    task = TinyText()
    monkeypatch.setattr(TinyText, "totals", lambda *_: {"bpc": (torch.tensor(0.0), 0), "bpc_all": (torch.tensor(0), 0)})
    found = evaluate(api.make_run("experiments:TinyText", MODELS[0]).make_network(task), task, task.load(0).test)
    assert list(found) == ["bpc"]
    assert math.isnan(found["bpc"])


# Which test value is the number.


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


@pytest.mark.parametrize(("task", "best"), [(jsb.Task(), 2), (sequential_mnist.Task(), 4)])
def test_the_best_is_the_first_of_equals(task: Task, best: int) -> None:
    name = task.metrics[0].name
    curve = [
        {"epoch": epoch, "valid": {name: valid}, "test": {name: 0.0}}
        for epoch, valid in enumerate([3.0, 1.0, math.nan, 4.0, 4.0, 1.0], start=1)
    ]
    assert best_of(task, curve) is curve[best - 1]


def test_select_passes_over_what_is_not_a_number() -> None:
    nan = float("nan")
    curve = [point(1, nan, 1.0), point(2, 3.0, 2.0), point(3, nan, 3.0)]
    assert select(jsb.Task(), curve)["best"]["epoch"] == 2
    assert select(jsb.Task(), []) == {}
