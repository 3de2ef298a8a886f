"""What all figures share: a sheet of panels with a legend above and a caption below, scales, names, thresholds."""

from __future__ import annotations

import functools
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, ParamSpec, TypeVar

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from .panels import Look, Panel, warning_marks, warnings
from .style import CAPTION_COLOUR, COLUMN, GRID_COLOUR, SMALL, THRESHOLD_COLOUR, WIDTH, settings

PANELS_BESIDE = 3
"""The most panels beside each other."""
LOG_FROM = 1.5
"""Decades from which on an axis is logarithmic."""
CHARACTERS = 16.0
"""Characters of text in an inch, at the sizes used here."""
ABOVE = "sDoPXv^"
"""The marks from the one that lies lowest to the one that lies on top of all."""
LINE = 0.125
"""Inches from one line of a caption to the next."""
MARGIN = 1.0
"""Inches beside a panel for the labels of its scale and for the names of thresholds."""
OVERHANG = 0.4
"""Inches that a title may be wider than its panel, on each side, where the panel beside leaves room."""

Arguments = ParamSpec("Arguments")
Drawn = TypeVar("Drawn")


def in_house_style(draw: Callable[Arguments, Drawn]) -> Callable[Arguments, Drawn]:
    """Draws with `style.settings` and leaves matplotlib's own as they were."""

    @functools.wraps(draw)
    def styled(*arguments: Arguments.args, **options: Arguments.kwargs) -> Drawn:
        with settings():
            return draw(*arguments, **options)

    return styled


class Sheet(NamedTuple):
    """A figure, its panels in reading order, how many stand beside each other, and the size of each in inches."""

    figure: Figure
    axes: list[Axes]
    beside: int
    width: float
    height: float

    def finish(self, handles: Sequence[Artist], caption: Iterable[str], below: Sequence[float] = ()) -> Figure:
        """The legend above, the caption's sentences below, and all text moved apart; the figure is then done.

        below: inches that each panel needs beneath it, beyond what it has anyway.
        """
        rows = legend(self.figure, handles)
        lines = footer(self.figure, caption)
        below = below or [0.0] * len(self.axes)
        panels = sum(
            self.height + max(below[start : start + self.beside]) for start in range(0, len(below), self.beside)
        )
        self.figure.set_figheight(panels + LINE * (lines + 1.5 * rows) + 0.1)
        keep_apart(self.figure)
        return self.figure


def sheet(count: int, height: float, wide: bool = False) -> Sheet:
    """`count` panels, each `height` inches high. One fills a column of the paper; several, or a wide one, its width."""
    rows = math.ceil(count / PANELS_BESIDE)
    beside = math.ceil(count / rows)
    whole = COLUMN if count == 1 and not wide else WIDTH
    figure = Figure(figsize=(whole, height * rows), layout="constrained")
    grid = GridSpec(rows, beside, figure=figure)
    axes = [figure.add_subplot(grid[divmod(place, beside)]) for place in range(count)]
    return Sheet(figure, axes, beside, whole / beside - MARGIN, height)


def legend(figure: Figure, handles: Sequence[Artist]) -> int:
    """A legend above everything, in as many columns as fit; the number of its rows."""
    if not handles:
        return 0
    longest = max(len(str(handle.get_label())) for handle in handles)
    fitting = int(figure.get_figwidth() / (longest / CHARACTERS + 0.55))
    columns = max(1, min(7, len(handles), fitting))
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, handlelength=2.6)
    return math.ceil(len(handles) / columns)


def footer(figure: Figure, sentences: Iterable[str]) -> int:
    """A caption below everything, broken into lines of about equal length; their number."""
    text = " ".join(sentences)
    room = figure.get_figwidth() * 1.1 * CHARACTERS
    lines = textwrap.wrap(text, int(room), break_on_hyphens=False)
    if len(lines) > 1:
        balanced = textwrap.wrap(text, int(min(room, len(text) / len(lines) * 1.06 + 6)), break_on_hyphens=False)
        lines = balanced if len(balanced) == len(lines) else lines
    figure.supxlabel("\n".join(lines), fontsize=SMALL, color=CAPTION_COLOUR)
    return len(lines)


def handle(label: str, look: Look, line: bool = True) -> Line2D:
    """The entry of a model in a legend."""
    style = look.style
    return Line2D(
        [], [], color=style.colour, marker=style.marker, fillstyle=look.fill, markerfacecoloralt="white",
        linestyle=style.line if line else "none", label=label,
    )  # fmt: skip


def mark_of(look: Look) -> dict[str, Any]:
    """How a model's mark is drawn, in matplotlib's words; where several lie on one place, the corners of each show."""
    edge = "white" if look.fill == "full" else look.style.colour
    return {
        "color": look.style.colour, "marker": look.style.marker, "fillstyle": look.fill, "markerfacecoloralt": "white",
        "markeredgecolor": edge, "markeredgewidth": 0.3 if look.fill == "full" else 0.8,
        "zorder": 3 + 0.01 * ABOVE.find(look.style.marker),
    }  # fmt: skip


def origin(panels: Iterable[Panel]) -> list[str]:
    """Sentences of a caption on what is not as it should be: rows that are dirty or stale."""
    return warnings(entry for panel in panels for entry in panel.entries)


def spans_decades(values: Sequence[float]) -> bool:
    """Whether values are all positive and so far apart that a linear axis would hide the small ones."""
    return bool(values) and min(values) > 0 and math.log10(max(values) / min(values)) > LOG_FROM


def scale_scores(axes: Axes, values: Sequence[float], by_factors: bool) -> bool:
    """Makes the axis logarithmic for scores that differ by factors and are decades apart; says whether it did."""
    axes.grid(axis="y", color=GRID_COLOUR, linewidth=0.5)
    if by_factors and spans_decades(values):
        logarithmic(axes)
        return True
    if values:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    else:
        axes.set_yticks([])
    return False


def logarithmic(axes: Axes) -> None:
    """A logarithmic axis of scores, with names for the powers of ten alone."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_minor_formatter(NullFormatter())


def counts(axis: Axis, intervals: int = 4, integer: bool = False) -> None:
    """A linear scale of counts, in thousands and millions where they are large."""
    axis.set_major_locator(MaxNLocator(intervals, integer=integer))
    axis.set_major_formatter(EngFormatter(sep=""))


def label_models(axes: Axes, panel: Panel, width: float) -> float:
    """Names beneath the marks; beneath them how many runs have a score, if not all, and the signs of warnings.

    The inches that they need, beyond a line.
    """
    scored = ["" if entry.done == entry.expected else f"{entry.done}/{entry.expected}" for entry in panel.entries]
    below = [f"{count}{warning_marks(entry)}" for count, entry in zip(scored, panel.entries, strict=True)]
    names = panel.own_labels
    room = max(3, round(width * CHARACTERS / len(names)))
    texts = [wrapped(name, room) for name in names]
    upright = any(len(line) > room for text in texts for line in text.splitlines())
    if upright:  # nothing fits side by side: as many lines as there is room for
        most = max(1, int(width / len(names) / LINE))
        texts = [_in_lines(f"{name} {remark}".rstrip(), most) for name, remark in zip(names, below, strict=True)]
    else:
        texts = [f"{text}\n{remark}".rstrip() for text, remark in zip(texts, below, strict=True)]
    axes.set_xticks(range(len(texts)), texts, rotation=90 if upright else 0)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, len(panel.entries) - 0.4)
    lines = [line for text in texts for line in text.splitlines()]
    return max(map(len, lines)) / CHARACTERS if upright else LINE * max(text.count("\n") for text in texts)


def _in_lines(label: str, most: int) -> str:
    """A label in at most so many lines, each as short as can be."""
    texts = (wrapped(label, room) for room in range(1, len(label) + 1))
    return next(text for text in texts if text.count("\n") < most)


def draw_thresholds(axes: Axes, thresholds: Mapping[str, float]) -> None:
    """Lines across a panel, with their names right of them; `keep_apart` moves these where the lines lie close."""
    for name, value in sorted(thresholds.items(), key=lambda item: item[1]):
        line = "dashed" if name == "floor" else "dotted"
        axes.axhline(value, color=THRESHOLD_COLOUR, linestyle=line, linewidth=0.8, zorder=1)
        axes.annotate(
            name, (1, value), xycoords=axes.get_yaxis_transform(), xytext=(2, 0), textcoords="offset points",
            va="center", ha="left", fontsize=SMALL, color=THRESHOLD_COLOUR, annotation_clip=False,
        )  # fmt: skip


def keep_apart(figure: Figure) -> None:
    """Gives all text a place of its own, which only the finished layout tells, and then keeps the layout as it is.

    Titles are broken into lines, names of models that would touch stand upright, and the names of two thresholds
    that lie close move up and down.
    """
    figure.align_ylabels()
    figure.draw_without_rendering()
    changed = [_fit_words(figure, axes) for axes in figure.axes]
    if any(changed):
        figure.draw_without_rendering()
    for axes in figure.axes:
        thresholds = [text for text in axes.texts if isinstance(text, Annotation)]
        for lower, upper in pairwise(thresholds):
            if lower.get_window_extent().overlaps(upper.get_window_extent()):
                lower.set_verticalalignment("top")
                upper.set_verticalalignment("bottom")
    figure.set_layout_engine(None)  # not "none", which stands for an engine: with one each file would be drawn twice


def _fit_words(figure: Figure, axes: Axes) -> bool:
    """Breaks the title of a panel and turns the names beneath it, where they need it; whether they did."""
    before = axes.get_title()
    axes.set_title(wrapped(before, int(_title_room(figure, axes) * CHARACTERS)))
    names = [name for name in axes.get_xticklabels() if name.get_text()]
    boxes = [name.get_window_extent().padded(2) for name in names]
    level = all(name.get_rotation() == 0 for name in names)
    touching = level and any(one.overlaps(other) for one, other in pairwise(boxes))
    if touching:
        texts = [name.get_text().replace("\n", " ") for name in axes.get_xticklabels()]
        axes.set_xticks(axes.get_xticks(), texts, rotation=90)
    return touching or axes.get_title() != before


def _title_room(figure: Figure, axes: Axes) -> float:
    """Inches that a title has: its panel, and on each side as much as there is free on the right."""
    own = axes.get_window_extent()
    others = [other.get_window_extent() for other in figure.axes]
    right = min((box.x0 for box in others if box.x0 >= own.x1 and box.y0 < own.y1 and box.y1 > own.y0), default=None)
    free = (figure.bbox.x1 - own.x1) if right is None else (right - own.x1) / 2
    return (own.width + 2 * min(free, OVERHANG * figure.dpi)) / figure.dpi


def wrapped(label: str, width: int) -> str:
    """A label in lines of at most `width` characters if it has places to break: before its options, and between."""
    if len(label) <= width:
        return label
    name, bracket, options = label.partition("(")
    lines = [name.rstrip(), *textwrap.wrap(bracket + options, width, break_long_words=False, break_on_hyphens=False)]
    return "\n".join(lines)
