"""The same runs with two sets of vector instructions, side by side, and what lies between the sets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from ...analysis import instruction_sets, statistics
from ...analysis.contrasts import Contrast, Kind
from ...analysis.digits import NO_NUMBER
from ...analysis.grid import Entry, columns
from ...analysis.one_more_run import size_text
from ...analysis.samples import FEWEST
from .cells import Text, metric_title, scores_text
from .contrast_table import difference_text
from .writers import Block, Table

TITLE = "The same runs with other vector instructions"
HEADER = ("Task", "Metric", "Model", "Sets", "Seeds", "First", "Second", "Difference [95 %]", "Between sets")
NOTE = (
    "Seeds that have rows of both sets; the scores above are of AVX2 where there is such a row. Difference: second "
    "against first, paired by seed, its interval from three seeds on. Between sets: the standard deviation that two "
    "sets add to what seeds show, 0 where the difference is no larger than its own error. Verdicts on published "
    "numbers have it in their interval, and verify takes its tolerance from such pairs."
)


def instruction_blocks(entries: Sequence[Entry]) -> Iterator[Block]:
    """A line for each cell, metric and pair of sets that seeds have rows of; nothing where there is none."""
    column_of = columns(entries)
    texts: list[list[Text]] = [
        [
            tuple(entry.task.split(", ")),
            (metric_title(entry.metric),),
            (column_of[entry.task, entry.model],),
            (f"{names[0]} and {names[1]}",),
            *_compared(entry, names),
        ]
        for entry in entries
        for names in instruction_sets.pairs(entry)
    ]
    if texts:
        yield Table(TITLE, HEADER, "llllrllrr", texts, wide=True)
        yield NOTE


def paired(entry: Entry, names: tuple[str, str]) -> Contrast:
    """The second set against the first over the seeds that both have, with the paired interval by Student's t."""
    first, second = _scores(entry, names)
    differing = instruction_sets.differences(first, second, entry.metric.logarithmic)
    interval = statistics.interval(differing) if len(differing) >= FEWEST else None
    difference = fmean(differing) if differing else math.nan
    kind: Kind = "difference"
    if entry.metric.logarithmic:
        kind, difference = "ratio", math.expm1(difference)
        interval = interval and interval._replace(low=math.expm1(interval.low), high=math.expm1(interval.high))
    return Contrast(names[1], names[0], kind, difference, interval, None, None, math.nan, False)


def _compared(entry: Entry, names: tuple[str, str]) -> list[Text]:
    first, second = _scores(entry, names)
    between = instruction_sets.between(entry)
    metric = entry.metric
    return [
        (str(len(first)),),
        *[(scores_text([*scores.values()], metric),) for scores in (first, second)],
        (difference_text(paired(entry, names), metric.decimals),),
        (NO_NUMBER if between is None else size_text(between, metric.logarithmic, metric.decimals),),
    ]


def _scores(entry: Entry, names: tuple[str, str]) -> list[Mapping[int, float]]:
    """The scores of the seeds that both sets have, of each set."""
    first, second = (entry.by_instructions[name] for name in names)
    shared = sorted(first.keys() & second.keys())
    return [{seed: scores[seed] for seed in shared} for scores in (first, second)]
