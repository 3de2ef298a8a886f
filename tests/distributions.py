"""A distribution over symbols from plain numbers, as a head of a language model would give it."""

from __future__ import annotations

import torch
from torch import Tensor


class Scores:
    """softmax(scores), from scores (B, R, V) or anything that can be expanded to it."""

    def __init__(self, scores: Tensor, batch: int = 1, reads: int = 1) -> None:
        shape = torch.broadcast_shapes(scores.shape, (batch, reads, scores.shape[-1]))
        self.values = scores.double().log_softmax(-1).expand(shape)  # (B, R, V), a view where all are equal

    def surprisal(self, targets: Tensor) -> Tensor:
        return -self.values.take_along_dim(targets.unsqueeze(2), 2).squeeze(2)

    def log_probabilities(self) -> Tensor:
        return self.values

    def most_probable(self) -> Tensor:
        return self.values.argmax(2)


def always(probabilities: list[float], targets: Tensor) -> Scores:
    """The answer of a model that says the same at every step that is read."""
    return Scores(torch.tensor(probabilities, dtype=torch.float64).log(), *targets.shape)
