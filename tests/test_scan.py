"""The linear recurrence: kernels and two-level form against a loop over the steps, outputs and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from seqbench.models._compiling import plain
from seqbench.models._linear_recurrence import linear_recurrence, two_level
from torch import Tensor

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
SHAPES = [(1, 1, 4), (3, 2, 2), (2, 37, 10), (5, 64, 34)]
"""(B, T, D): one step, a chunk that is not full, no multiple of a chunk, full chunks and more than a register."""


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def by_steps(decay: Tensor, inputs: Tensor, initial: Tensor, pairs: bool) -> Tensor:
    """The definition, one step after the other."""
    decay = decay.expand(inputs.shape)
    if pairs:
        half = inputs.shape[2] // 2
        decay, inputs = (torch.complex(x[..., :half], x[..., half:]) for x in (decay, inputs))
        initial = torch.complex(initial[:, :half], initial[:, half:])
    states = [initial]
    for factor, added in zip(decay.unbind(1), inputs.unbind(1), strict=True):
        states.append(factor * states[-1] + added)
    result = torch.stack(states[1:], 1)
    return torch.cat([result.real, result.imag], -1) if pairs else result


def given(shape: tuple[int, int, int], fixed: bool, pairs: bool) -> list[Tensor]:
    """decay, inputs and initial state, in double precision; the decays are of absolute value below 1."""
    batch, _, width = shape
    half = width // 2
    size = noise(width) if fixed else noise(*shape)
    if pairs:
        angle = 3 * size[..., half:]
        size = size[..., :half].sigmoid()
        decay = torch.cat([size * angle.cos(), size * angle.sin()], -1)
    else:
        decay = size.sigmoid()
    return [decay, noise(*shape, seed=1), noise(batch, width, seed=2)]


def results(function: Any, tensors: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """States, last state, and the gradients of a loss of both with respect to all that is given."""
    leaves = [tensor.detach().to(dtype).clone().requires_grad_() for tensor in tensors]
    states, last = function(*leaves)
    weights = noise(*states.shape, seed=3).to(dtype)
    ((states * weights).sum() + last.square().sum()).backward()
    return [states.detach(), last.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@pytest.mark.parametrize("pairs", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("fixed", [False, True], ids=["varying", "fixed"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kernels_and_chunks_give_what_the_definition_gives(
    dtype: torch.dtype, shape: tuple[int, int, int], fixed: bool, pairs: bool
) -> None:
    tensors = given(shape, fixed, pairs)

    def defined(decay: Tensor, inputs: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        states = by_steps(decay, inputs, initial, pairs)
        return states, states[:, -1]

    def ours(decay: Tensor, inputs: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        return linear_recurrence(decay, inputs, initial, pairs=pairs)

    expected = results(defined, tensors, torch.float64)
    by_kernel = results(ours, tensors, dtype)
    with plain():
        by_chunks = results(ours, tensors, dtype)
    assert len(expected) == len(by_kernel) == len(by_chunks) == 5
    for found in (by_kernel, by_chunks):
        for one, other in zip(found, expected, strict=True):
            scale = max(1.0, other.abs().max().item())
            torch.testing.assert_close(one.double(), other, rtol=0.0, atol=scale * TOLERANCE[dtype])


@pytest.mark.parametrize("pairs", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("steps", [1, 13])
def test_groups_of_sequences_with_decays_of_their_own(steps: int, pairs: bool) -> None:
    decays = torch.stack(
        [given((1, 1, 6), fixed=True, pairs=pairs)[0], given((1, 1, 6), fixed=True, pairs=pairs)[0] / 2]
    )
    _, inputs, initial = given((6, steps, 6), fixed=False, pairs=pairs)

    def whole(decay: Tensor, inputs: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        return linear_recurrence(decay, inputs, initial, pairs=pairs)

    def apart(decay: Tensor, inputs: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        parts = [
            linear_recurrence(decay[group], inputs[3 * group :][:3], initial[3 * group :][:3], pairs=pairs)
            for group in (0, 1)
        ]
        return torch.cat([states for states, _ in parts]), torch.cat([last for _, last in parts])

    expected = results(apart, [decays, inputs, initial], torch.float64)
    by_kernel = results(whole, [decays, inputs, initial], torch.float64)
    with plain():
        by_chunks = results(whole, [decays, inputs, initial], torch.float64)
    for found in (by_kernel, by_chunks):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("fixed", [False, True], ids=["varying", "fixed"])
def test_the_number_of_threads_changes_no_bit(threads: int, fixed: bool) -> None:
    tensors = given((5, 33, 6), fixed, pairs=False)
    before = torch.get_num_threads()
    found = []
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            found.append(results(linear_recurrence, tensors, torch.float32))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_arrays_that_are_not_contiguous() -> None:
    decay, inputs, initial = given((4, 9, 6), fixed=False, pairs=False)
    expected, _ = linear_recurrence(decay, inputs, initial)
    turned = [part.transpose(0, -1).contiguous().transpose(0, -1) for part in (decay, inputs, initial)]
    assert torch.equal(linear_recurrence(*turned)[0], expected)


def test_decays_of_zero_and_one_keep_gradients_exact() -> None:
    decay = torch.zeros(1, 4, 2, dtype=torch.float64)
    decay[..., 1] = 1.0
    states, _, *gradients = results(
        linear_recurrence, [decay, torch.ones(1, 4, 2).double(), torch.ones(1, 2)], torch.float64
    )
    assert states[0].tolist() == [[1, 2], [1, 3], [1, 4], [1, 5]]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_two_level_form_can_be_differentiated_twice() -> None:
    decay, inputs, initial = given((2, 7, 3), fixed=False, pairs=False)
    assert torch.autograd.gradgradcheck(
        lambda *leaves: two_level(*leaves), [part.requires_grad_() for part in (decay, inputs, initial)]
    )


def test_autocast_computes_in_single_precision() -> None:
    tensors = [part.float() for part in given((2, 40, 4), fixed=False, pairs=False)]
    expected, _ = linear_recurrence(*tensors)
    with torch.autocast("cpu", torch.bfloat16):
        states, last = linear_recurrence(*tensors)
    assert states.dtype == last.dtype == torch.float32
    assert torch.equal(states, expected)
