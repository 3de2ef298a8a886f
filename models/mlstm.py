"""The mLSTM of xLSTM: a matrix memory with exponential input gates, parallel in time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import base
from ._block import Blocks, ShortConvolution, convolved, matrix
from ._heads import divide, width_step
from ._mixer import Mixer
from ._options import at_least
from ._xlstm import BlockDiagonal, HeadNorm, mlstm

BLOCK = 4
"""Numbers of a block of the maps to queries, keys and values, as published."""


class Model(Blocks):
    """mLSTM (Beck et al. 2024) in the residual block; as published, the block has no MLP.

    For inputs i_t (W,) of the mixer and E = expansion · W numbers in H heads of K = E/H,

        [x_t, z_t] = A i_t                                  A (2E, W)
        u_t = silu(conv(x_t))                               causal, depthwise, of k taps, with bias
        q_t, k_t, v_t = B_q u_t, B_k u_t, B_v x_t           block-diagonal (E, E), of blocks of 4
        ι_t, φ_t = G [q_t, k_t, v_t] + g                    two logits for each head, G (2H, 3E)
        C_t = σ(φ_t) C_{t-1} + e^{ι_t} k_t v_tᵀ/√K          in each head, C_0 = 0 (K, K)
        n_t = σ(φ_t) n_{t-1} + e^{ι_t} k_t/√K               n_0 = 0 (K,)
        h_t = C_tᵀ q_t / max(|n_t·q_t|, 1)
        o_t = A_o ((norm(h_t) + s ⊙ u_t) ⊙ silu(z_t))       layer norm in each head, skip s (E,), A_o (W, E)

    Parameters of the mixer: 3·W·E + 12·E + (k+1)·E + 2H·(3E + 1) + 2E. State: for each layer and head C, n and the
    logarithm m by which both are scaled, and the convolution's last k-1 inputs, H·(K² + K + 1) + (k-1)·E numbers.

    heads: H. expansion: E / W. convolution: k, of the mixer, 0 for none (then u = silu(x)); the block has none of its
    own. Initially all of G is 0, the forget biases go from 3 to 6 over the heads and the input biases are from
    N(0, 0.1²); A is as in the block, B from N(0, 2/(5W)), A_o from N(0, 4/(L²W)) for L layers, and s = 1.
    The other options, the block and its initial weights are explained at `_block.Blocks`. Raises ValueError where an
    option is out of its range, or where E is no multiple of the heads or of 4.

    Source: M. Beck et al., xLSTM: Extended long short-term memory, NeurIPS 2024, arXiv:2405.04517, eq. 19 to 27 and
    figure 11.
    """

    version = 1
    sized_by = "width"
    variants = ("mlstm(heads=1)", "mlstm(convolution=0)")
    source = "Beck et al. 2024, arXiv:2405.04517 (mLSTM)"
    look = ("#A3B48B", "p", (1, 1, 1, 1, 6, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2, "heads": 2, "convolution": 3}

    def __init__(
        self,
        channels: int,
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        expansion: int = 2,
        convolution: int = 4,
        inner: int | None = 0,
        norm: Literal["rms", "layer"] = "rms",
        dropout: float = 0.0,
    ) -> None:
        at_least(1, heads=heads, expansion=expansion)
        at_least(0, convolution=convolution)
        divide(width, heads, expansion)
        divide(width, BLOCK, expansion)
        self.heads, self.expansion, self.taps = heads, expansion, convolution
        super().__init__(channels, width=width, layers=layers, inner=inner, convolution=0, norm=norm, dropout=dropout)

    @classmethod
    def width_step_for(cls, options: Mapping[str, Any]) -> int:
        """The heads and the blocks of 4 must divide expansion · W."""
        steps = (width_step(count, options["expansion"]) for count in (options["heads"], BLOCK))
        return math.lcm(*steps)

    def make_mixer(self, layer: int) -> Mixer:
        """One mLSTM of H heads."""
        return MatrixMemory(self.width, self.expansion * self.width, self.heads, self.taps, self.layers)


class MatrixMemory(Mixer):
    """The mixer of an mLSTM of W numbers, with E inside in H heads and k taps, in one of L layers; see `Model`."""

    def __init__(self, width: int, inside: int, heads: int, taps: int, layers: int) -> None:
        super().__init__()
        std = math.sqrt(2 / (5 * width))
        self.enter = matrix(width, 2 * inside)
        self.convolution = ShortConvolution(inside, taps) if taps else None
        self.queries, self.keys, self.values = (BlockDiagonal(inside, inside, inside // BLOCK, std) for _ in range(3))
        self.gates = nn.Linear(3 * inside, 2 * heads)  # input gates, forget gates
        nn.init.zeros_(self.gates.weight)
        nn.init.normal_(self.gates.bias, 0.0, 0.1)
        if not self.gates.bias.is_meta:
            with torch.no_grad():
                self.gates.bias[heads:] = torch.linspace(3.0, 6.0, heads)
        self.norm = HeadNorm(inside, heads)
        self.skip = nn.Parameter(torch.ones(inside))
        self.leave = matrix(inside, width)
        nn.init.normal_(self.leave.weight, 0.0, 2 / (layers * math.sqrt(width)))
        size = inside // heads
        self.heads = heads
        self.state_size = heads * (size * size + size + 1) + (max(0, taps - 1)) * inside
        self.receptive_field = None
        self.macs_per_step = inside * (3 * width + 3 * BLOCK + 6 * heads + taps)

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Outputs (B, T, W) of inputs (B, T, W); the state is the convolution's (B, k-1, E), and C with n, and m."""
        history, memory = (None, None) if state is None else state
        entered, gate = self.enter(inputs).chunk(2, dim=2)  # (B, T, E) each
        shown, history = convolved(self.convolution, entered, history)
        queries, keys, values = self.queries(shown), self.keys(shown), self.values(entered)
        logits = self.gates(torch.cat([queries, keys, values], 2)).transpose(1, 2)  # (B, 2H, T)
        write, keep = logits.chunk(2, dim=1)  # (B, H, T) each
        queries, keys, values = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (queries, keys, values)
        )  # (B, H, T, K) each
        hidden, memory = mlstm(queries, keys, values, write, keep, memory)
        hidden = self.norm(hidden.transpose(1, 2).flatten(2))  # (B, T, E)
        return self.leave((hidden + self.skip * shown) * F.silu(gate)), (history, memory)
