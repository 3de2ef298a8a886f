"""A whole network: a body that makes features of every step, and a head that answers where the task reads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import Model, State, seed_dropout
from .heads import Linear


class Network(nn.Module):
    """body (B, T, C) -> features (B, T, W) -> the last R steps of them -> head -> outputs (B, R, O).

    `reads` is R, None for every step: a task that is answered at the last step pays for one.
    """

    def __init__(self, body: Model, head: Linear, reads: int | None) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.reads = reads

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        features, state = self.body(inputs, state)  # (B, T, W)
        if self.reads is not None:
            features = features[:, -self.reads :]  # (B, R, W)
        return self.head(features), state  # (B, R, O)

    def seed_dropout(self, generator: torch.Generator) -> None:
        """Gives all dropout inside the stream from which it draws (a generator on the network's device)."""
        seed_dropout(self, generator)

    @property
    def parameter_count(self) -> int:
        """Trainable numbers of body and head, counted as `torch.nn` counts them."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)
