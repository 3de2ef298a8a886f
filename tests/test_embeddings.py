"""The embedding of symbols: its width, its first numbers, its three kinds of dropout, and how it is named."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from seqbench.bench import api
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config
from seqbench.models import base
from seqbench.models.embeddings import Embedding
from torch import Tensor

V, E = 40, 6
KINDS = ("element", "channel", "word")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(20180304)
        yield


def symbols(batch: int = 8, steps: int = 30) -> Tensor:
    return torch.randint(0, V, (batch, steps))


def dropping(kind: Any, probability: float = 0.4, seed: int = 1) -> Embedding:
    """An embedding whose numbers are all ones, in training mode."""
    embedding = Embedding(V, E, dropout=probability, dropout_kind=kind)
    torch.nn.init.ones_(embedding.weight)
    base.seed_dropout(embedding, torch.Generator().manual_seed(seed))
    return embedding


def test_each_symbol_is_its_row() -> None:
    embedding, inputs = Embedding(V, E), symbols()
    outputs = embedding(inputs)
    assert outputs.shape == (8, 30, E)
    for example, step in ((0, 0), (3, 17), (7, 29)):
        assert torch.equal(outputs[example, step], embedding.weight[inputs[example, step]])


@pytest.mark.parametrize(("width", "expected"), [(None, 9), (4, 4), (9, 9)])
def test_without_a_width_it_is_as_wide_as_the_features(width: int | None, expected: int) -> None:
    embedding = Embedding(V, 9, width=width)
    assert embedding.width == expected
    assert embedding.weight.shape == (V, expected)
    text = "embedding" if width is None else f"embedding(width={width})"
    network = api.make_network("ptb-char", "gru(width=9)", embedding=text)
    assert network.embedding is not None
    assert network.embedding.weight.shape == (50, expected)
    assert network.body.cells[0].weight_ih_l0.shape == (27, expected)  # type: ignore[index,union-attr]


def test_where_the_model_has_no_width_its_features_count() -> None:
    network = api.make_network("ptb-char", "tcn(widths=[5, 5, 8])", embedding="embedding", head="tied")
    assert network.embedding is not None
    assert network.embedding.weight.shape == (50, 8)
    assert network.head.projection_macs == 0  # type: ignore[union-attr]


def test_first_numbers() -> None:
    even = Embedding(1000, 50).weight
    assert even.abs().max() <= 0.1
    assert even.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.02), "U(-0.1, 0.1)"
    assert abs(even.mean().item()) < 0.001
    normal = Embedding(1000, 50, std=0.01).weight
    assert normal.std().item() == pytest.approx(0.01, rel=0.02)
    assert normal.abs().max() > 0.03, "a normal has tails"
    assert not Embedding(V, E, std=0.0).weight.any()


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_of_its_own_stream(kind: Any) -> None:
    embedding, again, other = dropping(kind), dropping(kind), dropping(kind, seed=2)
    inputs, before = symbols(), torch.get_rng_state()
    one, two = embedding(inputs), embedding(inputs)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(again(inputs), one)
    assert not torch.equal(one, two)
    assert not torch.equal(other(inputs), one)
    assert torch.equal(embedding.eval()(inputs), torch.ones(8, 30, E))
    bare = Embedding(V, E, dropout=0.4, dropout_kind=kind)
    with pytest.raises(RuntimeError, match="no random stream"):
        bare(inputs)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_dropped(kind: Any) -> None:
    """Numbers one by one; the same ones at all steps of a sequence; or symbols, wherever in the batch they stand."""
    inputs = symbols()
    outputs = dropping(kind)(inputs)
    assert outputs.unique().tolist() == [0.0, pytest.approx(1 / 0.6)]
    kept = outputs != 0  # (B, T, E)
    whole_symbols = (kept == kept[:, :, :1]).all()
    whole_channels = (kept == kept[:, :1]).all()
    assert (bool(whole_symbols), bool(whole_channels)) == (kind == "word", kind == "channel")
    of_symbol = [kept[inputs == symbol] for symbol in inputs.unique()]
    assert all((one == one[0]).all() for one in of_symbol) == (kind == "word")
    if kind == "word":
        assert {bool(one.all()) for one in of_symbol} == {True, False}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("probability", [0.1, 0.4])
def test_the_expected_value_is_kept(kind: Any, probability: float) -> None:
    embedding, inputs = dropping(kind, probability), symbols()
    draws = torch.stack([embedding(inputs) for _ in range(2000)])
    deviation = math.sqrt(probability / (1 - probability) / 2000)
    torch.testing.assert_close(draws.mean(0), torch.ones(8, 30, E), rtol=0.0, atol=6 * deviation)
    assert (draws == 0).float().mean().item() == pytest.approx(probability, rel=0.1)


def test_a_dropped_symbol_does_not_learn() -> None:
    embedding, inputs = dropping("word"), symbols()
    outputs = embedding(inputs)
    outputs.sum().backward()
    assert embedding.weight.grad is not None
    dropped = {int(symbol) for symbol in inputs[(outputs == 0).all(2)]}
    shown = set(inputs.unique().tolist())
    assert 0 < len(dropped) < len(shown)
    for symbol in range(V):
        count = (inputs == symbol).sum().item() if symbol in shown - dropped else 0
        torch.testing.assert_close(embedding.weight.grad[symbol], torch.full((E,), count / 0.6))


def test_a_tied_head_uses_the_whole_matrix_all_the_same() -> None:
    network = api.make_network(
        "ptb-char", "gru(width=6)", embedding="embedding(dropout=0.5, dropout_kind=word)", head="tied"
    )
    answers = [network(torch.zeros(1, 3, dtype=torch.int64), None, 1)[0].log_probabilities() for _ in range(8)]
    bare = network.head(torch.zeros(1, 1, 6)).log_probabilities()  # type: ignore[union-attr]
    assert len({answer.detach().numpy().tobytes() for answer in answers}) == 2, "symbol 0 is dropped or not"
    assert all((answer.exp() > 0).all() for answer in [*answers, bare])
    features = torch.randn(1, 4, 6)
    head = network.head
    expected = (features @ network.embedding.weight.T + head.bias).log_softmax(2)  # type: ignore[union-attr,operator]
    torch.testing.assert_close(head(features).log_probabilities(), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width: .* at least 1 .* got 0"),
        ({"dropout": 1.0}, r"dropout: a probability in \[0, 1\) is needed, got 1\.0"),
        ({"dropout_kind": "row"}, "dropout_kind: one of 'element', 'channel', 'word' is needed, got 'row'"),
        ({"std": -0.1}, "embedding: std=-0.1: at least 0 is needed"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Embedding(V, E, **options)


@pytest.mark.parametrize(
    ("task", "embedding", "message"),
    [
        ("ptb-word", "embeding(width=3)", "unknown embedding 'embeding': did you mean 'embedding'"),
        ("ptb-word", "embedding(widht=3)", "embedding has no option 'widht': did you mean 'width'"),
        ("ptb-word", "embedding(width=wide)", "embedding: width=wide: a whole number or none is needed"),
        ("ptb-word", "embedding(dropout_kind=row)", "embedding: dropout_kind=row: .*word"),
        ("ptb-word", "embedding(width=0)", "width: a whole number of at least 1 is needed, got 0"),
        ("adding", "embedding(width=3)", r"embedding\(width=3\): this task's input are numbers"),
    ],
)
def test_embeddings_and_tasks_that_do_not_go_together(task: str, embedding: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        api.make_run(task, "gru(width=4)", embedding=embedding)


TEXT = """\
question: Q
rows:
- task: ptb-char
  embedding: embedding(width=7)
  head: softmax(dropout=0.1)
  models:
  - gru(width=4)
  - {model: lstm(width=4), embedding: "embedding(width=5, dropout=0.1)", head: tied, assumed: [embedding, head]}
- {task: ptb-char, models: [gru(width=4)]}
- {task: adding, models: [gru(width=4)]}
"""


def test_an_experiment_names_head_and_embedding(tmp_path: Path) -> None:
    """A model's own goes before the row's, and the row's before the task's."""
    (tmp_path / "experiment.yaml").write_text(TEXT, encoding="utf-8")
    cells = config.load(tmp_path).cells
    assert [(str(cell.runs[0].embedding), str(cell.runs[0].head)) for cell in cells] == [
        ("embedding(width=7)", "softmax(dropout=0.1)"),
        ("embedding(width=5, dropout=0.1)", "tied"),
        ("embedding(width=100)", "softmax"),
        ("embedding", "linear"),
    ]
    assert cells[1].assumed == ("embedding", "head")
    expected = api.make_run("ptb-char", "lstm(width=4)", embedding="embedding(dropout=.1, width=5)", head="tied()")
    assert cells[1].runs[0].id == expected.id
