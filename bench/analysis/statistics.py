"""Intervals of a sample of seeds, and tests between the models of a row; scipy does the arithmetic.

The seeds of two models are unpaired samples: a seed fixes the data and the order of batches, but no correlation of
scores follows from that, and a paired permutation test of five seeds cannot reach 0.05 (its smallest p is 0.0625).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from statistics import fmean
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from .. import seeding

ALPHA = 0.05
"""The error rate of a whole row: with this probability, or less, a row separates models that are alike."""

MOST_PERMUTATIONS = 200_000
"""The permutations of 10 + 10 runs are 184,756 and are all looked at; of more, so many are drawn."""

Test = Literal["both", "permutation", "welch"]
"""`both`: a difference counts where the permutation test and Welch's both find it, so p is the larger of the two.

Each alone errs too often on samples that this suite makes. Simulated, two or four alike models, 1000 rows each, 0.05
asked for: the permutation test separates 11 to 13 % of pairs of 4 or 5 seeds where one model has 100 times the other's
spread (a model that is stuck, beside one that is not); Welch's separates 13 % of rows of 3 seeds whose scores have two
modes. Both together stay at about 5 % or below, and at 5 + 5 find 76 % of differences of two standard deviations,
against 78 % of the permutation test alone.
"""


class Interval(NamedTuple):
    """An interval with its bounds, and the method that it was made by, in words."""

    low: float
    high: float
    method: str


def centre(values: Sequence[float], logarithmic: bool = False) -> float:
    """The mean of at least one value; the geometric mean where `logarithmic`.

    Raises ValueError where there is no value, or where a value has no logarithm.

    >>> centre([1.0, 3.0]), round(centre([1e-5, 1e-3], logarithmic=True), 9)
    (2.0, 0.0001)
    """
    if not values:
        raise ValueError("the mean of no value is not defined")
    return math.exp(fmean(_logarithms(values))) if logarithmic else fmean(values)


def interval(values: Sequence[float], logarithmic: bool = False, level: float = 0.95) -> Interval | None:
    """The interval of the mean by Student's t: mean ± t·s/√n with n-1 degrees of freedom (Student 1908, Biometrika 6).

    logarithmic: of the geometric mean, computed on the logarithms and taken back, so that no bound is below zero.
    None below two values: one seed says nothing of the spread. Where all values are equal, both bounds are that value.
    Raises ValueError where a value has no logarithm.
    """
    if len(values) < 2:
        return None
    sample = _logarithms(values) if logarithmic else [*values]
    half = _quantile(len(sample), level) * _deviation(sample) / math.sqrt(len(sample))
    low, high = fmean(sample) - half, fmean(sample) + half
    if logarithmic:
        return Interval(math.exp(low), _exponential(high), "Student's t on the log scale")
    return Interval(low, high, "Student's t")


def prediction(values: Sequence[float], digit: float = 0.0, level: float = 0.95) -> Interval | None:
    """Where one more run falls: mean ± t·s·√(1 + 1/n), n-1 degrees of freedom (Whitmore 1986, Am. Statistician 40).

    digit: the place value of the last digit that a published number is printed with (0.01 for 78.93); half of it
    widens the interval on both sides, because the number was rounded. None below three values.
    """
    if len(values) < 3:
        return None
    half = _quantile(len(values), level) * _deviation(values) * math.sqrt(1 + 1 / len(values)) + digit / 2
    return Interval(fmean(values) - half, fmean(values) + half, "prediction interval by Student's t")


def wilson(solved: int, count: int, level: float = 0.95) -> Interval:
    """The interval of a share, `solved` of `count` runs, in 0 … 1 (Wilson 1927, J. Am. Stat. Assoc. 22).

    Raises ValueError unless 0 ≤ solved ≤ count and count ≥ 1.

    >>> [round(bound, 2) for bound in wilson(5, 5)[:2]]
    [0.57, 1.0]
    """
    low, high = stats.binomtest(solved, count).proportion_ci(level, method="wilson")
    return Interval(float(low), float(high), "Wilson")


def welch(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p of Welch's t test: equal means, whatever the variances (Welch 1947, Biometrika 34).

    NaN where a sample has fewer than two values. Two samples without spread: 1 where they are equal, else 0.
    """
    if min(len(a), len(b)) < 2:
        return math.nan
    if _deviation(a) == _deviation(b) == 0:
        return float(a[0] == b[0])
    with warnings.catch_warnings():  # scipy warns where the spread is near the rounding error; p is right all the same
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ttest_ind(a, b, equal_var=False).pvalue)


def welch_interval(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval | None:
    """The interval of mean(a) - mean(b) by Welch's t, whatever the variances; None where a sample is below two values.

    Where neither sample has any spread both bounds are the difference.
    """
    if min(len(a), len(b)) < 2:
        return None
    if _deviation(a) == _deviation(b) == 0:
        return Interval(fmean(a) - fmean(b), fmean(a) - fmean(b), "Welch")
    with warnings.catch_warnings():  # as in `welch`
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval(level)
    return Interval(float(low), float(high), "Welch")


def permutation(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p of the permutation test of the difference of means: twice the smaller one-sided p, at most 1.

    Exact: all ways to deal the values out are looked at, as long as they are no more than MOST_PERMUTATIONS; else so
    many are drawn from a named stream, and the same call gives the same p. Null hypothesis: one distribution (Fisher
    1935; Ernst 2004, Statistical Science 19). NaN where a sample is empty.
    """
    if not len(a) or not len(b):
        return math.nan
    values = np.array([*a, *b], dtype=float)
    if values.min() == values.max():
        return 1.0
    dealt = deals(len(values), len(a))
    sums, seen = values[dealt].sum(axis=1), values[: len(a)].sum()  # equal sums are equal differences of the means
    rounding = 1e-13 * np.abs(values).sum()
    drawn = int(len(dealt) < math.comb(len(values), len(a)))  # the deal that was seen belongs to those drawn
    tails = (np.count_nonzero(sums <= seen + rounding), np.count_nonzero(sums >= seen - rounding))
    return float(min(1.0, 2 * (min(tails) + drawn) / (len(dealt) + drawn)))


@lru_cache(maxsize=4)
def deals(count: int, first: int) -> npt.NDArray[np.uint16]:
    """Which of `count` values the first sample gets, (deals, first): all ways, or as many as are allowed, drawn."""
    if math.comb(count, first) <= MOST_PERMUTATIONS:
        return np.array([*combinations(range(count), first)], dtype=np.uint16)
    drawn = np.random.default_rng(seeding.key("permutation", count, first)).random((MOST_PERMUTATIONS, count))
    return np.argpartition(drawn, first - 1, axis=1)[:, :first].astype(np.uint16)


def smallest_permutation(first: int, second: int) -> float:
    """The smallest two-sided p that `permutation` can give for samples of these sizes.

    >>> [round(smallest_permutation(n, n), 4) for n in (2, 3, 4, 5)]
    [0.3333, 0.1, 0.0286, 0.0079]
    """
    return min(1.0, 2 / math.comb(first + second, first))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values adjusted for their number, in their order (Holm 1979, Scand. J. Statistics 6).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


class Separation(NamedTuple):
    """What a row of models shows.

    best: the model with the best mean. inseparable: the models that the test does not separate from it. adjusted:
    for each other model the Holm-adjusted p of its difference from the best. possible: whether the samples are large
    enough for any difference in the row to pass; where they are not, no model should be marked as the best.
    """

    best: str
    inseparable: frozenset[str]
    adjusted: dict[str, float]
    possible: bool


def separation(samples: Mapping[str, Sequence[float]], lower_is_better: bool, test: Test = "both") -> Separation | None:
    """The best model of a row, and those that the test does not separate from it at ALPHA; None below two samples.

    samples: model -> scores, of one task and metric; models without a score are passed over. The p values of all
    pairs of the row are corrected together (Holm), because which model is the best is known only after the fact: with
    its own comparisons alone, 7 % of rows of four alike models of 10 seeds would be separated.
    """
    samples = {model: values for model, values in samples.items() if len(values)}
    if len(samples) < 2:
        return None
    means = {model: fmean(values) for model, values in samples.items()}
    best = (min if lower_is_better else max)(means, key=lambda model: means[model])
    pairs = [*combinations(samples, 2)]
    p_values = holm([_p_value(samples[first], samples[second], test) for first, second in pairs])
    smallest = holm([_smallest(len(samples[first]), len(samples[second]), test) for first, second in pairs])
    from_best = {
        first if second == best else second: p_value
        for (first, second), p_value in zip(pairs, p_values, strict=True)
        if best in (first, second)
    }
    return Separation(
        best,
        frozenset(model for model, p_value in from_best.items() if p_value > ALPHA),
        from_best,
        min(smallest) <= ALPHA,
    )


def _p_value(a: Sequence[float], b: Sequence[float], test: Test) -> float:
    p_values = [] if test == "welch" else [permutation(a, b)]
    p_values += [] if test == "permutation" else [welch(a, b)]
    return 1.0 if any(map(math.isnan, p_values)) else max(p_values)


def _smallest(first: int, second: int, test: Test) -> float:
    if test != "permutation" and min(first, second) < 2:
        return 1.0
    return 0.0 if test == "welch" else smallest_permutation(first, second)


def _quantile(count: int, level: float) -> float:
    return float(stats.t.ppf((1 + level) / 2, count - 1))


def _deviation(values: Sequence[float]) -> float:
    """The sample's standard deviation (n-1); exactly 0 where all values are equal."""
    return 0.0 if min(values) == max(values) else float(np.std(values, ddof=1))


def _logarithms(values: Sequence[float]) -> list[float]:
    if min(values) <= 0:
        raise ValueError(f"{min(values)} has no logarithm: the log scale is for positive scores")
    return [math.log(value) for value in values]


def _exponential(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf
