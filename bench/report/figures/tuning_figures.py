"""Figures of a study: the best score against the number of trials, ranks, and the score against each setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...experiments import registry
from ...experiments.config import Experiment
from ...experiments.notation import written
from ...experiments.space import Dimension
from ...rows.store import Row
from ...tuning import budgets
from ...tuning.selection import Searched, by_task, searched
from ..tables.cells import metric_title
from .layout import draw_thresholds, handle, in_house_style, mark_of, scale_scores, sheet, wrapped
from .panels import Look, NothingToDraw, looks_of
from .saving import FORMATS, digest, save

HEIGHT = 1.75
"""Inches: a panel with its title."""
BUDGETS = (
    "Expected best score on validation against the number of trials (Dodge et al. 2019; of errors on the log scale). "
    "Band: one standard deviation to either side, within the scores that there are."
)
SETTINGS = "Score on validation of each trial against one of its settings; ringed: the winner. Cross: it diverged."
RANKS = "Mean rank of the models over tasks by the expected best score on validation, 1 is the best."


def write(
    experiment: Experiment,
    rows: Sequence[Row],
    folder: Path,
    device: str | None = None,
    formats: Sequence[str] = FORMATS,
) -> list[Path]:
    """Writes the figures that these trials give into `folder`; the same rows give the same bytes.

    Raises UsageError where rows are of a CPU and a GPU and `device` does not choose.
    """
    found, written_files = searched(experiment, rows, device), []
    for name, draw in FIGURES.items():
        try:
            figure = draw(found)
        except NothingToDraw:
            continue
        title = f"{experiment.name}: {name}"
        written_files += save(figure, folder / name, digest(rows), title, formats)
    return written_files


@in_house_style
def draw_budgets(found: Sequence[Searched], explained: bool = True) -> Figure:
    """A panel for each task, a line for each model. Raises NothingToDraw where no model has all its trials."""
    tasks = {task: curves for task, of_task in by_task(found).items() if (curves := _curves(of_task))}
    if not tasks:
        raise NothingToDraw("no model has all its trials yet")
    looks = _looks(found)
    page = sheet(len(tasks), HEIGHT)
    for axes, (task, curves) in zip(page.axes, tasks.items(), strict=True):
        values = []
        for one, points in curves:
            look, counts = looks[one.label], [point.trials for point in points]
            axes.plot(
                counts, [point.mean for point in points], linestyle=look.style.line, markersize=3, **mark_of(look)
            )
            axes.fill_between(
                counts,
                [point.low for point in points],
                [point.high for point in points],
                color=look.style.colour,
                alpha=0.08,
                linewidth=0,
            )
            values += [point.mean for point in points]
        metric = curves[0][0].metric
        _scale(axes, curves[0][0], values)
        _finish(axes, task, f"validation {metric_title(metric)}", "trials")
        _ticks(axes, max(len(points) for _, points in curves))
    handles = [handle(label, look) for label, look in looks.items()]
    return page.finish(handles, [BUDGETS] if explained else [])


@in_house_style
def draw_ranks(found: Sequence[Searched], explained: bool = True) -> Figure:
    """The mean rank of each model against the number of trials. Raises NothingToDraw where no task has all trials."""
    ranks, looks = budgets.mean_ranks(by_task(found)).of_model, _looks(found)
    if len(ranks) < 2:
        raise NothingToDraw("no task has all trials of all its models yet")
    page = sheet(1, 2.4)
    (axes,) = page.axes
    for model, at in ranks.items():
        look = looks[model]
        axes.plot(range(1, len(at) + 1), at, linestyle=look.style.line, markersize=3.5, **mark_of(look))
    axes.invert_yaxis()
    _finish(axes, "", "mean rank", "trials")
    _ticks(axes, max(len(at) for at in ranks.values()))
    return page.finish([handle(model, looks[model]) for model in ranks], [RANKS] if explained else [])


@in_house_style
def draw_settings(found: Sequence[Searched], explained: bool = True) -> Figure:
    """A panel for each task and setting that its models share, a mark a trial. Raises NothingToDraw without a trial."""
    panels = [
        (task, dimension, of_task)
        for task, of_task in by_task(found).items()
        if any(one.trials for one in of_task)
        for dimension in (of_task[0].cell.plan.shared if of_task[0].cell.plan is not None else ())
    ]
    if not panels:
        raise NothingToDraw("no trial has come to its end yet")
    looks = _looks(found)
    page = sheet(len(panels), HEIGHT)
    for axes, (task, dimension, of_task) in zip(page.axes, panels, strict=True):
        _draw_setting(axes, dimension, of_task, looks)
        _finish(axes, task, f"validation {metric_title(of_task[0].metric)}", dimension.name)
    handles = [handle(label, look, line=False) for label, look in looks.items()]
    return page.finish(handles, [SETTINGS] if explained else [])


def _draw_setting(axes: Axes, dimension: Dimension, of_task: Sequence[Searched], looks: dict[str, Look]) -> None:
    scores = [trial.score for one in of_task for trial in one.trials if not trial.diverged]
    _scale(axes, of_task[0], scores)
    for rank, one in enumerate(of_task):
        look, winner = looks[one.label], one.winner
        aside = 0.6 * (rank / max(1, len(of_task) - 1) - 0.5)
        places = {trial.number: _place(dimension, trial.settings[dimension.name], aside) for trial in one.trials}
        there = [trial for trial in one.trials if not trial.diverged]
        x, y = [places[trial.number] for trial in there], [trial.score for trial in there]
        axes.plot(x, y, linestyle="none", markersize=3, alpha=0.8, **mark_of(look))
        if winner is not None:
            axes.plot(
                [places[winner.number]], [winner.score], linestyle="none", marker="o", markersize=7, fillstyle="none",
                markeredgecolor=look.style.colour, markeredgewidth=0.6,
            )  # fmt: skip
        crosses = [places[trial.number] for trial in one.trials if trial.diverged]
        axes.plot(
            crosses, [0.02] * len(crosses), linestyle="none", marker="x", markersize=4, color=look.style.colour,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    if dimension.values:
        axes.set_xticks(range(len(dimension.values)), [written(value) for value in dimension.values])
    elif dimension.scale == "log":
        axes.set_xscale("log")


def _place(dimension: Dimension, value: object, aside: float) -> float:
    """Where a value stands: on a list the models are set apart."""
    return dimension.values.index(value) + aside if dimension.values else float(str(value))


def _scale(axes: Axes, one: Searched, values: Sequence[float]) -> None:
    metric = one.metric
    lines = {"floor": metric.floor, "solved": math.nan if metric.solved_at is None else metric.solved_at}
    lines = {name: value for name, value in lines.items() if math.isfinite(value)}
    scale_scores(axes, [*values, *lines.values()], metric.logarithmic)
    draw_thresholds(axes, lines)


def _finish(axes: Axes, title: str, score: str, below: str) -> None:
    axes.set_title(title)
    axes.set_ylabel(wrapped(score, 20))
    axes.set_xlabel(below)


def _ticks(axes: Axes, most: int) -> None:
    """Budgets double, so their axis is logarithmic."""
    counts = [1 << power for power in range(most.bit_length())]
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])


def _curves(of_task: Sequence[Searched]) -> list[tuple[Searched, list[budgets.Expected]]]:
    return [(one, points) for one in of_task if (points := budgets.curve(one))]


def _looks(found: Sequence[Searched]) -> dict[str, Look]:
    """Label of a model -> its look."""
    return looks_of({one.label: registry.short(one.cell.runs[0].model.name) for one in found})


class Draws(Protocol):
    """Draws a figure of a study; explained: with the caption that says how to read it."""

    def __call__(self, found: Sequence[Searched], explained: bool = True) -> Figure:
        """Raises NothingToDraw where the trials have nothing to show."""


FIGURES: dict[str, Draws] = {
    "tuning-budgets": draw_budgets,
    "tuning-ranks": draw_ranks,
    "tuning-settings": draw_settings,
}
"""Name of a figure, and of its files -> what draws it."""
