"""How tensors are laid out for the kernels: rows padded with zeros to whole vectors."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ._products import padded


def padded_rows(tensor: Tensor) -> Tensor:  # (…, N) -> (…, padded N)
    """The tensor with zeros behind each row up to `padded`; itself where nothing is to be added. Contiguous."""
    more = padded(tensor.shape[-1]) - tensor.shape[-1]
    return (F.pad(tensor, (0, more)) if more else tensor).contiguous()
