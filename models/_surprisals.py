"""-log P of targets by their logits on a CPU: less memory and fewer ways through it than torch's cross-entropy has.

Of V = 10,000 words the logits are most of what a step holds. torch's operation keeps their log-softmax beside them and
needs room for two gradients; here the logits alone are kept, and one gradient is made of them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from . import _slices
from ._activations import exponential
from ._compiling import kernel

MANY = 1024
"""Symbols from which on this is worth it: of 49 torch's operation is the faster one, of 10,000 it takes 1.0 to 1.4
times as long (2 and 1 threads)."""
LANES = 16
"""So many sums run side by side, so that LLVM takes whole vectors; they are added up in the end."""


def surprisals(logits: Tensor, targets: Tensor) -> Tensor:  # (N, V), (N,) int64 -> (N,) nats
    """log Σ_v exp(logits_v) - logits_target. On the CPU, float32 or float64. Differentiable once.

    Targets that are none of the symbols are left to torch's cross-entropy, which passes over -100 and refuses others.
    """
    if len(targets) == 0 or targets.dtype != torch.int64 or targets.min() < 0 or targets.max() >= logits.shape[1]:
        return F.cross_entropy(logits, targets, reduction="none")
    values: Tensor = _Surprisals.apply(logits.contiguous(), targets.contiguous())
    return values


class _Surprisals(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        values, largest, total = (logits.new_empty(len(logits)) for _ in range(3))
        arrays = [part.numpy() for part in (logits, targets, values, largest, total)]
        _slices.run(partial(_forward, *arrays), _slices.slices(len(logits)))
        ctx.save_for_backward(logits, targets, largest, total)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_values: Tensor) -> tuple[Tensor, None]:
        logits, targets, largest, total = ctx.saved_tensors
        of_logits = torch.empty_like(logits)
        arrays = [part.numpy() for part in (of_values.contiguous(), logits, targets, largest, total, of_logits)]
        _slices.run(partial(_backward, *arrays), _slices.slices(len(logits)))
        return of_logits, None


@kernel
def _forward(logits, targets, values, largest, total, begin, end, slot):
    """Of rows begin … end-1: the surprisal of the target, the largest logit, and the sum of exp(logit - largest)."""
    symbols = logits.shape[1]
    whole = symbols // LANES * LANES
    lanes, scaled = np.empty(LANES, logits.dtype), np.empty(symbols, logits.dtype)
    for n in range(begin, end):
        given = logits[n]
        most = given[0]
        lanes[:] = most
        for i in range(0, whole, LANES):
            part = given[i : i + LANES]
            for j in range(LANES):
                lanes[j] = part[j] if part[j] > lanes[j] else lanes[j]
        for value in lanes:
            most = value if value > most else most
        for i in range(whole, symbols):
            most = given[i] if given[i] > most else most
        for i in range(symbols):
            scaled[i] = exponential(given[i] - most)  # a NaN, and infinity less itself, come through
        lanes[:] = 0
        for i in range(0, whole, LANES):
            part = scaled[i : i + LANES]
            for j in range(LANES):
                lanes[j] += part[j]
        summed = logits.dtype.type(0)
        for value in lanes:
            summed += value
        for i in range(whole, symbols):
            summed += scaled[i]
        largest[n], total[n] = most, summed
        values[n] = np.log(summed) + (most - given[targets[n]])


@kernel
def _backward(of_values, logits, targets, largest, total, of_logits, begin, end, slot):
    """of_logits = (softmax(logits) - 1 at the target) · of_values, of rows begin … end-1."""
    for n in range(begin, end):
        given, out, most, factor = logits[n], of_logits[n], largest[n], of_values[n] / total[n]
        for i in range(given.size):
            out[i] = exponential(given[i] - most) * factor
        out[targets[n]] -= of_values[n]
