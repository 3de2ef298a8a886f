"""Dropout of the four architectures: where it acts, what it drops, and from which stream it draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from seqbench.models import base, gru, lstm, rnn, tcn
from torch import Tensor, nn

CLASSES: dict[str, Any] = {"rnn": rnn.Model, "lstm": lstm.Model, "gru": gru.Model, "tcn": tcn.Model}
RECURRENT = ("rnn", "lstm", "gru")


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(20180304)
        yield


DROPPING: list[tuple[str, dict[str, Any]]] = [
    *(
        (name, {"layers": 2, option: 0.5})
        for name in RECURRENT
        for option in ("dropout", "input_dropout", "output_dropout")
    ),
    *((name, {"recurrent_dropout": 0.5}) for name in RECURRENT),
    ("gru", {"recurrent_dropout": 0.5, "reset": "before"}),
    *(
        (name, {"layers": 2, "dropout": 0.3, "input_dropout": 0.3, "recurrent_dropout": 0.3, "dropout_kind": "channel"})
        for name in RECURRENT
    ),
    ("tcn", {"kernel": 2, "levels": 2, "dropout": 0.5}),
    ("tcn", {"kernel": 2, "levels": 2, "dropout": 0.5, "dropout_kind": "element"}),
]
every_dropout = pytest.mark.parametrize(("name", "options"), DROPPING)


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@every_dropout
def test_dropout_draws_from_its_own_stream_only(name: str, options: dict[str, Any]) -> None:
    model = CLASSES[name](3, width=12, **options)
    inputs = torch.randn(4, 7, 3)
    before = torch.get_rng_state()
    base.seed_dropout(model, stream(1))
    one, two = model(inputs)[0], model(inputs)[0]
    base.seed_dropout(model, stream(1))
    again = model(inputs)[0]
    base.seed_dropout(model, stream(2))
    other = model(inputs)[0]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, again)
    assert not torch.equal(one, two)
    assert not torch.equal(one, other)
    model.eval()
    assert torch.equal(model(inputs)[0], model(inputs)[0])


@every_dropout
def test_training_without_a_stream_is_refused(name: str, options: dict[str, Any]) -> None:
    model = CLASSES[name](3, width=12, **options)
    inputs = torch.randn(4, 7, 3)
    with pytest.raises(RuntimeError, match="no random stream"):
        model(inputs)
    model.eval()(inputs)


def dropped(model: nn.Module, inputs: Tensor, ignoring: str = "") -> list[Tensor]:
    """The factors (B, T, C) by which each dropout that acted on features multiplied them."""
    factors: list[Tensor] = []

    def keep(module: nn.Module, arguments: tuple[Tensor], result: Tensor) -> None:
        factors.append(torch.where(arguments[0] == 0, torch.nan, result / arguments[0]))

    for name, module in model.named_modules():
        if isinstance(module, base.Dropout) and name != ignoring:
            module.register_forward_hook(keep)
    model(inputs)
    return factors


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {"layers": 2, "input_dropout": 0.5, "dropout": 0.5, "output_dropout": 0.5}) for name in RECURRENT),
        ("tcn", {"kernel": 2, "levels": 2, "dropout": 0.5}),
    ],
)
@pytest.mark.parametrize("kind", ["channel", "element"])
def test_channel_dropout_drops_whole_channels(name: str, options: dict[str, Any], kind: str) -> None:
    model = CLASSES[name](3, width=40, dropout_kind=kind, **options)
    base.seed_dropout(model, stream(1))
    factors = dropped(model, torch.rand(4, 30, 3), ignoring="weight_drop")
    assert len(factors) == (3 if name in RECURRENT else 4)
    for factor in factors:
        shown = ~factor.isnan()  # behind a ReLU a zero tells nothing
        assert torch.isclose(factor[shown], torch.tensor(2.0)).logical_or(factor[shown] == 0).all()
        assert 0.2 < (factor[shown] == 0).float().mean() < 0.8
        lowest = torch.where(shown, factor, torch.inf).amin(dim=1)  # (B, C), over the steps
        highest = torch.where(shown, factor, -torch.inf).amax(dim=1)
        varies = (highest > 1) & (lowest < 1)
        assert not varies.any() if kind == "channel" else varies.any()


@pytest.mark.parametrize(("name", "options"), [("rnn", {}), ("lstm", {}), ("gru", {}), ("gru", {"reset": "before"})])
def test_recurrent_dropout_is_one_mask_of_the_recurrent_matrix(name: str, options: dict[str, Any]) -> None:
    model = CLASSES[name](3, width=6, layers=2, recurrent_dropout=0.4, **options)
    inputs = torch.randn(4, 7, 3)
    base.seed_dropout(model, stream(1))
    features, _ = model(inputs)
    generator = stream(1)
    masks = [
        torch.empty_like(cell.weight_hh_l0).bernoulli_(1 - 0.4, generator=generator) / (1 - 0.4) for cell in model.cells
    ]
    features.sum().backward()
    for cell, mask in zip(model.cells, masks, strict=True):
        assert not cell.weight_hh_l0.grad[mask == 0].any()
        assert cell.weight_hh_l0.grad[mask != 0].all()
        cell.weight_hh_l0.data *= mask
    torch.testing.assert_close(model.eval()(inputs)[0], features)
