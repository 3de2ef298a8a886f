"""What minGRU and minLSTM share: gates that see the inputs alone, a linear recurrence, and an output projection."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from ._block import matrix, residual_scale
from ._linear_recurrence import linear_recurrence
from ._mixer import Mixer, Package
from ._options import at_least, one_of


class MinRNN(Mixer):
    """h_t = a_t ⊙ h_{t-1} + w_t ⊙ h̃_t with decays a and write gates w that depend on x_t alone, and y_t = W_o h_t.

    width: W of x and y. expansion: E = expansion · W numbers in h. gates: how many gates there are; `decay_and_write`
    makes a and w of them. candidate: "linear", h̃ = W_h x + b_h, or "positive", h̃ = g(W_h x + b_h) with g(x) = x + ½ for
    x ≥ 0 and σ(x) below. layers: of the network, for the initial size of W_o.
    All matrices and their initial weights are as in `_block.Blocks`; biases of gates and candidate are 0 at first.
    """

    def __init__(
        self, width: int, layers: int, *, expansion: int, gates: int, candidate: Literal["linear", "positive"]
    ) -> None:
        super().__init__()
        at_least(1, expansion=expansion)
        one_of(("linear", "positive"), candidate=candidate)
        size = expansion * width
        self.weights = matrix(width, (gates + 1) * size)
        self.bias = nn.Parameter(torch.zeros((gates + 1) * size))
        self.down = matrix(size, width, residual_scale(layers))
        self.size, self.positive = size, candidate == "positive"
        self.state_size = size
        self.receptive_field = None
        self.macs_per_step = (gates + 2) * size * width

    @abstractmethod
    def decay_and_write(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        """a and w, (B, T, E) each, of what goes into the gates, (B, T, G·E)."""

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, W) of inputs (B, T, W), and h (B, E) after the last step."""
        states, last = self._states(inputs, state)
        return self.down(states), last

    def read(self, inputs: Tensor, reads: int) -> Tensor:
        """Outputs (B, R, W) of the last R steps: of the others only the states are computed."""
        states, _ = self._states(inputs, None)
        return self.down(states[:, -reads:])

    def _states(self, inputs: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """h (B, T, E) of inputs (B, T, W), and the last of them (B, E)."""
        values = self.weights(inputs) + self.bias  # (B, T, (G+1)·E), float32 under autocast by the bias
        gates, candidate = values.split([values.shape[2] - self.size, self.size], dim=2)
        if self.positive:
            candidate = torch.where(candidate >= 0, candidate + 0.5, candidate.sigmoid())
        decay, write = self.decay_and_write(gates)
        return linear_recurrence(decay, write * candidate, state)


def in_package(layer: str, mixer: MinRNN) -> Package:
    """A layer of minGRU-pytorch of the size of a mixer: no biases, positive candidates."""
    width = mixer.down.out_features
    arguments = {"dim": width, "expansion_factor": mixer.size / width, "proj_out": True}
    return Package(layer, arguments, "prev_hidden", "return_next_prev_hidden")
