"""Widths in steps: a toy whose widths are multiples of eight, and one whose heads divide its width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import networks, sizing
from seqbench.bench.experiments.notation import parse
from seqbench.bench.experiments.options import options_of
from seqbench.bench.experiments.runs import make_task
from seqbench.models import gru

TASK = make_task(parse("adding(length=20)"))


class Eights(gru.Model):
    """A GRU that refuses every width that is not a multiple of eight."""

    width_step = 8

    def __init__(self, channels: int, *, width: int = 8) -> None:
        if width % 8:
            raise ValueError(f"width={width}: a multiple of 8 is needed")
        super().__init__(channels, width=width)


class Heads(gru.Model):
    """A GRU that refuses every width that its heads do not divide."""

    def __init__(self, channels: int, *, width: int = 12, heads: int = 3) -> None:
        if width % heads:
            raise ValueError(f"width={width}: {heads} heads do not divide it")
        super().__init__(channels, width=width)

    @classmethod
    def width_step_for(cls, options: Mapping[str, Any]) -> int:
        return int(options["heads"])


class BothWays(gru.Model):
    """A model that says that it is not causal."""

    causal = False


def options(model: type[gru.Model], **given: Any) -> dict[str, Any]:
    return {name: option.default for name, option in options_of(model).items()} | given


@pytest.mark.parametrize(
    ("model", "given", "step"), [(Eights, {}, 8), (Heads, {"heads": 3}, 3), (Heads, {"heads": 7}, 7)]
)
def test_the_nearest_multiple_is_found_with_few_networks(
    model: type[gru.Model], given: dict[str, Any], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = options(model, **given)
    counts = {
        width: networks.on_paper(TASK, model, {**chosen, "width": width}).parameter_count
        for width in range(step, 40 * step, step)
    }
    tried: list[int] = []
    on_paper = networks.on_paper

    def counting(task: Any, cls: Any, asked: Mapping[str, Any], *parts: Any) -> Any:
        tried.append(asked["width"])
        return on_paper(task, cls, asked, *parts)

    monkeypatch.setattr(sizing, "on_paper", counting)
    for budget in (counts[step], counts[5 * step] + 1, 2_000, 20_000, counts[39 * step] - 1):
        if budget > counts[39 * step]:
            continue
        best = min(counts, key=lambda width: (abs(counts[width] - budget), width))
        tried.clear()
        assert sizing.fit(TASK, model, chosen, budget, tolerance=10) == sizing.Size(best, counts[best])
        assert not [width for width in tried if width % step]
        assert len(tried) <= 2 + 2 * 7, "doubling, then halving: no more than the digits of 40 in base 2, twice"


def test_what_no_multiple_reaches_is_said() -> None:
    with pytest.raises(UsageError, match=r"^no width that is a multiple of 8 comes within 1.0% of 600 parameters: 8 "):
        sizing.fit(TASK, Eights, options(Eights), 600)


def test_models_are_causal_and_their_widths_go_by_one_unless_they_say_otherwise() -> None:
    assert (gru.Model(1, width=2).causal, gru.Model.width_step, gru.Model.width_step_for({})) == (True, 1, 1)
    assert not BothWays(1, width=2).causal
