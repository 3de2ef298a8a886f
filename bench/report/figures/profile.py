"""The performance profile: how large a share of a model's runs reaches at least how much, over all tasks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...analysis import aggregates
from ...analysis.overall import FEWEST_MODELS, FEWEST_RUNS, FEWEST_TASKS, Normalised, normalised
from ..tables.notes import counted
from .layout import handle, in_house_style, mark_of, sheet
from .panels import Evidence, Look, NothingToDraw, warnings
from .style import GRID_COLOUR, THRESHOLD_COLOUR

HEIGHT = 2.2
"""Inches: the panel."""
MARKS = 5
"""How many marks stand on a line, between 0 and 1."""
BEYOND, FARTHEST = 0.04, 1.25
"""How far the axis goes on behind the highest score, and the most that it shows of scores above 1."""
ROUNDING = 1e-9
"""Scores that lie above 1 by less are 1: a geometric mean of equal numbers is not quite that number."""
LEVELS = (0.0, 0.5, 0.9)
"""Where `said` reads the lines off."""
HOW = (
    "A line says how large a share of the model's runs has a normalised score above τ, the mean over the tasks: the "
    "higher, the better (Agarwal et al. 2021). 0: the floor; 1: the task is solved, or the mean of its best model. A "
    "run that diverged is at the floor or the worst."
)
BAND = "Band: 95 %, stratified bootstrap over runs; too narrow for few of them."
FAR = "Scores above {end:g} lie beyond the axis."


@in_house_style
def draw(evidence: Evidence, explained: bool = True) -> Figure:
    """One panel with a line for each model, with its band.

    The tasks and their scale are those of the table over all tasks. explained: False leaves the caption out, for where
    `how_to_read` stands beside the figure. Raises NothingToDraw below three tasks of two
    models, or five runs of one of them.
    """
    found = found_in(evidence)
    end = _end(found)
    page = sheet(1, HEIGHT, wide=explained)
    (axes,) = page.axes
    for rank, model in enumerate(found.models):
        _draw_model(axes, found.of(model), model, evidence.looks[model], end, (rank + 0.5) / len(found.models))
    axes.set_xlim(0, end)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_xlabel("normalised score τ")
    axes.set_ylabel("share of runs above τ")
    axes.grid(axis="y", color=GRID_COLOUR, linewidth=0.5)
    if end > 1:
        axes.axvline(1, color=THRESHOLD_COLOUR, linestyle="dotted", linewidth=0.8, zorder=1)
    return page.finish(
        [handle(model, evidence.looks[model]) for model in found.models],
        [*how_to_read(found), *_what(found), *warnings(evidence.entries)] if explained else [],
    )


def found_in(evidence: Evidence) -> Normalised:
    """The normalised scores that the profile shows. Raises NothingToDraw where the table has no aggregates either."""
    found = normalised(evidence.entries)
    if found is None:
        raise NothingToDraw(
            f"scores are compared over the tasks where there are {FEWEST_TASKS} tasks or more that {FEWEST_MODELS} "
            f"models or more have {FEWEST_RUNS} runs of"
        )
    return found


def how_to_read(found: Normalised) -> list[str]:
    """The sentences of the caption on what a line and its band mean."""
    end = _end(found)
    far = [FAR.format(end=end)] if any(score > end + ROUNDING for score in chain(*_strata(found))) else []
    return [HOW, BAND, *far]


def said(found: Normalised) -> str:
    """The profile in words, for those who cannot see it: the shares at some levels, model by model."""
    levels = ", ".join(f"{level:g}" for level in LEVELS)
    shares = (
        f"{model} " + ", ".join(f"{share:.2f}" for share in aggregates.performance_profile(found.of(model), LEVELS))
        for model in found.models
    )
    return f"Performance profile over {len(found.tasks)} tasks: share of runs above {levels}: {'; '.join(shares)}."


def _what(found: Normalised) -> list[str]:
    """The sentences of the caption on which runs these are."""
    left_out = [f"Left out: {', '.join(found.left_out)}."] if found.left_out else []
    return [f"Over {'; '.join(found.tasks)}; {counted(map(len, _strata(found)))}.", *left_out]


def _strata(found: Normalised) -> list[list[float]]:
    """The scores of every model on every task."""
    return [scores for model in found.models for scores in found.of(model)]


def _end(found: Normalised) -> float:
    """Where the axis ends: at 1, or a little behind the highest score above it."""
    highest = max(chain(*_strata(found)))
    return 1.0 if highest < 1 + ROUNDING else min(highest + BEYOND, FARTHEST)


def _draw_model(axes: Axes, tasks: Sequence[Sequence[float]], name: str, look: Look, end: float, aside: float) -> None:
    """The line, its band and its marks. aside: where a mark stands in its part of the axis, from 0 to 1."""
    # a share changes only at a score, so that a step at each of them is the whole profile and not a sample of it
    steps = [0.0, *sorted({score for scores in tasks for score in scores if 0 < score < end}), end]
    look_of_line, colour = mark_of(look), look.style.colour
    shares = aggregates.performance_profile(tasks, steps)
    axes.plot(
        steps, shares, color=colour, linestyle=look.style.line, drawstyle="steps-post", zorder=look_of_line["zorder"]
    )
    band = aggregates.profile_interval(tasks, steps, "performance profile", name)
    if band is not None:
        axes.fill_between(steps, *band, step="post", color=colour, alpha=0.15, linewidth=0)
    # between the corners, and elsewhere for each model: lines that lie on one another can still be told apart
    places = [(part + aside) / MARKS for part in range(MARKS)]
    at = aggregates.performance_profile(tasks, places)
    axes.plot(places, at, linestyle="none", markersize=3.5, clip_on=False, **look_of_line)
