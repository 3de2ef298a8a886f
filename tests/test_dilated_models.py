"""Gated TCN and trellis network against their equations, their reach and state, and what they must refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from admission import (
    TOLERANCE,
    assert_alike,
    assert_learns_parity,
    assert_pieces_give_the_whole,
    assert_sees_exactly,
    gradients,
    made,
    noise,
)
from seqbench.models import base, gated_tcn, trellisnet
from seqbench.models._taps import convolution, delayed
from torch import Tensor
from torch.nn import functional as F

every_dtype = pytest.mark.parametrize("dtype", list(TOLERANCE))
KINDS: list[tuple[Any, dict[str, Any]]] = [
    (gated_tcn.Model, {"kernel": 2, "levels": 4, "cycle": 3, "width": 6, "skips": 4}),
    (gated_tcn.Model, {"kernel": 3, "levels": 3, "width": 6}),
    (trellisnet.Model, {"kernel": 2, "levels": 4, "width": 6}),
    (trellisnet.Model, {"kernel": 3, "dilations": (2, 1, 3), "width": 6, "weight_norm": False}),
    (trellisnet.Model, {"levels": 1, "width": 6, "weight_norm": False}),
]
every_kind = pytest.mark.parametrize(("model", "options"), KINDS)


def dilated(inputs: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """`F.conv1d` of (B, T, C), after zeros, with the taps' matrices side by side, (O, k·C)."""
    channels = inputs.shape[2]
    taps = weight.unflatten(1, (-1, channels)).transpose(1, 2)  # (O, C, k)
    before = F.pad(inputs.transpose(1, 2), ((taps.shape[2] - 1) * dilation, 0))
    return F.conv1d(before, taps, bias, dilation=dilation).transpose(1, 2)


def gated_tcn_by_the_formula(model: Any, inputs: Tensor) -> Tensor:
    x, shown = inputs @ model.front.weight.t() + model.front.bias, []
    for level, dilation in enumerate(model.dilations):
        signal, gate = (
            dilated(x, weight, bias, dilation)
            for weight, bias in zip(model.gates[level].weight.chunk(2), model.gates[level].bias.chunk(2), strict=True)
        )
        z = torch.tanh(signal) * torch.sigmoid(gate)
        shown.append(model.skips[level](z))
        if level < len(model.dilations) - 1:
            x = x + model.residuals[level](z)
    return torch.relu(sum(shown))


def trellisnet_by_the_formula(model: Any, inputs: Tensor) -> Tensor:
    def matrix(part: Any) -> Tensor:
        if part.gain is None:
            return part.direction
        return part.direction / part.direction.square().sum(1, keepdim=True).sqrt() * part.gain

    width = model.features
    z = c = inputs.new_zeros(*inputs.shape[:2], width)
    for dilation in model.dilations:
        gates = dilated(inputs, matrix(model.of_inputs), model.bias, dilation)
        gates = gates + dilated(z, matrix(model.of_hidden), None, dilation)
        write, show, candidate, keep = gates.split(width, 2)
        late = F.pad(c, (0, 0, dilation, 0))[:, : inputs.shape[1]]
        c = torch.sigmoid(keep) * late + torch.sigmoid(write) * torch.tanh(candidate)
        z = torch.sigmoid(show) * torch.tanh(c)
    return z


def strong(model: Any) -> Any:
    """The model with weights from N(0, 0.3²): what starts at N(0, 0.01²) shows little."""
    with torch.no_grad():
        for place, parameter in enumerate(model.parameters()):
            parameter.copy_(0.3 * noise(*parameter.shape, seed=place))
    return model


@every_kind
@every_dtype
@pytest.mark.parametrize("steps", [1, 3, 25])
def test_models_follow_their_equations(model: Any, options: dict[str, Any], dtype: torch.dtype, steps: int) -> None:
    made_model = strong(made(model, dtype, **options))
    by_the_formula = gated_tcn_by_the_formula if model is gated_tcn.Model else trellisnet_by_the_formula
    inputs = noise(2, steps, 3, dtype=dtype).requires_grad_()
    outputs, expected = made_model(inputs)[0], by_the_formula(made_model, inputs)
    of = [inputs, *(part for name, part in made_model.named_parameters() if steps > 1 or "of_hidden" not in name)]
    if options.get("levels") == 1:
        of = [inputs, made_model.bias]
    assert_alike([outputs, *gradients(outputs, of)], [expected, *gradients(expected, of)])
    assert_alike(made_model.read(inputs, 1), expected[:, -1:])


@every_kind
@every_dtype
def test_pieces_give_what_the_whole_gives(model: Any, options: dict[str, Any], dtype: torch.dtype) -> None:
    if options.get("levels") != 1:
        assert_pieces_give_the_whole(strong(made(model, dtype, **options)), noise(2, 13, 3, dtype=dtype))


@every_kind
def test_what_a_step_sees_and_keeps(model: Any, options: dict[str, Any]) -> None:
    made_model = strong(made(model, **options))
    kernel, dilations = options.get("kernel", 2), made_model.dilations
    assert made_model.receptive_field == 1 + (kernel - 1) * sum(dilations)
    assert_sees_exactly(made_model, made_model.receptive_field, 3, made_model.receptive_field + 4)
    if model is gated_tcn.Model:
        assert made_model.state_size == (kernel - 1) * sum(dilations) * 6
    else:
        assert made_model.state_size == (kernel - 1) * max(dilations) * 3 + kernel * sum(dilations[1:]) * 6


def test_parameters_by_formula() -> None:
    def count(model: base.Model) -> int:
        return sum(part.numel() for part in model.parameters())

    assert count(gated_tcn.Model(3, kernel=2, levels=4, width=6)) == 24 + 4 * (5 * 36 + 18) + 3 * 42
    assert count(gated_tcn.Model(3, kernel=3, levels=4, width=6, skips=9)) == 24 + 4 * (6 * 36 + 12 + 63) + 3 * 42
    for levels in (2, 9):
        assert count(trellisnet.Model(3, levels=levels, width=6, weight_norm=False)) == 24 * 2 * 9 + 24
        assert count(trellisnet.Model(3, levels=levels, width=6)) == 24 * 2 * 9 + 24 + 48


def test_dilations() -> None:
    assert gated_tcn.Model(3, levels=5, cycle=3).dilations == [1, 2, 4, 1, 2]
    assert gated_tcn.Model(3, levels=4).dilations == [1, 2, 4, 8]
    assert trellisnet.Model(3, levels=5).dilations == (1, 1, 2, 4, 8)
    assert trellisnet.Model(3, dilations=(1, 1, 1)).dilations == (1, 1, 1)


def test_a_trellis_drops_the_same_of_every_step_and_level() -> None:
    model = strong(made(trellisnet.Model, dilations=(1, 1), width=40, dropout=0.5)).train()
    inputs = noise(2, 5, 3)
    base.seed_dropout(model, torch.Generator().manual_seed(3))
    found = model(inputs)[0]
    base.seed_dropout(model, torch.Generator().manual_seed(3))
    mask = model.dropout.mask(inputs.new_empty(2, 1, 40))
    shown = dilated(inputs, model.of_inputs(), model.bias, 1)
    write, show, candidate, _ = shown.chunk(4, 2)
    cells = torch.sigmoid(write) * torch.tanh(candidate)
    hidden = torch.sigmoid(show) * torch.tanh(cells) * mask
    write, show, candidate, keep = (shown + dilated(hidden, model.of_hidden(), None, 1)).chunk(4, 2)
    cells = torch.sigmoid(keep) * F.pad(cells, (0, 0, 1, 0))[:, :5] + torch.sigmoid(write) * torch.tanh(candidate)
    assert_alike(found, torch.sigmoid(show) * torch.tanh(cells))


@every_kind
@every_dtype
def test_strong_gates_are_finite(model: Any, options: dict[str, Any], dtype: torch.dtype) -> None:
    made_model = strong(made(model, dtype, **options))
    with torch.no_grad():
        for parameter in made_model.parameters():
            parameter *= 100
    outputs, _ = made_model(noise(2, 23, 3, dtype=dtype))
    outputs.sum().backward()
    found = [part.grad for part in made_model.parameters() if part.grad is not None]
    assert all(part.isfinite().all() for part in [outputs, *found])


@pytest.mark.parametrize("model", [gated_tcn.Model, trellisnet.Model])
def test_it_learns_parity(model: Any) -> None:
    assert_learns_parity(model, learning_rate=1e-2, width=24, levels=4)


def test_a_delay_longer_than_a_piece() -> None:
    inputs = noise(2, 9, 3)
    whole, kept = delayed(inputs, None, 4)
    assert torch.equal(whole, F.pad(inputs, (0, 0, 4, 0))[:, :9])
    assert torch.equal(kept, inputs[:, 5:])
    first, history = delayed(inputs[:, :1], None, 4)
    second, history = delayed(inputs[:, 1:], history, 4)
    assert torch.equal(torch.cat([first, second], 1), whole)
    assert torch.equal(history, kept)


def test_the_taps_are_those_of_torchs_convolution() -> None:
    inputs, weight, bias = noise(2, 9, 3), noise(4, 9, seed=1), noise(4, seed=2)
    outputs, kept = convolution(inputs, None, weight, bias, 2)
    assert_alike(outputs, dilated(inputs, weight, bias, 2))
    assert torch.equal(kept, inputs[:, 5:])


def test_what_cannot_be_is_refused() -> None:
    for model, options, said in [
        (gated_tcn.Model, {"kernel": 1}, "kernel: a whole number of at least 2 is needed, got 1"),
        (gated_tcn.Model, {"cycle": 0}, "cycle: a whole number of at least 1 is needed, got 0"),
        (trellisnet.Model, {"dilations": (1, 0)}, "dilations: a whole number of at least 1 is needed, got 0"),
        (trellisnet.Model, {"recurrent_dropout": 1.0}, r"recurrent_dropout: a probability in \[0, 1\) is needed"),
    ]:
        with pytest.raises(ValueError, match=said):
            model(3, **options)
