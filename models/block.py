"""A classic recurrent network inside the block that the modern models have."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor

from . import base, gru, lstm, rnn
from ._block import Blocks
from ._mixer import Mixer
from ._options import one_of

RECURRENT = {"lstm": lstm.Model, "gru": gru.Model, "rnn": rnn.Model}


class Model(Blocks):
    """LSTM, GRU or plain RNN as the mixer of the modern residual block: norm, recurrence, norm, MLP.

    Layer by layer, with x (B, T, W) and the recurrence of `lstm.Model`, `gru.Model` or `rnn.Model` of W units,

        x ← x + drop(recurrence(norm(x)))
        x ← x + drop(mlp(norm(x)))

    and the features are norm(x). Parameters of the recurrence: 2G(W² + W) with G = 4, 3, 1 for LSTM, GRU, RNN. State:
    one pair (h, c), each (B, W), or one h for each layer.

    mixer: "lstm", "gru" or "rnn", with PyTorch's initial weights.
    The options of the block, its parameters and its initial weights are explained at `_block.Blocks`. Raises
    ValueError where an option is out of its range.

    Source: the comparison of M. Beck et al., xLSTM: Extended long short-term memory, NeurIPS 2024, arXiv:2405.04517,
    Table 2, where a stack of LSTMs comes from a perplexity of 2417.9 to 35.46 by the residual block alone.
    """

    version = 1
    sized_by = "width"
    variant = ("mixer",)
    variants = ("block(mixer=gru)", "block(mixer=rnn)", "block(convolution=4)")
    source = "Beck et al. 2024, arXiv:2405.04517, Table 2 (LSTM in a pre-norm residual block)"
    look = ("#671B3B", "D", (6, 1.5, 1, 1.5))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2, "convolution": 3}

    def __init__(
        self,
        channels: int,
        *,
        mixer: Literal["lstm", "gru", "rnn"] = "lstm",
        width: int = 64,
        layers: int = 2,
        inner: int | None = None,
        convolution: int = 0,
        norm: Literal["rms", "layer"] = "rms",
        dropout: float = 0.0,
    ) -> None:
        one_of(tuple(RECURRENT), mixer=mixer)
        self.recurrence = mixer
        super().__init__(
            channels, width=width, layers=layers, inner=inner, convolution=convolution, norm=norm, dropout=dropout
        )

    def make_mixer(self, layer: int) -> Mixer:
        """One recurrent layer of W units."""
        return Recurrence(RECURRENT[self.recurrence](self.width, width=self.width))


class Recurrence(Mixer):
    """A recurrent model of W channels and W features as a mixer."""

    def __init__(self, model: base.Model) -> None:
        super().__init__()
        self.model = model
        told: Any = model  # the suite's own models tell their sizes
        self.state_size, self.receptive_field = told.state_size, told.receptive_field
        self.macs_per_step = told.macs_per_step

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Hidden states (B, T, W) of inputs (B, T, W), and what the model then remembers."""
        outputs: tuple[Tensor, base.State] = self.model(inputs, state)
        return outputs

    def read(self, inputs: Tensor, reads: int) -> Tensor:
        """Hidden states (B, R, W) of the last steps of whole sequences."""
        return self.model.read(inputs, reads)
