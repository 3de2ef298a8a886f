"""The Transformer as it was published: an encoder that reads both ways, and a decoder that attends to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from . import _heads, base
from ._block import RMSNorm, SwiGLU, matrix, residual_scale
from ._options import at_least, probability
from .embeddings import Embedding
from .encoder_decoder import Decoded, EncoderDecoder


class Memory(NamedTuple):
    """What the encoder leaves: for each layer of the decoder a pair of keys and values (B, S, W), and hidden (B, S)
    bool, true where a source is padded."""

    layers: list[tuple[Tensor, Tensor]]
    hidden: Tensor


class Model(EncoderDecoder):
    """Encoder-decoder Transformer (Vaswani et al. 2017): attention in place of recurrence.

    The source is embedded, sines of its places are added (`sines`), and each of L layers maps x (B, S, W) to

        x ← x + drop(attention(norm(x) to all of the source))
        x ← x + drop(mlp(norm(x)))

    The decoder's layers do the same with y (B, T, W), of START and the symbols so far, and look at the encoder between:

        y ← y + drop(attention(norm(y) to its own steps up to this one))
        y ← y + drop(attention(norm(y) to norm(x) of the encoder's last layer))
        y ← y + drop(mlp(norm(y)))

    and the features are norm(y). Attention has H heads, o_t = Σ_s softmax_s(q_t·k_s / √(W/H)) v_s in each, and maps
    without biases. The norms stand before each part and are RMSNorm, the MLP is SwiGLU, as in the suite's other
    Transformer (`_block`); places are sines as published, because source and target have no distance that could be
    turned into an angle.

    layers: L of the encoder, and as many of the decoder. heads: H, which divides the width. inner: I, the inner width
    of the MLPs; none: 8W/3 rounded. dropout: probability for each number that a part adds, and of the embedded symbols.
    Initial weights as of `_block.Blocks`, embeddings from N(0, 1).

    State: keys and values of the target so far, 2LW numbers a step, beside those of the source, 2LW a step. `weights`
    are those of the last layer's attention to the source, the mean of its heads. Sines have no end, so that a longer
    source than those of training is read; how well is to be seen.
    Raises ValueError where an option is out of its range.

    Source: A. Vaswani et al., Attention is all you need, NeurIPS 2017, arXiv:1706.03762.
    """

    version = 1
    sized_by = "width"
    variants = ("transformer-seq2seq(layers=1)",)
    source = "Vaswani et al. 2017, arXiv:1706.03762"
    look = ("#00A5A5", "X", (8, 1.5, 1, 1.5))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 8, "layers": 2, "heads": 2}
    fine_option: ClassVar[str | None] = "inner"

    def __init__(
        self,
        source: int,
        target: int,
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        inner: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(source, target)
        at_least(1, width=width, layers=layers, heads=heads)
        probability(dropout=dropout)
        inner = round(8 * width / 3) if inner is None else inner
        at_least(1, inner=inner)
        _heads.divide(width, heads)
        self.width, self.layers = width, layers
        self.embed_source = Embedding(source, width, dropout=dropout, std=1.0)
        self.embed_target = Embedding(target, width, dropout=dropout, std=1.0)
        self.encoder = nn.ModuleList(Layer(width, heads, inner, layers, dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(Layer(width, heads, inner, layers, dropout, looks=True) for _ in range(layers))
        self.source_norm, self.target_norm = RMSNorm(width), RMSNorm(width)
        self.features, self.receptive_field, self.state_size = width, None, None
        self.macs_per_step = layers * (12 * width * width + 6 * width * inner)

    @classmethod
    def width_step_for(cls, options: Mapping[str, Any]) -> int:
        """The number of heads."""
        return int(options["heads"])

    def state_size_after(self, steps: int) -> int:
        """Keys and values of a source and of a target of so many steps."""
        return 4 * self.layers * self.width * steps

    def parameter_groups(self) -> list[base.ParameterGroup]:
        """Gains and biases are exempt from weight decay."""
        return [base.ParameterGroup([part for part in self.parameters() if part.dim() < 2], decays=False)]

    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        """Keys and values of sources (B, S) of these lengths (B,), for each layer of the decoder."""
        steps = torch.arange(source.shape[1], device=source.device)
        hidden = steps >= lengths.unsqueeze(1)  # (B, S)
        states = self.embed_source(source) + sines(0, source.shape[1], self.embed_source.weight)  # (B, S, W)
        for layer in self._of(self.encoder):
            normed = layer.norm(states)
            mixed, _ = layer.attention(normed, *layer.attention.keys_and_values(normed), hidden.unsqueeze(1))
            states = layer.widen(states + layer.dropout(mixed))
        states = self.source_norm(states)
        pairs = [layer.look.keys_and_values(states) for layer in self._of(self.decoder) if layer.look is not None]
        return Memory(pairs, hidden)

    def decode(self, memory: Memory, inputs: Tensor, state: base.State = None) -> Decoded:
        """Features (B, T, W) of symbols (B, T), the state after them and the weights, see `EncoderDecoder.decode`.

        The state is a list with a pair of keys and values (B, T so far, W) for each layer.
        """
        before = 0 if state is None else state[0][0].shape[1]
        steps = torch.arange(inputs.shape[1], device=inputs.device) + before
        later = torch.arange(before + inputs.shape[1], device=inputs.device) > steps.unsqueeze(1)  # (T, T so far)
        states = self.embed_target(inputs) + sines(before, inputs.shape[1], self.embed_target.weight)  # (B, T, W)
        after, weights = [], None
        for place, layer in enumerate(self._of(self.decoder)):
            assert layer.look is not None
            assert layer.look_norm is not None
            normed = layer.norm(states)
            keys, values = layer.attention.keys_and_values(normed)
            if state is not None:
                keys, values = torch.cat([state[place][0], keys], 1), torch.cat([state[place][1], values], 1)
            after.append((keys, values))
            states = states + layer.dropout(layer.attention(normed, keys, values, later)[0])
            seen, weights = layer.look(layer.look_norm(states), *memory.layers[place], memory.hidden.unsqueeze(1))
            states = layer.widen(states + layer.dropout(seen))
        assert weights is not None
        return Decoded(self.target_norm(states), after, weights.mean(1))

    def _of(self, layers: nn.ModuleList) -> list[Layer]:
        return [layer for layer in layers if isinstance(layer, Layer)]


class Layer(nn.Module):
    """One layer: norm and attention to its own steps; of a decoder norm and attention to the source; norm and MLP."""

    def __init__(self, width: int, heads: int, inner: int, layers: int, dropout: float, looks: bool = False) -> None:
        super().__init__()
        self.norm, self.attention = RMSNorm(width), Attention(width, heads, layers)
        self.look_norm = RMSNorm(width) if looks else None
        self.look = Attention(width, heads, layers) if looks else None
        self.mlp_norm, self.mlp = RMSNorm(width), SwiGLU(width, inner, scale=residual_scale(layers))
        self.dropout = base.Dropout(dropout)

    def widen(self, states: Tensor) -> Tensor:
        """The end of the layer: norm and MLP, each step by itself."""
        widened: Tensor = states + self.dropout(self.mlp(self.mlp_norm(states)))
        return widened


class Attention(nn.Module):
    """Softmax attention of H heads of queries (B, T, W) to keys and values (B, S, W), with K = W/H numbers a head.

    Other than `_attention.Attention` it looks at what is given, without places and in both directions, and tells its
    weights.
    """

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.to_queries, self.to_keys_and_values = matrix(width, width), matrix(width, 2 * width)
        self.to_outputs = matrix(width, width, residual_scale(layers))
        self.heads = heads

    def keys_and_values(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Both (B, S, W), of what is looked at, (B, S, W)."""
        keys, values = self.to_keys_and_values(states).chunk(2, dim=2)
        return keys, values

    def forward(self, states: Tensor, keys: Tensor, values: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, W) and weights (B, H, T, S). hidden: what is not looked at, bool, (B, 1, S) or (T, S)."""
        parts = self.to_queries(states), keys, values
        queries, keys, values = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)  # (B, H, …, K)
        scores = queries @ keys.transpose(2, 3) / math.sqrt(queries.shape[3])  # (B, H, T, S)
        weights = scores.masked_fill(hidden.unsqueeze(-3), -torch.inf).softmax(3)
        return self.to_outputs((weights @ values).transpose(1, 2).flatten(2)), weights


def sines(first: int, steps: int, like: Tensor) -> Tensor:
    """Sines and cosines of the places t = first … first+steps-1: (steps, W), of the type and device of `like` (V, W).

    Number 2i is sin(t / 10000^(2i/W)), number 2i+1 the cosine of the same (Vaswani et al. 2017, section 3.5).
    """
    width = like.shape[1]
    places = torch.arange(first, first + steps, device=like.device, dtype=torch.float64)
    rates = 10_000.0 ** (-torch.arange(0, width, 2, device=like.device, dtype=torch.float64) / width)
    angles = torch.outer(places, rates)  # (steps, W/2)
    found = torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, :width]
    return found.to(like.dtype)
