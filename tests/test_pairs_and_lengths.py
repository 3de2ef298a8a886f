"""What a batch tells beside its inputs: lengths, for models that are not causal, and a source that is to be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from seqbench.bench import api
from seqbench.bench.engine.steps import answer
from seqbench.bench.engine.training import train
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import sizing
from seqbench.bench.experiments.notation import parse
from seqbench.models import base as models
from seqbench.tasks import base as tasks
from seqbench.tasks.base import Batch, Examples, Metric, Pair, Splits
from torch import Tensor, nn


class Backwards(models.Model):
    """The mean of all inputs from a step on, so that padding would leak."""

    causal = False
    streamed = False

    def __init__(self, channels: int, *, width: int = 6) -> None:
        super().__init__()
        self.map, self.features = nn.Linear(channels, width), width

    def forward(self, inputs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        mapped = self.map(inputs)  # (B, T, W)
        behind = mapped.flip(1).cumsum(1).flip(1)
        return behind / torch.arange(inputs.shape[1], 0, -1)[:, None], None


class Copier(models.Model):
    """Writes what the mean of the source and the last symbol that was shown suggest."""

    pairs = True

    def __init__(self, source: int, target: int, *, width: int = 8) -> None:
        super().__init__()
        self.read_in, self.shown = nn.Embedding(source, width), nn.Embedding(target, width)
        self.features, self.state_size, self.macs_per_step = width, width, 0

    def forward(self, inputs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return self.shown(inputs) + state, state  # (B, T, W)

    def answer(self, head: nn.Module, source: Tensor, inputs: Tensor, lengths: Tensor | None = None) -> Any:
        assert lengths is not None
        inside = (torch.arange(source.shape[1]) < lengths[:, None]).unsqueeze(2)
        mean = (self.read_in(source) * inside).sum(1, keepdim=True) / lengths[:, None, None]  # (B, 1, W)
        return head(self(inputs, mean)[0])


@dataclass(frozen=True)
class Repeat(tasks.Task):
    """The source is one symbol, once to three times; the target is that symbol and the end."""

    distribution = True
    head = "softmax"
    symbols_of_source: int = 6

    @property
    def input(self) -> Pair:
        return Pair(self.symbols_of_source, self.symbols_of_source, 2)

    outputs = property(lambda self: self.symbols_of_source)  # type: ignore[assignment]
    reads = property(lambda self: None)  # type: ignore[assignment]
    steps = property(lambda self: 2)  # type: ignore[assignment]
    metrics = property(lambda self: (Metric("loss", "nats", "lower", 1.8),))  # type: ignore[assignment]

    def load(self, seed: int) -> Splits:
        stream = torch.Generator().manual_seed(seed)
        symbol = torch.randint(3, self.symbols_of_source, (64, 1), generator=stream)
        lengths = torch.randint(1, 4, (64,), generator=stream)
        split = Examples(symbol, lengths, present=_shown)
        return Splits(split, split, split)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        return outputs.surprisal(batch.targets).mean()

    def totals(self, outputs: Any, batch: Batch) -> tasks.Totals:
        return {"loss": (outputs.surprisal(batch.targets).sum(), batch.targets.numel())}


def _shown(symbol: Tensor, lengths: Tensor) -> Batch:
    source = symbol.expand(-1, 3) * (torch.arange(3) < lengths[:, None])
    start, end = torch.full_like(symbol, 1), torch.full_like(symbol, 2)
    return Batch(torch.cat([start, symbol], 1), torch.cat([symbol, end], 1), lengths=lengths, source=source)


NAME = "test_pairs_and_lengths"


def test_padding_does_not_leak_into_a_model_that_is_not_causal() -> None:
    run = api.make_run("varying:Parity", f"{NAME}:Backwards")
    task = run.make_task()
    network, split = run.make_network(task).eval(), task.load(0).test
    index = torch.arange(8)
    batch = split.laid_out(index, 15)
    assert batch.lengths is not None
    assert len(set(batch.lengths.tolist())) > 3
    together = answer(network, split, batch)[0]
    alone = torch.cat([answer(network, split, split.batch(one[None]))[0] for one in index])
    torch.testing.assert_close(together, alone)
    without = answer(network, split, batch._replace(lengths=None))[0]
    assert not torch.allclose(without, alone, atol=1e-3), "without the lengths it would have leaked"


def test_gradients_of_padded_sequences_are_those_of_each_alone() -> None:
    model = Backwards(3)
    inputs, lengths = torch.randn(4, 7, 3), torch.tensor([7, 2, 5, 2])
    model.read_padded(inputs, lengths)[torch.arange(4), lengths - 1].sum().backward()
    together = model.map.weight.grad.clone()  # type: ignore[union-attr]
    model.zero_grad()
    for row, length in zip(inputs, lengths, strict=True):
        model.read(row[None, :length])[0, -1].sum().backward()
    torch.testing.assert_close(together, model.map.weight.grad)


def test_a_model_of_pairs_learns_from_source_and_target() -> None:
    run = api.make_run(f"{NAME}:Repeat", f"{NAME}:Copier", parameters=250, tolerance=0.1, epochs=30, batch=16)
    outcome = train(run)
    first, last = outcome.progress.curve[0]["test"]["loss"], outcome.progress.curve[-1]["test"]["loss"]
    assert last < 0.5 < first
    again = train(run).progress.curve
    assert [point["test"] for point in again] == [point["test"] for point in outcome.progress.curve]


@pytest.mark.parametrize(
    ("task", "model", "words"),
    [
        (f"{NAME}:Repeat", "lstm", "lstm reads one sequence, and this task shows a source and asks for a target"),
        ("adding(length=10)", f"{NAME}:Copier", "reads a source and writes a target, and this task shows one sequence"),
    ],
)
def test_tasks_and_models_that_do_not_fit_are_told_apart(task: str, model: str, words: str) -> None:
    made = api.make_run("adding(length=10)", "lstm").make_task() if "adding" in task else Repeat()
    head = parse("softmax") if isinstance(made, Repeat) else parse("linear")
    with pytest.raises(UsageError, match=words):
        sizing.sized(made, parse(model), 1000, 0.1, head)


def test_an_embedding_is_not_for_pairs() -> None:
    with pytest.raises(UsageError, match="embeddings of its own"):
        api.make_run(f"{NAME}:Repeat", f"{NAME}:Copier", embedding="embedding(width=3)")
