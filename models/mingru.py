"""The minimal gated recurrent unit, whose gate does not see the state: a linear recurrence."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ._block import Blocks
from ._min_rnn import MinRNN, in_package
from ._mixer import Package


class Model(Blocks):
    """minGRU (Feng et al. 2024) in the residual block.

    For inputs x_t (W,) of the mixer and hidden states h_t (E,) with E = expansion · W, from h_0 = 0,

        z_t = σ(A_z x_t + b_z)                      what to write
        n_t = A_n x_t + b_n                         the candidate
        h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ n_t       A (E, W), b (E,)
        y_t = D h_t                                 D (W, E), what the mixer gives

    Since z does not see h, all steps are one linear recurrence. It is computed as it stands, which is exact. The
    paper computes it from logarithms, in single precision with errors of 1e-4 and more, and only where h > 0.
    Parameters of the mixer: 3·E·W + 2E. State: one h (B, E) for each layer.

    expansion: E / W. candidate: "linear" as above, or "positive", the function that the paper's log-space code
    computes: n_t = g(A_n x_t + b_n), with g(x) = x + ½ for x ≥ 0 and σ(x) below. forget_bias: at first, 1 - z_t is
    σ(forget_bias) on the average, b_z = -forget_bias. b_n = 0 at first.
    The options of the block, its parameters and its initial weights are explained at `_block.Blocks`. Raises
    ValueError where an option is out of its range.

    Source: L. Feng, F. Tung, M. O. Ahmed, Y. Bengio & H. Hajimirsadeghi, Were RNNs all we needed?, arXiv:2410.01201,
    section 3.1 and appendix B; the cell is the GILR of E. Martin & C. Cundy, Parallelizing linear recurrent neural
    nets over sequence length, ICLR 2018.
    """

    version = 1
    sized_by = "width"
    variants = ("mingru(candidate=positive)", "mingru(forget_bias=2.0)", "mingru(convolution=4)")
    source = "Feng et al. 2024, arXiv:2410.01201"
    look = ("#7A4FB5", "<", (5, 1, 2, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2, "convolution": 3}

    def __init__(
        self,
        channels: int,
        *,
        width: int = 64,
        layers: int = 2,
        expansion: int = 2,
        candidate: Literal["linear", "positive"] = "linear",
        forget_bias: float = 0.0,
        inner: int | None = None,
        convolution: int = 0,
        norm: Literal["rms", "layer"] = "rms",
        dropout: float = 0.0,
    ) -> None:
        self.expansion, self.candidate, self.forget_bias = expansion, candidate, forget_bias
        super().__init__(
            channels, width=width, layers=layers, inner=inner, convolution=convolution, norm=norm, dropout=dropout
        )

    def make_mixer(self, layer: int) -> MinRNN:
        """One layer of E hidden units."""
        mixer = MinGRU(self.width, self.layers, expansion=self.expansion, gates=1, candidate=self.candidate)
        with torch.no_grad():
            mixer.bias[: mixer.size] = -self.forget_bias
        return mixer


class MinGRU(MinRNN):
    """The gates of a minGRU: a = 1 - z, w = z."""

    def decay_and_write(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        """1 - z and z, (B, T, E) each, of A_z x + b_z (B, T, E)."""
        write = gates.sigmoid()
        return 1 - write, write

    def package(self) -> Package:
        """lucidrains' minGRU, which computes from logarithms."""
        return in_package("minGRU_pytorch:minGRU", self)
