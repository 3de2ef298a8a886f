"""The gated temporal convolutional network, the body of WaveNet."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from . import base
from ._options import at_least, one_of, probability
from ._taps import convolution


class Model(base.Model):
    """Gated dilated causal convolutions with residual and skip connections (van den Oord et al. 2016, WaveNet).

    From x (B, T, W), a 1x1 convolution of the inputs, layer i = 0 … n-1 of dilation d = 2^(i mod m) computes

        z_t = tanh(Σ_{j<k} F_j x_{t-(k-1-j)d} + f) ⊙ σ(Σ_{j<k} G_j x_{t-(k-1-j)d} + g)      F_j, G_j (W, W)
        x ← x + R drop(z) + r                               but behind the last layer; R (W, W)
        s_i = S drop(z) + s                                 S (K, W)

    and the features, K of them, are relu(s_0 + … + s_{n-1}).
    Parameters: C·W + W for the front, for each layer 2k·W² + 2W + K·W + K, and W² + W for R and r in all but the last.
    State: for each layer the last (k-1)d numbers x, (B, (k-1)d, W). The features at t see the inputs from
    t - (k-1)·Σd on.

    kernel: k. levels: n. cycle: m, after so many layers dilations begin at 1 again; none: they never do. width: W.
    skips: K; none: W. A size between two widths is met by it.
    dropout, dropout_kind: as in `base.Dropout`. Weights start as PyTorch's Conv1d does. Of two adjoining windows of a
    text each is read from its start, as with the TCN. Raises ValueError where an option is out of its range.

    Source: A. van den Oord et al., WaveNet: A generative model for raw audio, arXiv:1609.03499, eq. 2 and figure 4.
    """

    version = 1
    sized_by = "width"
    fine_option = "skips"
    variants = ("gated-tcn(kernel=3)", "gated-tcn(cycle=4)")
    source = "van den Oord et al. 2016, arXiv:1609.03499"
    look = ("#3D1FF7", "8", (5, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"kernel": 2, "levels": 4, "cycle": 3, "width": 6, "skips": 5}

    def __init__(
        self,
        channels: int,
        *,
        kernel: int = 2,
        levels: int = 10,
        cycle: int | None = None,
        width: int = 32,
        skips: int | None = None,
        dropout: float = 0.0,
        dropout_kind: Literal["channel", "element"] = "channel",
    ) -> None:
        super().__init__()
        cycle = levels if cycle is None else cycle
        skips = width if skips is None else skips
        at_least(1, channels=channels, levels=levels, cycle=cycle, width=width, skips=skips)
        at_least(2, kernel=kernel)
        probability(dropout=dropout)
        one_of(("channel", "element"), dropout_kind=dropout_kind)
        self.dilations = [2 ** (level % cycle) for level in range(levels)]
        self.front = nn.Linear(channels, width)
        self.gates = nn.ModuleList(nn.Linear(kernel * width, 2 * width) for _ in range(levels))  # F above G
        self.skips = nn.ModuleList(nn.Linear(width, skips) for _ in range(levels))
        self.residuals = nn.ModuleList(nn.Linear(width, width) for _ in range(levels - 1))
        self.dropout = base.Dropout(dropout, dropout_kind)
        reach = (kernel - 1) * sum(self.dilations)
        self.features = skips
        self.state_size = reach * width
        self.receptive_field = 1 + reach
        self.macs_per_step = channels * width + levels * (2 * kernel * width + skips) * width
        self.macs_per_step += (levels - 1) * width**2

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Features (B, T, K) of inputs (B, T, C), and the last inputs of every dilated convolution."""
        return self._run(inputs, state, inputs.shape[1])

    def read(self, inputs: Tensor, reads: int | None = None) -> Tensor:
        """Features (B, R, K) of the last steps of whole sequences: only of these anything is shown."""
        return self._run(inputs, None, inputs.shape[1] if reads is None else reads)[0]

    def _run(self, inputs: Tensor, state: base.State, reads: int) -> tuple[Tensor, list[Tensor]]:
        hidden, after = self.front(inputs), []
        before = [None] * len(self.dilations) if state is None else state
        shown: Tensor | None = None
        for level, (dilation, history) in enumerate(zip(self.dilations, before, strict=True)):
            gates = self.gates[level]
            assert isinstance(gates, nn.Linear)
            pair, history = convolution(hidden, history, gates.weight, gates.bias, dilation)
            after.append(history)
            signal, gate = pair.chunk(2, dim=2)  # (B, T, W) each
            mixed = self.dropout(torch.tanh(signal) * torch.sigmoid(gate))
            skip = self.skips[level](mixed[:, -reads:])
            shown = skip if shown is None else shown + skip
            if level < len(self.residuals):
                hidden = hidden + self.residuals[level](mixed)
        assert shown is not None
        return torch.relu(shown), after
