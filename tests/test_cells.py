"""Every cell against its equations: by hand in NumPy, by `torch.nn`, and its gradients by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from seqbench.models import base, gru, lstm, rnn, tcn
from torch import Tensor, nn

from . import oracle

BATCH, STEPS, CHANNELS, WIDTH = 3, 11, 4, 5
TOLERANCE = {"rtol": 0.0, "atol": 1e-12}

RECURRENT: dict[str, tuple[type[base.Model], dict[str, Any], Callable[..., Any]]] = {
    "rnn-tanh": (rnn.Model, {"nonlinearity": "tanh"}, lambda x, layers: oracle.rnn(x, layers, np.tanh)),
    "rnn-relu": (rnn.Model, {"nonlinearity": "relu"}, lambda x, layers: oracle.rnn(x, layers, oracle.relu)),
    "lstm": (lstm.Model, {}, oracle.lstm),
    "gru-after": (gru.Model, {"reset": "after"}, lambda x, layers: oracle.gru(x, layers, "after")),
    "gru-before": (gru.Model, {"reset": "before"}, lambda x, layers: oracle.gru(x, layers, "before")),
}


@pytest.fixture(autouse=True)
def seeded() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(20180304)
        yield


def inputs_of(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def array(tensor: Tensor) -> oracle.Array:
    return tensor.detach().numpy()


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_cell_follows_its_equations(name: str, layers: int) -> None:
    model_class, options, by_hand = RECURRENT[name]
    model: Any = model_class(CHANNELS, width=WIDTH, layers=layers, **options).double()
    inputs = inputs_of(BATCH, STEPS, CHANNELS)
    features, state = model(inputs)
    weights = [[array(parameter) for parameter in cell.parameters()] for cell in model.cells]
    expected = torch.from_numpy(by_hand(inputs.numpy(), weights))
    torch.testing.assert_close(features, expected, **TOLERANCE)
    last = state[-1][0] if name == "lstm" else state[-1]
    torch.testing.assert_close(last, expected[:, -1], **TOLERANCE)


@pytest.mark.parametrize(
    ("model_class", "options", "torch_class"),
    [
        (rnn.Model, {}, nn.RNN),
        (rnn.Model, {"nonlinearity": "relu"}, nn.RNN),
        (lstm.Model, {}, nn.LSTM),
        (gru.Model, {}, nn.GRU),
    ],
)
def test_recurrent_stack_is_that_of_torch(
    model_class: type[base.Model], options: dict[str, Any], torch_class: type[nn.RNNBase]
) -> None:
    model: Any = model_class(CHANNELS, width=WIDTH, layers=2, **options).double()
    theirs: Any = torch_class(CHANNELS, WIDTH, num_layers=2, batch_first=True, **options).double()
    ours = [parameter for cell in model.cells for parameter in cell.parameters()]
    for mine, other in zip(ours, theirs.parameters(), strict=True):
        other.data.copy_(mine)
    inputs = inputs_of(BATCH, STEPS, CHANNELS)
    features, state = model(inputs)
    expected, last = theirs(inputs)
    torch.testing.assert_close(features, expected, **TOLERANCE)
    if torch_class is nn.LSTM:
        torch.testing.assert_close(
            [list(pair) for pair in state], list(map(list, zip(*last, strict=True))), **TOLERANCE
        )
    else:
        torch.testing.assert_close(state, list(last), **TOLERANCE)
    (features**2).sum().backward()
    (expected**2).sum().backward()
    for mine, other in zip(ours, theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, **TOLERANCE)


@pytest.mark.parametrize("weight_norm", [True, False])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_tcn_follows_its_equations(kernel: int, weight_norm: bool) -> None:
    model = tcn.Model(CHANNELS, kernel=kernel, widths=(5, 5, 3), weight_norm=weight_norm).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gain"):  # away from ‖v‖, where weight normalisation would change nothing
                parameter.uniform_(0.5, 1.5)
    inputs = inputs_of(BATCH, STEPS, CHANNELS)
    expected = inputs.numpy()
    for level, block in enumerate(model.blocks):
        assert isinstance(block, tcn.Block)
        convolutions = []
        for part in (block.first, block.second):
            weight = array(part.direction)
            if part.gain is not None:
                weight = oracle.weight_norm(weight, array(part.gain))
            convolutions.append((weight, array(part.bias)))
        around = block.residual
        residual = None
        if isinstance(around, nn.Conv1d):
            assert around.bias is not None
            residual = array(around.weight), array(around.bias)
        expected = oracle.tcn_block(expected, convolutions, residual, dilation=2**level)
    features, _ = model(inputs)
    torch.testing.assert_close(features, torch.from_numpy(expected), **TOLERANCE)


@pytest.mark.parametrize("steps", [2, 9])  # shorter and longer than the convolution's history
@pytest.mark.parametrize("weight_norm", [True, False])
def test_causal_convolution_is_that_of_torch(weight_norm: bool, steps: int) -> None:
    ours = tcn.CausalConvolution(CHANNELS, WIDTH, 3, dilation=2, weight_norm=weight_norm).double()
    theirs = nn.Conv1d(CHANNELS, WIDTH, 3, dilation=2, padding=4).double()
    if weight_norm:
        theirs = nn.utils.parametrizations.weight_norm(theirs)
        theirs.parametrizations.weight.original0.data.copy_(ours.gain)
        theirs.parametrizations.weight.original1.data.copy_(ours.direction)
    else:
        theirs.weight.data.copy_(ours.direction)
    theirs.bias.data.copy_(ours.bias)
    inputs = inputs_of(BATCH, CHANNELS, steps)
    outputs, _ = ours(inputs, None)
    expected = theirs(inputs)[:, :, :steps]
    torch.testing.assert_close(outputs, expected, **TOLERANCE)
    (outputs**2).sum().backward()
    (expected**2).sum().backward()
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad, **TOLERANCE)
    if weight_norm:
        assert ours.gain is not None
        torch.testing.assert_close(ours.gain.grad, theirs.parametrizations.weight.original0.grad, **TOLERANCE)
        torch.testing.assert_close(ours.direction.grad, theirs.parametrizations.weight.original1.grad, **TOLERANCE)
    else:
        torch.testing.assert_close(ours.direction.grad, theirs.weight.grad, **TOLERANCE)


def gradients_are_right(module: nn.Module, function: Callable[..., Any], *inputs: Tensor) -> bool:
    """Compares gradients with finite differences, for `inputs` and for all parameters of `module`."""
    names = [name for name, _ in module.named_parameters()]
    values = [parameter.detach().clone().requires_grad_() for parameter in module.parameters()]

    def call(*arguments: Tensor) -> Any:
        given, parameters = arguments[: len(inputs)], arguments[len(inputs) :]
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), given)

    leaves = [tensor.requires_grad_() for tensor in inputs]
    return torch.autograd.gradcheck(lambda *arguments: function(call(*arguments)), (*leaves, *values))


def test_gradients_of_the_weight_normalised_convolution() -> None:
    convolution = tcn.CausalConvolution(2, 3, 3, dilation=2).double()
    assert gradients_are_right(convolution, lambda out: out, inputs_of(2, 2, 5), inputs_of(2, 2, 4))


def test_gradients_of_the_gru_with_reset_before() -> None:
    model = gru.Model(2, width=3, layers=2, reset="before").double()
    assert gradients_are_right(model, lambda out: (out[0], *out[1]), inputs_of(2, 4, 2))
