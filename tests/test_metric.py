"""What a metric's kind says about its scores, and what it is where a task does not name it."""

from __future__ import annotations

import math

import pytest
from seqbench.bench.analysis import samples
from seqbench.bench.rows.comparing import tolerance_of
from seqbench.tasks.base import Metric
from seqbench.tasks.lambada import Task as Lambada


@pytest.mark.parametrize(
    ("metric", "kind", "logarithmic", "bounds", "decimals"),
    [
        (Metric("mse", "", "lower", 1.0), "error", True, (0.0, math.inf), None),
        (Metric("error rate", "%", "lower", 90.0), "error", True, (0.0, math.inf), 2),
        (Metric("error rate", "%", "lower", 90.0, kind="share"), "share", False, (0.0, 100.0), 2),
        (Metric("accuracy", "%", "higher", 10.0), "share", False, (0.0, 100.0), 2),
        (Metric("recall", "", "higher", 0.1), "share", False, (0.0, 1.0), None),
        (Metric("reward", "points", "higher", 0.0), "count", False, (-math.inf, math.inf), None),
        (Metric("score", "", "higher", math.nan), "count", False, (-math.inf, math.inf), None),
        (Metric("bits", "bits", "lower", 1.0, kind="likelihood"), "likelihood", True, (0.0, math.inf), None),
    ],
)
def test_what_a_kind_says(
    metric: Metric, kind: str, logarithmic: bool, bounds: tuple[float, float], decimals: int | None
) -> None:
    assert (metric.kind, metric.logarithmic, metric.bounds, metric.decimals) == (kind, logarithmic, bounds, decimals)


@pytest.mark.parametrize(
    ("options", "difference", "absolute"),
    [
        ({"direction": "lower"}, 0.75, False),
        ({"direction": "lower", "kind": "likelihood"}, 0.02, False),
        ({"direction": "lower", "kind": "likelihood", "scale": "exp"}, 0.05, False),
        ({"direction": "lower", "kind": "likelihood", "tolerance": 0.3}, 0.3, False),
        ({"direction": "higher", "kind": "share"}, 0.05, True),
        ({"direction": "higher", "unit": "%"}, 5.0, True),
        ({"direction": "higher", "unit": "%", "tolerance": 1.0}, 1.0, True),
    ],
)
def test_how_far_two_machines_may_be_apart(options: dict, difference: float, absolute: bool) -> None:
    metric = Metric(**{"name": "x", "unit": "", "floor": 0.0, **options})
    assert metric.largest_difference == difference
    assert tolerance_of(metric) == ("absolute" if absolute else "relative", difference)


def test_a_share_of_which_less_is_better_is_averaged_as_it_is_and_stays_in_its_bounds() -> None:
    metric = Metric("error rate", "%", "lower", 90.0, kind="share")
    found = samples.summary(metric, [0.5, 1.0, 6.0])
    assert found is not None
    assert found.interval is not None
    assert (found.mean, found.interval.low, found.logarithmic) == (2.5, 0.0, False)


@pytest.mark.parametrize(
    ("direction", "kind", "said"),
    [("lower", "errors", "kind='errors'"), ("higher", "error", "lower is better"), ("higher", "likelihood", "lower")],
)
def test_a_kind_that_cannot_be(direction: str, kind: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        Metric("x", "", direction, 0.0, kind=kind)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_the_kinds_of_a_task_with_two_sorts_of_scores() -> None:
    kinds = {metric.name: metric.kind for metric in Lambada().metrics}
    assert kinds["perplexity"] == "likelihood"
    assert kinds["accuracy"] == "share"
