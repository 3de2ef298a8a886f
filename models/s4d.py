"""The diagonal structured state-space model: a long convolution in training, a recurrence when it is streamed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._block import Blocks, Mixer
from ._linear_recurrence import complex_of, linear_recurrence, pairs_of
from ._options import at_least, one_of
from ._state_space import GatedOutput
from .base import ParameterGroup

CHUNK = 64
"""Most steps that one product of matrices takes together."""


class Model(Blocks):
    """Diagonal structured state-space model, S4D (Gu et al. 2022), in the residual block.

    Each channel u_t of the mixer's inputs (W,) has N/2 complex states x_t of its own. From x_0 = 0,

        x_t = e^{ΔA} ⊙ x_{t-1} + ((e^{ΔA} - 1)/A) u_t       A = -exp(a) + i ω, zero-order hold with the step Δ
        y_t = 2 Re(C x_t) + D u_t                           a, ω (W, N/2), C (W, N/2) complex, Δ and D (W,)
        v_t ⊙ σ(w_t)                                        what the mixer gives, (v_t, w_t) = E gelu(y_t) + e

    with y_t (W,) and E (2W, W). A sequence is one causal convolution of length T, computed by FFT, to which the state
    before it adds what it still gives; a single step is computed as it stands. Each state is one of a conjugate pair,
    hence the 2. Complex numbers are kept as two real ones and count as two.
    Parameters of the mixer: 2W² + 2·W·N + 4W. State: x for each layer, (B, W, N).

    states: N, even. initialization of A, whose real part is -½: "lin", ω_n = π n, or "inv",
    ω_n = (N/π)(N/(2n + 1) - 1), for n = 0 … N/2-1. dt_min, dt_max: at first, log Δ is uniform between their
    logarithms, the C are complex normal of variance 1, and D is normal. learning_rate_factor: of Δ and A, which are
    exempt from weight decay; the published code trains them with 0.001 where it has 0.01 for the rest.
    The options of the block, its parameters and its initial weights are explained at `_block.Blocks`; the published
    block has no MLP, inner=0, and drops whole channels. Raises ValueError where an option is out of its range.

    Source: A. Gu, A. Gupta, K. Goel & C. Ré, On the parameterization and initialization of diagonal state space models,
    NeurIPS 2022, arXiv:2206.11893, section 3 and 4; state-spaces/s4, models/s4/s4d.py.
    """

    version = 1
    sized_by = "width"
    variants = ("s4d(initialization=inv)", "s4d(inner=0)", "s4d(convolution=4)")
    source = "Gu et al. 2022, arXiv:2206.11893"
    look = ("#5B6B1F", "h", (7, 1, 3, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2, "states": 8}

    def __init__(
        self,
        channels: int,
        *,
        width: int = 64,
        layers: int = 2,
        states: int = 64,
        initialization: Literal["lin", "inv"] = "lin",
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        learning_rate_factor: float = 0.1,
        inner: int | None = None,
        convolution: int = 0,
        norm: Literal["rms", "layer"] = "rms",
        dropout: float = 0.0,
    ) -> None:
        self.new_mixer = partial(S4D, width, layers, states, initialization, dt_min, dt_max, learning_rate_factor)
        super().__init__(
            channels, width=width, layers=layers, inner=inner, convolution=convolution, norm=norm, dropout=dropout
        )

    def make_mixer(self, layer: int) -> Mixer:
        """One layer with N/2 complex states for each channel."""
        return self.new_mixer()


class S4D(Mixer):
    """One diagonal state-space layer of W channels, see `Model`."""

    def __init__(
        self,
        width: int,
        layers: int,
        states: int,
        initialization: Literal["lin", "inv"],
        dt_min: float,
        dt_max: float,
        learning_rate_factor: float,
    ) -> None:
        super().__init__()
        at_least(2, states=states)
        if states % 2:
            raise ValueError(
                f"states: an even number is needed, got {states!r}; the nearest are {states - 1} and {states + 1}"
            )
        one_of(("lin", "inv"), initialization=initialization)
        if not 0 < dt_min <= dt_max:
            raise ValueError(f"dt_min, dt_max: 0 < dt_min ≤ dt_max is needed, got {dt_min!r} and {dt_max!r}")
        if not learning_rate_factor >= 0:
            raise ValueError(f"learning_rate_factor: at least 0 is needed, got {learning_rate_factor!r}")
        half = states // 2
        order = torch.arange(half)
        frequency = math.pi * order if initialization == "lin" else states / math.pi * (states / (2 * order + 1) - 1)
        self.log_dt = nn.Parameter(torch.empty(width).uniform_(math.log(dt_min), math.log(dt_max)))
        self.log_decay = nn.Parameter(torch.full((width, half), math.log(0.5)))  # a
        self.frequency = nn.Parameter(frequency.repeat(width, 1))  # ω
        self.outputs = nn.Parameter(torch.randn(width, states) * math.sqrt(0.5))  # Re C, Im C
        self.skip = nn.Parameter(torch.randn(width))  # D
        self.gated = GatedOutput(width, layers)
        self.learning_rate_factor = learning_rate_factor
        self.state_size = width * states
        self.receptive_field = None
        self.macs_per_step = 2 * width * states + 2 * width * width

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, W) of inputs (B, T, W), and x (B, W, N) after the last step: real, then imaginary parts."""
        device = inputs.device.type
        if not torch.is_autocast_enabled(device):
            outputs, state = self._states(inputs, state)
        else:  # phases of many turns need single precision
            with torch.autocast(device, enabled=False):
                outputs, state = self._states(inputs.float(), state)
        return self.gated(outputs), state

    def _states(self, inputs: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """y (B, T, W) of u (B, T, W), and x (B, W·N) after the last step."""
        rates, held = self._discretized()
        read = 2 * complex_of(self.outputs)  # (W, N/2)
        if state is None:
            state = inputs.new_zeros((len(inputs), self.state_size))
        if inputs.shape[1] == 1:
            before = complex_of(state).unflatten(1, rates.shape)  # (B, W, N/2)
            after = rates.exp() * before + held * inputs[:, 0].unsqueeze(2)
            outputs, state = (read * after).real.sum(2).unsqueeze(1), pairs_of(after.flatten(1))
        else:
            outputs, state = by_chunks(inputs, rates, held, read, state)
        return outputs + self.skip * inputs, state

    def _discretized(self) -> tuple[Tensor, Tensor]:
        """ΔA and (e^{ΔA} - 1)/A, (W, N/2) complex each.

        e^{x + iy} - 1 has the real part (e^x - 1) cos y - 2 sin²(y/2), in which nothing cancels for a small step.
        """
        size = -self.log_decay.exp()
        dt = self.log_dt.exp().unsqueeze(1)  # (W, 1)
        decay, angle = dt * size, dt * self.frequency
        rates = torch.complex(decay, angle)
        grown = torch.complex(decay.expm1() * angle.cos() - 2 * (angle / 2).sin().square(), decay.exp() * angle.sin())
        return rates, grown / torch.complex(size, self.frequency)

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Δ and A: trained more slowly, without weight decay."""
        slow = [self.log_dt, self.log_decay, self.frequency]
        return [ParameterGroup(slow, learning_rate_factor=self.learning_rate_factor, decays=False)]


def by_chunks(inputs: Tensor, rates: Tensor, held: Tensor, read: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """y_t = Re Σ_m read_m x_tm of x_t = e^{rates} ⊙ x_{t-1} + held u_t, and x after the last step.

    inputs: u (B, T, W). rates, held, read: (W, M) complex, M = N/2. state: x before, (B, W·N), all real parts first.

    The sequence is cut into chunks of c steps. Of a chunk's outputs, what comes from its own inputs is the product
    with a Toeplitz matrix (c, c) of the first c lags of the convolution, and what comes from before is read from the
    state before the chunk. These states are a linear recurrence over the chunks. All the rest is products of
    matrices: on a CPU several times faster than the FFT, and not even by rounding does an input reach an earlier
    output.
    """
    batch, steps, width = inputs.shape
    count = math.ceil(steps / CHUNK)
    size = math.ceil(steps / count)  # c
    lags = torch.arange(size + 1, device=inputs.device)
    powers = (rates.unsqueeze(1) * lags.unsqueeze(1)).exp()  # (W, c+1, M): e^{rates · lag}
    missing = count * size - steps
    chunks = F.pad(inputs, (0, 0, 0, missing)).unflatten(1, (count, size)).permute(3, 0, 1, 2)  # (W, B, T/c, c)
    chunks = chunks.flatten(1, 2)  # (W, B·T/c, c)
    write = held.unsqueeze(1) * powers[:, :size].flip(1)  # (W, c, M): what an input leaves at the end of its chunk
    show = read.unsqueeze(1) * powers[:, 1:]  # (W, c, M): what a state before a chunk adds to its outputs
    if count > 1:
        left = chunks @ torch.cat([write.real, write.imag], 2)  # (W, B·T/c, N)
        left = left.view(width, batch, count, 2, -1).permute(1, 2, 3, 0, 4).flatten(2)  # (B, T/c, W·N)
        decay = pairs_of(powers[:, size].flatten())  # (W·N,)
        states, _ = linear_recurrence(decay, left[:, :-1], state, pairs=True)
        before = torch.cat([state.unsqueeze(1), states], 1)  # (B, T/c, W·N)
    else:
        before = state.unsqueeze(1)
    last = complex_of(before[:, -1]).unflatten(1, rates.shape)  # (B, W, M): before the last chunk
    before = before.unflatten(2, (2, width, -1)).permute(3, 0, 1, 2, 4)  # (W, B, T/c, 2, M)
    kernel = (powers[:, :size] * (held * read).unsqueeze(1)).real.sum(2)  # (W, c)
    toeplitz = F.pad(kernel, (size - 1, 0)).unfold(1, size, 1).flip(1)  # (W, c, c), from input to output
    outputs = torch.cat([chunks, before.flatten(3).flatten(1, 2)], 2) @ torch.cat(
        [toeplitz, torch.cat([show.real, -show.imag], 2).transpose(1, 2)], 1
    )  # (W, B·T/c, c)
    outputs = outputs.view(width, batch, -1).permute(1, 2, 0)[:, :steps]
    end = size - missing  # steps of the last chunk
    gathered = held * torch.complex(
        *(
            torch.einsum("btw,wtm->bwm", inputs[:, steps - end :], part)
            for part in (powers[:, :end].flip(1).real, powers[:, :end].flip(1).imag)
        )
    )
    after = powers[:, end] * last + gathered
    return outputs, pairs_of(after.flatten(1))
