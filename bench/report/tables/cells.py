"""The words of a table: numbers with sensible digits, the text of a cell, the marks and what they mean.

A cell that scores says mean [95 % interval], n; one of a task that is solved or not leads with how many runs solved it.
Of two runs both scores stand there: they have no interval.

A text is a tuple of parts, so that one format may put them side by side and another one below the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median

from ....tasks.base import Metric
from ...analysis import samples
from ...analysis.digits import NO_NUMBER, number
from ...analysis.grid import Entry
from ...analysis.samples import FEWEST, Summary
from ...analysis.statistics import Interval, wilson
from ...rows.renewals import Staleness

Text = tuple[str, ...]

DIRTY, STALE, ASSUMED, EDITED, NOT_CAUSAL = "*", "†", "‡", "§", "¶"
WITHOUT = ("diverged", "failed", "edited")
"""Why a run that has a row has no score that counts, as fields of `Entry`."""
NOTHING: Text = (NO_NUMBER,)
"""The text of a place that the experiment does not ask for, or of a number that does not exist."""


def metric_text(metric: Metric) -> Text:
    """The metric's name, unit and direction, and from which score on a task counts as solved."""
    title = metric_title(metric)
    if metric.solved_at is None:
        return (title,)
    return title, f"solved {'≤' if metric.direction == 'lower' else '≥'} {metric.solved_at:g}"


def metric_title(metric: Metric) -> str:
    """The metric's name, unit and direction."""
    unit = f" ({metric.unit})" if metric.unit else ""
    return f"{metric.name}{unit} {'↓' if metric.direction == 'lower' else '↑'}"


def cell_text(entry: Entry) -> Text:
    """What a cell says: the score, always with the number of runs behind it and of those that gave none."""
    if entry.missing == entry.expected:
        return ("not run",)
    parts = _solved(entry) if entry.solved is not None else _scores(entry)
    if not parts and entry.missing:
        parts.append(f"{entry.missing} not run")
    parts.extend(f"{count} {word}" for word in WITHOUT if (count := getattr(entry, word)))
    parts[-1] += marks(entry)
    return tuple(parts)


def _scores(entry: Entry) -> list[str]:
    if not entry.done:
        return []
    return [scores_text([*entry.values.values()], entry.metric), _sample(entry.done, entry.expected)]


def _solved(entry: Entry) -> list[str]:
    """A run that diverged is a run that did not solve the task."""
    if not entry.finished:
        return []
    share = entry.solved_share
    parts = [f"{entry.solved}/{entry.finished} solved" + (f" {share_text(share)}" if share else "")]
    if entry.done:
        parts.append(_middle([*entry.values.values()], entry.metric))
    solving = entry.summary_of_solved
    if solving is not None and solving.interval is not None:
        parts.append(f"solved ones {summary_text(solving, entry.metric)}")
    if entry.steps_to_solve is not None:
        parts.append(f"≤ {entry.steps_to_solve:.0f} steps to solve")
    if entry.finished != entry.expected or entry.finished < 2:
        parts.append(_sample(entry.finished, entry.expected))
    return parts


def length_text(entry: Entry, length: int) -> Text:
    """What the runs of a cell score at a length that they were not trained at, with their number."""
    everything = entry.lengths.get(length, {}).values()
    values = [value for value in everything if math.isfinite(value)]
    if not everything:
        return NOTHING
    parts = []
    if entry.metric.solved_at is not None:
        solved, ended = sum(map(entry.metric.solved, values)), len(everything)
        share = f" {share_text(wilson(solved, ended))}" if ended >= FEWEST else ""
        parts.append(f"{solved}/{ended} solved{share}")
        parts += [_middle(values, entry.metric)] if values else []
    elif values:
        parts.append(scores_text(values, entry.metric))
    broken = len(everything) - len(values)
    return (*parts, _sample(len(values), entry.expected), *([f"{broken} not finite"] if broken else []))


def early_text(entry: Entry) -> Text:
    """The mean test score after the first epoch, with its interval and the number of runs."""
    if not entry.early:
        return NOTHING
    return scores_text([*entry.early.values()], entry.metric), _sample(len(entry.early), entry.expected)


def scores_text(values: Sequence[float], metric: Metric) -> str:
    """The mean of some scores with its interval; of one or two scores each of them.

    >>> scores_text([8.1, 8.3], Metric("loss", "nats", "lower", 11.1))
    '8.10 and 8.30'
    """
    if len(values) < FEWEST:
        return " and ".join(number(value, metric.decimals) for value in values)
    found = samples.summary(metric, values)
    assert found is not None  # there is a value
    return summary_text(found, metric)


def _middle(values: Sequence[float], metric: Metric) -> str:
    """The median of some scores; of one or two scores each of them."""
    few = len(values) < FEWEST
    return scores_text(values, metric) if few else f"median {number(median(values), metric.decimals)}"


def summary_text(summary: Summary, metric: Metric) -> str:
    """The mean, and its interval in brackets where there is one.

    >>> summary_text(Summary(8.1, Interval(8.0, 8.2, ""), True), Metric("loss", "nats", "lower", 11.1))
    '8.10 [8.00–8.20]'
    """
    mean = number(summary.mean, metric.decimals)
    return f"{mean} {interval_text(summary.interval, metric.decimals)}" if summary.interval else mean


def interval_text(interval: Interval, decimals: int | None = None) -> str:
    """The bounds in brackets, with "to" between them where a minus sign could be taken for a dash."""
    dash = " to " if interval.low < 0 else "–"
    return f"[{number(interval.low, decimals)}{dash}{number(interval.high, decimals)}]"


def share_text(share: Interval) -> str:
    """An interval of a share in whole percents.

    >>> share_text(Interval(0.5655, 1.0, "Wilson"))
    '[57–100 %]'
    """
    return f"[{100 * share.low:.0f}–{100 * share.high:.0f} %]"


def _sample(count: int, expected: int) -> str:
    """The number of runs behind a number; a single one says that it has no interval."""
    text = f"n={count}" if count == expected else f"n={count} of {expected}"
    return f"{text}: no interval" if count == 1 else text


def marks(entry: Entry) -> str:
    """The signs behind a cell's text; `footnotes` says what they mean."""
    assumed = entry.assumed and entry.missing < entry.expected
    used = (
        (DIRTY, entry.dirty),
        (STALE, entry.stale),
        (ASSUMED, assumed),
        (EDITED, entry.edited),
        (NOT_CAUSAL, entry.not_causal),
    )
    return "".join(sign for sign, is_used in used if is_used)


def footnotes(entries: Iterable[Entry]) -> list[str]:
    """One line for each mark that a table of these entries uses."""
    entries = list(entries)
    used = {mark for entry in entries for mark in marks(entry)}
    meanings = {
        DIRTY: "run with uncommitted changes of the code or of the experiment",
        STALE: str(Staleness(tuple(sorted({name for entry in entries for name in entry.changed})))),
        ASSUMED: f"with settings that the paper does not give: {_assumed(entries)}",
        EDITED: "edited by hand: a row has not the sum that it was written with, or not the id of its configuration, "
        "so nothing of it counts",
        NOT_CAUSAL: "not causal: the model sees later inputs, though the task asks for answers from the inputs so far",
    }
    return [f"{sign} {meaning}" for sign, meaning in meanings.items() if sign in used]


def _assumed(entries: Iterable[Entry]) -> str:
    """The settings that are assumed, for each set of them the models that have it."""
    models_of: dict[tuple[str, ...], dict[str, None]] = {}
    for entry in entries:
        if ASSUMED in marks(entry):
            models_of.setdefault(tuple(sorted(entry.assumed)), {})[entry.model_name] = None
    return "; ".join(f"{', '.join(models)}: {', '.join(settings)}" for settings, models in models_of.items())


def yardsticks(entries: Iterable[Entry]) -> list[str]:
    """One line that names the scores of simple answers, computed from the training split; none where there are none."""
    texts = {}
    for entry in entries:
        if entry.yardsticks:
            scores = (f"{name} {number(value, entry.metric.decimals)}" for name, value in entry.yardsticks.items())
            texts[f"{entry.task} {entry.metric.name}"] = ", ".join(scores)
    listed = "; ".join(f"{what}: {scores}" for what, scores in texts.items())
    return [f"Yardsticks, computed from the training split. {listed}."] if listed else []


def size_text(entry: Entry) -> Text:
    """The parameters' difference from the budget, in percent."""
    if entry.parameters is None or entry.budget is None:
        return NOTHING
    difference = 100 * (entry.parameters / entry.budget - 1)
    return (f"{difference:+.1f} %".replace("-", "−"),)
