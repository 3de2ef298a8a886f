"""What the scans of matrix states share: a state (…, N, E) for each sequence that only one step in `CHUNK` keeps.

A backward pass that needs the state before every step would have N times the memory of any other tensor of the model.
The kernels keep the state at the borders of chunks and recompute what is between, with all of a chunk in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps

import torch
from torch import Tensor

from . import _slices

CHUNK = 16
"""Steps between two states that are kept for the backward pass."""


Scan = Callable[..., tuple[Tensor, Tensor]]


def in_single_precision(scan: Scan) -> Scan:
    """The scan, under autocast on float32 of all tensors that it is given: sums over time lose too much in half."""

    @wraps(scan)
    def precise(first: Tensor, *others: Tensor | None) -> tuple[Tensor, Tensor]:
        device = first.device.type
        if not torch.is_autocast_enabled(device):
            return scan(first, *others)
        with torch.autocast(device, enabled=False):
            return scan(first.float(), *(None if other is None else other.float() for other in others))

    return precise


def borders(state: Tensor, steps: int) -> Tensor:
    """Room (B, M+1, …) for the state before each of the M chunks of T steps, of which `state` (B, …) is the first.

    The last is the state after all steps.
    """
    states = state.new_empty((len(state), -(-steps // CHUNK) + 1, *state.shape[1:]))
    states[:, 0] = state
    return states


def given(gradient: Tensor | None, like: Tensor) -> Tensor:
    """A gradient as a contiguous tensor, zeros where autograd has none."""
    return torch.zeros_like(like) if gradient is None else gradient.contiguous()


def slots(batch: int) -> int:
    """How many slices a batch has in `over_sequences`."""
    return len(_slices.slices(batch, 1))


def over_sequences(function: Callable[..., None], *tensors: Tensor) -> None:
    """Calls a kernel with these arrays, of which the first has a batch of B, on slices of the batch side by side."""
    arrays = (tensor.detach().numpy() for tensor in tensors)
    _slices.run(partial(function, *arrays), _slices.slices(len(tensors[0]), 1))
