"""The long short-term memory network."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ._options import at_least
from ._recurrences import LSTM
from ._recurrent import Recurrent, Weights, chrono_bias, layer, set_gate_bias

INPUT_GATE, FORGET_GATE = 0, 1
"""Where these gates stand in PyTorch's stacked weights: input, forget, candidate, output."""


class Model(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    For inputs x_t (C,), hidden states h_t (W,) and cells c_t (W,), from h_0 = c_0 = 0,

        i_t = σ(A_i x_t + a_i + U_i h_{t-1} + b_i)          what to write
        f_t = σ(A_f x_t + a_f + U_f h_{t-1} + b_f)          what to keep
        g_t = tanh(A_g x_t + a_g + U_g h_{t-1} + b_g)       the candidate
        o_t = σ(A_o x_t + a_o + U_o h_{t-1} + b_o)          what to show
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
        h_t = o_t ⊙ tanh(c_t)                               A (W, C), U (W, W), a and b (W,)

    and for each further layer the same with the hidden states of the layer below in place of x.
    Parameters of a layer: 4(C·W + W² + 2W). State: one pair (h, c), each (B, W), for each layer.

    forget_bias: the initial bias of the forget gate, a_f = forget_bias and b_f = 0 (Jozefowicz et al. 2015); None
    keeps PyTorch's draw. chrono: the longest dependency T to be expected, in steps; then a_f ~ log U[1, T-1],
    a_i = -a_f, b_f = b_i = 0 (chrono initialisation, Tallec & Ollivier 2018). Both apply to every layer.
    The options that recurrent models share are explained at `_recurrent.Recurrent`. Raises ValueError where an
    option is out of its range, or where both `forget_bias` and `chrono` are given.

    Source: S. Hochreiter & J. Schmidhuber, Neural Computation 9 (1997); F. Gers, J. Schmidhuber & F. Cummins,
    Neural Computation 12 (2000); the cell is `torch.nn.LSTM`.
    """

    version = 1
    sized_by = "width"
    variants = ("lstm(forget_bias=1.0)", "lstm(chrono=1000)", "lstm(initialization=orthogonal)")
    source = "Hochreiter & Schmidhuber 1997, Long short-term memory; Gers et al. 2000 (forget gate)"
    look = ("#D07B00", "s", (4, 1.5))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2}
    memories = 2

    def __init__(
        self,
        channels: int,
        *,
        width: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        dropout_kind: Literal["element", "channel"] = "element",
        initialization: Literal["torch", "orthogonal"] = "torch",
        forget_bias: float | None = None,
        chrono: int | None = None,
    ) -> None:
        if forget_bias is not None and chrono is not None:
            raise ValueError(
                f"forget_bias, chrono: both set the forget gate's bias, so at most one is allowed, "
                f"got {forget_bias!r} and {chrono!r}"
            )
        if chrono is not None:
            at_least(2, chrono=chrono)
        super().__init__(
            partial(nn.LSTM, batch_first=True),
            channels,
            width=width,
            layers=layers,
            dropout=dropout,
            input_dropout=input_dropout,
            output_dropout=output_dropout,
            recurrent_dropout=recurrent_dropout,
            dropout_kind=dropout_kind,
            initialization=initialization,
        )
        for cell in self.cells:
            if forget_bias is not None:
                set_gate_bias(cell, FORGET_GATE, forget_bias)
            if chrono is not None:
                bias = chrono_bias(chrono, width)
                set_gate_bias(cell, FORGET_GATE, bias)
                set_gate_bias(cell, INPUT_GATE, -bias)

    def shown(self, memory: tuple[Tensor, Tensor]) -> Tensor:
        """The hidden states (B, W) in a pair (h, c)."""
        return memory[0]

    def run(
        self, inputs: Tensor, memory: tuple[Tensor, Tensor] | None, weights: Weights
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One layer: hidden states (B, T, W) of inputs (B, T, C), and the last (h, c), each (B, W)."""
        if memory is None:
            zeros = inputs.new_zeros(len(inputs), self.features)  # (B, W)
            memory = zeros, zeros
        hidden, cell = memory
        outputs, hidden, after = layer(LSTM, torch.lstm, inputs, hidden, cell, weights)
        assert after is not None
        return outputs, (hidden, after)
