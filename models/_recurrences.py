"""A recurrent layer as one operation with its own gradient: faster on a CPU than torch's kernels, and equal to them.

The loops over time run in `_cells`, on slices of the batch side by side. What a layer multiplies with a wide matrix
and does not have to wait for, the inputs before the loop and the gradients of weights and inputs after it, are products
of torch over a piece of the sequence: a library that lays wide matrices out anew is faster at these than our kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import _cells, _slices
from ._layout import padded_rows
from ._products import padded

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True)
class Cell:
    """What tells one kind of layer from another: G gates, and what a step keeps for the backward pass, in vectors (W,).

    order: where the gradients of the input matrix's blocks of rows (W, C) stand among the gates' gradients; those of
    the recurrent matrix are the last G.
    cells: whether it has a second memory. apart: whether the recurrent product, with its bias, is needed by itself.
    marked: `cells` has no steps (see the kernels).
    """

    forward: Callable[..., None]
    backward: Callable[..., None]
    gates: int
    kept: int
    order: tuple[int, ...]
    cells: bool = False
    apart: bool = False
    marked: bool = False


WIDE = 1 << 18
"""Numbers of a recurrent matrix (G·W, W) from which a layer is wide: LSTM at W = 256, GRU at 296, RNN at 512."""
_PIECE = 4096
"""Rows, B in each step, of the products over a piece of a sequence: deep enough for a library's full speed."""

LSTM = Cell(_cells.lstm_forward, _cells.lstm_backward, gates=4, kept=4, order=(0, 1, 2, 3), cells=True)
GRU = Cell(_cells.gru_forward, _cells.gru_backward, gates=3, kept=4, order=(1, 2, 0), apart=True)
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
        taken = inputs, states, cells, kept
        if recurrent_weight.numel() >= WIDE:
            _forward_wide(cell, taken, input_weight, recurrent_weight, input_bias, recurrent_bias)
        else:
            weights = _transposed(input_weight), _transposed(recurrent_weight)
            biases = padded_rows(input_bias), padded_rows(recurrent_bias)
            _over_slices(batch, cell.forward, *taken, *weights, *biases, inputs.new_empty((0, 0, 0)))
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
        (_, batch, _), width = inputs.shape, states.shape[2]
        of_outputs = inputs.new_empty((0, 0, 0)) if of_outputs is None else of_outputs.contiguous()
        to_hidden = inputs.new_zeros((batch, padded(width)))
        if of_hidden is not None:
            to_hidden[:, :width] = of_hidden
        to_cells = inputs.new_zeros((batch, width))
        if of_memory is not None:
            to_cells += of_memory
        backward = _backward_wide if recurrent_weight.numel() >= WIDE else _backward_narrow
        of_inputs, of_input, of_recurrent, of_biases = backward(
            cell,
            (of_outputs, inputs, states, cells, kept),
            (_arranged(cell, input_weight), recurrent_weight),
            (to_hidden, to_cells),
            ctx.needs_input_grad[2],
        )
        rows = [slice(place * width, (place + 1) * width) for place in cell.order]
        return (
            None,
            None,
            of_inputs,
            to_hidden[:, :width].contiguous(),
            to_cells if cell.cells else None,
            torch.cat([of_input[part] for part in rows]),
            of_recurrent,
            torch.cat([of_biases[part] for part in rows]),
            of_biases[(cell.kept - cell.gates) * width : cell.kept * width].clone(),
        )


def _backward_narrow(
    cell: Cell, given: Tensors, weights: Tensors, memories: Tensors, wanted: bool
) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
    """Gradients of inputs (T, B, C), where wanted, of both matrices and of the gates' biases (S·W padded,).

    given: what the loops read, see `_cells`. weights: input matrix (G·W, C), arranged as the gates' gradients are, and
    recurrent matrix (G·W, W). memories: to_hidden (B, W padded) and to_cells (B, W), in which the loop leaves what goes
    to before the sequence. The gradient of the input matrix is arranged like it.
    """
    inputs, (input_weight, recurrent_weight) = given[1], weights
    (steps, batch, channels), (rows, width) = inputs.shape, recurrent_weight.shape
    slots, columns = len(_slices.slices(batch)), padded(rows)
    of_inputs = inputs.new_zeros((steps if wanted else 0, batch, padded(channels)))
    of_input, of_recurrent = inputs.new_zeros((slots, channels, columns)), inputs.new_zeros((slots, width, columns))
    of_biases = inputs.new_zeros((slots, padded(cell.kept * width)))
    left = inputs.new_empty((0, batch, padded(cell.kept * width)))
    taken = *memories, of_inputs, of_input, of_recurrent, of_biases, left
    _over_slices(batch, cell.backward, *given, padded_rows(input_weight), padded_rows(recurrent_weight), *taken)
    return (
        of_inputs[..., :channels] if wanted else None,
        _total(of_input)[:, :rows].t(),
        _total(of_recurrent)[:, :rows].t().contiguous(),
        _total(of_biases),
    )


def _forward_wide(
    cell: Cell,
    taken: Tensors,
    input_weight: Tensor,
    recurrent_weight: Tensor,
    input_bias: Tensor,
    recurrent_bias: Tensor,
) -> None:
    """The loop forwards over one piece of the sequence after the other: fills what is taken, see `_cells`."""
    inputs, rows = taken[0], len(recurrent_weight)
    (steps, batch, channels), no_matrix = inputs.shape, inputs.new_empty((0, 0))
    input_weight, recurrent_columns = padded_rows(input_weight), _transposed(recurrent_weight)
    bias = input_bias if cell.apart else input_bias + recurrent_bias
    biases = padded_rows(recurrent_bias), padded_rows(recurrent_bias)  # the first is not looked at
    room = inputs.new_empty((min(steps, _steps_of_a_piece(batch)), batch, padded(rows)))
    for first, end in _pieces(steps, batch):
        begun = room[: end - first]
        below = padded_rows(inputs[first:end].view(-1, channels))  # see `_backward_wide`
        torch.addmm(bias, below, input_weight.t(), out=begun.view(-1, padded(rows))[:, :rows])
        _over_slices(
            batch, cell.forward, *_piece(cell, taken, first, end), no_matrix, recurrent_columns, *biases, begun
        )


def _backward_wide(
    cell: Cell, given: Tensors, weights: Tensors, memories: Tensors, wanted: bool
) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
    """As `_backward_narrow`, over one piece of the sequence after the other, the last first.

    Rows that are multiplied are padded: MKL is a third slower where they are no multiple of 16 numbers.
    """
    inputs, states, (input_weight, recurrent_weight) = given[1], given[2], weights
    (steps, batch, channels), (rows, width) = inputs.shape, recurrent_weight.shape
    input_weight, recurrent_weight = padded_rows(input_weight), padded_rows(recurrent_weight)
    of_inputs = inputs.new_empty((steps if wanted else 0, batch, padded(channels)))
    of_input, of_recurrent = torch.zeros_like(input_weight), torch.zeros_like(recurrent_weight)
    of_biases = inputs.new_zeros(padded(cell.kept * width))
    room = inputs.new_zeros((min(steps, _steps_of_a_piece(batch)), batch, len(of_biases)))
    no_matrix, none = inputs.new_empty((0, 0)), inputs.new_empty((0, 0, 0))
    unused = none, none, none, no_matrix  # of_inputs and the gradients at the slots
    for first, end in reversed(_pieces(steps, batch)):
        left, read = room[: end - first], _piece(cell, given, first, end)
        _over_slices(batch, cell.backward, *read, no_matrix, recurrent_weight, *memories, *unused, left)
        of_gates = left.view(-1, len(of_biases))
        to_input, to_recurrent = of_gates[:, :rows], of_gates[:, cell.kept * width - rows : cell.kept * width]
        of_input.addmm_(to_input.t(), padded_rows(inputs[first:end].view(-1, channels)))
        of_recurrent.addmm_(to_recurrent.t(), padded_rows(states[first:end].view(-1, width)))
        of_biases += of_gates.sum(0)
        if wanted:
            torch.mm(to_input, input_weight, out=of_inputs[first:end].view(-1, padded(channels)))
    return (
        of_inputs[..., :channels] if wanted else None,
        of_input[:, :channels],
        of_recurrent[:, :width].contiguous(),
        of_biases,
    )


def _steps_of_a_piece(batch: int) -> int:
    return max(1, _PIECE // batch)


def _pieces(steps: int, batch: int) -> list[tuple[int, int]]:
    """First step, and the one after the last, of the pieces of a sequence."""
    size = _steps_of_a_piece(batch)
    return [(first, min(first + size, steps)) for first in range(0, steps, size)]


def _piece(cell: Cell, read: Tensors, first: int, end: int) -> list[Tensor]:
    """What a loop reads of steps first … end-1; states and cells also before the first."""
    *of_outputs, inputs, states, cells, kept = read
    memory = cells[first : end + 1] if cell.cells else cells
    parts = [part[first:end] for part in (*of_outputs, inputs)]
    return [*parts, states[first : end + 1], memory, kept[first:end]]


def _over_slices(batch: int, kernel: Callable[..., None], *given: Tensor) -> None:
    """Calls a kernel of `_cells` with these arrays, on slices of the batch side by side."""
    _slices.run(partial(kernel, *(part.numpy() for part in given)), _slices.slices(batch))


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
