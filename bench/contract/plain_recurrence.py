"""Models that need no kernels, by which tasks are tried."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...models.encoder_decoder import Decoded, EncoderDecoder


class Net(nn.Module):
    """torch's own GRU."""

    def __init__(self, channels: int, width: int = 16) -> None:
        super().__init__()
        self.cell = nn.GRU(channels, width, batch_first=True)

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        features, state = self.cell(inputs, state)  # (B, T, C) -> (B, T, W)
        return features, state


class Pairs(EncoderDecoder):
    """An encoder-decoder of torch's own GRUs, for tasks that show a source and ask for a target."""

    def __init__(self, source: int, target: int, *, width: int = 16) -> None:
        super().__init__(source, target)
        self.embed_source, self.embed_target = nn.Embedding(source, width), nn.Embedding(target, width)
        self.reader, self.writer = nn.GRU(width, width, batch_first=True), nn.GRU(width, width, batch_first=True)
        self.features = self.state_size = width
        self.receptive_field, self.macs_per_step = None, 12 * width * width

    def encode(self, source: Tensor, lengths: Tensor) -> Tensor:  # (B, S), (B,) -> (B, W)
        states, _ = self.reader(self.embed_source(source))
        last = (lengths - 1)[:, None, None]
        return torch.take_along_dim(states, last, 1).squeeze(1)

    def decode(self, memory: Tensor, inputs: Tensor, state: Tensor | None = None) -> Decoded:
        before = memory if state is None else state  # (B, W)
        features, after = self.writer(self.embed_target(inputs), before.unsqueeze(0))
        return Decoded(features, after.squeeze(0), None)
