"""The quasi-recurrent neural network: gates from a short convolution, and a linear recurrence."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from . import base
from ._block import Blocks, matrix
from ._linear_recurrence import linear_recurrence
from ._mixer import Mixer
from ._options import at_least, one_of, probability

GATES = {"f": 1, "fo": 2, "ifo": 3}
"""How many gates each kind of pooling has."""


class Model(Blocks):
    """Quasi-recurrent neural network (Bradbury et al. 2017) in the residual block.

    For inputs x_t (W,) of the mixer and cells c_t (W,), from c_0 = 0 and with x_t = 0 for t ≤ 0,

        z_t = tanh(Σ_{j<k} A_zj x_{t-j} + b_z)          the candidate
        f_t = σ(Σ_{j<k} A_fj x_{t-j} + b_f)             what to keep
        o_t = σ(Σ_{j<k} A_oj x_{t-j} + b_o)             what to show
        c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ z_t           A_j (W, W), b (W,)
        y_t = o_t ⊙ c_t                                 what the mixer gives

    which is the paper's fo-pooling. Since the gates do not see c, all steps are one linear recurrence.
    Parameters of the mixer with G gates: (G + 1)(k·W² + W). State: for each layer the last k-1 inputs, (B, k-1, W), and
    one c (B, W).

    kernel: k. pooling: "fo" as above; "f", where y = c (1 gate); "ifo", where an input gate
    i_t = σ(Σ A_ij x_{t-j} + b_i) stands in place of 1 - f_t (3 gates). zoneout: the probability with which a number of
    a cell keeps its value at a step of training: f becomes 1 there (section 2.1, after Krueger et al. 2017).
    forget_bias: the initial b_f. All other biases are 0 at first.
    The options of the block, its parameters and its initial weights are explained at `_block.Blocks`. Raises
    ValueError where an option is out of its range.

    Source: J. Bradbury, S. Merity, C. Xiong & R. Socher, Quasi-recurrent neural networks, ICLR 2017, arXiv:1611.01576,
    section 2.
    """

    version = 1
    sized_by = "width"
    variants = ("qrnn(pooling=ifo)", "qrnn(kernel=4)", "qrnn(forget_bias=2.0)")
    source = "Bradbury et al. 2017, arXiv:1611.01576"
    look = ("#C2457A", "8", (3, 1, 1, 1, 1, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 6, "layers": 2, "kernel": 3}

    def __init__(
        self,
        channels: int,
        *,
        width: int = 64,
        layers: int = 2,
        kernel: int = 2,
        pooling: Literal["f", "fo", "ifo"] = "fo",
        zoneout: float = 0.0,
        forget_bias: float = 0.0,
        inner: int | None = None,
        convolution: int = 0,
        norm: Literal["rms", "layer"] = "rms",
        dropout: float = 0.0,
    ) -> None:
        self.kernel, self.pooling, self.zoneout, self.forget_bias = kernel, pooling, zoneout, forget_bias
        super().__init__(
            channels, width=width, layers=layers, inner=inner, convolution=convolution, norm=norm, dropout=dropout
        )

    def make_mixer(self, layer: int) -> Mixer:
        """One layer of W cells."""
        return QRNN(self.width, self.kernel, self.pooling, self.zoneout, self.forget_bias)


class QRNN(Mixer):
    """One quasi-recurrent layer of W channels and W cells, see `Model`."""

    def __init__(
        self, width: int, kernel: int, pooling: Literal["f", "fo", "ifo"], zoneout: float, forget_bias: float
    ) -> None:
        super().__init__()
        at_least(1, kernel=kernel)
        one_of(tuple(GATES), pooling=pooling)
        probability(zoneout=zoneout)
        rows = (GATES[pooling] + 1) * width
        self.weights = matrix(kernel * width, rows)  # candidate, forget gate, then what there is of output and input
        self.bias = nn.Parameter(torch.zeros(rows))
        with torch.no_grad():
            self.bias[width : 2 * width] = forget_bias
        self.dropout = base.Dropout(zoneout)
        self.kernel, self.pooling = kernel, pooling
        self.state_size = kernel * width
        self.receptive_field = None
        self.macs_per_step = self.weights.weight.numel()

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Outputs (B, T, W) of inputs (B, T, W), and the pair of the last inputs (B, k-1, W) and the cells (B, W)."""
        batch, steps, width = inputs.shape
        history, cells = (inputs.new_zeros((batch, self.kernel - 1, width)), None) if state is None else state
        whole = torch.cat([history, inputs], dim=1)  # (B, k-1+T, W)
        windows = torch.cat([whole[:, tap : tap + steps] for tap in range(self.kernel)], dim=2)  # (B, T, k·W)
        values = self.weights(windows) + self.bias  # (B, T, (G+1)·W), float32 under autocast by the bias
        candidate, gates = values[:, :, :width].tanh(), values[:, :, width:].sigmoid().split(width, dim=2)
        forget = gates[0]
        write = gates[2] if self.pooling == "ifo" else 1 - forget
        if self.training and self.dropout.probability > 0:
            kept = self.dropout.mask(forget) == 0
            forget = forget.masked_fill(kept, 1.0)
            write = write.masked_fill(kept, 0.0)
        states, last = linear_recurrence(forget, write * candidate, cells)  # (B, T, W), (B, W)
        outputs = states if self.pooling == "f" else gates[1] * states
        return outputs, (whole[:, steps:].clone(), last)
