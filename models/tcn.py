"""The temporal convolutional network."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import base
from ._compiling import fast
from ._dilated import dilated_block
from ._layout import padded_rows
from ._options import at_least, one_of, probability

WIDE = 1 << 19
"""Numbers of a convolution's weight (W = 418 at k = 3) beyond which torch's convolutions are faster than our kernels,
which read it anew for every sequence (measured at k = 3: alike at W = 300, a tenth faster at 450 and 600)."""


class Model(base.Model):
    """Temporal convolutional network (Bai, Kolter & Koltun 2018): dilated causal convolutions in residual blocks.

    Level i = 0 … n-1 has dilation d = 2^i. Its block maps x (C_i, T) to y (C_{i+1}, T), where C_0 = C, C_n = W,

        u = dropout(relu(conv(x)))             conv(x)_t = b + Σ_{j<k} w_j x_{t-(k-1-j)d}, zero for times before 0
        v = dropout(relu(conv'(u)))            w (C_{i+1}, C_i, k), for conv' (C_{i+1}, C_{i+1}, k)
        y = relu(v + x)                        x replaced by a 1x1 convolution of it where C_i ≠ C_{i+1}

    and w = g · v/‖v‖ for each output channel (weight normalisation, Salimans & Kingma 2016), not in the 1x1.
    The features at t see the inputs from t - 2(k-1)(2^n - 1) on.
    Parameters of a block: (k·C_i·C_{i+1} + 2C_{i+1}) + (k·C_{i+1}² + 2C_{i+1}) + [C_i·C_{i+1} + C_{i+1} for the 1x1].
    State: for each dilated convolution, in the order in which they run, its last (k-1)d inputs, (B, C_i, (k-1)d).

    kernel: k. levels: n. width: W = C_1 = … = C_n. widths: C_1, …, C_n one by one, then `levels` and `width` are not
    used. dropout, dropout_kind: as in `base.Dropout`; the paper drops whole channels, the published code has dropped
    single elements since April 2018. weight_norm=False has plain convolutions.
    residual_std: the 1x1 weights start from N(0, residual_std²). Dilated convolutions start as PyTorch's Conv1d
    does: the paper's N(0, 0.01) for all of them reaches only the 1x1 in the published code, because weight
    normalisation computes w anew from g and v (locuslab/TCN#1). The 1x1's bias is PyTorch's in both.

    Raises ValueError where an option is out of its range.

    Source: S. Bai, J. Z. Kolter & V. Koltun, An empirical evaluation of generic convolutional and recurrent networks
    for sequence modeling, arXiv:1803.01271, section 3.
    """

    version = 1
    sized_by = "width"
    variants = ("tcn(dropout_kind=element)", "tcn(weight_norm=false)")
    source = "Bai, Kolter & Koltun 2018, arXiv:1803.01271"
    look = ("#1B2F7F", "o", ())
    test_parameters: ClassVar[dict[str, Any]] = {"kernel": 3, "levels": 3, "width": 6}

    def __init__(
        self,
        channels: int,
        *,
        kernel: int = 7,
        levels: int = 8,
        width: int = 25,
        widths: tuple[int, ...] = (),
        dropout: float = 0.0,
        dropout_kind: Literal["channel", "element"] = "channel",
        residual_std: float = 0.01,
        weight_norm: bool = True,
    ) -> None:
        super().__init__()
        at_least(1, channels=channels, kernel=kernel, levels=levels, width=width)
        for each in widths:
            at_least(1, widths=each)
        probability(dropout=dropout)
        one_of(("channel", "element"), dropout_kind=dropout_kind)
        if not residual_std >= 0:
            raise ValueError(f"residual_std: a standard deviation of at least 0 is needed, got {residual_std!r}")
        sizes = (channels, *(widths or (width,) * levels))  # C_0, …, C_n
        self.blocks = nn.ModuleList(
            Block(inputs, outputs, kernel, 2**level, dropout, dropout_kind, residual_std, weight_norm)
            for level, (inputs, outputs) in enumerate(pairwise(sizes))
        )
        convolutions = [part for part in self.modules() if isinstance(part, CausalConvolution)]
        self.features = sizes[-1]
        self.state_size = sum(part.channels * part.history for part in convolutions)
        self.receptive_field = 1 + sum(part.history for part in convolutions)
        weights = (part for name, part in self.named_parameters() if not name.endswith(("bias", "gain")))
        self.macs_per_step = sum(weight.numel() for weight in weights)

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Features (B, T, W) of inputs (B, T, C), and the last inputs of every dilated convolution."""
        before = [None] * (2 * len(self.blocks)) if state is None else state
        after: list[Tensor] = []
        features = inputs.transpose(1, 2)  # (B, C, T): time last, as convolutions want it
        for block, first, second in zip(self.blocks, before[::2], before[1::2], strict=True):
            features, *histories = block(features, first, second)  # (B, C_i, T) -> (B, C_{i+1}, T)
            after.extend(histories)
        return features.transpose(1, 2), after  # (B, T, W)

    def read(self, inputs: Tensor, reads: int | None = None) -> Tensor:
        """Features (B, R, W) of the last steps of whole sequences, see `base.Model.read`.

        Where only the last step is read, level l is computed at the steps that reach it: every 2^l-th, counted from
        the end. On these the convolution has neighbours, as if it were not dilated. That is a geometric series of
        steps in place of T for each level, and the same sums.
        """
        blocks = [block for block in self.blocks if isinstance(block, Block)]
        thinned = reads == 1 and not any(block.dropout.drops_elements for block in blocks)
        largest = max(part.direction.numel() for block in blocks for part in (block.first, block.second))
        fused = fast(inputs, blocks[0].first.bias) and largest <= WIDE
        if not thinned and not fused:
            return super().read(inputs, reads)
        features = inputs if fused else inputs.transpose(1, 2)  # (B, T, C), (B, C, T) for torch's convolutions
        for block in blocks:
            dilation = 1 if thinned else block.first.dilation
            features = block.fused(features, dilation) if fused else block(features, None, None, dilation)[0]
            if thinned:
                steps = features.shape[1 if fused else 2]
                kept = slice((steps - 1) % 2, None, 2)
                features = features[:, kept] if fused else features[:, :, kept]
        features = features[..., : self.features] if fused else features.transpose(1, 2)
        return features if reads is None else features[:, -reads:]  # (B, R, W)


class Block(nn.Module):
    """One level: two dilated causal convolutions, each with ReLU and dropout, and the residual around them."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        dilation: int,
        dropout: float,
        dropout_kind: Literal["channel", "element"],
        residual_std: float,
        weight_norm: bool,
    ) -> None:
        super().__init__()
        self.first = CausalConvolution(inputs, outputs, kernel, dilation=dilation, weight_norm=weight_norm)
        self.second = CausalConvolution(outputs, outputs, kernel, dilation=dilation, weight_norm=weight_norm)
        self.dropout = base.Dropout(dropout, dropout_kind)
        self.residual: nn.Module = nn.Identity()
        if inputs != outputs:
            self.residual = nn.Conv1d(inputs, outputs, 1)
            nn.init.normal_(self.residual.weight, 0.0, residual_std)

    def fused(self, inputs: Tensor, dilation: int) -> Tensor:
        """The block by our own kernels, on whole sequences: (B, T, C_i) -> (B, T, C_{i+1}), both padded with zeros."""
        residual = None
        if isinstance(self.residual, nn.Conv1d):
            assert self.residual.bias is not None
            residual = self.residual.weight, self.residual.bias
        else:
            inputs = padded_rows(inputs)  # those of the first block are not yet
        masks: tuple[Tensor | None, Tensor | None] = None, None
        if self.training and self.dropout.probability > 0:
            outputs, (batch, steps) = len(self.first.bias), inputs.shape[:2]
            like = inputs.new_empty((batch, outputs, steps)).transpose(1, 2)  # lies as in `forward`: the same draws
            masks = self.dropout.mask(like), self.dropout.mask(like)
        first, second = ((part.weight(), part.bias) for part in (self.first, self.second))
        return dilated_block(inputs, first, second, residual, masks, dilation)

    def forward(
        self, inputs: Tensor, first: Tensor | None, second: Tensor | None, dilation: int | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:  # (B, C_i, T) -> (B, C_{i+1}, T) and the histories of both convolutions
        # relu_ in place: a convolution's backward pass does not need its own output, so nothing is lost.
        hidden, first = self.first(inputs, first, dilation)
        hidden = self._drop(hidden.relu_())
        hidden, second = self.second(hidden, second, dilation)
        hidden = self._drop(hidden.relu_())
        return (hidden + self.residual(inputs)).relu_(), first, second

    def _drop(self, hidden: Tensor) -> Tensor:  # (B, W, T); Dropout wants channels last, transposing copies nothing
        return self.dropout(hidden.transpose(1, 2)).transpose(1, 2)


class CausalConvolution(nn.Module):
    """A dilated causal convolution with weight normalisation, which starts as PyTorch's Conv1d does.

        outputs_t = b + Σ_{j<k} w_j inputs_{t-(k-1-j)d},    w = g · v/‖v‖ for each output channel

    `direction` is v (O, C, k), `gain` is g (O, 1, 1), `bias` is b (O,), the norm runs over C and k. Initially
    g = ‖v‖, so that w = v. Without weight normalisation the gain is None and w = v throughout.

    Own code, because `torch.nn.utils.weight_norm` is deprecated, its successor computes w at every access, and both
    rest on an operator for which `torch.func.vmap` has no batching rule.

    Source: T. Salimans & D. P. Kingma, Weight normalization, NeurIPS 2016, arXiv:1602.07868, eq. 2.
    """

    gain: nn.Parameter | None

    def __init__(
        self, channels: int, outputs: int, kernel: int, *, dilation: int = 1, weight_norm: bool = True
    ) -> None:
        super().__init__()
        plain = nn.Conv1d(channels, outputs, kernel)  # for its initial draw
        assert plain.bias is not None
        self.direction = plain.weight
        self.bias = plain.bias
        self.register_parameter("gain", nn.Parameter(_norm(plain.weight.detach())) if weight_norm else None)
        self.channels = channels
        self.kernel = kernel
        self.dilation = dilation
        self.history = (kernel - 1) * dilation
        """How many steps before the present one reach the output, and are kept as state."""

    def weight(self) -> Tensor:
        """w (O, C, k)."""
        return self.direction if self.gain is None else self.direction * (self.gain / _norm(self.direction))

    def forward(self, inputs: Tensor, history: Tensor | None, dilation: int | None = None) -> tuple[Tensor, Tensor]:
        """Outputs (B, O, T) of inputs (B, C, T) after `history` (B, C, (k-1)d), and the history for what follows.

        `history` is None at the start of a sequence, where it would be zeros. Another `dilation` than its own is for
        whole sequences of which not every step is there.
        """
        weight, dilation = self.weight(), dilation or self.dilation
        if history is None:
            # In a short piece the first taps never leave the zeros: no need to pad for them and multiply by nothing.
            taps = min(self.kernel, 1 + (inputs.shape[2] - 1) // dilation)
            weight = weight[:, :, self.kernel - taps :]
            before = F.pad(inputs, ((taps - 1) * dilation, 0)) if taps > 1 else inputs
            history = _last(inputs, self.history)
        else:
            before = torch.cat([history, inputs], dim=2)
            history = _last(before, self.history)
        if dilation > 1 and _folds(before):
            return folded_convolution(before, weight, self.bias, dilation), history
        return F.conv1d(before, weight, self.bias, dilation=dilation), history

    def extra_repr(self) -> str:
        outputs, channels, kernel = self.direction.shape
        norm = self.gain is not None
        return f"{channels}, {outputs}, kernel={kernel}, dilation={self.dilation}, weight_norm={norm}"


def folded_convolution(inputs: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
    """The dilated convolution of (B, C, T) with (O, C, k), (B, O, T-(k-1)d), as one of d columns without dilation.

    Step t stands in row t//d and column t%d, so that the taps of an output lie one below the other: the same sums. On a
    GPU torch leaves dilated convolutions to a slow kernel, one sequence at a time, where algorithms must be
    deterministic; others it gives to cuDNN.
    """
    steps, taps = inputs.shape[2], weight.shape[2]
    rows = -(-steps // dilation)
    folded = F.pad(inputs, (0, rows * dilation - steps)).unflatten(2, (rows, dilation))  # (B, C, T/d, d)
    outputs = F.conv2d(folded, weight.unsqueeze(3), bias).flatten(2)
    return outputs[:, :, : steps - (taps - 1) * dilation]


def _folds(inputs: Tensor) -> bool:
    return inputs.is_cuda


def _norm(direction: Tensor) -> Tensor:  # (O, C, k) -> (O, 1, 1)
    if direction.is_meta:  # only counted, and torch's answer there would take a second to import
        return direction.new_empty(len(direction), 1, 1)
    return torch.linalg.vector_norm(direction, dim=(1, 2), keepdim=True)


def _last(inputs: Tensor, count: int) -> Tensor:
    """The last `count` of T steps of (B, C, T), with zeros before them where there are fewer.

    A copy, always: a view would keep the whole piece alive, and change with a buffer that the caller fills again.
    """
    steps = inputs.shape[2]
    return F.pad(inputs, (count - steps, 0)) if steps < count else inputs[:, :, steps - count :].clone()
