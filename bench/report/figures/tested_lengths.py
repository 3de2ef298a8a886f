"""Test scores against the length of the sequences, of runs that were trained at other lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from ....tasks.base import Metric, Task
from ...analysis.digits import number
from ...analysis.samples import Summary, summary
from ..tables.cells import metric_title
from .layout import draw_thresholds, handle, in_house_style, mark_of, origin, scale_scores, sheet, wrapped
from .length_scores import RANGE, same_metric, score_at, shade, trained_at
from .panels import Evidence, NothingToDraw, Panel

HEIGHT = 1.9
"""Inches: a panel with its title."""
SPREAD = 0.25
"""How far the models of one length are set apart, of the smallest ratio between two lengths, on the log scale."""
CAPTION = (
    "Mean test score of the runs that ended (of errors the geometric mean) with its 95 % interval (Student's t), with "
    "the parameters that are best on validation. Models are set apart sideways."
)


class Series(NamedTuple):
    """A panel: its task, the scores of each model by length, and the metric that they are in."""

    panel: Panel
    task: Task
    metric: Metric
    scores: Mapping[str, Mapping[int, Summary]]


@in_house_style
def draw(evidence: Evidence, explained: bool = True) -> Figure:
    """A panel for each task that is tested at other lengths than its own (the setting `test_lengths`).

    explained: with the caption that says how to read it. Raises NothingToDraw where there is no such task with runs
    that have ended.
    """
    shown = _shown(evidence)
    page = sheet(len(shown), HEIGHT)
    for axes, series in zip(page.axes, shown, strict=True):
        _draw_panel(axes, series, evidence)
    labels = dict.fromkeys(label for series in shown for label in series.scores)
    return page.finish(
        [handle(label, evidence.looks[label]) for label in labels], how_to_read(evidence) if explained else []
    )


def how_to_read(evidence: Evidence) -> list[str]:
    """The sentences of the caption."""
    shown = _shown(evidence)
    ranges = [RANGE] if any(series.task.trained_lengths for series in shown) else []
    return [CAPTION, *ranges, *origin([series.panel for series in shown])]


def said(evidence: Evidence) -> str:
    """What the figure shows, for those who cannot see it."""

    def at_lengths(series: Series, label: str) -> str:
        of_model = series.scores[label]
        texts = (f"{number(found.mean, series.metric.decimals)} at {length}" for length, found in of_model.items())
        return f"{label} {', '.join(texts)}"

    parts = (
        f"{trained_at(series.panel.cells[0].runs[0], series.task)}: "
        + "; ".join(at_lengths(series, label) for label in series.scores)
        for series in _shown(evidence)
    )
    return f"Mean test scores against the length of the sequences. {'. '.join(parts)}."


def _shown(evidence: Evidence) -> list[Series]:
    """All panels. Raises NothingToDraw where there is none."""
    shown = [series for panel in evidence.panels() if (series := _series(evidence, panel)) is not None]
    if not shown:
        raise NothingToDraw("no run that has ended was tested at other lengths (the setting test_lengths)")
    return shown


def _series(evidence: Evidence, panel: Panel) -> Series | None:
    """The scores of a task by length; None where no run was tested at another."""
    task = panel.cells[0].runs[0].make_task()
    if task.length_option is None:
        return None
    own, metric = task.options()[task.length_option], panel.entries[0].metric
    scores: dict[str, dict[int, Summary]] = {}
    for cell, label in zip(panel.cells, panel.labels, strict=True):
        rows = [row for _, row in evidence.runs_of(cell) if row["status"] == "done"]
        tested = cell.runs[0].training.test_lengths
        for length in sorted({own, *tested}) if tested else []:
            found = [score_at(row, length, own, metric.name) for row in rows]
            mean = summary(metric, [score for score in found if score is not None])
            if mean is not None:
                scores.setdefault(label, {})[length] = mean
    return Series(panel, task, metric, scores) if scores else None


def _draw_panel(axes: Axes, series: Series, evidence: Evidence) -> None:
    lengths = sorted({length for of_model in series.scores.values() for length in of_model})
    ratio = min((after / before for before, after in pairwise(lengths)), default=2.0)
    models = max(1, len(series.scores) - 1)
    axes.set_xscale("log")
    for rank, (label, of_model) in enumerate(series.scores.items()):
        look = evidence.looks[label]
        aside = ratio ** (SPREAD * (rank / models - 0.5))
        x, y = [length * aside for length in of_model], [found.mean for found in of_model.values()]
        axes.plot(x, y, linestyle=look.style.line, linewidth=0.8, markersize=4.5, clip_on=False, **mark_of(look))
        for place, found in zip(x, of_model.values(), strict=True):
            if found.interval is not None:
                axes.plot(
                    [place, place], found.interval[:2], color=look.style.colour, linewidth=0.7, alpha=0.6, zorder=2
                )
    axes.set_title(trained_at(series.panel.cells[0].runs[0], series.task))
    axes.set_ylabel(wrapped(f"test {metric_title(series.metric)}", 20))
    axes.set_xlabel(series.task.length_option or "")
    means = [found.mean for of_model in series.scores.values() for found in of_model.values()]
    scale_scores(axes, [*means, *_thresholds(series, lengths).values()], series.metric.logarithmic)
    draw_thresholds(axes, _thresholds(series, lengths))
    shade(axes, series.task.trained_lengths)
    axes.set_xlim(lengths[0] / 2, lengths[-1] * ratio**0.5)
    axes.set_xticks(lengths, [str(length) for length in lengths])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _thresholds(series: Series, lengths: Sequence[int]) -> Mapping[str, float]:
    """Floor and solved, as far as they are one at all lengths that are shown: some floors depend on the length."""
    metrics = [same_metric(series.task.at_length(length), series.metric) for length in lengths]
    low, high = min(metric.floor for metric in metrics), max(metric.floor for metric in metrics)
    same = high - low <= 0.02 * abs(high)
    return {name: value for name, value in series.panel.thresholds.items() if name != "floor" or same}
