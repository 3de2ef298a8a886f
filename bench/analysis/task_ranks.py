"""The mean rank of each model over tasks, with an interval: which models are ahead, and how sure that is.

Demšar 2006, "Statistical comparisons of classifiers over multiple data sets" (JMLR 7), compares models by their mean
ranks over tasks. The interval is of the seeds alone, by the bootstrap within each model and task: it says how far the
ranks would move with other seeds on these tasks, and nothing of other tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from .aggregates import Array, bootstrap
from .grid import Entry
from .overall import Normalised, normalised
from .statistics import Interval

RESAMPLES = 2_000
SOLVED = 1.0
"""The normalised score that solves a task; a better one counts as this, as a run ends there or stops to matter."""


DIGITS = 9
"""Means that agree to so many decimals are equal: what lies beyond is rounding."""


class MeanRank(NamedTuple):
    """A model's mean rank over tasks, 1 is the best, and its 95 % interval."""

    model: str
    rank: float
    interval: Interval | None


class Ranks(NamedTuple):
    """The models, the best first; the tasks; what is left out, as `overall` has it."""

    models: Sequence[MeanRank]
    tasks: Sequence[str]
    left_out: Sequence[str]


def mean_ranks(entries: Sequence[Entry]) -> Ranks | None:
    """The mean ranks of the models of a table; None where it has no numbers over all tasks (`overall.normalised`)."""
    found = normalised(entries)
    if found is None:
        return None
    strata = [scores for model in found.models for scores in found.of(model)]  # model by model, task by task
    ranks = _of_resamples([np.asarray([scores], float) for scores in strata], found)[0]  # (models,)

    def of(place: int) -> Interval | None:
        def statistic(drawn: list[Array]) -> Array:
            return _of_resamples(drawn, found)[:, place]

        return bootstrap(statistic, strata, "mean rank", resamples=RESAMPLES)

    lines = [MeanRank(model, float(ranks[place]), of(place)) for place, model in enumerate(found.models)]
    return Ranks(sorted(lines, key=lambda line: line.rank), found.tasks, found.left_out)


def _of_resamples(drawn: Sequence[Array], found: Normalised) -> Array:
    """Mean ranks (R, models) of resamples, an array (R, n) of scores for each model and task."""
    means = np.stack([np.minimum(scores, SOLVED).mean(axis=1) for scores in drawn], axis=1)  # (R, models · tasks)
    by_task = means.reshape(len(means), len(found.models), len(found.tasks))
    ranks: Array = rankdata(-by_task.round(DIGITS), axis=1).mean(axis=2)
    return ranks
