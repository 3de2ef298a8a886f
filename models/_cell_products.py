"""What the loops over time in `_cells` share: products of one step or of a few, and the room for them.

Arrays and names are those of `_cells`.
"""

from __future__ import annotations

import numpy as np

from ._compiling import kernel
from ._products import multiply_add


@kernel
def fill_rows(out, bias):
    """Every row of out (rows, P) becomes the bias (P,)."""
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            out[row, column] = bias[column]


@kernel
def add_product(sums, values, begin, weight, outputs):
    """Adds to `outputs` columns of sums (rows, P) the product of values (…, K), from row `begin`, and weight (K, P)."""
    (rows, columns), depth = sums.shape, weight.shape[0]
    multiply_add(sums.reshape(-1), 0, columns, values.reshape(-1), begin * depth, depth, 1, 0,
                 weight.reshape(-1), 0, columns, 1, depth, rows, outputs)  # fmt: skip


@kernel
def room_ahead(rows, columns, like, begun):
    """Room (N, rows, P) for the sums of N steps that begin with the products of their inputs, see `_begin_ahead`.

    No room where all of them have begun.
    """
    return np.zeros((max(1, 64 // rows) if begun.shape[0] == 0 else 0, rows, columns), like.dtype)


@kernel
def _begin_ahead(ahead, inputs, t, first, weight, bias, outputs):
    """Begins the sums ahead (N, rows, P) of steps t … t+N-1: the bias, and the product of inputs and weight (C, P).

    What goes into a step from below does not wait for the step before; together their product has rows enough to
    read the weight once for eight of them.
    """
    (steps, batch, channels), rows, columns = inputs.shape, ahead.shape[1], ahead.shape[2]
    now = min(ahead.shape[0], steps - t)
    sums = ahead[:now].reshape(now * rows, columns)
    fill_rows(sums, bias)
    shown, begin = inputs.reshape(steps * batch, channels), t * batch
    if rows < batch:  # a slice's rows of two steps do not follow each other
        whole, begin = shown, 0
        shown = np.empty((now * rows, channels), inputs.dtype)
        for n in range(now):
            for row in range(rows):
                shown[n * rows + row] = whole[(t + n) * batch + first + row]
    add_product(sums, shown, begin, weight, outputs)


@kernel
def sums_of(begun, ahead, inputs, t, first, end, weight, bias, outputs):
    """The sums (rows, P) of step t with bias and inputs' product: of `begun`, else of `ahead`, begun every N steps."""
    if begun.shape[0] > 0:
        return begun[t, first:end]
    n = t % ahead.shape[0]
    if n == 0:
        _begin_ahead(ahead, inputs, t, first, weight, bias, outputs)
    return ahead[n]


@kernel
def room_behind(rows, columns, like, left):
    """Room (N, rows, columns) for the gates' gradients of N steps: the products that collect them want depth.

    No room where they are left for the caller.
    """
    return np.zeros((max(1, 256 // rows) if left.shape[0] == 0 else 0, rows, columns), like.dtype)


@kernel
def add_given(of_outputs, t, to_hidden, first, end):
    """Adds the gradient of the hidden states of step t, where there is one, to that which comes from what follows."""
    width = of_outputs.shape[2]
    for row in range(first, end if of_outputs.shape[0] > 0 else first):
        more, of_state = of_outputs[t, row], to_hidden[row]
        for j in range(width):
            of_state[j] += more[j]


@kernel
def to_before(to_hidden, of_gates, part, recurrent_weight, first):
    """Adds to to_hidden (B, Q) from row `first` what of_gates (rows, S·W padded), from column `part`, says of it."""
    (rows, row_size), (depth, across) = of_gates.shape, recurrent_weight.shape
    multiply_add(to_hidden.reshape(-1), first * across, across, of_gates.reshape(-1), part, row_size, 1, 0,
                 recurrent_weight.reshape(-1), 0, across, 1, depth, rows, across)  # fmt: skip


@kernel
def collect(
    of_gates, inputs, hidden, input_weight, of_inputs, of_input_weight, of_recurrent_weight, of_bias,
    input_part, recurrent_part, columns, start, first,
):  # fmt: skip
    """Adds what of_gates (N, rows, S·W padded) of steps start … start+N-1 says of inputs and weights.

    Of its columns those of the input matrix begin at `input_part`, those of the recurrent one at `recurrent_part`.
    """
    steps, rows, row = of_gates.shape
    batch, channels, width, across = inputs.shape[1], inputs.shape[2], hidden.shape[2], of_input_weight.shape[1]
    of_all, x, h = of_gates.reshape(-1), inputs.reshape(-1), hidden.reshape(-1)
    to_input, to_recurrent, begin = of_input_weight.reshape(-1), of_recurrent_weight.reshape(-1), start * batch + first
    multiply_add(to_recurrent, 0, across, h, begin * width, 1, width, batch * width,
                 of_all, recurrent_part, row, steps, rows, width, columns)  # fmt: skip
    multiply_add(to_input, 0, across, x, begin * channels, 1, channels, batch * channels,
                 of_all, input_part, row, steps, rows, channels, columns)  # fmt: skip
    for n in range(steps):
        for sequence in range(rows):
            for column in range(row):
                of_bias[column] += of_gates[n, sequence, column]
    if of_inputs.shape[0] > 0:
        weight, back = input_weight.reshape(-1), input_weight.shape[1]
        below, begin = of_inputs.reshape(-1), begin * back
        if rows < batch:  # a slice's rows of two steps do not follow each other
            below, begin = np.zeros(steps * rows * back, of_inputs.dtype), 0
        multiply_add(below, begin, back, of_all, input_part, row, 1, 0,
                     weight, 0, back, 1, columns, steps * rows, channels)  # fmt: skip
        if rows < batch:
            for n in range(steps):
                for sequence in range(rows):
                    place = (n * rows + sequence) * back
                    of_inputs[start + n, first + sequence] = below[place : place + back]
