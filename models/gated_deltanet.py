"""Gated DeltaNet: the delta rule with a decay, and a gate behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from ._block import Blocks, residual_scale
from ._delta_net import DeltaNet
from ._heads import divide, width_step
from ._mixer import Mixer
from ._options import at_least, one_of


class Model(Blocks):
    """Gated DeltaNet (Yang, Kautz & Hatamizadeh 2024) in the residual block.

    For inputs i_t (W,) of the mixer, in each of H heads with keys of K = W/H and values of P = expansion · W/H numbers,
    and a state S_t (P, K) from S_0 = 0,

        [q_t, k_t, v_t] = silu(conv(A i_t))                 of sizes H·K, H·K and H·P; causal, depthwise, no bias
        q_t ← q_t / (|q_t| √K),  k_t ← k_t / |k_t|          in each head
        β_t = σ(A_β i_t)                                    strengths (H,); 2σ(A_β i_t) for eigenvalues="signed"
        a_t = exp(-e^λ softplus(A_a i_t + b_a))             decays (H,)
        S_t = a_t S_{t-1} (I - β_t k_t k_tᵀ) + β_t v_t k_tᵀ forgets all a little, and at the key what is in the way
        y_t = norm(S_t q_t) ⊙ silu(A_z i_t)                 RMSNorm over each head; A_z (H·P, W)
        o_t = A_o y_t                                       A (2W + H·P, W), A_β and A_a (H, W), A_o (W, H·P)

    The matrix that takes S_{t-1} to S_t has the eigenvalues a and a(1 - β), see `deltanet` for their sign.
    Parameters of the mixer, with V = expansion · W and c taps: W·(2W + 3V) + 2W·H + c·(2W + V) + 2H + P. State: S and
    the convolution's last c-1 inputs for each layer, W·V/H + (2W + V)·(c - 1) numbers.

    heads: H. expansion: V / W. eigenvalues: "positive" or "signed". convolution: c, of the mixer, 0 for none (then silu
    alone); the block has none of its own. Initially e^λ is from U(0.01, 16), softplus(b_a) log-uniform in [0.001, 0.1],
    and A_o is scaled by 1/√(2L), as an MLP's last matrix is. λ and b_a have no weight decay, nor has any vector.
    The other options, the block and its initial weights are explained at `_block.Blocks`. Raises ValueError where an
    option is out of its range, or where the heads do not divide the width.

    Source: S. Yang, J. Kautz & A. Hatamizadeh, Gated delta networks: Improving Mamba2 with delta rule, ICLR 2025,
    arXiv:2412.06464, eq. 10 and figure 1; eigenvalues: R. Grazzi et al., ICLR 2025, arXiv:2411.12537.
    """

    version = 1
    sized_by = "width"
    variant = ("eigenvalues",)
    variants = ("gated-deltanet(eigenvalues=signed)", "gated-deltanet(convolution=0)")
    source = "Yang, Kautz & Hatamizadeh 2024, arXiv:2412.06464"
    look = ("#5A2A82", "H", (2, 1, 6, 1, 2, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2, "heads": 2, "convolution": 3}

    def __init__(
        self,
        channels: int,
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        expansion: int = 2,
        eigenvalues: Literal["positive", "signed"] = "positive",
        convolution: int = 4,
        inner: int | None = None,
        norm: Literal["rms", "layer"] = "rms",
        dropout: float = 0.0,
    ) -> None:
        at_least(1, heads=heads, expansion=expansion)
        at_least(0, convolution=convolution)
        one_of(("positive", "signed"), eigenvalues=eigenvalues)
        self.heads, self.eigenvalues, self.taps = heads, eigenvalues, convolution
        self.key, self.value = divide(width, heads), expansion * divide(width, heads)
        super().__init__(channels, width=width, layers=layers, inner=inner, convolution=0, norm=norm, dropout=dropout)

    @classmethod
    def width_step_for(cls, options: Mapping[str, Any]) -> int:
        """The heads must divide the width."""
        return width_step(options["heads"])

    def make_mixer(self, layer: int) -> Mixer:
        """One layer of H heads."""
        return DeltaNet(
            self.width,
            self.heads,
            self.key,
            self.value,
            self.taps,
            signed=self.eigenvalues == "signed",
            gated=True,
            scale=residual_scale(self.layers),
        )
