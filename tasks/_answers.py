"""Tasks whose answers are symbols: their loss, and the shares of right answers and of sequences without a wrong one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from . import base

SOLVED_AT = 99.0  # per cent of the answers


class Answers(base.Task):
    """What they share: targets (B, R) int64 below O, logits (B, R, O), and a mask (B, R) where not all are scored."""

    @property
    def floor(self) -> float:
        """The share of answers, in 0 … 1, that are right at best without a look at the input."""
        raise NotImplementedError

    @property
    def several(self) -> bool:
        """Whether a sequence has more than one answer."""
        return True

    @property
    def metrics(self) -> tuple[base.Metric, ...]:
        """The share of right answers; where a sequence has several, also that of sequences in which all are right.

        Of the latter the floor is given as 0: so many guesses in a row are next to never right.
        """
        accuracy = base.Metric("accuracy", "%", "higher", floor=100 * self.floor, solved_at=SOLVED_AT, kind="share")
        sequences = base.Metric("sequences", "%", "higher", floor=0.0, kind="share")
        return (accuracy, sequences) if self.several else (accuracy,)

    def loss(self, outputs: Tensor, batch: base.Batch) -> Tensor:
        """The cross-entropy in nats: the mean over all answers of the batch."""
        nats = F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten(), reduction="none")  # (B * R,)
        if batch.mask is None:
            return nats.mean()
        return torch.where(batch.mask.flatten(), nats, 0).sum() / batch.mask.sum()

    def totals(self, outputs: Tensor, batch: base.Batch) -> base.Totals:
        right = outputs.argmax(2) == batch.targets  # (B, R)
        scored = torch.ones_like(right) if batch.mask is None else batch.mask
        whole = (right | ~scored).all(1)
        found: dict[str, tuple[Tensor, Tensor | int]] = {"accuracy": (100 * (right & scored).sum(), scored.sum())}
        return found | ({"sequences": (100 * whole.sum(), len(right))} if self.several else {})
