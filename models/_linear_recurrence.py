"""The linear recurrence h_t = a_t ⊙ h_{t-1} + b_t, which many models of 2021 and later have at their core.

On a CPU it is one operation with its own gradient, whose loops are in `_scans`. In all other cases `two_level`
computes it with torch's operations.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from . import _scans, _slices
from ._compiling import fast


def linear_recurrence(
    decay: Tensor, inputs: Tensor, initial: Tensor | None = None, *, pairs: bool = False
) -> tuple[Tensor, Tensor]:
    """The states h (B, T, D) of h_t = a_t ⊙ h_{t-1} + b_t for t = 1 … T, and the last of them (B, D).

    decay: a, (B, T, D); or (D,) where it is the same at every step of every sequence; or (G, D) where it is the same at
    every step of each of G groups of B/G successive sequences. inputs: b (B, T, D), T ≥ 1. initial: h_0 (B, D); None:
    zero. pairs: the D numbers are D/2 complex ones, first all real parts, then all imaginary parts. All are of one
    type. Under autocast the recurrence is computed in float32.

    Differentiable once where the kernels compute it, see `fast`. A decay (B, T, D) costs 3·B·T·D numbers of memory
    until the backward pass is done, one that does not vary B·T·D.
    """
    device = inputs.device.type
    if torch.is_autocast_enabled(device):  # products over many steps lose too much in half precision
        with torch.autocast(device, enabled=False):
            before = None if initial is None else initial.float()
            return linear_recurrence(decay.float(), inputs.float(), before, pairs=pairs)
    batch, steps, width = inputs.shape
    initial = inputs.new_zeros((batch, width)) if initial is None else initial
    if decay.dim() < 3:
        decay = decay.view(-1, 1, width)  # (G, 1, D)
    if steps > 1 and fast(inputs, decay, initial):
        states, last = _Recurrence.apply(pairs, decay, inputs, initial)
        return states, last
    if len(decay) not in (1, batch):
        decay = decay.repeat_interleave(batch // len(decay), 0)  # (B, 1, D)
    if steps == 1:  # as when a sequence is streamed: no loop is needed
        states = inputs + _product(decay, initial.unsqueeze(1), pairs)
        return states, states[:, 0]
    states = two_level(decay, inputs, initial, pairs=pairs)
    return states, states[:, -1]


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pairs: bool,
        decay: Tensor,  # (B, T, D) or (G, 1, D)
        inputs: Tensor,  # (B, T, D)
        initial: Tensor,  # (B, D)
    ) -> tuple[Tensor, Tensor]:
        decay, inputs, initial = decay.contiguous(), inputs.contiguous(), initial.contiguous()
        states = torch.empty_like(inputs)
        _over_slices(_scans.complex_scan_forward if pairs else _scans.scan_forward, decay, inputs, initial, states)
        ctx.pairs = pairs
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(decay, states, initial)
        return states, states[:, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_states: Tensor | None, of_last: Tensor | None) -> tuple[Tensor | None, ...]:
        decay, states, initial = ctx.saved_tensors
        if of_last is not None:
            of_states = torch.zeros_like(states) if of_states is None else of_states.clone()
            of_states[:, -1] += of_last
        assert of_states is not None
        batch, steps, width = states.shape
        varies = decay.shape[1] == steps
        of_inputs, of_initial = torch.empty_like(states), torch.empty_like(initial)
        of_decay = torch.empty_like(states) if varies else states.new_zeros((batch, 1, width))
        kernel = _scans.complex_scan_backward if ctx.pairs else _scans.scan_backward
        _over_slices(kernel, decay, initial, states, of_states.contiguous(), of_decay, of_inputs, of_initial)
        if not varies:  # the sum over sequences is torch's, so that it does not depend on the number of threads
            of_decay = of_decay.view(len(decay), -1, width).sum(1, keepdim=True)  # (G, 1, D)
        return None, of_decay, of_inputs, of_initial


def _over_slices(kernel: Any, *given: Tensor) -> None:
    """Calls a kernel of `_scans` with these arrays, on slices of the batch side by side."""
    arrays = (part.detach().numpy() for part in given)
    _slices.run(partial(kernel, *arrays), _slices.slices(given[-1].shape[0], multiple=1))


def two_level(decay: Tensor, inputs: Tensor, initial: Tensor, *, pairs: bool = False) -> Tensor:
    """The states (B, T, D) of `linear_recurrence` in 2√T steps of torch's operations.

    decay: (B, T, D), (B, 1, D) or (1, 1, D).

    The sequence is cut into √T chunks. One loop over the steps of a chunk runs in all chunks at once, from the state
    zero. A second loop over the chunks carries the state. What it carries into a chunk reaches each of its steps
    times the product of the decays before. Differentiable as often as wanted.
    """
    steps = inputs.shape[1]
    if pairs:
        return pairs_of(_chunked(complex_of(decay), complex_of(inputs), complex_of(initial)))[:, :steps]
    return _chunked(decay, inputs, initial)[:, :steps]


def _chunked(decay: Tensor, inputs: Tensor, initial: Tensor) -> Tensor:  # (B, N·c, D), N·c ≥ T
    steps = inputs.shape[1]
    size = math.ceil(math.sqrt(steps))  # c
    count = math.ceil(steps / size)  # N
    missing = (0, 0, 0, count * size - steps)  # of the last chunk
    if decay.shape[1] == steps:
        decays = F.pad(decay, missing, value=1.0).unflatten(1, (count, size)).unbind(2)  # c times (B, N, D)
    else:
        decays = (decay,) * size  # c times (B, 1, D) or (1, 1, D)
    added = F.pad(inputs, missing).unflatten(1, (count, size)).unbind(2)
    within, reach = [added[0]], [decays[0]]
    for factor, more in zip(decays[1:], added[1:], strict=True):
        within.append(factor * within[-1] + more)
        reach.append(factor * reach[-1])
    carried = [initial]
    through = reach[-1].expand(-1, count, -1).unbind(1)  # N times (B, D): what reaches across a whole chunk
    for factor, more in zip(through[:-1], within[-1].unbind(1)[:-1], strict=True):
        carried.append(factor * carried[-1] + more)
    states = torch.stack(within, 2) + torch.stack(reach, 2) * torch.stack(carried, 1).unsqueeze(2)
    return states.flatten(1, 2)  # (B, N, c, D) -> (B, N·c, D)


def complex_of(pairs: Tensor) -> Tensor:
    """The complex numbers (…, D/2) whose real, and then imaginary, parts are given (…, D)."""
    return torch.complex(*pairs.chunk(2, -1))


def pairs_of(numbers: Tensor) -> Tensor:
    """Real and then imaginary parts (…, D) of complex numbers (…, D/2)."""
    return torch.cat([numbers.real, numbers.imag], -1)


def _product(left: Tensor, right: Tensor, pairs: bool) -> Tensor:  # (…, D)
    return pairs_of(complex_of(left) * complex_of(right)) if pairs else left * right
