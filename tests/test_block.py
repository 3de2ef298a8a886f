"""The block that the modern models share, each part against its formula; the models around it keep the contract."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from seqbench.models import _block, _mixer, base, block, gru, lstm, rnn
from seqbench.models._compiling import plain
from seqbench.models.network import Network
from torch import Tensor
from torch.nn import functional as F

OPTIONS: dict[str, Any] = {"width": 10, "layers": 3, "inner": 7, "convolution": 4, "norm": "rms", "dropout": 0.0}


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(20180304)
        yield


class Nothing(_mixer.Mixer):
    """A mixer that adds nothing to any step."""

    state_size, receptive_field, macs_per_step = 0, 1, 0

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        return torch.zeros_like(inputs), ()


class Still(_block.Blocks):
    """Blocks in which only the MLPs act."""

    def make_mixer(self, layer: int) -> _mixer.Mixer:
        return Nothing()


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_a_layer_is_norm_convolution_recurrence_norm_mlp(name: Any, norm: Any) -> None:
    model = block.Model(3, mixer=name, **{**OPTIONS, "norm": norm}).double()
    for part in model.modules():
        if isinstance(part, _block.RMSNorm | torch.nn.LayerNorm):
            for parameter in part.parameters():  # which are 1 and 0
                torch.nn.init.normal_(parameter)
    inputs = torch.randn(2, 9, 3, dtype=torch.float64)
    x = F.linear(inputs, model.projection.weight, model.projection.bias)
    for layer in model.blocks:
        assert isinstance(layer.mixer.model, {"lstm": lstm.Model, "gru": gru.Model, "rnn": rnn.Model}[name])
        mixed = F.silu(
            F.conv1d(
                F.pad(normed(layer.mixer_norm, x).transpose(1, 2), (3, 0)),
                layer.convolution.weight.unsqueeze(1),
                layer.convolution.bias,
                groups=10,
            )
        ).transpose(1, 2)
        x = x + layer.mixer.model(mixed)[0]
        gate, up = layer.mlp.gate_and_up.weight.split([7, 7])
        wide = normed(layer.mlp_norm, x)
        x = x + (F.silu(wide @ gate.t()) * (wide @ up.t())) @ layer.mlp.down.weight.t()
    torch.testing.assert_close(model(inputs)[0], normed(model.norm, x), rtol=1e-12, atol=1e-12)


def normed(norm: Any, x: Tensor) -> Tensor:
    """What torch's own norm gives with the same numbers."""
    if isinstance(norm, _block.RMSNorm):
        return F.rms_norm(x, (10,), norm.gain, norm.epsilon)
    return F.layer_norm(x, (10,), norm.weight, norm.bias)


@pytest.mark.parametrize("channels", [3, 10])
@pytest.mark.parametrize(("inner", "convolution", "norm"), [(None, 0, "rms"), (0, 4, "layer"), (7, 2, "layer")])
def test_parameters_by_formula(channels: int, inner: int | None, convolution: int, norm: Any) -> None:
    model = block.Model(channels, **{**OPTIONS, "inner": inner, "convolution": convolution, "norm": norm})
    wide, of_norm = 27 if inner is None else inner, 10 if norm == "rms" else 20
    layer = 8 * (100 + 10) + of_norm
    layer += 3 * 10 * wide + of_norm if wide else 0
    layer += (convolution + 1) * 10 if convolution else 0
    front = channels * 10 + 10 if channels != 10 else 0
    assert sum(part.numel() for part in model.parameters()) == 3 * layer + of_norm + front
    assert model.state_size == 3 * (2 * 10 + max(0, convolution - 1) * 10)


def test_vectors_are_exempt_from_weight_decay() -> None:
    model = block.Model(3, **{**OPTIONS, "norm": "layer"})
    network = Network(model, torch.nn.Linear(10, 1), None)  # type: ignore[arg-type]
    usual, exempt = network.parameter_groups()
    assert (usual.decays, exempt.decays) == (True, False)
    assert all(part.dim() < 2 for part in exempt.parameters)
    vectors = [part for part in model.parameters() if part.dim() < 2]
    assert {id(part) for part in exempt.parameters} == {id(part) for part in vectors}


def test_groups_of_mixers_come_first_and_keep_what_they_name() -> None:
    class Slow(Nothing):
        def __init__(self) -> None:
            super().__init__()
            self.rate = torch.nn.Parameter(torch.zeros(4))

        def parameter_groups(self) -> list[base.ParameterGroup]:
            return [base.ParameterGroup([self.rate], 0.1, decays=False)]

    class Slows(_block.Blocks):
        def make_mixer(self, layer: int) -> _mixer.Mixer:
            return Slow()

    model = Slows(3, **OPTIONS)
    *slow, others = model.parameter_groups()
    assert [group.learning_rate_factor for group in slow] == [0.1] * 3
    assert not {id(layer.mixer.rate) for layer in model.blocks} & {id(part) for part in others.parameters}


def test_initial_weights_are_those_that_the_docstring_names() -> None:
    model = Still(300, **{**OPTIONS, "width": 300, "layers": 8, "inner": 500}).requires_grad_(False)
    assert model.projection is None
    for layer in model.blocks:
        assert float(layer.mlp.gate_and_up.weight.std()) == pytest.approx(math.sqrt(2 / 1500), rel=0.02)
        assert float(layer.mlp.down.weight.std()) == pytest.approx(math.sqrt(2 / 2500) / 4, rel=0.02)
        assert float(layer.convolution.weight.abs().max()) == pytest.approx(0.5, rel=0.02)
        assert (layer.mixer_norm.gain == 1).all()


@pytest.mark.parametrize("kernel", [2, 4])
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_the_short_convolution_is_torchs(kernel: int, steps: int) -> None:
    convolution = _block.ShortConvolution(5, kernel).double()
    inputs = torch.randn(3, steps, 5, dtype=torch.float64, requires_grad=True)
    outputs, history = convolution(inputs)
    before = F.pad(inputs.transpose(1, 2), (kernel - 1, 0))
    expected = F.silu(F.conv1d(before, convolution.weight.unsqueeze(1), convolution.bias, groups=5)).transpose(1, 2)
    torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(history, before[:, :, steps:].transpose(1, 2))
    assert history.shape == (3, kernel - 1, 5)
    given = (inputs, *convolution.parameters())
    for ours, theirs in zip(*(torch.autograd.grad(y.sin().sum(), given) for y in (outputs, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_rms_norm_is_torchs(dtype: torch.dtype, tolerance: float) -> None:
    norm = _block.RMSNorm(37).to(dtype)
    torch.nn.init.normal_(norm.gain)
    inputs = torch.randn(3, 5, 37, dtype=dtype) * torch.logspace(-4, 4, 5, dtype=dtype)[:, None]
    inputs.requires_grad_()
    found = []
    for outputs in (norm(inputs), F.rms_norm(inputs, (37,), norm.gain, norm.epsilon)):
        found.append([outputs, *torch.autograd.grad(outputs.sin().sum(), [inputs, norm.gain])])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=10 * tolerance, atol=10 * tolerance)
    assert norm(torch.zeros(2, 37, dtype=dtype)).tolist() == [[0.0] * 37] * 2


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("inner", [1, 21])
def test_the_gated_mlp_is_that_of_torchs_operations(dtype: torch.dtype, tolerance: float, inner: int) -> None:
    mlp = _block.SwiGLU(5, inner).to(dtype)
    inputs = (8 * torch.randn(3, 4, 5, dtype=dtype)).requires_grad_()
    found = []
    for way in (nullcontext, plain):
        with way():
            outputs = mlp(inputs)
        found.append([outputs, *torch.autograd.grad(outputs.sin().sum(), [inputs, *mlp.parameters()])])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=10 * tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("reads", [None, 1, 3])
@pytest.mark.parametrize("training", [False, True])
def test_what_is_read_is_the_end_of_what_is_computed(reads: int | None, training: bool) -> None:
    model = block.Model(3, **{**OPTIONS, "dropout": 0.3}).double().train(training)
    inputs = torch.randn(2, 9, 3, dtype=torch.float64)
    found = []
    for read in (lambda: model(inputs)[0][:, -(reads or 9) :], lambda: model.read(inputs, reads)):
        base.seed_dropout(model, torch.Generator().manual_seed(3))
        found.append(read())
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)


def test_dropout_acts_on_what_mixers_and_mlps_add() -> None:
    model = Still(10, **{**OPTIONS, "dropout": 0.5, "layers": 1})
    model.requires_grad_(False)
    inputs = torch.randn(2, 400, 10)
    base.seed_dropout(model, torch.Generator().manual_seed(3))
    added = model.blocks[0].widen(inputs) - inputs
    whole = model.eval().blocks[0].widen(inputs) - inputs
    kept = added != 0
    assert 0.45 < float(kept.float().mean()) < 0.55
    torch.testing.assert_close(added[kept], 2 * whole[kept], rtol=1e-4, atol=1e-6)


def test_what_cannot_be_is_refused() -> None:
    for options, said in [
        ({"convolution": 1}, "convolution: 0 for none or at least 2 taps are needed, got 1"),
        ({"inner": -1}, "inner: a whole number of at least 0 is needed, got -1"),
        ({"norm": "batch"}, "norm: one of 'rms', 'layer' is needed, got 'batch'"),
        ({"dropout": 1.0}, r"dropout: a probability in \[0, 1\) is needed, got 1.0"),
        ({"mixer": "tcn"}, "mixer: one of 'lstm', 'gru', 'rnn' is needed, got 'tcn'"),
    ]:
        with pytest.raises(ValueError, match=said):
            block.Model(3, **options)  # type: ignore[arg-type]
