"""mLSTM and sLSTM: each form of a recurrence against the plain equations, strong gates, sizes, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from admission import (
    TOLERANCE,
    assert_alike,
    assert_learns_parity,
    assert_pieces_give_the_whole,
    gradients,
    made,
    noise,
    tensors_of,
)
from seqbench.models import mlstm, slstm
from seqbench.models._compiling import plain
from seqbench.models._logarithms import log_sigmoids
from seqbench.models._slstm import slstm as slstm_recurrence
from seqbench.models._xlstm import CHUNK, BlockDiagonal, HeadNorm
from seqbench.models._xlstm import mlstm as mlstm_recurrence
from torch import Tensor
from torch.nn import functional as F

every_dtype = pytest.mark.parametrize("dtype", list(TOLERANCE))
SMALL: dict[str, Any] = {"width": 8, "layers": 2, "heads": 2}


def mlstm_by_the_formula(queries: Tensor, keys: Tensor, values: Tensor, inputs: Tensor, forgets: Tensor) -> Tensor:
    """Equations 19 to 27 without a stabilizer, step by step, in float64."""
    batch, heads, steps, size = keys.shape
    matrix = keys.new_zeros(batch, heads, size, values.shape[3])
    normalizer = keys.new_zeros(batch, heads, size)
    outputs = []
    for t in range(steps):
        keep, write = torch.sigmoid(forgets[:, :, t]), inputs[:, :, t].exp()
        key = keys[:, :, t] / math.sqrt(size)
        matrix = keep[..., None, None] * matrix + write[..., None, None] * key[..., None] * values[:, :, t, None]
        normalizer = keep[..., None] * normalizer + write[..., None] * key
        query = queries[:, :, t]
        bound = (normalizer * query).sum(2, keepdim=True).abs().clamp(min=1)
        outputs.append((query[..., None] * matrix).sum(2) / bound)
    return torch.stack(outputs, 2)


@every_dtype
@pytest.mark.parametrize("steps", [1, 3, CHUNK, CHUNK + 1, 2 * CHUNK + 7])
def test_mlstm_in_chunks_is_the_formula(dtype: torch.dtype, steps: int) -> None:
    given = [noise(2, 2, steps, 3, seed=seed) for seed in (1, 2, 3)]
    given += [2 * noise(2, 2, steps, seed=4), 2 + noise(2, 2, steps, seed=5)]
    exact = [part.clone().requires_grad_() for part in given]
    expected = mlstm_by_the_formula(*exact)
    ours = [part.to(dtype).requires_grad_() for part in given]
    outputs, _ = mlstm_recurrence(*ours)
    assert_alike(
        [outputs, *gradients(outputs, ours)], [part.to(dtype) for part in (expected, *gradients(expected, exact))]
    )


def test_mlstm_does_not_depend_on_its_stabilizer() -> None:
    """A state scaled by e^-m with another m is the same state."""
    given = [noise(2, 2, 5, 3, seed=seed) for seed in (1, 2, 3)] + [noise(2, 2, 5, seed=seed) for seed in (4, 5)]
    outputs, (matrix, stabilizer) = mlstm_recurrence(*given)
    again = mlstm_recurrence(*given, (matrix, stabilizer))[0]
    other = mlstm_recurrence(*given, (matrix * math.exp(3), stabilizer - 3))[0]
    assert_alike(again, other)
    assert not torch.allclose(again, outputs)


def slstm_by_the_formula(logits: Tensor, weight: Tensor) -> Tensor:
    """Equations 8 to 18 without a stabilizer, step by step, unit by unit of each head."""
    batch, steps, heads, numbers = logits.shape
    y, c, n = (logits.new_zeros(batch, heads, numbers // 4) for _ in range(3))
    outputs = []
    for t in range(steps):
        write, keep, candidate, show = (logits[:, t] + (y[..., None] * weight).sum(2)).chunk(4, 2)
        c = torch.sigmoid(keep) * c + write.exp() * torch.tanh(candidate)
        n = torch.sigmoid(keep) * n + write.exp()
        y = torch.sigmoid(show) * c / n
        outputs.append(y)
    return torch.stack(outputs, 1)


@every_dtype
@pytest.mark.parametrize("by", ["kernel", "torch"])
@pytest.mark.parametrize("steps", [1, 13])
def test_slstm_is_the_formula(dtype: torch.dtype, by: str, steps: int) -> None:
    given = [2 * noise(11, steps, 3, 20, seed=1), noise(3, 5, 20, seed=2)]
    exact = [part.clone().requires_grad_() for part in given]
    expected = slstm_by_the_formula(*exact)
    ours = [part.to(dtype).requires_grad_() for part in given]
    if by == "kernel":
        outputs, _ = slstm_recurrence(*ours)
    else:
        with plain():
            outputs, _ = slstm_recurrence(*ours)
    assert_alike(
        [outputs, *gradients(outputs, ours)], [part.to(dtype) for part in (expected, *gradients(expected, exact))]
    )


@every_dtype
def test_the_kernel_goes_on_from_a_state_as_torch_does(dtype: torch.dtype) -> None:
    logits, weight = noise(4, 7, 3, 20, dtype=dtype), noise(3, 5, 20, seed=2, dtype=dtype)
    found = []
    for by_torch in (False, True):
        y, c = noise(4, 3, 5, seed=3, dtype=dtype), noise(4, 3, 5, seed=4, dtype=dtype)
        n, m = 1 + noise(4, 3, 5, seed=5, dtype=dtype).abs(), noise(4, 3, 5, seed=6, dtype=dtype)
        of = [part.clone().requires_grad_() for part in (logits, weight, y, c, n, m)]
        if by_torch:
            with plain():
                outputs, after = slstm_recurrence(of[0], of[1], (*of[2:],))
        else:
            outputs, after = slstm_recurrence(of[0], of[1], (*of[2:],))
        differentiable = torch.cat([outputs.flatten(), *(part.flatten() for part in after[:3])])
        found.append([outputs, *after, *gradients(differentiable, of)])
    assert_alike(*found)


@every_dtype
def test_log_sigmoids_are_torchs(dtype: torch.dtype) -> None:
    values = torch.cat([torch.linspace(-80, 80, 997), torch.tensor([0.0, -0.0, 1e-8, -1e-8, 300.0])]).to(dtype)
    ours = values.clone()
    log_sigmoids(ours.numpy())
    torch.testing.assert_close(ours, F.logsigmoid(values), rtol=2e-7, atol=1.2e-7 if dtype == torch.float32 else 1e-15)
    missing = torch.tensor([torch.nan], dtype=dtype)
    log_sigmoids(missing.numpy())
    assert missing.isnan().all()


MODELS = {"mlstm": mlstm.Model, "slstm": slstm.Model}
every_model = pytest.mark.parametrize("name", MODELS)


@every_model
@every_dtype
@pytest.mark.parametrize("convolution", [0, 4])
def test_pieces_give_what_the_whole_gives(name: str, dtype: torch.dtype, convolution: int) -> None:
    model = made(MODELS[name], dtype, **SMALL, convolution=convolution)
    for steps in (2, 11):  # fewer than the convolution has taps, and more
        assert_pieces_give_the_whole(model, noise(2, steps, 3, dtype=dtype))


def test_long_pieces_of_mlstm_are_cut_anywhere() -> None:
    model = made(mlstm.Model, **SMALL)
    inputs = noise(2, 3 * CHUNK, 3)
    whole, last = model(inputs)
    state, pieces = None, []
    for start, end in ((0, CHUNK - 3), (CHUNK - 3, 2 * CHUNK), (2 * CHUNK, 3 * CHUNK)):
        features, state = model(inputs[:, start:end], state)
        pieces.append(features)
    assert_alike([torch.cat(pieces, 1), *tensors_of(state)], [whole, *tensors_of(last)])


@every_model
@every_dtype
@pytest.mark.parametrize("inputs_at", [-30.0, 30.0])
@pytest.mark.parametrize("forgets_at", [-30.0, 30.0])
def test_strong_gates_are_finite(name: str, dtype: torch.dtype, inputs_at: float, forgets_at: float) -> None:
    model = made(MODELS[name], dtype, **SMALL)
    with torch.no_grad():
        for layer in model.blocks:
            if name == "mlstm":
                layer.mixer.gates.bias[:2], layer.mixer.gates.bias[2:] = inputs_at, forgets_at
            else:
                bias = layer.mixer.bias.view(2, 4, 4)
                bias[:, 0], bias[:, 1], bias[:, 3] = inputs_at, forgets_at, inputs_at
    outputs, state = model(noise(2, CHUNK + 9, 3, dtype=dtype))
    found = [outputs, *tensors_of(state), *gradients(outputs, list(model.parameters()))]
    assert all(part.isfinite().all() for part in found)


def test_gates_that_change_from_step_to_step_are_finite() -> None:
    draws = torch.Generator().manual_seed(3)
    logits = 60.0 * torch.randint(2, (2, 2, 2, 100), generator=draws) - 30
    given = [noise(2, 2, 100, 3, seed=seed, dtype=torch.float32) for seed in (1, 2, 3)] + [*logits]
    given = [part.requires_grad_() for part in given]
    outputs, _ = mlstm_recurrence(*given)
    assert all(part.isfinite().all() for part in [outputs, *gradients(outputs, given)])
    given = [(60.0 * torch.randint(2, (2, 100, 2, 12), generator=draws) - 30).requires_grad_()]
    given += [noise(2, 3, 12, dtype=torch.float32).requires_grad_()]
    outputs, _ = slstm_recurrence(*given)
    assert all(part.isfinite().all() for part in [outputs, *gradients(outputs, given)])


def test_parameters_and_state_of_mlstm_by_formula() -> None:
    model = mlstm.Model(64, width=64, layers=1, heads=4)
    inside, size = 128, 32
    mixer = 3 * 64 * inside + 12 * inside + 5 * inside + 2 * 4 * (3 * inside + 1) + 2 * inside
    assert mixer == 30_088
    assert sum(part.numel() for part in model.parameters()) == mixer + 2 * 64
    assert model.state_size == 4 * (size * size + size + 1) + 3 * inside


def test_parameters_and_state_of_slstm_by_formula() -> None:
    model = slstm.Model(64, width=64, layers=1, heads=4, inner=0)
    assert sum(part.numel() for part in model.parameters()) == 8 * 64 * 64 // 4 + 5 * 64 + 5 * 64 + 2 * 64
    assert model.state_size == 4 * 64 + 3 * 64


def test_initial_gates_are_those_that_the_docstrings_name() -> None:
    mixer = mlstm.Model(3, width=64, layers=2, heads=4).blocks[0].mixer
    assert not mixer.gates.weight.any()
    assert mixer.gates.bias[4:].tolist() == [3.0, 4.0, 5.0, 6.0]
    assert 0 < float(mixer.gates.bias[:4].detach().abs().max()) < 0.5
    model = slstm.Model(3, width=64, layers=3, heads=4)
    for layer, block in enumerate(model.blocks):
        bias = block.mixer.bias.view(4, 4, 16)
        expected = torch.tensor([5 - 12 * (j / 15) ** (0.3 + 1.3 * layer / 2) for j in range(16)])
        for head in range(4):
            torch.testing.assert_close(bias[head, 1], expected)
            assert not bias[head, [0, 2, 3]].any()
        assert not block.mixer.recurrent.any()


def test_blocks_and_heads_are_apart() -> None:
    blocks, norm = BlockDiagonal(12, 6, 3, std=1.0), HeadNorm(12, 3)
    inputs = noise(2, 5, 12, dtype=torch.float32)
    torch.testing.assert_close(blocks(inputs), inputs @ torch.block_diag(*blocks.weight))
    with torch.no_grad():
        norm.gain.copy_(noise(12, dtype=torch.float32))
    torch.testing.assert_close(norm(inputs)[1], F.group_norm(inputs[1], 3, norm.gain))


@every_model
def test_it_learns_parity(name: str) -> None:
    assert_learns_parity(MODELS[name], width=16, layers=2, heads=2)


def test_widths_that_they_cannot_have_are_refused_and_not_tried() -> None:
    for model, options, said in [
        (mlstm.Model, {"width": 63}, "width: 4 heads must divide 2 · width, got 63; 62 or 64 can be had"),
        (mlstm.Model, {"width": 63, "heads": 1}, r"width: 4 heads must divide 2 · width, got 63"),
        (slstm.Model, {"width": 63}, "width: 4 heads must divide the width, got 63; 60 or 64 can be had"),
        (slstm.Model, {"width": 4}, "width: at least 2 units for each of 4 heads are needed, got 4"),
        (slstm.Model, {"convolution": -1}, "convolution: a whole number of at least 0 is needed, got -1"),
    ]:
        with pytest.raises(ValueError, match=said):
            model(3, **options)  # type: ignore[arg-type]
    assert mlstm.Model.width_step_for({"heads": 8, "expansion": 2}) == 4
    assert mlstm.Model.width_step_for({"heads": 1, "expansion": 2}) == 2
    assert slstm.Model.width_step_for({"heads": 3}) == 3
