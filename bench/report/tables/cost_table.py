"""The table beside the scores: what each model costs, in parameters, state, multiply-adds and time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...analysis.digits import NO_NUMBER, number, seconds_text
from ...analysis.grid import Entry
from .cells import Text, size_text
from .writers import Block, Table

TITLE = "Size and cost"
MEANING = (
    "State: the numbers that a model carries from one step to the next. Multiply-adds: per step, of a forward pass "
    "that computes every step, with the read-out. Time: of a run with its evaluations, median of the runs; other work "
    "on the machine lengthens wall time, and not processor time."
)
"""What the columns mean."""
HOUR, LONG = 3600, 600
"""Seconds: an hour, and from which longest run on times are in hours."""


@dataclass(frozen=True)
class Column:
    """One cost of a cell, for people and for programs: table, LaTeX, page, CSV and JSON take it from here.

    name: in CSV and JSON. title: of the printed column; `{unit}` stands for hours or seconds. value: of a cell. whole:
    whether it is a whole number. time: whether it is in seconds. text: what is printed, where it is not the value.
    """

    name: str
    title: str
    value: Callable[[Entry], int | float | str | None]
    whole: bool = True
    time: bool = False
    text: Callable[[Entry], Text] | None = None


COLUMNS = (
    Column("parameters", "Parameters", lambda entry: entry.parameters),
    Column("budget", "From budget", lambda entry: entry.budget, text=size_text),
    Column("state_size", "State", lambda entry: entry.state_size),
    Column("macs_per_step", "Multiply-adds", lambda entry: entry.macs_per_step),
    Column("processor_seconds", "Processor {unit}", lambda entry: entry.processor_seconds, whole=False, time=True),
    Column("seconds", "Wall {unit}", lambda entry: entry.seconds, whole=False, time=True),
)


def values(entry: Entry) -> dict[str, int | float | str | None]:
    """Every cost of a cell by its name."""
    return {column.name: column.value(entry) for column in COLUMNS}


def whole() -> list[str]:
    """The names of those that are whole numbers."""
    return [column.name for column in COLUMNS if column.whole]


def blocks(entries: Sequence[Entry]) -> Iterator[Block]:
    """One line a cell, and what the columns mean."""
    cells = {(entry.task, entry.model): entry for entry in entries}
    times = [column.value(entry) for column in COLUMNS if column.time for entry in cells.values()]
    longest = max((seconds for seconds in times if isinstance(seconds, int | float)), default=0.0)
    unit, text = ("hours", _hours) if longest >= LONG else ("seconds", seconds_text)
    lines: list[list[Text]] = [
        [tuple(task.split(", ")), tuple(model.split(", ")), *(_text(column, entry, text) for column in COLUMNS)]
        for (task, model), entry in cells.items()
    ]
    header = ["Task", "Model", *(column.title.format(unit=unit) for column in COLUMNS)]
    yield Table(TITLE, header, "ll" + "r" * len(COLUMNS), lines, wide=True)
    yield MEANING


def _text(column: Column, entry: Entry, of_seconds: Callable[[Any], str]) -> Text:
    if column.text is not None:
        return column.text(entry)
    value = column.value(entry)
    return (of_seconds(value) if column.time else NO_NUMBER if value is None else str(value),)


def _hours(seconds: float | None) -> str:
    return number(None if seconds is None else seconds / HOUR)
