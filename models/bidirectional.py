"""Recurrent networks that read a sequence from both ends."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from . import base, gru, lstm, rnn
from ._options import at_least, one_of, probability

CELLS: dict[str, Any] = {"rnn": rnn.Model, "lstm": lstm.Model, "gru": gru.Model}


class Model(base.Model):
    """Bidirectional RNN, LSTM or GRU (Schuster & Paliwal 1997): one recurrence forwards, one backwards, side by side.

    For inputs x_1 … x_T of one sequence, with the cell of `rnn.Model`, `lstm.Model` or `gru.Model` and W units in each
    direction,

        f_t = cell(x_t, f_{t-1})        from f_0 = 0, over t = 1 … T
        b_t = cell'(x_t, b_{t+1})       from b_{T+1} = 0, over t = T … 1
        y_t = [f_t; b_t]                (2W,)

    and each further layer reads y in place of x. Features (B, T, 2W): y_t of the last layer at all steps but the last
    of a sequence. There b_T has seen x_T alone, so what stands at the last step is a summary of the whole sequence:

        readout="last"      [f_T; b_1], the last hidden states of both directions
        readout="mean"      the mean of y_t over t = 1 … T
        readout="max"       the largest of y_t over t = 1 … T, number by number

    It is not causal and cannot be streamed. `read_padded` reads each sequence of a padded batch up to its own end: the
    backward direction begins there, and neither mean nor maximum sees what pads.

    Parameters: 2·G(C·W + W² + 2W) of the first layer and 2·G(2W·W + W² + 2W) of each other one, G = 1, 4, 3 for RNN,
    LSTM, GRU. What must be kept to answer is the whole sequence, T·C numbers.

    cell: "rnn", "lstm" or "gru", with PyTorch's initial weights. dropout: probability for y between two layers;
    input_dropout: for the inputs; output_dropout: for the features. dropout_kind: "element", or "channel": one mask for
    all steps of a sequence. recurrent_dropout, initialization: as of `_recurrent.Recurrent`, in both directions.
    Raises ValueError where an option is out of its range, also for `dropout` with a single layer.

    Source: M. Schuster & K. K. Paliwal, Bidirectional recurrent neural networks, IEEE Transactions on Signal Processing
    45 (1997); the layers are those of `torch.nn.RNN`, `LSTM` and `GRU` with `bidirectional=True`.
    """

    version = 1
    sized_by = "width"
    variant = ("cell",)
    variants = ("bidirectional(cell=gru)", "bidirectional(cell=rnn)", "bidirectional(cell=lstm, readout=max)")
    source = "Schuster & Paliwal 1997, Bidirectional recurrent neural networks"
    look = ("#8C5A2B", "D", (7, 1, 1, 1, 1, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 4, "layers": 2}

    causal = False
    streamed = False

    def __init__(
        self,
        channels: int,
        *,
        cell: Literal["rnn", "lstm", "gru"] = "lstm",
        width: int = 64,
        layers: int = 1,
        readout: Literal["last", "mean", "max"] = "last",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        dropout_kind: Literal["element", "channel"] = "element",
        initialization: Literal["torch", "orthogonal"] = "torch",
    ) -> None:
        super().__init__()
        one_of(tuple(CELLS), cell=cell)
        one_of(("last", "mean", "max"), readout=readout)
        at_least(1, channels=channels, width=width, layers=layers)
        probability(dropout=dropout, input_dropout=input_dropout, output_dropout=output_dropout)
        one_of(("element", "channel"), dropout_kind=dropout_kind)
        if dropout and layers == 1:
            raise ValueError(
                f"dropout: acts between layers and there is 1, got {dropout}; "
                "0 is needed, or more layers, or input_dropout, output_dropout or recurrent_dropout instead"
            )

        def direction(layer: int) -> base.Model:
            made: base.Model = CELLS[cell](
                channels if layer == 0 else 2 * width,
                width=width,
                recurrent_dropout=recurrent_dropout,
                initialization=initialization,
            )
            return made

        pairs = [(direction(layer), direction(layer)) for layer in range(layers)]  # drawn in the order of torch's
        self.forwards = nn.ModuleList(one for one, _ in pairs)
        self.backwards = nn.ModuleList(other for _, other in pairs)
        self.input_dropout = base.Dropout(input_dropout, dropout_kind)
        self.dropout = base.Dropout(dropout, dropout_kind)
        self.output_dropout = base.Dropout(output_dropout, dropout_kind)
        self.channels, self.readout = channels, readout
        self.features = 2 * width
        self.state_size = None
        self.receptive_field = None
        self.macs_per_step = sum(int(one.macs_per_step) for pair in pairs for one in pair)

    def state_size_after(self, steps: int) -> int:
        """The inputs so far: the backward direction begins at the end, so all of them must be kept."""
        return steps * self.channels

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Features (B, T, 2W) of whole sequences (B, T, C), and no state. Raises ValueError where one is given."""
        if state is not None:
            raise ValueError("bidirectional: it reads from both ends, so it cannot go on from a state")
        return self._features(inputs, None), None

    def read_padded(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Features (B, T, 2W) of sequences that are padded behind their ends, see `base.Model.read_padded`.

        inputs: (B, T, C). lengths: (B,) int64, each from 1 to T. Behind an end the features are of no use.
        """
        return self._features(inputs, lengths)

    def _features(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """(B, T, C) -> (B, T, 2W); lengths (B,) where sequences are padded."""
        ends = inputs.new_full((len(inputs),), inputs.shape[1], dtype=torch.int64) if lengths is None else lengths
        features = self.input_dropout(inputs)
        ahead = back = features
        for layer, (forwards, backwards) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            if layer > 0:
                features = self.dropout(features)
            ahead, _ = forwards(features)  # (B, T, W)
            back, _ = backwards(_turned(features, lengths))
            back = _turned(back, lengths)
            features = torch.cat([ahead, back], 2)  # (B, T, 2W)
        steps = torch.arange(features.shape[1], device=features.device)  # (T,)
        last = (steps == ends.unsqueeze(1) - 1).unsqueeze(2)  # (B, T, 1)
        return self.output_dropout(torch.where(last, self._summary(features, ends).unsqueeze(1), features))

    def _summary(self, features: Tensor, ends: Tensor) -> Tensor:
        """What is read of whole sequences, (B, 2W), from y (B, T, 2W) and the number of their steps (B,)."""
        steps = torch.arange(features.shape[1], device=features.device)
        within = (steps < ends.unsqueeze(1)).unsqueeze(2)  # (B, T, 1)
        if self.readout == "mean":
            return torch.where(within, features, 0).sum(1) / ends.unsqueeze(1)
        if self.readout == "max":
            return torch.where(within, features, -torch.inf).amax(1)
        width = self.features // 2
        at_end = (ends - 1).view(-1, 1, 1)
        return torch.cat([features[..., :width].take_along_dim(at_end, 1)[:, 0], features[:, 0, width:]], 1)


def _turned(sequences: Tensor, lengths: Tensor | None) -> Tensor:
    """Each sequence of (B, T, C) from its own last step to its first; what pads stays where it is."""
    if lengths is None:
        return sequences.flip(1)
    steps = torch.arange(sequences.shape[1], device=sequences.device)  # (T,)
    ends = lengths.unsqueeze(1)
    return sequences.take_along_dim(torch.where(steps < ends, ends - 1 - steps, steps).unsqueeze(2), 1)
