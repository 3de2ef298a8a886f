"""-log P by logits: equal to torch's cross-entropy in both passes, at the edges of its range too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from seqbench.models import _surprisals
from seqbench.models._compiling import plain
from seqbench.models._surprisals import surprisals
from seqbench.models.heads import Logits, Softmax
from torch import Tensor
from torch.nn import functional as F


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(1611)
        yield


def both(logits: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Values and gradients, by ours and by torch's operation, for a gradient that differs from row to row."""
    found = []
    for operation in (surprisals, lambda *given: F.cross_entropy(*given, reduction="none")):
        given = logits.clone().requires_grad_()
        values = operation(given, targets)
        (values * torch.linspace(-1, 2, len(values), dtype=values.dtype)).sum().backward()
        assert given.grad is not None
        found.append((values.detach(), given.grad))
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("rows", "symbols"), [(1, 1), (1, 49), (37, 49), (37, 16), (5, 3000)])
def test_equal_to_the_cross_entropy(rows: int, symbols: int, dtype: torch.dtype) -> None:
    logits, targets = 3 * torch.randn(rows, symbols, dtype=dtype), torch.randint(symbols, (rows,))
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    for ours, theirs in zip(*both(logits, targets), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=10 * tolerance)


def test_the_same_bits_with_any_number_of_threads() -> None:
    before, logits, targets = torch.get_num_threads(), torch.randn(37, 1500), torch.randint(1500, (37,))
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(both(logits, targets)[0])
    torch.set_num_threads(before)
    assert all(torch.equal(one, other) for pair in found[1:] for one, other in zip(found[0], pair, strict=True))


def test_the_gradient_is_that_of_the_values() -> None:
    logits, targets = torch.randn(4, 9, dtype=torch.float64, requires_grad=True), torch.tensor([0, 8, 3, 3])
    assert torch.autograd.gradcheck(lambda given: surprisals(given, targets), logits)


@pytest.mark.parametrize("scale", [1e-30, 80.0, 1e4, 1e30])
def test_large_logits_neither_overflow_nor_cancel(scale: float) -> None:
    """A target that is all but certain keeps its small surprisal."""
    logits = torch.tensor([[scale, 0.0, -scale], [scale, scale - 1e-3, 0.0], [-scale, -scale, -scale]])
    for targets in (torch.tensor([0, 1, 2]), torch.tensor([2, 2, 0])):
        for ours, theirs in zip(*both(logits, targets), strict=True):
            assert ours.isfinite().all()
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_what_is_not_finite_shows() -> None:
    for bad in (torch.nan, torch.inf):
        values = surprisals(torch.tensor([[0.0, bad], [0.0, 1.0]]), torch.tensor([0, 0]))
        assert values.isfinite().tolist() == [False, True]


def test_impossible_symbols_and_no_rows() -> None:
    """A logit of -inf is a symbol that cannot come; as a target it is infinitely surprising."""
    logits = torch.tensor([[0.0, -torch.inf, 1.0]], requires_grad=True)
    for target, value in ((0, math.log(1 + math.e)), (1, torch.inf)):
        assert surprisals(logits, torch.tensor([target])).item() == pytest.approx(value)
    assert surprisals(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_targets_that_are_no_symbols_are_as_torch_has_them() -> None:
    logits = torch.randn(2, 5)
    assert surprisals(logits, torch.tensor([-100, 1]))[0].item() == 0
    for bad in (torch.tensor([0, 5]), torch.tensor([-1, 0])):
        with pytest.raises(IndexError, match="out of bounds"):
            surprisals(logits, bad)
    with pytest.raises(RuntimeError):
        surprisals(logits, torch.tensor([0, 1], dtype=torch.int32))


def test_no_more_is_kept_than_the_logits() -> None:
    """Beside a few numbers a row; torch's operation keeps their log-softmax."""
    kept: list[int] = []
    logits, targets = torch.randn(64, 1000, requires_grad=True), torch.randint(1000, (64,))
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(0 if tensor is logits else tensor.numel()) or tensor,  # type: ignore[func-returns-value]
        lambda tensor: tensor,
    ):
        surprisals(logits, targets)
    assert kept
    assert sum(kept) <= 3 * 64


@pytest.mark.parametrize(("symbols", "ours"), [(_surprisals.MANY, True), (_surprisals.MANY - 1, False)])
def test_a_head_uses_it_for_many_symbols(symbols: int, ours: bool) -> None:
    logits, targets = torch.randn(3, 5, symbols, requires_grad=True), torch.randint(symbols, (3, 5))
    kernels = Logits(logits).surprisal(targets)
    with plain():
        reference = Logits(logits).surprisal(targets)
    torch.testing.assert_close(kernels, reference, rtol=1e-6, atol=1e-6)
    used = ["_Surprisals" in str(values.grad_fn and values.grad_fn.next_functions) for values in (kernels, reference)]
    assert used == [ours, False]


def test_fifty_steps_of_training_go_as_with_torchs_operation() -> None:
    """A head on features that tell the symbol, from one draw, with Adam; the losses drift apart by rounding only."""
    features, targets = torch.randn(50, 16, 24), torch.randint(_surprisals.MANY, (50, 16))
    curves = []
    for _ in ("kernels", "plain"):
        torch.manual_seed(3)
        head, losses = Softmax(24, _surprisals.MANY), []
        optimizer = torch.optim.Adam(head.parameters(), 0.01)
        for step in range(50):
            with plain() if curves else nullcontext():
                loss = head(features[None, step % 5]).surprisal(targets[None, step % 5]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        curves.append(losses)
    ours, theirs = curves
    assert theirs[-1] < theirs[0] / 2
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
