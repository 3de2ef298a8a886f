"""Does a published number hold? The verdict on one number, from the runs of one cell.

A published number is one run of somebody else's. So the question is not where our mean lies but where one more run
would: mean ± t·s·√(1 + 1/n), widened by half of the number's last printed digit. Inside, it is reproduced; outside, our
runs are better or worse. From three runs on.

**The scale** is that of the means that tables print (`samples`), so that a number's mean, its interval and its verdict
are of one kind: errors on the log scale, scores of which more is better as they are. No error is below zero, and with
three runs a plain interval often begins there; of a perplexity the log scale is that of the loss. Where runs lie close
together, as most losses do, both scales give the same printed digits.

**A number is not judged** where the rows cannot bear it: fewer than three runs, another preset than `published`, rows
that are dirty, stale, failed, of no commit or edited by hand, a network whose parameters differ from the published ones
by more than a tenth (where those are known), or a run that diverged: the others would be a sample chosen by outcome.
Runs that are still missing do no harm: they are missing because of their number, not of their score.

**Tasks that are solved or not.** Their scores lie in two heaps, four decades apart, and a mean over both means nothing.
So our runs are parted into those that solved the task and those that did not, and the number is compared with the heap
of its kind. At least three runs must be of its kind. Where the other heap is not empty and the
number lies on its side, between the two, there is no verdict. Where none of our runs is of its kind, they are better or
worse only if there are enough of them: a run of its kind has some probability p, and that one published run has it and
none of n runs, has at most the probability max p(1-p)^n = n^n / (n+1)^(n+1), which is below 0.05 from n = 7 on.

Where the published run drew its own test examples and ours share one test set, the draw moves its score and the spread
of our seeds does not show it: `sampling_error` of the number adds 1.96·√2 times itself, once for each of the two sets,
to the half-width in quadrature (on the log scale divided by our mean).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import statistics
from .digits import number as score_text
from .grid import Entry
from .published import Number
from .samples import bounds
from .statistics import Interval

FEWEST = 3
"""The fewest runs that a number is judged by: with two, the interval of one more run is 31 standard deviations wide."""
SIZE_TOLERANCE = 0.1
"""How far our parameter count may lie from the published one, as a fraction of it."""
LUCK = 0.05
"""The most probable a false verdict may be, as with an interval of 95 %."""
NORMAL = 1.959964
"""The 0.975 quantile of the normal distribution."""


class Verdict(enum.StrEnum):
    """What is said of a number; `context` of those that are not judged because they are no claim that we repeat."""

    REPRODUCED = "reproduced"
    BETTER = "better"
    WORSE = "worse"
    NOT_JUDGED = "not judged"
    NOT_RUN = "not run"
    CANNOT = "cannot"
    CONTEXT = "context"


@dataclass(frozen=True)
class Judgement:
    """A verdict, why, the runs that it stands on, and where one more of them would fall (None without an interval).

    logarithmic: whether `compared` is judged on a log scale.
    """

    verdict: Verdict
    reason: str
    compared: tuple[float, ...] = ()
    logarithmic: bool = False
    expected: Interval | None = None


def judge(
    number: Number, entry: Entry | None, solving: Entry | None = None, flaws: Mapping[str, int] | None = None
) -> Judgement:
    """The verdict on a number.

    entry: the cell in the number's metric, None where no experiment has it. solving: the same cell in the metric that
    says whether the task is solved (it may be the same one), None where the task is not of that kind. flaws: how
    many rows have what else forbids a verdict, by what that is, such as "of no commit".
    """
    compared, logarithmic = _of_its_kind(number, entry, solving)
    if not number.judged:
        return Judgement(Verdict.CONTEXT, number.note or number.row_note, compared, logarithmic)
    if number.cannot:
        return Judgement(Verdict.CANNOT, number.cannot, compared, logarithmic)
    if entry is None or entry.missing == entry.expected:
        return Judgement(Verdict.NOT_RUN, "")
    reasons = [*_unfit(number, entry, flaws or {})]
    if reasons:
        return Judgement(Verdict.NOT_JUDGED, ", ".join(reasons), compared, logarithmic)
    if solving is not None:
        return _judge_solvable(number, entry, compared, logarithmic)
    return _judge(number, entry, compared, logarithmic)


def chance(count: int) -> float:
    """The most probable that one run does what `count` others, all alike, do not: n^n / (n+1)^(n+1).

    >>> [round(chance(n), 3) for n in (3, 5, 7)]
    [0.105, 0.067, 0.049]
    """
    return (count / (count + 1)) ** count / (count + 1)


def one_more_run(
    values: Sequence[float], digit: float = 0.0, logarithmic: bool = False, sampling_error: float = 0.0
) -> Interval | None:
    """Where a published run of the same kind would fall, 95 %; None below three values.

    digit: the place value of its last printed digit. sampling_error: see this module. Raises ValueError where
    `logarithmic` and a value is not positive.
    """
    if logarithmic:
        if min(values, default=1.0) <= 0:
            raise ValueError("a score of 0 has no logarithm")
        values = [math.log(value) for value in values]
    interval = statistics.prediction(values)
    if interval is None:
        return None
    middle, half = (interval.low + interval.high) / 2, (interval.high - interval.low) / 2
    half = math.hypot(half, NORMAL * math.sqrt(2) * sampling_error / (math.exp(middle) if logarithmic else 1.0))
    low, high = middle - half, middle + half
    if not logarithmic:
        return Interval(low - digit / 2, high + digit / 2, interval.method)
    low, high = math.exp(low), math.exp(min(high, 700.0))
    return Interval(max(0.0, low - digit / 2), high + digit / 2, f"{interval.method} on the log scale")


def _of_its_kind(number: Number, entry: Entry | None, solving: Entry | None) -> tuple[tuple[float, ...], bool]:
    """Our scores of the runs that solved the task if the published run did, or did not if it did not; all elsewhere."""
    if entry is None:
        return (), False
    logarithmic = entry.metric.logarithmic
    if solving is None or number.solved is None:
        return tuple(entry.values.values()), logarithmic
    alike = (
        score
        for seed, score in entry.values.items()
        if solving.metric.solved(solving.values.get(seed, math.nan)) == number.solved
    )
    return tuple(alike), logarithmic


def _unfit(number: Number, entry: Entry, flaws: Mapping[str, int]) -> list[str]:
    """Why the rows of a cell cannot bear a verdict."""
    reasons = [] if entry.preset == "published" else [f"preset {entry.preset}"]
    present = entry.expected - entry.missing
    counts = {"dirty": entry.dirty, "stale": entry.stale, "edited by hand": entry.edited}
    counts |= {**flaws, "failed": entry.failed}
    reasons += [f"{count} of {present} {word}" for word, count in counts.items() if count]
    if entry.diverged:
        reasons.append(f"{entry.diverged} of {present} diverged, every run must have a score")
    elif entry.done < FEWEST and not entry.failed and not entry.edited:
        reasons.append(f"n={entry.done}, {FEWEST} are needed")
    if number.parameters is not None and entry.parameters is not None:
        difference = entry.parameters / number.parameters - 1
        if not same_size(number.parameters, entry.parameters):
            size = f"{abs(difference):.0%}".replace("%", " %")
            word = "fewer" if difference < 0 else "more"
            reasons.append(f"{size} {word} parameters than published ({number.parameters})")
    return reasons


def same_size(published: int | None, ours: int | None) -> bool:
    """Whether counts of parameters are close enough to compare what they score; so they are where one is unknown."""
    return published is None or ours is None or abs(ours / published - 1) <= SIZE_TOLERANCE


def _judge_solvable(number: Number, entry: Entry, compared: tuple[float, ...], logarithmic: bool) -> Judgement:
    if number.solved is None:
        reason = "whether the published run solved the task is not said"
        return Judgement(Verdict.NOT_JUDGED, reason, compared, logarithmic)
    solved = len(compared) if number.solved else entry.done - len(compared)
    published = "solved it" if number.solved else "did not"
    found = f"{solved}/{entry.done} solved, the published run {published}"
    if compared and len(compared) < FEWEST:
        return Judgement(Verdict.NOT_JUDGED, f"{found}: {FEWEST} like it are needed", compared, logarithmic)
    if not compared:
        if chance(entry.done) > LUCK:
            needed = next(count for count in range(1, 100) if chance(count) <= LUCK)
            reason = f"{found}: {needed} runs unlike it are needed"
            return Judgement(Verdict.NOT_JUDGED, reason, compared, logarithmic)
        return Judgement(Verdict.WORSE if number.solved else Verdict.BETTER, found, compared, logarithmic)
    judgement = _judge(number, entry, compared, logarithmic, f"{found}, " if len(compared) < entry.done else "")
    # The other heap lies on the worse side of solved runs and on the better side of unsolved ones.
    towards = Verdict.BETTER if number.solved else Verdict.WORSE
    if len(compared) < entry.done and judgement.verdict == towards:
        reason = f"{judgement.reason}, the published number lies between the two kinds"
        return Judgement(Verdict.NOT_JUDGED, reason, compared, logarithmic, judgement.expected)
    return judgement


def _judge(number: Number, entry: Entry, compared: tuple[float, ...], logarithmic: bool, found: str = "") -> Judgement:
    try:
        expected = one_more_run(compared, number.digit, logarithmic, number.sampling_error)
    except ValueError as error:
        return Judgement(Verdict.NOT_JUDGED, f"{found}{error}", compared, logarithmic)
    assert expected is not None  # there are three values
    if expected.low <= number.score <= expected.high:
        verdict = Verdict.REPRODUCED
    else:
        ours_is_lower = number.score > expected.high
        verdict = Verdict.BETTER if ours_is_lower == (number.direction == "lower") else Verdict.WORSE
    lowest, highest = bounds(entry.metric, compared)
    expected = expected._replace(low=max(expected.low, lowest), high=min(expected.high, highest))
    low, high = (score_text(bound, entry.metric.decimals) for bound in (expected.low, expected.high))
    return Judgement(verdict, f"{found}one more run: {low} to {high}", compared, logarithmic, expected)
