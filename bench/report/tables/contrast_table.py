"""The differences of a table's models: from the reference that was named beforehand, or from the best of the row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ....tasks.base import Metric
from ...analysis import power
from ...analysis.contrasts import Contrast
from ...analysis.digits import NO_NUMBER, number
from ...analysis.grid import Entry, columns
from ...analysis.standing import Standing
from ...analysis.statistics import ALPHA, smallest_permutation
from .cells import Text, metric_title
from .writers import Block, Table

PLANNED, FROM_BEST = "Planned contrasts", "Differences from the best of the row"
TITLES = {True: PLANNED, False: FROM_BEST}
HEADER = ("Task", "Metric", "Contrast", "Difference [95 %]", "p (Welch)", "p (permutation)", "p (Holm)", "Found")
Lines = Mapping[tuple[str, str], Standing]


def contrast_blocks(lines: Lines, entries: Sequence[Entry]) -> Iterator[Block]:
    """A table of the planned contrasts and one of the differences from the best, each with its note; none without."""
    column_of = columns(entries)
    metrics = {(entry.task, entry.metric.name): entry.metric for entry in entries}
    for planned, title in TITLES.items():
        shown = {place: one for place, one in lines.items() if one.contrasts and one.planned == planned}
        if not shown:
            continue
        texts: list[list[Text]] = [
            [
                tuple(place[0].split(", ")),
                (metric_title(metrics[place]),),
                (f"{column_of[place[0], one.model]} against {column_of[place[0], one.reference]}",),
                *contrast_texts(one, metrics[place]),
            ]
            for place, standing in shown.items()
            for one in standing.contrasts
        ]
        yield Table(title, HEADER, "lllrrrrl", texts, wide=True)
        yield " ".join([_how_made(planned), *_power(shown, metrics, planned)])


def contrast_texts(contrast: Contrast, metric: Metric) -> list[Text]:
    """The places of one contrast: the difference with its interval, three p, and whether it is found."""
    p_values = [number(one) for one in (contrast.welch, contrast.permutation, contrast.adjusted)]
    return [
        (difference_text(contrast, metric.decimals),),
        *[(text,) for text in p_values],
        ("found" if contrast.found else "not found",),
    ]


def difference_text(contrast: Contrast, decimals: int | None = None) -> str:
    """A difference with its interval: in percent or as a factor, in the metric's unit, or as a share of the runs.

    >>> from ...analysis.statistics import Interval
    >>> made = Contrast("lstm", "tcn", "ratio", 0.0257, Interval(0.0082, 0.0434, ""), 0.01, 0.02, 0.02, True)
    >>> difference_text(made), difference_text(made._replace(difference=9.0, interval=Interval(1.0, 49.0, "")))
    ('+2.57 % [+0.82 to +4.34]', '× 10.0 [2.00 to 50.0]')
    """
    bounds = contrast.interval[:2] if contrast.interval else ()
    values = (contrast.difference, *bounds)
    if contrast.kind == "difference":
        texts, unit = [_signed(value, number(abs(value), decimals)) for value in values], ""
    elif contrast.kind == "share":
        texts, unit = [_signed(value, f"{100 * abs(value):.0f}") for value in values], " % of runs"
    elif max(abs(math.log1p(max(value, -1 + 1e-300))) for value in values) < math.log(2):
        texts, unit = [_signed(value, f"{100 * abs(value):.2f}") for value in values], " %"
    else:
        texts, unit = [number(1 + value) for value in values], ""
        texts[0] = f"× {texts[0]}"
    interval = f" [{texts[1]} to {texts[2]}]" if bounds else f" {NO_NUMBER}"
    return f"{texts[0]}{unit}{interval}"


def _signed(value: float, size: str) -> str:
    return f"{'−' if value < 0 else '+'}{size}"


def _how_made(planned: bool) -> str:
    if planned:
        return (
            "Each model against the one that the experiment names as reference. A difference is found where Welch’s p, "
            "corrected for the row’s contrasts (Holm), is at most 0.05 and the permutation test’s own is too; of "
            "solved runs where Fisher’s is, corrected so. What is not found may be there: the interval says how large."
        )
    return (
        "No reference was named beforehand, so p (Holm) is the larger of both tests’, corrected for all pairs of the "
        "row; the intervals are not corrected. What is not found may be there: the interval says how large."
    )


def _power(lines: Lines, metrics: Mapping[tuple[str, str], Metric], planned: bool) -> Iterator[str]:
    """What differences such tables find, for the models and seeds of each line; each sentence once."""
    said: dict[str, list[str]] = {}
    for place, standing in lines.items():
        text = _of_shares(standing) if metrics[place].solved_at is not None else _of_scores(standing, planned)
        said.setdefault(text, []).append(" ".join(place))
    for text, places in said.items():
        where = "" if len(said) == 1 else f" ({'; '.join(places)})"
        yield f"Power{where}: {text}."


def _of_scores(standing: Standing, planned: bool) -> str:
    sizes = standing.sizes
    if planned:
        shares = [power.of_contrasts(sizes[0], sizes[1:], shift) for shift in power.SHIFTS]
    else:
        shares = [power.of_pairs(sizes, shift) for shift in power.SHIFTS]
    counts = [f"{100 * share:.0f}" for share in shares]
    return (
        f"with {_runs(sizes)} a difference of 1, 2 and 3 standard deviations is found in {', '.join(counts[:-1])} and "
        f"{counts[-1]} of 100 such tables"
    )


def _of_shares(standing: Standing) -> str:
    family = len(standing.contrasts) if standing.planned else math.comb(len(standing.sizes), 2)
    first, second, *_ = sorted(standing.sizes, reverse=True)
    corrected = min(1.0, family * smallest_permutation(first, second))
    found = "is found" if corrected <= ALPHA else "is not found"
    return f"that all of {first} runs solve the task and none of {second} others {found} (p at least {corrected:.3g})"


def _runs(sizes: Sequence[int]) -> str:
    fewest, most = min(sizes), max(sizes)
    runs = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"{len(sizes)} models of {runs} runs"
