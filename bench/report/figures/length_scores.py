"""The share of runs that solve a task, against the length of its sequences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ....tasks.base import Metric, Task
from ...analysis import statistics
from ...analysis.grid import Entry
from ...experiments.notation import Spec
from ...experiments.runs import Run
from ...experiments.runs import label as label_of_spec
from .layout import handle, in_house_style, mark_of, sheet
from .panels import Evidence, NothingToDraw, Panel, warnings
from .style import GRID_COLOUR

HEIGHT = 1.9
"""Inches: a panel with its title."""
SPREAD = 0.16
"""How far the models of one length are set apart, of the smallest distance between two lengths."""
CAPTION = (
    "Share of the runs that solved the task, with its 95 % interval (Wilson); a run that diverged did not solve it. "
    "Models are set apart sideways."
)
ELSEWHERE = "Where a length of training is named, one training is tested at all lengths."
RANGE = "Shaded: the lengths of training."


class Share(NamedTuple):
    """How many runs of a length solved the task, of `ended` that ended."""

    length: int
    solved: int
    ended: int


class Series(NamedTuple):
    """A panel: what its task is called, what its length is called, and the shares of each model.

    trained: the shortest and the longest sequence of training, where the length is that of the test alone.
    """

    title: str
    option: str
    shares: Mapping[str, Sequence[Share]]
    entries: Sequence[Entry]
    trained: tuple[int, int] | None = None


@in_house_style
def draw(evidence: Evidence) -> Figure:
    """A panel for each task that stands in the experiment at several lengths, and for each that is tested at others.

    Raises NothingToDraw where there is no such task that can be solved.
    """
    shown = [series for series in (*_trained(evidence), *_tested(evidence)) if any(series.shares.values())]
    if not shown:
        raise NothingToDraw("there is no solvable task at several lengths with runs that have ended")
    page = sheet(len(shown), HEIGHT)
    for axes, series in zip(page.axes, shown, strict=True):
        axes.set_title(series.title)
        _draw_panel(axes, series, evidence)
    labels = dict.fromkeys(label for series in shown for label in series.shares)
    caption = [CAPTION, *([ELSEWHERE] if any("trained at" in series.title for series in shown) else [])]
    caption += [RANGE] if any(series.trained for series in shown) else []
    return page.finish(
        [handle(label, evidence.looks[label]) for label in labels],
        [*caption, *warnings(entry for series in shown for entry in series.entries)],
    )


def _that_solves(entries: Sequence[Entry]) -> Entry:
    """The entry whose metric says whether the task is solved, if there is one."""
    return next((entry for entry in reversed(entries) if entry.metric.solved_at is not None), entries[0])


def _solvable(evidence: Evidence) -> Iterator[tuple[Panel, Task, str]]:
    """Panels of solvable tasks that have a length, with the task and the option that is its length."""
    for panel in evidence.panels(_that_solves):
        task = panel.cells[0].runs[0].make_task()
        option = task.length_option
        if option is not None and panel.entries[0].metric.solved_at is not None:
            yield panel, task, option


def _trained(evidence: Evidence) -> Iterator[Series]:
    """Tasks that are trained at several lengths and are otherwise the same."""
    families: dict[tuple[Any, ...], list[tuple[int, Panel]]] = {}
    for panel, task, option in _solvable(evidence):
        others = tuple((name, value) for name, value in task.options().items() if name != option)
        families.setdefault((type(task), option, others), []).append((task.options()[option], panel))
    for (_, option, _), members in families.items():
        if len(members) < 2:
            continue
        shares: dict[str, list[Share]] = {}
        for length, panel in sorted(members, key=lambda member: member[0]):
            for label, entry in zip(panel.labels, panel.entries, strict=True):
                ended = entry.done + entry.diverged
                if ended:
                    shares.setdefault(label, []).append(Share(length, entry.solved or 0, ended))
        run = members[0][1].cells[0].runs[0]
        entries = [entry for _, panel in members for entry in panel.entries]
        yield Series(_without(run, option), option, shares, entries)


def _tested(evidence: Evidence) -> Iterator[Series]:
    """Tasks that are trained at one length and tested at others too (the setting `test_lengths`)."""
    for panel, task, option in _solvable(evidence):
        own = task.options()[option]
        metrics = {own: panel.entries[0].metric}
        shares: dict[str, list[Share]] = {}
        for cell, label in zip(panel.cells, panel.labels, strict=True):
            tested = cell.runs[0].training.test_lengths
            rows = [row for _, row in evidence.runs_of(cell) if row["status"] in ("done", "diverged")]
            if not tested or not rows:
                continue
            for length in sorted({own, *tested}):
                metric = metrics.setdefault(length, same_metric(task.at_length(length), metrics[own]))
                scores = (score_at(row, length, own, metric.name) for row in rows)
                solved = sum(score is not None and metric.solved(score) for score in scores)
                shares.setdefault(label, []).append(Share(length, solved, len(rows)))
        yield Series(trained_at(panel.cells[0].runs[0], task), option, shares, panel.entries, task.trained_lengths)


def trained_at(run: Run, task: Task) -> str:
    """The task's label with the lengths of its training in place of the option that is its length."""
    option = task.length_option or ""
    low, high = task.trained_lengths or (task.options()[option],) * 2
    lengths = f"={high}" if low == high else f" {low} to {high}"
    return f"{_without(run, option)}, trained at {option}{lengths}"


def shade(axes: Axes, trained: tuple[int, int] | None) -> None:
    """Marks the lengths of training where they are a range."""
    if trained is not None:
        axes.axvspan(*trained, color=GRID_COLOUR, linewidth=0, zorder=0)


def score_at(row: Mapping[str, Any], length: int, own: int, metric: str) -> float | None:
    """The test score at a length, with the parameters that are best on validation; None where there is none."""
    if length == own:
        return row["scores"].get("best", {}).get("test", {}).get(metric)
    return row.get("lengths", {}).get(str(length), {}).get(metric)


def same_metric(task: Task, metric: Metric) -> Metric:
    """The metric of that name of a task."""
    return next(other for other in task.metrics if other.name == metric.name)


def _without(run: Run, option: str) -> str:
    """The task's label without its length."""
    options = {name: value for name, value in run.task.options.items() if name != option}
    return label_of_spec(Spec(run.task.name, options), run.task_class, run.task_class.variant)


def _draw_panel(axes: Axes, series: Series, evidence: Evidence) -> None:
    lengths = sorted({share.length for shares in series.shares.values() for share in shares})
    gap = min((after - before for before, after in pairwise(lengths)), default=lengths[0])
    step = SPREAD * gap / max(1, len(series.shares) - 1)
    for rank, (label, shares) in enumerate(series.shares.items()):
        look = evidence.looks[label]
        aside = step * (rank - (len(series.shares) - 1) / 2)
        x = [share.length + aside for share in shares]
        y = [share.solved / share.ended for share in shares]
        axes.plot(x, y, linestyle=look.style.line, markersize=4.5, clip_on=False, **mark_of(look))
        for place, share in zip(x, shares, strict=True):
            low, high, _ = statistics.wilson(share.solved, share.ended)
            axes.plot([place, place], [low, high], color=look.style.colour, linewidth=0.7, alpha=0.6, zorder=2)
    shade(axes, series.trained)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    axes.set_xticks(lengths, names_of(lengths))
    axes.set_xlabel(series.option)
    axes.set_ylabel("share solved")
    axes.grid(axis="y", color=GRID_COLOUR, linewidth=0.5)


def names_of(lengths: Sequence[int]) -> list[str]:
    """The lengths as names of places on a linear axis; those that would run into one another stay without."""
    room = max(lengths) / 9
    names, last = [], -float("inf")
    for length in lengths:
        names.append(str(length) if length - last >= room else "")
        last = length if names[-1] else last
    return names
