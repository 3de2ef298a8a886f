"""Does a published number hold? The verdict on one number, from the runs of one cell.

A published number is one run of somebody else's, so it is held against the interval in which one more run like ours
would fall (`one_more_run`), widened by half of the number's last printed digit. From three runs on. In this order:

- *at the floor*: the published score and the mean of ours are both better than the floor by no more than the smallest
  effect of interest. Two networks that learn nothing agree, and that says nothing.
- *better*, *worse*: the number lies outside of the interval by more than the smallest effect, however wide that is.
- *reproduced*: it does not, and half of the interval is below the number's margin. So a sample that is spread too
  widely reproduces nothing, and one that is very close is not refused for a difference that matters to nobody.
- *inconclusive*: all else. The runs are too few, or too far apart, to tell.

Smallest effect and margin of each number stand with their reasons in the data file (`published`).

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
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

from . import instruction_sets, statistics
from .digits import number as score_text
from .grid import Entry
from .one_more_run import FEWEST, half_width, on_scale, one_more_run, position, size_on_scale, size_text
from .published import Number
from .samples import bounds
from .statistics import Interval

SIZE_TOLERANCE = 0.1
"""How far our parameter count may lie from the published one, as a fraction of it."""
LUCK = 0.05
"""The most probable a false verdict may be, as with an interval of 95 %."""
BEST_OF = 10
"""Every verdict by an interval is also made as if the published number were the best of so many runs."""


class Verdict(enum.StrEnum):
    """What is said of a number; `context` of those that are not judged because they are no claim that we repeat."""

    REPRODUCED = "reproduced"
    BETTER = "better"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"
    AT_THE_FLOOR = "at the floor"
    NOT_JUDGED = "not judged"
    NOT_RUN = "not run"
    CANNOT = "cannot"
    CONTEXT = "context"


@dataclass(frozen=True)
class Judgement:
    """A verdict, why, the runs that it stands on, and where one more of them would fall (None without an interval).

    compared: their scores, seeds the seeds of these. logarithmic: whether `compared` is judged on a log scale. half:
    half of the interval on that scale. between: the standard deviation between sets of vector instructions that is in
    it; None where no run has rows of two sets. if_best: the verdict if the published number is the best of BEST_OF
    runs; None where no interval made the verdict.
    """

    verdict: Verdict
    reason: str
    compared: tuple[float, ...] = ()
    logarithmic: bool = False
    expected: Interval | None = None
    half: float | None = None
    between: float | None = None
    if_best: Verdict | None = None
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Sample:
    """The runs that a number is compared with: seeds and scores, and on which scale."""

    seeds: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    logarithmic: bool = False

    def says(self, verdict: Verdict, reason: str, **more: object) -> Judgement:
        """The judgement that this sample bears."""
        return Judgement(verdict, reason, self.scores, self.logarithmic, seeds=self.seeds, **more)  # type: ignore[arg-type]


def judge(
    number: Number, entry: Entry | None, solving: Entry | None = None, flaws: Mapping[str, int] | None = None
) -> Judgement:
    """The verdict on a number.

    entry: the cell in the number's metric, None where no experiment has it. solving: the same cell in the metric that
    says whether the task is solved (it may be the same one), None where the task is not of that kind. flaws: how
    many rows have what else forbids a verdict, by what that is, such as "of no commit".
    """
    sample = _of_its_kind(number, entry, solving)
    if not number.judged:
        return sample.says(Verdict.CONTEXT, number.note or number.row_note)
    if number.cannot:
        return sample.says(Verdict.CANNOT, number.cannot)
    if entry is None or entry.missing == entry.expected:
        return Judgement(Verdict.NOT_RUN, "")
    reasons = [*_unfit(number, entry, flaws or {})]
    if reasons:
        return sample.says(Verdict.NOT_JUDGED, ", ".join(reasons))
    if solving is not None:
        return _judge_solvable(number, entry, sample)
    return _judge(number, entry, sample)


def chance(count: int) -> float:
    """The most probable that one run does what `count` others, all alike, do not: n^n / (n+1)^(n+1).

    >>> [round(chance(n), 3) for n in (3, 5, 7)]
    [0.105, 0.067, 0.049]
    """
    return (count / (count + 1)) ** count / (count + 1)


def _of_its_kind(number: Number, entry: Entry | None, solving: Entry | None) -> _Sample:
    """Our scores of the runs that solved the task if the published run did, or did not if it did not; all elsewhere."""
    if entry is None:
        return _Sample()
    alike = entry.values
    if solving is not None and number.solved is not None:
        alike = {
            seed: score
            for seed, score in entry.values.items()
            if solving.metric.solved(solving.values.get(seed, math.nan)) == number.solved
        }
    return _Sample(tuple(alike), tuple(alike.values()), entry.metric.logarithmic)


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


def _judge_solvable(number: Number, entry: Entry, sample: _Sample) -> Judgement:
    if number.solved is None:
        return sample.says(Verdict.NOT_JUDGED, "whether the published run solved the task is not said")
    alike = len(sample.scores)
    solved = alike if number.solved else entry.done - alike
    published = "solved it" if number.solved else "did not"
    found = f"{solved}/{entry.done} solved, the published run {published}"
    if alike and alike < FEWEST:
        return sample.says(Verdict.NOT_JUDGED, f"{found}: {FEWEST} like it are needed")
    if not alike:
        if chance(entry.done) > LUCK:
            needed = next(count for count in range(1, 100) if chance(count) <= LUCK)
            return sample.says(Verdict.NOT_JUDGED, f"{found}: {needed} runs unlike it are needed")
        return sample.says(Verdict.WORSE if number.solved else Verdict.BETTER, found)
    mixed = alike < entry.done
    judgement = _judge(number, entry, sample, f"{found}, " if mixed else "")
    # The other heap lies on the worse side of solved runs and on the better side of unsolved ones.
    towards = Verdict.BETTER if number.solved else Verdict.WORSE
    if mixed and judgement.verdict == towards:
        reason = f"{judgement.reason}, the published number lies between the two kinds"
        return sample.says(Verdict.NOT_JUDGED, reason, expected=judgement.expected)
    return judgement


def _judge(number: Number, entry: Entry, sample: _Sample, found: str = "") -> Judgement:
    if len(sample.scores) == entry.done and (reason := _at_the_floor(number, entry, sample)):
        return sample.says(Verdict.AT_THE_FLOOR, reason)
    between = instruction_sets.between(entry, sample.seeds)
    try:
        verdict, expected, half = _by_interval(number, sample, between or 0.0)
        if_best, _, _ = _by_interval(number, sample, between or 0.0, BEST_OF)
    except ValueError as error:
        return sample.says(Verdict.NOT_JUDGED, f"{found}{error}")
    lowest, highest = bounds(entry.metric, sample.scores)
    expected = expected._replace(low=max(expected.low, lowest), high=min(expected.high, highest))
    low, high = (score_text(bound, entry.metric.decimals) for bound in (expected.low, expected.high))
    reason = f"{found}one more run: {low} to {high}"
    if verdict in (Verdict.REPRODUCED, Verdict.INCONCLUSIVE) and math.isfinite(number.margin):
        is_half, margin = (
            size_text(size, sample.logarithmic, entry.metric.decimals)
            for size in (half, size_on_scale(number.margin, sample.logarithmic))
        )
        reason += f", half of it is {is_half} (margin {margin})"
    return sample.says(verdict, reason, expected=expected, half=half, between=between, if_best=if_best)


def _by_interval(number: Number, sample: _Sample, between: float, best_of: int = 1) -> tuple[Verdict, Interval, float]:
    """The verdict, the interval for one more run, and half of it on the verdict's scale, the printed digit left out."""
    logarithmic, lower = sample.logarithmic, number.direction == "lower"
    exact, expected = (
        one_more_run(sample.scores, digit, logarithmic, number.sampling_error, between, best_of, lower)
        for digit in (0.0, number.digit)
    )
    assert exact is not None  # there are three values
    assert expected is not None
    half = half_width(exact, logarithmic)
    where = position(
        on_scale(expected.low, logarithmic),
        on_scale(expected.high, logarithmic),
        on_scale(number.score, logarithmic),
        size_on_scale(number.smallest_effect, logarithmic),
        size_on_scale(number.margin, logarithmic),
        half,
    )
    ours_better = "above" if lower else "below"
    verdicts = {"inside": Verdict.REPRODUCED, "unclear": Verdict.INCONCLUSIVE, ours_better: Verdict.BETTER}
    return verdicts.get(str(where), Verdict.WORSE), expected, half


def _at_the_floor(number: Number, entry: Entry, sample: _Sample) -> str:
    """Why a number says nothing: neither it nor our mean is better than the floor by what matters; "" elsewhere."""
    floor, logarithmic = entry.floor, sample.logarithmic
    if not math.isfinite(floor) or (min(sample.scores) <= 0 and logarithmic):
        return ""
    sign = 1 if number.direction == "lower" else -1
    scores = (number.score, statistics.centre(sample.scores, logarithmic))
    gains = [sign * (on_scale(floor, logarithmic) - on_scale(score, logarithmic)) for score in scores]
    effect = size_on_scale(number.smallest_effect, logarithmic)
    if max(gains) > effect:
        return ""
    published, ours = (size_text(max(0.0, gain), logarithmic, entry.metric.decimals) for gain in gains)
    matters = size_text(effect, logarithmic, entry.metric.decimals)
    at = score_text(floor, entry.metric.decimals)
    return f"better than the floor ({at}) by {published} published and by {ours} here, of which {matters} would matter"
