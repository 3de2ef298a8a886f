"""Attention of a recurrent decoder to the states of its encoder: Bahdanau's score and two of Luong's.

For a query s (W,), of the decoder, and states h_i (W,), i = 1 … S, of the encoder:

    α_i = exp(e_i) / Σ_j exp(e_j)      c = Σ_i α_i h_i        over the symbols of the source, not over what pads it

    bahdanau        e_i = vᵀ tanh(W s + U h_i)      W, U (W, W), v (W,)
    luong-dot       e_i = sᵀ h_i
    luong-general   e_i = sᵀ A h_i                  A (W, W)

Sources: D. Bahdanau, K. Cho & Y. Bengio, Neural machine translation by jointly learning to align and translate, ICLR
2015, arXiv:1409.0473, section 3.1 and appendix A.1.2; M.-T. Luong, H. Pham & C. Manning, Effective approaches to
attention-based neural machine translation, EMNLP 2015, arXiv:1508.04025, eq. 7 and 8.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

Kind = Literal["bahdanau", "luong-dot", "luong-general"]
KINDS: tuple[Kind, ...] = ("bahdanau", "luong-dot", "luong-general")


class Attended(NamedTuple):
    """What is attended to: states h (B, S, W), keys (B, S, W), what of them does not depend on the query, and hidden
    (B, S) bool, true where a source is padded."""

    states: Tensor
    keys: Tensor
    hidden: Tensor


class Attention(nn.Module):
    """Contexts c of queries s by one of the scores above; the maps of the keys are made once a source.

    Initially all matrices and v are PyTorch's draws for a linear map without bias.
    """

    def __init__(self, kind: Kind, width: int) -> None:
        super().__init__()
        self.to_keys: nn.Module = nn.Identity() if kind == "luong-dot" else nn.Linear(width, width, bias=False)
        self.to_queries = nn.Linear(width, width, bias=False) if kind == "bahdanau" else None
        self.to_score = nn.Linear(width, 1, bias=False) if kind == "bahdanau" else None
        self.macs_of_source = 0 if kind == "luong-dot" else width * width
        self.macs_of_query = width * width if kind == "bahdanau" else 0

    def attended(self, states: Tensor, hidden: Tensor) -> Attended:
        """What is attended to, of states (B, S, W) and hidden (B, S)."""
        return Attended(states, self.to_keys(states), hidden)

    def forward(self, queries: Tensor, attended: Attended) -> tuple[Tensor, Tensor]:
        """Contexts (B, T, W) and weights (B, T, S) of queries (B, T, W)."""
        if self.to_queries is not None and self.to_score is not None:
            asked = self.to_queries(queries).unsqueeze(2)  # (B, T, 1, W)
            scores = self.to_score(torch.tanh(asked + attended.keys.unsqueeze(1))).squeeze(3)  # (B, T, S)
        else:
            scores = queries @ attended.keys.transpose(1, 2)
        weights = scores.masked_fill(attended.hidden.unsqueeze(1), -torch.inf).softmax(2)
        return weights @ attended.states, weights
