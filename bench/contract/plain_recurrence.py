"""A model that needs no kernels, by which tasks are tried."""

from __future__ import annotations

from torch import Tensor, nn


class Net(nn.Module):
    """torch's own GRU."""

    def __init__(self, channels: int, width: int = 16) -> None:
        super().__init__()
        self.cell = nn.GRU(channels, width, batch_first=True)

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        features, state = self.cell(inputs, state)  # (B, T, C) -> (B, T, W)
        return features, state
