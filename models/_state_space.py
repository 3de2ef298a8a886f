"""What the diagonal state-space models share: their gated output."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._block import matrix, residual_scale


class GatedOutput(nn.Module):
    """u ⊙ σ(v), where u and v, (B, T, W) each, are the halves of A gelu(y) + b: A (2W, W), b (2W,), b = 0 at first.

    layers: of the network, for the initial size of A, as in `_block.Blocks`.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.weights = matrix(width, 2 * width, residual_scale(layers))
        self.bias = nn.Parameter(torch.zeros(2 * width))

    def forward(self, states: Tensor) -> Tensor:  # (B, T, W) -> (B, T, W)
        return F.glu(F.linear(F.gelu(states), self.weights.weight, self.bias), dim=-1)
