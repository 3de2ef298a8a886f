"""The loops of a TCN's block for Numba, one sequence after another, so that all of a sequence stays in the cache.

All arrays are contiguous and of one floating type. Of a block with kernel k, dilation d, from C to W channels: inputs
(B, T, I) with the channels in the first C places of I, outputs (B, T, P) with the W channels padded with zeros to P
(then every loop over numbers runs over whole vectors). Weights have a row for each tap and channel that goes in:
(k·C, P), (k·W, P), and (C, P) for the 1x1 on the residual, which has no rows where there is none.
Masks of dropout: (B, T, P) for elements, (B, 1, P) for channels, (B, 0, P) for none.
inner (B, T, P): the first convolution after ReLU and dropout. alive (B, T, P): whether the second one is above 0.
"""

from __future__ import annotations

import numpy as np

from ._compiling import kernel
from ._products import PADDING, multiply_add


@kernel
def lay_out(weight, rows):
    """rows (k, C, P) = weight (O, C, k) with the outputs last, zeros behind them."""
    taps, channels, columns = rows.shape
    outputs = weight.shape[0]
    for first in range(0, columns, PADDING):  # so many lines of both stay in the cache
        for channel in range(channels):
            for tap in range(taps):
                row = rows[tap, channel]
                for output in range(first, min(first + PADDING, outputs)):
                    row[output] = weight[output, channel, tap]
                row[max(first, outputs) : first + PADDING] = 0


@kernel
def lay_out_reversed(weight, rows):
    """rows (k, O, J) = weight (O, C, k) with the channels last, zeros behind them, and the last tap first."""
    taps, outputs, _ = rows.shape
    channels = weight.shape[1]
    for output in range(outputs):
        given = weight[output]
        for tap in range(taps):
            row = rows[taps - 1 - tap, output]
            for channel in range(channels):
                row[channel] = given[channel, tap]
            row[channels:] = 0


@kernel
def take_back(rows, weight):
    """weight (O, C, k) = Σ_s rows (S, k, C, P), the sum over slices of the batch: what `lay_out` laid."""
    slots, taps, channels, _ = rows.shape
    outputs = weight.shape[0]
    for first in range(0, outputs, PADDING):
        for channel in range(channels):
            for tap in range(taps):
                for output in range(first, min(first + PADDING, outputs)):
                    total = rows[0, tap, channel, output]
                    for slot in range(1, slots):
                        total += rows[slot, tap, channel, output]
                    weight[output, channel, tap] = total


@kernel
def _convolve(out, columns, x, i, channels, row, weight, taps, dilation, steps, outputs):
    """out (T, columns) += the causal convolution of the `channels` of x from place i on, `row` numbers a step.

    A step before the first is never read: the earliest steps have fewer taps.
    """
    segment = 0
    while segment * dilation < steps:
        begin, skipped = segment * dilation, max(0, taps - 1 - segment)
        end = steps if skipped == 0 else min(steps, begin + dilation)
        at = i + (begin - (taps - 1 - skipped) * dilation) * row
        multiply_add(out, begin * columns, columns, x, at, row, 1, dilation * row,
                     weight, skipped * channels * columns, columns,
                     taps - skipped, channels, end - begin, outputs)  # fmt: skip
        if skipped == 0:
            return
        segment += 1


@kernel
def _convolve_back(out, columns, y, channels, row, weight, taps, dilation, steps, outputs):
    """out (T, columns) += the transposed convolution of y (T, row): what later steps say of this one.

    weight: the taps' matrices in reverse order, each transposed, (k·channels, columns).
    """
    segment = 0
    while segment * dilation < steps:
        used = min(taps, segment + 1)
        end = steps - segment * dilation
        begin = 0 if used == taps else max(0, end - dilation)
        multiply_add(out, begin * columns, columns, y, begin * row, row, 1, dilation * row,
                     weight, 0, columns, used, channels, end - begin, outputs)  # fmt: skip
        if used == taps:
            return
        segment += 1


@kernel
def _add_weight_gradient(of_weight, columns, x, i, channels, row, y, taps, dilation, steps, outputs):
    """of_weight (k·channels, columns) += Σ_t x[t - (k-1-tap)·d] y[t]ᵀ for y (T, columns)."""
    for tap in range(taps):
        shift = (taps - 1 - tap) * dilation
        if shift < steps:
            multiply_add(of_weight, tap * channels * columns, columns, x, i, 1, row, 0,
                         y, shift * columns, columns, 1, steps - shift, channels, outputs)  # fmt: skip


@kernel
def _fill(out, row):
    """Every row of out (T, P) becomes `row` (P,)."""
    for t in range(out.shape[0]):
        values = out[t]
        for column in range(row.size):
            values[column] = row[column]


@kernel
def _add_rows(out, values):
    """out (P,) += the rows of values (T, P)."""
    for t in range(values.shape[0]):
        row = values[t]
        for column in range(out.size):
            out[column] += row[column]


@kernel
def _mask(values, mask, sequence):
    """values (T, P) times what the mask says of the sequence."""
    for t in range(values.shape[0] if mask.shape[1] > 0 else 0):
        row, numbers = mask[sequence, t if mask.shape[1] > 1 else 0], values[t]
        for column in range(row.size):
            numbers[column] *= row[column]


@kernel
def block_forward(
    inputs, outputs, inner, alive, first_weight, second_weight, residual_weight, first_bias, second_bias,
    residual_bias, first_mask, second_mask, channels, width, taps, dilation, begin, end, slot,
):  # fmt: skip
    """Fills outputs, inner and alive of begin … end-1; of the latter two place `slot` where they have no batch."""
    _, steps, row = inputs.shape
    columns, keeps, widens = outputs.shape[2], inner.shape[0] == inputs.shape[0], residual_weight.shape[0] > 0
    zero = inputs.dtype.type(0)
    wide = np.empty((steps if widens else 0, columns), inputs.dtype)
    x, h, across = inputs.reshape(-1), inner.reshape(-1), residual_weight.reshape(-1)
    first, second = first_weight.reshape(-1), second_weight.reshape(-1)
    for sequence in range(begin, end):
        place = sequence if keeps else slot
        hidden, above, out = inner[place].reshape(-1), alive[place].reshape(-1), outputs[sequence].reshape(-1)
        at = sequence * steps * row
        _fill(inner[place], first_bias)
        _convolve(hidden, columns, x, at, channels, row, first, taps, dilation, steps, width)
        for n in range(hidden.size):
            hidden[n] = zero if hidden[n] < zero else hidden[n]  # a NaN comes through
        _mask(inner[place], first_mask, sequence)
        _fill(outputs[sequence], second_bias)
        _convolve(out, columns, h, place * steps * columns, width, columns, second, taps, dilation, steps, width)
        for n in range(out.size):
            above[n] = out[n] > zero
            out[n] = zero if out[n] < zero else out[n]
        _mask(outputs[sequence], second_mask, sequence)
        if widens:
            residual = wide.reshape(-1)
            _fill(wide, residual_bias)
            multiply_add(residual, 0, columns, x, at, row, 1, 0, across, 0, columns, 1, channels, steps, width)
        else:
            residual = inputs[sequence].reshape(-1)
        for n in range(out.size):
            value = out[n] + residual[n]
            out[n] = zero if value < zero else value


@kernel
def block_backward(
    of_outputs, inputs, outputs, inner, alive, first_back, second_back, residual_back, first_mask, second_mask,
    of_inputs, of_first, of_second, of_residual, of_biases, channels, width, taps, dilation, begin, end, slot,
):  # fmt: skip
    """Gradients of sequences begin … end-1: of_inputs (B, T, J) if it has sequences, the others added at `slot`.

    *_back: the weights for `_convolve_back`, the residual's transposed (W, J). of_first, of_second, of_residual: as the
    weights, with a slot in front for each slice of the batch. of_biases (slots, 3, P): of both convolutions and the
    residual.
    """
    _, steps, row = inputs.shape
    columns, wanted, widens = outputs.shape[2], of_inputs.shape[0] > 0, of_residual.shape[1] > 0
    back = of_inputs.shape[2]
    zero = inputs.dtype.type(0)
    room = np.empty((3, steps, columns), inputs.dtype)
    of_sum, of_second_sum, of_first_sum = room[0], room[1], room[2]
    upper, middle, lower = of_sum.reshape(-1), of_second_sum.reshape(-1), of_first_sum.reshape(-1)
    x, h, below = inputs.reshape(-1), inner.reshape(-1), of_inputs.reshape(-1)
    first, second, across = first_back.reshape(-1), second_back.reshape(-1), residual_back.reshape(-1)
    to_first, to_second = of_first[slot].reshape(-1), of_second[slot].reshape(-1)
    to_residual = of_residual[slot].reshape(-1)
    for sequence in range(begin, end):
        at, inside = sequence * steps * row, sequence * steps * columns
        given, out = of_outputs[sequence].reshape(-1), outputs[sequence].reshape(-1)
        above, hidden = alive[sequence].reshape(-1), inner[sequence].reshape(-1)
        for n in range(upper.size):
            upper[n] = given[n] if out[n] > zero else zero
            middle[n] = upper[n] if above[n] else zero
            lower[n] = zero
        _mask(of_second_sum, second_mask, sequence)
        _convolve_back(lower, columns, middle, width, columns, second, taps, dilation, steps, width)
        _mask(of_first_sum, first_mask, sequence)
        for n in range(lower.size):
            lower[n] = lower[n] if hidden[n] > zero else zero
        _add_weight_gradient(to_second, columns, h, inside, width, columns, middle, taps, dilation, steps, width)
        _add_weight_gradient(to_first, columns, x, at, channels, row, lower, taps, dilation, steps, width)
        _add_rows(of_biases[slot, 0], of_first_sum)
        _add_rows(of_biases[slot, 1], of_second_sum)
        if widens:
            _add_rows(of_biases[slot, 2], of_sum)
            multiply_add(to_residual, 0, columns, x, at, 1, row, 0, upper, 0, columns, 1, steps, channels, width)
        if wanted:
            if widens:
                of_inputs[sequence] = zero
                multiply_add(below, sequence * steps * back, back, upper, 0, columns, 1, 0,
                             across, 0, back, 1, width, steps, channels)  # fmt: skip
            else:
                beneath = of_inputs[sequence].reshape(-1)
                for n in range(upper.size):
                    beneath[n] = upper[n]
            part = below[sequence * steps * back :]
            _convolve_back(part, back, lower, width, columns, first, taps, dilation, steps, channels)
