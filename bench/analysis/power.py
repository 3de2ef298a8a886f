"""How often a table finds a difference that is there: its power, by simulation for its own models and seeds.

A row is drawn again and again, normal and with one standard deviation, in which one model lies some standard deviations
from the others; counted is how often the rule of the table finds the difference of that model from the reference (of a
row of planned contrasts), or from one of the others (of a row of all pairs). Draws are from named streams, and what has
been counted once is kept.

Of larger samples than six runs the permutation test is left out, because at such sizes it decides nothing that Welch's
test does not; where a test takes both, the number is then a little too high.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import stats

from .. import seeding
from .statistics import ALPHA, deals

Array = npt.NDArray[np.float64]
ROWS = 2000
"""The error of a share of so many rows is about a hundredth."""
SHIFTS = (1.0, 2.0, 3.0)
"""Standard deviations between the one model and the others."""
MOST_EXACT = 6
"""Runs of a model up to which the permutation test is simulated too."""
ALWAYS = 100
"""Runs of each model from which a whole standard deviation is found in 999 of 1,000 rows of ten models, or more."""


@lru_cache(maxsize=256)
def of_contrasts(reference: int, others: tuple[int, ...], shift: float) -> float:
    """The share of rows in which the contrast of the first of the others is found, 0 … 1.

    reference, others: runs of the reference and of each other model; shift: of the first of the others, in standard
    deviations. 0 where a sample is below two.

    >>> round(of_contrasts(5, (5, 5, 5), 2.0), 1)
    0.5
    """
    if min(reference, *others) < 2:
        return 0.0
    if min(reference, *others) >= ALWAYS and shift >= 1:
        return 1.0
    random = np.random.default_rng(seeding.key("power of contrasts", reference, *others))
    theirs = random.normal(size=(ROWS, reference))
    ours = [random.normal(size=(ROWS, count)) for count in others]
    ours[0] = ours[0] + shift
    adjusted = holm(np.stack([_welch(sample, theirs) for sample in ours], axis=1))
    return float(np.mean((adjusted[:, 0] <= ALPHA) & (_permutation(ours[0], theirs) <= ALPHA)))


@lru_cache(maxsize=256)
def of_pairs(counts: tuple[int, ...], shift: float) -> float:
    """The share of rows in which the first model is told apart from the second, of all pairs, both tests; 0 … 1.

    counts: runs of each model. The first lies `shift` standard deviations from all others.
    """
    if min(counts) < 2:
        return 0.0
    if min(counts) >= ALWAYS and shift >= 1:
        return 1.0
    random = np.random.default_rng(seeding.key("power of pairs", *counts))
    samples = [random.normal(size=(ROWS, count)) for count in counts]
    samples[0] = samples[0] + shift
    pairs = [*combinations(samples, 2)]
    p_values = np.stack([np.maximum(_welch(*pair), _permutation(*pair)) for pair in pairs], axis=1)
    return float(np.mean(holm(p_values)[:, 0] <= ALPHA))


def holm(p_values: Array) -> Array:
    """`statistics.holm` of many families at once, (R, m)."""
    order = np.argsort(p_values, axis=1)
    ranked = np.take_along_axis(p_values, order, axis=1) * np.arange(p_values.shape[1], 0, -1)
    adjusted = np.empty_like(p_values)
    np.put_along_axis(adjusted, order, np.minimum(1.0, np.maximum.accumulate(ranked, axis=1)), axis=1)
    return adjusted


def _welch(ours: Array, theirs: Array) -> Array:
    """Two-sided p of Welch's test, (R,), of (R, n) and (R, m)."""
    return np.asarray(stats.ttest_ind(ours, theirs, axis=1, equal_var=False).pvalue, float)


def _permutation(ours: Array, theirs: Array) -> Array:
    """Two-sided p of the permutation test, (R,); 0 for samples that it is not simulated for."""
    count = ours.shape[1]
    if max(count, theirs.shape[1]) > MOST_EXACT:
        return np.zeros(len(ours))
    values = np.concatenate([ours, theirs], axis=1)
    dealt = deals(values.shape[1], count)
    chosen = np.zeros((values.shape[1], len(dealt)))
    chosen[dealt.T, np.arange(len(dealt))] = 1.0
    sums = values @ chosen  # (R, deals): the sum that each deal gives the first sample
    seen = ours.sum(axis=1, keepdims=True)
    tails = np.minimum((sums <= seen + 1e-12).sum(axis=1), (sums >= seen - 1e-12).sum(axis=1))
    return np.minimum(1.0, 2 * tails / len(dealt))
