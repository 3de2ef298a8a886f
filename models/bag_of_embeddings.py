"""The mean of all inputs so far: the baseline that knows which words there are and not in which order."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from . import base
from ._options import at_least, probability


class Model(base.Model):
    """Bag of embeddings: the mean of the inputs up to a step, then hidden layers, if any.

    For inputs x_t (C,), which are embeddings of symbols where the task shows symbols,

        m_t = (x_1 + … + x_t) / t
        z_0 = m_t, z_l = tanh(A_l z_{l-1} + a_l)        for l = 1 … layers

    and the features are z of the last layer. Where C is not W a matrix (W, C) stands before the mean. With no hidden
    layer and a linear read-out this is the classifier of Joulin et al. 2017 without its n-grams, and as hard to beat on
    the sentiment of short texts; with hidden layers it is the deep averaging network of Iyyer et al. 2015.

    Parameters: W² + W of a hidden layer, and C·W where C is not W. State: the sum (B, W) and the number of steps.

    width: W. layers: hidden layers. dropout: probability for single numbers of the features, of each hidden layer and
    of the mean. Raises ValueError where an option is out of its range.

    Source: M. Iyyer, V. Manjunatha, J. Boyd-Graber & H. Daumé III, Deep unordered composition rivals syntactic methods
    for text classification, ACL 2015; A. Joulin et al., Bag of tricks for efficient text classification, EACL 2017,
    arXiv:1607.01759.
    """

    version = 1
    sized_by = "width"
    variants = ("bag-of-embeddings(layers=2)",)
    source = "Iyyer et al. 2015, Deep unordered composition; Joulin et al. 2017, arXiv:1607.01759"
    look = ("#9A9A9A", "s", (1, 2))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 1}

    def __init__(self, channels: int, *, width: int = 64, layers: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        at_least(1, channels=channels, width=width)
        at_least(0, layers=layers)
        probability(dropout=dropout)
        self.project: nn.Module = nn.Identity() if channels == width else nn.Linear(channels, width, bias=False)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.dropout = base.Dropout(dropout)
        self.features = width
        self.state_size = width + 1
        self.receptive_field = None
        self.macs_per_step = (0 if channels == width else channels * width) + layers * width * width

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Features (B, T, W) of inputs (B, T, C), and the sum (B, W) of all steps with their number (B, 1)."""
        steps = self.project(inputs)
        total, count = (steps.new_zeros(len(steps), size) for size in (self.features, 1)) if state is None else state
        sums = total.unsqueeze(1) + _running_sums(steps)  # (B, T, W)
        counts = count.unsqueeze(1) + torch.arange(1, steps.shape[1] + 1, device=steps.device).view(1, -1, 1)
        return self._above(sums / counts), (sums[:, -1], counts[:, -1])

    def read(self, inputs: Tensor, reads: int | None = None) -> Tensor:
        """Features (B, R, W) of the last steps, see `base.Model.read`; where one step is read, one mean is taken."""
        if reads != 1:
            return super().read(inputs, reads)
        return self._above(self.project(inputs).mean(1, keepdim=True))

    def _above(self, features: Tensor) -> Tensor:  # (B, T, W) -> (B, T, W)
        features = self.dropout(features)
        for layer in self.hidden:
            features = self.dropout(torch.tanh(layer(features)))
        return features


def _running_sums(steps: Tensor) -> Tensor:
    """The sum of the steps up to each, (B, T, W)."""
    if steps.device.type == "cpu":
        return steps.cumsum(1)
    # On a GPU cumsum has no deterministic form: a product with ones on and below the diagonal has.
    return torch.ones(steps.shape[1], steps.shape[1], dtype=steps.dtype, device=steps.device).tril() @ steps
