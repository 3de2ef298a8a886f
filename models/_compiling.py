"""How the kernels of the models are compiled, and when they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from numba import njit
from torch import Tensor

OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
"""No check for a division by zero, a product and a sum may be fused, and no other liberty with the arithmetic."""

_plain: ContextVar[bool] = ContextVar("plain", default=False)


def kernel(function: Callable[..., Any]) -> Any:
    """`function` compiled at its first call, without Python's lock, and kept on the disk for other processes."""
    try:
        return njit(nogil=True, cache=True, **OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return njit(nogil=True, **OPTIONS)(function)


def fast(*tensors: Tensor | None) -> bool:
    """Whether the kernels can compute with these tensors: all on the CPU, and all float32 or all float64."""
    given = [tensor for tensor in tensors if tensor is not None]
    if _plain.get() or given[0].dtype not in (torch.float32, torch.float64):
        return False
    return all(tensor.device.type == "cpu" and tensor.dtype == given[0].dtype for tensor in given)


@contextmanager
def plain() -> Iterator[None]:
    """Within it the models compute with torch's operations alone: the reference that the kernels are equal to."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)
