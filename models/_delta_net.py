"""The mixer of DeltaNet and Gated DeltaNet: the delta rule with what stands before and behind it."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import base
from ._block import RMSNorm, ShortConvolution, convolved, matrix
from ._compiling import fast
from ._delta import delta_rule
from ._mixer import Mixer, Package
from ._norms import rms_norm
from ._step_sizes import step_size_bias


class DeltaNet(Mixer):
    """Delta rule in H heads of keys (K,) and values (P,), for inputs and outputs of W numbers.

    For inputs i_t (W,), a state S_t (P, K) for each head, from S_0 = 0,

        [q_t, k_t, v_t] = silu(conv(A i_t))                 of sizes H·K, H·K and H·P; causal, depthwise, of c taps
        β_t = σ(A_β i_t), or 2σ(A_β i_t) where signed       strengths (H,)
        a_t = exp(-e^λ softplus(A_a i_t + b_a)), or 1       decays (H,), where gated
        S_t = a_t S_{t-1} (I - β_t k_t k_tᵀ) + β_t v_t k_tᵀ q and k divided by their lengths, then q by √K
        y_t = norm(S_t q_t), or norm(S_t q_t) ⊙ silu(A_z i_t) where gated
        o_t = A_o y_t                                       RMSNorm over each head, its gain (P,) is that of all heads

    scale: of the initial weights of A_o. Initially e^λ is from U(0.01, 16), and softplus(b_a) log-uniform in
    [0.001, 0.1].
    """

    def __init__(
        self, width: int, heads: int, key: int, value: int, taps: int, *, signed: bool, gated: bool, scale: float = 1.0
    ) -> None:
        super().__init__()
        mixed, written = heads * (2 * key + value), heads * value
        self.enter = matrix(width, mixed)
        self.convolution = ShortConvolution(mixed, taps, bias=False) if taps else None
        self.strength = matrix(width, heads)
        self.decay = nn.Linear(width, heads) if gated else None
        self.gate = matrix(width, written) if gated else None
        if self.decay is not None:
            with torch.no_grad():
                self.decay.weight.copy_(matrix(width, heads).weight)
                self.decay.bias.copy_(step_size_bias(heads))
            self.log_rates = nn.Parameter(torch.empty(heads).uniform_(0.01, 16).log())
        self.norm = RMSNorm(value)
        self.leave = matrix(written, width, scale)
        self.signed = signed
        self.sizes, self.shape = [heads * key, heads * key, heads * value], (heads, key, value)
        self.state_size = heads * key * value + (0 if self.convolution is None else self.convolution.state_size)
        self.receptive_field = None
        self.macs_per_step = width * (mixed + heads + written) + mixed * taps
        self.macs_per_step += width * (heads + written) if gated else 0

    def package(self) -> Package | None:
        """transformers for a gated one: in chunks of 64 steps, with a Python loop over the rows of a chunk."""
        if self.gate is None:
            return None
        heads, key, value = self.shape
        config = SimpleNamespace(
            hidden_size=self.leave.out_features,
            linear_num_key_heads=heads,
            linear_num_value_heads=heads,
            linear_key_head_dim=key,
            linear_value_head_dim=value,
            linear_conv_kernel_dim=1 if self.convolution is None else self.convolution.kernel,
            hidden_act="silu",
            rms_norm_eps=self.norm.epsilon,
            layer_types=["linear_attention"],
        )
        layer = "transformers.models.qwen3_next.modeling_qwen3_next:Qwen3NextGatedDeltaNet"
        return Package(layer, {"config": config, "layer_idx": 0})

    def forward(self, inputs: Tensor, state: base.State = None) -> tuple[Tensor, base.State]:
        """Outputs (B, T, W) of inputs (B, T, W); the state is the convolution's, and Sᵀ (B, H, K, P)."""
        outputs, state = self._remembered(inputs, state)
        return self._shown(outputs, inputs), state

    def read(self, inputs: Tensor, reads: int) -> Tensor:
        """Outputs (B, R, W) of the last steps, see `_mixer.Mixer.read`."""
        outputs, _ = self._remembered(inputs, None)
        return self._shown(outputs[:, -reads:], inputs[:, -reads:])

    def _remembered(self, inputs: Tensor, state: base.State) -> tuple[Tensor, base.State]:
        """S_t q_t (B, T, H, P), and the state after the last step."""
        history, memory = (None, None) if state is None else state
        heads, key, _ = self.shape
        mixed, history = convolved(self.convolution, self.enter(inputs), history)
        queries, keys, values = (part.unflatten(2, (heads, -1)) for part in mixed.split(self.sizes, dim=2))
        strengths = torch.sigmoid(self.strength(inputs))  # (B, T, H)
        if self.signed:
            strengths = 2 * strengths
        log_decays = None
        if self.decay is not None:
            log_decays = -self.log_rates.exp() * F.softplus(self.decay(inputs))  # (B, T, H)
        if memory is None:
            memory = mixed.new_zeros((len(mixed), *self.shape))
        outputs, memory = delta_rule(unit(queries, key**-0.5), unit(keys), values, strengths, log_decays, memory)
        return outputs, (history, memory)

    def _shown(self, outputs: Tensor, inputs: Tensor) -> Tensor:  # (B, T, H, P) -> (B, T, W)
        outputs = self.norm(outputs).flatten(2)  # (B, T, H·P)
        if self.gate is not None:
            outputs = outputs * F.silu(self.gate(inputs))
        shown: Tensor = self.leave(outputs)
        return shown


def unit(vectors: Tensor, length: float = 1.0, epsilon: float = 1e-6) -> Tensor:  # (…, K) -> (…, K)
    """The vectors at this length; a very short one stays shorter, so that nothing is divided by 0."""
    size = vectors.shape[-1]
    if vectors.shape[1] > 1 and fast(vectors):  # x / √(Σx² + ε) is a norm by the root of the mean, times 1/√K
        return rms_norm(vectors, vectors.new_full((size,), length * size**-0.5), epsilon / size)
    return vectors * (length * torch.rsqrt(vectors.square().sum(-1, keepdim=True) + epsilon))
