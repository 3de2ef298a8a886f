"""The read-outs of language models against plain networks, their sizes by formula, and what each refuses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from seqbench.bench import api
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import networks
from seqbench.bench.experiments.notation import parse
from seqbench.models import base, heads, lstm
from seqbench.models.embeddings import Embedding
from seqbench.models.heads import HEADS
from seqbench.models.network import Network
from seqbench.tasks.base import Distribution
from torch import Tensor, nn
from torch.nn import functional as F

V, W, E, B, R = 23, 6, 4, 3, 5
"""Symbols, width of the features, width of the embedding, batch, steps that are read."""

MAKE: dict[str, Any] = {
    "softmax": lambda: heads.Softmax(W, V),
    "tied": lambda: heads.Tied(W, V, nn.Parameter(torch.randn(V, W))),
    "tied with a projection": lambda: heads.Tied(W, V, nn.Parameter(torch.randn(V, E))),
    "adaptive": lambda: heads.Adaptive(W, V),
    "adaptive with three clusters": lambda: heads.Adaptive(W, V, cutoffs=(3, 8, 15), divisor=1.5),
}
every_head = pytest.mark.parametrize("name", MAKE)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(20180304)
        yield


def read_out(name: str, dtype: torch.dtype = torch.float64) -> tuple[Any, Tensor, Tensor]:
    """A head with numbers all over its parameters, features (B, R, W) and targets (B, R) from everywhere."""
    head = MAKE[name]().to(dtype)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_()
    return head, torch.randn(B, R, W, dtype=dtype), torch.arange(B * R).mul(7).remainder(V).view(B, R)


@every_head
def test_an_answer_is_a_distribution(name: str) -> None:
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        head, features, targets = read_out(name, dtype)
        answer: Distribution = head(features)
        logarithms = answer.log_probabilities()
        assert logarithms.shape == (B, R, V)
        assert logarithms.dtype == dtype
        torch.testing.assert_close(logarithms.exp().sum(2), torch.ones(B, R, dtype=dtype), rtol=0.0, atol=tolerance)
        surprisal = answer.surprisal(targets)
        assert surprisal.shape == (B, R)
        gathered = -logarithms.gather(2, targets.unsqueeze(2)).squeeze(2)
        torch.testing.assert_close(surprisal, gathered, rtol=tolerance, atol=tolerance)
        assert torch.equal(answer.most_probable(), logarithms.argmax(2))


@every_head
def test_every_symbols_surprisal_in_turn(name: str) -> None:
    """The rare symbols of the clusters too."""
    head, features, _ = read_out(name)
    answer = head(features)
    for symbol in range(V):
        surprisal = answer.surprisal(torch.full((B, R), symbol))
        torch.testing.assert_close(surprisal, -answer.log_probabilities()[:, :, symbol], rtol=1e-12, atol=1e-12)


@every_head
def test_gradients_are_those_of_the_log_probabilities(name: str) -> None:
    head, features, targets = read_out(name)
    gradients = []
    for way in (0, 1):
        leaf = features.clone().requires_grad_()
        answer = head(leaf)
        nats = answer.surprisal(targets) if way else -answer.log_probabilities().gather(2, targets.unsqueeze(2))
        gradients.append(torch.autograd.grad(nats.sum(), [leaf, *head.parameters()]))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_softmax_and_tied_by_hand() -> None:
    head, features, _ = read_out("softmax")
    logits = features @ head.linear.weight.T + head.linear.bias
    torch.testing.assert_close(head(features).log_probabilities(), logits - logits.logsumexp(2, keepdim=True))
    head, features, _ = read_out("tied")
    logits = features @ head.weight.T + head.bias
    torch.testing.assert_close(head(features).log_probabilities(), logits - logits.logsumexp(2, keepdim=True))
    head, features, _ = read_out("tied with a projection")
    logits = (features @ head.projection.weight.T + head.projection.bias) @ head.weight.T + head.bias
    torch.testing.assert_close(head(features).log_probabilities(), logits - logits.logsumexp(2, keepdim=True))


def test_adaptive_by_hand() -> None:
    """P = P(short list or cluster) · P(symbol within its cluster)."""
    head, features, _ = read_out("adaptive with three clusters")
    first = head.softmax.head(features).softmax(2)  # 3 symbols and 3 clusters
    parts = [first[:, :, :3]]
    for number, (narrow, wide) in enumerate(head.softmax.tail):
        parts.append(first[:, :, 3 + number, None] * (features @ narrow.weight.T @ wide.weight.T).softmax(2))
    assert [part.shape[2] for part in parts] == [3, 5, 7, 8]
    torch.testing.assert_close(head(features).log_probabilities().exp(), torch.cat(parts, 2))


# The shared matrix.


@pytest.mark.parametrize("width", [W, E], ids=["as wide as the features", "with a projection"])
def test_a_tied_matrix_learns_from_both_of_its_uses(width: int) -> None:
    """Against a network in which each use has a matrix of its own."""
    embedding = Embedding(V, W, width=width, std=1.0)
    body = lstm.Model(width, width=W)
    head = heads.Tied(W, V, embedding.weight)
    network = Network(body, head, R, embedding).double()
    assert head.weight is embedding.weight
    assert len([name for name, part in network.named_parameters() if part.shape == (V, width)]) == 1
    inputs, targets = torch.randint(0, V, (B, 8)), torch.randint(0, V, (B, R))
    ours = network(inputs)[0].surprisal(targets).mean()
    ours.backward()

    front, back = (embedding.weight.detach().clone().requires_grad_() for _ in range(2))
    cell: nn.LSTM = body.cells[0]  # type: ignore[assignment]
    features, _ = nn.LSTM.forward(cell, front[inputs])
    read = features[:, -R:]
    if width != W:
        read = read @ head.projection.weight.T + head.projection.bias  # type: ignore[union-attr,operator]
    theirs = F.cross_entropy((read @ back.T + head.bias).flatten(0, 1), targets.flatten())
    one, other = torch.autograd.grad(theirs, [front, back])
    torch.testing.assert_close(ours, theirs)
    assert one.any()
    assert other.any()
    torch.testing.assert_close(embedding.weight.grad, one + other)


def test_the_shared_matrix_is_counted_and_saved_once_and_stays_shared() -> None:
    run = api.make_run("ptb-word(context=4, scored=4)", "gru(width=8)")
    network = run.make_network(run.make_task())
    assert isinstance(network.head, heads.Tied)
    assert isinstance(network.embedding, Embedding)
    count = 10_000 * 8 + 3 * (2 * 8 * 8 + 2 * 8) + 10_000
    assert network.parameter_count == count == sum(part.numel() for part in network.parameters())
    other = api.make_run("ptb-word(context=4, scored=4)", "gru(width=8)", seed=1).make_network(run.make_task())
    other.load_state_dict(network.state_dict())
    assert isinstance(other.head, heads.Tied)
    assert isinstance(other.embedding, Embedding)
    assert other.head.weight is other.embedding.weight
    assert torch.equal(other.head.weight, network.embedding.weight)


# Sizes, options, dropout.


def clusters(features: int, cutoffs: list[int], divisor: float) -> int:
    """Parameters of an adaptive softmax: no biases, each cluster narrower than the one before by the divisor."""
    edges = [*cutoffs, V]
    count = features * (cutoffs[0] + len(cutoffs))
    for number, (low, high) in enumerate(pairwise(edges), start=1):
        width = int(features // divisor**number)
        count += features * width + width * (high - low)
    return count


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (heads.Softmax(W, V), W * V + V),
        (heads.Tied(W, V, nn.Parameter(torch.zeros(V, W))), W * V + V),
        (heads.Tied(W, V, nn.Parameter(torch.zeros(V, E))), E * V + V + W * E + E),
        (heads.Adaptive(W, V, cutoffs=(3, 8), divisor=2), clusters(W, [3, 8], 2)),
        (heads.Adaptive(80, V, cutoffs=(3, 8, 15)), clusters(80, [3, 8, 15], 4)),
        (heads.Adaptive(16, V), clusters(16, [4, 11], 4)),
    ],
)
def test_sizes_by_formula(head: heads.Head, expected: int) -> None:
    assert sum(parameter.numel() for parameter in head.parameters()) == expected
    biases = sum(parameter.numel() for parameter in head.parameters() if parameter.dim() == 1)
    assert head.macs_per_step == expected - biases


@pytest.mark.parametrize("features", [1, 2, 3, 15, 16])
def test_an_adaptive_softmax_of_narrow_features(features: int) -> None:
    head = heads.Adaptive(features, V, cutoffs=(2, 5, 11)).double()
    assert all(narrow.out_features >= 1 for narrow, _ in head.softmax.tail)
    total = head(torch.randn(B, R, features, dtype=torch.float64)).log_probabilities().exp().sum(2)
    torch.testing.assert_close(total, torch.ones(B, R, dtype=torch.float64))


@pytest.mark.parametrize("cutoffs", [(0, 5), (5, 5), (8, 3), (5, V), (-1,), (V + 4,)])
def test_cutoffs_that_are_refused(cutoffs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"adaptive head: cutoffs that grow from 1 to {V - 1} are needed, got \["):
        heads.Adaptive(W, V, cutoffs=cutoffs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: heads.Adaptive(W, V, divisor=0.5), "adaptive head: divisor=0.5: a number of at least 1"),
        (lambda: heads.Adaptive(W, V, divisor=math.nan), "adaptive head: divisor=nan"),
        (lambda: heads.Softmax(W, V, std=-1.0), "softmax head: std=-1.0: at least 0"),
        (lambda: heads.Tied(W, V), "tied head: it shares the embedding's matrix, and there is none"),
        *(
            (lambda name=name: HEADS[name](W, V, nn.Parameter(torch.zeros(V, W)), dropout=1.0), r"dropout: .* got 1\.0")
            for name in ("softmax", "tied", "adaptive")
        ),
    ],
)
def test_options_that_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_first_numbers() -> None:
    head = heads.Softmax(400, 300, std=0.01)
    assert head.linear.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not head.linear.bias.any()
    torch.manual_seed(1)
    ours = heads.Softmax(W, V).linear
    torch.manual_seed(1)
    theirs = nn.Linear(W, V)
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)
    assert not heads.Tied(W, V, nn.Parameter(torch.ones(V, W))).bias.any()


@pytest.mark.parametrize("name", ["softmax", "tied", "adaptive"])
def test_dropout_before_a_head_is_of_its_own_stream(name: str) -> None:
    """Elements of the features, each time others; what comes out is the answer for the dropped features."""
    head = HEADS[name](W, V, nn.Parameter(torch.randn(V, E)), dropout=0.4).double()  # type: ignore[call-arg]
    features, before = torch.randn(B, R, W, dtype=torch.float64), torch.get_rng_state()
    with pytest.raises(RuntimeError, match="no random stream"):
        head(features)
    base.seed_dropout(head, torch.Generator().manual_seed(1))
    one, two = (head(features).log_probabilities() for _ in range(2))
    assert not torch.equal(one, two)
    assert torch.equal(torch.get_rng_state(), before)
    mask = torch.empty_like(features).bernoulli_(0.6, generator=torch.Generator().manual_seed(1)) / 0.6
    head.eval()
    torch.testing.assert_close(one, head(features * mask).log_probabilities())
    assert torch.equal(head(features).log_probabilities(), head(features).log_probabilities())


@pytest.mark.parametrize(
    ("task", "head", "message"),
    [
        ("adding", "softmax", "head 'softmax' does not answer what this task asks: linear is needed"),
        ("jsb", "tied", "head 'tied' does not answer what this task asks: linear is needed"),
        ("ptb-word", "linear", "'linear' does not answer what this task asks: softmax or tied or adaptive is needed"),
        ("ptb-char", "adaptive(cutoffs=[20, 10])", "adaptive head: cutoffs that grow from 1 to 49 are needed"),
        ("ptb-char", "adaptive(cutoff=[20])", "head adaptive has no option 'cutoff': did you mean 'cutoffs'"),
        ("ptb-word", "softmx", "unknown head 'softmx': did you mean 'softmax'"),
    ],
)
def test_heads_and_tasks_that_do_not_go_together(task: str, head: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        api.make_run(task, "gru(width=4)", head=head)


def test_every_head_of_a_text_can_be_named() -> None:
    task = api.make_task("ptb-char")
    for text, kind in (("softmax", heads.Softmax), ("tied", heads.Tied), ("adaptive(cutoffs=[10])", heads.Adaptive)):
        run = api.make_run("ptb-char", "gru(width=8)", head=text)
        assert type(networks.on_paper(task, run.model_class, run.model.options, run.head, run.embedding).head) is kind
        assert str(networks.canonical_head(parse(text))) == text
