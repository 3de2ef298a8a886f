"""The recurrence of the sLSTM (Beck et al. 2024, arXiv:2405.04517, eq. 8 to 18): as a loop of torch, and as one kernel.

For H heads of P units each, from logits r_t (4, P) of the inputs and a state y_0 = c_0 = n_0 = 0 of each head,

    [ι_t, φ_t, ζ_t, ω_t] = r_t + R y_{t-1}                  R (4P, P)
    c_t = σ(φ_t) c_{t-1} + e^{ι_t} tanh(ζ_t)
    n_t = σ(φ_t) n_{t-1} + e^{ι_t}
    y_t = σ(ω_t) c_t / n_t

c and n are kept multiplied by e^-m, m_t = max(m_{t-1} + log σ(φ_t), ι_t), so that nothing overflows. y does not depend
on how m_t is chosen, which is a constant of the gradient. From the first step on n e^-m is at least 1, so that nothing
is divided by 0.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from . import _slices
from ._activations import exponential, sigmoids, tanhs
from ._compiling import fast, kernel
from ._layout import padded_rows
from ._logarithms import log_sigmoids
from ._products import multiply_add, padded

Memory = tuple[Tensor, Tensor, Tensor, Tensor]
"""y, c e^-m, n e^-m and m, each (B, H, P)."""


def slstm(logits: Tensor, weight: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
    """Outputs y (B, T, H, P) for logits (B, T, H, 4P), and the state after the last step.

    weight: Rᵀ of all heads, (H, P, 4P). Differentiable once on a CPU, also with respect to the m that is
    given; the m after the last step is a constant.
    """
    batch, _, heads, numbers = logits.shape
    if memory is None:
        zeros = logits.new_zeros((batch, heads, numbers // 4))
        memory = zeros, zeros, zeros, torch.full_like(zeros, -math.inf)
    if not fast(logits, weight, *memory):
        return stepwise(logits, weight, memory)
    steps_first = logits.transpose(0, 1).contiguous()  # (T, B, H, 4P)
    outputs, *after = _Recurrence.apply(torch.is_grad_enabled(), steps_first, weight, *memory)
    y, c, n, m = after
    return outputs.transpose(0, 1), (y, c, n, m)


def stepwise(logits: Tensor, weight: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
    """As `slstm`, by torch's operations, one step after the other."""
    y, c, n, m = memory
    outputs = []
    for step in logits.unbind(1):  # T times (B, H, 4P)
        inputs, forgets, candidates, shows = (step + torch.einsum("bhp,hpq->bhq", y, weight)).chunk(4, dim=2)
        log_forgets = F.logsigmoid(forgets)
        with torch.no_grad():
            largest = torch.maximum(m + log_forgets, inputs)
        kept, written = torch.exp(log_forgets + m - largest), torch.exp(inputs - largest)
        c = kept * c + written * torch.tanh(candidates)
        n = kept * n + written
        m, y = largest, torch.sigmoid(shows) * c / n
        outputs.append(y)
    return torch.stack(outputs, dim=1), (y, c, n, m)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        keeps: bool,
        logits: Tensor,  # (T, B, H, 4P)
        weight: Tensor,  # (H, P, 4P)
        y: Tensor,  # (B, H, P)
        c: Tensor,
        n: Tensor,
        m: Tensor,
    ) -> tuple[Tensor, ...]:
        steps, batch = logits.shape[:2]
        states = logits.new_empty((3, steps + 1, *y.shape))
        states[0, 0], states[1, 0], states[2, 0] = y, c, n
        kept = logits.new_empty((steps if keeps else 0, batch, y.shape[1], 5 * y.shape[2]))
        last = m.clone(memory_format=torch.contiguous_format)
        given = logits, padded_rows(weight), *states, kept, last
        _over_slices(batch, forward_kernel, *given)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(last)
        ctx.save_for_backward(weight, states, kept)
        y, c, n = states[:, -1].clone()
        return states[0, 1:], y, c, n, last

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        of_outputs: Tensor | None,
        of_y: Tensor | None,
        of_c: Tensor | None,
        of_n: Tensor | None,
        of_m: Tensor | None,
    ) -> tuple[Tensor | None, ...]:
        weight, states, kept = ctx.saved_tensors
        (_, size, _), (_, steps, batch, heads, _) = weight.shape, states[:, 1:].shape
        of_outputs = states.new_zeros((steps, batch, heads, size)) if of_outputs is None else of_outputs.contiguous()
        to_y = states.new_zeros((batch, heads, padded(size)))
        if of_y is not None:
            to_y[..., :size] = of_y
        to_c, to_n = (states.new_zeros((batch, heads, size)) if part is None else part.clone() for part in (of_c, of_n))
        of_logits = states.new_empty((steps, batch, heads, 4 * size))
        back = padded_rows(weight.transpose(1, 2))  # (H, 4P, Q)
        given = of_outputs, back, *states, kept, to_y, to_c.contiguous(), to_n.contiguous()
        _over_slices(batch, backward_kernel, *given, of_logits)
        rows, before = of_logits.flatten(0, 1).transpose(0, 1), states[0, :-1].flatten(0, 1).permute(1, 2, 0)
        of_weight = torch.bmm(before, rows)  # (H, P, TB) · (H, TB, 4P)
        of_c, of_n = given[-2:]
        # What follows depends on c = e^m · (c e^-m) and n alone, and so on m as on a factor of both that are kept.
        of_m = states[1, 0] * of_c + states[2, 0] * of_n if ctx.needs_input_grad[6] else None
        return None, of_logits, of_weight, to_y[..., :size].contiguous(), of_c, of_n, of_m


def _over_slices(batch: int, function: Any, *tensors: Tensor) -> None:
    _slices.run(partial(function, *(part.detach().numpy() for part in tensors)), _slices.slices(batch))


@kernel
def forward_kernel(logits, weight, outputs, cells, norms, kept, scales, first, end, slot):
    """Fills the states after each step, of those of sequences first … end-1, and what the backward pass needs.

    outputs, cells, norms: y, c, n (T+1, B, H, P), of which the first are given. scales: m, of the last step in the end.
    weight: (H, P, Q), padded. kept (T, B, H, 5P): the factors of c, i', then tanh, σ(ω) and 1 - σ(φ); or no steps.
    """
    steps, batch, heads, numbers = logits.shape
    size, columns, keeps = numbers // 4, weight.shape[2], kept.shape[0] == steps
    sums = np.empty((end - first, heads, columns), logits.dtype)
    logs = np.empty(size, logits.dtype)
    out, shown, matrix, one = sums.reshape(-1), outputs.reshape(-1), weight.reshape(-1), logits.dtype.type(1)
    for t in range(steps):
        for row in range(first, end):
            for head in range(heads):
                given, total = logits[t, row, head], sums[row - first, head]
                for j in range(numbers):
                    total[j] = given[j]
        for head in range(heads):
            before = ((t * batch + first) * heads + head) * size
            multiply_add(out, head * columns, heads * columns, shown, before, heads * size, 1, 0,
                         matrix, head * size * columns, columns, 1, size, end - first, numbers)  # fmt: skip
        for row in range(first, end):
            for head in range(heads):
                total, scale = sums[row - first, head], scales[row, head]
                write, forget = total[:size], total[size : 2 * size]
                candidate, show = total[2 * size : 3 * size], total[3 * size : numbers]
                tanhs(total, 2 * size, 3 * size)
                sigmoids(total, 3 * size, numbers)
                for j in range(size):
                    logs[j] = forget[j]
                log_sigmoids(logs)
                for j in range(size):
                    carried = scale[j] + logs[j]
                    scale[j] = carried if carried > write[j] else write[j]
                    write[j] = exponential(write[j] - scale[j])
                    forget[j] = exponential(carried - scale[j])
                last, cell = cells[t, row, head], cells[t + 1, row, head]
                below, norm, y = norms[t, row, head], norms[t + 1, row, head], outputs[t + 1, row, head]
                for j in range(size):
                    cell[j] = forget[j] * last[j] + write[j] * candidate[j]
                    norm[j] = forget[j] * below[j] + write[j]
                    y[j] = show[j] * cell[j] / norm[j]
                if keeps:
                    record = kept[t, row, head]
                    for j in range(numbers):
                        record[j] = total[j]
                    record = record[numbers:]
                    for j in range(size):
                        record[j] = one - exponential(logs[j])


@kernel
def backward_kernel(
    of_outputs, weight, outputs, cells, norms, kept, to_y, to_c, to_n, of_logits, first, end, slot,
):  # fmt: skip
    """Fills of_logits (T, B, H, 4P) of sequences first … end-1.

    to_y (B, H, Q padded), to_c, to_n (B, H, P): the gradients from what follows, in the end those of the first state.
    weight: (H, 4P, Q), padded.
    """
    steps, batch, heads, numbers = of_logits.shape
    size, columns, one = numbers // 4, to_y.shape[2], of_logits.dtype.type(1)
    below, left, matrix = to_y.reshape(-1), of_logits.reshape(-1), weight.reshape(-1)
    for t in range(steps - 1, -1, -1):
        for row in range(first, end):
            for head in range(heads):
                record, of_all = kept[t, row, head], of_logits[t, row, head]
                write, forget, candidate = record[:size], record[size : 2 * size], record[2 * size : 3 * size]
                show, passed = record[3 * size : numbers], record[numbers:]
                of_write, of_forget = of_all[:size], of_all[size : 2 * size]
                of_candidate, of_show = of_all[2 * size : 3 * size], of_all[3 * size : numbers]
                norm, y, given = norms[t + 1, row, head], outputs[t + 1, row, head], of_outputs[t, row, head]
                cell, last = cells[t, row, head], norms[t, row, head]
                of_y, of_c, of_n = to_y[row, head], to_c[row, head], to_n[row, head]
                for j in range(size):
                    total = of_y[j] + given[j]
                    of_show[j] = total * y[j] * (one - show[j])
                    of_c[j] += total * show[j] / norm[j]
                    of_n[j] -= total * y[j] / norm[j]
                for j in range(size):
                    of_write[j] = (of_c[j] * candidate[j] + of_n[j]) * write[j]
                    of_candidate[j] = of_c[j] * write[j] * (one - candidate[j] * candidate[j])
                    of_forget[j] = (of_c[j] * cell[j] + of_n[j] * last[j]) * forget[j] * passed[j]
                    of_c[j] *= forget[j]
                    of_n[j] *= forget[j]
                for j in range(columns):
                    of_y[j] = 0
        for head in range(heads):
            multiply_add(below, (first * heads + head) * columns, heads * columns, left,
                         ((t * batch + first) * heads + head) * numbers, heads * numbers, 1, 0,
                         matrix, head * numbers * columns, columns, 1, numbers, end - first, size)  # fmt: skip
