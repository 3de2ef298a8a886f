"""A table for programs: one record for each cell and metric, with all that the printed table says of it and more."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

import pandas as pd

from ...analysis import instruction_sets
from ...analysis.cell_scores import BEST
from ...analysis.grid import Entry
from ...analysis.overall import Line, Overall, overall
from ...analysis.samples import Summary, summary, summary_of_solved
from ...analysis.standing import Standing, standing
from . import cost_table

WHOLE = ("length", "solved", "expected", "done", "diverged", "failed", "missing", "dirty", "stale", "edited")
"""Columns of whole numbers that may be empty, beside those of costs."""
BOOLEAN = ("bold", "best", "planned", "found")


def long_form(entries: Iterable[Entry]) -> pd.DataFrame:
    """One line for each entry (`kind` cell), each of its numbers at a `length` that it was not trained at (`kind`
    length), and each number over all tasks (`kind` aggregate).

    `seed_S` is the score of seed S, empty where it has none. `mean` with its interval `low` … `high` is what the
    printed table shows: of all scores, or, where a task is solved or not, of those that solve it (`mean_of`), geometric
    or arithmetic (`mean_kind`). `p_value` is the Holm-adjusted p of the difference from the best of the row,
    or from the reference where contrasts are `planned`. `difference` and its interval are from the model
    `contrast_with`, of the kind that `contrasts.Contrast` explains.
    """
    entries = list(entries)
    lines = standings(entries)
    records = [_record(entry, lines[entry.task, entry.metric.name]) for entry in entries]
    found = overall(entries)
    at_lengths = [record for entry in entries for record in _at_lengths(entry)]
    frame = pd.DataFrame(records + at_lengths + (list(_aggregates(found)) if found else []))
    for name in (*WHOLE, *cost_table.whole()):
        if name in frame and not any(isinstance(value, str) for value in frame[name]):  # of a size: unknown
            frame[name] = frame[name].astype("Int64")
    for name in BOOLEAN:
        if name in frame:
            frame[name] = frame[name].astype("boolean")
    for seed in sorted({seed for entry in entries for seed in entry.seeds}):
        scores = [entry.values.get(seed) for entry in entries]
        scores += [values.get(seed) for entry in entries for values in entry.lengths.values()]
        scores += [None] * (len(frame) - len(scores))
        frame[f"seed_{seed}"] = pd.Series(scores, dtype="float64")
    return frame


def as_json(entries: Iterable[Entry]) -> str:
    """The long form as a JSON list of objects; what is not there is null."""
    frame = long_form(entries)
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return json.dumps(records, indent=1, ensure_ascii=False) + "\n"


def standings(entries: Iterable[Entry]) -> dict[tuple[str, str], Standing]:
    """(task, metric) -> what that line of the table shows, in the order of the entries."""
    lines: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        lines.setdefault((entry.task, entry.metric.name), []).append(entry)
    return {place: standing(line) for place, line in lines.items()}


def _record(entry: Entry, line: Standing) -> dict[str, Any]:
    metric, values = entry.metric, list(entry.values.values())
    found = entry.summary if entry.solved is None else entry.summary_of_solved
    share = entry.solved_share
    return {
        "kind": "cell",
        "task": entry.task,
        "metric": metric.name,
        "unit": metric.unit,
        "direction": metric.direction,
        "floor": entry.floor,
        "yardsticks": ", ".join(f"{name}={value}" for name, value in entry.yardsticks.items()),
        "solved_at": metric.solved_at,
        "model": entry.model,
        "model_name": entry.model_name,
        "preset": entry.preset,
        "rule": entry.rule,
        "device": entry.device,
        "expected": entry.expected,
        "done": entry.done,
        "diverged": entry.diverged,
        "failed": entry.failed,
        "missing": entry.missing,
        "solved": entry.solved,
        "solved_low": share.low if share else None,
        "solved_high": share.high if share else None,
        "steps_to_solve": entry.steps_to_solve,
        "mean_of": "scores" if entry.solved is None else "scores that solve the task",
        **_mean(found),
        "median": median(values) if values else None,
        "minimum": min(values, default=None),
        "maximum": max(values, default=None),
        "best": line.best == entry.model,
        "bold": entry.model in line.bold,
        "p_value": line.adjusted.get(entry.model),
        "comparison": line.why or line.left_out.get(entry.model, ""),
        **_contrast(entry, line),
        **_instructions(entry),
        **cost_table.values(entry),
        "assumed": ", ".join(entry.assumed),
        **_early(entry),
        "dirty": entry.dirty,
        "stale": entry.stale,
        "edited": entry.edited,
        "commits": ", ".join(entry.commits),
        "remarks": " ".join(entry.remarks),
        "note": entry.note,
        **({"decides": entry.decides} if entry.decides else {}),
        **({"reference": entry.reference} if entry.reference else {}),
    }


def _contrast(entry: Entry, line: Standing) -> dict[str, Any]:
    """The difference from the reference, or else from the best, as columns."""
    one = next((contrast for contrast in line.contrasts if contrast.model == entry.model), None)
    interval = one.interval if one else None
    return {
        "contrast_with": one.reference if one else None,
        "planned": line.planned if one else None,
        "difference": one.difference if one else None,
        "difference_low": interval.low if interval else None,
        "difference_high": interval.high if interval else None,
        "difference_kind": one.kind if one else None,
        "welch_p": one.welch if one else None,
        "permutation_p": one.permutation if one else None,
        "holm_p": one.adjusted if one else None,
        "found": one.found if one else None,
    }


def _instructions(entry: Entry) -> dict[str, Any]:
    """The scores with each set of vector instructions, as JSON, and the standard deviation between sets."""
    if not instruction_sets.pairs(entry):
        return {}
    scores = {name: {str(seed): score for seed, score in of.items()} for name, of in entry.by_instructions.items()}
    return {"by_instructions": json.dumps(scores), "between_instructions": instruction_sets.between(entry)}


def _early(entry: Entry) -> dict[str, Any]:
    """The mean score after the first of several epochs with its interval, and what an epoch takes."""
    found = entry.early_summary
    interval = found.interval if found else None
    return {
        "after_first_epoch": found.mean if found else None,
        "after_first_epoch_low": interval.low if interval else None,
        "after_first_epoch_high": interval.high if interval else None,
        "epoch_seconds": entry.epoch_seconds,
    }


def _at_lengths(entry: Entry) -> Iterator[dict[str, Any]]:
    metric = entry.metric
    for length, of_seed in entry.lengths.items():
        values = [value for value in of_seed.values() if math.isfinite(value)]
        found = summary(metric, values) if metric.solved_at is None else summary_of_solved(metric, values)
        yield {
            "kind": "length",
            "length": length,
            "task": entry.task,
            "metric": metric.name,
            "unit": metric.unit,
            "direction": metric.direction,
            "solved_at": metric.solved_at,
            "model": entry.model,
            "model_name": entry.model_name,
            "preset": entry.preset,
            "rule": BEST,
            "device": entry.device,
            "expected": entry.expected,
            "done": len(values),
            "solved": None if metric.solved_at is None else sum(map(metric.solved, values)),
            **_mean(found),
            "median": median(values) if values else None,
            "minimum": min(values, default=None),
            "maximum": max(values, default=None),
        }


def _mean(found: Summary | None) -> dict[str, Any]:
    """A mean with its interval, as columns."""
    interval = found.interval if found else None
    return {
        "mean_kind": ("geometric" if found.logarithmic else "arithmetic") if found else None,
        "mean": found.mean if found else None,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "interval": interval.method if interval else None,
    }


def _aggregates(found: Overall) -> Iterator[dict[str, Any]]:
    for line in found.lines:
        yield _aggregate(found, line, "interquartile mean of normalised scores", line.mean, line.interval)
        if line.better is not None:
            name = f"probability of improvement over {found.first}"
            yield _aggregate(found, line, name, line.better, line.better_interval)


def _aggregate(found: Overall, line: Line, metric: str, mean: float, interval: Any) -> dict[str, Any]:
    return {
        "kind": "aggregate",
        "task": "; ".join(found.tasks),
        "metric": metric,
        "unit": "",
        "direction": "higher",
        "model": line.model,
        "done": sum(line.runs),
        "mean": mean,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "interval": interval.method if interval else None,
    }
