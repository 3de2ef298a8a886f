"""Learning curves: the validation score against epochs and against time, with the band of the seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...analysis.samples import logarithmic
from ...analysis.statistics import centre
from ...rows.store import Row
from ..tables.cells import metric_title
from .layout import (
    counts,
    draw_thresholds,
    handle,
    in_house_style,
    mark_of,
    origin,
    scale_scores,
    sheet,
    wrapped,
)
from .panels import Evidence, Look, NothingToDraw, Panel

Against = Literal["epochs", "time"]

HEIGHT = 1.75
"""Inches: a panel with its title."""
MARKS = 6
"""About how many marks stand on a curve."""
UNITS = (("hours", 3 * 3600, 3600), ("minutes", 600, 60), ("seconds", 0, 1))
"""Unit of time, from how many seconds on it is used, and its seconds."""
CAPTION = (
    "Score on the validation split after each epoch. Line: mean of the seeds (of errors the geometric "
    "mean); band: minimum to maximum."
)
APART = "Thin line with a cross: a run that diverged."
AT_ONCE = "Diverged before there was a score: {count}."
ALONE = "Other thin lines: runs that went on for longer than the shortest."
CLOCK = "Time: training and evaluation, as the rows have it."
UNTRAINED = "Epoch 0: before training."


class Point(NamedTuple):
    """A validation score after an epoch (of the untrained network: epoch 0), and the seconds until then."""

    epoch: int
    seconds: float
    score: float


class Curves(NamedTuple):
    """The runs of a cell: those that ended well, and those that diverged."""

    done: list[list[Point]]
    diverged: list[list[Point]]

    @property
    def common(self) -> list[int]:
        """The epochs that all runs that ended well have in common. Rows made before curves had an epoch 0 lack it."""
        shared = [{point.epoch for point in points} for points in self.done]
        return sorted(set.intersection(*shared)) if shared else []


@in_house_style
def draw(evidence: Evidence, against: Against) -> Figure:
    """A panel for each task that was trained for more than one epoch, a line with a band for each model.

    The score is the task's first metric. Raises NothingToDraw where no task has a second epoch.
    """
    panels = [
        (panel, [_curves(evidence, panel, place) for place in range(len(panel.cells))]) for panel in evidence.panels()
    ]
    shown = [(panel, curves) for panel, curves in panels if any(_longest(one) > 1 for one in curves)]
    if not shown:
        raise NothingToDraw("no run has a second epoch: there is no curve of validation scores")
    page = sheet(len(shown), HEIGHT)
    for axes, (panel, curves) in zip(page.axes, shown, strict=True):
        axes.set_title(panel.cells[0].task)
        _draw_panel(axes, panel, curves, evidence, against)
    labels = dict.fromkeys(label for panel, _ in shown for label in panel.labels)
    drawn = [one for _, curves in shown for one in curves]
    caption = [CAPTION, *_remarks(drawn)]
    if any(point.epoch == 0 for one in drawn for points in (*one.done, *one.diverged) for point in points):
        caption.append(UNTRAINED)
    if against == "time":
        caption.append(CLOCK)
    left_out = [panel.cells[0].task for panel, curves in panels if max(map(_longest, curves)) == 1]
    if left_out:
        caption.append(f"Not shown, because of one epoch: {', '.join(left_out)}.")
    return page.finish(
        [handle(label, evidence.looks[label]) for label in labels], [*caption, *origin(panel for panel, _ in shown)]
    )


def _curves(evidence: Evidence, panel: Panel, place: int) -> Curves:
    name = panel.entries[place].metric.name
    curves = Curves([], [])
    for _, row in evidence.runs_of(panel.cells[place]):
        if row["status"] in ("done", "diverged"):
            getattr(curves, row["status"]).append(points_of(row, name))
    return curves


def points_of(row: Row, metric: str) -> list[Point]:
    """The validation scores of a row, up to where they are not finite any more.

    That of the untrained network, epoch 0, is left out where it is not finite: the others are there all the same.
    """
    points = []
    for entry in row.get("curve", []):
        score = entry["valid"].get(metric)
        if score is not None and math.isfinite(score):
            points.append(Point(entry["epoch"], entry["seconds"], score))
        elif entry["epoch"] > 0:
            break
    return points


def _longest(curves: Curves) -> int:
    """The last epoch that any of the runs has come to."""
    return max((points[-1].epoch for points in (*curves.done, *curves.diverged) if points), default=0)


def _draw_panel(axes: Axes, panel: Panel, curves: Sequence[Curves], evidence: Evidence, against: Against) -> None:
    metric = panel.entries[0].metric
    everything = [point for one in curves for points in (*one.done, *one.diverged) for point in points]
    draw_thresholds(axes, panel.thresholds)
    scores = [point.score for point in everything]
    scale_scores(axes, [*scores, *panel.thresholds.values()], metric.logarithmic)
    on_logs = logarithmic(metric, scores)
    unit, seconds = _unit(point.seconds for point in everything)
    for label, one in zip(panel.labels, curves, strict=True):
        _draw_curves(axes, one, evidence.looks[label], on_logs, None if against == "epochs" else seconds)
    axes.set_xlim(left=0)
    axes.set_xlabel("epochs" if against == "epochs" else unit)
    counts(axes.xaxis, integer=against == "epochs")
    axes.set_ylabel(wrapped(f"valid. {metric_title(metric)}", 20))


def _draw_curves(axes: Axes, curves: Curves, look: Look, on_logs: bool, seconds: float | None) -> None:
    """The mean and the band of a cell, and the runs that leave them. seconds: of the unit of time; None for epochs."""

    def places(points: Iterable[Point]) -> list[float]:
        return [point.epoch if seconds is None else point.seconds / seconds for point in points]

    style, common = look.style, curves.common
    if common:
        by_epoch = [{point.epoch: point for point in points} for points in curves.done]
        columns = [[of_run[epoch] for of_run in by_epoch] for epoch in common]  # the runs, epoch by epoch
        x = [math.fsum(places(column)) / len(column) for column in columns]
        scores = [[point.score for point in column] for column in columns]
        y = [centre(column, on_logs) for column in scores]
        if len(curves.done) > 1:
            low, high = [min(column) for column in scores], [max(column) for column in scores]
            axes.fill_between(x, low, high, color=style.colour, alpha=0.18, linewidth=0)
        every = max(1, len(common) // MARKS)
        axes.plot(x, y, linestyle=style.line, markersize=3.5, markevery=every, **mark_of(look))
    for points in curves.done:
        beyond = [point for point in points if not common or point.epoch >= common[-1]]
        if len(beyond) > 1:
            _thin(axes, places(beyond), beyond, look)
    for points in curves.diverged:
        if points:
            _thin(axes, places(points), points, look)
            axes.plot(places(points[-1:]), [points[-1].score], color=style.colour, marker="x", markersize=5)


def _thin(axes: Axes, x: Sequence[float], points: Sequence[Point], look: Look) -> None:
    axes.plot(x, [point.score for point in points], color=look.style.colour, linestyle=look.style.line, linewidth=0.7)


def _unit(seconds: Iterable[float]) -> tuple[str, int]:
    """The unit of time in which the longest of these is read easily, and its seconds."""
    longest = max(seconds, default=0.0)
    return next((name, length) for name, least, length in UNITS if longest >= least)


def _remarks(curves: Sequence[Curves]) -> list[str]:
    """What the caption must say of these runs."""
    remarks = []
    diverged = [points for one in curves for points in one.diverged]
    if any(diverged):
        remarks.append(APART)
    if not all(diverged):
        remarks.append(AT_ONCE.format(count=sum(not points for points in diverged)))
    if any(points[-1].epoch > max(one.common, default=0) for one in curves for points in one.done if points):
        remarks.append(ALONE)
    return remarks
