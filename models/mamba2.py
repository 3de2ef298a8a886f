"""Mamba-2: a state-space model with one decay for each head, and a state of a matrix."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import base
from ._block import Blocks, RMSNorm, ShortConvolution, convolved, matrix
from ._heads import divide, width_step
from ._mixer import Mixer, Package
from ._options import at_least
from ._scalar_decay import scalar_decay_scan
from ._step_sizes import step_size_bias


class Model(Blocks):
    """Mamba-2 (Dao & Gu 2024) in the residual block; as published, the block has no MLP.

    For inputs i_t (W,) of the mixer, E = expansion · W channels in H heads of P = E/H, and for each head a state S_t
    (P, N) from S_0 = 0,

        [x_t, B_t, C_t] = silu(conv(A_x i_t))               of sizes E, N and N; causal, depthwise, of k taps, with bias
        Δ_t = softplus(A_Δ i_t + b_Δ)                       step sizes (H,)
        S_t = exp(-Δ_t e^λ) S_{t-1} + Δ_t x_t B_tᵀ          x (P,), Δ and λ of the head; B and C are shared by all heads
        y_t = S_t C_t + D x_t                               y (P,), D of the head
        o_t = A_o norm(y_t ⊙ silu(A_z i_t))                 RMSNorm over all E; A_x (E+2N, W), A_z (E, W), A_o (W, E)

    Parameters of the mixer: W·(2E + 2N + H) + (E + 2N)·(k + 1) + 3H + E + E·W. State: S and the convolution's last
    k-1 inputs for each layer, E·N + (E + 2N)·(k - 1) numbers.

    state: N. heads: H. expansion: E / W. A size between two widths is met by the state. convolution: k, of the mixer;
    the block has none of its own, which others place before it.
    Initially e^λ is from U(1, 16), D = 1, and softplus(b_Δ) is log-uniform in [0.001, 0.1]. A_o is scaled by 1/√L for
    L layers. λ, D and all other vectors have no weight decay.
    The other options, the block and its initial weights are explained at `_block.Blocks`. Raises ValueError where an
    option is out of its range, or where the heads do not divide E.

    Source: T. Dao & A. Gu, Transformers are SSMs: Generalized models and efficient algorithms through structured state
    space duality, ICML 2024, arXiv:2405.21060, section 7.
    """

    version = 1
    sized_by = "width"
    fine_option = "state"
    variants = ("mamba2(state=64)", "mamba2(heads=8)")
    source = "Dao & Gu 2024, arXiv:2405.21060"
    look = ("#E0559A", "X", (9, 2, 1, 2))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2, "state": 3, "heads": 2, "convolution": 3}

    def __init__(
        self,
        channels: int,
        *,
        width: int = 64,
        layers: int = 2,
        state: int = 32,
        heads: int = 4,
        expansion: int = 2,
        convolution: int = 4,
        inner: int | None = 0,
        norm: Literal["rms", "layer"] = "rms",
        dropout: float = 0.0,
    ) -> None:
        at_least(1, state=state, heads=heads, expansion=expansion)
        at_least(0, convolution=convolution)
        divide(width, heads, expansion)
        self.state, self.heads, self.expansion, self.taps = state, heads, expansion, convolution
        super().__init__(channels, width=width, layers=layers, inner=inner, convolution=0, norm=norm, dropout=dropout)

    @classmethod
    def width_step_for(cls, options: Mapping[str, Any]) -> int:
        """The heads must divide expansion · W."""
        return width_step(options["heads"], options["expansion"])

    def make_mixer(self, layer: int) -> Mixer:
        """One layer of E channels in H heads."""
        channels = self.expansion * self.width
        return ScalarStateSpace(self.width, channels, self.state, self.heads, self.taps, scale=self.layers**-0.5)


class ScalarStateSpace(Mixer):
    """The mixer of a Mamba-2 of W numbers, with E channels in H heads, states of N and k taps; see `Model`.

    scale: of the initial weights of the map that ends it.
    """

    def __init__(self, width: int, channels: int, state: int, heads: int, taps: int, scale: float = 1.0) -> None:
        super().__init__()
        self.enter, self.gate = matrix(width, channels + 2 * state), matrix(width, channels)
        self.convolution = ShortConvolution(channels + 2 * state, taps) if taps else None
        self.step_size = nn.Linear(width, heads)
        with torch.no_grad():
            self.step_size.weight.copy_(matrix(width, heads).weight)
            self.step_size.bias.copy_(step_size_bias(heads))
        self.log_rates = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())
        self.skip = nn.Parameter(torch.ones(heads))
        self.norm = RMSNorm(channels)
        self.leave = matrix(channels, width, scale)
        self.sizes, self.shape = [channels, state, state], (heads, channels // heads, state)
        self.state_size = channels * state + (0 if self.convolution is None else self.convolution.state_size)
        self.receptive_field = None
        self.macs_per_step = width * (3 * channels + 2 * state + heads) + (channels + 2 * state) * taps

    def package(self) -> Package:
        """transformers, in chunks of 64 steps; its state lies in a cache of its own."""
        (heads, size, state), width = self.shape, self.leave.out_features
        config = SimpleNamespace(
            hidden_size=width,
            num_heads=heads,
            head_dim=size,
            state_size=state,
            n_groups=1,
            expand=heads * size / width,
            conv_kernel=1 if self.convolution is None else self.convolution.kernel,
            use_conv_bias=True,
            use_bias=False,
            hidden_act="silu",
            layer_norm_epsilon=self.norm.epsilon,
            chunk_size=64,
            time_step_rank=1,
            time_step_limit=(0.0, float("inf")),
            time_step_min=0.001,
            time_step_max=0.1,
            time_step_floor=1e-4,
            layer_types=["mamba"],
        )
        return Package("transformers.models.mamba2.modeling_mamba2:Mamba2Mixer", {"config": config, "layer_idx": 0})

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Outputs (B, T, W) of inputs (B, T, W); the state is the convolution's (B, k-1, E+2N), and S (B, H, P, N)."""
        outputs, state = self._remembered(inputs, state)
        return self._shown(outputs, inputs), state

    def read(self, inputs: Tensor, reads: int) -> Tensor:
        """Outputs (B, R, W) of the last steps, see `_mixer.Mixer.read`."""
        outputs, _ = self._remembered(inputs, None)
        return self._shown(outputs[:, -reads:], inputs[:, -reads:])

    def _remembered(self, inputs: Tensor, state: base.State) -> tuple[Tensor, base.State]:
        """y_t (B, T, E), and the state after the last step."""
        history, memory = (None, None) if state is None else state
        mixed, history = convolved(self.convolution, self.enter(inputs), history)
        hidden, writes, reads = mixed.split(self.sizes, dim=2)  # (B, T, E), (B, T, N), (B, T, N)
        hidden = hidden.unflatten(2, self.shape[:2])  # (B, T, H, P)
        deltas = F.softplus(self.step_size(inputs))  # (B, T, H)
        if memory is None:
            memory = hidden.new_zeros((len(hidden), *self.shape))
        log_decays = -deltas * self.log_rates.exp()
        outputs, memory = scalar_decay_scan(hidden * deltas[..., None], log_decays, writes, reads, memory)
        return (outputs + self.skip[:, None] * hidden).flatten(2), (history, memory)

    def _shown(self, outputs: Tensor, inputs: Tensor) -> Tensor:  # (B, T, E) -> (B, T, W)
        shown: Tensor = self.leave(self.norm(outputs * F.silu(self.gate(inputs))))
        return shown
