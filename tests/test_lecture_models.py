"""The models that the lecture has beside RNN, LSTM and GRU: read from both ends, fed back from the output, and bags."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from seqbench.models import bag_of_embeddings, bidirectional, jordan
from torch import Tensor, nn

BATCH, STEPS, CHANNELS, WIDTH = 5, 9, 3, 4
LENGTHS = torch.tensor([9, 1, 4, 6, 2])
ORACLES: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
every_cell = pytest.mark.parametrize("cell", ORACLES)


def noise(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def both_ways(cell: str, **options: Any) -> tuple[Any, nn.RNNBase]:
    """Ours, and torch's own layer with the same numbers, of two layers."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = bidirectional.Model(CHANNELS, cell=cell, width=WIDTH, layers=2, **options)  # type: ignore[arg-type]
        torch.manual_seed(5)
        theirs = ORACLES[cell](CHANNELS, WIDTH, 2, batch_first=True, bidirectional=True)
    for layer in range(2):
        for end, parts in (("", model.forwards), ("_reverse", model.backwards)):
            (one,) = parts[layer].cells
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                assert torch.equal(getattr(one, f"{name}_l0"), getattr(theirs, f"{name}_l{layer}{end}")), "drawn alike"
    return model.double().eval(), theirs.double()


def summary(theirs: nn.RNNBase, inputs: Tensor, readout: str) -> tuple[Tensor, Tensor]:
    """By torch's layer on one sequence (1, T, C): y of all steps (T, 2W), and what is read of the whole (2W,)."""
    outputs, hidden = theirs(inputs)
    hidden = hidden[0] if isinstance(hidden, tuple) else hidden  # (2 · layers, 1, W)
    last = torch.cat([hidden[-2, 0], hidden[-1, 0]])
    of_all = {"last": last, "mean": outputs[0].mean(0), "max": outputs[0].amax(0)}
    return outputs[0], of_all[readout]


@every_cell
@pytest.mark.parametrize("readout", ["last", "mean", "max"])
def test_whole_sequences_are_those_of_torch(cell: str, readout: str) -> None:
    model, theirs = both_ways(cell, readout=readout)
    inputs = noise(BATCH, STEPS, CHANNELS)
    features, _ = model(inputs)
    for one, found in zip(inputs, features, strict=True):
        steps, whole = summary(theirs, one[None], readout)
        torch.testing.assert_close(found[:-1], steps[:-1])
        torch.testing.assert_close(found[-1], whole)
    assert torch.equal(model.read(inputs, 1), features[:, -1:])


@every_cell
@pytest.mark.parametrize("readout", ["last", "mean", "max"])
def test_padding_never_leaks(cell: str, readout: str) -> None:
    """Neither into features nor into gradients: each sequence of a padded batch is as it is alone."""
    model, theirs = both_ways(cell, readout=readout)
    inputs = noise(BATCH, STEPS, CHANNELS)
    for row, length in zip(inputs, LENGTHS, strict=True):
        row[length:] = 1e6
    inputs.requires_grad_()
    last = (LENGTHS - 1).unsqueeze(1)
    everywhere = model.read_padded(inputs, LENGTHS)
    read = everywhere.take_along_dim(last.unsqueeze(2), 1)  # (B, 1, 2W)
    for place, length in enumerate(LENGTHS.tolist()):
        steps, whole = summary(theirs, inputs[place : place + 1, :length], readout)
        torch.testing.assert_close(everywhere[place, : length - 1], steps[:-1])
        torch.testing.assert_close(read[place, 0], whole)
        torch.testing.assert_close(model(inputs[place : place + 1, :length])[0][0, -1], whole)
    (gradient,) = torch.autograd.grad(read.square().sum(), inputs)
    behind = torch.arange(STEPS) >= LENGTHS.unsqueeze(1)
    assert not gradient[behind].any()
    assert gradient[~behind].any(1).all(), "and every step of a sequence counts"


@every_cell
def test_packed_sequences_of_torch_give_the_same(cell: str) -> None:
    model, theirs = both_ways(cell)
    inputs = noise(BATCH, STEPS, CHANNELS)
    packed = nn.utils.rnn.pack_padded_sequence(inputs, LENGTHS, batch_first=True, enforce_sorted=False)
    outputs, hidden = theirs(packed)
    hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    outputs, _ = nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
    found = model.read_padded(inputs, LENGTHS)
    for place, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(found[place, : length - 1], outputs[place, : length - 1])
        torch.testing.assert_close(found[place, length - 1], torch.cat([hidden[-2, place], hidden[-1, place]]))


def test_every_step_sees_both_sides() -> None:
    model, _ = both_ways("gru")
    inputs = noise(1, STEPS, CHANNELS).requires_grad_()
    features, _ = model(inputs)
    for step in range(STEPS):
        (gradient,) = torch.autograd.grad(features[0, step].sum(), inputs, retain_graph=True)
        assert gradient[0].any(1).all()


def test_options_that_do_not_go_together_are_refused() -> None:
    for options, message in (
        ({"cell": "tcn"}, "cell: one of 'rnn', 'lstm', 'gru' is needed"),
        ({"readout": "first"}, "readout: one of"),
        ({"dropout": 0.5}, "dropout: acts between layers and there is 1"),
        ({"width": 0}, "width: a whole number of at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            bidirectional.Model(CHANNELS, **options)  # type: ignore[arg-type]
    for made in (jordan.Model, bag_of_embeddings.Model):
        with pytest.raises(ValueError, match="width: a whole number of at least 1"):
            made(CHANNELS, width=0)  # type: ignore[operator]
    with pytest.raises(ValueError, match="memory: a probability"):
        jordan.Model(CHANNELS, memory=1.0)


def test_jordan_by_its_equations() -> None:
    model = jordan.Model(CHANNELS, width=6, outputs=2, memory=0.5).double()
    inputs = noise(2, STEPS, CHANNELS)
    features, (left,) = model(inputs)
    first, back, out = (part[0].weight.detach().numpy() for part in (model.inward, model.back, model.outward))
    a, b = (part[0].bias.detach().numpy() for part in (model.inward, model.outward))
    for sequence, found, state in zip(inputs.numpy(), features, left, strict=True):
        remembered = np.zeros(2)
        for x, said in zip(sequence, found, strict=True):
            output = np.tanh(out @ np.tanh(first @ x + back @ remembered + a) + b)
            remembered = 0.5 * remembered + output
            np.testing.assert_allclose(said.detach().numpy(), output, rtol=1e-12)
        np.testing.assert_allclose(state.detach().numpy(), remembered, rtol=1e-12)


def test_what_jordan_knows_of_the_past_has_gone_through_its_output() -> None:
    """Two pasts that end with the same output are the same past."""
    model = jordan.Model(CHANNELS, width=6, outputs=2).double()
    features, state = model(noise(2, STEPS, CHANNELS))
    assert torch.equal(state[0], features[:, -1])
    alike = [features[:1, -1].expand(2, -1)]
    later = noise(1, 4, CHANNELS, seed=8).expand(2, -1, -1)
    one, other = model(later, alike)[0]
    assert torch.equal(one, other)


@pytest.mark.parametrize("layers", [0, 2])
def test_a_bag_does_not_know_the_order(layers: int) -> None:
    model = bag_of_embeddings.Model(CHANNELS, width=CHANNELS, layers=layers).double()
    inputs = noise(2, STEPS, CHANNELS)
    features, _ = model(inputs)
    expected = inputs.mean(1)
    for layer in model.hidden:
        expected = torch.tanh(layer(expected))
    torch.testing.assert_close(features[:, -1], expected)
    torch.testing.assert_close(model.read(inputs, 1)[:, 0], expected)
    torch.testing.assert_close(model(inputs.flip(1))[0][:, -1], expected)
    torch.testing.assert_close(features[:, 0], model(inputs[:, :1])[0][:, 0])
