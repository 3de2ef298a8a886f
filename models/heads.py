"""Read-outs: maps from features to outputs, applied only to the steps that a task reads.

`linear` gives numbers (B, R, O). The others give a distribution over the V symbols of a language task, which a task
asks for the surprisal of its targets: so no head has to write out 268,000 numbers where a few will do. Every head is
built from the features' width W, the number of outputs O, and the embedding's matrix where there is one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import _surprisals
from ._compiling import fast
from ._options import probability
from .base import Dropout


class Linear(nn.Linear):
    """outputs = features · Aᵀ + b, the read-out of every task that is not a language model.

    std: the standard deviation of the normal from which A is drawn; None keeps PyTorch's uniform
    U(-1/√W, 1/√W). The published code (Bai et al. 2018) uses 0.01 for adding and copy memory; b keeps PyTorch's draw.
    Raises ValueError for a negative std.
    """

    gives_distribution = False

    def __init__(
        self, features: int, outputs: int, embedding: nn.Parameter | None = None, *, std: float | None = None
    ) -> None:
        _spread("linear head", std)
        super().__init__(features, outputs)
        if std is not None:
            nn.init.normal_(self.weight, 0.0, std)

    def forward(self, input: Tensor) -> Tensor:  # (B, R, W) -> (B, R, O); the name is nn.Linear's
        return super().forward(input)

    @property
    def macs_per_step(self) -> int:
        return self.in_features * self.out_features


class Logits:
    """softmax(logits), from logits (B, R, V)."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def surprisal(self, targets: Tensor) -> Tensor:  # (B, R) int64 -> (B, R) nats
        # Flat, because the cross-entropy of more than two dimensions has no deterministic backward pass on a GPU.
        values, wanted = self.values.flatten(0, 1), targets.flatten()
        if fast(values) and values.shape[1] >= _surprisals.MANY:
            return _surprisals.surprisals(values, wanted).view_as(targets)
        return F.cross_entropy(values, wanted, reduction="none").view_as(targets)

    def log_probabilities(self) -> Tensor:  # (B, R, V)
        return self.values.log_softmax(2)

    def most_probable(self) -> Tensor:  # (B, R)
        return self.values.argmax(2)


class Softmax(nn.Module):
    """P = softmax(A · drop(features) + b), with a matrix A (V, W) of its own.

    dropout: probability for single features before the matrix. std: as of `Linear`, with b = 0; None keeps
    PyTorch's draw for both. Raises ValueError where an option is out of its range.
    """

    gives_distribution = True

    def __init__(
        self,
        features: int,
        outputs: int,
        embedding: nn.Parameter | None = None,
        *,
        dropout: float = 0.0,
        std: float | None = None,
    ) -> None:
        super().__init__()
        probability(dropout=dropout)
        _spread("softmax head", std)
        self.dropout = Dropout(dropout)
        self.linear = nn.Linear(features, outputs)
        if std is not None:
            nn.init.normal_(self.linear.weight, 0.0, std)
            nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Logits:  # (B, R, W)
        return Logits(self.linear(self.dropout(features)))

    @property
    def macs_per_step(self) -> int:
        return self.linear.in_features * self.linear.out_features


class Tied(nn.Module):
    """P = softmax(E · p + b), with the embedding's own matrix E (V, E) and b = 0 at first.

    p is drop(features), through a linear map to the embedding's width where the two differ: p = B · drop(features) + c.
    dropout: probability for single features before it. Raises ValueError where the task has no embedding.

    Source: O. Press & L. Wolf, Using the output embedding to improve language models, EACL 2017, arXiv:1608.05859;
    H. Inan, K. Khosravi & R. Socher, Tying word vectors and word classifiers, ICLR 2017, arXiv:1611.01462.
    """

    gives_distribution = True

    def __init__(
        self, features: int, outputs: int, embedding: nn.Parameter | None = None, *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        probability(dropout=dropout)
        if embedding is None:
            raise ValueError("tied head: it shares the embedding's matrix, and there is none: the input are numbers")
        self.dropout = Dropout(dropout)
        width = embedding.shape[1]
        self.projection: nn.Module = nn.Identity() if width == features else nn.Linear(features, width)
        self.weight = embedding
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.projection_macs = 0 if width == features else features * width

    def forward(self, features: Tensor) -> Logits:  # (B, R, W) -> (B, R, E) -> (B, R, V)
        return Logits(F.linear(self.projection(self.dropout(features)), self.weight, self.bias))

    @property
    def macs_per_step(self) -> int:
        return self.projection_macs + self.weight.numel()


class Clustered:
    """The distribution of an adaptive softmax, from features (B, R, W)."""

    def __init__(self, softmax: nn.AdaptiveLogSoftmaxWithLoss, features: Tensor) -> None:
        self.softmax = softmax
        self.features = features

    def surprisal(self, targets: Tensor) -> Tensor:  # (B, R) int64 -> (B, R) nats
        kind = self.features.device.type
        if torch.is_autocast_enabled(kind):  # torch's module mixes its clusters' answers, which must be of one type
            with torch.autocast(kind, enabled=False):
                return Clustered(self.softmax, self.features.float()).surprisal(targets)
        return -self.softmax(self.features.flatten(0, 1), targets.flatten()).output.view_as(targets)

    def log_probabilities(self) -> Tensor:  # (B, R, V)
        return self.softmax.log_prob(self.features.flatten(0, 1)).unflatten(0, self.features.shape[:2])

    def most_probable(self) -> Tensor:  # (B, R)
        return self.softmax.predict(self.features.flatten(0, 1)).view(self.features.shape[:2])


class Adaptive(nn.Module):
    """Adaptive softmax: frequent symbols in a short list, the rare ones in clusters with narrower matrices.

    P(v) = P(v in the short list), or P(cluster) · P(v in the cluster): an exact distribution, whose cost for a target
    depends on where it stands. Ids must run from frequent to rare, as those of the language tasks do.

    cutoffs: the first id of each cluster; none: a fifth of the vocabulary, then half of it. divisor: each cluster's
    matrix is that much narrower than the one before, less where few features would leave the last none. dropout:
    probability for single features before all of it.
    `macs_per_step` counts all clusters, what a target costs at most. Raises ValueError for cutoffs that do not grow
    within 1 … V-1.

    Source: E. Grave, A. Joulin, M. Cissé, D. Grangier & H. Jégou, Efficient softmax approximation for GPUs, ICML 2017,
    arXiv:1609.04309; `torch.nn.AdaptiveLogSoftmaxWithLoss`.
    """

    gives_distribution = True

    def __init__(
        self,
        features: int,
        outputs: int,
        embedding: nn.Parameter | None = None,
        *,
        cutoffs: tuple[int, ...] = (),
        divisor: float = 4.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        probability(dropout=dropout)
        if not divisor >= 1:
            raise ValueError(f"adaptive head: divisor={divisor}: a number of at least 1 is needed")
        chosen = [*cutoffs] or [max(1, outputs // 5), max(2, outputs // 2)]
        if chosen != sorted(set(chosen)) or chosen[0] < 1 or chosen[-1] >= outputs:
            raise ValueError(f"adaptive head: cutoffs that grow from 1 to {outputs - 1} are needed, got {chosen}")
        widest = features ** (1 / len(chosen)) * (1 - 1e-9)  # rounding must not leave the last cluster without width
        self.dropout = Dropout(dropout)
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(features, outputs, chosen, min(divisor, widest))

    def forward(self, features: Tensor) -> Clustered:  # (B, R, W)
        return Clustered(self.softmax, self.dropout(features))

    @property
    def macs_per_step(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


Head = Linear | Softmax | Tied | Adaptive

HEADS: dict[str, type[Head]] = {
    "linear": Linear,
    "softmax": Softmax,
    "tied": Tied,
    "adaptive": Adaptive,
}


def _spread(owner: str, std: float | None) -> None:
    if std is not None and std < 0:
        raise ValueError(f"{owner}: std={std}: at least 0 is needed")
