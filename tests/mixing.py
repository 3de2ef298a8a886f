"""What every mixer's own tests need: its layer as the paper's equations have it, and comparisons with gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from seqbench.models._block import Blocks, Mixer
from torch import Tensor

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
STEPS = (1, 2, 7, 37)
"""One step, fewer than a convolution reads, and no multiples of a chunk."""


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


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
    loss = noise(3, steps, 6, seed=1)
    outputs = defined(mixer, leaves)
    expected = [outputs, *torch.autograd.grad((outputs * loss).sum(), [leaves, *mixer.parameters()])]
    mixer = mixer.to(dtype)
    leaves = leaves.detach().to(dtype).requires_grad_()
    for cut in {0, steps // 2, steps - 1}:
        outputs, state = torch.empty(3, 0, 6, dtype=dtype), None
        if cut > 0:
            outputs, state = mixer(leaves[:, :cut])
        rest, _ = mixer(leaves[:, cut:], state)
        outputs = torch.cat([outputs, rest], 1)
        found = [outputs, *torch.autograd.grad((outputs * loss.to(dtype)).sum(), [leaves, *mixer.parameters()])]
        for one, other in zip(found, expected, strict=True):
            scale = max(1.0, other.abs().max().item())
            torch.testing.assert_close(one.double(), other, rtol=0.0, atol=scale * TOLERANCE[dtype])


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


def loss_of_parity(model: Callable[..., Blocks], steps: int, **options: Any) -> tuple[float, float]:
    """The mean loss of the first and of the last ten of so many steps on the parity of every prefix of 8 bits."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torch.nn.ModuleList([model(1, **options), torch.nn.Linear(options["width"], 1)])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(steps):
        bits = torch.randint(0, 2, (32, 8, 1), generator=generator).float()
        logits = network[1](network[0](2 * bits - 1)[0])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, bits.cumsum(1) % 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[:10]) / 10, sum(losses[-10:]) / 10
