"""The diagonal structured state-space model: a long convolution in training, a recurrence when it is streamed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._block import Blocks
from ._linear_recurrence import complex_of, linear_recurrence, pairs_of
from ._mixer import Mixer
from ._options import at_least, one_of
from ._state_space import GatedOutput
from .base import ParameterGroup


class Model(Blocks):
    """Diagonal structured state-space model, S4D (Gu et al. 2022), in the residual block.

    Each channel u_t of the mixer's inputs (W,) has N/2 complex states x_t of its own. From x_0 = 0,

        x_t = e^{ΔA} ⊙ x_{t-1} + B u_t          A = -exp(a) + i ω, for each channel a and ω (N/2,)
        y_t = 2 Re(C x_t) + D u_t               B = (e^{ΔA} - 1)/A: zero-order hold of the input for a time Δ
        v_t ⊙ σ(w_t)                            what the mixer gives, (v_t, w_t) = E gelu(y_t) + e

    with C (N/2,) complex, Δ and D numbers, and over all channels y_t (W,) and E (2W, W). Each state is one of a
    conjugate pair, hence the 2. Complex numbers are kept as two real ones and count as two. A sequence is computed in
    chunks as `by_chunks` explains, a single step as it stands.
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
        outputs, state = self._convolved(inputs, state)
        return self.gated(outputs), state

    def read(self, inputs: Tensor, reads: int) -> Tensor:
        """Outputs (B, R, W) of the last R steps: the gated output is computed for these alone."""
        outputs, _ = self._convolved(inputs, None)
        return self.gated(outputs[:, -reads:])

    def _convolved(self, inputs: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        device = inputs.device.type
        if not torch.is_autocast_enabled(device):
            return self._states(inputs, state)
        with torch.autocast(device, enabled=False):  # phases of many turns need single precision
            return self._states(inputs.float(), state)

    def _states(self, inputs: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """y (B, T, W) of u (B, T, W), and x (B, W, N) after the last step."""
        rates, held = self._discretized()
        read = 2 * complex_of(self.outputs)  # (W, N/2)
        if state is None:
            state = inputs.new_zeros((len(inputs), *self.outputs.shape))
        if inputs.shape[1] > 1:
            return by_chunks(inputs, rates, held, read, self.skip, state)
        after = rates.exp() * complex_of(state) + held * inputs[:, 0].unsqueeze(2)  # (B, W, N/2)
        return (read * after).real.sum(2).unsqueeze(1) + self.skip * inputs, pairs_of(after)

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


def by_chunks(
    inputs: Tensor, rates: Tensor, held: Tensor, read: Tensor, skip: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """y_t = Re Σ_m read_m x_tm + skip u_t of x_t = e^{rates} ⊙ x_{t-1} + held u_t, and x after the last step.

    inputs: u (B, T, W). rates, held, read: (W, M) complex. skip: (W,). state: x before, (B, W, 2M), real parts first.

    The sequence is cut into n = √T/2 chunks of c steps. What comes to a chunk's outputs from its own inputs is the
    product with a Toeplitz matrix (c, c) of the first c lags of the convolution, and what comes from earlier ones is
    read from the state before the chunk. These states are a linear recurrence over the chunks. Not even by rounding
    does an input reach an earlier output, as it does by FFT.
    """
    (batch, steps, width), modes = inputs.shape, rates.shape[1]
    count = math.ceil(math.sqrt(steps) / 2)  # of chunks, as measured: few enough products, and small enough ones
    size = math.ceil(steps / count)  # c
    count = math.ceil(steps / size)  # fewer where the last ones would be empty
    lags = torch.arange(size + 1, device=inputs.device)
    powers = (rates.unsqueeze(1) * lags.unsqueeze(1)).exp()  # (W, c+1, M): e^{rates · lag}
    left_by = powers * held.unsqueeze(1)  # (W, c+1, M): what an input leaves so many steps later
    missing = count * size - steps
    chunks = _Transposed.apply(F.pad(inputs, (0, 0, 0, missing)).view(-1, width)).view(width, -1, size)
    before = state.transpose(0, 1).unsqueeze(2)  # (W, B, 1, 2M): before each chunk
    if count > 1:
        write = pairs_of(left_by[:, :size].flip(1))  # (W, c, 2M): what an input leaves at the end of its chunk
        left = (chunks @ write).view(width * batch, count, 2 * modes)
        decay = pairs_of(powers[:, size])  # (W, 2M)
        states, _ = linear_recurrence(decay, left[:, :-1], before.reshape(width * batch, -1), pairs=True)
        before = torch.cat([before, states.view(width, batch, count - 1, -1)], 2)  # (W, B, n, 2M)
    lagged = (left_by[:, :size] * read.unsqueeze(1)).real.sum(2)  # (W, c): the convolution
    lagged = lagged + F.pad(skip.unsqueeze(1), (0, size - 1))
    toeplitz = F.pad(lagged, (size - 1, 0)).unfold(1, size, 1).flip(1)  # (W, c, c), from input to output
    show = pairs_of((read.unsqueeze(1) * powers[:, 1:]).conj()).transpose(1, 2)  # (W, 2M, c), as only Re is wanted
    outputs = torch.baddbmm(before.flatten(1, 2) @ show, chunks, toeplitz)  # (W, B·n, c)
    end = size - missing  # steps of the last chunk
    gathered = torch.einsum("btw,wtm->bwm", inputs[:, steps - end :], pairs_of(left_by[:, :end].flip(1)))
    last = pairs_of(powers[:, end] * complex_of(before[:, :, -1].transpose(0, 1)))  # (B, W, 2M)
    outputs = _Transposed.apply(outputs.view(width, -1)).view(batch, -1, width)  # (B, n·c, W)
    return outputs[:, :steps], last + gathered


class _Transposed(torch.autograd.Function):
    """The transposed matrix, contiguous, and so is its gradient.

    Products of many small matrices would copy one after the other. And of all the ways to lay an array out anew torch
    has a fast one for matrices alone.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        return matrix.t().contiguous()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        transposed: Tensor = _Transposed.apply(gradient.contiguous())
        return transposed
