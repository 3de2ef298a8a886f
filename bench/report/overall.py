"""An experiment over all its tasks: the interquartile mean of normalised scores, and who is better how often.

Every task counts with one metric: the one that says when it is solved, else its first. Scores are normalised between
the metric's floor (0) and a reference (1): `solved_at` where there is one, else the best model's mean on the task.
Perplexities are normalised by their logarithms. Of a run that diverged the score is the floor, or that of the worst run
of the task where it is below the floor; in comparisons it is worse than every other run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...tasks.base import Metric
from .. import aggregates
from ..statistics import Interval
from .grid import Entry, columns, floor_of

FEWEST_TASKS, FEWEST_MODELS = 3, 2


@dataclass(frozen=True)
class Line:
    """One model. runs: how many on each task. better: probability that a run of it is better than one of the first
    model; None for the first model itself. The intervals are None where a task has fewer than three runs.
    """

    model: str
    runs: tuple[int, ...]
    mean: float
    interval: Interval | None
    better: float | None
    better_interval: Interval | None


@dataclass(frozen=True)
class Overall:
    """The models over the tasks that all of them have runs of. left_out: models with too few tasks, and tasks."""

    tasks: tuple[str, ...]
    lines: tuple[Line, ...]
    left_out: tuple[str, ...]

    @property
    def first(self) -> str:
        """The model that the others are compared with."""
        return self.lines[0].model


def overall(entries: Sequence[Entry]) -> Overall | None:
    """The aggregates of a table; None below three tasks of two models."""
    column_of = columns(entries)
    grid: dict[str, dict[str, Entry]] = {}
    for entry in _one_metric(entries):
        if entry.finished:
            grid.setdefault(entry.task, {})[column_of[entry.task, entry.model]] = entry
    models = [
        model
        for model in dict.fromkeys(column_of.values())
        if sum(model in of_model for of_model in grid.values()) >= FEWEST_TASKS
    ]
    if len(models) < FEWEST_MODELS:
        return None
    scales = {task: scale for task, of_model in grid.items() if (scale := _scale(models, of_model))}
    if len(scales) < FEWEST_TASKS:
        return None
    samples = [_normalised(models, grid[task], *scale) for task, scale in scales.items()]
    left_out = [name for name in dict.fromkeys(column_of.values()) if name not in models]
    left_out += [task for task in dict.fromkeys(entry.task for entry in entries) if task not in scales]
    return Overall(tuple(scales), tuple(_line(model, models[0], samples) for model in models), tuple(left_out))


def _one_metric(entries: Sequence[Entry]) -> list[Entry]:
    """The entries in the metric that their task counts with."""
    metrics: dict[str, dict[str, bool]] = {}
    for entry in entries:
        metrics.setdefault(entry.task, {})[entry.metric.name] = entry.metric.solved_at is not None
    chosen = {task: next((name for name in names if names[name]), next(iter(names))) for task, names in metrics.items()}
    return [entry for entry in entries if entry.metric.name == chosen[entry.task]]


def _scale(models: Sequence[str], of_model: Mapping[str, Entry]) -> tuple[float, float] | None:
    """Floor and reference of a task, as `_value` gives them; None where a model lacks it or none is above the floor."""
    if any(model not in of_model for model in models):
        return None
    metric = next(iter(of_model.values())).metric
    reference = metric.solved_at
    if reference is None:
        means = [found.mean for model in models if (found := of_model[model].summary) is not None]
        if not means:
            return None
        reference = min(means) if metric.direction == "lower" else max(means)
    floor = floor_of(of_model.values())
    if not metric.better(reference, floor) or not math.isfinite(floor):
        return None
    return _value(metric, floor), _value(metric, reference)


def _value(metric: Metric, score: float) -> float:
    return math.log(score) if metric.scale == "exp" else score


def _normalised(
    models: Sequence[str], of_model: Mapping[str, Entry], floor: float, reference: float
) -> dict[str, list[float]]:
    """The normalised scores of a task's runs by model; NaN for those that diverged."""
    return {
        model: [aggregates.normalised(_value(entry.metric, score), floor, reference) for score in entry.values.values()]
        + [math.nan] * entry.diverged
        for model, entry in ((model, of_model[model]) for model in models)
    }


def _line(model: str, first: str, samples: Sequence[Mapping[str, Sequence[float]]]) -> Line:
    lowest = [min([0.0, *(x for scores in task.values() for x in scores if not math.isnan(x))]) for task in samples]
    scores = [_filled(task[model], worst) for task, worst in zip(samples, lowest, strict=True)]
    better, interval = None, None
    if model != first:
        ours, theirs = (
            [_filled(task[name], worst - 1) for task, worst in zip(samples, lowest, strict=True)]
            for name in (model, first)
        )
        better = aggregates.probability_of_improvement(ours, theirs)
        interval = aggregates.improvement_interval(ours, theirs, "improvement", model, first)
    every = [score for task in scores for score in task]
    return Line(
        model,
        tuple(map(len, scores)),
        float(aggregates.interquartile_mean(every)),
        aggregates.interquartile_mean_interval(scores, "interquartile mean", model),
        better,
        interval,
    )


def _filled(scores: Sequence[float], diverged: float) -> list[float]:
    return [diverged if math.isnan(score) else score for score in scores]
