"""The selective scan of Mamba (Gu & Dao 2023, arXiv:2312.00752, section 3.2) with its gradient.

For each sequence, with inputs x_t (E,), step sizes Δ_t (E,), rates A (E, N) < 0, writes B_t (N,) and reads C_t (N,),
from a state h_0 (E, N),

    h_t = exp(Δ_t A) ⊙ h_{t-1} + (Δ_t ⊙ x_t) B_tᵀ
    y_t = h_t C_t + D ⊙ x_t

The kernels walk over time with one state in the cache, see `_chunks`. In them states and rates lie as (N, E): a loop
over channels then needs no sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._activations import exponential
from ._chunks import CHUNK, borders, given, in_single_precision, over_sequences, slots
from ._compiling import fast, kernel
from ._linear_recurrence import two_level
from ._vectors import dot


@in_single_precision
def selective_scan(
    inputs: Tensor,  # (B, T, E)
    deltas: Tensor,  # (B, T, E)
    rates: Tensor,  # (E, N)
    writes: Tensor,  # (B, T, N)
    reads: Tensor,  # (B, T, N)
    skip: Tensor,  # (E,)
    state: Tensor,  # (B, E, N)
) -> tuple[Tensor, Tensor]:
    """Outputs y (B, T, E) and the state (B, E, N) after the last step; see the top of the file for the letters.

    One step by `stepwise`; more by our kernels on a CPU, else by `two_level_scan`. Differentiable once.
    """
    if inputs.shape[1] == 1:
        return stepwise(inputs, deltas, rates, writes, reads, skip, state)
    if not fast(inputs, deltas, rates, writes, reads, skip, state):
        return two_level_scan(inputs, deltas, rates, writes, reads, skip, state)
    parts = inputs, deltas, rates.t(), writes, reads, skip, state.transpose(1, 2)
    outputs, after = _SelectiveScan.apply(*(part.contiguous() for part in parts))
    return outputs, after.transpose(1, 2)


def stepwise(
    inputs: Tensor, deltas: Tensor, rates: Tensor, writes: Tensor, reads: Tensor, skip: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """As `selective_scan`, one step after the other by torch's operations: what the kernels are tested against."""
    outputs = []
    # unbind, not an index: the gradient of an index is as large as the whole sequence, at each of T steps.
    for x, delta, write, read in zip(*(part.unbind(1) for part in (inputs, deltas, writes, reads)), strict=True):
        decay = torch.exp(delta[:, :, None] * rates)  # (B, E, N)
        state = decay * state + (delta * x)[:, :, None] * write[:, None, :]
        outputs.append((state @ read[:, :, None])[..., 0] + skip * x)  # (B, E)
    return torch.stack(outputs, dim=1), state


def two_level_scan(
    inputs: Tensor, deltas: Tensor, rates: Tensor, writes: Tensor, reads: Tensor, skip: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """As `selective_scan`, with the states of all steps (B, T, E, N), in 2√T steps of torch's operations."""
    decays = torch.exp(deltas[..., None] * rates)  # (B, T, E, N)
    added = (deltas * inputs)[..., None] * writes[:, :, None, :]  # (B, T, E, N)
    states = two_level(decays.flatten(2), added.flatten(2), state.flatten(1)).view(decays.shape)
    return (states @ reads[..., None])[..., 0] + skip * inputs, states[:, -1]


class _SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,  # (B, T, E)
        deltas: Tensor,  # (B, T, E)
        rates: Tensor,  # (N, E)
        writes: Tensor,  # (B, T, N)
        reads: Tensor,  # (B, T, N)
        skip: Tensor,  # (E,)
        state: Tensor,  # (B, N, E)
    ) -> tuple[Tensor, Tensor]:
        states, outputs = borders(state, inputs.shape[1]), torch.empty_like(inputs)
        read = inputs, deltas, rates, writes, reads, skip, states
        over_sequences(selective_forward, *read, outputs)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*read)
        return outputs, states[:, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_outputs: Tensor | None, of_last: Tensor | None) -> tuple[Tensor, ...]:
        read = inputs, deltas, rates, writes, reads, skip, states = ctx.saved_tensors
        of_state = given(of_last, states[:, -1]).clone()
        count = slots(len(inputs))
        of_rates, of_skip = rates.new_zeros((count, *rates.shape)), skip.new_zeros((count, *skip.shape))
        parts = of_inputs, of_deltas, of_writes, of_reads = [
            torch.empty_like(part) for part in (inputs, deltas, writes, reads)
        ]
        over_sequences(selective_backward, *read, given(of_outputs, inputs), of_state, *parts, of_rates, of_skip)
        return of_inputs, of_deltas, of_rates.sum(0), of_writes, of_reads, of_skip.sum(0), of_state


@kernel
def selective_forward(inputs, deltas, rates, writes, reads, skip, states, outputs, first, end, slot):
    """Fills outputs (B, T, E) and states (B, M+1, N, E), of which the first is given, of sequences first … end-1."""
    steps, (modes, width) = inputs.shape[1], rates.shape
    scaled = np.empty(width, inputs.dtype)
    for row in range(first, end):
        state = states[row, 0].copy()
        for t in range(steps):
            if t > 0 and t % CHUNK == 0:
                states[row, t // CHUNK] = state
            x, delta, y = inputs[row, t], deltas[row, t], outputs[row, t]
            for e in range(width):
                scaled[e] = delta[e] * x[e]
                y[e] = skip[e] * x[e]
            for n in range(modes):
                held, rate, write, read = state[n], rates[n], writes[row, t, n], reads[row, t, n]
                for e in range(width):
                    held[e] = exponential(delta[e] * rate[e]) * held[e] + scaled[e] * write
                    y[e] += held[e] * read
        states[row, -1] = state


@kernel
def selective_backward(
    inputs, deltas, rates, writes, reads, skip, states, of_outputs, of_state, of_inputs, of_deltas, of_writes,
    of_reads, of_rates, of_skip, first, end, slot,
):  # fmt: skip
    """Fills the gradients of sequences first … end-1.

    of_state (B, N, E): the gradient of the last state, at the end that of the first. of_rates (slots, N, E) and
    of_skip (slots, E) are added to, each slice at its slot.
    """
    steps, (modes, width) = inputs.shape[1], rates.shape
    kept = np.empty((CHUNK + 1, modes, width), inputs.dtype)  # states of a chunk, with the one before it
    decays = np.empty((CHUNK, modes, width), inputs.dtype)
    scaled = np.empty(width, inputs.dtype)
    of_scaled, of_delta = np.empty_like(scaled), np.empty_like(scaled)
    for row in range(first, end):
        to_state = of_state[row]
        for chunk in range(states.shape[1] - 2, -1, -1):
            begin = chunk * CHUNK
            kept[0] = states[row, chunk]
            here = min(CHUNK, steps - begin)
            for j in range(here):
                x, delta = inputs[row, begin + j], deltas[row, begin + j]
                for e in range(width):
                    scaled[e] = delta[e] * x[e]
                for n in range(modes):
                    before, held, decay, rate = kept[j, n], kept[j + 1, n], decays[j, n], rates[n]
                    write = writes[row, begin + j, n]
                    for e in range(width):
                        decay[e] = exponential(delta[e] * rate[e])
                        held[e] = decay[e] * before[e] + scaled[e] * write
            for j in range(here - 1, -1, -1):
                t = begin + j
                x, delta, of_y = inputs[row, t], deltas[row, t], of_outputs[row, t]
                for e in range(width):
                    scaled[e] = delta[e] * x[e]
                    of_scaled[e] = 0
                    of_delta[e] = 0
                for n in range(modes):
                    to, write, read = to_state[n], writes[row, t, n], reads[row, t, n]
                    before, decay, rate, of_rate = kept[j, n], decays[j, n], rates[n], of_rates[slot, n]
                    for e in range(width):
                        to[e] += of_y[e] * read
                    of_reads[row, t, n] = dot(of_y, kept[j + 1, n])
                    of_writes[row, t, n] = dot(to, scaled)
                    for e in range(width):
                        of_scaled[e] += to[e] * write
                        to[e] *= decay[e]
                        of_exponent = to[e] * before[e]
                        of_delta[e] += of_exponent * rate[e]
                        of_rate[e] += of_exponent * delta[e]
                of_x, of_d, of_s = of_inputs[row, t], of_deltas[row, t], of_skip[slot]
                for e in range(width):
                    of_x[e] = of_scaled[e] * delta[e] + of_y[e] * skip[e]
                    of_d[e] = of_delta[e] + of_scaled[e] * x[e]
                    of_s[e] += of_y[e] * x[e]
