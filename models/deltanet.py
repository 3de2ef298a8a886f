"""DeltaNet: linear attention whose memory is corrected by the delta rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from ._block import Blocks, residual_scale
from ._delta_net import DeltaNet
from ._heads import divide, width_step
from ._mixer import Mixer
from ._options import at_least, one_of


class Model(Blocks):
    """DeltaNet (Schlag, Irie & Schmidhuber 2021; Yang et al. 2024) in the residual block.

    For inputs i_t (W,) of the mixer, in each of H heads with P = W/H, and a state S_t (P, P) from S_0 = 0,

        [q_t, k_t, v_t] = silu(conv(A i_t))                 of sizes W, W and W; causal, depthwise, of c taps, no bias
        q_t ← q_t / (|q_t| √P),  k_t ← k_t / |k_t|          in each head
        β_t = σ(A_β i_t)                                    strengths (H,); 2σ(A_β i_t) for eigenvalues="signed"
        S_t = S_{t-1} (I - β_t k_t k_tᵀ) + β_t v_t k_tᵀ     what is stored at the key moves towards the value
        o_t = A_o norm(S_t q_t)                             RMSNorm over each head; A (3W, W), A_β (H, W), A_o (W, W)

    The matrix that takes S_{t-1} to S_t has the eigenvalues 1 and 1 - β. With β in [0, 1] they are positive, and a
    network with such states does not learn parity at lengths it has not seen; with β in [0, 2] they lie in [-1, 1], and
    it can (Grazzi et al. 2025).
    Parameters of the mixer: 4W² + W·H + 3c·W + P. State: S and the convolution's last c-1 inputs for each layer,
    W²/H + 3W·(c - 1) numbers.

    heads: H. eigenvalues: "positive" or "signed", see above. convolution: c, of the mixer, 0 for none (then silu
    alone); the block has none of its own. A_o is scaled by 1/√(2L) at first, as an MLP's last matrix is.
    The other options, the block and its initial weights are explained at `_block.Blocks`. Raises ValueError where an
    option is out of its range, or where the heads do not divide the width.

    Source: I. Schlag, K. Irie & J. Schmidhuber, Linear Transformers are secretly fast weight programmers, ICML 2021,
    arXiv:2102.11174; S. Yang et al., Parallelizing linear Transformers with the delta rule over sequence length,
    NeurIPS 2024, arXiv:2406.06484, section 3; eigenvalues: R. Grazzi et al., Unlocking state-tracking in linear RNNs
    through negative eigenvalues, ICLR 2025, arXiv:2411.12537.
    """

    version = 1
    sized_by = "width"
    variant = ("eigenvalues",)
    variants = ("deltanet(eigenvalues=signed)", "deltanet(convolution=0)")
    source = "Yang et al. 2024, arXiv:2406.06484"
    look = ("#3A7D2C", "d", (2, 1, 6, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2, "heads": 2, "convolution": 3}

    def __init__(
        self,
        channels: int,
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        eigenvalues: Literal["positive", "signed"] = "positive",
        convolution: int = 4,
        inner: int | None = None,
        norm: Literal["rms", "layer"] = "rms",
        dropout: float = 0.0,
    ) -> None:
        at_least(1, heads=heads)
        at_least(0, convolution=convolution)
        one_of(("positive", "signed"), eigenvalues=eigenvalues)
        self.heads, self.eigenvalues, self.taps = heads, eigenvalues, convolution
        self.head_width = divide(width, heads)
        super().__init__(channels, width=width, layers=layers, inner=inner, convolution=0, norm=norm, dropout=dropout)

    @classmethod
    def width_step_for(cls, options: Mapping[str, Any]) -> int:
        """The heads must divide the width."""
        return width_step(options["heads"])

    def make_mixer(self, layer: int) -> Mixer:
        """One layer of H heads, keys and values as wide as the head."""
        return DeltaNet(
            self.width,
            self.heads,
            self.head_width,
            self.head_width,
            self.taps,
            signed=self.eigenvalues == "signed",
            gated=False,
            scale=residual_scale(self.layers),
        )
