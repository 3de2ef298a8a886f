"""Mamba: a state-space model whose step sizes, writes and reads depend on its inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import base
from ._block import Blocks, ShortConvolution, convolved, matrix
from ._mixer import Mixer, Package
from ._options import at_least
from ._selective import selective_scan
from ._step_sizes import step_size_bias


class Model(Blocks):
    """Mamba (Gu & Dao 2023) in the residual block; as published, the block has no MLP.

    For inputs i_t (W,) of the mixer, channels u_t (E,) with E = expansion · W, and a state h_t (E, N) from h_0 = 0,

        u_t = silu(conv(A_u i_t))                           causal, depthwise, of k taps, with bias
        [δ_t, B_t, C_t] = A_s u_t                           of sizes R, N and N
        Δ_t = softplus(A_Δ δ_t + b_Δ)                       step sizes (E,)
        h_t = exp(Δ_t Λ) ⊙ h_{t-1} + (Δ_t ⊙ u_t) B_tᵀ       rates Λ = -exp(λ) (E, N)
        y_t = h_t C_t + D ⊙ u_t
        o_t = A_o (y_t ⊙ silu(A_z i_t))                     A_u and A_z (E, W), A_s (R+2N, E), A_Δ (E, R), A_o (W, E)

    The paper's eq. 4 discretizes with a zero-order hold, (e^{ΔΛ} - 1)/Λ · B; its published code, and this, with Δ · B.
    Parameters of the mixer: 3·E·W + (k+1)·E + (2R + 2N)·E + E + E·N + E. State: h and the convolution's last k-1
    inputs for each layer, E·(N + k - 1) numbers.

    state: N. expansion: E / W. rank: R, of the map to the step sizes; None: W/16 rounded up. A size between two widths
    is met by the rank. convolution: k, of the mixer; the block has none of its own, which others place before it.
    Initially λ_en = log n for n = 1 … N, D = 1, and softplus(b_Δ) is log-uniform in [0.001, 0.1]; A_Δ is from
    U(-R^-½, R^-½). A_o is scaled by 1/√L for L layers. λ and D have no weight decay, nor has any vector.
    The other options, the block and its initial weights are explained at `_block.Blocks`. Raises ValueError where an
    option is out of its range.

    Source: A. Gu & T. Dao, Mamba: Linear-time sequence modeling with selective state spaces, arXiv:2312.00752,
    section 3 and algorithm 2.
    """

    version = 1
    sized_by = "width"
    fine_option = "rank"
    variants = ("mamba(state=64)", "mamba(expansion=1)")
    source = "Gu & Dao 2023, arXiv:2312.00752"
    look = ("#B22222", "P", (9, 2))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2, "state": 3, "rank": 2, "convolution": 3}

    def __init__(
        self,
        channels: int,
        *,
        width: int = 64,
        layers: int = 2,
        state: int = 16,
        expansion: int = 2,
        rank: int | None = None,
        convolution: int = 4,
        inner: int | None = 0,
        norm: Literal["rms", "layer"] = "rms",
        dropout: float = 0.0,
    ) -> None:
        rank = math.ceil(width / 16) if rank is None else rank
        at_least(1, state=state, expansion=expansion, rank=rank)
        at_least(0, convolution=convolution)
        self.state, self.expansion, self.rank, self.taps = state, expansion, rank, convolution
        super().__init__(channels, width=width, layers=layers, inner=inner, convolution=0, norm=norm, dropout=dropout)

    def make_mixer(self, layer: int) -> Mixer:
        """One selective state-space layer of E channels."""
        return SelectiveStateSpace(
            self.width, self.expansion * self.width, self.state, self.rank, self.taps, scale=self.layers**-0.5
        )


class SelectiveStateSpace(Mixer):
    """The mixer of a Mamba of W numbers and E channels, with states of N, rank R and k taps; see `Model`.

    scale: of the initial weights of the map that ends it.
    """

    def __init__(self, width: int, channels: int, state: int, rank: int, taps: int, scale: float = 1.0) -> None:
        super().__init__()
        self.enter, self.gate = matrix(width, channels), matrix(width, channels)
        self.convolution = ShortConvolution(channels, taps) if taps else None
        self.select = matrix(channels, rank + 2 * state)
        self.step_size = nn.Linear(rank, channels)
        nn.init.uniform_(self.step_size.weight, -(rank**-0.5), rank**-0.5)
        with torch.no_grad():
            self.step_size.bias.copy_(step_size_bias(channels))
        self.log_rates = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(channels, 1))  # (E, N)
        self.skip = nn.Parameter(torch.ones(channels))
        self.leave = matrix(channels, width, scale)
        self.sizes = [rank, state, state]
        self.state_size = channels * state + (0 if self.convolution is None else self.convolution.state_size)
        self.receptive_field = None
        self.macs_per_step = channels * (3 * width + taps + 2 * (rank + state) + state)

    def package(self) -> Package:
        """mambapy, whose scan doubles its reach with each of log T passes over all states."""
        channels, state = self.log_rates.shape
        config = SimpleNamespace(
            d_model=self.leave.out_features,
            d_inner=channels,
            d_state=state,
            dt_rank=self.sizes[0],
            d_conv=1 if self.convolution is None else self.convolution.kernel,
            bias=False,
            conv_bias=True,
            dt_min=0.001,
            dt_max=0.1,
            dt_init="random",
            dt_scale=1.0,
            dt_init_floor=1e-4,
            inner_layernorms=False,
            pscan=True,
            use_cuda=False,
        )
        return Package("mambapy.mamba:MambaBlock", {"config": config})

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Outputs (B, T, W) of inputs (B, T, W); the state is the convolution's (B, k-1, E), and h (B, E, N)."""
        outputs, state = self._remembered(inputs, state)
        return self._shown(outputs, inputs), state

    def read(self, inputs: Tensor, reads: int) -> Tensor:
        """Outputs (B, R, W) of the last steps, see `_mixer.Mixer.read`."""
        outputs, _ = self._remembered(inputs, None)
        return self._shown(outputs[:, -reads:], inputs[:, -reads:])

    def _remembered(self, inputs: Tensor, state: base.State) -> tuple[Tensor, base.State]:
        """y_t (B, T, E), and the state after the last step."""
        history, memory = (None, None) if state is None else state
        hidden, history = convolved(self.convolution, self.enter(inputs), history)  # (B, T, E)
        low, writes, reads = self.select(hidden).split(self.sizes, dim=2)  # (B, T, R), (B, T, N), (B, T, N)
        deltas = F.softplus(self.step_size(low))  # (B, T, E)
        if memory is None:
            memory = hidden.new_zeros((len(hidden), *self.log_rates.shape))
        rates = -torch.exp(self.log_rates)
        outputs, memory = selective_scan(hidden, deltas, rates, writes, reads, self.skip, memory)
        return outputs, (history, memory)

    def _shown(self, outputs: Tensor, inputs: Tensor) -> Tensor:  # (B, T, E) -> (B, T, W)
        shown: Tensor = self.leave(outputs * F.silu(self.gate(inputs)))
        return shown

    def parameter_groups(self) -> Sequence[base.ParameterGroup]:
        """Rates and skips: without weight decay, which would pull all rates towards -1."""
        return [base.ParameterGroup([self.log_rates, self.skip, self.step_size.bias], decays=False)]
