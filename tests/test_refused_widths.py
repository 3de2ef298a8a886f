"""Widths that a model's constructor refuses are passed over, and an option adjusts a size finely."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from seqbench.bench import seeding
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import networks, sizing
from seqbench.bench.experiments.notation import parse
from seqbench.bench.experiments.options import options_of
from seqbench.bench.experiments.registry import find
from seqbench.bench.experiments.runs import DEFAULT_TRAINING, Run, make_task
from seqbench.models import gru
from seqbench.models.base import Model, State
from torch import Tensor, nn

TASK = make_task(parse("adding(length=20)"))


class Base(Model):
    """A linear map; what a derived class refuses is up to it."""

    def __init__(self, channels: int, *, width: int = 8) -> None:
        super().__init__()
        self.accept(width)
        self.map = nn.Linear(channels, width)
        self.mix = nn.Linear(width, width)
        self.features, self.state_size, self.receptive_field, self.macs_per_step = width, 0, 1, channels * width

    def accept(self, width: int) -> None:
        raise NotImplementedError

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        return self.mix(self.map(inputs)), None


class Eights(Base):
    def accept(self, width: int) -> None:
        if width % 8:
            raise ValueError(f"width={width}: a multiple of 8 is needed")


class Even(Base):
    def accept(self, width: int) -> None:
        assert width % 2 == 0


class Powers(Base):
    def accept(self, width: int) -> None:
        if width & (width - 1):
            raise RuntimeError(f"width={width}: a power of two is needed")


class Wide(Base):
    def accept(self, width: int) -> None:
        if width < 20:
            raise TypeError(f"width={width}: at least 20 is needed")


class Odd(Base):
    def accept(self, width: int) -> None:
        1 / (width % 2)


class Primes(Base):
    """Nothing to do with multiples."""

    def accept(self, width: int) -> None:
        if width < 2 or any(width % divisor == 0 for divisor in range(2, width)):
            raise ValueError(f"width={width}: a prime is needed")


class Heads(Base):
    """What torch itself refuses: heads that do not divide the width."""

    def __init__(self, channels: int, *, width: int = 12, heads: int = 3) -> None:
        self.heads = heads
        nn.MultiheadAttention(width, heads)
        super().__init__(channels, width=width)

    def accept(self, width: int) -> None:
        assert width % self.heads == 0


class Nothing(Base):
    def accept(self, width: int) -> None:
        raise ValueError("out of order")


class Narrow(Base):
    """What it accepts comes to an end."""

    def accept(self, width: int) -> None:
        if width > 20:
            raise ValueError(f"width={width}: at most 20 is possible")


class Numbers(Base):
    """One that needs numbers while it is made, and so has none on the meta device."""

    def accept(self, width: int) -> None:
        scale = torch.rand(1).item() + float(np.random.rand()) + random.random()
        self.table = torch.from_numpy(torch.ones(width).numpy() * scale)
        if width % 3:
            raise ValueError(f"width={width}: a multiple of 3 is needed")


class Residual(Base):
    """A block with an inner width; each residual adds 2·width + 1 for one more."""

    fine_option = "inner"

    def __init__(self, channels: int, *, width: int = 8, inner: int | None = None) -> None:
        super().__init__(channels, width=width)
        chosen = 2 * width if inner is None else inner
        self.up, self.down = nn.Linear(width, chosen), nn.Linear(chosen, width)

    def accept(self, width: int) -> None:
        if width % 8:
            raise ValueError(f"width={width}: a multiple of 8 is needed")


class Idle(Residual):
    """One whose option has no effect."""

    def __init__(self, channels: int, *, width: int = 8, inner: int = 3) -> None:
        super().__init__(channels, width=width)


def options(model: type[Model], **given: Any) -> dict[str, Any]:
    return {name: option.default for name, option in options_of(model).items()} | given


def count(model: type[Model], **given: Any) -> int:
    return networks.on_paper(TASK, model, options(model, **given)).parameter_count


def accepted(model: type[Model], most: int) -> dict[int, int]:
    counts = {}
    for width in range(1, most):
        try:
            counts[width] = count(model, width=width)
        except UsageError:
            continue
    return counts


@pytest.mark.parametrize("model", [Eights, Even, Powers, Wide, Odd, Primes, Heads, Numbers])
def test_the_nearest_of_the_widths_that_a_model_accepts(model: type[Model], monkeypatch: pytest.MonkeyPatch) -> None:
    counts = accepted(model, 100)
    assert 3 < len(counts) < 99
    tried: list[int] = []
    whole = model.__init__
    draw = random.Random(0)
    largest = max(counts.values())
    for budget in [draw.randrange(max(counts.values())) for _ in range(6)] + [1, largest]:
        best = min(counts, key=lambda width: (abs(counts[width] - budget), width))
        assert sizing.fit(TASK, model, options(model), budget, tolerance=1e4) == sizing.Size(best, counts[best])

    def counting(self: Any, channels: int, **given: Any) -> None:
        tried.append(given["width"])
        whole(self, channels, **given)

    known = options(model)
    monkeypatch.setattr(model, "__init__", counting)
    sizing.fit(TASK, model, known, largest, tolerance=1e4)
    assert len(tried) < 350, "bounded, also where there is no rule"


def test_what_is_sought_is_bounded_where_nothing_fits() -> None:
    with pytest.raises(UsageError, match=r"^test_refused_widths\.py:\d+: out of order$"):
        sizing.fit(TASK, Nothing, options(Nothing), 100)


def test_the_nearest_counts_are_named_in_one_line() -> None:
    low, high = count(Eights, width=8), count(Eights, width=16)
    budget = (low + high) // 2
    with pytest.raises(UsageError) as raised:
        sizing.fit(TASK, Eights, options(Eights), budget)
    assert str(raised.value) == (
        f"no width that the model accepts comes within 1.0% of {budget:,} parameters: 8 gives {low:,} "
        f"({low / budget - 1:+.1%}), 16 gives {high:,} ({high / budget - 1:+.1%}); "
        "another budget or a wider tolerance is needed"
    )
    with pytest.raises(UsageError, match=r"parameters: 20 gives 501 \(-95\.0%\); another"):
        sizing.fit(TASK, Narrow, options(Narrow), 10_000)


def test_a_width_that_a_person_names_is_refused_with_the_line_of_their_file() -> None:
    for make in (networks.on_paper, networks.build):
        with pytest.raises(UsageError, match=r"^test_refused_widths\.py:\d+: width=9: a multiple of 8 is needed$"):
            make(TASK, Eights, {"width": 9})
    with pytest.raises(UsageError, match=r"^test_refused_widths\.py:\d+: AssertionError: embed_dim must be divisible"):
        networks.build(TASK, Heads, {"width": 10, "heads": 3})


def test_a_constructor_of_another_kind_is_refused() -> None:
    class Channelless(Base):
        def __init__(self, *, width: int = 8) -> None:
            super().__init__(1, width=width)

    with pytest.raises(UsageError, match="Channelless: its constructor takes the number of channels, and its options"):
        sizing.fit(TASK, Channelless, {"width": 8}, 100)


def test_other_errors_of_a_constructor_are_no_refusals() -> None:
    class Broken(Base):
        def accept(self, width: int) -> None:
            self.nowhere  # noqa: B018

    with pytest.raises(UsageError, match=r"^test_refused_widths\.py:\d+: AttributeError: .*nowhere"):
        sizing.fit(TASK, Broken, {"width": 8}, 100)


def test_to_count_a_model_that_needs_numbers_leaves_no_draw() -> None:
    names, cpu = ("python", "numpy", "torch"), torch.device("cpu")
    before = seeding.states(names, cpu)
    sizing.fit(TASK, Numbers, options(Numbers), 2000, tolerance=1)
    assert seeding.same(seeding.states(names, cpu), before)


def run_of(text: str, budget: int, tolerance: float = 0.01) -> Run:
    spec = sizing.sized(TASK, parse(f"test_refused_widths:{text}"), budget, tolerance)
    return Run(parse("adding(length=20)"), spec, DEFAULT_TRAINING)


@pytest.mark.parametrize("budget", [700, 1000, 2500, 2501, 9000, 40_000])
def test_the_fine_option_is_adjusted_once_the_width_is_chosen(budget: int) -> None:
    widths = {width: count(Residual, width=width) for width in range(8, 120, 8)}
    width = min(widths, key=lambda width: abs(widths[width] - budget))
    counts = {inner: count(Residual, width=width, inner=inner) for inner in range(1, 600)}
    inner = min(counts, key=lambda inner: abs(counts[inner] - budget))
    run = run_of("Residual", budget, tolerance=1)
    assert run.model.options == {"width": width, "inner": inner}
    assert abs(counts[inner] - budget) <= width + 1, "half of what one more adds, unless the budget is too small"
    assert run.id != run_of(f"Residual(width={width})", budget, 9).id, "it is part of the run's id"
    assert run.model_label == "test_refused_widths:Residual", "and of no label, as the width is not"


@pytest.mark.parametrize("budget", [20_000, 30_000])
def test_where_finer_values_only_add_the_width_below_is_taken(budget: int) -> None:
    """An mLSTM has no MLP of its own, and 30,000 lies nearer to the wider of two widths."""
    spec = sizing.sized(TASK, parse("mlstm"), budget)
    size = networks.on_paper(TASK, find("model", "mlstm"), spec.options).parameter_count
    assert abs(size - budget) <= 0.01 * budget


def test_an_option_that_is_named_stays() -> None:
    assert run_of("Residual(inner=5)", 1000, 1).model.options == {"width": 24, "inner": 5}
    assert run_of("Residual(width=16)", 1000).model.options == {"width": 16, "inner": None}
    assert run_of("Idle", 1000, 1).model.options["inner"] == 3, "where it has no effect"
    exact = count(Residual, width=16)
    assert run_of("Residual", exact).model.options["inner"] is None, "where the default is as near as any"


def test_beyond_the_tolerance_the_nearest_fine_sizes_are_named() -> None:
    with pytest.raises(UsageError, match=r"^no inner at width=8 comes within 1\.0% of 60 parameters: 1 gives "):
        run_of("Residual", 60)


def test_models_without_a_fine_option_are_as_they_were() -> None:
    assert gru.Model.fine_option is None
    assert networks.size_options(gru.Model) == ("width",)
    assert networks.size_options(Residual) == ("width", "inner")
