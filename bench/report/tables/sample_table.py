"""How far a share of right answers would move on another test set of the same size: its binomial interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import fmean

from ...analysis.digits import number
from ...analysis.grid import Entry, columns
from ...analysis.statistics import wilson
from .cells import Text, interval_text, metric_title
from .writers import Block, Table

TITLE = "As far as the test set tells"
HEADER = ("Task", "Metric", "Model", "Answers", "Mean [binomial 95 %]")
NOTE = (
    "Other seeds move a score, and so would other test answers, which no number of seeds shows: the interval is "
    "Wilson’s, of a share of so many answers. {differences}. All models answer the same questions, so what two of them "
    "may differ by can be less; below it nothing is called a difference."
)
TWO_SIDED = 1.959964
"""The normal's quantile of 97.5 %."""


def sample_blocks(entries: Sequence[Entry]) -> Iterator[Block]:
    """A line for each cell whose metric is a share of a fixed number of test answers; nothing where there is none."""
    shown = [entry for entry in entries if entry.test_answers and entry.metric.kind == "share" and entry.values]
    if not shown:
        return
    column_of = columns(entries)
    texts: list[list[Text]] = [
        [
            tuple(entry.task.split(", ")),
            (metric_title(entry.metric),),
            (column_of[entry.task, entry.model],),
            (f"{entry.test_answers:,}",),
            (_mean(entry),),
        ]
        for entry in shown
    ]
    yield Table(TITLE, HEADER, "lllrl", texts, wide=True)
    yield NOTE.format(differences="; ".join(_differences(shown)))


def _mean(entry: Entry) -> str:
    """The mean of the seeds, and the interval of a share of that many answers."""
    whole, answers = entry.metric.bounds[1], entry.test_answers or 0
    mean = fmean(entry.values.values())
    bounds = wilson(round(mean / whole * answers), answers)
    scaled = bounds._replace(low=whole * bounds.low, high=whole * bounds.high)
    return f"{number(mean, entry.metric.decimals)} {interval_text(scaled, entry.metric.decimals)}"


def _differences(shown: Sequence[Entry]) -> Iterator[str]:
    """For each task and metric how far apart two models must be to differ by more than test answers explain."""
    lines: dict[tuple[str, str], list[Entry]] = {}
    for entry in shown:
        lines.setdefault((entry.task, entry.metric.name), []).append(entry)
    for (task, name), of_line in lines.items():
        metric, answers = of_line[0].metric, of_line[0].test_answers or 1
        share = fmean(fmean(entry.values.values()) for entry in of_line) / metric.bounds[1]
        least = metric.bounds[1] * TWO_SIDED * sqrt(2 * share * (1 - share) / answers)
        unit = "points" if metric.unit == "%" else metric.unit
        yield f"{task} {name}: independent samples of {answers:,} answers differ by up to {least:.2g} {unit}"
