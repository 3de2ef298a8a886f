"""The trellis network: one layer's weights at every level, and the inputs shown to each of them."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from . import base
from ._options import at_least, probability
from ._taps import convolution, delayed


class Model(base.Model):
    """Trellis network (Bai, Kolter & Koltun 2019) with the gates of an LSTM.

    From z = c = 0, each of the levels i = 1 … n, of dilation d, has the same weights U (4W, kC), V (4W, kW), b (4W,),

        [ι, ω, γ, φ]_t = U [x_{t-(k-1)d}, …, x_t] + V [z_{t-(k-1)d}, …, z_t] + b
        c'_t = σ(φ_t) ⊙ c_{t-d} + σ(ι_t) ⊙ tanh(γ_t)
        z'_t = σ(ω_t) ⊙ tanh(c'_t)                          z' and c' are the z and c of the next level

    and the features are z' of the last. Of inputs and states before the sequence all are 0.
    Parameters, whatever the number of levels: 4W·k·(C + W) + 4W, and 8W gains with weight normalization, in which each
    row of U and V is its direction over its length times a gain. State: the inputs' last (k-1)·max(d), and of each
    level but the first, which is given nothing, the last (k-1)d of z and the last d of c.

    kernel: k. levels: n. dilations: d of every level, whose number then are the levels; none: 1, 1, 2, 4, …, as
    published for rows of pixels. width: W. dropout: for z between levels, one mask for all steps and all levels.
    recurrent_dropout: for the entries of V, one mask a pass (weight drop). Weights start from N(0, 0.01²), so does b.
    Raises ValueError where an option is out of its range.

    Source: S. Bai, J. Z. Kolter & V. Koltun, Trellis networks for sequence modeling, ICLR 2019, arXiv:1810.06682,
    section 3 and appendix A; dropouts and start as in the published code.
    """

    version = 1
    sized_by = "width"
    variants = ("trellisnet(weight_norm=false)", "trellisnet(kernel=3)")
    source = "Bai, Kolter & Koltun 2019, arXiv:1810.06682"
    look = ("#E10BEE", "d", (1, 1, 4, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"kernel": 2, "levels": 4, "width": 6}
    carries = True

    def __init__(
        self,
        channels: int,
        *,
        kernel: int = 2,
        levels: int = 8,
        dilations: tuple[int, ...] = (),
        width: int = 64,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        weight_norm: bool = True,
    ) -> None:
        super().__init__()
        at_least(1, channels=channels, levels=levels, width=width)
        at_least(2, kernel=kernel)
        for dilation in dilations:
            at_least(1, dilations=dilation)
        probability(dropout=dropout, recurrent_dropout=recurrent_dropout)
        self.dilations = dilations or (1, *(2**level for level in range(levels - 1)))
        self.of_inputs = SharedWeight(4 * width, kernel * channels, weight_norm)
        self.of_hidden = SharedWeight(4 * width, kernel * width, weight_norm)
        self.bias = nn.Parameter(torch.empty(4 * width))
        nn.init.normal_(self.bias, 0.0, 0.01)
        self.dropout = base.Dropout(dropout, "channel")
        self.weight_drop = base.Dropout(recurrent_dropout)
        reach, above = sum(self.dilations), sum(self.dilations[1:])
        self.features = width
        self.state_size = (kernel - 1) * max(self.dilations) * channels + kernel * above * width
        self.receptive_field = 1 + (kernel - 1) * reach
        self.macs_per_step = 4 * width * kernel * (channels + width)

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Features (B, T, W) of inputs (B, T, C), and what each level has kept, of the inputs first."""
        shown_before, *before = [None] * len(self.dilations) if state is None else state
        of_inputs, of_hidden = self.of_inputs(), self.weight_drop(self.of_hidden())
        shown, shown_after = self._shown(inputs, shown_before, of_inputs)
        mask = self.dropout.mask(inputs.new_empty((len(inputs), 1, self.features))) if self.dropping else None
        after: list[base.State] = [shown_after]
        hidden = cells = None
        for level, dilation in enumerate(self.dilations):
            gates, late = shown[dilation], None
            if hidden is not None and cells is not None:
                history, cell_history = before[level - 1] or (None, None)
                if mask is not None:
                    hidden = hidden * mask
                more, history = convolution(hidden, history, of_hidden, None, dilation)
                late, cell_history = delayed(cells, cell_history, dilation)
                gates = gates + more
                after.append((history, cell_history))
            write, show, candidate, keep = gates.chunk(4, dim=2)  # (B, T, W) each
            cells = torch.sigmoid(write) * torch.tanh(candidate)
            cells = cells if late is None else cells + torch.sigmoid(keep) * late
            hidden = torch.sigmoid(show) * torch.tanh(cells)
        assert hidden is not None
        return hidden, after

    @property
    def dropping(self) -> bool:
        """Whether hidden states are dropped now."""
        return self.training and self.dropout.probability > 0

    def _shown(self, inputs: Tensor, before: Tensor | None, weight: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """What the inputs add to the gates of levels of each dilation, (B, T, 4W), and the last inputs."""
        shown, after, longest = {}, inputs, max(self.dilations)
        for dilation in {*self.dilations}:
            own = before if before is None else before[:, before.shape[1] * (longest - dilation) // longest :]
            shown[dilation], history = convolution(inputs, own, weight, self.bias, dilation)
            after = history if dilation == longest else after
        return shown, after


class SharedWeight(nn.Module):
    """A matrix (O, I), or with weight normalization its rows' directions over their lengths times gains."""

    gain: nn.Parameter | None

    def __init__(self, outputs: int, inputs: int, weight_norm: bool) -> None:
        super().__init__()
        self.direction = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.normal_(self.direction, 0.0, 0.01)
        gain = nn.Parameter(_lengths(self.direction.detach())) if weight_norm else None
        self.register_parameter("gain", gain)

    def forward(self) -> Tensor:
        """The matrix."""
        return self.direction if self.gain is None else self.direction * (self.gain / _lengths(self.direction))


def _lengths(rows: Tensor) -> Tensor:  # (O, I) -> (O, 1)
    if rows.is_meta:  # only counted, and torch's answer there would take a second to import
        return rows.new_empty(len(rows), 1)
    return torch.linalg.vector_norm(rows, dim=1, keepdim=True)
