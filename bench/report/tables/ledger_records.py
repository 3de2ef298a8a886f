"""The ledger for programs: one record a line, with all that is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ...analysis import samples
from ...analysis.cell_scores import BEST
from ...analysis.ledger import Line
from ...analysis.samples import Summary, summary_of_solved
from ...analysis.verdicts import BEST_OF


def long_form(lines: Sequence[Line]) -> pd.DataFrame:
    """One line of the ledger a line, with all that is known of it."""
    frame = pd.DataFrame([_record(line) for line in lines])
    for name in ("published_parameters", "published_solved", "solved", "n", "parameters", "missing", "diverged"):
        if name in frame:
            frame[name] = frame[name].astype("boolean" if name == "published_solved" else "Int64")
    return frame


def scores_of(line: Line) -> tuple[float, ...]:
    """The scores of our runs that are compared; where none of them is of the published run's kind, of all runs."""
    return line.judgement.compared or (() if line.entry is None else tuple(line.entry.values.values()))


def mean_of(line: Line) -> Summary | None:
    """The mean of these scores and its interval, as tables have them; None where there is no score."""
    entry, values = line.entry, scores_of(line)
    if entry is None:
        return None
    if line.number.solved and line.judgement.compared and line.solving is entry:
        return summary_of_solved(entry.metric, values)
    return samples.summary(entry.metric, values)


def mean_of_best(line: Line) -> Summary | None:
    """The mean of the same runs at their best epoch on validation; None where that is the rule of the line anyway."""
    entry = line.entry
    if entry is None or entry.rule == BEST:
        return None
    seeds = line.judgement.seeds or tuple(entry.values)
    values = [entry.best_values[seed] for seed in seeds if seed in entry.best_values]
    return samples.summary(entry.metric, values)


def _record(line: Line) -> dict[str, Any]:
    published, entry, judgement = line.number, line.entry, line.judgement
    mean, best = mean_of(line), mean_of_best(line)
    interval = mean.interval if mean else None
    return {
        "source": published.source,
        "table": published.table,
        "row": published.row,
        "name": published.name,
        "task": published.task,
        "metric": published.metric,
        "direction": published.direction,
        "published": published.printed,
        "published_size": published.size,
        "published_parameters": published.parameters,
        "published_solved": published.solved,
        "smallest_effect": published.smallest_effect or None,
        "effect_reason": published.effect_reason,
        "margin": published.margin or None,
        "margin_reason": published.margin_reason,
        "verdict": judgement.verdict.value,
        "reason": judgement.reason,
        "experiment": line.folder,
        "variant": line.variant,
        "model": entry.model if entry else published.model,
        "device": entry.device if entry else None,
        "preset": entry.preset if entry else None,
        "rule": entry.rule if entry else None,
        "n": entry.done if entry else 0,
        "expected": entry.expected if entry else 0,
        "solved": line.solved,
        "compared": len(judgement.compared),
        "mean": mean.mean if mean else None,
        "mean_kind": ("geometric" if mean.logarithmic else "arithmetic") if mean else None,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "interval": interval.method if interval else None,
        "one_more_run_low": judgement.expected.low if judgement.expected else None,
        "one_more_run_high": judgement.expected.high if judgement.expected else None,
        "half_of_the_interval": judgement.half,
        "between_instructions": judgement.between,
        f"verdict_if_best_of_{BEST_OF}": judgement.if_best.value if judgement.if_best else None,
        "best_on_validation": best.mean if best else None,
        "best_on_validation_low": best.interval.low if best and best.interval else None,
        "best_on_validation_high": best.interval.high if best and best.interval else None,
        "parameters": entry.parameters if entry else None,
        "missing": entry.missing if entry else None,
        "diverged": entry.diverged if entry else None,
        "failed": entry.failed if entry else 0,
        "edited": entry.edited if entry else 0,
        "dirty": entry.dirty if entry else 0,
        "stale": entry.stale if entry else 0,
        "unpublished": line.unpublished,
        "assumed": ", ".join(entry.assumed) if entry else "",
        "commits": ", ".join(entry.commits) if entry else "",
        "note": published.note,
        "row_note": published.row_note,
    }
