"""The gated delta rule (Yang, Kautz & Hatamizadeh 2024, arXiv:2412.06464, eq. 10): a memory that is corrected.

For each sequence and head, with queries q_t and keys k_t (K,), values v_t (P,), strengths β_t and decays
a_t = exp(l_t) in (0, 1], from a state S_0 (P, K),

    S_t = a_t S_{t-1} (I - β_t k_t k_tᵀ) + β_t v_t k_tᵀ
        = a_t S_{t-1} + β_t (v_t - a_t S_{t-1} k_t) k_tᵀ        what is stored at the key moves towards the value
    y_t = S_t q_t

With a = 1 this is the delta rule (Schlag, Irie & Schmidhuber 2021; Yang et al. 2024, arXiv:2406.06484). For keys of
length 1 the eigenvalues of I - β k kᵀ are 1 and 1 - β: no step lengthens the state while β is in [0, 2].

In this file a state lies as (K, P).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ._chunks import CHUNK, borders, given, in_single_precision, over_sequences
from ._compiling import fast, kernel
from ._scalar_decay import decay_matrix
from ._vectors import dot

LONG = 64
"""Steps of a chunk in `chunked`, whose matrices are (LONG, LONG)."""


@in_single_precision
def delta_rule(
    queries: Tensor,  # (B, T, H, K)
    keys: Tensor,  # (B, T, H, K)
    values: Tensor,  # (B, T, H, P)
    strengths: Tensor,  # (B, T, H)
    log_decays: Tensor | None,  # (B, T, H); None: no decay
    state: Tensor,  # (B, H, K, P)
) -> tuple[Tensor, Tensor]:
    """Outputs y (B, T, H, P) and the state (B, H, K, P) after the last step; see the top of the file for the letters.

    One step by `stepwise`; more by our kernels on a CPU, else by `chunked`. Differentiable once.
    """
    log_decays = torch.zeros_like(strengths) if log_decays is None else log_decays
    if queries.shape[1] == 1:
        return stepwise(queries, keys, values, strengths, log_decays, state)
    if not fast(queries, keys, values, strengths, log_decays, state):
        return chunked(queries, keys, values, strengths, log_decays, state)
    parts = queries, keys, values, strengths, log_decays.exp(), state
    outputs, after = _DeltaRule.apply(*(part.contiguous() for part in parts))
    return outputs, after


def stepwise(
    queries: Tensor, keys: Tensor, values: Tensor, strengths: Tensor, log_decays: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """As `delta_rule`, one step after the other: what the other forms are tested against."""
    outputs = []
    # unbind, not an index: the gradient of an index is as large as the whole sequence, at each of T steps.
    parts = queries, keys, values, strengths[..., None], log_decays.exp()[..., None]
    for query, key, value, strength, decay in zip(*(part.unbind(1) for part in parts), strict=True):
        state = decay[..., None] * state
        stored = (key[..., None, :] @ state)[..., 0, :]  # (B, H, P)
        state = state + key[..., None] * (strength * (value - stored))[..., None, :]
        outputs.append((query[..., None, :] @ state)[..., 0, :])
    return torch.stack(outputs, dim=1), state


def chunked(
    queries: Tensor, keys: Tensor, values: Tensor, strengths: Tensor, log_decays: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """As `delta_rule`, by matrix products and one triangular system inside of chunks of `LONG` steps (the UT form).

    With Γ_ts = a_{s+1} … a_t for s ≤ t and γ_t = a_1 … a_t, what the steps of a chunk write, U (L, P), solves
    (I + tril(diag(β) (Γ ⊙ K Kᵀ), -1)) U = diag(β) (V - diag(γ) K S). Then
    y = diag(γ) Q S + (Γ ⊙ Q Kᵀ) U, and S ← γ_L S + (diag(Γ_L) K)ᵀ U.
    """
    steps = queries.shape[1]
    outputs = []
    given = [part.transpose(1, 2) for part in (queries, keys, values, strengths[..., None], log_decays)]  # (B, H, T, …)
    for begin in range(0, steps, LONG):
        query, key, value, strength, log = (part[:, :, begin : begin + LONG] for part in given)
        decays, sums = decay_matrix(log)  # (B, H, L, L), (B, H, L)
        from_start = sums.exp()[..., None]  # (B, H, L, 1)
        system = strength * decays * (key @ key.mT)  # (B, H, L, L), of which what is below the diagonal is read
        right = strength * (value - from_start * (key @ state))  # (B, H, L, P)
        written = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
        outputs.append(from_start * (query @ state) + (decays * (query @ key.mT)) @ written)
        state = from_start[:, :, -1:] * state + (decays[:, :, -1, :, None] * key).mT @ written
    return torch.cat(outputs, dim=2).transpose(1, 2), state


class _DeltaRule(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,  # (B, T, H, K)
        keys: Tensor,  # (B, T, H, K)
        values: Tensor,  # (B, T, H, P)
        strengths: Tensor,  # (B, T, H)
        decays: Tensor,  # (B, T, H)
        state: Tensor,  # (B, H, K, P)
    ) -> tuple[Tensor, Tensor]:
        states, outputs = borders(state, queries.shape[1]), torch.empty_like(values)
        read = queries, keys, values, strengths, decays, states
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
        over_sequences(backward_kernel, *read, given(of_outputs, inputs[2]), of_state, *parts)
        return *parts, of_state


@kernel
def advance(before, after, key, value, strength, decay, error):
    """One step: error (P,) = value - what is stored, and the state (K, P) after it, in another array."""
    for p in range(error.size):
        error[p] = 0
    for k in range(key.size):
        held, at = before[k], key[k]
        for p in range(error.size):
            error[p] += at * held[p]
    for p in range(error.size):
        error[p] = value[p] - decay * error[p]
    for k in range(key.size):
        held, new, at = before[k], after[k], strength * key[k]
        for p in range(error.size):
            new[p] = decay * held[p] + at * error[p]


@kernel
def forward_kernel(queries, keys, values, strengths, decays, states, outputs, first, end, slot):
    """Fills outputs (B, T, H, P) and states (B, M+1, H, K, P), of which the first is given."""
    (_, steps, heads, width), modes = values.shape, keys.shape[3]
    error, two = np.empty(width, values.dtype), np.empty((2, modes, width), values.dtype)
    for row in range(first, end):
        for head in range(heads):
            two[0] = states[row, 0, head]
            for t in range(steps):
                before, state = two[t % 2], two[(t + 1) % 2]
                if t > 0 and t % CHUNK == 0:
                    states[row, t // CHUNK, head] = before
                advance(before, state, keys[row, t, head], values[row, t, head], strengths[row, t, head],
                        decays[row, t, head], error)  # fmt: skip
                query, y = queries[row, t, head], outputs[row, t, head]
                for p in range(width):
                    y[p] = 0
                for k in range(modes):
                    held, at = state[k], query[k]
                    for p in range(width):
                        y[p] += at * held[p]
            states[row, -1, head] = two[steps % 2]


@kernel
def backward_kernel(
    queries, keys, values, strengths, decays, states, of_outputs, of_state, of_queries, of_keys, of_values,
    of_strengths, of_decays, first, end, slot,
):  # fmt: skip
    """Fills the gradients of sequences first … end-1. of_state: that of the last state, at the end of the first."""
    (_, steps, heads, width), modes = values.shape, keys.shape[3]
    kept = np.empty((CHUNK + 1, modes, width), values.dtype)  # states of a chunk, with the one before it
    errors = np.empty((CHUNK, width), values.dtype)
    of_written, of_decay = np.empty(width, values.dtype), np.empty(width, values.dtype)
    ones = np.ones(width, values.dtype)
    for row in range(first, end):
        for head in range(heads):
            to_state = of_state[row, head]
            for chunk in range(states.shape[1] - 2, -1, -1):
                begin = chunk * CHUNK
                kept[0] = states[row, chunk, head]
                here = min(CHUNK, steps - begin)
                for j in range(here):
                    t = begin + j
                    advance(kept[j], kept[j + 1], keys[row, t, head], values[row, t, head], strengths[row, t, head],
                            decays[row, t, head], errors[j])  # fmt: skip
                for j in range(here - 1, -1, -1):
                    t = begin + j
                    query, key, of_y = queries[row, t, head], keys[row, t, head], of_outputs[row, t, head]
                    of_query, of_key = of_queries[row, t, head], of_keys[row, t, head]
                    strength, decay, error = strengths[row, t, head], decays[row, t, head], errors[j]
                    for p in range(width):
                        of_written[p] = 0
                        of_decay[p] = 0
                    for k in range(modes):
                        to, at, read = to_state[k], key[k], query[k]
                        for p in range(width):
                            to[p] += read * of_y[p]
                            of_written[p] += at * to[p]
                        of_query[k] = dot(of_y, kept[j + 1, k])
                        of_key[k] = strength * dot(to, error)
                    of_strengths[row, t, head] = dot(of_written, error)
                    of_value = of_values[row, t, head]
                    for p in range(width):
                        of_value[p] = strength * of_written[p]
                    for k in range(modes):
                        to, before, at = to_state[k], kept[j, k], key[k]
                        of_key[k] -= decay * dot(before, of_value)
                        for p in range(width):
                            to[p] -= at * of_value[p]
                            of_decay[p] += before[p] * to[p]
                            to[p] *= decay
                    of_decays[row, t, head] = dot(of_decay, ones)
