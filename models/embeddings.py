"""Symbols as vectors: the front of every network whose input is a text."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._options import at_least, one_of, probability
from .base import Dropout


class Embedding(nn.Module):
    """inputs (B, T) int64 -> drop(E[inputs]) (B, T, E), with a matrix E (V, E).

    width: E; none: the width of the model's features, so that a tied head needs no projection. std: E is drawn from
    N(0, std²); none: from U(-0.1, 0.1). The published code (Bai et al. 2018) uses 0.01 for words and none of these
    for characters.
    dropout_kind: "element" drops single numbers of the vectors, as published; "channel" the same ones at all steps
    of a sequence; "word" whole symbols, wherever they stand in the batch (Gal & Ghahramani 2016; Merity, Keskar &
    Socher 2018, section 4.3). A tied head uses the whole matrix all the same.
    Raises ValueError where an option is out of its range.
    """

    def __init__(
        self,
        vocabulary: int,
        features: int,
        *,
        width: int | None = None,
        dropout: float = 0.0,
        dropout_kind: Literal["element", "channel", "word"] = "element",
        std: float | None = None,
    ) -> None:
        super().__init__()
        width = features if width is None else width
        at_least(1, vocabulary=vocabulary, width=width)
        probability(dropout=dropout)
        one_of(("element", "channel", "word"), dropout_kind=dropout_kind)
        if std is not None and std < 0:
            raise ValueError(f"embedding: std={std}: at least 0 is needed")
        self.weight = nn.Parameter(torch.empty(vocabulary, width))
        if std is None:
            nn.init.uniform_(self.weight, -0.1, 0.1)
        else:
            nn.init.normal_(self.weight, 0.0, std)
        self.width = width
        self.by_word = dropout_kind == "word"
        self.dropout = Dropout(dropout, "channel" if dropout_kind == "channel" else "element")

    def forward(self, inputs: Tensor) -> Tensor:  # (B, T) -> (B, T, E)
        if self.by_word and self.training and self.dropout.probability:
            kept = self.dropout.mask(self.weight[None, :, :1])[0]  # (V, 1)
            return F.embedding(inputs, self.weight) * F.embedding(inputs, kept)
        return self.dropout(F.embedding(inputs, self.weight))
