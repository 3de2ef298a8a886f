"""The linear recurrent unit: a diagonal complex recurrence between two matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._block import Blocks
from ._linear_recurrence import linear_recurrence
from ._mixer import Mixer, Package
from ._options import at_least
from ._state_space import GatedOutput
from .base import ParameterGroup


class Model(Blocks):
    """Linear recurrent unit (Orvieto et al. 2023) in the residual block.

    For inputs x_t (W,) of the mixer and complex states h_t (N,), from h_0 = 0,

        h_t = λ ⊙ h_{t-1} + γ ⊙ (B x_t)         λ = exp(-exp(ν) + i exp(θ)), so |λ| < 1
        y_t = Re(C h_t) + D ⊙ x_t               B (N, W) and C (W, N) complex, D (W,), γ (N,) real
        u_t ⊙ σ(v_t)                            what the mixer gives, with (u_t, v_t) = E gelu(y_t) + e, E (2W, W)

    Complex numbers are kept as two real ones and count as two.
    Parameters of the mixer: 4·N·W + 3N + W + 2W² + 2W. State: one h for each layer, (B, 2N).

    states: N. r_min, r_max: at first, |λ|² is uniform in [r_min², r_max²]; max_phase: the angle of λ is uniform in
    [0, max_phase]; and γ = √(1 - |λ|²), so that the size of h is that of the inputs (section 3.4).
    learning_rate_factor: of ν, θ, γ and B, which are exempt from weight decay.
    The options of the block, its parameters and its initial weights are explained at `_block.Blocks`; the published
    block has no MLP, inner=0. Raises ValueError where an option is out of its range.

    Source: A. Orvieto, S. L. Smith, A. Gu, A. Fernando, C. Gulcehre, R. Pascanu & S. De, Resurrecting recurrent neural
    networks for long sequences, ICML 2023, arXiv:2303.06349, section 3 and appendix A; the block as
    NicolasZucchet/minimal-LRU has it.
    """

    version = 1
    sized_by = "width"
    variants = ("lru(r_min=0.9)", "lru(inner=0)", "lru(convolution=4)")
    source = "Orvieto et al. 2023, arXiv:2303.06349"
    look = ("#2C8C99", "*", (10, 1, 1, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2, "states": 5}

    def __init__(
        self,
        channels: int,
        *,
        width: int = 64,
        layers: int = 2,
        states: int = 64,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        learning_rate_factor: float = 0.5,
        inner: int | None = None,
        convolution: int = 0,
        norm: Literal["rms", "layer"] = "rms",
        dropout: float = 0.0,
    ) -> None:
        self.new_mixer = partial(LRU, width, layers, states, r_min, r_max, max_phase, learning_rate_factor)
        super().__init__(
            channels, width=width, layers=layers, inner=inner, convolution=convolution, norm=norm, dropout=dropout
        )

    def make_mixer(self, layer: int) -> Mixer:
        """One layer of N complex states."""
        return self.new_mixer()


class LRU(Mixer):
    """One linear recurrent unit of W channels and N complex states, see `Model`."""

    def __init__(
        self,
        width: int,
        layers: int,
        states: int,
        r_min: float,
        r_max: float,
        max_phase: float,
        learning_rate_factor: float,
    ) -> None:
        super().__init__()
        at_least(1, states=states)
        if not 0 <= r_min < r_max <= 1:
            raise ValueError(f"r_min, r_max: 0 ≤ r_min < r_max ≤ 1 is needed, got {r_min!r} and {r_max!r}")
        if not 0 < max_phase <= 2 * math.pi:
            raise ValueError(f"max_phase: an angle in (0, 2π] is needed, got {max_phase!r}")
        if not learning_rate_factor >= 0:
            raise ValueError(f"learning_rate_factor: at least 0 is needed, got {learning_rate_factor!r}")
        tiny = 1e-6  # 0 has no logarithm
        squares = (r_min**2 + torch.rand(states) * (r_max**2 - r_min**2)).clamp(tiny, 1 - tiny)  # |λ|²
        self.log_decay = nn.Parameter((-0.5 * squares.log()).log())  # ν
        self.log_phase = nn.Parameter((torch.rand(states).clamp(min=tiny) * max_phase).log())  # θ
        self.log_scale = nn.Parameter(0.5 * (1 - squares).log())  # log γ
        self.inputs = nn.Parameter(torch.randn(2 * states, width) / math.sqrt(2 * width))  # Re B, Im B
        self.outputs = nn.Parameter(torch.randn(width, 2 * states) / math.sqrt(states))  # Re C, -Im C
        self.skip = nn.Parameter(torch.randn(width))  # D
        self.gated = GatedOutput(width, layers)
        self.learning_rate_factor = learning_rate_factor
        self.state_size = 2 * states
        self.receptive_field = None
        self.macs_per_step = 4 * states * width + 2 * width * width

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, W) of inputs (B, T, W), and h (B, 2N) after the last step: real, then imaginary parts."""
        states, last = self._states(inputs, state)
        return self._shown(states, inputs), last

    def read(self, inputs: Tensor, reads: int) -> Tensor:
        """Outputs (B, R, W) of the last R steps: of the others only the states are computed."""
        states, _ = self._states(inputs, None)
        return self._shown(states[:, -reads:], inputs[:, -reads:])

    def _states(self, inputs: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """h (B, T, 2N) of inputs (B, T, W), and the last of them (B, 2N)."""
        size, phase = (-self.log_decay.exp()).exp(), self.log_phase.exp()  # (N,)
        decay = torch.cat([size * phase.cos(), size * phase.sin()])  # (2N,)
        scale = self.log_scale.exp().repeat(2).unsqueeze(1)  # (2N, 1)
        return linear_recurrence(decay, F.linear(inputs, scale * self.inputs), state, pairs=True)

    def _shown(self, states: Tensor, inputs: Tensor) -> Tensor:  # (B, T, 2N), (B, T, W) -> (B, T, W)
        return self.gated(F.linear(states, self.outputs) + self.skip * inputs)

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """What makes the states: trained more slowly, without weight decay."""
        slow = [self.log_decay, self.log_phase, self.log_scale, self.inputs]
        return [ParameterGroup(slow, learning_rate_factor=self.learning_rate_factor, decays=False)]

    def package(self) -> Package:
        """LRU-pytorch, one Python step for each step of each sequence; it has no gated output."""
        width, states = self.outputs.shape[0], self.outputs.shape[1] // 2
        return Package("LRU_pytorch:LRU", {"in_features": width, "out_features": width, "state_features": states})
