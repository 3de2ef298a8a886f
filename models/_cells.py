"""The loops over time of RNN, LSTM and GRU for Numba, on a slice of a batch, forwards and backwards.

All arrays are time-major, contiguous and of one floating type. Of a layer with G gates, B sequences, T steps:
inputs (T, B, C); hidden (T+1, B, W) with the state before step t at t; cells the same for an LSTM, else not looked
at; kept (T, B, S·W): what the backward pass needs of the gates, or no steps where there will be none.
input_weight (C, P) and recurrent_weight (W, P) are transposed and padded with zeros to P columns, biases (P,) too.
begun (T, B, P): sums in which the bias and the inputs' product are already, both biases but for a GRU; inputs, their
matrix and bias are then not looked at. Or no steps, and the loop begins them itself.

The backward loops go from the last step to the first. of_outputs (T, B, W): the gradient of the hidden states, or
(0, 0, 0) for none. recurrent_weight (G·W, Q) is here as torch keeps it, padded to Q columns, and input_weight
(G·W, J) likewise. to_hidden (B, Q), to_cells (B, W): the gradient that comes from what follows; at the end they hold
what goes to what came before. of_inputs (T, B, J), or no steps where it is not wanted. Each slice of the batch adds
the gradients of the weights at its own slot: of_input_weight (slots, C, P), of_recurrent_weight (slots, W, P),
of_bias (slots, S·W padded). Or `left` (T, B, S·W padded) takes the gates' gradients, and the caller makes those of
inputs, weights and biases of them; input_weight is then not looked at. Else it has no steps.
"""

from __future__ import annotations

import numpy as np

from ._activations import sigmoids, tanhs
from ._cell_products import add_given, add_product, collect, fill_rows, room_ahead, room_behind, sums_of, to_before
from ._compiling import kernel


@kernel
def lstm_forward(
    inputs, hidden, cells, kept, input_weight, recurrent_weight, input_bias, recurrent_bias, begun, first, end, slot,
):  # fmt: skip
    """Fills hidden[1:], cells[1:] and kept (input gate, forget gate, candidate, output gate) of first … end-1."""
    steps, batch, _ = inputs.shape
    width, columns, rows = hidden.shape[2], recurrent_weight.shape[1], end - first
    ahead = room_ahead(rows, columns, inputs, begun)
    bias = input_bias + recurrent_bias
    keeps = 1 if kept.shape[0] == steps else 0
    for t in range(steps):
        gates = sums_of(begun, ahead, inputs, t, first, end, input_weight, bias, 4 * width)
        add_product(gates, hidden, t * batch + first, recurrent_weight, 4 * width)
        for row in range(rows):
            gate, before = gates[row], cells[t, first + row]
            cell, state = cells[t + 1, first + row], hidden[t + 1, first + row]
            sigmoids(gate, 0, 2 * width)
            tanhs(gate, 2 * width, 3 * width)
            sigmoids(gate, 3 * width, 4 * width)
            write, keep = gate[:width], gate[width : 2 * width]
            candidate, show = gate[2 * width : 3 * width], gate[3 * width : 4 * width]
            for j in range(width):
                cell[j] = keep[j] * before[j] + write[j] * candidate[j]
                state[j] = cell[j]
            tanhs(state, 0, width)
            for j in range(width):
                state[j] *= show[j]
            if keeps:
                record = kept[t, first + row]
                for j in range(4 * width):
                    record[j] = gate[j]


@kernel
def lstm_backward(
    of_outputs, inputs, hidden, cells, kept, input_weight, recurrent_weight, to_hidden, to_cells, of_inputs,
    of_input_weight, of_recurrent_weight, of_bias, left, first, end, slot,
):  # fmt: skip
    """Gradients of input gate, forget gate, candidate and output gate, in this order."""
    steps, width, rows, row_size = inputs.shape[0], hidden.shape[2], end - first, left.shape[2]
    of_gates, held, leaves = room_behind(rows, row_size, hidden, left), 0, left.shape[0] > 0
    squashed, one = np.zeros(width, hidden.dtype), hidden.dtype.type(1)  # a plain 1 would make float64 of float32
    for t in range(steps - 1, -1, -1):
        held += 1
        now = of_gates.shape[0] - held  # the piece is filled from its end, so that its steps ascend
        of_step = left[t, first:end] if leaves else of_gates[now]
        add_given(of_outputs, t, to_hidden, first, end)
        for row in range(first, end):
            upper, lower = of_step[row - first], kept[t, row]
            write, keep = lower[:width], lower[width : 2 * width]
            candidate, show = lower[2 * width : 3 * width], lower[3 * width :]
            of_write, of_keep = upper[:width], upper[width : 2 * width]
            of_candidate, of_show = upper[2 * width : 3 * width], upper[3 * width : 4 * width]
            cell, before, of_state, of_cell = cells[t + 1, row], cells[t, row], to_hidden[row], to_cells[row]
            for j in range(width):
                squashed[j] = cell[j]
            tanhs(squashed, 0, width)
            for j in range(width):
                of_cell[j] += of_state[j] * show[j] * (one - squashed[j] * squashed[j])
                of_show[j] = of_state[j] * squashed[j] * show[j] * (one - show[j])
            for j in range(width):
                of_write[j] = of_cell[j] * candidate[j] * write[j] * (one - write[j])
                of_candidate[j] = of_cell[j] * write[j] * (one - candidate[j] * candidate[j])
            for j in range(width):
                of_keep[j] = of_cell[j] * before[j] * keep[j] * (one - keep[j])
                of_cell[j] *= keep[j]
            for j in range(of_state.size):
                of_state[j] = 0
        to_before(to_hidden, of_step, 0, recurrent_weight, first)
        if not leaves and (held == of_gates.shape[0] or t == 0):
            collect(of_gates[now:], inputs, hidden, input_weight, of_inputs, of_input_weight[slot],
                     of_recurrent_weight[slot], of_bias[slot], 0, 0, 4 * width, t, first)  # fmt: skip
            held = 0


@kernel
def gru_forward(
    inputs, hidden, cells, kept, input_weight, recurrent_weight, input_bias, recurrent_bias, begun, first, end, slot,
):  # fmt: skip
    """Fills hidden[1:] and kept (reset gate, update gate, candidate, and what the reset gate was multiplied with)."""
    steps, batch, _ = inputs.shape
    width, columns, rows = hidden.shape[2], recurrent_weight.shape[1], end - first
    ahead, recurrent = room_ahead(rows, columns, inputs, begun), np.zeros((rows, columns), inputs.dtype)
    one = hidden.dtype.type(1)  # a plain 1 would make float64 of float32
    keeps = 1 if kept.shape[0] == steps else 0
    for t in range(steps):
        gates = sums_of(begun, ahead, inputs, t, first, end, input_weight, input_bias, 3 * width)
        fill_rows(recurrent, recurrent_bias)
        add_product(recurrent, hidden, t * batch + first, recurrent_weight, 3 * width)
        for row in range(rows):
            gate, before, state = gates[row], hidden[t, first + row], hidden[t + 1, first + row]
            more = recurrent[row, : 2 * width]
            for j in range(more.size):
                gate[j] += more[j]
            sigmoids(gate, 0, 2 * width)
            reset, update, candidate = gate[:width], gate[width : 2 * width], gate[2 * width : 3 * width]
            past = recurrent[row, 2 * width : 3 * width]
            for j in range(width):
                candidate[j] += reset[j] * past[j]
            tanhs(candidate, 0, width)
            for j in range(width):
                state[j] = (one - update[j]) * candidate[j] + update[j] * before[j]
            if keeps:
                record = kept[t, first + row]
                for j in range(3 * width):
                    record[j] = gate[j]
                record = record[3 * width :]
                for j in range(width):
                    record[j] = past[j]


@kernel
def gru_backward(
    of_outputs, inputs, hidden, cells, kept, input_weight, recurrent_weight, to_hidden, to_cells, of_inputs,
    of_input_weight, of_recurrent_weight, of_bias, left, first, end, slot,
):  # fmt: skip
    """Gradients of candidate, reset gate, update gate, and of what the reset gate is multiplied with, in this order."""
    steps, width, rows, row_size = inputs.shape[0], hidden.shape[2], end - first, left.shape[2]
    of_gates, held, leaves = room_behind(rows, row_size, hidden, left), 0, left.shape[0] > 0
    one = hidden.dtype.type(1)
    for t in range(steps - 1, -1, -1):
        held += 1
        now = of_gates.shape[0] - held  # the piece is filled from its end, so that its steps ascend
        of_step = left[t, first:end] if leaves else of_gates[now]
        add_given(of_outputs, t, to_hidden, first, end)
        for row in range(first, end):
            upper, lower = of_step[row - first], kept[t, row]
            reset, update = lower[:width], lower[width : 2 * width]
            candidate, past = lower[2 * width : 3 * width], lower[3 * width :]
            of_candidate, of_reset = upper[:width], upper[width : 2 * width]
            of_update, of_past = upper[2 * width : 3 * width], upper[3 * width : 4 * width]
            before, of_state = hidden[t, row], to_hidden[row]
            for j in range(width):
                of_update[j] = of_state[j] * (before[j] - candidate[j]) * update[j] * (one - update[j])
                of_candidate[j] = of_state[j] * (one - update[j]) * (one - candidate[j] * candidate[j])
            for j in range(width):
                of_past[j] = of_candidate[j] * reset[j]
                of_reset[j] = of_candidate[j] * past[j] * reset[j] * (one - reset[j])
            for j in range(width):
                of_state[j] *= update[j]
        to_before(to_hidden, of_step, width, recurrent_weight, first)
        if not leaves and (held == of_gates.shape[0] or t == 0):
            collect(of_gates[now:], inputs, hidden, input_weight, of_inputs, of_input_weight[slot],
                     of_recurrent_weight[slot], of_bias[slot], 0, width, 3 * width, t, first)  # fmt: skip
            held = 0


@kernel
def rnn_forward(
    inputs, hidden, cells, kept, input_weight, recurrent_weight, input_bias, recurrent_bias, begun, first, end, slot,
):  # fmt: skip
    """Fills hidden[1:] of a network with tanh; of one with relu where `cells` has no steps."""
    steps, batch, _ = inputs.shape
    width, columns, rows = hidden.shape[2], recurrent_weight.shape[1], end - first
    ahead = room_ahead(rows, columns, inputs, begun)
    bias, zero = input_bias + recurrent_bias, hidden.dtype.type(0)
    relu = cells.shape[0] == 0
    for t in range(steps):
        sums = sums_of(begun, ahead, inputs, t, first, end, input_weight, bias, width)
        add_product(sums, hidden, t * batch + first, recurrent_weight, width)
        for row in range(rows):
            total, state = sums[row], hidden[t + 1, first + row]
            if relu:
                for j in range(width):
                    state[j] = zero if total[j] < zero else total[j]  # a NaN comes through
            else:
                tanhs(total, 0, width)
                for j in range(width):
                    state[j] = total[j]


@kernel
def rnn_backward(
    of_outputs, inputs, hidden, cells, kept, input_weight, recurrent_weight, to_hidden, to_cells, of_inputs,
    of_input_weight, of_recurrent_weight, of_bias, left, first, end, slot,
):  # fmt: skip
    """Gradients of what goes into tanh, or into relu where `cells` has no steps."""
    steps, width, rows, row_size = inputs.shape[0], hidden.shape[2], end - first, left.shape[2]
    of_gates, held, leaves = room_behind(rows, row_size, hidden, left), 0, left.shape[0] > 0
    one, zero = hidden.dtype.type(1), hidden.dtype.type(0)
    relu = cells.shape[0] == 0
    for t in range(steps - 1, -1, -1):
        held += 1
        now = of_gates.shape[0] - held  # the piece is filled from its end, so that its steps ascend
        of_step = left[t, first:end] if leaves else of_gates[now]
        add_given(of_outputs, t, to_hidden, first, end)
        for row in range(first, end):
            upper, state, of_state = of_step[row - first], hidden[t + 1, row], to_hidden[row]
            for j in range(width):
                slope = (one if state[j] > zero else zero) if relu else one - state[j] * state[j]
                upper[j] = of_state[j] * slope
            for j in range(of_state.size):
                of_state[j] = zero
        to_before(to_hidden, of_step, 0, recurrent_weight, first)
        if not leaves and (held == of_gates.shape[0] or t == 0):
            collect(of_gates[now:], inputs, hidden, input_weight, of_inputs, of_input_weight[slot],
                     of_recurrent_weight[slot], of_bias[slot], 0, 0, 1 * width, t, first)  # fmt: skip
            held = 0
