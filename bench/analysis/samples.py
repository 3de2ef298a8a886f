"""What the scores of one cell say together: on which scale, their mean, its interval, and when they solved the task.

One rule decides the scale, by the metric and not by how the scores have fallen, because a method that is chosen by its
data does not cover what it promises. Errors (lower is better: losses, perplexities, bits) are positive and vary by
factors, so their mean is the geometric one and its interval is made on the log scale: it never has a negative bound,
and of a perplexity it is that of the mean loss. Where the spread is small against the mean, as with most losses, it
differs from the plain one by less than the printed digits. Scores of which more is better are averaged as they are.

Two scores have no interval: Student's t is 12.7 standard deviations of the mean wide then, and says less than the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ...tasks.base import Metric
from ..engine.evaluation import trained
from . import statistics
from .statistics import Interval

FEWEST = 3
"""The fewest scores that have an interval; two stand as they are."""
CUT = ", cut at what the score can be"
"""Behind the method of an interval of which a part was no possible score."""


class Summary(NamedTuple):
    """The mean of some scores, geometric or not, and its 95 % interval; None where there are fewer than three."""

    mean: float
    interval: Interval | None
    logarithmic: bool


def logarithmic(metric: Metric, values: Iterable[float]) -> bool:
    """Whether scores are averaged on the log scale: those of errors and likelihoods, if all of them are positive."""
    return metric.logarithmic and min(values, default=0.0) > 0


def summary(metric: Metric, values: Sequence[float]) -> Summary | None:
    """Mean and interval by the metric's rule; bounds stay within what the metric can reach. None without a score."""
    if not values:
        return None
    on_logs = logarithmic(metric, values)
    interval = statistics.interval(values, on_logs) if len(values) >= FEWEST else None
    if interval is not None:
        lowest, highest = bounds(metric, values)
        interval = cut(interval, lowest, highest)
    return Summary(statistics.centre(values, on_logs), interval, on_logs)


def summary_of_solved(metric: Metric, values: Sequence[float]) -> Summary | None:
    """The same of those scores that solve the task; no bound passes `solved_at`, because none of these scores can."""
    found = summary(metric, [value for value in values if metric.solved(value)])
    if found is None or found.interval is None or metric.solved_at is None:
        return found
    ends = (-math.inf, metric.solved_at) if metric.direction == "lower" else (metric.solved_at, math.inf)
    return found._replace(interval=cut(found.interval, *ends))


def cut(interval: Interval, lowest: float, highest: float) -> Interval:
    """The part of an interval that lies in lowest … highest; its method says so where it did not lie there wholly."""
    low, high, method = interval
    if lowest <= low and high <= highest:
        return interval
    said = method if method.endswith(CUT) else method + CUT
    return Interval(max(low, lowest), min(high, highest), said)


def bounds(metric: Metric, values: Sequence[float]) -> tuple[float, float]:
    """What scores of this metric cannot pass; no bounds where the scores pass them already."""
    lowest, highest = metric.bounds
    kept = lowest <= min(values) and max(values) <= highest
    return (lowest, highest) if kept else (-math.inf, math.inf)


def steps_to_solve(metric: Metric, row: Mapping[str, Any]) -> int | None:
    """Training steps after which the row's test score first reached `solved_at`, as its curve has them, an epoch
    each; None where it never did. Epoch 0 is not asked: nothing has been learned there.
    """
    for point in trained(row.get("curve", [])):
        score = point["test"].get(metric.name)
        if score is not None and metric.solved(score):
            return int(point["steps"])
    return None
