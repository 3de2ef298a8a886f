"""Scores against what they cost: a run's time, with the Pareto front marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullFormatter

from ...analysis.grid import Entry, floor_of, seconds_worked
from ..tables.cells import metric_title
from .layout import draw_thresholds, handle, in_house_style, mark_of, origin, scale_scores, sheet, wrapped
from .panels import Evidence, NothingToDraw, Panel
from .scores import CUT, FAR, HEIGHT, draw_bar, limits, near_thresholds

HOUR, LONG = 3600.0, 600.0
"""Seconds: an hour, and from which longest run on a panel counts in hours."""
FRONT: dict[str, Any] = {"color": "#888888", "linewidth": 1.0, "linestyle": "solid"}
RING: dict[str, Any] = {"color": "#888888", "marker": "o", "markersize": 9, "fillstyle": "none", "linestyle": "none"}
CAPTION = (
    "Large marks: mean of the test scores (of errors the geometric mean) with its 95 % interval (Student's t), at the "
    "median time; small marks: the runs."
)
OF_SOLVED = "Of a task that counts as solved from some score on, the median of all runs, without an interval."
ON_FRONT = (
    "Ringed: better than the floor with all of the interval, and no other such model has both a better score and a "
    "shorter run (Pareto front). Nothing tests these differences here."
)
SEVERAL = "Runs of one panel were made with different processors or vector instructions: their times do not compare."
CIRCUMSTANCES = ("processor", "cpu", "instructions", "threads")
"""What of a row's provenance a time depends on."""


class Point(NamedTuple):
    """A model on a panel: the median seconds of a run, and the score, both as its large mark has them.

    able: whether it is better than the floor, with all of its interval where it has one.
    """

    time: float
    score: float
    able: bool = True
    label: str = ""


@in_house_style
def draw(evidence: Evidence, explained: bool = True) -> Figure:
    """A panel for each task: its first metric against the time of a run, of the processor on a CPU, else of the clock.

    explained: False leaves the caption out, for where `how_to_read` stands beside the figure.
    Raises NothingToDraw where no task has two models with a score.
    """
    panels = _shown(evidence)
    page = sheet(len(panels), HEIGHT)
    drawn = [
        remark for axes, panel in zip(page.axes, panels, strict=True) for remark in _draw_panel(axes, panel, evidence)
    ]
    labels = dict.fromkeys(label for panel in panels for label in panel.labels)
    handles = [handle(label, evidence.looks[label], line=False) for label in labels]
    handles.append(Line2D([], [], label="Pareto front", **{**RING, "linestyle": "solid", "markersize": 7}))
    caption = [*dict.fromkeys([*how_to_read(evidence), *drawn]), *origin(panels)] if explained else []
    return page.finish(handles, caption)


def how_to_read(evidence: Evidence) -> list[str]:
    """The sentences of the caption on what the marks and rings mean. Raises NothingToDraw as `draw` does."""
    panels = _shown(evidence)
    solvable = any(panel.entries[0].metric.solved_at is not None for panel in panels)
    several = any(_several(evidence, panel) for panel in panels)
    return [CAPTION, *([OF_SOLVED] if solvable else []), ON_FRONT, *([SEVERAL] if several else [])]


def said(evidence: Evidence) -> str:
    """The figure in words: who is on the front of each task. Raises NothingToDraw as `draw` does."""
    fronts = []
    for panel in _shown(evidence):
        points, metric = _points(evidence, panel), panel.entries[0].metric
        names = ", ".join(point.label for point in pareto_front(points, metric.direction)) or "nobody"
        fronts.append(f"{panel.cells[0].task}: {names}")
    return f"Score against the time of a run. On the Pareto front, the shortest runs first: {'; '.join(fronts)}."


def _shown(evidence: Evidence) -> list[Panel]:
    panels = [panel for panel in evidence.panels() if sum(bool(entry.done) for entry in panel.entries) > 1]
    if not panels:
        raise NothingToDraw("no task has two models with a score")
    return panels


def pareto_front(points: Sequence[Point], direction: str) -> list[Point]:
    """Of the able points those that no other beats, from the shortest run to the longest.

    A point is beaten where another is at least as good and takes no longer, and is ahead in one of the two.
    """
    sign = 1.0 if direction == "lower" else -1.0
    front: list[Point] = []
    for point in sorted((one for one in points if one.able), key=lambda one: (one.time, sign * one.score)):
        if not front or sign * point.score < sign * front[-1].score:
            front.append(point)
    return front


def _draw_panel(axes: Axes, panel: Panel, evidence: Evidence) -> list[str]:
    """Draws runs, models and the front; what the caption must say of the axis."""
    metric = panel.entries[0].metric
    points = _points(evidence, panel)
    times = [seconds for place in range(len(panel.entries)) for seconds in _times(evidence, panel, place).values()]
    unit = HOUR if max(times) >= LONG else 1.0
    axes.set_title(panel.cells[0].task)
    axes.set_ylabel(wrapped(f"test {metric_title(metric)}", 20))
    clock = "processor " if evidence.device == "cpu" else ""
    axes.set_xlabel(f"{clock}{'seconds' if unit == 1 else 'hours'} per run")
    shown = [score for entry in panel.entries for score in entry.values.values()]
    is_logarithmic = scale_scores(axes, [*shown, *panel.thresholds.values()], metric.logarithmic)
    near = near_thresholds(panel.thresholds, shown, is_logarithmic)
    bounds = [one.interval[:2] for entry in panel.entries if (one := _estimate(entry)) and one.interval]
    axes.set_ylim(limits([*shown, *near.values()], bounds, is_logarithmic))
    draw_thresholds(axes, near)
    remarks = [FAR] if near != panel.thresholds else []
    for place, (entry, label) in enumerate(zip(panel.entries, panel.labels, strict=True)):
        look = mark_of(evidence.looks[label]) | {"linestyle": "none", "clip_on": False}
        for seed, seconds in _times(evidence, panel, place).items():
            axes.plot([seconds / unit], [entry.values[seed]], markersize=2.4, alpha=0.6, **look)
        for point in (point for point in points if point.label == label):
            one = _estimate(entry)
            if one is not None and one.interval is not None:
                cut = draw_bar(axes, point.time / unit, one.interval[:2], evidence.looks[label].style.colour)
                remarks += [CUT] if cut else []
            axes.plot([point.time / unit], [point.score], markersize=5, **look)
    _draw_front(axes, pareto_front(points, metric.direction), unit)
    _scale_times(axes, [seconds / unit for seconds in times])
    return remarks


def _points(evidence: Evidence, panel: Panel) -> list[Point]:
    """The models of a panel that have a score."""
    floor, found = floor_of(panel.entries), []
    for place, (entry, label) in enumerate(zip(panel.entries, panel.labels, strict=True)):
        times = _times(evidence, panel, place)
        if not times:
            continue
        one = _estimate(entry)
        centre = one.mean if one is not None else median(entry.values.values())
        ends = [centre, *(one.interval[:2] if one is not None and one.interval is not None else ())]
        able = not any(score >= floor if entry.metric.direction == "lower" else score <= floor for score in ends)
        found.append(Point(median(times.values()), centre, able, label))
    return found


def _times(evidence: Evidence, panel: Panel, place: int) -> dict[int, float]:
    """Seed -> seconds of the runs of a cell that have a score."""
    scored = panel.entries[place].values
    return {run.seed: seconds_worked(row) for run, row in evidence.runs_of(panel.cells[place]) if run.seed in scored}


def _several(evidence: Evidence, panel: Panel) -> bool:
    """Whether the runs of a panel were made under circumstances that change how long a run takes."""
    origins = [row["provenance"] for cell in panel.cells for _, row in evidence.runs_of(cell)]
    return len({str([origin.get(name) for name in CIRCUMSTANCES]) for origin in origins}) > 1


def _estimate(entry: Entry) -> Any:
    """The mean of all runs; none of a task that is solved or not, where it lies between two kinds of run."""
    return entry.summary if entry.metric.solved_at is None else None


def _draw_front(axes: Axes, front: Sequence[Point], unit: float) -> None:
    """A ring around each model of the front, and the steps between them: what one gets for how long a run."""
    if not front:
        return  # an empty line would still claim room at the origin of the page
    times, values = [point.time / unit for point in front], [point.score for point in front]
    axes.plot(times, values, drawstyle="steps-post", zorder=1.5, **FRONT)
    axes.plot(times, values, zorder=1.6, clip_on=False, **RING)


def _scale_times(axes: Axes, times: Sequence[float]) -> None:
    """Logarithmic where the longest run takes three times the shortest or more."""
    low, high = min(times), max(times)
    if high < 3 * low:
        axes.margins(x=0.15)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        return
    axes.set_xscale("log")
    room = (high / low) ** 0.12
    low, high = low / room, high * room
    axes.set_xlim(low, high)
    decades = math.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < 1 else (1.0, 3.0) if decades < 2 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=4))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
