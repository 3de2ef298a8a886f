"""Where one more run like ours would fall, and where a published number lies beside that.

A published number is one run of somebody else's. So the question is not where our mean lies but where one more run
would: mean ± t·s·√(1 + 1/n). What seeds do not show widens it, each in quadrature by 1.96·√2 standard deviations,
once for our sample and once for the published run: the draw of test examples, where each has its own
(`sampling_error`), and what another set of vector instructions changes in all runs alike (`between`).

**The best of several.** Whoever prints the best of k runs prints an extreme. The interval for it has the quantiles of
(best of k - mean of n) / s of n, simulated once for each n and k from a named stream.

Functions take samples of n runs, (..., n), on the scale on which verdicts are made: logarithms of errors, other scores
as they are. So many samples can be judged at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import stats

from .. import seeding
from .statistics import Interval

Array = npt.NDArray[np.float64]

FEWEST = 3
"""The fewest runs that a number is judged by: with two, the interval of one more run is 31 standard deviations wide."""
NORMAL = 1.959964
"""The 0.975 quantile of the normal distribution."""
LEVEL = 0.95
DRAWS = 200_000
"""Of the simulated quantiles: their error is below a hundredth of a standard deviation."""


def position(
    low: npt.ArrayLike,
    high: npt.ArrayLike,
    score: npt.ArrayLike,
    effect: float,
    margin: float,
    half_width: npt.ArrayLike | None = None,
) -> npt.NDArray[np.str_]:
    """Where a published score lies: `below` or `above` all that matters, `inside`, or `unclear`; () or (R,).

    low, high: the bounds of the interval for one more run, (R,). effect: the smallest effect of interest. margin: how
    small half of the interval must be for `inside`; half_width is that half where the bounds have more in them, such as
    a rounding. All are on one scale.

    >>> [str(position(8.0, 8.2, score, effect=0.1, margin=0.2)) for score in (7.8, 7.95, 8.1, 8.4)]
    ['below', 'inside', 'inside', 'above']
    >>> str(position(7.0, 9.2, 8.1, effect=0.1, margin=0.2))
    'unclear'
    """
    low, high, score = np.asarray(low, float), np.asarray(high, float), np.asarray(score, float)
    half = (high - low) / 2 if half_width is None else np.asarray(half_width, float)
    return np.select(
        [score < low - effect, score > high + effect, half < margin], ["below", "above", "inside"], "unclear"
    )


def bounds(samples: npt.ArrayLike, best_of: int = 1, lower_is_better: bool = True) -> tuple[Array, Array]:
    """The 95 % interval for the best of so many further runs, low and high, each (...), of samples (..., n), n > 1."""
    values = np.asarray(samples, float)
    mean, spread = values.mean(axis=-1), values.std(axis=-1, ddof=1)
    spread = np.where(np.ptp(values, axis=-1) == 0, 0.0, spread)  # no rounding of equal values
    below, above = _quantiles(values.shape[-1], best_of)
    if best_of > 1 and lower_is_better:
        below, above = -above, -below
    return mean + below * spread, mean + above * spread


@lru_cache(maxsize=256)
def _quantiles(count: int, best_of: int) -> tuple[float, float]:
    """The 0.025 and 0.975 quantiles of (largest of `best_of` runs - mean of `count`) / their standard deviation."""
    if best_of == 1:
        half = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * math.sqrt(1 + 1 / count)
        return -half, half
    random = np.random.default_rng(seeding.key("best of", count, best_of))
    # mean and standard deviation of a normal sample are independent, and so drawn at once
    means = random.normal(size=DRAWS) / math.sqrt(count)
    spreads = np.sqrt(random.chisquare(count - 1, DRAWS) / (count - 1))
    best = stats.norm.ppf(random.random(DRAWS) ** (1 / best_of))
    low, high = np.quantile((best - means) / spreads, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def one_more_run(
    values: Sequence[float],
    digit: float = 0.0,
    logarithmic: bool = False,
    sampling_error: float = 0.0,
    between: float = 0.0,
    best_of: int = 1,
    lower_is_better: bool = True,
) -> Interval | None:
    """Where a published run of the same kind would fall, 95 %, in the metric's unit; None below three values.

    digit: the place value of its last printed digit; half of it widens the interval on both sides, because the number
    was rounded. sampling_error: in the metric's unit; between: on the scale of `logarithmic`; both standard deviations,
    see this module. best_of: of how many runs the published one is the best. Raises ValueError where `logarithmic` and
    a value is not positive.
    """
    if len(values) < FEWEST:
        return None
    if logarithmic and min(values) <= 0:
        raise ValueError("a score of 0 has no logarithm")
    sample = np.log(values) if logarithmic else np.asarray(values, float)
    middle = float(sample.mean())
    low, high = (float(bound) for bound in bounds(sample, best_of, lower_is_better))
    drawn = sampling_error / (math.exp(middle) if logarithmic else 1.0)
    extra = NORMAL * math.sqrt(2) * math.hypot(drawn, between)
    if extra:
        low, high = middle - _wider(middle - low, extra), middle + _wider(high - middle, extra)
    method = f"prediction interval by Student's t{'' if best_of == 1 else f', the best of {best_of}'}"
    if not logarithmic:
        return Interval(low - digit / 2, high + digit / 2, method)
    low, high = math.exp(low), math.exp(min(high, 700.0))
    return Interval(max(0.0, low - digit / 2), high + digit / 2, f"{method} on the log scale")


def _wider(length: float, extra: float) -> float:
    """A distance from the middle to a bound, widened in quadrature; a bound beyond the middle keeps its sign."""
    return math.hypot(length, extra) if length >= 0 else length + extra


def half_width(interval: Interval, logarithmic: bool) -> float:
    """Half of an interval on the scale of `logarithmic`; infinite where that scale has no lower bound."""
    if not logarithmic:
        return (interval.high - interval.low) / 2
    return math.log(interval.high / interval.low) / 2 if interval.low > 0 else math.inf


def on_scale(value: float, logarithmic: bool) -> float:
    """A score on the scale of `logarithmic`."""
    if not logarithmic:
        return value
    return math.log(value) if value > 0 else -math.inf


def size_on_scale(size: float, logarithmic: bool) -> float:
    """A threshold as data files have it: where `logarithmic` a fraction of the score, else in the metric's unit."""
    return math.log1p(size) if logarithmic else size


def size_text(size: float, logarithmic: bool, decimals: int | None = None) -> str:
    """A distance on the scale of `logarithmic` in words: in percent, as a factor where it is large, or in the unit.

    >>> size_text(math.log(1.02), True), size_text(math.log(21), True), size_text(0.5, False, 2)
    ('2 %', 'a factor of 21', '0.50')
    """
    if not logarithmic:
        return f"{size:.{2 if decimals is None else decimals}f}"
    if size >= math.log(2):
        return f"a factor of {math.exp(min(size, 700.0)):.3g}"
    return f"{100 * math.expm1(size):.3g} %"


def any_false(count: int) -> float:
    """The probability that one of `count` independent intervals of 95 % misses by luck.

    >>> round(any_false(37), 2)
    0.85
    """
    return 1 - LEVEL**count
