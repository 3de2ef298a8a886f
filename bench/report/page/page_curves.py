"""Learning curves for the page: what its template draws as SVG, and what its script says of a place.

`learning_curves` decides which points there are, for the figures too. Ticks are matplotlib's, colours and marks those
of `style`. A panel is small and of one size: the page sets as many side by side as fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.ticker import LogLocator, MaxNLocator

from ....tasks.base import Metric
from ...analysis.digits import number, seconds_text
from ..figures.layout import spans_decades
from ..figures.learning_curves import (
    AXES,
    LOSS,
    MARKS,
    STEPS_AXIS,
    UNTRAINED,
    CellCurves,
    Mean,
    Point,
    TaskCurves,
    describe,
)  # fmt: skip
from ..figures.overview import POINTS
from ..figures.panels import Evidence, Look
from ..tables.cells import metric_title

WIDTH, HEIGHT = 340, 232
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 10, 36
"""Pixels of a panel, and of what lies around the curves."""
ROOM = 0.05
"""How much of the height stays free above and below the curves."""
STEPS = (1, 2, 5, 10)
"""What ticks are multiples of."""
HOW_TO_READ = (
    "Thick: mean of the seeds, of errors and losses the geometric one, as far as all of them go; thin: each seed; a "
    "cross: a run that diverged."
)


class Tick(NamedTuple):
    """A place on a scale, in pixels, and what stands there."""

    place: float
    text: str


class Scale(NamedTuple):
    """Where values lie, in pixels, and the ticks in view."""

    place: Callable[[float], float]
    ticks: Sequence[Tick]


class Path(NamedTuple):
    """A line against each axis, as `points` of an SVG polyline.

    title: whose it is. seed: whether it is a single run. ends: where a run that diverged ends, by axis.
    """

    points: tuple[str, ...]
    title: str
    seed: bool
    ends: tuple[tuple[float, float], ...] = ()


class Model(NamedTuple):
    """The curves of a model in one panel. marks: places of marks on its mean, by axis."""

    label: str
    paths: Sequence[Path]
    marks: Sequence[Sequence[tuple[float, float]]]


class Drawing(NamedTuple):
    """A panel. axes: what it is drawn against. x_ticks: by axis. values: what the script says at a place: the points of
    each model, as lists of the places x by axis, y, the score as a text, epoch or step, and seconds as a text."""

    title: str
    score: str
    axes: tuple[str, ...]
    y_ticks: Sequence[Tick]
    x_ticks: Sequence[Sequence[Tick]]
    thresholds: Sequence[Tick]
    models: Sequence[Model]
    values: Sequence[dict[str, Any]]


class Curves(NamedTuple):
    """The curves of an experiment: its panels, the looks of the models in them, and what is shown of which task."""

    drawings: Sequence[Drawing]
    looks: Mapping[str, Look]
    note: str


def curves(evidence: Evidence) -> Curves:
    """All that the page shows of how models learned; no panel where no row has a curve."""
    described = describe(evidence)
    found = [_drawing(one) for one in described if one.axes]
    present = {model.label for drawing in found for model in drawing.models}
    looks = {label: look for label, look in evidence.looks.items() if label in present}
    return Curves(found, looks, _note(found, [one.panel.cells[0].task for one in described]))


def _note(drawn: Sequence[Drawing], tasks: Sequence[str]) -> str:
    """What is shown of which task, and how to read it."""
    scores, losses = ([one.title for one in drawn if one.axes == axes] for axes in (AXES, STEPS_AXIS))
    left_out = [task for task in tasks if task not in (*scores, *losses)]
    parts = []
    if scores:
        parts.append(f"Score on the validation split after each epoch: {'; '.join(scores)}.")
        if any(point[3] == 0 for one in drawn if one.axes == AXES for model in one.values for point in model["points"]):
            parts.append(UNTRAINED)
    if losses:
        parts.append(
            f"Training loss against steps (the recorded means, averaged to at most {POINTS} points), because no run "
            f"has a second epoch: {'; '.join(losses)}."
        )
    if left_out:
        parts.append(f"Nothing to draw, because no row has a second epoch or a trace: {'; '.join(left_out)}.")
    return " ".join([*parts, HOW_TO_READ])


def _drawing(described: TaskCurves) -> Drawing:
    panel, metric, axes = described.panel, described.metric, described.axes
    every = described.points
    thresholds = {} if metric is LOSS else panel.thresholds
    y = _scores([*(point.score for point in every), *thresholds.values()], metric)
    across = zip(*(point.at for point in every), strict=True)
    x = [_linear([0, *values], axis == "epochs") for axis, values in zip(axes, across, strict=True)]
    models, values = [], []
    for cell in described.cells:
        if any(curve.points for curve in cell.curves):
            models.append(_model(cell, x, y))
            values.append({"model": cell.label, "points": list(_said(cell.mean, metric, x, y))})
    return Drawing(
        panel.cells[0].task,
        LOSS.name if metric is LOSS else f"validation {metric_title(metric)}",
        axes,
        y.ticks,
        [axis.ticks for axis in x],
        [Tick(y.place(value), name) for name, value in thresholds.items()],
        models,
        values,
    )


def _model(cell: CellCurves, x: Sequence[Scale], y: Scale) -> Model:
    label, runs, mean = cell.label, [curve for curve in cell.curves if curve.points], cell.mean
    done = sum(not curve.diverged for curve in runs)
    paths = []
    for seed, diverged, points in runs:
        if done == 1 and not diverged:
            continue  # the mean is this run
        ends = tuple(places[-1] for places in _places(points, x, y)) if diverged else ()
        title = f"{label}, seed {seed}" + (": diverged" if diverged else "")
        paths.append(Path(_polylines(points, x, y), title, True, ends))
    if mean:
        title = f"{label}, mean of {done} seeds" if done > 1 else f"{label}, the only seed"
        paths.append(Path(_polylines(mean, x, y), title, False))
    every = max(1, len(mean) // MARKS)
    return Model(label, paths, _places(mean[::every], x, y))


def _places(points: Sequence[Point | Mean], x: Sequence[Scale], y: Scale) -> list[list[tuple[float, float]]]:
    """Where points lie, by axis."""
    return [[(axis.place(point.at[number]), y.place(point.score)) for point in points] for number, axis in enumerate(x)]


def _polylines(points: Sequence[Point | Mean], x: Sequence[Scale], y: Scale) -> tuple[str, ...]:
    return tuple(" ".join(f"{right:.1f},{down:.1f}" for right, down in places) for places in _places(points, x, y))


def _said(mean: Sequence[Mean], metric: Metric, x: Sequence[Scale], y: Scale) -> Iterator[list[Any]]:
    """Each point of the mean: its place, and its score with the least and most of the seeds, see `Drawing.values`."""
    for at, score, scores in mean:
        text = number(score, metric.decimals)
        if len(scores) > 1:
            least, most = (number(one, metric.decimals) for one in (min(scores), max(scores)))
            text += f" ({least} to {most}, n={len(scores)})"
        across = [round(axis.place(value), 1) for axis, value in zip(x, at, strict=True)]
        count, *times = at
        yield [across, round(y.place(score), 1), text, count, *(f"{seconds_text(time)} s" for time in times)]


def _scores(values: Sequence[float], metric: Metric) -> Scale:
    """The scale of scores, upwards; logarithmic where errors are decades apart, as in the figures."""
    on_logs = metric.logarithmic and spans_decades(values)
    seen = [math.log10(value) if on_logs else value for value in values]
    room = ROOM * (max(seen) - min(seen)) or 0.5 * abs(max(seen)) or 0.5
    low, high = min(seen) - room, max(seen) + room

    def place(value: float) -> float:
        share = ((math.log10(value) if on_logs else value) - low) / (high - low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    if on_logs:
        ticks = LogLocator(numticks=6).tick_values(10**low, 10**high)
    else:
        ticks = MaxNLocator(5, steps=STEPS).tick_values(low, high)
    in_view = [value for value in map(float, ticks) if not on_logs or value > 0]
    inside = [value for value in in_view if TOP <= place(value) <= HEIGHT - BOTTOM]
    return Scale(place, [Tick(round(place(value), 1), _short(value)) for value in inside])


def _linear(values: Sequence[float], whole: bool = False) -> Scale:
    """The scale of epochs, seconds or steps, to the right, from 0."""
    most = max(values) or 1

    def place(value: float) -> float:
        return LEFT + value / most * (WIDTH - LEFT - RIGHT)

    ticks = [float(value) for value in MaxNLocator(5, steps=STEPS, integer=whole).tick_values(0, most)]
    return Scale(place, [Tick(round(place(value), 1), _short(value)) for value in ticks if value <= most * (1 + 1e-9)])


def _short(value: float) -> str:
    """A number on a scale.

    >>> _short(0.30000000000000004), _short(1e-05), _short(12000.0), _short(-2.0)
    ('0.3', '1e-5', '12k', '−2')
    """
    if value and abs(value) >= 10_000:
        return f"{value / 1000:g}k".replace("-", "−")
    mantissa, exponent, power = f"{value:g}".partition("e")
    return f"{mantissa.replace('-', '−')}e{int(power)}" if exponent else mantissa.replace("-", "−")
