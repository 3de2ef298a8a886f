"""A recurrent layer as one operation with its own gradient: faster on a CPU than torch's kernels, and equal to them.

The loops over time run in `_cells`, on slices of the batch side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from . import _cells, _slices
from ._products import padded


@dataclass(frozen=True)
class Cell:
    """What tells one kind of layer from another: G gates, and what a step keeps for the backward pass, in vectors (W,).

    order: where the gradients of the input matrix's blocks of rows (W, C) stand among the gates' gradients.
    cells: whether it has a second memory. marked: `cells` has no steps (see the kernels).
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    gates: int
    kept: int
    order: tuple[int, ...]
    cells: bool = False
    marked: bool = False


LSTM = Cell(_cells.lstm_forward, _cells.lstm_backward, gates=4, kept=4, order=(0, 1, 2, 3), cells=True)
GRU = Cell(_cells.gru_forward, _cells.gru_backward, gates=3, kept=4, order=(1, 2, 0))
RNN_TANH = Cell(_cells.rnn_forward, _cells.rnn_backward, gates=1, kept=1, order=(0,))
RNN_RELU = Cell(_cells.rnn_forward, _cells.rnn_backward, gates=1, kept=1, order=(0,), marked=True)


def recurrence(
    cell: Cell, inputs: Tensor, hidden: Tensor, memory: Tensor | None, weights: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """One layer over a piece of sequences: hidden states (B, T, W) of inputs (B, T, C), and what it then remembers.

    hidden (B, W) and memory (B, W), for an LSTM: the state before. weights: of a one-layer `torch.nn` cell, in its
    order. All on the CPU and of one type, float32 or float64. Differentiable once.
    """
    steps_first = inputs.transpose(0, 1).contiguous()  # (T, B, C)
    keeps = torch.is_grad_enabled()
    outputs, hidden, *memories = _Recurrence.apply(cell, keeps, steps_first, hidden, memory, *weights)
    return outputs.transpose(0, 1), hidden, memories[0] if memories else None


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: Cell,
        keeps: bool,
        inputs: Tensor,  # (T, B, C)
        hidden: Tensor,  # (B, W)
        memory: Tensor | None,  # (B, W)
        input_weight: Tensor,  # (G·W, C)
        recurrent_weight: Tensor,  # (G·W, W)
        input_bias: Tensor,  # (G·W,)
        recurrent_bias: Tensor,  # (G·W,)
    ) -> tuple[Tensor, ...]:
        (steps, batch, _), width = inputs.shape, hidden.shape[1]
        states = _from(hidden, steps)
        cells = _from(memory, steps) if memory is not None else inputs.new_empty((0 if cell.marked else 1, 0, 0))
        kept = inputs.new_empty((steps if keeps and cell.kept > 1 else 0, batch, cell.kept * width))
        weights = _transposed(input_weight), _transposed(recurrent_weight)
        biases = _padded(input_bias), _padded(recurrent_bias)
        arrays = [part.numpy() for part in (inputs, states, cells, kept, *weights, *biases)]
        _slices.run(partial(cell.forward, *arrays), _slices.slices(batch))
        ctx.cell = cell
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(inputs, states, cells, kept, input_weight, recurrent_weight)
        last = states[-1].clone()
        return (states[1:], last, cells[-1].clone()) if cell.cells else (states[1:], last)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_outputs: Tensor | None, of_hidden: Tensor | None, of_memory: Tensor | None = None
    ) -> tuple[Tensor | None, ...]:
        cell: Cell = ctx.cell
        inputs, states, cells, kept, input_weight, recurrent_weight = ctx.saved_tensors
        (steps, batch, channels), width = inputs.shape, states.shape[2]
        parts = _slices.slices(batch)
        of_outputs = inputs.new_empty((0, 0, 0)) if of_outputs is None else of_outputs.contiguous()
        to_hidden = inputs.new_zeros((batch, padded(width)))
        if of_hidden is not None:
            to_hidden[:, :width] = of_hidden
        to_cells = inputs.new_zeros((batch, width))
        if of_memory is not None:
            to_cells += of_memory
        wanted = ctx.needs_input_grad[2]
        of_inputs = inputs.new_zeros((steps if wanted else 0, batch, padded(channels)))
        columns = padded(cell.gates * width)
        of_input_weight = inputs.new_zeros((len(parts), channels, columns))
        of_recurrent_weight = inputs.new_zeros((len(parts), width, columns))
        of_bias = inputs.new_zeros((len(parts), padded(cell.kept * width)))
        given = [
            of_outputs,
            inputs,
            states,
            cells,
            kept,
            _padded(_arranged(cell, input_weight)),
            _padded(recurrent_weight),
        ]
        taken = to_hidden, to_cells, of_inputs, of_input_weight, of_recurrent_weight, of_bias
        _slices.run(partial(cell.backward, *(part.numpy() for part in (*given, *taken))), parts)
        given.clear()  # matrices of a wide layer: what is held here adds to the most that a step holds
        rows = [slice(place * width, (place + 1) * width) for place in cell.order]
        of_input, of_input_bias = _total(of_input_weight), _total(of_bias)
        of_recurrent_bias = of_input_bias[(cell.kept - cell.gates) * width : cell.kept * width].clone()
        return (
            None,
            None,
            of_inputs[..., :channels] if wanted else None,
            to_hidden[:, :width].contiguous(),
            to_cells if cell.cells else None,
            torch.cat([of_input[:, part].t() for part in rows]),
            _total(of_recurrent_weight)[:, : cell.gates * width].t().contiguous(),
            torch.cat([of_input_bias[part] for part in rows]),
            of_recurrent_bias,
        )


def _arranged(cell: Cell, weight: Tensor) -> Tensor:  # (G·W, C)
    """The blocks of rows of an input matrix in the order of the gates' gradients."""
    if cell.order == tuple(range(cell.gates)):
        return weight
    blocks = weight.chunk(cell.gates)
    return torch.cat([blocks[cell.order.index(place)] for place in range(cell.gates)])


def _from(state: Tensor, steps: int) -> Tensor:
    """Room for the states before and after every step, (T+1, B, W), with the first of them."""
    states = state.new_empty((steps + 1, *state.shape))
    states[0] = state
    return states


def _total(slots: Tensor) -> Tensor:
    """The sum over slices of the batch, which stands in the place of the first from then on: once for each."""
    for slot in slots[1:]:
        slots[0] += slot
    return slots[0]


def _transposed(weight: Tensor) -> Tensor:  # (G·W, C) -> (C, P), padded with zeros
    columns = weight.shape[0]
    result = weight.new_zeros((weight.shape[1], padded(columns)))
    result[:, :columns] = weight.t()
    return result


def _padded(weight: Tensor) -> Tensor:  # (…, N) -> (…, padded N); itself where nothing is to be added
    more = padded(weight.shape[-1]) - weight.shape[-1]
    return F.pad(weight, (0, more)) if more else weight.contiguous()
