"""The overview of an experiment: how each network learned, and where each run ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from ...analysis.grid import Entry
from ...rows.store import Row
from ..tables.cells import metric_title
from .layout import (
    LINE,
    MARGIN,
    PANELS_BESIDE,
    counts,
    draw_thresholds,
    footer,
    handle,
    in_house_style,
    keep_apart,
    label_models,
    legend,
    logarithmic,
    mark_of,
    origin,
    scale_scores,
    spans_decades,
    wrapped,
)
from .panels import Evidence, Look, Panel
from .style import GRID_COLOUR, WIDTH, styles

POINTS = 60
"""The most points of a training curve that are drawn; neighbours are averaged."""
TASKS_BESIDE = 4
"""The most tasks beside each other; where there are more, all have the room that panels have in other figures."""
BLOCK_HEIGHT = 3.2
"""Inches: the two panels of a task."""
SPREAD = 0.4
"""How far the marks of a model's seeds lie apart, of the room that a model has."""
CAPTION = (
    f"Above: training loss, one line a run (the recorded means, averaged to at most {POINTS} points). "
    "Below: test score, one mark a run.",
    "floor: the best answer that ignores the input",
)
COUNTED = "; a count beneath a model: its runs with a score, of those planned"
"""Said only where a count stands."""


@in_house_style
def draw(evidence: Evidence) -> Figure:
    """A column for each task. Above the training loss, a line for each run; below the test score, a mark for each run.

    The score is the task's first metric, or the last one where that says whether the task is solved. A run without
    a score has no mark; the count beneath its model says so, and a cross ends its line if it diverged.
    """
    panels = evidence.panels(_that_tells)
    models = list(dict.fromkeys(entry.model_name for panel in panels for entry in panel.entries))
    looks = {name: Look(style, "full") for name, style in styles(models).items()}
    blocks = 1 if len(panels) <= TASKS_BESIDE else math.ceil(len(panels) / PANELS_BESIDE)
    beside = max(1, math.ceil(len(panels) / blocks))
    figure = Figure(figsize=(WIDTH, BLOCK_HEIGHT * blocks), layout="constrained")
    grid = GridSpec(2 * blocks, beside, figure=figure)
    width = WIDTH / beside - MARGIN
    names = [0.0] * blocks  # inches that the longest names in a block need
    for place, panel in enumerate(panels):
        block, column = divmod(place, beside)
        above = figure.add_subplot(grid[2 * block, column])
        below = figure.add_subplot(grid[2 * block + 1, column])
        above.set_title(panel.cells[0].task)
        _draw_losses(above, panel, evidence.sound, looks)
        names[block] = max(names[block], _draw_scores(below, panel, looks, width))
        if column == 0:
            above.set_ylabel("training loss")
    legend(figure, [handle(name, looks[name]) for name in models])
    counted = any(entry.done != entry.expected for panel in panels for entry in panel.entries)
    lines = footer(figure, [CAPTION[0], f"{CAPTION[1]}{COUNTED if counted else ''}.", *origin(panels)])
    figure.set_figheight(BLOCK_HEIGHT * blocks + sum(names) + 0.25 + LINE * lines)
    keep_apart(figure)
    return figure


def _that_tells(entries: Sequence[Entry]) -> Entry:
    return entries[-1] if entries[-1].metric.solved_at is not None else entries[0]


def _draw_losses(axes: Axes, panel: Panel, rows: Mapping[str, Row], looks: Mapping[str, Look]) -> None:
    drawn = []
    for cell, entry in zip(panel.cells, panel.entries, strict=True):
        style = looks[entry.model_name].style
        for run in cell.runs:
            row = rows.get(run.id, {})
            steps, losses = thinned(row.get("trace", []))
            if not steps:
                continue
            axes.plot(steps, losses, color=style.colour, linestyle=style.line, alpha=0.9)
            if row["status"] == "diverged":
                axes.plot(steps[-1:], losses[-1:], color=style.colour, marker="x", markersize=5, markeredgewidth=1.2)
            drawn.extend(losses)
    if spans_decades(drawn):
        logarithmic(axes)
    axes.set_xlabel("steps")
    if drawn:
        counts(axes.xaxis)
    else:
        axes.set(xticks=[], yticks=[])
    axes.grid(axis="y", color=GRID_COLOUR, linewidth=0.5)


def _draw_scores(axes: Axes, panel: Panel, looks: Mapping[str, Look], width: float) -> float:
    """A mark for each run; the inches that the names beneath need."""
    metric = panel.entries[0].metric
    draw_thresholds(axes, panel.thresholds)
    for place, entry in enumerate(panel.entries):
        for aside, value in seeds_beside(entry, SPREAD):
            look = mark_of(looks[entry.model_name])
            axes.plot([place + aside], [value], linestyle="none", markersize=5, clip_on=False, **look)
    axes.margins(y=0.08)
    needed = label_models(axes, panel, width)
    axes.set_ylabel(wrapped(f"test {metric_title(metric)}", 20))
    values = [value for entry in panel.entries for value in entry.values.values()]
    scale_scores(axes, [*values, *panel.thresholds.values()], metric.logarithmic)
    return needed


def seeds_beside(entry: Entry, spread: float) -> list[tuple[float, float]]:
    """(how far aside, score) of the runs with a score; a seed has the same place in every cell."""
    asides = {
        seed: spread * (rank / (entry.expected - 1) - 0.5) if entry.expected > 1 else 0.0
        for rank, seed in enumerate(entry.seeds)
    }
    return [(asides[seed], value) for seed, value in entry.values.items()]


def thinned(trace: Sequence[Sequence[float | None]]) -> tuple[list[float], list[float]]:
    """Steps and mean losses of a row's trace, at most POINTS of them, up to where the loss is not finite any more.

    Neighbours are averaged, each weighted by the steps that it covers.

    >>> thinned([[10, 2.0], [20, 1.0], [25, None]])
    ([10, 20], [2.0, 1.0])
    """
    spans: list[tuple[float, float, float]] = []  # last step, steps covered, loss
    before = 0.0
    for step, loss in trace:
        if step is None or loss is None or not math.isfinite(loss):
            break
        spans.append((step, step - before, loss))
        before = step
    size = max(1, math.ceil(len(spans) / POINTS))
    groups = [spans[start : start + size] for start in range(0, len(spans), size)]
    losses = [
        math.fsum(covered * loss for _, covered, loss in group) / math.fsum(covered for _, covered, _ in group)
        if len(group) > 1
        else group[0][2]
        for group in groups
    ]
    return [group[-1][0] for group in groups], losses
