"""Which models of a line are the best: what is bold in a table, and why nothing is.

A line whose experiment names a reference has planned contrasts, and no other comparisons (`contrasts`). Bold are then
the models that are found to be better than the reference; where there are none, the reference and every model that is
not found to be worse. Elsewhere all pairs are compared (`statistics.separation`), and bold are the best and every model
that is not separated from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from . import statistics
from .contrasts import Contrast, contrasts
from .grid import Entry
from .samples import FEWEST, logarithmic
from .statistics import ALPHA


class Standing(NamedTuple):
    """What a line of a table shows, models by `Entry.model`.

    best: None where the line cannot tell. bold: see this module. adjusted: the Holm-adjusted p of the difference from
    the best (of planned contrasts from the reference), of each model that was compared. left_out: models that could not
    be compared, with the reason. why: why nothing is bold, in words; "" where something is, or one model is there.
    contrasts: the differences, from the reference where they are planned, else from the best; none of samples of one
    or two runs. planned: whether the experiment named the reference. sizes: runs of the models that were compared, of
    planned contrasts the reference's first.
    """

    best: str | None = None
    bold: frozenset[str] = frozenset()
    adjusted: Mapping[str, float] = {}
    left_out: Mapping[str, str] = {}
    why: str = ""
    contrasts: tuple[Contrast, ...] = ()
    planned: bool = False
    sizes: tuple[int, ...] = ()


def standing(line: Sequence[Entry]) -> Standing:
    """The standing of the entries of one task and metric.

    Of a task that is solved or not, each run that ended counts as 1 or 0 (diverged: 0), and the exact permutation test
    of these is Fisher's. Of all others the scores are compared on the scale that their means are on. A cell with runs
    that diverged or failed takes no part then: the scores of the others alone would flatter it. Nor does a cell of any
    task with rows that were edited by hand, or of a model that sees later inputs though the task asks that it does not.
    Missing runs make a sample smaller, and one that is too small for any difference to pass takes no part.
    """
    solvable = line[0].metric.solved_at is not None
    left_out = {entry.model: reason for entry in line if (reason := _unfit(entry, solvable))}
    found = {entry.model: entry for entry in line if entry.finished and entry.model not in left_out}
    if len(found) < 2:
        return Standing(left_out=left_out)
    samples = {model: _outcomes(entry) if solvable else list(entry.values.values()) for model, entry in found.items()}
    on_logs = not solvable and logarithmic(line[0].metric, [value for values in samples.values() for value in values])
    if on_logs:
        samples = {model: [math.log(value) for value in values] for model, values in samples.items()}
    lower = line[0].metric.direction == "lower" and not solvable
    if any(entry.reference is not None for entry in line):
        return _planned(found, samples, left_out, lower, on_logs, solvable)
    return _of_all_pairs(samples, left_out, lower, on_logs, solvable)


def _planned(
    found: Mapping[str, Entry],
    samples: Mapping[str, Sequence[float]],
    left_out: dict[str, str],
    lower: bool,
    on_logs: bool,
    solvable: bool,
) -> Standing:
    """By planned contrasts; rows of the experiment with references of their own are families of their own."""
    family_of: dict[str, list[str]] = {}
    for model, entry in found.items():
        if entry.reference is None:
            left_out[model] = "no reference was named for it"
        elif entry.reference not in samples:
            left_out[model] = f"its reference {entry.reference} cannot be compared"
        elif entry.reference != model:
            family_of.setdefault(entry.reference, []).append(model)
    if not family_of:
        return Standing(left_out=left_out, planned=True)
    made: list[Contrast] = []
    for reference, models in family_of.items():
        family = {model: samples[model] for model in (reference, *models)}
        made += contrasts(family, reference, on_logs, solvable)
    compared = [*dict.fromkeys(one for reference, models in family_of.items() for one in (reference, *models))]
    standing = Standing(
        left_out=left_out,
        contrasts=tuple(made),
        planned=True,
        sizes=tuple(len(samples[model]) for model in compared),
    )
    if solvable and not any(map(any, samples.values())):
        return standing._replace(why="no run solves the task")
    if not any(_can_be_found(samples, one, len(family_of[one.reference])) for one in made):
        runs = " and ".join(str(size) for size in sorted({*standing.sizes}))
        many = f"{len(made)} planned contrast{'' if len(made) == 1 else 's'}"
        return standing._replace(why=f"with {runs} runs a model and {many} no difference can be found")
    better = {one.model for one in made if one.found and (one.difference < 0) == lower}
    worse = {one.model for one in made if one.found} - better
    bold = better or {model for model in compared if model not in worse}
    means = {model: sum(samples[model]) / len(samples[model]) for model in bold}
    best = (min if lower else max)(means, key=lambda model: means[model])
    return standing._replace(best=best, bold=frozenset(bold), adjusted={one.model: one.adjusted for one in made})


def _can_be_found(samples: Mapping[str, Sequence[float]], contrast: Contrast, family: int) -> bool:
    """Whether samples of these sizes can have a difference that is found, if it is large enough."""
    sizes = len(samples[contrast.model]), len(samples[contrast.reference])
    smallest = statistics.smallest_permutation(*sizes)
    return smallest * family <= ALPHA if contrast.kind == "share" else smallest <= ALPHA


def _of_all_pairs(
    samples: Mapping[str, Sequence[float]], left_out: dict[str, str], lower: bool, on_logs: bool, solvable: bool
) -> Standing:
    pairs, largest = math.comb(len(samples), 2), max(map(len, samples.values()))
    smallest = {model: statistics.smallest_permutation(len(values), largest) for model, values in samples.items()}
    large = {model: values for model, values in samples.items() if pairs * smallest[model] <= ALPHA}
    left_out |= {model: "too few runs" for model in samples if model not in large}
    compared = samples if len(large) < 2 else large
    if solvable and len(large) >= 2 and not any(map(any, large.values())):
        return Standing(left_out=left_out, why="no run solves the task")
    separation = statistics.separation(compared, lower, "permutation" if solvable else "both")
    assert separation is not None
    from_best = tuple(
        one._replace(adjusted=separation.adjusted[one.model], found=one.model not in separation.inseparable)
        for one in contrasts(compared, separation.best, on_logs, solvable)
    )
    sizes = tuple(map(len, compared.values()))
    if len(large) < 2:  # the intervals say how much may be there all the same, but for two values
        why, shown = too_few(sizes), from_best if min(sizes) >= FEWEST and any(map(any, samples.values())) else ()
        return Standing(left_out=left_out, why=why, contrasts=shown, sizes=sizes)
    bold = separation.inseparable | {separation.best}
    return Standing(separation.best, bold, separation.adjusted, left_out, contrasts=from_best, sizes=sizes)


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
