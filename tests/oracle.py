"""The models again, one number at a time: NumPy in float64, loops over steps and taps, no shared code.

Shape letters: B batch, T time, C channels, W width, k kernel. A recurrent layer is given as its weights in PyTorch's
order (input (G·W, C), recurrent (G·W, W), input bias (G·W,), recurrent bias (G·W,)).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def rnn(inputs: Array, layers: list[list[Array]], nonlinearity: Callable[[Array], Array]) -> Array:
    """Hidden states (B, T, W) of inputs (B, T, C)."""
    for a, u, input_bias, recurrent_bias in layers:
        hidden = np.zeros((inputs.shape[0], u.shape[1]))
        outputs = []
        for t in range(inputs.shape[1]):
            hidden = nonlinearity(inputs[:, t] @ a.T + input_bias + hidden @ u.T + recurrent_bias)
            outputs.append(hidden)
        inputs = np.stack(outputs, axis=1)
    return inputs


def lstm(inputs: Array, layers: list[list[Array]]) -> Array:
    """Hidden states (B, T, W) of inputs (B, T, C)."""
    for a, u, input_bias, recurrent_bias in layers:
        width = u.shape[1]
        hidden = np.zeros((inputs.shape[0], width))
        cell = np.zeros_like(hidden)
        outputs = []
        for t in range(inputs.shape[1]):
            total = inputs[:, t] @ a.T + input_bias + hidden @ u.T + recurrent_bias
            write, keep, candidate, show = (total[:, g * width : (g + 1) * width] for g in range(4))
            cell = sigmoid(keep) * cell + sigmoid(write) * np.tanh(candidate)
            hidden = sigmoid(show) * np.tanh(cell)
            outputs.append(hidden)
        inputs = np.stack(outputs, axis=1)
    return inputs


def gru(inputs: Array, layers: list[list[Array]], reset: str) -> Array:
    """Hidden states (B, T, W) of inputs (B, T, C); reset "after" as in cuDNN or "before" as in Cho et al. 2014."""
    for a, u, input_bias, recurrent_bias in layers:
        width = u.shape[1]
        a_r, a_z, a_n = (a[g * width : (g + 1) * width] for g in range(3))
        u_r, u_z, u_n = (u[g * width : (g + 1) * width] for g in range(3))
        input_r, input_z, input_n = (input_bias[g * width : (g + 1) * width] for g in range(3))
        recurrent_r, recurrent_z, recurrent_n = (recurrent_bias[g * width : (g + 1) * width] for g in range(3))
        hidden = np.zeros((inputs.shape[0], width))
        outputs = []
        for t in range(inputs.shape[1]):
            x = inputs[:, t]
            r = sigmoid(x @ a_r.T + input_r + hidden @ u_r.T + recurrent_r)
            z = sigmoid(x @ a_z.T + input_z + hidden @ u_z.T + recurrent_z)
            if reset == "after":
                n = np.tanh(x @ a_n.T + input_n + r * (hidden @ u_n.T + recurrent_n))
            else:
                n = np.tanh(x @ a_n.T + input_n + (r * hidden) @ u_n.T + recurrent_n)
            hidden = (1 - z) * n + z * hidden
            outputs.append(hidden)
        inputs = np.stack(outputs, axis=1)
    return inputs


def weight_norm(direction: Array, gain: Array) -> Array:
    """w (O, C, k) from v (O, C, k) and g (O, 1, 1), one output channel after the other."""
    weight = np.empty_like(direction)
    for channel in range(len(direction)):
        length = np.sqrt(np.sum(direction[channel] ** 2))
        weight[channel] = gain[channel, 0, 0] * direction[channel] / length
    return weight


def causal_convolution(inputs: Array, weight: Array, bias: Array, dilation: int) -> Array:
    """Outputs (B, T, O) of inputs (B, T, C) for a weight (O, C, k): tap k-1 reads the present step."""
    batch, steps, _ = inputs.shape
    kernel = weight.shape[2]
    outputs = np.tile(bias, (batch, steps, 1))
    for t in range(steps):
        for tap in range(kernel):
            source = t - (kernel - 1 - tap) * dilation
            if source >= 0:
                outputs[:, t] += inputs[:, source] @ weight[:, :, tap].T
    return outputs


def tcn_block(
    inputs: Array, convolutions: list[tuple[Array, Array]], residual: tuple[Array, Array] | None, dilation: int
) -> Array:
    """y (B, T, O) of x (B, T, C): two convolutions (weight, bias) with ReLU, plus x or the 1x1 of it, and a ReLU."""
    hidden = inputs
    for weight, bias in convolutions:
        hidden = relu(causal_convolution(hidden, weight, bias, dilation))
    around = inputs if residual is None else inputs @ residual[0][:, :, 0].T + residual[1]
    return relu(hidden + around)
