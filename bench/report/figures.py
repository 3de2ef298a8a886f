"""The figure of an experiment: how each network learned, and where each run ended."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from ..config import Cell, Experiment
from ..store import Row
from .cells import metric_title
from .grid import Entry, collect, columns, floor_of, of_device
from .style import GRID_COLOUR, RC, THRESHOLD_COLOUR, WIDTH, Style, styles

POINTS = 60
"""The most points of a training curve that are drawn; neighbours are averaged."""
TASKS_BESIDE = 4
"""The most tasks beside each other."""
BLOCK_HEIGHT = 3.3
"""Inches: the two panels of a task."""
LOG_FROM = 1.5
"""Decades from which on an axis is logarithmic."""
CHARACTERS = 16.0
"""Characters of text in an inch, at the sizes used here."""
SPREAD = 0.4
"""How far the marks of a model's seeds lie apart, of the room that a model has."""
CAPTION = (
    f"Above: training loss, one line a run (the recorded means, averaged to at most {POINTS} points). "
    "Below: test score, one mark a run.\n"
    "floor: the best answer that ignores the input"
)
COUNTED = "; a count beneath a model: its runs with a score, of those planned"
"""Said only where a count stands."""


class _Panel(NamedTuple):
    """What is drawn of one task: its cells with one Entry each, all in the same metric."""

    cells: Sequence[Cell]
    entries: Sequence[Entry]
    labels: Sequence[str]


def overview(experiment: Experiment, rows: Iterable[Row], path_stem: Path, device: str | None = None) -> list[Path]:
    """Writes the figure of `draw` as PATH_STEM.png and PATH_STEM.svg, the same bytes for the same rows.

    Raises UsageError where rows of several device classes are there and `device` does not choose.
    """
    figure = draw(experiment, rows, device)
    paths = [path_stem.with_name(f"{path_stem.name}.{ending}") for ending in ("png", "svg")]
    path_stem.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(RC):
        for path in paths:
            metadata = {"Software": None} if path.suffix == ".png" else {"Date": None}
            figure.savefig(path, metadata=metadata)
    return paths


def draw(experiment: Experiment, rows: Iterable[Row], device: str | None = None) -> Figure:
    """A column for each task. Above the training loss, a line for each run; below the test score, a mark for each run.

    The score is the task's first metric, or the last one where that says whether the task is solved. A run without
    a score has no mark; the count beneath its model says so, and a cross ends its line if it diverged.
    """
    rows_by_id, device = of_device(experiment, rows, device)
    panels = _panels(experiment, collect(experiment, rows_by_id.values(), device))
    names = list(dict.fromkeys(entry.model_name for panel in panels for entry in panel.entries))
    look = styles(names)
    blocks = max(1, math.ceil(len(panels) / TASKS_BESIDE))
    beside = max(1, math.ceil(len(panels) / blocks))
    with matplotlib.rc_context(RC):
        figure = Figure(figsize=(WIDTH, BLOCK_HEIGHT * blocks + 0.5), layout="constrained")
        grid = GridSpec(2 * blocks, beside, figure=figure)
        width = WIDTH / beside - 0.75  # inches of an axis; the rest goes to the labels of its scale
        for place, panel in enumerate(panels):
            block, column = divmod(place, beside)
            above = figure.add_subplot(grid[2 * block, column])
            below = figure.add_subplot(grid[2 * block + 1, column])
            above.set_title(_wrapped(panel.cells[0].task, int((width + 0.4) * CHARACTERS)))
            _draw_losses(above, panel, rows_by_id, look)
            _draw_scores(below, panel, look, width)
            if column == 0:
                above.set_ylabel("training loss")
        handles = [
            Line2D([], [], color=look[name].colour, marker=look[name].marker, linestyle=look[name].line, label=name)
            for name in names
        ]
        figure.legend(
            handles=handles, loc="outside upper center", ncols=max(1, min(7, len(names))), frameon=False, handlelength=3
        )
        counted = any(entry.done != entry.expected for panel in panels for entry in panel.entries)
        figure.supxlabel(f"{CAPTION}{COUNTED if counted else ''}.", fontsize=7, color="#444444")
        figure.align_ylabels()
        _keep_apart(figure, FigureCanvasAgg(figure))
    return figure


def _panels(experiment: Experiment, entries: Iterable[Entry]) -> list[_Panel]:
    """Cells and entries by task; a cell's entries stand together, in the order of the cells."""
    of_cell: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        of_cell.setdefault((entry.task, entry.model), []).append(entry)
    of_task: dict[str, list[tuple[Cell, Entry]]] = {}
    for cell, group in zip(experiment.cells, of_cell.values(), strict=True):
        shown = group[-1] if group[-1].metric.solved_at is not None else group[0]
        of_task.setdefault(cell.task, []).append((cell, shown))
    panels = []
    for pairs in of_task.values():
        cells, shown_entries = zip(*pairs, strict=True)
        labels = columns(shown_entries)  # of this task alone: elsewhere a name may stand for several models
        panels.append(_Panel(cells, shown_entries, [labels[entry.task, entry.model] for entry in shown_entries]))
    return panels


def _draw_losses(axes: Axes, panel: _Panel, rows: Mapping[str, Row], look: Mapping[str, Style]) -> None:
    drawn = []
    for cell, entry in zip(panel.cells, panel.entries, strict=True):
        style = look[entry.model_name]
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
        _logarithmic(axes)
    axes.set_xlabel("steps")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(axis="y", color=GRID_COLOUR, linewidth=0.5)


def _draw_scores(axes: Axes, panel: _Panel, look: Mapping[str, Style], width: float) -> None:
    metric = panel.entries[0].metric
    values = [value for entry in panel.entries for value in entry.values.values()]
    thresholds = {
        "floor": floor_of(panel.entries),
        "solved": math.nan if metric.solved_at is None else metric.solved_at,
    }
    thresholds = {name: value for name, value in thresholds.items() if math.isfinite(value)}
    for name, value in thresholds.items():
        line = "dashed" if name == "floor" else "dotted"
        axes.axhline(value, color=THRESHOLD_COLOUR, linestyle=line, linewidth=0.8, zorder=1)
    for place, entry in enumerate(panel.entries):
        style = look[entry.model_name]
        for rank, seed in enumerate(entry.seeds):
            if seed in entry.values:
                aside = SPREAD * (rank / (entry.expected - 1) - 0.5) if entry.expected > 1 else 0.0
                axes.plot(
                    [place + aside], [entry.values[seed]],
                    color=style.colour, marker=style.marker, linestyle="none", markeredgecolor="white",
                    markeredgewidth=0.3, markersize=5, clip_on=False, zorder=3,
                )  # fmt: skip
    axes.margins(y=0.08)
    axes.set_xlim(-0.6, len(panel.entries) - 0.4)
    _label_models(axes, panel, width)
    axes.set_ylabel(_wrapped(f"test {metric_title(metric)}", 20))
    axes.grid(axis="y", color=GRID_COLOUR, linewidth=0.5)
    every = [*values, *thresholds.values()]
    if metric.direction == "lower" and spans_decades(every):
        _logarithmic(axes)
    elif every:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    _label_thresholds(axes, thresholds)


def _label_models(axes: Axes, panel: _Panel, width: float) -> None:
    """Names beneath the marks, and beneath a name how many of its runs have a score, if not all."""
    counts = ["" if entry.done == entry.expected else f"{entry.done}/{entry.expected}" for entry in panel.entries]
    room = max(3, int(width * CHARACTERS / len(panel.entries)))
    texts = [_wrapped(label, room) for label in panel.labels]
    upright = any(len(line) > room for text in texts for line in text.splitlines())
    if upright:  # nothing fits side by side
        texts = [_wrapped(label, 18) for label in panel.labels]
    texts = [f"{text}\n{count}".rstrip() for text, count in zip(texts, counts, strict=True)]
    axes.set_xticks(range(len(texts)), texts, rotation=90 if upright else 0)
    axes.tick_params(axis="x", length=0)


def _label_thresholds(axes: Axes, thresholds: Mapping[str, float]) -> None:
    """Names right of their lines; `_keep_apart` moves them where the lines lie close."""
    for name, value in sorted(thresholds.items(), key=lambda item: item[1]):
        axes.annotate(
            name, (1, value), xycoords=axes.get_yaxis_transform(), xytext=(2, 0), textcoords="offset points",
            va="center", ha="left", fontsize=7, color=THRESHOLD_COLOUR, annotation_clip=False,
        )  # fmt: skip


def _keep_apart(figure: Figure, canvas: FigureCanvasAgg) -> None:
    """Moves the names of two thresholds up and down where they overlap, which only the finished layout tells."""
    canvas.draw()
    for axes in figure.axes:
        names = [text for text in axes.texts if isinstance(text, Annotation)]
        for lower, upper in pairwise(names):
            if lower.get_window_extent().overlaps(upper.get_window_extent()):
                lower.set_verticalalignment("top")
                upper.set_verticalalignment("bottom")
    canvas.draw()


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


def spans_decades(values: Sequence[float]) -> bool:
    """Whether values are all positive and so far apart that a linear axis would hide the small ones."""
    return bool(values) and min(values) > 0 and math.log10(max(values) / min(values)) > LOG_FROM


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _wrapped(label: str, width: int) -> str:
    """A label in lines of at most `width` characters if it has places to break: before its options, and between."""
    if len(label) <= width:
        return label
    name, bracket, options = label.partition("(")
    lines = [name.rstrip(), *textwrap.wrap(bracket + options, width, break_long_words=False, break_on_hyphens=False)]
    return "\n".join(lines)
