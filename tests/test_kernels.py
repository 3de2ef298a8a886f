"""The kernels against torch's own operations: outputs, gradients, whole models, and fifty steps of training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from seqbench.models import _recurrences, _slices
from seqbench.models._activations import sigmoids, tanhs
from seqbench.models._compiling import fast, plain
from seqbench.models._dilated import dilated_block
from seqbench.models._products import multiply_add, padded
from seqbench.models._recurrences import GRU, LSTM, RNN_RELU, RNN_TANH, Cell, recurrence
from torch import Tensor

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}
"""Of the largest number of what is compared: rounding of some hundred terms, in another order."""
SHAPES = [(1, 5, 3, 4), (11, 40, 2, 19), (33, 17, 20, 7), (40, 3, 2, 5)]
"""(B, T, C, W): one sequence, a batch of no whole register, more channels than width."""
CELLS = {"lstm": (LSTM, 4), "gru": (GRU, 3), "rnn-tanh": (RNN_TANH, 1), "rnn-relu": (RNN_RELU, 1)}


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(1803)
        yield


@pytest.fixture(params=["narrow", "wide"])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recurrent layers by the kernels alone, or as wide ones, in pieces of a few steps."""
    monkeypatch.setattr(_recurrences, "WIDE", 0 if request.param == "wide" else math.inf)
    monkeypatch.setattr(_recurrences, "_PIECE", 33)


@pytest.fixture(params=[1, 2, 5])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def assert_near(ours: Tensor, theirs: Tensor, times: float = 1.0) -> None:
    scale = max(1.0, theirs.abs().max().item())
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=times * scale * TOLERANCE[theirs.dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 13, 32])
def test_a_product_is_what_numpy_says(rows: int, dtype: Any) -> None:
    random = np.random.default_rng(0)
    for steps, columns in ((5, 3), (130, 520), (1, 20)):
        left = random.standard_normal((rows, steps)).astype(dtype)
        right, out = np.zeros((steps, padded(columns)), dtype), np.ones((rows, padded(columns)), dtype)
        right[:, :columns] = random.standard_normal((steps, columns))
        width = padded(columns)
        multiply_add(out, 0, width, left, 0, steps, 1, 0, right, 0, width, 1, steps, rows, columns)
        bound = 16 * steps * np.finfo(dtype).eps
        np.testing.assert_allclose(out, 1 + left.astype(np.float64) @ right, rtol=0, atol=bound)


@pytest.mark.parametrize(("taps", "steps"), [(1, 29), (1, 600), (4, 150), (80, 8)])
def test_a_number_of_a_product_does_not_depend_on_what_is_computed_beside_it(taps: int, steps: int) -> None:
    """Many rows go through a deep matrix in parts, one row as a whole: the sums are in the same order."""
    random = np.random.default_rng(1)
    left = random.standard_normal((29, taps * steps)).astype(np.float32)
    right = random.standard_normal((taps * steps, 48)).astype(np.float32)
    whole, alone = np.zeros((29, 48), np.float32), np.zeros((29, 48), np.float32)
    multiply_add(whole, 0, 48, left, 0, taps * steps, 1, steps, right, 0, 48, taps, steps, 29, 48)
    for row in range(29):
        at = row * taps * steps
        multiply_add(alone, row * 48, 48, left, at, taps * steps, 1, steps, right, 0, 48, taps, steps, 1, 48)
    assert whole.tobytes() == alone.tobytes()
    np.testing.assert_allclose(whole, left.astype(np.float64) @ right, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("kernel", "exact"), [(sigmoids, lambda x: 1 / (1 + np.exp(-x))), (tanhs, np.tanh)], ids=["sigmoid", "tanh"]
)
def test_activations_are_right_to_rounding(kernel: Any, exact: Callable[[Any], Any]) -> None:
    inputs = np.concatenate([scale * np.linspace(-1, 1, 20001) for scale in (1e-6, 1e-2, 1, 20, 200)])
    single = inputs.astype(np.float32)
    with np.errstate(over="ignore"):
        expected = exact(single.astype(np.float64))
        double = exact(inputs)
    kernel(single, 0, single.size)
    kernel(inputs, 0, inputs.size)
    normal = np.abs(expected) > 1e-37  # below, single precision has no full number of digits
    units = np.abs(single - expected)[normal] / np.spacing(np.abs(expected[normal]).astype(np.float32))
    assert units.max() < 3
    np.testing.assert_allclose(inputs, double, rtol=1e-14)


def test_activations_let_what_is_not_finite_through() -> None:
    for dtype in (np.float32, np.float64):
        values = np.array([math.nan, math.inf, -math.inf] * 20, dtype)
        kept = values.copy()
        sigmoids(values, 0, values.size)
        tanhs(kept, 0, kept.size)
        np.testing.assert_allclose(values[:3], [math.nan, 1, 0], atol=1e-37)
        np.testing.assert_array_equal(kept[:3], [math.nan, 1, -1])


def layer(name: str, shape: tuple[int, int, int, int], dtype: torch.dtype) -> tuple[Cell, list[Any]]:
    """A cell, and inputs (B, T, C), hidden (B, W), memory (B, W) or None, and the four weights."""
    (cell, gates), (batch, steps, channels, width) = CELLS[name], shape

    def draw(*size: int) -> Tensor:
        return (torch.randn(size, dtype=dtype) / size[-1] ** 0.5).requires_grad_()

    rows = gates * width
    memory = draw(batch, width) if cell.cells else None
    weights = [draw(rows, channels), draw(rows, width), draw(rows), draw(rows)]
    return cell, [draw(batch, steps, channels), draw(batch, width), memory, *weights]


def by_torch(name: str, inputs: Tensor, hidden: Tensor, memory: Tensor | None, *weights: Tensor) -> list[Tensor]:
    kernel: Any = {"lstm": torch.lstm, "gru": torch.gru, "rnn-tanh": torch.rnn_tanh, "rnn-relu": torch.rnn_relu}[name]
    before = hidden[None] if memory is None else (hidden[None], memory[None])
    outputs, *after = kernel(inputs, before, weights, True, 1, 0.0, True, False, True)
    return [outputs, *(part[0] for part in after)]


def with_gradients(outputs: list[Tensor], given: list[Any]) -> list[Tensor]:
    """The outputs, and the gradients of a sum in which every number of them has a weight of its own."""
    total = sum((part * torch.linspace(1, 2, part.numel(), dtype=part.dtype).view_as(part)).sum() for part in outputs)
    wanted = [part for part in given if part is not None]
    return [*outputs, *torch.autograd.grad(total, wanted)]  # type: ignore[arg-type]


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_a_recurrent_layer_equals_torchs(name: str, shape: Any, dtype: torch.dtype, threads: int) -> None:
    cell, given = layer(name, shape, dtype)
    inputs, hidden, memory, *weights = given
    ours = [part for part in recurrence(cell, inputs, hidden, memory, weights) if part is not None]
    theirs = by_torch(name, *given)
    for one, other in zip(with_gradients(ours, given), with_gradients(theirs, given), strict=True):
        assert_near(one, other, times=10)


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("name", CELLS)
def test_a_layer_gives_the_same_without_gradients_and_from_a_part_of_what_it_gives(name: str) -> None:
    cell, (inputs, hidden, memory, *weights) = layer(name, (11, 40, 2, 19), torch.float32)
    outputs, last, *_ = recurrence(cell, inputs, hidden, memory, weights)
    with torch.no_grad():
        assert torch.equal(recurrence(cell, inputs, hidden, memory, weights)[0], outputs)
    from_last = torch.autograd.grad(last.sum(), weights[1], retain_graph=True)[0]
    from_outputs = torch.autograd.grad(outputs[:, -1].sum(), weights[1])[0]
    assert_near(from_last, from_outputs)


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("name", CELLS)
def test_gradients_of_a_layer_by_finite_differences(name: str) -> None:
    cell, given = layer(name, (2, 4, 2, 3), torch.float64)
    present = [part for part in given if part is not None]

    def outputs(inputs: Tensor, hidden: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        memory, weights = (rest[0], rest[1:]) if cell.cells else (None, rest)
        return tuple(part for part in recurrence(cell, inputs, hidden, memory, list(weights)) if part is not None)

    assert torch.autograd.gradcheck(outputs, present)


BLOCKS = [
    (1, 9, 1, 3, 2, 1),
    (5, 40, 2, 19, 7, 4),
    (3, 17, 20, 20, 3, 16),
    (4, 100, 25, 25, 8, 2),
    (2, 33, 17, 40, 1, 1),
    (5, 20, 16, 32, 3, 2),
    (5, 20, 32, 32, 3, 2),
]
"""(B, T, C, W, kernel, dilation): wider, equal, a kernel beyond the sequence, no neighbours at all; nothing to pad."""


def block(sizes: Any, kind: str, dtype: torch.dtype) -> tuple[Tensor, list[Tensor], Any]:
    """Inputs (B, T, C), the weights of both convolutions and, where channels differ, of the residual; the masks."""
    batch, steps, channels, width, kernel, _ = sizes

    def draw(*size: int) -> Tensor:
        return (torch.randn(size, dtype=dtype) / math.prod(size[1:]) ** 0.5).requires_grad_()

    weights = [draw(width, channels, kernel), draw(width), draw(width, width, kernel), draw(width)]
    weights[2] = weights[2].detach().mT.contiguous().mT.requires_grad_()  # lies otherwise
    if channels != width:
        weights += [draw(width, channels, 1), draw(width)]
    rows = {"none": 0, "channel": 1, "element": steps}[kind]
    masks = [(torch.rand(batch, rows, width, dtype=dtype) > 0.3) / 0.7 if rows else None for _ in range(2)]
    return draw(batch, steps, channels), weights, [mask.to(dtype) if mask is not None else None for mask in masks]


def by_convolutions(inputs: Tensor, weights: list[Tensor], masks: Any, dilation: int) -> Tensor:
    hidden = inputs.transpose(1, 2)
    for weight, bias, mask in ((*weights[:2], masks[0]), (*weights[2:4], masks[1])):
        before = torch.nn.functional.pad(hidden, ((weight.shape[2] - 1) * dilation, 0))
        hidden = torch.relu(torch.nn.functional.conv1d(before, weight, bias, dilation=dilation))
        hidden = hidden * mask.transpose(1, 2) if mask is not None else hidden
    across = torch.nn.functional.conv1d(inputs.transpose(1, 2), *weights[4:]) if weights[4:] else inputs.transpose(1, 2)
    return torch.relu(hidden + across).transpose(1, 2)


def by_kernel(inputs: Tensor, weights: list[Tensor], masks: Any, dilation: int) -> Tensor:
    width = len(weights[1])
    residual = (weights[4], weights[5]) if weights[4:] else None
    wide = inputs if residual else torch.nn.functional.pad(inputs, (0, padded(width) - width))
    outputs = dilated_block(wide, (weights[0], weights[1]), (weights[2], weights[3]), residual, masks, dilation)
    assert not outputs[..., width:].any()
    return outputs[..., :width]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", ["none", "channel", "element"])
@pytest.mark.parametrize("sizes", BLOCKS, ids=str)
def test_a_block_equals_torchs_convolutions(sizes: Any, kind: str, dtype: torch.dtype, threads: int) -> None:
    inputs, weights, masks = block(sizes, kind, dtype)
    results = [make(inputs, weights, masks, sizes[-1]) for make in (by_kernel, by_convolutions)]
    ours, theirs = (with_gradients([outputs], [inputs, *weights]) for outputs in results)
    for one, other in zip(ours, theirs, strict=True):
        assert_near(one, other, times=10)
    with torch.no_grad():
        assert torch.equal(by_kernel(inputs, weights, masks, sizes[-1]), ours[0])


def test_gradients_of_a_block_by_finite_differences() -> None:
    for sizes in ((2, 6, 2, 3, 2, 2), (2, 6, 3, 3, 3, 1)):
        inputs, weights, masks = block(sizes, "channel", torch.float64)
        assert torch.autograd.gradcheck(lambda x, *w: by_kernel(x, list(w), masks, sizes[-1]), [inputs, *weights])  # noqa: B023


def test_kernels_take_what_they_can_compute_and_leave_the_rest_to_torch() -> None:
    numbers = torch.zeros(2, 3)
    assert fast(numbers)
    assert fast(numbers, None)
    assert fast(numbers.double())
    assert not fast(numbers.half())
    assert not fast(numbers, numbers.double())
    assert not fast(numbers.to("meta"))
    with plain():
        assert not fast(numbers)
    assert fast(numbers)


@pytest.mark.parametrize("flushed", [True, False])
def test_denormals_are_flushed_within_kernels_only(flushed: bool) -> None:
    small = torch.tensor(torch.finfo(torch.float32).tiny)
    try:
        torch.set_flush_denormal(flushed)
        inside: list[bool] = []
        _slices.run(lambda first, end, slot: inside.append((small / 2).item() == 0), [_slices.Slice(0, 1, 0)])
        assert inside == [True]
        assert ((small / 2).item() == 0) == flushed
    finally:
        torch.set_flush_denormal(False)


def test_a_failure_in_any_slice_is_raised() -> None:
    def kernel(first: int, end: int, slot: int) -> None:
        if slot == 1:
            raise ZeroDivisionError("in the second slice")

    with pytest.raises(ZeroDivisionError, match="second slice"):
        _slices.run(kernel, _slices.slices(32, threads=2))


def test_a_second_derivative_is_refused_rather_than_wrong() -> None:
    cell, (inputs, hidden, memory, *weights) = layer("gru", (2, 4, 2, 3), torch.float64)
    outputs, *_ = recurrence(cell, inputs, hidden, memory, weights)
    (gradient,) = torch.autograd.grad((outputs**2).sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
