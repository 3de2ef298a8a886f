"""The table beside the scores: what each model costs, in parameters, state, multiply-adds and time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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


def blocks(entries: Sequence[Entry]) -> Iterator[Block]:
    """One line a cell, and what the columns mean."""
    cells = {(entry.task, entry.model): entry for entry in entries}
    longest = max((seconds for one in cells.values() for seconds in _times(one) if seconds is not None), default=0.0)
    unit, text = ("hours", _hours) if longest >= LONG else ("seconds", seconds_text)
    lines: list[list[Text]] = [
        [
            tuple(task.split(", ")),
            tuple(model.split(", ")),
            _count(entry.parameters),
            size_text(entry),
            _count(entry.state_size),
            _count(entry.macs_per_step),
            *((text(seconds),) for seconds in _times(entry)),
        ]
        for (task, model), entry in cells.items()
    ]
    header = [
        "Task", "Model", "Parameters", "From budget", "State", "Multiply-adds", f"Processor {unit}", f"Wall {unit}",
    ]  # fmt: skip
    yield Table(TITLE, header, "llrrrrrr", lines, wide=True)
    yield MEANING


def _count(value: int | str | None) -> Text:
    return (NO_NUMBER if value is None else str(value),)


def _times(entry: Entry) -> tuple[float | None, float | None]:
    return entry.processor_seconds, entry.seconds


def _hours(seconds: float | None) -> str:
    return number(None if seconds is None else seconds / HOUR)
