"""An experiment over all its tasks: the interquartile mean of normalised scores, and who is better how often.

Every task counts with one metric: the one that says when it is solved, else its first. Scores are normalised between
the metric's floor (0) and a reference (1): `solved_at` where there is one, else the best model's mean on the task.
Perplexities are normalised by their logarithms. Of a run that diverged the score is the floor, or that of the worst run
of the task where it is below the floor; in comparisons it is worse than every other run.

Below five runs of a model on a task there are no such numbers: the interquartile mean of two runs is their mean, and it
hides that one of two solved a task and the other did not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from ...tasks.base import Metric
from . import aggregates
from .grid import Entry, columns, floor_of
from .statistics import Interval

FEWEST_TASKS, FEWEST_MODELS, FEWEST_RUNS = 3, 2, 5


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


@dataclass(frozen=True)
class Normalised:
    """The normalised scores of the models over the tasks that all of them have runs of.

    scores: for each task model -> a score a run, NaN for those that diverged; `of` fills these in. left_out: models
    with too few tasks, and tasks.
    """

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    left_out: tuple[str, ...]
    scores: tuple[Mapping[str, Sequence[float]], ...]

    def of(self, model: str, below: float = 0.0) -> list[list[float]]:
        """A list for each task with the scores of the model's runs.

        Of a run that diverged it is the floor, or the score of the worst run of the task where that is lower, less
        `below`.
        """
        return [
            [worst - below if math.isnan(score) else score for score in of_model[model]]
            for of_model, worst in zip(self.scores, self._worst, strict=True)
        ]

    @cached_property
    def _worst(self) -> list[float]:
        """For each task the floor, or the lowest score of all runs where that is below it."""
        every = ([score for scores in of_model.values() for score in scores] for of_model in self.scores)
        return [min([0.0, *(score for score in scores if not math.isnan(score))]) for scores in every]


def normalised(entries: Sequence[Entry]) -> Normalised | None:
    """What is compared over the tasks of a table; None below three tasks of two models, or five runs of one of them."""
    found = _comparable(entries)
    return found if found is not None and _fewest(found) >= FEWEST_RUNS else None


def too_few_runs(entries: Sequence[Entry]) -> int | None:
    """The fewest runs of a model on a task, where these alone forbid numbers over all tasks; else None."""
    found = _comparable(entries)
    return None if found is None or (fewest := _fewest(found)) >= FEWEST_RUNS else fewest


def _fewest(found: Normalised) -> int:
    return min(len(scores) for of_model in found.scores for scores in of_model.values())


def _comparable(entries: Sequence[Entry]) -> Normalised | None:
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
    scores = tuple(_normalised(models, grid[task], *scale) for task, scale in scales.items())
    left_out = [name for name in dict.fromkeys(column_of.values()) if name not in models]
    left_out += [task for task in dict.fromkeys(entry.task for entry in entries) if task not in scales]
    return Normalised(tuple(scales), tuple(models), tuple(left_out), scores)


def overall(entries: Sequence[Entry]) -> Overall | None:
    """The aggregates of a table; None where `normalised` has none."""
    found = normalised(entries)
    if found is None:
        return None
    return Overall(found.tasks, tuple(_line(model, found) for model in found.models), found.left_out)


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


def _line(model: str, found: Normalised) -> Line:
    scores, first = found.of(model), found.models[0]
    better, interval = None, None
    if model != first:
        # in comparisons a run that diverged loses to every other run, also to one at the floor
        ours, theirs = found.of(model, below=1.0), found.of(first, below=1.0)
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
