"""What every mixer's own tests need: its layer as the paper's equations have it, and comparisons with gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from admission import assert_alike, noise
from seqbench.models._block import Blocks
from seqbench.models._mixer import Mixer
from torch import Tensor

STEPS = (1, 2, 7, 37)
"""One step, fewer than a convolution reads, and no multiples of a chunk."""


def mixer_of(model: Callable[..., Blocks], **options: Any) -> Mixer:
    """The first mixer of a model, in double precision, its biases and all else drawn at random."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        mixer = model(3, **options).blocks[0].mixer
        with torch.no_grad():
            for parameter in mixer.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
    assert isinstance(mixer, Mixer)
    return mixer.double()


def assert_computes(mixer: Mixer, defined: Callable[[Mixer, Tensor], Tensor], dtype: torch.dtype, steps: int) -> None:
    """The mixer over a whole sequence, and over two pieces of it, gives what the definition gives; so do gradients.

    defined: outputs (B, T, W) of inputs (B, T, W), one step after the other.
    """
    leaves = noise(3, steps, 6).requires_grad_()
    weights = noise(3, steps, 6, seed=1)
    outputs = defined(mixer, leaves)
    expected = [outputs, *torch.autograd.grad((outputs * weights).sum(), [leaves, *mixer.parameters()])]
    mixer = mixer.to(dtype)
    leaves = leaves.detach().to(dtype).requires_grad_()
    for cut in {0, steps // 2, steps - 1}:
        outputs, state = torch.empty(3, 0, 6, dtype=dtype), None
        if cut > 0:
            outputs, state = mixer(leaves[:, :cut])
        rest, _ = mixer(leaves[:, cut:], state)
        outputs = torch.cat([outputs, rest], 1)
        found = [outputs, *torch.autograd.grad((outputs * weights.to(dtype)).sum(), [leaves, *mixer.parameters()])]
        assert_alike(found, [part.to(dtype) for part in expected])


def assert_stays_finite(mixer: Mixer, size: float) -> None:
    """Outputs and gradients are finite for inputs that drive every gate to ±`size`, more or less."""
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.copy_(torch.where(parameter >= 0, 1.0, -1.0))
    mixer = mixer.float()
    for _ in range(2):
        inputs = (size / 6 * noise(3, 50, 6, dtype=torch.float32).sign()).requires_grad_()
        outputs, _ = mixer(inputs)
        outputs.square().sum().backward()
        for part in (outputs, inputs.grad, *(parameter.grad for parameter in mixer.parameters())):
            assert part is not None
            assert part.isfinite().all()
        size = -size
