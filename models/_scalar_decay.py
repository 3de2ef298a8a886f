"""The recurrence of Mamba-2 (Dao & Gu 2024, arXiv:2405.21060): a matrix state with one decay for each head.

For each sequence and each of its H heads, with inputs x_t (P,), a decay a_t = exp(l_t) in (0, 1], and writes B_t (N,)
and reads C_t (N,) that all heads share, from a state S_0 (P, N),

    S_t = a_t S_{t-1} + x_t B_tᵀ
    y_t = S_t C_t

In the kernels a state lies as (N, E) with E = H·P: a loop over the channels of all heads then needs no sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._chunks import CHUNK, borders, given, in_single_precision, over_sequences
from ._compiling import fast, kernel
from ._vectors import dot

LONG = 64
"""Steps of a chunk in `chunked`, whose matrices are (LONG, LONG)."""


@in_single_precision
def scalar_decay_scan(
    inputs: Tensor,  # (B, T, H, P)
    log_decays: Tensor,  # (B, T, H)
    writes: Tensor,  # (B, T, N)
    reads: Tensor,  # (B, T, N)
    state: Tensor,  # (B, H, P, N)
) -> tuple[Tensor, Tensor]:
    """Outputs y (B, T, H, P) and the state (B, H, P, N) after the last step; see the top of the file for the letters.

    One step by `stepwise`; more by our kernels on a CPU, else by `chunked`. Differentiable once.
    """
    if inputs.shape[1] == 1:
        return stepwise(inputs, log_decays, writes, reads, state)
    if not fast(inputs, log_decays, writes, reads, state):
        return chunked(inputs, log_decays, writes, reads, state)
    modes = writes.shape[2]
    lying = state.permute(0, 3, 1, 2).flatten(2)  # (B, N, E)
    parts = inputs.flatten(2), log_decays.exp(), writes, reads, lying
    outputs, after = _ScalarDecay.apply(*(part.contiguous() for part in parts))
    after = after.view(len(state), modes, *state.shape[1:3])  # (B, N, H, P)
    return outputs.view(inputs.shape), after.permute(0, 2, 3, 1)


def stepwise(inputs: Tensor, log_decays: Tensor, writes: Tensor, reads: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """As `scalar_decay_scan`, one step after the other: what the other forms are tested against."""
    outputs = []
    # unbind, not an index: the gradient of an index is as large as the whole sequence, at each of T steps.
    steps = zip(*(part.unbind(1) for part in (inputs, log_decays.exp(), writes, reads)), strict=True)
    for x, decay, write, read in steps:
        state = decay[:, :, None, None] * state + x[..., None] * write[:, None, None, :]
        outputs.append((state @ read[:, None, :, None])[..., 0])  # (B, H, P)
    return torch.stack(outputs, dim=1), state


def chunked(inputs: Tensor, log_decays: Tensor, writes: Tensor, reads: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """As `scalar_decay_scan`, by matrix products inside of chunks of `LONG` steps (listing 1 of the paper).

    Inside of a chunk y = (Γ ⊙ C Bᵀ) x, with Γ_ts = a_{s+1} … a_t for s ≤ t and 0 above; the state carries the rest.
    """
    steps = inputs.shape[1]
    outputs = []
    for begin in range(0, steps, LONG):
        x, log, write, read = (part[:, begin : begin + LONG] for part in (inputs, log_decays, writes, reads))
        decays, from_start = decay_matrix(log.transpose(1, 2))  # (B, H, L, L), (B, H, L)
        within = decays * (read @ write.transpose(1, 2))[:, None]  # (B, H, L, L)
        x = x.transpose(1, 2)  # (B, H, L, P)
        before = from_start.exp()[..., None] * (read[:, None] @ state.transpose(2, 3))  # (B, H, L, P)
        outputs.append(within @ x + before)
        left = decays[:, :, -1, :, None] * x  # (B, H, L, P)
        state = from_start[:, :, -1:, None].exp() * state + left.transpose(2, 3) @ write[:, None]
    return torch.cat(outputs, dim=2).transpose(1, 2), state


def decay_matrix(log_decays: Tensor) -> tuple[Tensor, Tensor]:  # (…, L)
    """Γ (…, L, L), with Γ_ts = a_{s+1} … a_t for s ≤ t and 0 for s > t, and log(a_1 … a_t), (…, L).

    Differences of sums are masked before exp: after it those above the diagonal may be infinite, and 0 · ∞ is NaN.
    """
    sums = log_decays.cumsum(-1)
    differences = sums[..., :, None] - sums[..., None, :]
    future = torch.ones(differences.shape[-2:], dtype=torch.bool, device=sums.device).triu(1)
    return differences.masked_fill(future, -torch.inf).exp(), sums


class _ScalarDecay(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,  # (B, T, E)
        decays: Tensor,  # (B, T, H)
        writes: Tensor,  # (B, T, N)
        reads: Tensor,  # (B, T, N)
        state: Tensor,  # (B, N, E)
    ) -> tuple[Tensor, Tensor]:
        states, outputs = borders(state, inputs.shape[1]), torch.empty_like(inputs)
        read = inputs, decays, writes, reads, states
        over_sequences(forward_kernel, *read, outputs)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*read)
        return outputs, states[:, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_outputs: Tensor | None, of_last: Tensor | None) -> tuple[Tensor, ...]:
        read = *inputs, states = ctx.saved_tensors
        of_state = given(of_last, states[:, -1]).clone()
        parts = [torch.empty_like(part) for part in inputs]
        over_sequences(backward_kernel, *read, given(of_outputs, inputs[0]), of_state, *parts)
        return *parts, of_state


@kernel
def spread(values, out):
    """out (E,) gets each of the values (H,) at the E/H channels of its head."""
    size = out.size // values.size
    for head in range(values.size):
        channels = out[head * size : (head + 1) * size]
        for p in range(size):
            channels[p] = values[head]


@kernel
def forward_kernel(inputs, decays, writes, reads, states, outputs, first, end, slot):
    """Fills outputs (B, T, E) and states (B, M+1, N, E), of which the first is given, of sequences first … end-1."""
    _, steps, width = inputs.shape
    modes, decay = writes.shape[2], np.empty(width, inputs.dtype)
    for row in range(first, end):
        state = states[row, 0].copy()
        for t in range(steps):
            if t > 0 and t % CHUNK == 0:
                states[row, t // CHUNK] = state
            x, y = inputs[row, t], outputs[row, t]
            spread(decays[row, t], decay)
            for e in range(width):
                y[e] = 0
            for n in range(modes):
                held, write, read = state[n], writes[row, t, n], reads[row, t, n]
                for e in range(width):
                    held[e] = decay[e] * held[e] + x[e] * write
                    y[e] += held[e] * read
        states[row, -1] = state


@kernel
def backward_kernel(
    inputs, decays, writes, reads, states, of_outputs, of_state, of_inputs, of_decays, of_writes, of_reads, first,
    end, slot,
):  # fmt: skip
    """Fills the gradients of sequences first … end-1. of_state: that of the last state, at the end of the first."""
    (_, steps, width), modes, heads = inputs.shape, writes.shape[2], decays.shape[2]
    kept = np.empty((CHUNK + 1, modes, width), inputs.dtype)  # states of a chunk, with the one before it
    decay = np.empty(width, inputs.dtype)
    of_decay, ones = np.empty_like(decay), np.ones(width // heads, inputs.dtype)
    for row in range(first, end):
        to_state = of_state[row]
        for chunk in range(states.shape[1] - 2, -1, -1):
            begin = chunk * CHUNK
            kept[0] = states[row, chunk]
            here = min(CHUNK, steps - begin)
            for j in range(here):
                spread(decays[row, begin + j], decay)
                x = inputs[row, begin + j]
                for n in range(modes):
                    before, held, write = kept[j, n], kept[j + 1, n], writes[row, begin + j, n]
                    for e in range(width):
                        held[e] = decay[e] * before[e] + x[e] * write
            for j in range(here - 1, -1, -1):
                t = begin + j
                spread(decays[row, t], decay)
                x, of_y, of_x = inputs[row, t], of_outputs[row, t], of_inputs[row, t]
                for e in range(width):
                    of_x[e] = 0
                    of_decay[e] = 0
                for n in range(modes):
                    to, before = to_state[n], kept[j, n]
                    write, read = writes[row, t, n], reads[row, t, n]
                    for e in range(width):
                        to[e] += of_y[e] * read
                    of_reads[row, t, n] = dot(of_y, kept[j + 1, n])
                    of_writes[row, t, n] = dot(to, x)
                    for e in range(width):
                        of_x[e] += to[e] * write
                        of_decay[e] += to[e] * before[e]
                        to[e] *= decay[e]
                size = width // heads
                for head in range(heads):
                    of_decays[row, t, head] = dot(of_decay[head * size : (head + 1) * size], ones)
