"""The reproduction ledger as a picture: every published number, our runs beside it, and the verdict in colour.

Each number has a line of its own with a scale of its own: the published number lies at 0, ours are better to the right,
and the unit is the number's margin, the precision that a reproduction of it needs. Differences of errors are taken on
the log scale, as verdicts take them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...analysis.ledger import Line, metric_of, of_results
from ...analysis.one_more_run import on_scale, size_on_scale
from ...analysis.published import Number
from ...analysis.verdicts import Verdict
from ..tables.ledger_table import ledger
from .layout import LINE, footer, in_house_style
from .panels import NothingToDraw
from .saving import save
from .style import GRID_COLOUR, SMALL, THRESHOLD_COLOUR, WIDTH

FORMATS = ("png", "svg")
COLOURS: dict[Verdict, str] = {
    Verdict.REPRODUCED: "#009E73",
    Verdict.BETTER: "#0072B2",
    Verdict.WORSE: "#D55E00",
    Verdict.INCONCLUSIVE: "#E69F00",
    Verdict.AT_THE_FLOOR: "#56B4E9",
    Verdict.NOT_JUDGED: "#8C8C8C",
    Verdict.NOT_RUN: "#B8B8B8",
    Verdict.CANNOT: "#B8B8B8",
}
"""Those of Okabe and Ito for what was judged, grey for what was not; the verdict stands there in words too."""
WITHOUT = (Verdict.NOT_RUN, Verdict.CANNOT)
"""Of these there is nothing to show but the published number."""
END = 3.5
"""How many margins the axis shows on each side; what lies beyond is a triangle at its end."""
SLOT = 0.152
"""Inches from line to line."""
HALF = WIDTH / 2
"""Inches of one of the two columns."""
AXIS = (1.06, 1.28)
"""Inches within a column: where the axis begins, and how wide it is. Names stand before it, verdicts behind it."""
PUBLISHED: dict[str, Any] = {
    "color": "black", "marker": "*", "markersize": 6, "markerfacecolor": "white", "markeredgewidth": 0.7,
    "linestyle": "none", "zorder": 4,
}  # fmt: skip
CAPTION = (
    "Each line has its own scale: the published number lies at 0, to the right ours is better, and the unit is the "
    "number's margin (shaded: half of an interval must be below it for a reproduction); errors on the log scale. Dots: "
    "our runs; bar: where one more run would fall (95 %); triangles: beyond the axis; grey tick: the floor. Lines "
    "without dots were not run, or cannot be judged."
)


class Row(NamedTuple):
    """A line of the picture: a heading, or a number with our cells beside it (one for each device class)."""

    heading: str
    line: Line | None = None


@in_house_style
def draw(lines: Sequence[Line]) -> Figure:
    """Two columns of lines, family by family. Variants are left out: they stand in the table.

    Raises NothingToDraw where no number is judged.
    """
    judged = [line for line in lines if line.number.judged and not line.variant]
    if not judged:
        raise NothingToDraw("the ledger has no number that is judged")
    columns = _columns(judged)
    slots = max(map(len, columns))
    figure = Figure(figsize=(WIDTH, 1.0))
    entries = _legend(judged)
    beside = 5
    above = LINE * 1.5 * math.ceil(len(entries) / beside) + 0.08
    below = LINE * (footer(figure, [CAPTION]) + 0.5) + 0.42
    height = slots * SLOT + above + below
    figure.set_figheight(height)
    for place, rows in enumerate(columns):
        left = (place * HALF + AXIS[0]) / WIDTH
        bottom = (below + (slots - len(rows)) * SLOT) / height
        axes = figure.add_axes((left, bottom, AXIS[1] / WIDTH, len(rows) * SLOT / height))
        _draw_column(axes, rows)
    figure.legend(
        handles=entries, loc="upper center", ncols=min(beside, len(entries)), frameon=False, handlelength=1.6,
        bbox_to_anchor=(0.5, 1.0), borderpad=0.1,
    )  # fmt: skip
    return figure


def write(stem: Path, device: str | None = None) -> list[Path]:
    """Draws the ledger of the published rows in the folder of `stem`, as STEM.png and STEM.svg; the same bytes for the
    same ledger. Raises OSError where a file cannot be written.
    """
    lines = of_results(stem.parent, device)
    return save(draw(lines), stem, digest(lines), "seqbench: published numbers and ours", FORMATS)


def digest(lines: Sequence[Line]) -> str:
    """16 hex digits for all that the ledger says in these lines, which stand in the figure's files."""
    return hashlib.sha256(ledger(lines, "json").encode()).hexdigest()[:16]


def position(number: Number, score: float) -> float:
    """Where a score lies in the line of a number: its distance in margins, above 0 where it is better.

    A margin that is 0 or has no bound gives no unit; then it is 1 on the scale of the verdict.
    """
    metric = metric_of(number)
    logarithmic = metric is not None and metric.logarithmic
    unit = size_on_scale(number.margin, logarithmic)
    unit = unit if 0 < unit < math.inf else 1.0
    sign = 1.0 if number.direction == "higher" else -1.0
    return sign * (on_scale(score, logarithmic) - on_scale(number.score, logarithmic)) / unit


def _columns(judged: Sequence[Line]) -> list[list[Row]]:
    """The rows in two columns of about one length; a task is not parted."""
    tasks: dict[tuple[str, str], list[Row]] = {}
    for line in judged:
        rows = tasks.setdefault((line.number.task, line.number.metric), [])
        if not rows:
            rows.append(Row(f"{line.number.task}, {line.number.metric}"))
        rows.append(Row("", line))
    blocks = list(tasks.values())
    total = sum(map(len, blocks))
    cut = min(range(1, len(blocks) + 1), key=lambda count: (abs(2 * sum(map(len, blocks[:count])) - total), count))
    return [[row for block in part for row in block] for part in (blocks[:cut], blocks[cut:]) if part]


def _legend(judged: Sequence[Line]) -> list[Any]:
    """The published mark, and a colour for each verdict that is there."""
    found = {line.judgement.verdict for line in judged}
    shown = [verdict for verdict in COLOURS if verdict in found and verdict not in WITHOUT]
    return [
        Line2D([], [], label="published", **PUBLISHED),
        *(Patch(color=COLOURS[verdict], label=verdict.value) for verdict in shown),
    ]


def _draw_column(axes: Axes, rows: Sequence[Row]) -> None:
    axes.set_xlim(-END, END)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xticks([-2, 0, 2], ["−2", "0", "2"])
    axes.set_xlabel("← worse   margins   better →", fontsize=SMALL)
    for slot, row in enumerate(rows):
        if row.line is None:
            _write(axes, -AXIS[0] + 0.05, slot + 0.12, row.heading, "left", weight="bold")
        else:
            _draw_line(axes, slot, row.line)


def _draw_line(axes: Axes, slot: int, line: Line) -> None:
    number, judgement = line.number, line.judgement
    colour = COLOURS[judgement.verdict]
    axes.barh([slot], [2.0], left=-1.0, height=0.78, color="#F2F2F2", zorder=0)
    axes.plot([0, 0], [slot - 0.42, slot + 0.42], color=GRID_COLOUR, linewidth=0.8, zorder=1)
    metric = metric_of(number)
    if metric is not None and math.isfinite(metric.floor):
        _tick(axes, slot, position(number, metric.floor))
    axes.plot([0], [slot], **PUBLISHED)
    scores = judgement.compared or (tuple(line.entry.values.values()) if line.entry is not None else ())
    if judgement.expected is not None:
        _draw_interval(axes, slot, [position(number, bound) for bound in judgement.expected[:2]], colour)
    for score in scores:
        x = position(number, score)
        marker = "o" if abs(x) <= END else "<" if x < 0 else ">"
        axes.plot(
            [min(max(x, -END), END)], [slot], marker=marker, markersize=3, color=colour, markeredgecolor="white",
            markeredgewidth=0.3, linestyle="none", clip_on=False, zorder=5,
        )  # fmt: skip
    _write(axes, -0.55, slot, number.name, "right")
    _write(axes, -0.1, slot, number.printed, "right")
    runs = f", n={line.entry.done}" if line.entry is not None and line.entry.done else ""
    judged = judgement.verdict not in WITHOUT
    if judged:
        at = (AXIS[1] + 0.1) / AXIS[1]
        axes.plot(
            [at], [slot], transform=axes.get_yaxis_transform(), marker="s", markersize=4, color=colour,
            linestyle="none", clip_on=False,
        )  # fmt: skip
    _write(
        axes, AXIS[1] + 0.18, slot, f"{judgement.verdict.value}{runs}", "left",
        color="black" if judged else THRESHOLD_COLOUR,
    )  # fmt: skip


def _draw_interval(axes: Axes, slot: int, bounds: Sequence[float], colour: str) -> None:
    """The bar, with a triangle where it goes on beyond the axis."""
    low, high = sorted(bounds)
    shown = [min(max(bound, -END), END) for bound in (low, high)]
    axes.plot(shown, [slot, slot], color=colour, linewidth=1.6, alpha=0.55, solid_capstyle="butt", zorder=3)
    for bound, at, marker in ((low, shown[0], "<"), (high, shown[1], ">")):
        if bound != at:
            axes.plot([at], [slot], marker=marker, markersize=3.4, color=colour, linestyle="none", clip_on=False)


def _tick(axes: Axes, slot: int, x: float) -> None:
    if abs(x) <= END:
        axes.plot([x, x], [slot - 0.36, slot + 0.36], color=THRESHOLD_COLOUR, linewidth=0.9, zorder=2)


def _write(axes: Axes, inches: float, slot: float, text: str, side: Any, **look: Any) -> None:
    """A text so many inches right of where the axis begins."""
    at = inches / AXIS[1]
    axes.text(
        at, slot, text, transform=axes.get_yaxis_transform(), ha=side, va="center", fontsize=SMALL, **look
    )  # fmt: skip
