"""The sLSTM of xLSTM: an LSTM with exponential input gates and a normalizer, sequential in time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from . import base
from ._block import Blocks, ShortConvolution
from ._heads import divide, width_step
from ._mixer import Mixer
from ._options import at_least
from ._slstm import slstm
from ._xlstm import BlockDiagonal, HeadNorm


class Model(Blocks):
    """sLSTM (Beck et al. 2024) in the residual block.

    For inputs i_t (W,) of the mixer in H heads of P = W/H, each with gates and a state of its own,

        u_t = silu(conv(i_t))                               causal, depthwise, of k taps, with bias
        [ι_t, φ_t] = A u_t + R y_{t-1} + a                  logits of input and forget gates; A and R (2P, P)
        [ζ_t, ω_t] = B i_t + Q y_{t-1} + b                  candidates and output gates; B and Q (2P, P)
        c_t = σ(φ_t) c_{t-1} + e^{ι_t} tanh(ζ_t)
        n_t = σ(φ_t) n_{t-1} + e^{ι_t}                      c_0 = n_0 = y_0 = 0 (P,)
        y_t = σ(ω_t) c_t / n_t
        o_t = norm(y_t)                                     layer norm in each head

    Parameters of the mixer: 8·W²/H + 5·W + (k+1)·W. State: for each layer y, c, n and the logarithm m by which c and n
    are scaled, each (B, W), and the convolution's last k-1 inputs, 4·W + (k-1)·W numbers.

    heads: H. convolution: k, of the mixer, 0 for none (then u = i); the block has none of its own.
    Initially A and B are from N(0, 2/(5W)), R and Q are 0, and so are the biases but those of the forget gates: in unit
    j = 0 … P-1 of a head 5 - 12 (j/(P-1))^(0.3 + 1.3 l/(L-1)) in layer l = 0 … L-1, from 5 down to -7.
    The other options, the block and its initial weights are explained at `_block.Blocks`; the paper's own block has an
    MLP with a GELU gate of 4W/3 where this has a SwiGLU. Raises ValueError where an option is out of its range, or
    where a head has fewer than two units.

    Source: M. Beck et al., xLSTM: Extended long short-term memory, NeurIPS 2024, arXiv:2405.04517, eq. 8 to 18 and
    figure 10; the initial biases are those of the authors' package.
    """

    version = 1
    sized_by = "width"
    variants = ("slstm(heads=1)", "slstm(convolution=0)")
    source = "Beck et al. 2024, arXiv:2405.04517 (sLSTM)"
    look = ("#7E0FBB", "h", (3, 1, 3, 1, 1, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2, "heads": 2, "convolution": 3}

    def __init__(
        self,
        channels: int,
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        convolution: int = 4,
        inner: int | None = None,
        norm: Literal["rms", "layer"] = "rms",
        dropout: float = 0.0,
    ) -> None:
        at_least(1, heads=heads)
        at_least(0, convolution=convolution)
        if divide(width, heads) < 2:
            raise ValueError(f"width: at least 2 units for each of {heads} heads are needed, got {width}")
        self.heads, self.taps = heads, convolution
        super().__init__(channels, width=width, layers=layers, inner=inner, convolution=0, norm=norm, dropout=dropout)

    @classmethod
    def width_step_for(cls, options: Mapping[str, Any]) -> int:
        """The heads must divide the width."""
        return width_step(options["heads"])

    def make_mixer(self, layer: int) -> Mixer:
        """One sLSTM of H heads, whose forget biases depend on the layer."""
        return ScalarMemory(self.width, self.heads, self.taps, layer / max(1, self.layers - 1))


class ScalarMemory(Mixer):
    """The mixer of an sLSTM of W units in H heads, with k taps; see `Model`. depth: l/(L-1), from 0 to 1."""

    def __init__(self, width: int, heads: int, taps: int, depth: float) -> None:
        super().__init__()
        size, std = width // heads, math.sqrt(2 / (5 * width))
        self.convolution = ShortConvolution(width, taps) if taps else None
        self.gates = BlockDiagonal(width, 2 * width, heads, std)  # in each head: input gates, forget gates
        self.candidates = BlockDiagonal(width, 2 * width, heads, std)  # in each head: candidates, output gates
        self.recurrent = nn.Parameter(torch.zeros(heads, size, 4 * size))
        self.bias = nn.Parameter(torch.zeros(4 * width))
        if not self.bias.is_meta:
            places = torch.arange(size) / max(1, size - 1)
            with torch.no_grad():
                self.bias.view(heads, 4, size)[:, 1] = 5.0 - 12.0 * places ** (0.3 + 1.3 * depth)
        self.norm = HeadNorm(width, heads)
        self.heads = heads
        self.state_size = 4 * width + max(0, taps - 1) * width
        self.receptive_field = None
        self.macs_per_step = 8 * width * size + taps * width

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Outputs (B, T, W) of inputs (B, T, W); the state is the convolution's (B, k-1, W), and y, c, n, m."""
        history, memory = (None, None) if state is None else state
        shown, history = (inputs, ()) if self.convolution is None else self.convolution(inputs, history)
        logits = [
            part(x).unflatten(2, (self.heads, -1)) for part, x in ((self.gates, shown), (self.candidates, inputs))
        ]
        summed = torch.cat(logits, 3) + self.bias.view(self.heads, -1)  # (B, T, H, 4P)
        outputs, memory = slstm(summed, self.recurrent, memory)
        return self.norm(outputs.flatten(2)), (history, memory)
