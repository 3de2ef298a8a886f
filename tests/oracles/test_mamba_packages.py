"""Mamba and Mamba-2 against other people's code: the mixers of transformers, and mambapy's block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from seqbench.models.mamba import SelectiveStateSpace
from seqbench.models.mamba2 import ScalarStateSpace
from torch import Tensor, nn

WIDTH, CHANNELS, STATE, TAPS, STEPS = 12, 24, 5, 4, 37


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(2312)
        yield


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def assert_alike(ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], tolerance: float) -> None:
    """One output and one gradient of the inputs, of three sequences."""
    results = []
    for function in (ours, theirs):
        inputs = noise(3, STEPS, WIDTH) if not results else results[0][0].detach().clone()
        inputs.requires_grad_()
        outputs = function(inputs)
        outputs.square().sum().backward()
        results.append((inputs, outputs, inputs.grad))
    for one, other in zip(*(result[1:] for result in results), strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def of_selective(mixer: SelectiveStateSpace) -> dict[str, Tensor]:
    """The weights of our Mamba under the names of the published code."""
    assert mixer.convolution is not None
    assert mixer.convolution.bias is not None
    return {
        "in_proj.weight": torch.cat([mixer.enter.weight, mixer.gate.weight]),
        "conv1d.weight": mixer.convolution.weight[:, None],
        "conv1d.bias": mixer.convolution.bias,
        "x_proj.weight": mixer.select.weight,
        "dt_proj.weight": mixer.step_size.weight,
        "dt_proj.bias": mixer.step_size.bias,
        "A_log": mixer.log_rates,
        "D": mixer.skip,
        "out_proj.weight": mixer.leave.weight,
    }


def shaken(mixer: nn.Module) -> Any:
    """In double precision, and no parameter as it starts, so that none may be left out."""
    mixer.double()
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter += 0.1 * noise(*parameter.shape)
    return mixer


def test_mamba_is_that_of_transformers() -> None:
    modeling = pytest.importorskip("transformers.models.mamba.modeling_mamba")
    mixer = shaken(SelectiveStateSpace(WIDTH, CHANNELS, STATE, 2, TAPS))
    config = modeling.MambaConfig(
        hidden_size=WIDTH, state_size=STATE, expand=2, conv_kernel=TAPS, time_step_rank=2, num_hidden_layers=1,
        use_mambapy=False,
    )  # fmt: skip
    other = modeling.MambaMixer(config, 0).double()
    other.load_state_dict(of_selective(mixer))
    assert_alike(lambda inputs: mixer(inputs)[0], other, 1e-6)  # it computes the states in single precision


def test_mamba_is_that_of_mambapy() -> None:
    mambapy = pytest.importorskip("mambapy.mamba")
    mixer = shaken(SelectiveStateSpace(WIDTH, CHANNELS, STATE, 2, TAPS))
    config = mambapy.MambaConfig(d_model=WIDTH, n_layers=1, dt_rank=2, d_state=STATE, d_conv=TAPS)
    other = mambapy.MambaBlock(config).double()
    other.load_state_dict(of_selective(mixer))
    assert_alike(lambda inputs: mixer(inputs)[0], other, 1e-6)  # its rates are of single precision


def test_mamba2_is_that_of_transformers() -> None:
    modeling = pytest.importorskip("transformers.models.mamba2.modeling_mamba2")
    mixer = shaken(ScalarStateSpace(WIDTH, CHANNELS, STATE, 3, TAPS))
    assert mixer.convolution is not None
    config = modeling.Mamba2Config(
        hidden_size=WIDTH, state_size=STATE, expand=2, conv_kernel=TAPS, num_heads=3, head_dim=CHANNELS // 3,
        n_groups=1, num_hidden_layers=1, chunk_size=16, layer_norm_epsilon=mixer.norm.epsilon, use_bias=False,
    )  # fmt: skip
    other = modeling.Mamba2Mixer(config, 0).double()
    other.load_state_dict({
        "in_proj.weight": torch.cat([mixer.gate.weight, mixer.enter.weight, mixer.step_size.weight]),
        "conv1d.weight": mixer.convolution.weight[:, None],
        "conv1d.bias": mixer.convolution.bias,
        "dt_bias": mixer.step_size.bias,
        "A_log": mixer.log_rates,
        "D": mixer.skip,
        "norm.weight": mixer.norm.gain,
        "out_proj.weight": mixer.leave.weight,
    })  # fmt: skip
    assert_alike(lambda inputs: mixer(inputs)[0], other, 1e-5)  # it computes the states in single precision
