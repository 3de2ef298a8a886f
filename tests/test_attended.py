"""seq2seq against its equations, written out in NumPy one sequence and one step at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from seqbench.models import seq2seq
from seqbench.models._attended import Attention

Array = NDArray[np.float64]
SOURCE, TARGET, WIDTH = 7, 6, 4


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(scores: Array) -> Array:
    parts = np.exp(scores - scores.max())
    found: Array = parts / parts.sum()
    return found


class Cell:
    """A recurrent cell with a model's weights: GRU as cuDNN has it, LSTM, or plain with tanh."""

    def __init__(self, kind: str, model: Any) -> None:
        (cell,) = model.cells
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        self.kind, self.parts = kind, [getattr(cell, name).detach().numpy() for name in names]

    def step(self, x: Array, state: list[Array]) -> list[Array]:
        a, u, b, c = self.parts
        given, before = a @ x + b, u @ state[0] + c
        if self.kind == "rnn":
            return [np.tanh(given + before)]
        if self.kind == "gru":
            (ri, zi, ni), (rh, zh, nh) = np.split(given, 3), np.split(before, 3)
            reset, update = sigmoid(ri + rh), sigmoid(zi + zh)
            return [(1 - update) * np.tanh(ni + reset * nh) + update * state[0]]
        write, keep, candidate, show = np.split(given + before, 4)
        memory = sigmoid(keep) * state[1] + sigmoid(write) * np.tanh(candidate)
        return [sigmoid(show) * np.tanh(memory), memory]

    def run(self, xs: list[Array], width: int) -> list[Array]:
        state, states = [np.zeros(width), np.zeros(width)][: 2 if self.kind == "lstm" else 1], []
        for x in xs:
            state = self.step(x, state)
            states.append(state[0])
        return states


def linear(layer: Any, x: Array) -> Array:
    found: Array = layer.weight.detach().numpy() @ x
    return found if layer.bias is None else found + layer.bias.detach().numpy()


def attend(kind: str, attention: Any, query: Array, states: list[Array]) -> tuple[Array, Array]:
    """Context and weights by the papers' formulas: Bahdanau et al. 2015, A.1.2; Luong et al. 2015, eq. 7 and 8."""
    if kind == "bahdanau":
        v, w = attention.to_score.weight.detach().numpy()[0], attention.to_queries
        scores = [v @ np.tanh(linear(w, query) + linear(attention.to_keys, state)) for state in states]
    elif kind == "luong-dot":
        scores = [query @ state for state in states]
    else:
        matrix = attention.to_keys.weight.detach().numpy()
        scores = [query @ matrix @ state for state in states]
    weights = softmax(np.array(scores))
    return sum((part * state for part, state in zip(weights, states, strict=True)), np.zeros(WIDTH)), weights


def written_out(
    model: Any, options: dict[str, Any], source: list[int], inputs: list[int]
) -> tuple[list[Array], list[Array]]:
    """o_t and the weights of each step for one source and what the decoder is shown."""
    encoder, kind = options["encoder"], options["attention"]
    decoder, both, feeds = options.get("decoder") or encoder, options["bidirectional"], options.get("input_feeding")
    embedded = [model.embed_source.weight.detach().numpy()[symbol] for symbol in source]
    half = WIDTH // 2 if both else WIDTH
    forwards = Cell(encoder, model.reads_forwards).run(embedded, half)
    states, context = forwards, forwards[-1]
    if both:
        backwards = Cell(encoder, model.reads_backwards).run(embedded[::-1], half)[::-1]
        states = [np.concatenate(pair) for pair in zip(forwards, backwards, strict=True)]
        context = np.concatenate([forwards[-1], backwards[0]])
    first = np.tanh(linear(model.to_first_state, context))
    state, cell = list(np.split(first, 2 if decoder == "lstm" else 1)), Cell(decoder, model.cell)
    outputs, looked, fed = [], [], np.zeros(WIDTH)
    for symbol in inputs:
        shown = model.embed_target.weight.detach().numpy()[symbol]
        if kind in (None, "bahdanau"):
            if kind == "bahdanau":
                context, weights = attend(kind, model.attention, state[0], states)
                looked.append(weights)
            state = cell.step(np.concatenate([shown, context]), state)
            outputs.append(np.tanh(linear(model.to_outputs, np.concatenate([state[0], context, shown]))))
            continue
        state = cell.step(np.concatenate([shown, fed]) if feeds else shown, state)
        context, weights = attend(kind, model.attention, state[0], states)
        looked.append(weights)
        outputs.append(np.tanh(linear(model.to_outputs, np.concatenate([state[0], context]))))
        fed = outputs[-1]
    return outputs, looked


@pytest.mark.parametrize(
    "options",
    [
        {"attention": None, "encoder": "gru", "bidirectional": False},
        {"attention": None, "encoder": "lstm", "bidirectional": True},
        {"attention": "bahdanau", "encoder": "gru", "bidirectional": True},
        {"attention": "bahdanau", "encoder": "rnn", "decoder": "lstm", "bidirectional": False},
        {"attention": "luong-dot", "encoder": "lstm", "decoder": "gru", "bidirectional": True},
        {"attention": "luong-general", "encoder": "gru", "bidirectional": True},
        {"attention": "luong-general", "encoder": "lstm", "bidirectional": True, "input_feeding": True},
        {"attention": "luong-dot", "encoder": "rnn", "bidirectional": False, "input_feeding": True},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_the_model_equals_its_equations(options: dict[str, Any]) -> None:
    """Features and weights of a batch of sources of different lengths, each against its own sequence written out."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        model = seq2seq.Model(SOURCE, TARGET, width=WIDTH, embedding=3, **options).double()
    sources, inputs = [[1, 4, 2, 6, 3], [5], [2, 2, 6]], [[1, 3, 5, 4], [1, 5, 5, 3], [1, 4, 3, 3]]
    lengths = torch.tensor([len(source) for source in sources])
    padded = torch.tensor([source + [0] * (5 - len(source)) for source in sources])
    with torch.no_grad():
        features, _, weights = model.decode(model.encode(padded, lengths), torch.tensor(inputs))
    for row, (source, shown) in enumerate(zip(sources, inputs, strict=True)):
        outputs, looked = written_out(model, options, source, shown)
        np.testing.assert_allclose(features[row].numpy(), outputs, rtol=0, atol=1e-12)
        if options["attention"] is None:
            assert weights is None
            continue
        assert weights is not None
        np.testing.assert_allclose(weights[row, :, : len(source)].numpy(), looked, rtol=0, atol=1e-12)


def test_scores_by_hand() -> None:
    """Numbers that can be checked on paper: query (1, 2), states (1, 0) and (0, 1), and a third that is padding."""
    query, states = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]])
    hidden = torch.tensor([[False, False, True]])
    dot = Attention("luong-dot", 2)
    context, weights = dot(query, dot.attended(states, hidden))
    e = np.exp(1.0)
    assert weights[0, 0].tolist() == pytest.approx([1 / (1 + e), e / (1 + e), 0])
    assert context[0, 0].tolist() == pytest.approx([1 / (1 + e), e / (1 + e)])
    general = Attention("luong-general", 2)
    with torch.no_grad():
        general.to_keys.weight.copy_(torch.tensor([[0.0, 3.0], [0.0, 0.0]]))  # sᵀ A h = 3 s_1 h_2
    _, weights = general(query, general.attended(states, hidden))
    assert weights[0, 0].tolist() == pytest.approx([1 / (1 + e**3), e**3 / (1 + e**3), 0])
    bahdanau = Attention("bahdanau", 2)
    assert bahdanau.to_queries is not None
    assert bahdanau.to_score is not None
    with torch.no_grad():
        bahdanau.to_queries.weight.zero_()
        bahdanau.to_keys.weight.copy_(torch.eye(2))
        bahdanau.to_score.weight.copy_(torch.tensor([[0.0, 1.0]]))  # vᵀ tanh(h) = tanh(h_2)
    _, weights = bahdanau(query, bahdanau.attended(states, hidden))
    second = np.exp(np.tanh(1.0))
    assert weights[0, 0].tolist() == pytest.approx([1 / (1 + second), second / (1 + second), 0])
