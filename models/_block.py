"""The block that the modern models share: a stack of residual layers around any causal, streamable mixer.

One layer maps x (B, T, W) to

    x ← x + drop(mixer(conv(norm(x))))            what mixes over time
    x ← x + drop(mlp(norm(x)))                    what mixes over channels, each step by itself

and the features are norm(x) behind the last. The mixer tells one architecture from another, all else is the same for
all of them; so a comparison of two is a comparison of their mixers.

Sources: the norm before each part rather than behind it (R. Xiong et al., On layer normalization in the Transformer
architecture, ICML 2020, arXiv:2002.04745); RMSNorm (B. Zhang & R. Sennrich, NeurIPS 2019, arXiv:1910.07467); the MLP
(N. Shazeer, GLU variants improve Transformer, arXiv:2002.05202, eq. 6); the short convolution as Mamba has it (A. Gu &
T. Dao, arXiv:2312.00752, section 3.4).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import base
from ._compiling import fast
from ._gated_units import silu_gated
from ._mixer import Mixer
from ._norms import rms_norm
from ._options import at_least, one_of, probability
from ._short_convolution import short_convolution
from .base import ParameterGroup, State

SMALL = 1024
"""Numbers up to which a norm is left to torch's operations."""


class Blocks(base.Model):
    """A stack of residual layers around mixers, which a subclass makes.

    For C inputs and W features; an input projection C -> W goes before where C is not W. `make_mixer` is called once
    for each layer by this constructor: what it needs of a subclass's own options is set before.

    width: W. layers: L. norm: "rms", x / √(mean(x²) + ε) · g, or "layer", which also takes the mean away and adds a
    bias. inner: I, the inner width of the MLP, W_down (silu(W_gate x) ⊙ W_up x); None: 8W/3 rounded, so that it has 8W²
    weights as an MLP of inner width 4W without a gate; 0: no MLP, and no norm before it. convolution: k, the taps of a
    causal depthwise convolution with bias and SiLU before the mixer; 0: none. dropout: probability for each number
    (B, T, W) that a mixer or an MLP adds.

    Parameters: L (mixer + W + [3·W·I + W where I > 0] + [(k + 1)·W where k > 0]) + W + [C·W + W where C ≠ W]; a layer
    norm has 2W in place of W. State: for each layer the convolution's last k-1 inputs, (B, k-1, W), and the mixer's.

    Initially the weights of a matrix with d inputs are from N(0, 2/(5d)) (T. Nguyen & J. Salazar, Transformers without
    tears, IWSLT 2019, arXiv:1910.05895, section 3.2: SmallInit), those of the matrix that ends a mixer or an MLP
    times 1/√(2L) (A. Radford et al., Language models are unsupervised multitask learners, 2019, section 2.3). The
    input projection starts as PyTorch's Linear does, the convolution as its Conv1d, biases in the layers at 0.

    Norms, biases and all other vectors are exempt from weight decay, as the groups of the mixers are as those say.
    Raises ValueError where an option is out of its range.
    """

    carries = True
    fine_option: ClassVar[str | None] = "inner"

    def __init__(
        self,
        channels: int,
        *,
        width: int,
        layers: int,
        inner: int | None,
        convolution: int,
        norm: Literal["rms", "layer"],
        dropout: float,
    ) -> None:
        super().__init__()
        at_least(1, channels=channels, width=width, layers=layers)
        inner = round(8 * width / 3) if inner is None else inner
        at_least(0, inner=inner, convolution=convolution)
        if convolution == 1:
            raise ValueError("convolution: 0 for none or at least 2 taps are needed, got 1")
        one_of(("rms", "layer"), norm=norm)
        probability(dropout=dropout)
        self.width, self.layers = width, layers
        self.projection = nn.Linear(channels, width) if channels != width else None
        self.blocks = nn.ModuleList(
            Block(self.make_mixer(layer), width, layers, inner, convolution, norm, dropout) for layer in range(layers)
        )
        self.norm = make_norm(norm, width)
        blocks = self._blocks
        reaches, sizes = [block.receptive_field for block in blocks], [block.state_size for block in blocks]
        self.features = width
        self.receptive_field = None if None in reaches else 1 + sum(reach - 1 for reach in reaches if reach)
        self.state_size = None if None in sizes else sum(size for size in sizes if size)
        self.macs_per_step = sum(block.macs_per_step for block in blocks)
        self.macs_per_step += channels * width if self.projection is not None else 0

    @abstractmethod
    def make_mixer(self, layer: int) -> Mixer:
        """The mixer of a layer, counted from 0. `self.width` and `self.layers` are set."""

    @property
    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Features (B, T, W) of inputs (B, T, C), and the list of the layers' states after the last step."""
        hidden, after = inputs if self.projection is None else self.projection(inputs), []
        before = [None] * self.layers if state is None else state
        for block, memory in zip(self._blocks, before, strict=True):
            hidden, memory = block(hidden, memory)
            after.append(memory)
        return self.norm(hidden), after

    def read(self, inputs: Tensor, reads: int | None = None) -> Tensor:
        """Features (B, R, W) of the last steps of whole sequences; the last layer computes no others."""
        *below, last = self._blocks
        if reads is None or last.dropout.drops_elements:
            return super().read(inputs, reads)
        hidden = inputs if self.projection is None else self.projection(inputs)
        for block in below:
            hidden, _ = block(hidden)
        return self.norm(last.read(hidden, reads))

    def state_size_after(self, steps: int) -> int:
        """Numbers kept for each sequence after so many steps, see `base.Model`."""
        return sum(block.state_size_after(steps) for block in self._blocks)

    def parameter_groups(self) -> list[ParameterGroup]:
        """The groups that the mixers name; then all vectors that stand in none of them, without weight decay."""
        groups = [group for block in self._blocks for group in block.mixer.parameter_groups()]
        taken = {id(parameter) for group in groups for parameter in group.parameters}
        vectors = [part for part in self.parameters() if part.dim() < 2 and id(part) not in taken]
        return [*groups, ParameterGroup(vectors, decays=False)]


class Block(nn.Module):
    """One layer: norm, short convolution, mixer; then norm and MLP; each with dropout and added to what went in."""

    def __init__(
        self,
        mixer: Mixer,
        width: int,
        layers: int,
        inner: int,
        convolution: int,
        norm: Literal["rms", "layer"],
        dropout: float,
    ) -> None:
        super().__init__()
        self.mixer_norm = make_norm(norm, width)
        self.convolution = ShortConvolution(width, convolution) if convolution else None
        self.mixer = mixer
        self.mlp_norm = make_norm(norm, width) if inner else None
        self.mlp = SwiGLU(width, inner, scale=residual_scale(layers)) if inner else None
        self.dropout = base.Dropout(dropout)
        more = convolution - 1 if convolution else 0
        self.more_state = more * width
        self.receptive_field = None if mixer.receptive_field is None else mixer.receptive_field + more
        self.state_size = None if mixer.state_size is None else mixer.state_size + self.more_state
        self.macs_per_step = mixer.macs_per_step + 3 * width * inner + convolution * width

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Outputs (B, T, W) of inputs (B, T, W), and the pair of the convolution's and the mixer's states."""
        history, memory = (None, None) if state is None else state
        mixed, history = self._prepared(inputs, history)
        mixed, memory = self.mixer(mixed, memory)
        return self.widen(inputs + self.dropout(mixed)), (history, memory)

    def read(self, inputs: Tensor, reads: int) -> Tensor:
        """Outputs (B, R, W) of the last R steps of whole sequences (B, T, W)."""
        mixed = self.mixer.read(self._prepared(inputs)[0], reads)
        return self.widen(inputs[:, -reads:] + self.dropout(mixed))

    def _prepared(self, inputs: Tensor, history: State = None) -> tuple[Tensor, State]:
        """What the mixer is given: norm, and short convolution with its state, () where there is none."""
        normed = self.mixer_norm(inputs)
        return (normed, ()) if self.convolution is None else self.convolution(normed, history)

    def widen(self, inputs: Tensor) -> Tensor:
        """The second half of the layer: norm and MLP, each step by itself."""
        if self.mlp is None or self.mlp_norm is None:
            return inputs
        return inputs + self.dropout(self.mlp(self.mlp_norm(inputs)))

    def state_size_after(self, steps: int) -> int:
        """Numbers kept for each sequence after so many steps."""
        return self.mixer.state_size_after(steps) + self.more_state


class SwiGLU(nn.Module):
    """down(silu(gate(x)) ⊙ up(x)) of (…, W), where gate and up are matrices (I, W) and down is one (W, I).

    scale: of the initial weights of `down`. Source: N. Shazeer, arXiv:2002.05202, eq. 6.
    """

    def __init__(self, width: int, inner: int, scale: float = 1.0) -> None:
        super().__init__()
        self.gate_and_up = matrix(width, 2 * inner)
        self.down = matrix(inner, width, scale)

    def forward(self, inputs: Tensor) -> Tensor:  # (…, W) -> (…, W)
        both = self.gate_and_up(inputs)  # (…, 2I)
        if fast(both):
            return self.down(silu_gated(both))
        gate, up = both.chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class ShortConvolution(nn.Module):
    """silu(b + Σ_{j<k} w_j ⊙ x_{t-(k-1-j)}): a causal depthwise convolution of (B, T, C), and zeros before t = 0.

    weight is w (C, k), bias is b (C,), if wanted; both start as PyTorch's Conv1d of one channel a group does, from
    U(-1/√k, 1/√k). On a CPU the kernel of `_short_convolution` computes it.
    """

    def __init__(self, channels: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        at_least(1, channels=channels, kernel=kernel)
        self.weight = nn.Parameter(torch.empty(channels, kernel))
        self.bias = nn.Parameter(torch.empty(channels)) if bias else None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(kernel**-0.5), kernel**-0.5)
        self.kernel = kernel
        self.state_size = channels * (kernel - 1)

    def forward(self, inputs: Tensor, history: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, C) of inputs (B, T, C), and the last k-1 inputs, (B, k-1, C), for what follows.

        history: what the piece before has left; None at the start of a sequence, where it would be zeros.
        """
        before, steps = self.kernel - 1, inputs.shape[1]
        if history is None:
            history = inputs.new_zeros((len(inputs), before, inputs.shape[2]))
        bias = inputs.new_zeros(inputs.shape[2]) if self.bias is None else self.bias
        if fast(inputs, history, self.weight, bias):
            last = torch.cat([history[:, steps:], inputs[:, max(0, steps - before) :]], dim=1)
            return short_convolution(inputs, history, self.weight, bias), last
        whole = torch.cat([history, inputs], dim=1)  # (B, k-1+T, C)
        outputs = bias.to(whole.dtype)
        for tap in range(self.kernel):
            outputs = torch.addcmul(outputs, whole[:, tap : tap + steps], self.weight[:, tap])
        return F.silu(outputs), whole[:, steps:].clone()  # a view would keep the whole piece alive

    def extra_repr(self) -> str:
        channels, kernel = self.weight.shape
        return f"{channels}, kernel={kernel}, bias={self.bias is not None}"


def convolved(
    convolution: ShortConvolution | None, inputs: Tensor, history: base.State
) -> tuple[Tensor, base.State]:  # (B, T, C) -> (B, T, C)
    """The inputs after a short convolution, and its state; without one after a SiLU alone, and no state."""
    return (F.silu(inputs), ()) if convolution is None else convolution(inputs, history)


class RMSNorm(nn.Module):
    """x / √(mean(x²) + ε) · g over the last dimension, with g (W,) from 1 on (Zhang & Sennrich 2019, eq. 4).

    On a CPU the kernel of `_norms` computes it where there is more than a step or so: to call it takes as long as four
    of torch's operations.
    """

    def __init__(self, width: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, inputs: Tensor) -> Tensor:  # (…, W) -> (…, W)
        if inputs.numel() > SMALL and fast(inputs, self.gain):
            return rms_norm(inputs, self.gain, self.epsilon)
        scale = torch.rsqrt(inputs.square().mean(-1, keepdim=True) + self.epsilon)  # (…, 1)
        return inputs * (scale * self.gain)


def make_norm(kind: Literal["rms", "layer"], width: int) -> nn.Module:
    """The norm of the name over the last dimension."""
    return RMSNorm(width) if kind == "rms" else nn.LayerNorm(width)


def matrix(inputs: int, outputs: int, scale: float = 1.0) -> nn.Linear:
    """A linear map without bias, its weights from N(0, scale²·2/(5·inputs)): see `Blocks`."""
    made = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(made.weight, 0.0, scale * math.sqrt(2 / (5 * inputs)))
    return made


def residual_scale(layers: int) -> float:
    """1/√(2L): of the initial weights that end one of the 2L parts which add to the same numbers."""
    return (2 * layers) ** -0.5
