"""Where one more run falls, and how often each verdict comes out, by simulation: the truth is known there.

A sample is n runs of ours and one published run. Ours have mean 0 and standard deviation 1, lower is better, so a
published run that is `above` makes ours better and one that is `below` makes ours worse.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from seqbench.bench.analysis.one_more_run import any_false, bounds, half_width, one_more_run, position
from seqbench.bench.analysis.statistics import Interval

Array = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]
TRIALS = 20_000
EVERYTHING = float("inf")


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return random.normal(size=shape)


def bimodal(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Two heaps, six of their standard deviations apart: a run in the one or the other, by a fair coin."""
    return random.normal(size=shape) + 6 * random.integers(2, size=shape)


def spiky(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """One run in ten is far off, by ten standard deviations."""
    return random.normal(size=shape) * np.where(random.random(shape) < 0.1, 10.0, 1.0)


def frequencies(
    count: int,
    shift: float = 0.0,
    effect: float = 0.0,
    margin: float = EVERYTHING,
    draw: Draw = normal,
    best_of: int = 1,
    taken_for: int = 1,
) -> dict[str, float]:
    """How often each position comes out of samples of `count` runs.

    best_of: of how many runs the published one is the lowest. taken_for: of how many it is believed to be.
    """
    random = np.random.default_rng(0)
    low, high = bounds(draw(random, (TRIALS, count)), taken_for, lower_is_better=True)
    published = draw(random, (TRIALS, best_of)).min(axis=1) + shift
    names, counts = np.unique(position(low, high, published, effect, margin), return_counts=True)
    found = dict.fromkeys(("below", "above", "inside", "unclear"), 0.0)
    return found | {str(name): float(count) / TRIALS for name, count in zip(names, counts, strict=True)}


@pytest.mark.parametrize("count", [3, 5, 10])
def test_where_nothing_differs_five_of_a_hundred_are_told_apart(count: int) -> None:
    found = frequencies(count)
    assert found["below"] == pytest.approx(0.025, abs=0.005)
    assert found["above"] == pytest.approx(0.025, abs=0.005)
    assert found["unclear"] == 0.0, "without a margin every sample counts as precise"


@pytest.mark.parametrize(("count", "three_away"), [(3, 0.68), (5, 0.46), (10, 0.28)])
def test_the_interval_alone_rewards_noise_and_few_runs(count: int, three_away: float) -> None:
    """How often a number that is 1, 2, 3 standard deviations away would be reproduced, were there no margin.

    (published - mean) / (s · √(1 + 1/n)) follows the noncentral t distribution.
    """
    end = stats.t.ppf(0.975, count - 1)
    for shift in (1.0, 2.0, 3.0):
        away = stats.nct(count - 1, shift / np.sqrt(1 + 1 / count))
        assert frequencies(count, shift)["inside"] == pytest.approx(away.cdf(end) - away.cdf(-end), abs=0.01)
    assert frequencies(count, 3.0)["inside"] == pytest.approx(three_away, abs=0.01)


def test_with_a_margin_a_small_sample_is_inconclusive_and_not_reproduced() -> None:
    """The margin is two standard deviations, what the interval of very many runs needs (1.96)."""
    three, five = (frequencies(count, shift=3.0, margin=2.0) for count in (3, 5))
    many = frequencies(200, shift=3.0, margin=2.3)
    assert three["inside"] < 0.1
    assert five["inside"] < 0.05 < five["unclear"]
    assert three["unclear"] > 0.5
    assert many["inside"] == pytest.approx(0.15, abs=0.01)  # of a normal run 3 away: 1 - Φ(1.04)
    assert many["unclear"] < 0.01
    alike = frequencies(200, margin=2.3)
    assert alike["inside"] == pytest.approx(0.95, abs=0.01)
    assert frequencies(3, margin=2.1)["inside"] < 0.3, "three runs reproduce seldom, even what is the same"


def test_more_noise_never_makes_a_number_reproduced() -> None:
    """The thresholds stay, the runs spread more: a true difference of 3 comes out as reproduced ever less."""
    random = np.random.default_rng(0)
    shares = []
    for spread in (1.0, 1.5, 2.0, 4.0):
        low, high = bounds(spread * random.normal(size=(TRIALS, 5)))
        published = 3.0 + spread * random.normal(size=TRIALS)
        shares.append(float((position(low, high, published, 0.5, 2.5) == "inside").mean()))
    assert shares == sorted(shares, reverse=True)
    assert shares[0] < 0.25
    assert shares[-1] < 0.02


def test_the_smallest_effect_takes_false_verdicts_away() -> None:
    found = frequencies(10, effect=1.0)
    assert found["below"] + found["above"] < 0.012
    assert frequencies(10, shift=5.0, effect=1.0)["above"] > 0.8, "and leaves large differences"


@pytest.mark.parametrize("shift", [1.0, 2.0, 3.0])
def test_a_shift_is_never_found_on_the_wrong_side(shift: float) -> None:
    found = frequencies(5, shift, effect=0.5, margin=3.0)
    assert found["below"] < 0.01
    assert found["above"] > (0.05, 0.15, 0.4)[int(shift) - 1]


def test_two_heaps_make_a_wide_interval_and_so_no_verdict() -> None:
    found = frequencies(5, draw=bimodal, effect=0.5, margin=2.0)
    assert found["inside"] < 0.1, "by luck all five lie in one heap"
    assert found["unclear"] > 0.8
    assert found["below"] + found["above"] < 0.1


def test_spikes_make_some_false_verdicts_and_seldom_a_reproduced_one() -> None:
    found = frequencies(5, draw=spiky, effect=0.5, margin=2.0)
    assert 0.02 < found["below"] + found["above"] < 0.12
    assert found["unclear"] > 0.6


@pytest.mark.parametrize(("best_of", "worse"), [(10, 0.15), (50, 0.32)])
def test_the_best_of_several_makes_ours_look_worse(best_of: int, worse: float) -> None:
    """And its own interval mends that."""
    naive = frequencies(5, best_of=best_of)
    assert naive["below"] == pytest.approx(worse, abs=0.02)
    mended = frequencies(5, best_of=best_of, taken_for=best_of)
    assert mended["below"] == pytest.approx(0.025, abs=0.006)
    assert mended["above"] == pytest.approx(0.025, abs=0.006)


def test_the_best_of_one_is_one_run_and_directions_mirror() -> None:
    sample = [[0.0, 1.0, 2.0]]
    assert bounds(sample, 1, False) == bounds(sample, 1, True)
    low, high = bounds(sample, 10, lower_is_better=True)
    mirrored_low, mirrored_high = bounds([[0.0, -1.0, -2.0]], 10, lower_is_better=False)
    assert (low, high) == (-mirrored_high, -mirrored_low)


def test_a_component_between_sets_is_added_in_quadrature() -> None:
    plain, wider = one_more_run([8.0, 8.1, 8.2]), one_more_run([8.0, 8.1, 8.2], between=0.1)
    assert plain is not None
    assert wider is not None
    half = np.hypot(4.302653 * 0.1 * np.sqrt(4 / 3), 1.959964 * np.sqrt(2) * 0.1)
    assert (wider.low, wider.high) == pytest.approx((8.1 - half, 8.1 + half), abs=1e-5)


def test_half_of_an_interval_on_either_scale() -> None:
    assert half_width(Interval(1.0, 3.0, ""), False) == 1.0
    assert half_width(Interval(1.0, 100.0, ""), True) == pytest.approx(np.log(10))
    assert half_width(Interval(0.0, 100.0, ""), True) == float("inf")


def test_the_family_error() -> None:
    assert any_false(1) == pytest.approx(0.05)
    assert any_false(37) == pytest.approx(0.85, abs=0.005)
