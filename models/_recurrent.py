"""What the recurrent models share: a stack of one-layer cells, its dropout, its initialisation, its state.

The parameters live in one-layer `torch.nn` cells, so counts, names and initial draws are PyTorch's: two bias vectors,
every number from U(-1/√W, 1/√W). The kernels are called with the weights of this forward pass as arguments, because
`nn.LSTM` and its kin can neither drop recurrent weights nor take a generator for their dropout.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from . import base
from ._compiling import fast
from ._options import at_least, one_of, probability
from ._recurrences import LSTM, Cell, recurrence

WIDE = 1 << 19
"""Numbers of an LSTM's recurrent matrix (W = 362) beyond which torch's kernel, which packs it, is faster than ours
by a tenth to a fifth (measured at W = 411, 460, 480, 600 and 865)."""
SMALL = 1 << 21
"""Numbers of hidden states (B·T·W) up to which torch's is taken: it keeps more for the backward pass, and freed blocks
leave holes (B=32, T=400, W=411: twice our memory)."""

Weights = list[Tensor]
"""Of one layer with G gates: input (G·W, C), recurrent (G·W, W), and their two biases (G·W,)."""


class Recurrent(base.Model):
    """A stack of recurrent layers: layer l reads what layer l-1 gives, the last layer's hidden states are the features.

    make_cell: a one-layer, batch-first `torch.nn` cell for (channels, width).
    dropout: probability for the features between two layers (not after the last). input_dropout: for the inputs.
    output_dropout: for the features of the last layer, which the head reads.
    dropout_kind: "element", or "channel": one mask for all steps of a sequence (Gal & Ghahramani 2016).
    recurrent_dropout: probability for the entries of the hidden-to-hidden matrices, one mask for each forward call
    (weight drop, Merity, Keskar & Socher 2018, section 3).
    initialization: "torch", or "orthogonal": each gate's hidden-to-hidden matrix is a random orthogonal one
    (Saxe, McClelland & Ganguli 2014); all else stays PyTorch's.

    The state is a list with one entry a layer. Raises ValueError where an option is out of its range, also for
    `dropout` with a single layer, where it would silently do nothing.
    """

    carries = True
    memories: ClassVar[int] = 1
    """Vectors (B, W) that one layer keeps between two steps."""

    def __init__(
        self,
        make_cell: Callable[[int, int], nn.RNNBase],
        channels: int,
        *,
        width: int,
        layers: int,
        dropout: float,
        input_dropout: float,
        output_dropout: float,
        recurrent_dropout: float,
        dropout_kind: Literal["element", "channel"],
        initialization: Literal["torch", "orthogonal"],
    ) -> None:
        super().__init__()
        at_least(1, channels=channels, width=width, layers=layers)
        probability(dropout=dropout, input_dropout=input_dropout, output_dropout=output_dropout)
        probability(recurrent_dropout=recurrent_dropout)
        one_of(("element", "channel"), dropout_kind=dropout_kind)
        one_of(("torch", "orthogonal"), initialization=initialization)
        if dropout and layers == 1:
            raise ValueError(
                f"dropout: acts between layers and there is 1, got {dropout}; "
                "0 is needed, or more layers, or input_dropout, output_dropout or recurrent_dropout instead"
            )
        self.cells = nn.ModuleList(make_cell(channels if layer == 0 else width, width) for layer in range(layers))
        self.input_dropout = base.Dropout(input_dropout, dropout_kind)
        self.dropout = base.Dropout(dropout, dropout_kind)
        self.output_dropout = base.Dropout(output_dropout, dropout_kind)
        self.weight_drop = base.Dropout(recurrent_dropout)
        if initialization == "orthogonal":
            for cell in self.cells:
                make_orthogonal(cell)
        self.features = width
        self.state_size = layers * self.memories * width
        self.receptive_field = None
        self.macs_per_step = sum(weight.numel() for cell in self.cells for weight in weights_of(cell)[:2])

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Features (B, T, W) of inputs (B, T, C), and the list of the layers' states after the last step."""
        features, after = self._layers(inputs, state)
        return self.output_dropout(features), after

    def read(self, inputs: Tensor, reads: int | None = None) -> Tensor:
        """Features (B, R, W) of the last steps of whole sequences, see `base.Model.read`.

        Where one step is read, the state after it is what it shows: no gradient (B, T, W) that is zero elsewhere.
        """
        if reads != 1 or self.output_dropout.drops_elements:
            return super().read(inputs, reads)
        _, after = self._layers(inputs, None)
        return self.output_dropout(self.shown(after[-1]).unsqueeze(1))  # (B, 1, W)

    def _layers(self, inputs: Tensor, state: base.State) -> tuple[Tensor, list[Any]]:
        if torch.is_autocast_enabled(inputs.device.type):  # sums over time stay in float32
            with torch.autocast(inputs.device.type, enabled=False):
                return self._layers(inputs.float(), state)
        features = self.input_dropout(inputs)  # (B, T, C)
        before = [None] * len(self.cells) if state is None else state
        after = []
        for layer, (cell, memory) in enumerate(zip(self.cells, before, strict=True)):
            if layer > 0:
                features = self.dropout(features)
            input_weight, recurrent_weight, *biases = weights_of(cell)
            weights = [input_weight, self.weight_drop(recurrent_weight), *biases]
            features, memory = self.run(features, memory, weights)  # (B, T, W)
            after.append(memory)
        return features, after

    def shown(self, memory: Any) -> Tensor:
        """The hidden states (B, W) in what a layer remembers."""
        hidden: Tensor = memory
        return hidden

    @abstractmethod
    def run(self, inputs: Tensor, memory: Any, weights: Weights) -> tuple[Tensor, Any]:
        """One layer over a piece: hidden states (B, T, W) of inputs (B, T, C), and what the layer then remembers.

        `memory` is what it remembered before, None at the start of a sequence.
        """


def layer(
    cell: Cell, kernel: Callable[..., Any], inputs: Tensor, hidden: Tensor, memory: Tensor | None, weights: Weights
) -> tuple[Tensor, Tensor, Tensor | None]:
    """One layer over a piece: hidden states (B, T, W) of inputs (B, T, C), and hidden and memory (B, W) after it.

    `kernel` is torch's own (`torch.lstm`, `torch.gru`, …), `cell` ours, which computes the same; memory is None for
    all but an LSTM.
    """
    by_torch = cell is LSTM and weights[1].numel() > WIDE and inputs.shape[1] * hidden.numel() <= SMALL
    if fast(inputs, hidden, memory, *weights) and not by_torch:
        return recurrence(cell, inputs, hidden, memory, weights)
    before = hidden[None] if memory is None else (hidden[None], memory[None])
    # The kernels' `train` flag keeps what a backward pass needs. Ours does not depend on the mode: gradients are
    # also taken in evaluation mode, and none in a training mode without grad.
    biases, layers, dropout, train, bidirectional, batch_first = True, 1, 0.0, torch.is_grad_enabled(), False, True
    outputs, hidden, *memories = kernel(
        inputs, before, weights, biases, layers, dropout, train, bidirectional, batch_first
    )
    return outputs, hidden[0], memories[0][0] if memories else None


def weights_of(cell: nn.Module) -> Weights:
    """The parameters of a one-layer `torch.nn` cell, in the order in which the kernels take them."""
    # getattr, not get_parameter: `torch.func.functional_call` puts plain tensors in the parameters' places.
    return [getattr(cell, name) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")]


def make_orthogonal(cell: nn.Module) -> None:
    """Draws each gate's hidden-to-hidden matrix (W, W) from the orthogonal matrices, in place."""
    _, stacked, _, _ = weights_of(cell)  # (G·W, W)
    with torch.no_grad():
        for gate in stacked.split(stacked.shape[1]):
            nn.init.orthogonal_(gate)


def set_gate_bias(cell: nn.Module, gate: int, bias: Tensor | float) -> None:
    """Makes `bias` the whole bias of one gate, in place: b_ih = bias, b_hh = 0.

    PyTorch's cells add two bias vectors; filling both with b, as is often seen, starts the gate at 2b.
    """
    _, stacked, input_bias, recurrent_bias = weights_of(cell)
    if stacked.is_meta:  # only counted, and torch's answer there would take a second to import
        return
    width = stacked.shape[1]
    rows = slice(gate * width, (gate + 1) * width)
    with torch.no_grad():
        input_bias[rows] = bias
        recurrent_bias[rows] = 0.0


def chrono_bias(longest: int, width: int) -> Tensor:
    """A bias (W,) drawn from log U[1, longest-1]: units that by default remember for 1 to `longest` steps.

    Tallec & Ollivier 2018 (arXiv:1804.11188), section 2: the chrono initialisation.
    """
    return torch.empty(width).uniform_(1.0, longest - 1.0).log()
