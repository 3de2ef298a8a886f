"""A short causal depthwise convolution and its SiLU as one operation with its own gradient, on a CPU.

For inputs x_t (C,), taps w_j (C,) and a bias b (C,): y_t = silu(b + Σ_{j<k} w_j ⊙ x_{t-(k-1-j)}). Done by torch's
operations each tap is a pass over the sequence; here one pass does all, and keeps nothing but the inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._activations import exponential
from ._chunks import over_sequences, slots
from ._compiling import kernel


def short_convolution(inputs: Tensor, history: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Outputs (B, T, C) of inputs (B, T, C) that follow history (B, k-1, C), with weight (C, k) and bias (C,).

    All on the CPU and of one type, float32 or float64. Differentiable once.
    """
    parts = inputs, history, weight.t(), bias
    outputs: Tensor = _ShortConvolution.apply(*(part.contiguous() for part in parts))
    return outputs


class _ShortConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, history: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        outputs = torch.empty_like(inputs)
        over_sequences(forward_kernel, inputs, history, weight, bias, outputs)
        ctx.save_for_backward(inputs, history, weight, bias)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_outputs: Tensor) -> tuple[Tensor, ...]:
        inputs, history, weight, bias = ctx.saved_tensors
        of_inputs, of_history = torch.zeros_like(inputs), torch.zeros_like(history)
        count = slots(len(inputs))
        of_weight, of_bias = weight.new_zeros((count, *weight.shape)), bias.new_zeros((count, *bias.shape))
        gradients = of_inputs, of_history, of_weight, of_bias
        over_sequences(backward_kernel, inputs, history, weight, bias, of_outputs.contiguous(), *gradients)
        return of_inputs, of_history, of_weight.sum(0), of_bias.sum(0)


@kernel
def at(inputs, history, row, step):
    """The numbers (C,) of a sequence at a step, which lies in its history where it is below 0."""
    return inputs[row, step] if step >= 0 else history[row, history.shape[1] + step]


@kernel
def convolve(inputs, history, weight, bias, row, t, sums):
    """sums (C,): what goes into the SiLU at step t of a sequence."""
    taps = weight.shape[0]
    for c in range(sums.size):
        sums[c] = bias[c]
    for tap in range(taps):
        x, w = at(inputs, history, row, t - (taps - 1 - tap)), weight[tap]
        for c in range(sums.size):
            sums[c] += w[c] * x[c]


@kernel
def forward_kernel(inputs, history, weight, bias, outputs, first, end, slot):
    """Fills outputs (B, T, C) of sequences first … end-1; weight is (k, C)."""
    one = inputs.dtype.type(1)  # a plain 1 would make float64 of float32
    for row in range(first, end):
        for t in range(inputs.shape[1]):
            y = outputs[row, t]
            convolve(inputs, history, weight, bias, row, t, y)
            for c in range(y.size):
                y[c] = y[c] / (one + exponential(-y[c]))


@kernel
def backward_kernel(
    inputs, history, weight, bias, of_outputs, of_inputs, of_history, of_weight, of_bias, first, end, slot
):
    """Adds the gradients of sequences first … end-1, those of weight (slots, k, C) and bias (slots, C) at the slot."""
    (_, steps, channels), taps, one = inputs.shape, weight.shape[0], inputs.dtype.type(1)
    of_sums, to_bias = np.empty(channels, inputs.dtype), of_bias[slot]
    for row in range(first, end):
        for t in range(steps):
            convolve(inputs, history, weight, bias, row, t, of_sums)
            of_y = of_outputs[row, t]
            for c in range(channels):
                sigmoid = one / (one + exponential(-of_sums[c]))
                of_sums[c] = of_y[c] * sigmoid * (one + of_sums[c] * (one - sigmoid))
            for c in range(channels):
                to_bias[c] += of_sums[c]
            for tap in range(taps):
                step = t - (taps - 1 - tap)
                x, of_x = at(inputs, history, row, step), at(of_inputs, of_history, row, step)
                w, of_w = weight[tap], of_weight[slot, tap]
                for c in range(channels):
                    of_x[c] += of_sums[c] * w[c]
                    of_w[c] += of_sums[c] * x[c]
