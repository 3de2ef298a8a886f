"""The cost of a training step over the commits of the history, as `make speed-history` has measured it.

asv writes a file for each commit into `results/asv/MACHINE`; its own site loads scripts from the network, so that the
figure is drawn here, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...errors import UsageError
from .layout import in_house_style, sheet
from .saving import save
from .style import GRID_COLOUR, Style, styles

BENCHMARK = "training_steps.TrainingStep.time_step"
"""What is drawn: of bench/speed, with a shape and a model as its parameters."""
HEIGHT = 2.0
"""Inches: a panel with its title."""
FORMATS = ("png", "svg")
CAPTION = (
    "Milliseconds of one training step on one thread, over the commits that were measured, in their order: the median, "
    "and a bar from the lower to the upper quartile."
)


class Point(NamedTuple):
    """One commit's milliseconds of a step: the median and the quartiles. place: of the commit in its history."""

    place: int
    ms: float
    low: float
    high: float


@dataclass(frozen=True)
class History:
    """What was measured on one machine.

    commits: the beginnings of their hashes, oldest first. lines: shape -> model -> points, oldest first.
    """

    name: str
    processor: str
    commits: Sequence[str]
    lines: Mapping[str, Mapping[str, Sequence[Point]]]
    digest: str


def histories(folders: Iterable[Path]) -> list[History]:
    """Those of the machines in `asv` beside these experiments, by name; none where there are none.

    Raises UsageError naming the file that asv cannot have written.
    """
    places = sorted({folder.resolve().parent / "asv" for folder in folders})
    machines = [place for parent in places if parent.is_dir() for place in sorted(parent.iterdir()) if place.is_dir()]
    found = (read(place) for place in machines)
    return [history for history in found if history.lines]


def read(place: Path) -> History:
    """The history of one machine's folder; one without lines where nothing of `BENCHMARK` is there."""
    contents = {file: _content(file) for file in sorted(place.glob("*.json"))}
    machine = next((content for file, content in contents.items() if file.name == "machine.json"), {})
    measured = [(file, content) for file, content in contents.items() if "commit_hash" in content]
    measured.sort(key=lambda pair: (pair[1].get("date", 0), pair[0].name))
    commits: list[str] = []
    lines: dict[str, dict[str, list[Point]]] = {}
    for file, content in measured:
        try:
            points = [*_points(content, len(commits))]
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise UsageError(f"{file}: not as asv writes it: {type(error).__name__}: {error}") from error
        if points:
            commits.append(str(content["commit_hash"])[:7])
        for shape, model, point in points:
            lines.setdefault(shape, {}).setdefault(model, []).append(point)
    whole = hashlib.sha256(json.dumps([commits, lines]).encode()).hexdigest()[:16]
    return History(place.name, str(machine.get("cpu", "")), commits, lines, whole)


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file}: not JSON: {error}; make speed-history writes such files") from error
    if not isinstance(content, dict) or not isinstance(content.get("date", 0), int | float):
        raise UsageError(f"{file}: not as asv writes it; make speed-history writes such files")
    return content


def _points(content: Mapping[str, Any], place: int) -> Iterable[tuple[str, str, Point]]:
    """Shape, model and point of each that was measured at a commit: asv keeps lists in the order of the parameters."""
    if BENCHMARK not in content["results"]:
        return
    named = dict(zip(content["result_columns"], content["results"][BENCHMARK], strict=False))
    shapes, models = ([str(value).strip("'") for value in values] for values in named["params"])
    columns = [named["result"], *(named.get(key) or [None] * len(named["result"]) for key in QUARTILES)]
    for (shape, model), value, low, high in zip(product(shapes, models), *columns, strict=True):
        if value is None or value != value:  # not measured, or failed: null or NaN
            continue
        quartiles = (1000 * (value if one is None else one) for one in (low, high))
        yield shape, model, Point(place, 1000 * value, *quartiles)


QUARTILES = ("stats_q_25", "stats_q_75")


@in_house_style
def draw(history: History) -> Figure:
    """A panel for each shape, a line for each model, against the commits.

    Raises UsageError where there is nothing to draw.
    """
    if not history.lines:
        raise UsageError(f"{history.name}: no training step was measured; make speed-history measures it")
    models = list(dict.fromkeys(model for of_model in history.lines.values() for model in of_model))
    looks = styles(models)
    page = sheet(len(history.lines), HEIGHT)
    for axes, (shape, of_model) in zip(page.axes, history.lines.items(), strict=True):
        axes.set_title(shape)
        for model, points in of_model.items():
            _draw_line(axes, points, looks[model])
        axes.set_ylabel("ms")
        axes.set_xticks(range(len(history.commits)), history.commits, rotation=60, ha="right", rotation_mode="anchor")
    handles = [
        Line2D([], [], color=looks[one].colour, marker=looks[one].marker, linestyle=looks[one].line, label=one)
        for one in models
    ]
    where = f"{history.name}: {history.processor}." if history.processor else f"{history.name}."
    return page.finish(handles, [CAPTION, where], [0.35] * len(page.axes))


def said(history: History) -> str:
    """The figure in words: what each model's step cost at the first and at the last commit that has it."""
    parts = [
        f"{shape} {model} {points[0].ms:.3g} to {points[-1].ms:.3g} ms"
        for shape, of_model in history.lines.items()
        for model, points in of_model.items()
    ]
    return f"Training steps from commit {history.commits[0]} to {history.commits[-1]}: {', '.join(parts)}"


def write(history: History, stem: Path) -> list[Path]:
    """Draws and writes STEM.png and STEM.svg; returns their paths."""
    return save(draw(history), stem, history.digest, "Cost of a step over commits", FORMATS)


def _draw_line(axes: Axes, points: Sequence[Point], style: Style) -> None:
    spread = [[max(0.0, one.ms - one.low) for one in points], [max(0.0, one.high - one.ms) for one in points]]
    look: dict[str, Any] = {"color": style.colour, "marker": style.marker, "linestyle": style.line}
    axes.errorbar([one.place for one in points], [one.ms for one in points], yerr=spread, elinewidth=0.7, **look)
    axes.set_yscale("log")
    axes.grid(axis="y", color=GRID_COLOUR, linewidth=0.5)
