"""Rows made again as a cell: is the mean of their scores that of the rows?

On another machine a single run may move by more than what lies between two models: the tolerance of one score is wide
because training multiplies roundings. The mean of a cell moves less. So where three rows of a cell or more were made
again and are not the same to the bit, the mean of what came out is held against the interval in which the mean of as
many further runs falls, by the rows themselves: mean ± t·s·√(1/n + 1/m), of n rows and m runs made again. What another
set of vector instructions changes in all runs alike, where it was measured, widens it as in `one_more_run`.

A tenth of what one score may differ by never counts: runs that all stay at a floor have hardly any spread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

from scipy import stats

from ...tasks.base import Metric
from ..analysis.cell_scores import scored
from ..analysis.grid import rule_of
from ..analysis.one_more_run import LEVEL, NORMAL, on_scale
from ..analysis.samples import FEWEST
from ..analysis.statistics import Interval
from ..experiments.config import Preset
from ..experiments.runs import Run
from ..rows.comparing import tolerance_of
from ..rows.newest import place_of
from ..rows.store import Row
from .set_tolerances import Between, key_of

SMALLEST = 0.1
"""What share of the tolerance of one score a difference of means may have, whatever the interval is."""


class Pair(NamedTuple):
    """A row, the same run made again, and the run."""

    here: Row
    row: Row
    run: Run


class CellMean(NamedTuple):
    """What became of the mean of one cell.

    label: of its runs, without the seed. runs: how many were made again. here: the mean of their scores, there: that of
    the rows, in the metric's unit (geometric ones where errors are averaged on the log scale). interval: for `here`.
    good: whether it lies within, or too near to the rows' mean to count.
    """

    label: str
    metric: Metric
    rule: str
    runs: int
    here: float
    there: float
    interval: Interval
    good: bool

    def __str__(self) -> str:
        low, high = self.interval.low, self.interval.high
        verdict = "holds" if self.good else "does not hold"
        unit = f" {self.metric.unit}" if self.metric.unit else ""
        return (
            f"cell {self.label}: its mean {verdict}: {self.here:.4g}{unit} over {self.runs} runs here, "
            f"{self.there:.4g} in the rows, whose spread allows {low:.4g} to {high:.4g}"
        )


def judged(pairs: Iterable[Pair], rows: Iterable[Row], preset: Preset, between: Between) -> list[CellMean]:
    """The verdict on each cell of which at least three rows were made again, with other bits.

    rows: all of the folder, whose scores give the spread. preset: of the experiment; it says which score counts.
    between: the standard deviations between sets of instructions (`set_tolerances.between_sets`).
    """
    made: dict[str, list[Pair]] = {}
    for pair in pairs:
        made.setdefault(_cell_of(pair.row), []).append(pair)
    samples: dict[str, list[Row]] = {}
    for row in rows:
        if row["status"] == "done" and _cell_of(row) in made:
            samples.setdefault(_cell_of(row), []).append(row)
    found = (_judged(some, samples.get(cell, []), preset, between) for cell, some in made.items())
    return [one for one in found if one is not None]


def _cell_of(row: Row) -> str:
    return f"{key_of(row)} {place_of(row)[1:]}"


def _judged(pairs: Sequence[Pair], sample: Sequence[Row], preset: Preset, between: Between) -> CellMean | None:
    run = pairs[0].run
    metric, rule = run.make_task().metrics[0], rule_of(run, preset)
    there, here = _scores(sample, metric, rule), _scores([pair.here for pair in pairs], metric, rule)
    again = _scores([pair.row for pair in pairs], metric, rule)
    if min(len(there), len(here)) < FEWEST or sorted(here) == sorted(again):
        return None
    logarithmic = metric.logarithmic and min(*there, *here) > 0
    ours, theirs = ([on_scale(value, logarithmic) for value in values] for values in (here, there))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(theirs) - 1)) * stdev(theirs)
    half *= math.sqrt(1 / len(theirs) + 1 / len(ours))
    if len({place_of(row).instructions for row in (pairs[0].here, pairs[0].row)}) > 1:
        half = math.hypot(half, NORMAL * math.sqrt(2) * between.get(key_of(sample[0]), {}).get(metric.name, 0.0))
    middle, mean = fmean(theirs), fmean(ours)
    most = SMALLEST * tolerance_of(metric).value
    near = abs(mean - middle) <= (math.log1p(most) if logarithmic else most)

    def back(value: float) -> float:
        return math.exp(value) if logarithmic else value

    method = "prediction interval for a mean, by Student's t" + (" on the log scale" if logarithmic else "")
    interval = Interval(back(middle - half), back(middle + half), method)
    label = str(run).removesuffix(f" seed {run.seed}")
    return CellMean(
        label, metric, rule, len(ours), back(mean), back(middle), interval, near or abs(mean - middle) <= half
    )


def _scores(rows: Iterable[Row], metric: Metric, rule: str) -> list[float]:
    return [score for row in rows if (score := scored(row, rule, metric)) is not None]


def record(cell: CellMean) -> Mapping[str, Any]:
    """A verdict for programs."""
    return {
        "cell": cell.label,
        "metric": cell.metric.name,
        "rule": cell.rule,
        "runs": cell.runs,
        "mean": cell.here,
        "mean_of_rows": cell.there,
        "low": cell.interval.low,
        "high": cell.interval.high,
        "good": cell.good,
    }
