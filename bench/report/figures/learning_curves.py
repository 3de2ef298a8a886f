"""Learning curves as data: what figures and page draw, each in its own way.

A task with a second epoch has its validation scores, in its first metric; any other one its training loss, which rows
have within epochs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ....tasks.base import Metric
from ...analysis.samples import logarithmic
from ...analysis.statistics import centre
from ...rows.store import Row
from .overview import thinned
from .panels import Evidence, Panel

AXES = ("epochs", "seconds")
"""What scores are drawn against."""
STEPS_AXIS = ("steps",)
"""What losses are drawn against: rows do not have the time of each."""
LOSS = Metric("training loss", "", "lower", math.nan)
MARKS = 6
"""About how many marks stand on a curve."""
UNTRAINED = "Epoch 0: before training."


class Point(NamedTuple):
    """A score or a loss, and where it lies on each axis: epoch (0: untrained) and seconds, or the step."""

    at: tuple[float, ...]
    score: float


class Curve(NamedTuple):
    """The points of a run, up to where its scores are not finite any more."""

    seed: int
    diverged: bool
    points: Sequence[Point]


class Mean(NamedTuple):
    """The mean of the runs of a cell at an epoch or step, where it lies on each axis, and the score of each run."""

    at: tuple[float, ...]
    score: float
    scores: Sequence[float]


class CellCurves(NamedTuple):
    """The curves of a cell's runs that are results, and the mean of those that did not diverge, as far as all go."""

    label: str
    curves: Sequence[Curve]
    mean: Sequence[Mean]


class TaskCurves(NamedTuple):
    """What is drawn of a task.

    axes: what it is drawn against; empty where no row has anything to draw. epochs: the last epoch of any run.
    on_logs: whether means are geometric.
    """

    panel: Panel
    metric: Metric
    axes: tuple[str, ...]
    epochs: int
    on_logs: bool
    cells: Sequence[CellCurves]

    @property
    def points(self) -> list[Point]:
        """All points of all runs."""
        return [point for cell in self.cells for curve in cell.curves for point in curve.points]


def describe(evidence: Evidence) -> list[TaskCurves]:
    """The curves of each task of an experiment, in its order."""
    found = []
    for panel in evidence.panels():
        scores = _runs(evidence, panel, scores_of)
        epochs = int(max((point.at[0] for of_cell in scores for one in of_cell for point in one.points), default=0))
        if epochs > 1:
            metric, runs = panel.entries[0].metric, scores
        else:
            metric, runs = LOSS, _runs(evidence, panel, _losses_of)
        values = [point.score for of_cell in runs for one in of_cell for point in one.points]
        on_logs = bool(values) and logarithmic(metric, values)
        cells = [
            CellCurves(label, curves, _mean([one.points for one in curves if one.points and not one.diverged], on_logs))
            for label, curves in zip(panel.labels, runs, strict=True)
        ]
        axes = (AXES if epochs > 1 else STEPS_AXIS) if values else ()
        found.append(TaskCurves(panel, metric, axes, epochs, on_logs, cells))
    return found


def _runs(evidence: Evidence, panel: Panel, points_in: Callable[[Row, str], list[Point]]) -> list[list[Curve]]:
    """The curves of each cell's results."""
    return [
        [
            Curve(run.seed, row["status"] == "diverged", points_in(row, entry.metric.name))
            for run, row in evidence.runs_of(cell)
            if row["status"] in ("done", "diverged")
        ]
        for cell, entry in zip(panel.cells, panel.entries, strict=True)
    ]


def scores_of(row: Row, metric: str) -> list[Point]:
    """The validation scores of a row, up to where they are not finite any more.

    That of the untrained network, epoch 0, is left out where it is not finite: the others are there all the same.
    """
    points = []
    for entry in row.get("curve", []):
        score = entry["valid"].get(metric)
        if score is not None and math.isfinite(score):
            points.append(Point((entry["epoch"], entry["seconds"]), score))
        elif entry["epoch"] > 0:
            break
    return points


def _losses_of(row: Row, _: str) -> list[Point]:
    return [Point((step,), loss) for step, loss in zip(*thinned(row.get("trace", [])), strict=True)]


def _mean(runs: Sequence[Sequence[Point]], on_logs: bool) -> list[Mean]:
    """The mean of the runs at each epoch or step that all of them have; of errors the geometric one."""
    if not runs:
        return []
    of_runs = [{point.at[0]: point for point in points} for points in runs]
    found = []
    for at in sorted(set.intersection(*map(set, of_runs))):
        column = [of_run[at] for of_run in of_runs]
        seconds = zip(*(point.at[1:] for point in column), strict=True)  # epochs or steps are the same for all
        scores = [point.score for point in column]
        found.append(Mean((at, *(math.fsum(time) / len(time) for time in seconds)), centre(scores, on_logs), scores))
    return found
