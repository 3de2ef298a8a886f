"""Intervals cover what they promise, by simulation; tests agree with scipy and with examples worked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from seqbench.bench.analysis import statistics

Array = npt.NDArray[np.float64]


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


def error_of(coverage: float, count: int, deviations: float = 4.0) -> float:
    """So far may a simulated share of `count` samples lie from the true one."""
    return deviations * math.sqrt(coverage * (1 - coverage) / count)


@pytest.mark.parametrize("count", [3, 5, 10])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_the_interval_covers_the_mean_in_95_of_100(count: int, logarithmic: bool) -> None:
    """Of normal scores the mean, of log-normal ones that vary by factors (σ = 1.5) the geometric mean."""
    random = np.random.default_rng(20180304)
    samples = random.normal(0.0, 1.5, (4000, count))
    hits = []
    for sample in np.exp(samples) if logarithmic else samples:
        interval = statistics.interval(list(sample), logarithmic)
        assert interval is not None
        hits.append(interval.low <= (1.0 if logarithmic else 0.0) <= interval.high)
    assert share(hits) == pytest.approx(0.95, abs=error_of(0.95, len(hits)))


@pytest.mark.parametrize("count", [3, 5, 10])
def test_without_the_log_scale_errors_that_vary_by_factors_are_not_covered(count: int) -> None:
    random = np.random.default_rng(1)
    hits, negative = [], []
    for sample in np.exp(random.normal(0.0, 1.5, (2000, count))):
        interval = statistics.interval(list(sample))
        assert interval is not None
        hits.append(interval.low <= math.exp(1.5**2 / 2) <= interval.high)
        negative.append(interval.low < 0)
    assert share(hits) < 0.8
    assert share(negative) > 0.1


@pytest.mark.parametrize("count", [3, 5, 10])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_one_more_run_falls_into_its_interval(count: int, level: float) -> None:
    random = np.random.default_rng(7)
    hits = []
    for sample in random.normal(5.0, 2.0, (4000, count + 1)):
        found = statistics.prediction(list(sample[:-1]), level=level)
        assert found is not None
        hits.append(found.low <= sample[-1] <= found.high)
    assert share(hits) == pytest.approx(level, abs=error_of(level, len(hits)))


@pytest.mark.parametrize("count", [3, 5, 10])
def test_wilson_covers_a_share_on_average(count: int) -> None:
    """Its coverage swings about 0.95 with the true share (Agresti & Coull 1998); the mean over shares is exact here."""
    solved = np.arange(count + 1)
    bounds = [statistics.wilson(int(k), count) for k in solved]
    coverage = []
    for truth in np.linspace(0.005, 0.995, 199):
        covered = [low <= truth <= high for low, high, _ in bounds]
        coverage.append(float(stats.binom.pmf(solved, count, truth)[covered].sum()))
    assert np.mean(coverage) == pytest.approx(0.953, abs=0.012)
    assert min(coverage) > 0.82


def test_wilson_by_its_formula() -> None:
    z, count, solved = 1.959963984540054, 5, 4
    middle = (solved + z**2 / 2) / (count + z**2)
    half = z / (count + z**2) * math.sqrt(solved * (count - solved) / count + z**2 / 4)
    low, high, method = statistics.wilson(solved, count)
    assert (low, high, method) == (pytest.approx(middle - half), pytest.approx(middle + half), "Wilson")
    assert statistics.wilson(0, 5).low == 0
    assert statistics.wilson(5, 5).high == 1
    for wrong in ((6, 5), (-1, 5), (0, 0)):
        with pytest.raises(ValueError, match="must"):
            statistics.wilson(*wrong)


def test_intervals_worked_by_hand() -> None:
    values = [1.0, 2.0, 3.0]  # t(0.975, 2) = 4.3027, s = 1
    assert statistics.interval(values) == (pytest.approx(2 - 2.484138), pytest.approx(2 + 2.484138), "Student's t")
    found = statistics.interval([0.1, 1.0, 10.0], logarithmic=True)
    assert found is not None
    assert math.log10(found.low) == pytest.approx(-2.484138)
    assert math.log10(found.high) == pytest.approx(2.484138)
    predicted = statistics.prediction(values, digit=0.1)
    half = 4.30265 * math.sqrt(4 / 3) + 0.05
    assert predicted is not None
    assert (predicted.low, predicted.high) == (pytest.approx(2 - half, abs=1e-4), pytest.approx(2 + half, abs=1e-4))


def test_too_few_values_have_no_interval() -> None:
    assert statistics.interval([1.0]) is None
    assert statistics.interval([]) is None
    assert statistics.prediction([1.0, 2.0]) is None
    with pytest.raises(ValueError, match="no value"):
        statistics.centre([])


def test_equal_values_have_a_point_for_an_interval() -> None:
    for value in (0.1, 1e-7, 97.6):
        found = statistics.interval([value] * 5)
        assert found is not None
        assert found.low == found.high == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("values", [[0.0, 1.0], [-1.0, 1.0]])
def test_the_log_scale_is_for_positive_scores(values: list[float]) -> None:
    with pytest.raises(ValueError, match="has no logarithm"):
        statistics.interval(values, logarithmic=True)


@pytest.mark.parametrize("sizes", [(5, 5), (3, 4), (2, 6), (6, 7), (10, 10)])
@pytest.mark.parametrize("ties", [False, True])
def test_the_permutation_test_is_that_of_scipy(sizes: tuple[int, int], ties: bool) -> None:
    random = np.random.default_rng(sum(sizes))
    a, b = (random.normal(shift, 1, size).round(0 if ties else 9) for shift, size in zip((0, 0.8), sizes, strict=True))

    def difference(x: Array, y: Array, axis: int) -> Array:
        return np.mean(x, axis=axis) - np.mean(y, axis=axis)

    theirs = stats.permutation_test((a, b), difference, vectorized=True, n_resamples=np.inf).pvalue
    assert statistics.permutation(list(a), list(b)) == pytest.approx(float(theirs), rel=1e-12)


def test_many_runs_are_dealt_out_by_lot_and_the_same_each_time() -> None:
    random = np.random.default_rng(3)
    a, b = list(random.normal(0, 1, 14)), list(random.normal(0.7, 1, 13))
    p_value = statistics.permutation(a, b)
    assert p_value == statistics.permutation(a, b)
    assert p_value == pytest.approx(statistics.welch(a, b), abs=0.02)
    far = statistics.permutation(a, [value + 100 for value in b])
    assert far == pytest.approx(2 / statistics.MOST_PERMUTATIONS, rel=1e-4), "never zero"


def test_the_smallest_p_is_reached() -> None:
    for first, second in combinations(range(2, 7), 2):
        a, b = list(range(first)), list(range(100, 100 + second))
        assert statistics.permutation(a, b) == pytest.approx(statistics.smallest_permutation(first, second))
    assert statistics.permutation([1.0], [2.0]) == 1.0


def test_welch_is_that_of_scipy_and_bears_samples_without_spread() -> None:
    a, b = [1.0, 2.0, 3.0, 4.5], [2.5, 3.5, 9.0]
    assert statistics.welch(a, b) == pytest.approx(float(stats.ttest_ind(a, b, equal_var=False).pvalue))
    assert statistics.welch([1.0, 1.0], [1.0, 1.0]) == 1.0
    assert statistics.welch([1.0, 1.0], [2.0, 2.0]) == 0.0
    assert math.isnan(statistics.welch([1.0], [2.0, 3.0]))
    assert statistics.welch([0.1] * 3, [0.1, 0.1, 0.1 + 1e-17]) == 1.0
    assert math.isnan(statistics.permutation([], [1.0]))


def test_holm_by_hand() -> None:
    """Four p values: 4·0.005, 3·0.01, 2·0.03 and 1·0.04, which may not be below the one before it."""
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.6, 0.9]) == [1.0, 1.0]
    assert statistics.holm([]) == []


FIVE = {"rnn": [9.1, 9.2, 9.0, 9.3, 9.15], "gru": [8.2, 8.4, 8.3, 8.1, 8.5], "tcn": [8.25, 8.35, 8.15, 8.3, 8.2]}


def test_a_row_is_separated() -> None:
    found = statistics.separation(FIVE, lower_is_better=True)
    assert found is not None
    assert (found.best, found.inseparable, found.possible) == ("tcn", frozenset({"gru"}), True)
    assert found.adjusted["rnn"] == pytest.approx(3 * 2 / 252), "the smallest p of 5 + 5, times three pairs"
    upward = statistics.separation(FIVE, lower_is_better=False)
    assert upward is not None
    assert (upward.best, upward.inseparable) == ("rnn", frozenset())


@pytest.mark.parametrize(
    ("runs", "models", "possible"),
    [(2, 2, False), (3, 2, False), (4, 2, True), (4, 3, False), (5, 4, True), (5, 5, False), (6, 6, True)],
)
def test_whether_any_difference_could_pass(runs: int, models: int, possible: bool) -> None:
    samples = {f"model {place}": [100.0 * place + run for run in range(runs)] for place in range(models)}
    found = statistics.separation(samples, lower_is_better=True)
    assert found is not None
    assert found.possible is possible
    assert (found.inseparable == set(samples) - {"model 0"}) is not possible


def test_one_sample_is_no_row() -> None:
    assert statistics.separation({"gru": [1.0, 2.0], "tcn": []}, lower_is_better=True) is None


def one_wide(random: np.random.Generator) -> Array:
    """Two models of one mean, one of which is stuck."""
    return random.normal(size=(2, 5)) * np.array([[1.0], [0.01]])


def two_modes(random: np.random.Generator) -> Array:
    """Four models whose runs either learn or do not."""
    return np.where(random.random((4, 3)) < 0.5, 0.0, 10.0) + random.normal(size=(4, 3))


@pytest.mark.parametrize(
    ("alike", "alone", "rows", "rate"),
    [(one_wide, "permutation", 600, 0.08), (two_modes, "welch", 250, 0.07)],
    ids=["one stuck", "two modes"],
)
def test_models_that_are_alike_are_separated_in_5_of_100_rows_only_if_both_tests_must_find_it(
    alike: Callable[[np.random.Generator], Array], alone: statistics.Test, rows: int, rate: float
) -> None:
    random = np.random.default_rng(11)
    made = [{str(place): list(values) for place, values in enumerate(alike(random))} for _ in range(rows)]

    def separated(test: statistics.Test) -> float:
        found = [statistics.separation(row, True, test) for row in made]
        return share([one is not None and len(one.inseparable) < len(one.adjusted) for one in found])

    assert separated(alone) > rate
    assert separated("both") < 0.05 + error_of(0.05, rows, 3)
