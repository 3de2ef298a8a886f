"""The minimal long short-term memory, whose gates do not see the state: a linear recurrence."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ._block import Blocks
from ._min_rnn import MinRNN, in_package
from ._mixer import Package


class Model(Blocks):
    """minLSTM (Feng et al. 2024) in the residual block.

    For inputs x_t (W,) of the mixer and hidden states h_t (E,) with E = expansion · W, from h_0 = 0,

        f_t = σ(A_f x_t + b_f)                                      what to keep
        i_t = σ(A_i x_t + b_i)                                      what to write
        n_t = A_n x_t + b_n                                         the candidate
        h_t = f_t/(f_t + i_t) ⊙ h_{t-1} + i_t/(f_t + i_t) ⊙ n_t     A (E, W), b (E,)
        y_t = D h_t                                                 D (W, E), what the mixer gives

    Since the gates do not see h, all steps are one linear recurrence, computed as it stands, see `mingru.Model`.
    Parameters of the mixer: 4·E·W + 3E. State: one h (B, E) for each layer.

    expansion: E / W. candidate: "linear" as above, or "positive", the function that the paper's log-space code
    computes: n_t = g(A_n x_t + b_n), with g(x) = x + ½ for x ≥ 0 and σ(x) below. forget_bias: the initial b_f; the
    paper's appendix finds that a positive one helps. b_i = b_n = 0 at first.
    The options of the block, its parameters and its initial weights are explained at `_block.Blocks`. Raises
    ValueError where an option is out of its range.

    Source: L. Feng, F. Tung, M. O. Ahmed, Y. Bengio & H. Hajimirsadeghi, Were RNNs all we needed?, arXiv:2410.01201,
    section 3.2 and appendix B.
    """

    version = 1
    sized_by = "width"
    variants = ("minlstm(candidate=positive)", "minlstm(forget_bias=2.0)", "minlstm(convolution=4)")
    source = "Feng et al. 2024, arXiv:2410.01201"
    look = ("#B8860B", ">", (5, 1, 2, 1, 2, 1))
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
        mixer = MinLSTM(self.width, self.layers, expansion=self.expansion, gates=2, candidate=self.candidate)
        with torch.no_grad():
            mixer.bias[: mixer.size] = self.forget_bias
        return mixer


class MinLSTM(MinRNN):
    """The gates of a minLSTM: a = f/(f + i), w = i/(f + i).

    The quotient is σ(log f - log i). Computed as it stands f + i would be 0 for far negative inputs of both gates, and
    the quotient not a number.
    """

    def decay_and_write(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        """a and w, (B, T, E) each, of what goes into f and i, (B, T, 2E)."""
        forget, write = F.logsigmoid(gates).chunk(2, dim=2)
        decay = (forget - write).sigmoid()
        return decay, 1 - decay

    def package(self) -> Package:
        """lucidrains' minLSTM, which computes from logarithms."""
        return in_package("minGRU_pytorch.minLSTM:minLSTM", self)
