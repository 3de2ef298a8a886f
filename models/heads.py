"""Read-outs: maps from features to outputs, applied only to the steps that a task reads."""

from __future__ import annotations

from torch import Tensor, nn


class Linear(nn.Linear):
    """outputs = features · Aᵀ + b, the read-out of every task that is not a language model.

    std: the standard deviation of the normal from which A is drawn; None keeps PyTorch's uniform
    U(-1/√W, 1/√W). The published code (Bai et al. 2018) uses 0.01 for adding and copy memory; b keeps PyTorch's draw.
    Raises ValueError for a negative std.
    """

    def __init__(self, features: int, outputs: int, *, std: float | None = None) -> None:
        if std is not None and std < 0:
            raise ValueError(f"linear head: std={std}: at least 0 is needed")
        super().__init__(features, outputs)
        if std is not None:
            nn.init.normal_(self.weight, 0.0, std)

    def forward(self, input: Tensor) -> Tensor:  # (B, R, W) -> (B, R, O); the name is nn.Linear's
        return super().forward(input)

    @property
    def macs_per_step(self) -> int:
        """Multiply-adds of weights for each step that is read."""
        return self.in_features * self.out_features


HEADS = {"linear": Linear}
