"""What every mixer must do before it is admitted, with any of its options: helpers for the tests of the modern models.

`tests/test_model_contract.py` checks each model with its test parameters; here any model, or any function, is checked.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from seqbench.models import base
from seqbench.models._compiling import plain
from torch import Tensor, nn

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""How far two ways to compute the same may be apart, of numbers around 1."""


def made(model: Callable[..., base.Model], dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    """The model of three channels in evaluation mode, the same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return model(3, **options).to(dtype).eval()


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 11) -> Tensor:
    """Numbers from N(0, 1), the same every time, and in every type but for rounding."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tensors_of(state: Any) -> Iterator[Tensor]:
    """Every tensor in a nest of lists and tuples."""
    if isinstance(state, Tensor):
        yield state
    else:
        for part in state:
            yield from tensors_of(part)


def assert_alike(one: Any, other: Any, tolerance: float | None = None) -> None:
    """Two nests of tensors are close: by the type's tolerance, in each tensor relative to its largest number."""
    for ours, theirs in zip(tensors_of(one), tensors_of(other), strict=True):
        largest = float(theirs.detach().abs().max().nan_to_num()) if theirs.numel() else 0.0
        allowed = (tolerance or TOLERANCE[ours.dtype]) * max(1.0, largest)
        torch.testing.assert_close(ours, theirs, rtol=0.0, atol=allowed)


def gradients(outputs: Tensor, of: list[Tensor]) -> list[Tensor]:
    """Of a sum over the outputs in which each counts differently."""
    weights = noise(*outputs.shape, dtype=outputs.dtype, seed=5)
    return (
        [part.clone() for part in torch.autograd.grad((outputs * weights).sum(), of, retain_graph=True)] if of else []
    )


def assert_kernels_give_what_plain_operations_do(model: base.Model) -> None:
    """Features, gradients and what `read` gives, of a model of two channels in float64, for short and long ones."""
    for steps in (1, 2, 37):
        inputs, seen = torch.randn(3, steps, 2, dtype=torch.float64, requires_grad=True), []
        for way in (nullcontext, plain):
            with way():
                features, _ = model(inputs)
            seen.append([features, *torch.autograd.grad(features.square().sum(), [inputs, *model.parameters()])])
        for ours, theirs in zip(*seen, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
        for reads in (1, 3):
            torch.testing.assert_close(model.read(inputs, reads), features[:, -reads:], rtol=1e-10, atol=1e-10)


def assert_pieces_give_the_whole(model: nn.Module, inputs: Tensor) -> None:
    """Outputs, last state and all gradients do not depend on where a sequence is cut, one step at a time included.

    Gradients in float64 alone: in a whole model norms of small numbers enlarge the roundings of float32, as they do
    with any order of the same sums.
    """
    steps, draw = inputs.shape[1], random.Random(3)
    inputs = inputs.clone().requires_grad_()
    of = [inputs, *model.parameters()] if inputs.dtype == torch.float64 else []
    outputs, last = model(inputs)
    whole = [outputs, *tensors_of(last), *gradients(outputs, of)]
    cuts = [sorted(draw.sample(range(1, steps), min(count, steps - 1))) for count in (1, 3)]
    for cut in [*cuts, list(range(1, steps))]:
        state, pieces = None, []
        for start, end in zip([0, *cut], [*cut, steps], strict=True):
            features, state = model(inputs[:, start:end], state)
            pieces.append(features)
        outputs = torch.cat(pieces, dim=1)
        assert_alike([outputs, *tensors_of(state), *gradients(outputs, of)], whole)


def assert_sees_exactly(model: nn.Module, reach: int | None, channels: int, steps: int) -> None:
    """No output has a gradient from a later input; the last one has it from `reach` inputs on (None: from all)."""
    inputs = noise(4, steps, channels).requires_grad_()
    outputs, _ = model(inputs)
    for t in range(steps):
        (gradient,) = torch.autograd.grad(outputs[:, t].square().sum(), inputs, retain_graph=True)
        seen = gradient.abs().sum(dim=(0, 2)).nonzero()[:, 0]
        first = 0 if reach is None else max(0, t + 1 - reach)
        assert (int(seen.min()), int(seen.max())) == (first, t)


def assert_learns_parity(model: Callable[..., base.Model], learning_rate: float = 3e-3, **options: Any) -> None:
    """200 steps of training on the parity of eight bits, at every prefix, lower the loss by a tenth."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        body = model(1, **options)
        network = nn.ModuleList([body, nn.Linear(body.features, 1)])
    draws = torch.Generator().manual_seed(2)
    base.seed_dropout(network, draws)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    losses = []
    for _ in range(200):
        bits = torch.randint(2, (32, 8, 1), generator=draws).float()
        answers = network[1](body(2 * bits - 1)[0])
        loss = nn.functional.binary_cross_entropy_with_logits(answers, bits.cumsum(1) % 2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])
