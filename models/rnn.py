"""The plain recurrent network, also called vanilla, simple or Elman RNN."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ._options import one_of
from ._recurrences import RNN_RELU, RNN_TANH
from ._recurrent import Recurrent, Weights, layer


class Model(Recurrent):
    """Plain recurrent network (Elman 1990): one matrix, one nonlinearity, no gates.

    For inputs x_t (C,) and hidden states h_t (W,), from h_0 = 0, with f = tanh or relu,

        h_t = f(A x_t + a + U h_{t-1} + b)        A (W, C), U (W, W), a and b (W,)

    and for each further layer the same with the hidden states of the layer below in place of x.
    Parameters of a layer: C·W + W² + 2W. State: one h (B, W) for each layer.

    The options that recurrent models share are explained at `_recurrent.Recurrent`. Raises ValueError where an
    option is out of its range.

    Source: J. L. Elman, Finding structure in time, Cognitive Science 14 (1990); the cell is `torch.nn.RNN`.
    """

    version = 1
    sized_by = "width"
    variants = ("rnn(nonlinearity=relu)", "rnn(initialization=orthogonal)")
    source = "Elman 1990, Finding structure in time"
    look = ("#5DB7EA", "v", (1, 1))
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
        nonlinearity: Literal["tanh", "relu"] = "tanh",
    ) -> None:
        one_of(("tanh", "relu"), nonlinearity=nonlinearity)
        super().__init__(
            partial(nn.RNN, nonlinearity=nonlinearity, batch_first=True),
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
        self.nonlinearity = nonlinearity

    def run(self, inputs: Tensor, memory: Tensor | None, weights: Weights) -> tuple[Tensor, Tensor]:
        """One layer: hidden states (B, T, W) of inputs (B, T, C), and the last of them, (B, W)."""
        hidden = inputs.new_zeros(len(inputs), self.features) if memory is None else memory  # (B, W)
        cell, kernel = (RNN_TANH, torch.rnn_tanh) if self.nonlinearity == "tanh" else (RNN_RELU, torch.rnn_relu)
        outputs, last, _ = layer(cell, kernel, inputs, hidden, None, weights)
        return outputs, last
