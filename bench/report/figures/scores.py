"""Scores with their intervals: by model, and against what a model costs, in parameters and in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWNBASE, CARETUPBASE
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from ...analysis.grid import Entry
from ...analysis.ledger import smallest_effects
from ...analysis.samples import Summary
from ...analysis.standing import standing
from ..tables.cells import metric_title
from ..tables.contrast_table import difference_text
from .layout import (
    counts,
    draw_thresholds,
    handle,
    in_house_style,
    label_models,
    mark_of,
    origin,
    scale_scores,
    sheet,
    wrapped,
)
from .overview import seeds_beside
from .panels import Evidence, NothingToDraw, Panel
from .style import GRID_COLOUR

Against = Literal["parameters", "state"]

HEIGHT = 1.85
"""Inches: a panel with its title."""
SPREAD, LEFT, RIGHT = 0.16, -0.28, 0.34
"""How far the runs lie apart, where they stand, and where the published number stands, of the room of a model."""
ROOM = 0.5
"""How far an interval may stretch the axis beyond all scores, of their range."""
ALIKE = 1.1
"""Models whose sizes differ by less are of one size: the experiment has matched them."""
PUBLISHED: dict[str, Any] = {
    "color": "black", "marker": "*", "markersize": 7, "markerfacecolor": "white", "markeredgewidth": 0.7,
    "linestyle": "none",
}  # fmt: skip
CAPTION = "Mean of the test scores (of errors the geometric mean) with its 95 % interval (Student's t)."
RUNS = "Small marks: the runs."
UNSOLVED = "Small marks: runs that did not solve the task."
NONE_SOLVED = "Marks without a bar beside them: the runs of a model of which none solved the task."
SINGLE = "One or two runs have no interval."
OF_SOLVED = "Of a task that counts as solved: mean of the runs that solved it."
CUT = "A bar with a triangle goes on beyond the axis."
FAR = "A floor or threshold far from all scores is left out."
REFERENCE = "Dashed in a model's colour: the mean of the reference that planned contrasts compare the others with."
EFFECT = "Band: the smallest difference from it that matters."
COUNTED = "A count beneath a model: its runs with a score, of those planned."


def estimate(entry: Entry) -> Summary | None:
    """The mean with its interval, as the table has them; None without scores.

    Where a task counts as solved from some score on, the mean of runs that did and did not says nothing: it is then
    that of the runs that did, None where there are none.
    """
    return entry.summary if entry.metric.solved_at is None else entry.summary_of_solved


@in_house_style
def by_model(evidence: Evidence) -> Figure:
    """A panel for each task: its first metric, and for each model the mean with its interval and every run.

    Raises NothingToDraw where no run has a score.
    """
    panels, effects = _with_scores(evidence), smallest_effects(evidence.experiment)
    page, remarks, below = sheet(len(panels), HEIGHT), {CAPTION}, []
    for axes, panel in zip(page.axes, panels, strict=True):
        places = [float(place) for place in range(len(panel.entries))]
        remarks |= _draw_panel(axes, panel, evidence, places)
        remarks |= _draw_reference(axes, panel, evidence, effects.get(panel.cells[0].task))
        for place, entry in zip(places, panel.entries, strict=True):
            published = evidence.published_for(entry)
            if published is not None:
                axes.plot([place + RIGHT], [published], zorder=4, clip_on=False, **PUBLISHED)
        below.append(label_models(axes, panel, page.width))
    entries = [entry for panel in panels for entry in panel.entries]
    handles = []
    if any(evidence.published_for(entry) is not None for entry in entries):
        handles.append(Line2D([], [], label="published", **PUBLISHED))
    counted = [COUNTED] if any(entry.done != entry.expected for entry in entries) else []
    differences = [text for panel in panels if (text := _differences(panel, len(panels) > 1))]
    return page.finish(handles, [*_in_order(remarks), *differences, *counted, *origin(panels)], below)


@in_house_style
def by_size(evidence: Evidence, against: Against) -> Figure:
    """A panel for each task: its first metric against the parameters, or the numbers of state, of each model.

    Models of one architecture are joined. Against the parameters only tasks whose models differ in them by a tenth or
    more are shown: where sizes are matched, their small differences mean nothing. Raises NothingToDraw where no task
    is left.
    """
    panels = [panel for panel in _with_scores(evidence) if _differ(evidence, panel, against)]
    if not panels:
        what = "parameters" if against == "parameters" else "the size of their state"
        raise NothingToDraw(f"there is no task whose models differ in {what} (by {ALIKE - 1:.0%} or more)")
    page, remarks = sheet(len(panels), HEIGHT), {CAPTION}
    for axes, panel in zip(page.axes, panels, strict=True):
        sizes = [_size(evidence, panel, place, against) for place in range(len(panel.entries))]
        _join(axes, panel, evidence, sizes)
        remarks |= _draw_panel(axes, panel, evidence, sizes, by_size=True)
        _scale_sizes(axes, [size for size in sizes if size is not None])
        axes.set_xlabel("parameters" if against == "parameters" else "state (numbers)")
    labels = dict.fromkeys(label for panel in panels for label in panel.labels)
    return page.finish(
        [handle(label, evidence.looks[label], line=False) for label in labels],
        [*_in_order(remarks), *origin(panels)],
    )


def _with_scores(evidence: Evidence) -> list[Panel]:
    panels = [panel for panel in evidence.panels() if any(entry.done for entry in panel.entries)]
    if not panels:
        raise NothingToDraw("no run has a score")
    return panels


def _draw_panel(
    axes: Axes,
    panel: Panel,
    evidence: Evidence,
    places: Sequence[float | None],
    by_size: bool = False,
) -> set[str]:
    """Draws means, intervals and runs at these places; what the caption must say of them."""
    metric = panel.entries[0].metric
    axes.set_title(panel.cells[0].task)
    axes.set_ylabel(wrapped(f"test {metric_title(metric)}", 20))
    estimates = [estimate(entry) for entry in panel.entries]
    shown = [score for entry in panel.entries for score in entry.values.values()]
    if not by_size:
        shown += [number for entry in panel.entries if (number := evidence.published_for(entry)) is not None]
    is_logarithmic = scale_scores(axes, [*shown, *panel.thresholds.values()], metric.logarithmic)
    near = near_thresholds(panel.thresholds, shown, is_logarithmic)
    bounds = [one.interval[:2] for one in estimates if one and one.interval]
    axes.set_ylim(limits([*shown, *near.values()], bounds, is_logarithmic))
    draw_thresholds(axes, near)
    remarks = {FAR} if near != panel.thresholds else set()
    for place, entry, one, label in zip(places, panel.entries, estimates, panel.labels, strict=True):
        if place is None:
            continue
        look = mark_of(evidence.looks[label])
        for aside, score in seeds_beside(entry, SPREAD):
            if by_size and (metric.solved_at is None or metric.solved(score)):
                continue  # it lies on the interval
            remarks.add(UNSOLVED if by_size else RUNS)
            x = place if by_size else place + LEFT + aside
            size, alpha = (2.4, 0.6) if one is not None else (4.0, 1.0)  # nothing else stands there
            remarks |= {NONE_SOLVED} if one is None else set()
            axes.plot([x], [score], linestyle="none", markersize=size, alpha=alpha, clip_on=False, **look)
        if one is not None:
            colour = evidence.looks[label].style.colour
            cut = one.interval is not None and draw_bar(axes, place, one.interval[:2], colour)
            remarks |= ({CUT} if cut else set()) | ({SINGLE} if one.interval is None else set())
            remarks |= {OF_SOLVED} if metric.solved_at is not None else set()
            axes.plot([place], [one.mean], linestyle="none", markersize=5, clip_on=False, **look)
    return remarks


def _draw_reference(axes: Axes, panel: Panel, evidence: Evidence, effect: float | None) -> set[str]:
    """Draws the mean of each reference of planned contrasts, and beside it the smallest effect of interest."""
    references = {entry.reference for entry in panel.entries if entry.reference is not None}
    remarks = set()
    for entry, label in zip(panel.entries, panel.labels, strict=True):
        one = estimate(entry)
        if entry.model not in references or one is None:
            continue
        axes.axhline(one.mean, color=evidence.looks[label].style.colour, linestyle="dashed", linewidth=0.6, zorder=1)
        remarks.add(REFERENCE)
        if effect is not None:
            low, high = one.mean - effect, one.mean + effect
            if entry.metric.logarithmic:
                low, high = one.mean / (1 + effect), one.mean * (1 + effect)
            limits = axes.get_ylim()
            axes.axhspan(low, high, color=GRID_COLOUR, alpha=0.6, linewidth=0, zorder=0)
            axes.set_ylim(limits)
            remarks.add(EFFECT)
    return remarks


def _differences(panel: Panel, named: bool) -> str:
    """The planned contrasts of a panel in words, in its metric; "" where there are none. named: with the task."""
    found = standing(panel.entries)
    if not found.planned or not found.contrasts:
        return ""
    label_of = {entry.model: label for entry, label in zip(panel.entries, panel.own_labels, strict=True)}
    decimals = panel.entries[0].metric.decimals
    lines = []
    for reference in dict.fromkeys(one.reference for one in found.contrasts):
        texts = [
            f"{label_of[one.model]} {difference_text(one, decimals)}{' (found)' if one.found else ''}"
            for one in found.contrasts
            if one.reference == reference
        ]
        lines.append(f"Differences from {label_of[reference]}, not found where not marked: {'; '.join(texts)}.")
    return f"{panel.cells[0].task + ': ' if named else ''}{' '.join(lines)}"


def draw_bar(axes: Axes, place: float, bounds: tuple[float, float], colour: str) -> bool:
    """The bar from bound to bound, with a triangle where the axis ends before; whether there is one."""
    low, high = axes.get_ylim()
    shown = [min(max(bound, low), high) for bound in bounds]
    axes.plot([place, place], shown, color=colour, linewidth=1.0, zorder=2, solid_capstyle="butt")
    for bound, at, caret in zip(bounds, shown, (CARETDOWNBASE, CARETUPBASE), strict=True):
        marker = "_" if bound == at else caret
        axes.plot([place], [at], color=colour, marker=marker, markersize=4, linestyle="none", clip_on=False, zorder=2)
    return shown != [*bounds]


def near_thresholds(thresholds: Mapping[str, float], scores: Sequence[float], is_logarithmic: bool) -> dict[str, float]:
    """The thresholds that lie no farther from the scores than these are apart; all where the axis is logarithmic."""
    span = (max(scores) - min(scores)) or math.inf
    low, high = min(scores) - span, max(scores) + span
    return {name: value for name, value in thresholds.items() if is_logarithmic or low <= value <= high}


def limits(
    shown: Sequence[float], intervals: Iterable[tuple[float, float]], is_logarithmic: bool
) -> tuple[float, float]:
    """The ends of the axis: all scores and thresholds, and of the intervals so much that they do not crowd them out."""

    def to(value: float) -> float:
        if is_logarithmic:
            return math.log10(value) if value > 0 else -math.inf
        return value

    places = [to(value) for value in shown]
    low, high = min(places), max(places)
    span = (high - low) or abs(high) / 10 or 1.0
    bounds = [to(bound) for interval in intervals for bound in interval]
    low = min([low, *(max(bound, low - ROOM * span) for bound in bounds)])
    high = max([high, *(min(bound, high + ROOM * span) for bound in bounds)])
    ends = low - 0.06 * span, high + 0.06 * span
    return (10 ** ends[0], 10 ** ends[1]) if is_logarithmic else ends


def _size(evidence: Evidence, panel: Panel, place: int, against: Against) -> float | None:
    """The parameters or the numbers of state of a cell's newest row; None where no row tells them."""
    key = "parameters" if against == "parameters" else "state_size"
    sizes = [row[key] for _, row in evidence.runs_of(panel.cells[place]) if isinstance(row.get(key), int)]
    return float(sizes[-1]) if sizes else None


def _differ(evidence: Evidence, panel: Panel, against: Against) -> bool:
    found = (_size(evidence, panel, place, against) for place in range(len(panel.entries)))
    sizes = [size for size in found if size]
    return bool(sizes) and max(sizes) / min(sizes) >= ALIKE


def _join(axes: Axes, panel: Panel, evidence: Evidence, sizes: Sequence[float | None]) -> None:
    """A line through the centres of an architecture's models, from the smallest to the largest."""
    for name in dict.fromkeys(entry.model_name for entry in panel.entries):
        points = sorted(
            (size, one.mean, label)
            for entry, size, label in zip(panel.entries, sizes, panel.labels, strict=True)
            if entry.model_name == name and size is not None and (one := estimate(entry)) is not None
        )
        if len(points) > 1:
            style = evidence.looks[points[0][2]].style
            x, y = [point[0] for point in points], [point[1] for point in points]
            axes.plot(x, y, color=style.colour, linestyle=style.line, linewidth=0.7, zorder=1.5)


def _scale_sizes(axes: Axes, sizes: Sequence[float]) -> None:
    low, high = min(sizes), max(sizes)
    if high < 3 * low:
        axes.margins(x=0.15)
        counts(axes.xaxis, 2)
        return
    axes.set_xscale("log")
    room = (high / low) ** 0.12
    low, high = low / room, high * room
    axes.set_xlim(low, high)
    powers = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if powers > 1 else (1.0, 3.0), numticks=4))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _in_order(remarks: Iterable[str]) -> list[str]:
    order = (CAPTION, RUNS, UNSOLVED, NONE_SOLVED, SINGLE, OF_SOLVED, CUT, FAR, REFERENCE, EFFECT)
    return sorted(remarks, key=order.index)
