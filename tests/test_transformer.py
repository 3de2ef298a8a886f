"""The Transformer: attention against its formula, positions and windows, the cache, and what it must refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from admission import (
    TOLERANCE,
    assert_alike,
    assert_learns_parity,
    assert_pieces_give_the_whole,
    assert_sees_exactly,
    gradients,
    made,
    noise,
)
from seqbench.models._attention import Attention, rotated
from seqbench.models.transformer import Model
from torch import Tensor

KINDS: list[dict[str, Any]] = [
    {"positions": "rope", "window": 0},
    {"positions": "rope", "window": 5},
    {"positions": "alibi", "window": 0},
    {"positions": "alibi", "window": 4},
    {"positions": "none", "window": 1},
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind['positions']}-{kind['window']}")
SMALL: dict[str, Any] = {"width": 12, "layers": 2, "heads": 3}


def mixer(kind: dict[str, Any], dtype: torch.dtype = torch.float64) -> Attention:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return Attention(12, 3, 2, **kind).to(dtype)


def by_the_formula(attention: Attention, inputs: Tensor) -> Tensor:
    """One number of a score after the other, as the docstring of `Attention` has it."""
    batch, steps, width = inputs.shape
    size = width // 3
    queries, keys, values = (
        (inputs @ part.t()).unflatten(2, (3, size)) for part in attention.to_queries_keys_values.weight.split(width)
    )
    outputs = []
    for t in range(steps):
        first = max(0, t - attention.window + 1) if attention.window else 0
        seen = range(first, t + 1)
        scores = []
        for s in seen:
            query, key = queries[:, t], keys[:, s]  # (B, H, K)
            if attention.positions == "rope":
                query, key = turned(query, t), turned(key, s)
            score = (query * key).sum(2) / math.sqrt(size)
            if attention.positions == "alibi":
                score = score - (t - s) * torch.tensor([2 ** (-8 * h / 3) for h in (1, 2, 3)], dtype=inputs.dtype)
            scores.append(score)
        weights = torch.stack(scores, 1).softmax(1)  # (B, s, H)
        outputs.append((weights.unsqueeze(3) * values[:, first : t + 1]).sum(1).reshape(batch, width))
    return torch.stack(outputs, 1) @ attention.to_outputs.weight.t()


def turned(vector: Tensor, t: int) -> Tensor:
    """(B, H, K) with each pair (2i, 2i+1) multiplied by the matrix of a rotation."""
    size = vector.shape[2]
    parts = []
    for i in range(0, size, 2):
        angle = t * 10_000 ** (-i / size)
        turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        parts.append(vector[:, :, i : i + 2] @ vector.new_tensor(turn).t())
    return torch.cat(parts, 2)


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [1, 5, 11, 29])
def test_attention_is_the_formula(kind: dict[str, Any], dtype: torch.dtype, steps: int) -> None:
    """Steps: one, as many as a window, more than two windows (then in chunks), and no multiple of it."""
    attention = mixer(kind, dtype)
    inputs = noise(2, steps, 12, dtype=dtype).requires_grad_()
    outputs, expected = attention(inputs)[0], by_the_formula(attention, inputs)
    of = [inputs, *attention.parameters()]
    assert_alike([outputs, *gradients(outputs, of)], [expected, *gradients(expected, of)])
    for reads in (1, min(3, steps), steps):
        assert_alike(attention.read(inputs, reads), expected[:, -reads:])


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cache_gives_what_the_whole_gives(kind: dict[str, Any], dtype: torch.dtype) -> None:
    model = made(Model, dtype, **SMALL, convolution=4, **kind)
    assert_pieces_give_the_whole(model, noise(2, 17, 3, dtype=dtype))
    assert_pieces_give_the_whole(model, noise(2, 3, 3, dtype=dtype))  # fewer steps than the convolution has taps


@every_kind
def test_no_step_sees_more_than_its_window(kind: dict[str, Any]) -> None:
    model = made(Model, **SMALL, **kind)
    reach = 2 * (kind["window"] - 1) + 1 if kind["window"] else None
    assert model.receptive_field == reach
    assert_sees_exactly(model, reach, 3, 23)


@every_kind
def test_parameters_and_state_by_formula(kind: dict[str, Any]) -> None:
    model = made(Model, **SMALL, inner=5, **kind)
    layer = 4 * 144 + 3 * 12 * 5 + 2 * 12
    assert sum(part.numel() for part in model.parameters()) == 2 * layer + 12 + 4 * 12
    for steps in (1, 3, 4, 40):
        _, state = model(noise(1, steps, 3))
        kept = min(steps, kind["window"] - 1) if kind["window"] else steps
        assert sum(part.numel() for _, pair in state for part in pair) == 2 * 2 * 12 * kept
        assert model.state_size_after(steps) == 2 * 2 * 12 * kept
    assert model.state_size == (2 * 2 * 12 * (kind["window"] - 1) if kind["window"] else None)


def test_scores_of_turned_vectors_depend_on_the_distance_alone() -> None:
    query, key = noise(1, 1, 2, 8), noise(1, 1, 2, 8, seed=3)
    scores = [(rotated(query, t) * rotated(key, t - 7)).sum(3) for t in (7, 8, 300, 70_000)]
    for score in scores[1:]:
        torch.testing.assert_close(score, scores[0], rtol=0.0, atol=1e-10)
    assert rotated(query.float(), 5).dtype == torch.float32
    torch.testing.assert_close(rotated(query), query, rtol=0.0, atol=0.0)


def test_without_positions_what_came_before_is_a_set() -> None:
    attention = mixer({"positions": "none", "window": 0})
    inputs = noise(2, 9, 12)
    shuffled = torch.cat([inputs[:, [3, 1, 0, 2, 7, 5, 6, 4]], inputs[:, 8:]], 1)
    assert_alike(attention(shuffled)[0][:, 8:], attention(inputs)[0][:, 8:])
    turned_too = mixer({"positions": "rope", "window": 0})
    assert not torch.allclose(turned_too(shuffled)[0][:, 8:], turned_too(inputs)[0][:, 8:])


@every_kind
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_strong_scores_are_finite(kind: dict[str, Any], dtype: torch.dtype) -> None:
    """Scores of ±30 and far beyond."""
    model = made(Model, dtype, **SMALL, **kind)
    with torch.no_grad():
        for layer in model.blocks:
            layer.mixer.to_queries_keys_values.weight *= 30
    outputs, _ = model(noise(2, 23, 3, dtype=dtype))
    assert all(part.isfinite().all() for part in [outputs, *gradients(outputs, list(model.parameters()))])


def test_it_learns_parity() -> None:
    assert_learns_parity(Model, width=16, layers=2, heads=2)


def test_widths_that_its_heads_cannot_have_are_refused_and_not_tried() -> None:
    for options, said in [
        ({"width": 10, "heads": 4}, "width, heads: a width that 4 heads divide is needed, got 10"),
        ({"width": 12, "heads": 4}, r"an even number of them, got 12 / 4 = 3"),
        ({"heads": 0}, "heads: a whole number of at least 1 is needed, got 0"),
        ({"window": -1}, "window: a whole number of at least 0 is needed, got -1"),
        ({"positions": "sine"}, "positions: one of 'rope', 'alibi', 'none' is needed, got 'sine'"),
    ]:
        with pytest.raises(ValueError, match=said):
            Model(3, **options)  # type: ignore[arg-type]
    assert Model.width_step_for({"heads": 4, "positions": "rope"}) == 8
    assert Model.width_step_for({"heads": 4, "positions": "alibi"}) == 4
