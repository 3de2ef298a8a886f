"""Which models of a line are the best: what is bold in a table, and why nothing is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from . import statistics
from .grid import Entry
from .samples import logarithmic
from .statistics import ALPHA


class Standing(NamedTuple):
    """What a line of a table shows, models by `Entry.model`.

    best: None where the line cannot tell. bold: the best and all that are not separated from it. adjusted: the
    Holm-adjusted p of the difference from the best, of each model that was compared. left_out: models that could not
    be compared, with the reason. why: why nothing is bold, in words; "" where something is, or one model is there.
    """

    best: str | None = None
    bold: frozenset[str] = frozenset()
    adjusted: Mapping[str, float] = {}
    left_out: Mapping[str, str] = {}
    why: str = ""


def standing(line: Sequence[Entry]) -> Standing:
    """The standing of the entries of one task and metric.

    Of a task that is solved or not, each run that ended counts as 1 or 0 (diverged: 0), and the exact permutation test
    of these is Fisher's. Of all others the scores are compared by `statistics.separation`, on the scale that their
    means are on. A cell with runs that diverged or failed takes no part then: the scores of the others alone would
    flatter it. Nor does a cell of any task with rows that were edited by hand, or of a model that sees later inputs
    though the task asks that it does not. Missing runs make a sample smaller, and
    one that is too small for any difference to pass takes no part.
    """
    solvable = line[0].metric.solved_at is not None
    left_out = {entry.model: reason for entry in line if (reason := _unfit(entry, solvable))}
    found = {entry.model: entry for entry in line if entry.finished and entry.model not in left_out}
    if len(found) < 2:
        return Standing(left_out=left_out)
    samples = {model: _outcomes(entry) if solvable else list(entry.values.values()) for model, entry in found.items()}
    if not solvable and logarithmic(line[0].metric, [value for values in samples.values() for value in values]):
        samples = {model: [math.log(value) for value in values] for model, values in samples.items()}
    pairs, largest = math.comb(len(samples), 2), max(map(len, samples.values()))
    smallest = {model: statistics.smallest_permutation(len(values), largest) for model, values in samples.items()}
    large = {model: values for model, values in samples.items() if pairs * smallest[model] <= ALPHA}
    left_out |= {model: "too few runs" for model in samples if model not in large}
    if len(large) < 2:
        return Standing(left_out=left_out, why=too_few([len(values) for values in samples.values()]))
    if solvable and not any(map(any, large.values())):
        return Standing(left_out=left_out, why="no run solves the task")
    lower = line[0].metric.direction == "lower" and not solvable
    separation = statistics.separation(large, lower, "permutation" if solvable else "both")
    assert separation is not None
    return Standing(separation.best, separation.inseparable | {separation.best}, separation.adjusted, left_out)


def too_few(sizes: Sequence[int]) -> str:
    """The words for samples of these sizes, two at least, between which no difference can pass.

    >>> too_few([2, 2, 2])
    'with 2 runs a model the smallest p possible is 0.333, and 0.0167 is needed (0.05 over 3 pairs)'
    """
    largest, second, *_ = sorted(sizes, reverse=True)
    smallest, pairs = statistics.smallest_permutation(largest, second), math.comb(len(sizes), 2)
    runs = f"{largest}" if min(sizes) == largest else f"{min(sizes)} to {largest}"
    over = f" ({ALPHA} over {pairs} pairs)" if pairs > 1 else ""
    word = "run" if runs == "1" else "runs"
    return (
        f"with {runs} {word} a model the smallest p possible is {smallest:.3g}, and {ALPHA / pairs:.3g} is needed{over}"
    )


def _unfit(entry: Entry, solvable: bool) -> str:
    """Why a cell cannot be compared."""
    if entry.edited:
        return "edited rows"
    if entry.not_causal:
        return "not causal"
    if solvable:
        return ""
    return "diverged runs" if entry.diverged else "failed runs" if entry.failed else ""


def _outcomes(entry: Entry) -> list[float]:
    """1 for each run that solves the task, 0 for each that does not."""
    return [float(entry.metric.solved(value)) for value in entry.values.values()] + [0.0] * entry.diverged
