"""The mean rank of each model over tasks, with its interval: of models that were tuned alike."""

from __future__ import annotations

from matplotlib.figure import Figure

from ...analysis.task_ranks import Ranks, mean_ranks
from .layout import in_house_style, mark_of, sheet
from .panels import Evidence, NothingToDraw
from .style import GRID_COLOUR

LINE = 0.17
"""Inches for each model."""
HOW = (
    "Mean rank over tasks by the mean normalised score of the seeds, 1 is the best; scores that solve a task are "
    "equal. Interval: 95 %, by the bootstrap over seeds; it says nothing of other tasks."
)


@in_house_style
def draw(evidence: Evidence, explained: bool = True) -> Figure:
    """A line for each model, the best on top. explained: with the caption that says how to read it.

    Raises NothingToDraw where settings were not searched for, and where there are no numbers over all tasks.
    """
    ranks = found_in(evidence)
    page = sheet(1, 0.6 + LINE * len(ranks.models))
    (axes,) = page.axes
    for place, line in enumerate(ranks.models):
        look = evidence.looks[line.model]
        if line.interval is not None:
            axes.plot(line.interval[:2], [place, place], color=look.style.colour, linewidth=1.2)
        axes.plot([line.rank], [place], linestyle="none", markersize=4.5, **mark_of(look))
    axes.set_yticks(range(len(ranks.models)), [line.model for line in ranks.models])
    axes.invert_yaxis()
    axes.grid(axis="x", color=GRID_COLOUR, linewidth=0.5)
    axes.set_xlabel("mean rank")
    return page.finish([], how_to_read(ranks) if explained else [])


def found_in(evidence: Evidence) -> Ranks:
    """The ranks of an experiment whose models were tuned alike. Raises NothingToDraw where there are none."""
    if any(entry.trials is None for entry in evidence.entries):
        raise NothingToDraw("ranks are of models that were tuned alike (the block `tune:`)")
    ranks = mean_ranks(evidence.entries)
    if ranks is None:
        raise NothingToDraw("there are no numbers over all tasks: too few tasks, or too few runs of a model on one")
    return ranks


def how_to_read(ranks: Ranks) -> list[str]:
    """The sentences of the caption."""
    left_out = [f"Left out: {', '.join(ranks.left_out)}."] if ranks.left_out else []
    return [HOW, f"Over {'; '.join(ranks.tasks)}.", *left_out]
