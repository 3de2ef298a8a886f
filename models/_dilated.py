"""A block of a TCN as one operation with its own gradient: faster on a CPU than torch's operations, and equal to them.

The loops run in `_convolutions`, on slices of the batch side by side. Between blocks the features stay padded, see
there.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import _convolutions, _slices
from ._layout import padded_rows
from ._products import padded


def dilated_block(
    inputs: Tensor,
    first: tuple[Tensor, Tensor],
    second: tuple[Tensor, Tensor],
    residual: tuple[Tensor, Tensor] | None,
    masks: tuple[Tensor | None, Tensor | None],
    dilation: int,
) -> Tensor:
    """relu(m₂ relu(conv₂(m₁ relu(conv₁(inputs)))) + residual(inputs)) of whole sequences.

    inputs (B, T, I): the channels C in the first places, zeros behind them. first, second: weight (W, C, k) and
    (W, W, k), bias (W,). residual: weight (W, C, 1) and bias (W,), None for the inputs themselves (then I must be
    padded(C)). masks: (B, T, W), (B, 1, W) or None. Returns (B, T, padded(W)). All on the CPU and of one type,
    float32 or float64. Differentiable once, not with respect to the masks.
    """
    across, across_bias = residual if residual is not None else (None, None)
    keeps = torch.is_grad_enabled()
    return _Block.apply(keeps, inputs.contiguous(), *first, *second, across, across_bias, *masks, dilation)


class _Block(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        keeps: bool,
        inputs: Tensor,
        first_weight: Tensor,
        first_bias: Tensor,
        second_weight: Tensor,
        second_bias: Tensor,
        residual_weight: Tensor | None,
        residual_bias: Tensor | None,
        first_mask: Tensor | None,
        second_mask: Tensor | None,
        dilation: int,
    ) -> Tensor:
        (batch, steps, _), (width, channels, taps) = inputs.shape, first_weight.shape
        parts = _slices.slices(batch, multiple=1)
        outputs = inputs.new_empty((batch, steps, padded(width)))
        inner = inputs.new_empty((batch if keeps else len(parts), steps, padded(width)))
        alive = torch.empty_like(inner, dtype=torch.bool)
        weights = [_rows(part) for part in (first_weight, second_weight)]
        weights.append(_rows(residual_weight) if residual_weight is not None else inputs.new_zeros((0, padded(width))))
        biases = [padded_rows(part) for part in (first_bias, second_bias)]
        biases.append(padded_rows(residual_bias) if residual_bias is not None else biases[0])
        masks = [_mask(part, inputs, width) for part in (first_mask, second_mask)]
        arrays = [part.numpy() for part in (inputs, outputs, inner, alive, *weights, *biases, *masks)]
        _slices.run(partial(_convolutions.block_forward, *arrays, channels, width, taps, dilation), parts)
        ctx.dilation = dilation
        ctx.save_for_backward(inputs, outputs, inner, alive, first_weight, second_weight, residual_weight, *masks)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_outputs: Tensor) -> tuple[Tensor | None, ...]:
        inputs, outputs, inner, alive, first_weight, second_weight, residual_weight, *masks = ctx.saved_tensors
        (batch, steps, row), (width, channels, taps) = inputs.shape, first_weight.shape
        parts = _slices.slices(batch, multiple=1)
        slots, columns = len(parts), padded(width)
        wanted = ctx.needs_input_grad[1]
        of_inputs = inputs.new_empty((batch if wanted else 0, steps, padded(channels)))
        of_first = inputs.new_zeros((slots, taps * channels, columns))
        of_second = inputs.new_zeros((slots, taps * width, columns))
        of_residual = inputs.new_zeros((slots, channels if residual_weight is not None else 0, columns))
        of_biases = inputs.new_zeros((slots, 3, columns))
        if residual_weight is not None:
            across = padded_rows(residual_weight[:, :, 0])  # (W, J)
        else:
            across = inputs.new_zeros((0, padded(channels)))
        backs = _reversed(first_weight), _reversed(second_weight), across
        given = of_outputs.contiguous(), inputs, outputs, inner, alive, *backs, *masks
        arrays = [part.numpy() for part in (*given, of_inputs, of_first, of_second, of_residual, of_biases)]
        _slices.run(partial(_convolutions.block_backward, *arrays, channels, width, taps, ctx.dilation), parts)
        biases = of_biases.sum(0)[:, :width]
        has_residual = residual_weight is not None
        return (
            None,
            of_inputs[..., :row] if wanted else None,
            _kernel(of_first, first_weight), biases[0],
            _kernel(of_second, second_weight), biases[1],
            _kernel(of_residual, residual_weight) if has_residual else None, biases[2] if has_residual else None,
            None, None, None,
        )  # fmt: skip


def _rows(weight: Tensor) -> Tensor:  # (O, C, k) -> (k·C, P)
    outputs, channels, taps = weight.shape
    rows = weight.new_empty((taps, channels, padded(outputs)))
    _convolutions.lay_out(weight.contiguous().numpy(), rows.numpy())
    return rows.flatten(0, 1)


def _reversed(weight: Tensor) -> Tensor:  # (O, C, k) -> (k·O, J), the last tap first
    outputs, channels, taps = weight.shape
    rows = weight.new_empty((taps, outputs, padded(channels)))
    _convolutions.lay_out_reversed(weight.contiguous().numpy(), rows.numpy())
    return rows.flatten(0, 1)


def _kernel(slots: Tensor, like: Tensor) -> Tensor:  # (slots, k·C, P) -> (O, C, k)
    _, channels, taps = like.shape
    weight = torch.empty_like(like, memory_format=torch.contiguous_format)
    _convolutions.take_back(slots.unflatten(1, (taps, channels)).numpy(), weight.numpy())
    return weight


def _mask(mask: Tensor | None, inputs: Tensor, width: int) -> Tensor:
    return padded_rows(mask) if mask is not None else inputs.new_zeros((len(inputs), 0, padded(width)))
