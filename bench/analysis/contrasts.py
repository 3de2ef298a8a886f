"""Planned contrasts: each model of a row against the one that its experiment named before the first row.

All pairs of four models are six comparisons, and at five seeds a correction for six leaves little to be found. Who says
beforehand which model the others are compared with has three. So a contrast has the difference of the means on the
scale that they are on, its 95 % interval (Welch's), the p of Welch's t test, and that of the permutation test where all
deals can be looked at. Welch's p are corrected together over the row's contrasts (Holm 1979).

**A difference is found** where the corrected p is at most 0.05 and the permutation test's own is too. The second
condition refuses what Welch's test finds in samples of two modes: at three seeds in 13 of 100 rows of alike models.

On the log scale a difference is a ratio of geometric means, and stands as a percentage. Of a task that can be solved
it is a difference of shares of runs with Newcombe's interval (1998, Statistics in Medicine 17, method 10), and its p is
Fisher's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal, NamedTuple

from . import statistics
from .statistics import ALPHA, MOST_PERMUTATIONS, Interval

Kind = Literal["ratio", "difference", "share"]


class Contrast(NamedTuple):
    """A model against the reference of its row.

    kind: what `difference` and its interval are: a `ratio` of geometric means less 1, a `difference` of means in the
    metric's unit, or a `share` of runs that solve the task. Above 0 the model scores more than the reference, which is
    better or worse by the metric. interval: None below two runs. welch: None of shares and below two runs.
    permutation: of shares Fisher's; None where not all deals could be looked at. adjusted: Holm's p over the row's
    contrasts, of Welch's or of Fisher's. found: see this module.
    """

    model: str
    reference: str
    kind: Kind
    difference: float
    interval: Interval | None
    welch: float | None
    permutation: float | None
    adjusted: float
    found: bool


def contrasts(
    samples: Mapping[str, Sequence[float]], reference: str, logarithmic: bool = False, shares: bool = False
) -> list[Contrast]:
    """The contrasts of a row in the order of its models; `reference` is one of them.

    samples: model -> scores, or their logarithms where `logarithmic`, or where `shares` 1 for each run that solves the
    task and 0 for each that does not. Models without a score are passed over.
    """
    theirs = samples[reference]
    others = {model: scores for model, scores in samples.items() if model != reference and len(scores)}
    if not others or not len(theirs):
        return []
    exact = {model: _permutation(scores, theirs) for model, scores in others.items()}
    welch = {model: None if shares else _number(statistics.welch(scores, theirs)) for model, scores in others.items()}
    p_values = [exact[model] if shares else welch[model] for model in others]
    adjusted = statistics.holm([1.0 if one is None else one for one in p_values])
    found = []
    for (model, scores), corrected in zip(others.items(), adjusted, strict=True):
        difference, interval = _difference(scores, theirs, logarithmic, shares)
        kind: Kind = "share" if shares else "ratio" if logarithmic else "difference"
        is_found = corrected <= ALPHA and ((own := exact[model]) is None or own <= ALPHA)
        line = (difference, interval, welch[model], exact[model], corrected, is_found)
        found.append(Contrast(model, reference, kind, *line))
    return found


def share_difference(solved: int, count: int, other_solved: int, other_count: int) -> Interval:
    """The interval of the difference of two shares, first minus second (Newcombe 1998, method 10).

    >>> [round(bound, 3) for bound in share_difference(5, 5, 0, 5)[:2]]
    [0.386, 1.0]
    """
    one, other = statistics.wilson(solved, count), statistics.wilson(other_solved, other_count)
    first, second = solved / count, other_solved / other_count
    low = first - second - math.hypot(first - one.low, other.high - second)
    high = first - second + math.hypot(one.high - first, second - other.low)
    return Interval(max(-1.0, low), min(1.0, high), "Newcombe")


def _difference(
    ours: Sequence[float], theirs: Sequence[float], logarithmic: bool, shares: bool
) -> tuple[float, Interval | None]:
    if shares:
        return fmean(ours) - fmean(theirs), share_difference(int(sum(ours)), len(ours), int(sum(theirs)), len(theirs))
    difference, interval = fmean(ours) - fmean(theirs), statistics.welch_interval(ours, theirs)
    if not logarithmic:
        return difference, interval
    if interval is not None:
        low, high = (math.expm1(min(bound, 700.0)) for bound in interval[:2])
        interval = Interval(low, high, f"{interval.method} on the log scale")
    return math.expm1(min(difference, 700.0)), interval


def _permutation(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    if math.comb(len(ours) + len(theirs), len(ours)) > MOST_PERMUTATIONS:
        return None
    return statistics.permutation(ours, theirs)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
