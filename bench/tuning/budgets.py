"""What fewer trials would have found: the expected best validation score against the number of trials.

Dodge, Gururangan, Card, Schwartz & Smith 2019, "Show your work: improved reporting of experimental results", EMNLP
(arXiv:1909.03004), equations 3 to 5: n trials are thought of as drawn with replacement from the N that there are, so
that the best of n is at most the i-th smallest with probability (i/N)^n. As the paper says, this is of this space and
this number of trials. The estimate is biased towards worse scores at n near N (Tang et al. 2020, arXiv:2004.13705).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from scipy.stats import rankdata

from .selection import Searched


class Expected(NamedTuple):
    """The best validation score that so many trials find: its expectation, and a standard deviation to either side.

    low and high stay within the scores that there are.
    """

    trials: int
    mean: float
    low: float
    high: float


def expected_best(scores: Sequence[float], trials: int) -> tuple[float, float]:
    """Mean and standard deviation of the largest of `trials` scores, drawn with replacement.

    >>> mean, deviation = expected_best([1.0, 3.0], 2)  # 1 once in four times
    >>> round(mean, 9), round(deviation**2, 9)
    (2.5, 0.75)
    """
    count, ordered = len(scores), sorted(scores)
    chances = [((place + 1) / count) ** trials - (place / count) ** trials for place in range(count)]
    mean = math.fsum(score * chance for score, chance in zip(ordered, chances, strict=True))
    variance = math.fsum((score - mean) ** 2 * chance for score, chance in zip(ordered, chances, strict=True))
    return mean, math.sqrt(variance)


def curve(found: Searched) -> list[Expected]:
    """The expected best score of 1, 2, … trials; empty while trials are missing, and where none has a score.

    Errors are averaged on the log scale. A trial that diverged has the worst score: that of the floor, or the worst of
    the others where that is worse.
    """
    scores = _scores(found)
    if not scores:
        return []
    on_logs = found.metric.logarithmic and min(scores) > 0
    sign = -1 if found.metric.direction == "lower" else 1
    values = [sign * (math.log(score) if on_logs else score) for score in scores]
    points = []
    for count in range(1, len(values) + 1):
        mean, deviation = expected_best(values, count)
        ends = (max(min(values), mean - deviation), min(max(values), mean + deviation))
        numbers = [math.exp(sign * value) if on_logs else sign * value for value in (mean, *ends)]
        points.append(Expected(count, numbers[0], min(numbers[1:]), max(numbers[1:])))
    return points


def ranks(of_task: Sequence[Searched]) -> dict[str, list[float]]:
    """Model -> its rank among the models of a task, 1 is the best, by the expected best of 1, 2, … trials.

    Equal ones share a rank. Empty where a model has no curve.
    """
    curves = [curve(one) for one in of_task]
    if not curves or not all(curves):
        return {}
    sign = 1 if of_task[0].metric.direction == "lower" else -1
    by_count = [rankdata([sign * point.mean for point in points]).tolist() for points in zip(*curves, strict=True)]
    return {one.label: [at[place] for at in by_count] for place, one in enumerate(of_task)}


class MeanRanks(NamedTuple):
    """Model -> its mean rank over some tasks with 1, 2, … trials; the tasks; and those that have other models."""

    of_model: Mapping[str, Sequence[float]]
    tasks: Sequence[str]
    left_out: Sequence[str]


def mean_ranks(tasks: Mapping[str, Sequence[Searched]]) -> MeanRanks:
    """The ranks over those tasks that have the same models: the set of models that most tasks have."""
    per_task = {task: found for task, of_task in tasks.items() if (found := ranks(of_task))}
    sets = Counter(frozenset(found) for found in per_task.values())
    if not sets:
        return MeanRanks({}, [], [])
    shared = max(sets, key=lambda models: (sets[models], len(models)))
    chosen = [task for task, found in per_task.items() if frozenset(found) == shared]
    means = {
        model: [fmean(at) for at in zip(*(per_task[task][model] for task in chosen), strict=True)]
        for model in per_task[chosen[0]]
    }
    return MeanRanks(means, chosen, [task for task in per_task if task not in chosen])


def _scores(found: Searched) -> list[float]:
    """The scores of all trials; nothing while some are missing, or where all have diverged."""
    finite = [trial.score for trial in found.trials if not trial.diverged]
    if not found.complete or not finite:
        return []
    worst = max(finite) if found.metric.direction == "lower" else min(finite)
    floor = found.metric.floor
    if math.isfinite(floor) and found.metric.better(worst, floor):
        worst = floor
    return [worst if trial.diverged else trial.score for trial in found.trials]
