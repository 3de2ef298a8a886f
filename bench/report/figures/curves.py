"""Learning curves: the validation score against epochs and against time, with the band of the seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
from .learning_curves import AXES, MARKS, UNTRAINED, CellCurves, Curve, Mean, Point, TaskCurves, describe
from .panels import Evidence, Look, NothingToDraw

Against = Literal["epochs", "time"]

HEIGHT = 1.75
"""Inches: a panel with its title."""
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


@in_house_style
def draw(evidence: Evidence, against: Against) -> Figure:
    """A panel for each task that was trained for more than one epoch, a line with a band for each model.

    The score is the task's first metric. Raises NothingToDraw where no task has a second epoch.
    """
    described = describe(evidence)
    shown = [one for one in described if one.axes == AXES]
    if not shown:
        raise NothingToDraw("no run has a second epoch: there is no curve of validation scores")
    page = sheet(len(shown), HEIGHT)
    for axes, one in zip(page.axes, shown, strict=True):
        axes.set_title(one.panel.cells[0].task)
        _draw_panel(axes, one, evidence, against)
    labels = dict.fromkeys(label for one in shown for label in one.panel.labels)
    caption = [CAPTION, *_remarks([cell for one in shown for cell in one.cells])]
    if any(point.at[0] == 0 for one in shown for point in one.points):
        caption.append(UNTRAINED)
    if against == "time":
        caption.append(CLOCK)
    left_out = [one.panel.cells[0].task for one in described if one.epochs == 1]
    if left_out:
        caption.append(f"Not shown, because of one epoch: {', '.join(left_out)}.")
    return page.finish(
        [handle(label, evidence.looks[label]) for label in labels], [*caption, *origin(one.panel for one in shown)]
    )


def _draw_panel(axes: Axes, one: TaskCurves, evidence: Evidence, against: Against) -> None:
    draw_thresholds(axes, one.panel.thresholds)
    scores = [point.score for point in one.points]
    scale_scores(axes, [*scores, *one.panel.thresholds.values()], one.metric.logarithmic)
    unit, seconds = _unit(point.at[1] for point in one.points)
    for cell in one.cells:
        _draw_cell(axes, cell, evidence.looks[cell.label], None if against == "epochs" else seconds)
    axes.set_xlim(left=0)
    axes.set_xlabel("epochs" if against == "epochs" else unit)
    counts(axes.xaxis, integer=against == "epochs")
    axes.set_ylabel(wrapped(f"valid. {metric_title(one.metric)}", 20))


def _draw_cell(axes: Axes, cell: CellCurves, look: Look, seconds: float | None) -> None:
    """The mean and the band of a cell, and the runs that leave them. seconds: of the unit of time; None for epochs."""

    def places(points: Iterable[Point | Mean]) -> list[float]:
        return [point.at[0] if seconds is None else point.at[1] / seconds for point in points]

    style, mean = look.style, cell.mean
    if mean:
        x = places(mean)
        if len(mean[0].scores) > 1:
            low, high = [min(point.scores) for point in mean], [max(point.scores) for point in mean]
            axes.fill_between(x, low, high, color=style.colour, alpha=0.18, linewidth=0)
        every = max(1, len(mean) // MARKS)
        axes.plot(
            x, [point.score for point in mean], linestyle=style.line, markersize=3.5, markevery=every, **mark_of(look)
        )
    for _, diverged, points in cell.curves:
        beyond = [point for point in points if diverged or not mean or point.at[0] >= mean[-1].at[0]]
        if len(beyond) > 1 or (diverged and beyond):
            _thin(axes, places(beyond), beyond, look)
        if diverged and beyond:
            axes.plot(places(beyond[-1:]), [beyond[-1].score], color=style.colour, marker="x", markersize=5)


def _thin(axes: Axes, x: Sequence[float], points: Sequence[Point], look: Look) -> None:
    axes.plot(x, [point.score for point in points], color=look.style.colour, linestyle=look.style.line, linewidth=0.7)


def _unit(seconds: Iterable[float]) -> tuple[str, int]:
    """The unit of time in which the longest of these is read easily, and its seconds."""
    longest = max(seconds, default=0.0)
    return next((name, length) for name, least, length in UNITS if longest >= least)


def _remarks(cells: Sequence[CellCurves]) -> list[str]:
    """What the caption must say of these runs."""
    remarks = []
    diverged = [one.points for cell in cells for one in cell.curves if one.diverged]
    if any(diverged):
        remarks.append(APART)
    if not all(diverged):
        remarks.append(AT_ONCE.format(count=sum(not points for points in diverged)))
    if any(_goes_on(one, cell.mean) for cell in cells for one in cell.curves):
        remarks.append(ALONE)
    return remarks


def _goes_on(curve: Curve, mean: Sequence[Mean]) -> bool:
    """Whether a run went on for longer than the shortest of its cell."""
    common = mean[-1].at[0] if mean else 0
    return not curve.diverged and bool(curve.points) and curve.points[-1].at[0] > common
