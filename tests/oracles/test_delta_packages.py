"""The delta rules against the functions and the layer of transformers' Qwen3-Next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from seqbench.models._delta import delta_rule
from seqbench.models._delta_net import DeltaNet
from torch import Tensor
from torch.nn import functional as F

STEPS = 150


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(2412)
        yield


@pytest.fixture
def modeling() -> Any:
    return pytest.importorskip("transformers.models.qwen3_next.modeling_qwen3_next")


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("function", ["torch_chunk_gated_delta_rule", "torch_recurrent_gated_delta_rule"])
def test_the_rule_and_its_gradients_are_those_of_transformers(
    modeling: Any, function: str, most: int, gated: bool
) -> None:
    """From a state, with strengths up to `most`; theirs is computed in single precision whatever the inputs are."""
    queries, keys = noise(3, STEPS, 2, 8), F.normalize(noise(3, STEPS, 2, 8), dim=-1)
    values, strengths = noise(3, STEPS, 2, 6), most * noise(3, STEPS, 2).sigmoid()
    log_decays = -noise(3, STEPS, 2).exp() if gated else torch.zeros(3, STEPS, 2)
    state, of_outputs, of_state = noise(3, 2, 8, 6), noise(3, STEPS, 2, 6), noise(3, 2, 8, 6)
    given = [part.requires_grad_() for part in (queries, keys, values, strengths, log_decays, state)]
    ours = delta_rule(queries * 8**-0.5, *given[1:])
    theirs = getattr(modeling, function)(
        queries, keys, values, g=log_decays, beta=strengths, initial_state=state, output_final_state=True
    )
    results = []
    for outputs, last in (ours, theirs):
        loss = (outputs * of_outputs).sum() + (last * of_state).sum()
        results.append([outputs, last, *torch.autograd.grad(loss, given)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_gated_deltanet_is_that_of_transformers(modeling: Any) -> None:
    width, heads, key, value = 12, 2, 6, 10
    mixer = DeltaNet(width, heads, key, value, 4, signed=False, gated=True)
    for parameter in mixer.parameters():
        parameter.data += 0.1 * noise(*parameter.shape)
    config = modeling.Qwen3NextConfig(
        hidden_size=width, linear_num_value_heads=heads, linear_num_key_heads=heads, linear_key_head_dim=key,
        linear_value_head_dim=value, linear_conv_kernel_dim=4, rms_norm_eps=mixer.norm.epsilon, num_hidden_layers=1,
    )  # fmt: skip
    other = modeling.Qwen3NextGatedDeltaNet(config, 0)
    assert mixer.convolution is not None
    assert mixer.decay is not None
    assert mixer.gate is not None
    parts = [*mixer.enter.weight.split(mixer.sizes), mixer.gate.weight]
    by_head = [part.unflatten(0, (heads, -1)) for part in parts]  # theirs stands head by head
    other.load_state_dict({
        "in_proj_qkvz.weight": torch.cat(by_head, dim=1).flatten(0, 1),
        "in_proj_ba.weight": torch.stack([mixer.strength.weight, mixer.decay.weight], dim=1).flatten(0, 1),
        "conv1d.weight": mixer.convolution.weight[:, None],
        "dt_bias": mixer.decay.bias,
        "A_log": mixer.log_rates,
        "norm.weight": mixer.norm.gain,
        "out_proj.weight": mixer.leave.weight,
    })  # fmt: skip
    inputs = noise(3, STEPS, width).requires_grad_()
    results = []
    for outputs in (mixer(inputs)[0], other(inputs)):
        results.append([outputs, *torch.autograd.grad(outputs.square().sum(), inputs)])
    for one, theirs in zip(*results, strict=True):
        torch.testing.assert_close(one, theirs, rtol=1e-4, atol=1e-4)
