"""The table that answers an experiment: for people (Markdown, LaTeX) and for programs (CSV, JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Any, Literal, NamedTuple, get_args

import pandas as pd

from .cells import (
    NOTHING,
    Text,
    cell_text,
    footnotes,
    metric_text,
    metric_title,
    number,
    seconds_text,
    size_text,
    yardsticks,
)
from .grid import Entry, columns, floor_of
from .writers import Block, Table, latex, markdown

Format = Literal["md", "csv", "latex", "json"]
TUNING = {"suite": " (untuned)", "published": ""}
"""No model of the suite's own preset has had a recorded tuning budget yet; published settings are the paper's."""
FORMATS: tuple[Format, ...] = get_args(Format)


class Comparison(NamedTuple):
    """A cell of a run made here beside the same cell as committed."""

    task: str
    metric: str
    model: str
    here: str
    committed: str


def table(entries: Sequence[Entry], format: Format = "md", question: str = "") -> str:
    """The entries as a text that ends with a newline; `question` stands above the table for people.

    md and latex say the same word by word; csv and json hold one record an entry, with every seed's own score.
    """
    match format:
        case "md":
            return markdown(_blocks(entries, question))
        case "latex":
            return latex(_blocks(entries, question))
        case "csv":
            return long_form(entries).to_csv(index=False, lineterminator="\n")
        case "json":
            frame = long_form(entries)
            records = frame.astype(object).where(frame.notna(), None).to_dict("records")
            return json.dumps(records, indent=1, ensure_ascii=False) + "\n"


def long_form(entries: Iterable[Entry]) -> pd.DataFrame:
    """One line an entry, with all that is known of it; `seed_S` is the score of seed S, empty where it has none."""
    entries = list(entries)
    frame = pd.DataFrame([_record(entry) for entry in entries])
    for name in ("solved", "parameters", "budget"):
        if name in frame:
            frame[name] = frame[name].astype("Int64")
    for seed in sorted({seed for entry in entries for seed in entry.seeds}):
        frame[f"seed_{seed}"] = pd.Series([entry.values.get(seed) for entry in entries], dtype="float64")
    return frame


def _record(entry: Entry) -> dict[str, Any]:
    metric, values = entry.metric, list(entry.values.values())
    return {
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
        "mean": fmean(values) if values else None,
        "median": median(values) if values else None,
        "minimum": min(values, default=None),
        "maximum": max(values, default=None),
        "parameters": entry.parameters,
        "budget": entry.budget,
        "assumed": ", ".join(entry.assumed),
        "seconds": entry.seconds,
        "dirty": entry.dirty,
        "stale": entry.stale,
        "commits": ", ".join(entry.commits),
    }


def compare(entries_here: Iterable[Entry], entries_committed: Iterable[Entry]) -> list[Comparison]:
    """Cell by cell, the models of a task and metric together; a dash where the committed ones have no such cell."""
    committed = {(entry.task, entry.metric.name, entry.model): entry for entry in entries_committed}
    lines: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries_here:
        lines.setdefault((entry.task, entry.metric.name), []).append(entry)
    comparisons = []
    for entry in (entry for line in lines.values() for entry in line):
        other = committed.get((entry.task, entry.metric.name, entry.model))
        texts = [", ".join(cell_text(one) if one else NOTHING) for one in (entry, other)]
        comparisons.append(Comparison(entry.task, metric_title(entry.metric), entry.model, *texts))
    return comparisons


def _blocks(entries: Sequence[Entry], question: str) -> list[Block]:
    heading = [question] if question else []
    if not entries:
        return [*heading, "The experiment has no cells."]
    return [*heading, _origin(entries), _scores(entries), *footnotes(entries), *yardsticks(entries), _sizes(entries)]


def _origin(entries: Sequence[Entry]) -> str:
    """Which numbers these are and where they come from, in one paragraph."""
    tasks_of: dict[str, list[str]] = {}
    for entry in entries:
        tasks = tasks_of.setdefault(entry.rule, [])
        if entry.task not in tasks:
            tasks.append(entry.task)
    if len(tasks_of) == 1:
        rules = next(iter(tasks_of))
    else:
        rules = "; ".join(f"{rule} ({', '.join(tasks)})" for rule, tasks in tasks_of.items())
    cells = {(entry.task, entry.model): entry for entry in entries}.values()
    expected = sum(cell.expected for cell in cells)
    present = expected - sum(cell.missing for cell in cells)
    commits = sorted({commit[:7] for entry in entries for commit in entry.commits})
    parts = [
        f"Preset {entries[0].preset}{TUNING[entries[0].preset]}: the test score, {rules}",
        f"Device: {entries[0].device or 'none'}",
        f"Commit: {', '.join(commits) or 'none'}",
        f"Rows: {present} of {expected} runs",
    ]
    return ". ".join(parts) + "."


def _scores(entries: Sequence[Entry]) -> Table:
    """One line for each task and metric, one column for each model."""
    column_of = columns(entries)
    models = list(dict.fromkeys(column_of.values()))
    lines: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in entries:
        lines.setdefault((entry.task, entry.metric.name), {})[column_of[entry.task, entry.model]] = entry
    texts: list[list[Text]] = []
    for (task, _), of_model in lines.items():
        metric = next(iter(of_model.values())).metric
        scores = [cell_text(of_model[model]) if model in of_model else NOTHING for model in models]
        texts.append(
            [_task_text(task), metric_text(metric), (number(floor_of(of_model.values()), metric.unit),), *scores]
        )
    return Table("", ["Task", "Metric", "Floor", *models], "llr" + "l" * len(models), texts, wide=True)


def _sizes(entries: Sequence[Entry]) -> Table:
    """One line a cell."""
    cells = {(entry.task, entry.model): entry for entry in entries}
    texts: list[list[Text]] = [
        [
            _task_text(task),
            _task_text(model),
            (NOTHING[0] if entry.parameters is None else str(entry.parameters),),
            size_text(entry),
            (seconds_text(entry.seconds),),
        ]
        for (task, model), entry in cells.items()
    ]
    header = ["Task", "Model", "Parameters", "From budget", "Wall seconds per run"]
    return Table("Sizes and time", header, "llrrr", texts)


def _task_text(label: str) -> Text:
    """A label, to be broken between its options."""
    return tuple(label.split(", "))
