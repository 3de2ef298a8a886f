"""The initial step sizes that Mamba and what came after it have in common."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SMALLEST, LARGEST = 0.001, 0.1
"""Of the step sizes that channels start with: memories of about 1000 to 10 steps."""


def step_size_bias(count: int) -> Tensor:
    """Biases (count,) whose softplus is log-uniform in [SMALLEST, LARGEST] (Gu & Dao 2023, section 3.6)."""
    sizes = torch.empty(count).uniform_(math.log(SMALLEST), math.log(LARGEST)).exp()
    return sizes + torch.log(-torch.expm1(-sizes))  # the inverse of softplus, which stays exact where x is small
