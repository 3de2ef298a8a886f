"""How the kernels of the models are compiled, and when they are used."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from numba import config as numba_config
from numba import njit
from torch import Tensor

OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
"""No check for a division by zero, a product and a sum may be fused, and no other liberty with the arithmetic."""

config: Any = numba_config  # its settings are made as it is imported, so types are not known of them

_plain: ContextVar[bool] = ContextVar("plain", default=False)


def kernel(function: Callable[..., Any]) -> Any:
    """`function` compiled at its first call, without Python's lock, and kept on the disk for other processes."""
    before, folder = config.CACHE_DIR, _folder()
    config.CACHE_DIR = folder or ""
    try:
        return njit(nogil=True, cache=folder is not None, **OPTIONS)(function)
    finally:
        config.CACHE_DIR = before


@lru_cache
def _folder() -> str | None:
    """Where the machine code is kept: a folder of its own for each state of the sources; None where nothing can be.

    Numba notices an edit of the file of the function that is called, and not of the files from which that calls
    others: it would go on with the machine code of before.
    In the folder that NUMBA_CACHE_DIR names, else beside the sources, else in the user's cache.
    """
    here = Path(__file__).parent
    state = hashlib.sha256(b"".join(source.read_bytes() for source in sorted(here.glob("_*.py")))).hexdigest()[:12]
    users = Path(os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache")
    for base in [Path(config.CACHE_DIR)] if config.CACHE_DIR else [here / "__pycache__", users / "seqbench"]:
        try:
            folder = base.expanduser() / f"kernels-{state}"
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except (OSError, RuntimeError):  # the latter where a user has no home
            continue
        return str(folder)
    return None


def fast(*tensors: Tensor | None) -> bool:
    """Whether the kernels can compute with these tensors: all on the CPU, and all float32 or all float64.

    Nor is there anything to slice where the first of them has no sequence.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    if _plain.get() or given[0].dtype not in (torch.float32, torch.float64) or len(given[0]) == 0:
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
