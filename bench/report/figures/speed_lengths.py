"""The cost of a training step against the length of its sequences and against their number, as measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .layout import in_house_style, sheet
from .saving import save
from .style import GRID_COLOUR, Style, styles

HEIGHT = 2.2
"""Inches: a panel with its title."""
FORMATS = ("png", "svg")
CAPTION = "Milliseconds of one training step; the grey line is in proportion. In brackets the fitted exponent."


@in_house_style
def draw(content: Mapping[str, Any]) -> Figure:
    """Two panels, against T at one batch and against B at one length, with a line for each model.

    content: a file of `seqbench speed`, with `lengths` in it.
    """
    lengths, machine = content["lengths"], content.get("machine", {})
    exponents = {row["model"]: row for row in lengths["exponents"]}
    looks = styles(exponents)
    page = sheet(2, HEIGHT)
    for axes, against, fixed, name in zip(page.axes, ("steps", "batch"), ("batch", "steps"), "TB", strict=True):
        points = _series(lengths["points"], against, fixed)
        value = next((point[fixed] for line in points.values() for point in line), None)
        axes.set_title(f"{lengths['task']}, {'B' if name == 'T' else 'T'} = {value}")
        for model, line in points.items():
            fitted = exponents[model][against]
            label = model if fitted is None else f"{model} ({fitted:.2f})"
            _draw_line(axes, [point[against] for point in line], [point["ms"] for point in line], looks[model], label)
        _proportion(axes, [(point[against], point["ms"]) for line in points.values() for point in line])
        axes.set_xlabel("steps T of a sequence" if name == "T" else "sequences B of a batch")
        axes.set_ylabel("ms")
        axes.legend(frameon=False, loc="upper left", handlelength=2.6)
    known = ("processor", "threads", "dtype", "torch", "commit")
    facts = [f"{key} {str(machine[key])[: 40 if key != 'commit' else 10]}" for key in known if machine.get(key)]
    shared = ["Measured on a machine that did other work: no measure of speed."] if machine.get("shared") else []
    return page.finish([], [CAPTION, *shared, ", ".join(facts) + "."])


def write(content: Mapping[str, Any], stem: Path) -> list[Path]:
    """Draws and writes STEM.png and STEM.svg; returns their paths."""
    return save(draw(content), stem, str(content.get("machine", {}).get("commit"))[:16], "Cost of a step", FORMATS)


def _series(points: Sequence[Mapping[str, Any]], against: str, fixed: str) -> dict[str, list[Mapping[str, Any]]]:
    """The points of each model that differ in `against` alone: those at the commonest value of the other."""
    values = [point[fixed] for point in points]
    common = max(dict.fromkeys(values), key=values.count) if values else None
    chosen: dict[str, list[Mapping[str, Any]]] = {}
    for point in sorted(points, key=lambda point: point[against]):
        if point[fixed] == common and point["ms"]:
            chosen.setdefault(point["model"], []).append(point)
    return chosen


def _draw_line(axes: Axes, x: Sequence[float], y: Sequence[float], style: Style, label: str) -> None:
    axes.plot(x, y, color=style.colour, marker=style.marker, linestyle=style.line, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(axis="y", color=GRID_COLOUR, linewidth=0.5)


def _proportion(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """A line of slope 1 through the cheapest of the largest points."""
    if points:
        largest = max(x for x, _ in points)
        least = min(x for x, _ in points)
        top = min(y for x, y in points if x == largest)
        axes.add_line(Line2D([least, largest], [top * least / largest, top], color="#999999", linewidth=0.7, zorder=0))
