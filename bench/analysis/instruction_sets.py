"""What another set of vector instructions changes: the same run, made with two sets, gives two scores.

Training multiplies the rounding of the first steps, so a run with AVX-512 is not the run with AVX2; and where a rule
looks at single scores, as a schedule does, all runs of a set may move alike. Rows of both sets are kept; where a run
has both, their difference is measured and not assumed.

A score is y = m + class of the set + seed + rest. Over the n seeds that two sets share, the mean D of the differences
has the variance 2·b² + v/n, where b is the standard deviation between sets and v the variance of the differences; so
b² is estimated by (D² - v/n) / 2, or 0 where that is negative: the method of moments. Two sets give one degree of
freedom. This is a rough number, and without a second set there is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, variance

from scipy import stats

from ..rows.instructions import ORDER
from .grid import Entry
from .one_more_run import on_scale

FEWEST = 2
"""The fewest seeds with rows of both sets: of one difference there is no spread."""
CERTAIN = 0.99
"""How many of the differences of further runs a tolerance allows."""


def differences(first: Mapping[int, float], second: Mapping[int, float], logarithmic: bool) -> list[float]:
    """Second minus first for every seed that both have, on the scale of `logarithmic`; scores without one are left out.

    >>> differences({0: 8.0, 1: 8.5}, {0: 8.1, 2: 9.0}, logarithmic=False)
    [0.09999999999999964]
    """
    pairs = [
        (on_scale(first[seed], logarithmic), on_scale(second[seed], logarithmic)) for seed in first if seed in second
    ]
    return [two - one for one, two in pairs if math.isfinite(one) and math.isfinite(two)]


def pairs(entry: Entry) -> list[tuple[str, str]]:
    """The sets that share a seed, the narrower first, in the order of `ORDER`."""
    known = [name for name in ORDER if name in entry.by_instructions]
    named = [*known, *(name for name in entry.by_instructions if name not in ORDER)]
    return [
        (first, second)
        for place, first in enumerate(named)
        for second in named[place + 1 :]
        if entry.by_instructions[first].keys() & entry.by_instructions[second].keys()
    ]


def between(entry: Entry, seeds: Iterable[int] | None = None) -> float | None:
    """The standard deviation between sets of instructions, on the scale of the metric; None where it is not known.

    seeds: those that count, None for all. Of more than two sets it is from the mean over their pairs.
    """
    chosen = None if seeds is None else {*seeds}
    found = []
    for names in pairs(entry):
        first, second = (
            {seed: score for seed, score in entry.by_instructions[name].items() if chosen is None or seed in chosen}
            for name in names
        )
        if len(differing := differences(first, second, entry.metric.logarithmic)) >= FEWEST:
            found.append(component(differing))
    return math.sqrt(fmean(found)) if found else None


def component(differing: Sequence[float]) -> float:
    """The variance between two sets, b² of this module, from at least two differences.

    >>> round(component([0.2, 0.2, 0.2]), 6), component([-0.1, 0.1])
    (0.02, 0.0)
    """
    mean = fmean(differing)
    return max(0.0, (mean**2 - variance(differing) / len(differing)) / 2)


def largest_difference(differing: Sequence[float]) -> float:
    """How far two sets may be apart with one further run: t·(root mean square), of 99 in 100 such differences.

    The differences are taken to have mean zero, so that a shift of all runs widens it; n of them give n degrees of
    freedom.

    >>> round(largest_difference([0.1, -0.1, 0.1, -0.1]), 3)
    0.46
    """
    return float(stats.t.ppf((1 + CERTAIN) / 2, len(differing))) * math.sqrt(fmean(one**2 for one in differing))
