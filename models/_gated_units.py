"""What stands between the matrices of a gated MLP, silu(g) ⊙ u, as one operation with its own gradient, on a CPU."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import _slices
from ._activations import sigmoids
from ._compiling import kernel


def silu_gated(gates_and_ups: Tensor) -> Tensor:
    """silu(g) ⊙ u (…, I) of [g, u] (…, 2I), on the CPU, float32 or float64. Differentiable once."""
    rows = gates_and_ups.reshape(-1, gates_and_ups.shape[-1]).contiguous()
    outputs: Tensor = _SiluGated.apply(rows)
    return outputs.view(*gates_and_ups.shape[:-1], -1)


class _SiluGated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        outputs = rows.new_empty((len(rows), rows.shape[1] // 2))
        _over_rows(forward_kernel, rows, outputs)
        ctx.save_for_backward(rows)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_outputs: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        of_rows = torch.empty_like(rows)
        _over_rows(backward_kernel, rows, of_outputs.contiguous(), of_rows)
        return of_rows


def _over_rows(function: Any, *tensors: Tensor) -> None:
    arrays = (tensor.detach().numpy() for tensor in tensors)
    _slices.run(partial(function, *arrays), _slices.slices(len(tensors[0]), 1))


@kernel
def forward_kernel(rows, outputs, first, end, slot):
    """Fills outputs (N, I) of rows (N, 2I), first … end-1."""
    inner = outputs.shape[1]
    opened = np.empty(inner, rows.dtype)
    for place in range(first, end):
        gate, up, y = rows[place, :inner], rows[place, inner:], outputs[place]
        for j in range(inner):
            opened[j] = gate[j]
        sigmoids(opened, 0, inner)
        for j in range(inner):
            y[j] = gate[j] * opened[j] * up[j]


@kernel
def backward_kernel(rows, of_outputs, of_rows, first, end, slot):
    """Fills of_rows (N, 2I), of rows first … end-1."""
    inner, one = of_outputs.shape[1], rows.dtype.type(1)
    opened = np.empty(inner, rows.dtype)
    for place in range(first, end):
        gate, up, of_y = rows[place, :inner], rows[place, inner:], of_outputs[place]
        of_gate, of_up = of_rows[place, :inner], of_rows[place, inner:]
        for j in range(inner):
            opened[j] = gate[j]
        sigmoids(opened, 0, inner)
        for j in range(inner):
            of_up[j] = of_y[j] * gate[j] * opened[j]
            of_gate[j] = of_y[j] * up[j] * opened[j] * (one + gate[j] * (one - opened[j]))
