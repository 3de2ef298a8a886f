"""The Transformer, as a decoder: attention to what came before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from ._attention import Attention, Positions
from ._block import Blocks
from ._mixer import Mixer


class Model(Blocks):
    """Transformer decoder (Vaswani et al. 2017) in its present form: pre-norm, RMSNorm, SwiGLU, rotary positions.

    Layer by layer, with x (B, T, W) and attention of H heads, `_attention.Attention`,

        x ← x + drop(attention(norm(x)))          o_t = Σ_{s ≤ t} softmax_s(q_t·k_s/√(W/H)) v_s in each head
        x ← x + drop(mlp(norm(x)))

    and the features are norm(x). Parameters of the attention: 4W² a layer. State: the keys and values of all steps so
    far, 2LW numbers a step, so that it grows with the sequence; with a window the last w-1 of them. So `state_size` is
    None without a window, and `state_size_after(steps)` tells how large it then is.

    heads: H, which divides the width; with rotary positions into heads of an even size.
    positions: "rope" turns queries and keys by angles that grow with the step; "alibi" takes from each score what grows
    with the distance; "none" leaves the order to the causal limit. window: w, a step sees itself and the w-1 before
    it; 0: all before it.
    The options of the block, its parameters and its initial weights are explained at `_block.Blocks`. Raises
    ValueError where an option is out of its range.

    A text is read in windows that overlap, each from its start, as the first window of a state that grows is.

    Sources: A. Vaswani et al., Attention is all you need, NeurIPS 2017, arXiv:1706.03762; J. Su et al., RoFormer,
    arXiv:2104.09864 (rope); O. Press, N. Smith & M. Lewis, ICLR 2022, arXiv:2108.12409 (alibi).
    """

    version = 1
    sized_by = "width"
    variants = ("transformer(positions=alibi)", "transformer(positions=none)", "transformer(window=64)")
    source = "Vaswani et al. 2017, arXiv:1706.03762; Su et al. 2021, arXiv:2104.09864"
    look = ("#02C442", "P", (8, 1.5))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 8, "layers": 2, "heads": 2}
    carries = False

    def __init__(
        self,
        channels: int,
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        positions: Positions = "rope",
        window: int = 0,
        inner: int | None = None,
        convolution: int = 0,
        norm: Literal["rms", "layer"] = "rms",
        dropout: float = 0.0,
    ) -> None:
        self.heads, self.positions, self.window = heads, positions, window
        super().__init__(
            channels, width=width, layers=layers, inner=inner, convolution=convolution, norm=norm, dropout=dropout
        )

    @classmethod
    def width_step_for(cls, options: Mapping[str, Any]) -> int:
        """The number of heads, twice that with rotary positions."""
        return int(options["heads"]) * (2 if options["positions"] == "rope" else 1)

    def make_mixer(self, layer: int) -> Mixer:
        """Attention of the model's heads."""
        return Attention(self.width, self.heads, self.layers, self.positions, self.window)
