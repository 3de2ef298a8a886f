"""What the trials of each model have given on validation, and which of them wins.

Scores are of the task's first metric on validation, at the epoch that is best there; the test set is not looked at. Of
several tuning seeds the mean counts, of errors the geometric one. The best score wins, and of equals the earlier trial.
Where runs end as soon as their task is solved, a score below the threshold says when a run was stopped and no more: of
trials that solve the task with as many seeds, the one with the fewest steps wins. A trial that diverged is the worst.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ...tasks.base import Metric, Task
from ..analysis.grid import edited_of, of_device
from ..analysis.statistics import centre
from ..engine.evaluation import trained
from ..experiments import registry
from ..experiments.config import Experiment
from ..experiments.grid_cells import Cell
from ..rows.store import FINISHED, Row
from .study import trials_of


@dataclass(frozen=True)
class Trial:
    """A trial that has come to its end. score: on validation; NaN where a run of it diverged.

    valid: the mean in each metric. solved: how many of its runs solved the task on validation. steps: the mean of the
    steps after which they did, NaN where not all did. rows: one a tuning seed.
    """

    number: int
    settings: Mapping[str, Any]
    score: float
    valid: Mapping[str, float]
    solved: int
    steps: float
    rows: Sequence[Row]

    @property
    def diverged(self) -> bool:
        """Whether a run of it has no finite score."""
        return math.isnan(self.score)


@dataclass(frozen=True)
class Searched:
    """A model on a task, and the trials that have come to their end, in the order of the plan.

    label: what columns call the model: its name, where no task has two of that name.
    """

    cell: Cell
    task: Task
    trials: Sequence[Trial]
    label: str

    @property
    def metric(self) -> Metric:
        """By which trials are compared."""
        return self.task.metrics[0]

    @property
    def complete(self) -> bool:
        """Whether all trials of the plan have come to their end."""
        return self.cell.plan is not None and len(self.trials) == len(self.cell.plan.trials)

    @property
    def until_solved(self) -> bool:
        """Whether a run ends as soon as it has solved the task."""
        return self.cell.plan is not None and self.cell.plan.base.training.until_solved

    @property
    def winner(self) -> Trial | None:
        """The best trial; None while some are missing, and where all have diverged."""
        there = [trial for trial in self.trials if not trial.diverged]
        return min(there, key=self._rank) if self.complete and there else None

    @property
    def edges(self) -> list[str]:
        """The settings of the winner of which no trial had a value beyond, so that a better one may lie there.

        Of lists there is none, and nothing lies below a range that begins at 0.
        """
        if self.winner is None or self.cell.plan is None:
            return []
        found = []
        for one in self.cell.plan.dimensions:
            if one.values:
                continue
            values, chosen = [trial.settings[one.name] for trial in self.trials], self.winner.settings[one.name]
            if chosen == max(values) or (chosen == min(values) and one.low > 0):
                found.append(one.name)
        return found

    def _rank(self, trial: Trial) -> tuple[float, ...]:
        sign = 1 if self.metric.direction == "lower" else -1
        if not self.until_solved:
            return sign * trial.score, trial.number
        steps = trial.steps if not math.isnan(trial.steps) else 0.0  # of such trials the scores are compared
        return -trial.solved, steps, sign * trial.score, trial.number


def searched(experiment: Experiment, rows: Iterable[Row], device: str | None = None) -> list[Searched]:
    """What these rows say of each model on each task, in the order of the experiment.

    rows: of trials; what is edited by hand, failed, or of no trial of this study does not count. Raises UsageError
    where they come from a CPU and a GPU and `device` does not choose.
    """
    study = trials_of(experiment)
    newest, _ = of_device(study, rows, device)
    edited = edited_of(newest, experiment.folder)
    sound = {run_id: row for run_id, row in newest.items() if run_id not in edited and row["status"] in FINISHED}
    tasks: dict[str, Task] = {}
    found = []
    trial_of = {(cell.task, cell.model): cell for cell in study.cells}
    names = Counter((cell.task, registry.short(cell.runs[0].model.name)) for cell in experiment.cells)
    several = {name for (_, name), count in names.items() if count > 1}
    for cell in experiment.cells:
        if cell.plan is None:
            continue
        if cell.task not in tasks:
            tasks[cell.task] = cell.runs[0].make_task()
        task, trials = tasks[cell.task], []
        for number in cell.plan.trials:
            runs = trial_of[cell.task, f"{cell.model}, trial {number}"].runs
            if all(run.id in sound for run in runs):
                trials.append(_trial(number, cell.plan.settings(number), task, [sound[run.id] for run in runs]))
        name = registry.short(cell.runs[0].model.name)
        found.append(Searched(cell, task, trials, cell.model if name in several else name))
    return found


def by_task(found: Iterable[Searched]) -> dict[str, list[Searched]]:
    """The models of each task."""
    tasks: dict[str, list[Searched]] = {}
    for one in found:
        tasks.setdefault(one.cell.task, []).append(one)
    return tasks


def _trial(number: int, settings: Mapping[str, Any], task: Task, rows: Sequence[Row]) -> Trial:
    valid = {metric.name: _mean(metric, [_valid(row, metric) for row in rows]) for metric in task.metrics}
    steps = [_solved_after(task, row) for row in rows]
    solving = [count for count in steps if count is not None]
    mean = fmean(solving) if solving and len(solving) == len(rows) else math.nan
    return Trial(number, settings, valid[task.metrics[0].name], valid, len(solving), mean, rows)


def _mean(metric: Metric, scores: Sequence[float]) -> float:
    """NaN where one of them is."""
    if any(math.isnan(score) for score in scores):
        return math.nan
    return centre(scores, metric.logarithmic and min(scores) > 0)


def _valid(row: Row, metric: Metric) -> float:
    """The validation score of a row; NaN where the run diverged, or a score is not finite or not there."""
    if row["status"] != "done":
        return math.nan
    score = row["scores"]["best"]["valid"].get(metric.name)
    return math.nan if score is None else float(score)


def _solved_after(task: Task, row: Row) -> int | None:
    """The steps after which a run first solved the task on validation, by whichever metric says so."""
    for point in trained(row.get("curve") or []):
        for metric in task.metrics:
            score = point["valid"].get(metric.name)
            if score is not None and metric.solved(score):
                return int(point["steps"])
    return None
