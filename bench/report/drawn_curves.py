"""Learning curves for the page: what its template draws as SVG, and what its script says of a place.

Ticks are matplotlib's, colours and marks are those of `style`, and `curves` decides which points there are, so that
page and figures say the same. A panel is small and of one size: the page sets as many side by side as fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from matplotlib.ticker import LogLocator, MaxNLocator

from ...tasks.base import Metric
from ..statistics import centre
from .cells import metric_title, number, seconds_text
from .curves import MARKS, Point, points_of
from .evidence import Evidence, Look, Panel
from .layout import spans_decades
from .samples import logarithmic

WIDTH, HEIGHT = 340, 232
LEFT, RIGHT, TOP, BOTTOM = 48, 10, 10, 36
"""Pixels of a panel, and of what lies around the curves."""
ROOM = 0.05
"""How much of the height stays free above and below the curves."""
STEPS = (1, 2, 5, 10)
"""What ticks are multiples of."""
AXES = ("epochs", "seconds")


class Tick(NamedTuple):
    """A place on a scale, in pixels, and what stands there."""

    place: float
    text: str


class Scale(NamedTuple):
    """Where values lie, in pixels, and the ticks in view."""

    place: Callable[[float], float]
    ticks: Sequence[Tick]


class Path(NamedTuple):
    """A line against each of AXES, as `points` of an SVG polyline.

    title: whose it is. seed: whether it is a single run. ends: where a run that diverged ends, by axis.
    """

    points: tuple[str, str]
    title: str
    seed: bool
    ends: tuple[tuple[float, float], ...] = ()


class Model(NamedTuple):
    """The curves of a model in one panel. marks: places of marks on its mean, by axis."""

    label: str
    paths: Sequence[Path]
    marks: tuple[Sequence[tuple[float, float]], Sequence[tuple[float, float]]]


class Drawing(NamedTuple):
    """A panel. values: what the script says at a place: the points of each model, as lists
    of x by epochs, x by seconds, y, the score as a text, epoch, seconds as a text."""

    title: str
    score: str
    y_ticks: Sequence[Tick]
    x_ticks: tuple[Sequence[Tick], Sequence[Tick]]
    thresholds: Sequence[Tick]
    models: Sequence[Model]
    values: Sequence[dict[str, Any]]


def drawings(evidence: Evidence) -> list[Drawing]:
    """A panel for each task that was trained for more than one epoch, in its first metric; the score on validation."""
    found = []
    for panel in evidence.panels():
        runs = [list(_points(evidence, panel, place)) for place in range(len(panel.cells))]
        if any(len(points) > 1 for of_model in runs for _, _, points in of_model):
            found.append(_drawing(panel, runs))
    return found


def labels(drawn: Iterable[Drawing], looks: dict[str, Look]) -> dict[str, Look]:
    """The models that stand in a drawing, with their looks, in the order of the experiment."""
    present = {model.label for drawing in drawn for model in drawing.models}
    return {label: look for label, look in looks.items() if label in present}


def _points(evidence: Evidence, panel: Panel, place: int) -> Iterator[tuple[int, bool, list[Point]]]:
    """Seed, whether it diverged, and the points of each run of a cell that has some."""
    name = panel.entries[place].metric.name
    for run, row in evidence.runs_of(panel.cells[place]):
        if row["status"] in ("done", "diverged") and (points := points_of(row, name)):
            yield run.seed, row["status"] == "diverged", points


def _drawing(panel: Panel, runs: Sequence[Sequence[tuple[int, bool, list[Point]]]]) -> Drawing:
    metric = panel.entries[0].metric
    every = [point for of_model in runs for _, _, points in of_model for point in points]
    scores = [point.score for point in every]
    y = _scores([*scores, *panel.thresholds.values()], metric)
    x = (_linear([0, *(point.epoch for point in every)], whole=True), _linear([0, *(point.seconds for point in every)]))
    on_logs = logarithmic(metric, scores)
    models, values = [], []
    for label, of_model in zip(panel.labels, runs, strict=True):
        mean = _mean([points for _, diverged, points in of_model if not diverged], on_logs)
        if of_model:
            models.append(_model(label, of_model, mean, x, y))
            values.append({"model": label, "points": list(_said(mean, of_model, metric, x, y))})
    return Drawing(
        panel.cells[0].task,
        f"validation {metric_title(metric)}",
        y.ticks,
        (x[0].ticks, x[1].ticks),
        [Tick(y.place(value), name) for name, value in panel.thresholds.items()],
        models,
        values,
    )


def _mean(runs: Sequence[Sequence[Point]], on_logs: bool) -> list[Point]:
    """The mean of the runs, epoch by epoch, as far as all go; of errors the geometric one."""
    columns = list(zip(*runs, strict=False)) if runs else []
    return [
        Point(
            column[0].epoch,
            math.fsum(point.seconds for point in column) / len(column),
            centre([point.score for point in column], on_logs),
        )
        for column in columns
    ]


def _model(
    label: str,
    runs: Sequence[tuple[int, bool, list[Point]]],
    mean: Sequence[Point],
    x: tuple[Scale, Scale],
    y: Scale,
) -> Model:
    done = sum(not diverged for _, diverged, _ in runs)
    paths = []
    for seed, diverged, points in runs:
        if done == 1 and not diverged:
            continue  # the mean is this run
        ends = tuple(
            (axis.place(value), y.place(points[-1].score)) for axis, value in zip(x, _on(points[-1]), strict=True)
        )
        title = f"{label}, seed {seed}" + (": diverged" if diverged else "")
        paths.append(Path(_polylines(points, x, y), title, True, ends if diverged else ()))
    if mean:
        title = f"{label}, mean of {done} seeds" if done > 1 else f"{label}, the only seed"
        paths.append(Path(_polylines(mean, x, y), title, False))
    every = max(1, len(mean) // MARKS)
    marked = [
        tuple((axis.place(_on(point)[place]), y.place(point.score)) for point in mean[::every])
        for place, axis in enumerate(x)
    ]
    return Model(label, paths, (marked[0], marked[1]))


def _polylines(points: Sequence[Point], x: tuple[Scale, Scale], y: Scale) -> tuple[str, str]:
    first, second = (
        " ".join(f"{axis.place(_on(point)[place]):.1f},{y.place(point.score):.1f}" for point in points)
        for place, axis in enumerate(x)
    )
    return first, second


def _on(point: Point) -> tuple[float, float]:
    """Where a point lies on the axes."""
    return point.epoch, point.seconds


def _said(
    mean: Sequence[Point],
    runs: Sequence[tuple[int, bool, list[Point]]],
    metric: Metric,
    x: tuple[Scale, Scale],
    y: Scale,
) -> Iterator[list[Any]]:
    """Each point of the mean: its place, and its score with the least and most of the seeds, see `Drawing.values`."""
    done = [points for _, diverged, points in runs if not diverged]
    for place, point in enumerate(mean):
        scores = [points[place].score for points in done]
        text = number(point.score, metric.unit)
        if len(scores) > 1:
            text += f" ({number(min(scores), metric.unit)} to {number(max(scores), metric.unit)}, n={len(scores)})"
        across = (round(axis.place(value), 1) for axis, value in zip(x, _on(point), strict=True))
        yield [*across, round(y.place(point.score), 1), text, point.epoch, f"{seconds_text(point.seconds)} s"]


def _scores(values: Sequence[float], metric: Metric) -> Scale:
    """The scale of scores, upwards; logarithmic where errors are decades apart, as in the figures."""
    on_logs = metric.direction == "lower" and spans_decades(values)
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
    """The scale of epochs or seconds, to the right, from 0."""
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
