"""Dilated causal convolutions of (B, T, C) as one matrix product, and what they must keep of a sequence."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def convolution(
    inputs: Tensor, history: Tensor | None, weight: Tensor, bias: Tensor | None, dilation: int
) -> tuple[Tensor, Tensor]:
    """y_t = b + Σ_{j<k} w_j x_{t-(k-1-j)d} for inputs x (B, T, C), and the last (k-1)d inputs for what follows.

    weight: w_0, …, w_{k-1} side by side, (O, k·C). history: (B, (k-1)d, C), None at the start, where it would be zeros.
    """
    channels, steps = inputs.shape[2], inputs.shape[1]
    kernel = weight.shape[1] // channels
    before = (kernel - 1) * dilation
    if history is None:
        # In a short sequence the first taps never leave the zeros: no need to multiply by nothing.
        taps = min(kernel, 1 + (steps - 1) // dilation)
        whole = F.pad(inputs, (0, 0, (taps - 1) * dilation, 0))
        weight, history = weight[:, (kernel - taps) * channels :], last(inputs, before)
    else:
        taps, whole = kernel, torch.cat([history, inputs], dim=1)
        history = last(whole, before)
    shown = [whole[:, tap * dilation : tap * dilation + steps] for tap in range(taps)]
    return F.linear(torch.cat(shown, dim=2) if taps > 1 else inputs, weight, bias), history


def delayed(inputs: Tensor, history: Tensor | None, delay: int) -> tuple[Tensor, Tensor]:
    """x_{t-delay} for inputs x (B, T, C), and the last `delay` inputs for what follows; zeros before the start."""
    if history is None:
        history = inputs.new_zeros((len(inputs), delay, inputs.shape[2]))
    whole = torch.cat([history, inputs], dim=1)
    return whole[:, : inputs.shape[1]], last(whole, delay)


def last(inputs: Tensor, count: int) -> Tensor:
    """The last `count` of T steps of (B, T, C), with zeros before them where there are fewer.

    A copy, always: a view would keep the whole piece alive, and change with a buffer that the caller fills again.
    """
    steps = inputs.shape[1]
    return F.pad(inputs, (0, 0, count - steps, 0)) if steps < count else inputs[:, steps - count :].clone()
