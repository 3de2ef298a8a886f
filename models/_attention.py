"""Causal attention over a sequence and over what a cache holds of the steps before it.

Shape letters beside those of `base`: H heads, K = W/H numbers of a head, S steps before the piece that the cache holds.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ._block import matrix, residual_scale
from ._mixer import Mixer
from ._options import at_least, one_of
from .base import State

Positions = Literal["rope", "alibi", "none"]


class Attention(Mixer):
    """Softmax attention of H heads to the present step and those before it, (B, T, W) -> (B, T, W).

    For each head, with rows q_t, k_t, v_t (K,) of x_t W_q, x_t W_k, x_t W_v,

        o_t = Σ_s a_ts v_s      a_ts = exp(q_t·k_s/√K + b_ts) / Σ_r exp(q_t·k_r/√K + b_tr)      t-w < s ≤ t

    and the output is [o_t of all heads] W_o. window: w; 0: all steps before. positions: "rope": q_t and k_t are
    turned by `rotated`, b = 0; "alibi": b_ts = -m_h (t-s) with m_h = 2^(-8h/H), h = 1 … H, after the division by √K;
    "none": b = 0, so that what came before is a set, whose order only the causal limit tells.

    Parameters: 4W². State: keys and values of the last min(t, w-1) steps, (B, min(t, w-1), W) each; of all t where
    there is no window, so that it grows. The keys are kept as they are before they are turned: scores depend on
    distances alone, so that no counter of steps is needed and angles do not grow beyond the window.
    layers: L, for the initial weights of W_o, see `_block.Blocks`.

    Sources: A. Vaswani et al., NeurIPS 2017, arXiv:1706.03762, eq. 1; J. Su et al., RoFormer, arXiv:2104.09864,
    eq. 34; O. Press, N. Smith & M. Lewis, ALiBi, ICLR 2022, arXiv:2108.12409, section 3.
    """

    def __init__(self, width: int, heads: int, layers: int, positions: Positions, window: int) -> None:
        super().__init__()
        at_least(1, heads=heads)
        at_least(0, window=window)
        one_of(("rope", "alibi", "none"), positions=positions)
        if width % heads:
            raise ValueError(f"width, heads: a width that {heads} heads divide is needed, got {width}")
        if positions == "rope" and width // heads % 2:
            raise ValueError(
                f"width, heads: positions=rope turns pairs of numbers, so that each head needs an even number of them, "
                f"got {width} / {heads} = {width // heads}"
            )
        self.to_queries_keys_values = matrix(width, 3 * width)
        self.to_outputs = matrix(width, width, residual_scale(layers))
        self.heads, self.positions, self.window = heads, positions, window
        self.receptive_field = window or None
        self.state_size = 2 * width * (window - 1) if window else None
        self.macs_per_step = 4 * width * width

    def state_size_after(self, steps: int) -> int:
        """Numbers of keys and values that are kept after so many steps."""
        kept = min(steps, self.window - 1) if self.window else steps
        return 2 * self.to_outputs.in_features * kept

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Outputs (B, T, W) of inputs (B, T, W), and the pair of keys and values (B, S', W) for what follows."""
        queries, keys, values = self.to_queries_keys_values(inputs).chunk(3, dim=-1)  # (B, T, W) each
        if state is not None:
            keys, values = torch.cat([state[0], keys], 1), torch.cat([state[1], values], 1)  # (B, S+T, W)
        kept = max(0, keys.shape[1] - self.window + 1) if self.window else 0
        return self._attend(queries, keys, values), (keys[:, kept:].clone(), values[:, kept:].clone())

    def read(self, inputs: Tensor, reads: int) -> Tensor:
        """Outputs (B, R, W) of the last R steps of whole sequences: no other step asks."""
        queries_weight, others_weight = self.to_queries_keys_values.weight.tensor_split([inputs.shape[2]])
        reach = self.window + reads - 1 if self.window else inputs.shape[1]
        keys, values = F.linear(inputs[:, -reach:], others_weight).chunk(2, dim=-1)
        return self._attend(F.linear(inputs[:, -reads:], queries_weight), keys, values)

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Outputs (B, T, W) for queries (B, T, W), the last T of the S+T steps of keys and values (B, S+T, W)."""
        steps, whole = queries.shape[1], keys.shape[1]
        queries, keys, values = (part.unflatten(2, (self.heads, -1)) for part in (queries, keys, values))
        if self.positions == "rope":
            queries, keys = rotated(queries, whole - steps), rotated(keys)
        if self.window and steps > 2 * self.window:
            mixed = self._in_chunks(queries, keys, values)
        else:
            mixed = self._product(queries, keys, values, self._bias(queries, whole))
        return self.to_outputs(mixed.flatten(2))

    def _product(self, queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
        """Σ_s a_ts v_s (B, T, H, K); without a bias each step sees itself and all before it."""
        queries, keys, values = (part.transpose(1, 2) for part in (queries, keys, values))  # (B, H, T, K)
        # What torch calls causal has the first query see the first key: right only where none was before the piece.
        causal = bias is None and queries.shape[2] > 1
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, is_causal=causal)
        return mixed.transpose(1, 2)

    def _bias(self, queries: Tensor, whole: int, before: int | None = None) -> Tensor | None:
        """b_ts (H or 1, T, S+T) with -∞ for what a step does not see; None where it is 0 for all that it does.

        whole: S+T. before: how many of the S steps before the piece are there, the others are padding; None: all.
        """
        steps = queries.shape[1]
        reaches_all = before is None and (not self.window or self.window >= whole)
        if self.positions != "alibi" and reaches_all and steps in (1, whole):
            return None
        places = torch.arange(whole, device=queries.device)
        distances = places[whole - steps :, None] - places  # t - s, (T, S+T)
        hidden = distances < 0
        if self.window:
            hidden |= distances >= self.window
        if before is not None:
            hidden |= places < whole - steps - before
        bias = queries.new_zeros((1, steps, whole))
        if self.positions == "alibi":
            exponents = torch.arange(1, self.heads + 1, device=queries.device, dtype=queries.dtype)
            bias = -(2 ** (-8 * exponents / self.heads))[:, None, None] * distances
        return bias.masked_fill(hidden, -math.inf)

    def _in_chunks(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """As `_product`, in chunks of w queries that see 2w keys each: linear in T.

        Padded in front to w steps before the piece, and behind to whole chunks; a step of padding sees only others.
        """
        (batch, steps, heads, size), window = queries.shape, self.window
        before, behind = keys.shape[1] - steps, -steps % window
        chunks = (steps + behind) // window  # n
        queries = F.pad(queries, (0, 0, 0, 0, 0, behind)).unflatten(1, (chunks, window))  # (B, n, w, H, K)
        pairs = []
        for part in (keys, values):
            part = F.pad(part, (0, 0, 0, 0, window - before, behind)).unflatten(1, (chunks + 1, window))
            pairs.append(torch.cat([part[:, :-1], part[:, 1:]], 2).transpose(2, 3).flatten(1, 2))  # (B, nH, 2w, K)
        first = self._bias(queries[:, 0], 2 * window, before)
        others = self._bias(queries[:, 0], 2 * window)
        assert first is not None
        assert others is not None
        bias = torch.stack([first, *[others] * (chunks - 1)]).expand(-1, heads, -1, -1).flatten(0, 1)  # (nH, w, 2w)
        queries = queries.transpose(2, 3).flatten(1, 2)  # (B, nH, w, K)
        mixed = F.scaled_dot_product_attention(queries, pairs[0], pairs[1], attn_mask=bias)
        mixed = mixed.unflatten(1, (chunks, heads)).transpose(2, 3)  # (B, n, w, H, K)
        return mixed.reshape(batch, chunks * window, heads, size)[:, :steps]


def rotated(vectors: Tensor, first: int = 0) -> Tensor:
    """Each pair (2i, 2i+1) of (B, T, H, K) turned by the angle t·10000^(-2i/K), for t = first … first+T-1.

    Then q_t·k_s depends on the distance t-s and not on t. In float32 or better, whatever the vectors are.
    """
    _, steps, _, size = vectors.shape
    places = torch.arange(first, first + steps, device=vectors.device, dtype=torch.float64)
    pairs = torch.arange(0, size, 2, device=vectors.device, dtype=torch.float64)
    angles = torch.outer(places, 10_000.0 ** (-pairs / size)).unsqueeze(1)  # (T, 1, K/2)
    dtype = torch.promote_types(vectors.dtype, torch.float32)
    cosines, sines = angles.cos().to(dtype), angles.sin().to(dtype)
    even, odd = vectors.unflatten(3, (-1, 2)).unbind(4)  # (B, T, H, K/2) each
    turned = torch.stack([even * cosines - odd * sines, even * sines + odd * cosines], dim=4)
    return turned.flatten(3).to(vectors.dtype)
