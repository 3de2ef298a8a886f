"""What both kinds of xLSTM have: maps and norms that treat each head apart, and the recurrence of the mLSTM."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHUNK = 64
"""Steps that the mLSTM computes as one matrix (CHUNK, CHUNK) for each head."""
_HIGHEST = 60.0
"""Of a stabilizer in the floor e^-m: beyond it the floor is below all rounding, and must not become 0."""


class BlockDiagonal(nn.Module):
    """y = W x for a block-diagonal W of G blocks: (…, G·N) -> (…, G·M), without bias. weight: (G, N, M).

    std: of the initial weights, from N(0, std²).
    """

    def __init__(self, inputs: int, outputs: int, blocks: int, std: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(blocks, inputs // blocks, outputs // blocks))
        nn.init.normal_(self.weight, 0.0, std)

    def forward(self, inputs: Tensor) -> Tensor:  # (…, G·N) -> (…, G·M)
        blocks, size, _ = self.weight.shape
        rows = inputs.reshape(-1, blocks, size).transpose(0, 1)  # (G, rows, N)
        return torch.bmm(rows, self.weight).transpose(0, 1).reshape(*inputs.shape[:-1], -1)


class HeadNorm(nn.Module):
    """A layer norm over each head of (…, H·P) apart, with a gain for each number and no bias."""

    def __init__(self, width: int, heads: int, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.heads, self.epsilon = heads, epsilon

    def forward(self, inputs: Tensor) -> Tensor:  # (…, H·P) -> (…, H·P)
        parts = inputs.unflatten(-1, (self.heads, -1))
        return F.layer_norm(parts, parts.shape[-1:], eps=self.epsilon).flatten(-2) * self.gain


Memory = tuple[Tensor, Tensor]
"""What an mLSTM remembers: matrix and normalizer, [C, n] e^-m (B, H, K, P+1), and the stabilizer m (B, H)."""


def mlstm(
    queries: Tensor,  # (B, H, T, K)
    keys: Tensor,  # (B, H, T, K)
    values: Tensor,  # (B, H, T, P)
    inputs: Tensor,  # (B, H, T)
    forgets: Tensor,  # (B, H, T)
    memory: Memory | None = None,
) -> tuple[Tensor, Memory]:
    """Outputs (B, H, T, P) of the mLSTM's recurrence, and what it remembers after the last step.

    For the logits ι_t and φ_t of `inputs` and `forgets`, from C = 0 (K, P) and n = 0 (K,),

        C_t = σ(φ_t) C_{t-1} + e^{ι_t} k_t v_tᵀ/√K       n_t = σ(φ_t) n_{t-1} + e^{ι_t} k_t/√K
        h_t = C_tᵀ q_t / max(|n_t·q_t|, 1)

    C and n are kept multiplied by e^-m with m_t the logarithm of the largest weight in them, so that nothing
    overflows; the 1 then is e^-m_t. h does not depend on m, so m is a constant of the gradient.

    Within a chunk the products with the keys of all steps before are one matrix; what came before the chunk is in C
    and n. Computed in chunks of `CHUNK` steps, so that time and memory are linear in T.

    Source: M. Beck et al., xLSTM, NeurIPS 2024, arXiv:2405.04517, eq. 19 to 27, and appendix A.
    """
    batch, heads, _, size = keys.shape
    keys, log_forgets = keys / math.sqrt(size), F.logsigmoid(forgets)
    values = F.pad(values, (0, 1), value=1.0)  # (B, H, T, P+1): n is the column of C for a value that is always 1
    if memory is None:
        memory = keys.new_zeros((batch, heads, size, values.shape[3])), keys.new_full((batch, heads), -math.inf)
    outputs = []
    # split, not a slice: the gradient of a slice is as large as the whole sequence, of each of them.
    pieces = (part.split(CHUNK, dim=2) for part in (queries, keys, values, inputs, log_forgets))
    for query, key, value, write, keep in zip(*pieces, strict=True):
        hidden, memory = _chunk(query, key, value, write, keep, memory)
        outputs.append(hidden)
    return torch.cat(outputs, dim=2) if len(outputs) > 1 else outputs[0], memory


def _chunk(
    queries: Tensor, keys: Tensor, values: Tensor, inputs: Tensor, log_forgets: Tensor, memory: Memory
) -> tuple[Tensor, Memory]:
    """The steps of one chunk, c of them, as `mlstm` has them."""
    matrix, stabilizer = memory
    sums = log_forgets.cumsum(2)  # log of the forget gates' product from the chunk's start, (B, H, c)
    # log of the weight that step s has at step t, (B, H, c, c). Masked before exp: above the diagonal it may be large.
    weights = (sums - inputs)[:, :, None, :]
    weights = (sums[:, :, :, None] - weights).masked_fill(_future(sums), -math.inf)
    carried = sums + stabilizer[:, :, None]  # log of the weight that the memory has, (B, H, c)
    with torch.no_grad():
        stabilizers = torch.maximum(weights.amax(3), carried)  # m, (B, H, c)
    weights = torch.exp(weights - stabilizers[..., None])
    carried = torch.exp(carried - stabilizers)[..., None]
    mixed = (weights * (queries @ keys.transpose(2, 3))) @ values + carried * (queries @ matrix)  # (B, H, c, P+1)
    floor = torch.exp(-stabilizers.clamp(max=_HIGHEST))[..., None]
    hidden = mixed[..., :-1] / torch.maximum(mixed[..., -1:].abs(), floor)
    last = weights[:, :, -1, :, None] * keys  # (B, H, c, K)
    matrix = carried[:, :, -1:] * matrix + last.transpose(2, 3) @ values
    return hidden, (matrix, stabilizers[:, :, -1].clone())


def _future(sums: Tensor) -> Tensor:  # (…, c) -> (c, c)
    """Where column s is a later step than row t."""
    steps = sums.shape[-1]
    return torch.ones((steps, steps), dtype=torch.bool, device=sums.device).triu(1)
