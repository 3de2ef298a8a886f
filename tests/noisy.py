"""Models as a user may write them, which draw from the global generators of Python, NumPy and torch.

Their names are `noisy:Module` and so on: all of KINDS.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from seqbench.models.base import Model, State
from torch import Tensor, nn
from torch.nn import functional


class Noisy(Model):
    """A plain recurrent network with some noise on its inputs while it trains."""

    def __init__(self, channels: int, *, width: int = 4) -> None:
        super().__init__()
        self.cell = nn.RNN(channels, width, batch_first=True)
        self.features = self.state_size = width
        self.receptive_field = None
        self.macs_per_step = width * (width + channels)

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        outputs, state = self.cell(self.noisy(inputs) if self.training else inputs, state)
        return outputs, state

    def noisy(self, inputs: Tensor) -> Tensor:
        raise NotImplementedError


class Module(Noisy):
    """By a module of torch's."""

    def __init__(self, channels: int, *, width: int = 4) -> None:
        super().__init__(channels, width=width)
        self.drop = nn.Dropout(0.3)

    def noisy(self, inputs: Tensor) -> Tensor:
        dropped: Tensor = self.drop(inputs)
        return dropped


class Functional(Noisy):
    """By a function of torch's."""

    def noisy(self, inputs: Tensor) -> Tensor:
        return functional.dropout(inputs, 0.3)


class Layers(Noisy):
    """Between the layers of torch's LSTM."""

    def __init__(self, channels: int, *, width: int = 4) -> None:
        super().__init__(channels, width=width)
        self.cell: Any = nn.LSTM(channels, width, num_layers=2, dropout=0.3, batch_first=True)

    def noisy(self, inputs: Tensor) -> Tensor:
        return inputs


class Torch(Noisy):
    def noisy(self, inputs: Tensor) -> Tensor:
        return inputs + 0.3 * torch.rand(inputs.shape, device=inputs.device)


class Python(Noisy):
    """Numbers of a normal distribution, of which Python keeps every second for later."""

    def noisy(self, inputs: Tensor) -> Tensor:
        return inputs * random.random() + 0.3 * random.gauss(0.0, 1.0)


class NumPy(Noisy):
    """Numbers of a normal distribution, of which NumPy keeps every second for later."""

    def noisy(self, inputs: Tensor) -> Tensor:
        return inputs * np.random.rand() + 0.3 * np.random.standard_normal()


class First(Noisy):
    """What it begins with, and nothing later."""

    def __init__(self, channels: int, *, width: int = 4) -> None:
        super().__init__(channels, width=width)
        self.scale = float(np.random.rand() + random.random())

    def noisy(self, inputs: Tensor) -> Tensor:
        return self.scale * inputs


class Always(Torch):
    """In evaluation, too."""

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        outputs, state = self.cell(self.noisy(inputs) * random.random(), state)
        return outputs, state


KINDS = ("Module", "Functional", "Layers", "Torch", "Python", "NumPy", "First", "Always")
ON_HOST = ("Python", "NumPy", "Always")
"""Those that draw numbers on the host in each step, so that it cannot be captured."""
