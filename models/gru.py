"""The gated recurrent unit, in the form of cuDNN and in the form of its first paper."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._options import at_least, one_of
from ._recurrences import GRU
from ._recurrent import Recurrent, Weights, chrono_bias, layer, set_gate_bias

UPDATE_GATE = 1
"""Where this gate stands in PyTorch's stacked weights: reset, update, candidate."""


class Model(Recurrent):
    """Gated recurrent unit (Cho et al. 2014), with the reset gate after the recurrent matrix as cuDNN has it.

    For inputs x_t (C,) and hidden states h_t (W,), from h_0 = 0,

        r_t = σ(A_r x_t + a_r + U_r h_{t-1} + b_r)                  what of the past the candidate sees
        z_t = σ(A_z x_t + a_z + U_z h_{t-1} + b_z)                  what to keep
        n_t = tanh(A_n x_t + a_n + r_t ⊙ (U_n h_{t-1} + b_n))       the candidate, reset="after"
        n_t = tanh(A_n x_t + a_n + U_n (r_t ⊙ h_{t-1}) + b_n)       the candidate, reset="before"
        h_t = (1 - z_t) ⊙ n_t + z_t ⊙ h_{t-1}                       A (W, C), U (W, W), a and b (W,)

    and for each further layer the same with the hidden states of the layer below in place of x.
    Parameters of a layer: 3(C·W + W² + 2W), for both forms. State: one h (B, W) for each layer.

    reset: "after" is the form of PyTorch and cuDNN; "before" is that of Cho et al. (eq. 5 to 8), which no fused
    kernel computes: a plain loop over the steps, many times slower. chrono: the longest dependency T to be expected,
    in steps; then a_z ~ log U[1, T-1] and b_z = 0, for every layer (chrono initialisation, Tallec & Ollivier 2018;
    their update gate g is 1 - z, so its bias is -a_z).
    The options that recurrent models share are explained at `_recurrent.Recurrent`. Raises ValueError where an
    option is out of its range.

    Source: K. Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP 2014, arXiv:1406.1078;
    the parameters are those of `torch.nn.GRU`.
    """

    version = 1
    sized_by = "width"
    variants = ("gru(reset=before)", "gru(chrono=1000)", "gru(initialization=orthogonal)")
    source = "Cho et al. 2014, arXiv:1406.1078"
    look = ("#00755A", "^", (4, 1, 1, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2}

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
        reset: Literal["after", "before"] = "after",
        chrono: int | None = None,
    ) -> None:
        one_of(("after", "before"), reset=reset)
        if chrono is not None:
            at_least(2, chrono=chrono)
        super().__init__(
            partial(nn.GRU, batch_first=True),
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
        self.reset = reset
        if chrono is not None:
            for cell in self.cells:
                set_gate_bias(cell, UPDATE_GATE, chrono_bias(chrono, width))

    def run(self, inputs: Tensor, memory: Tensor | None, weights: Weights) -> tuple[Tensor, Tensor]:
        """One layer: hidden states (B, T, W) of inputs (B, T, C), and the last of them, (B, W)."""
        hidden = inputs.new_zeros(len(inputs), self.features) if memory is None else memory  # (B, W)
        if self.reset == "before":
            return reset_before(inputs, hidden, weights)
        outputs, last, _ = layer(GRU, torch.gru, inputs, hidden, None, weights)
        return outputs, last


def reset_before(inputs: Tensor, hidden: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """One GRU layer of Cho et al. 2014 (eq. 5 to 8), step by step.

    inputs (B, T, C), hidden (B, W): h before the first step. Returns all hidden states (B, T, W) and the last (B, W).
    """
    width = hidden.shape[1]
    input_weight, recurrent_weight, input_bias, recurrent_bias = weights
    gates_weight, candidate_weight = recurrent_weight.split([2 * width, width])  # (2W, W), (W, W)
    gates_bias, candidate_bias = recurrent_bias.split([2 * width, width])  # (2W,), (W,)
    outputs = []
    for step in F.linear(inputs, input_weight, input_bias).unbind(1):  # T times (B, 3W)
        gates, candidate = step.split([2 * width, width], dim=1)  # (B, 2W), (B, W)
        gates = torch.sigmoid(gates + F.linear(hidden, gates_weight, gates_bias))
        reset, update = gates.chunk(2, dim=1)  # (B, W) each
        candidate = torch.tanh(candidate + F.linear(reset * hidden, candidate_weight, candidate_bias))
        hidden = (1 - update) * candidate + update * hidden
        outputs.append(hidden)
    return torch.stack(outputs, dim=1), hidden
