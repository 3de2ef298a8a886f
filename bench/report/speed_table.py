"""Measured speed as a table: what stands in `results/speed/*.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .cells import NOTHING, Text, number
from .writers import Table

COLUMNS = {
    "task": "Task",
    "model": "Model",
    "parameters": "Parameters",
    "ours_ms": "Ours (ms)",
    "reference_ms": "Reference (ms)",
    "flushed_ms": "Reference, denormals flushed (ms)",
    "ratio_defaults": "Ratio to reference",
    "ratio_flushed": "Ratio to flushed",
    "floor_ms": "Floor (ms)",
    "peak_mb": "Peak (MiB)",
    "spread": "Spread",
}
"""Key of a row -> its column; other keys of a file follow with their own names."""
NEEDED = ("task", "model", "ours_ms")


@dataclass(frozen=True)
class Speed:
    """The measurements of one machine: what it is, by name, and one line for each task and model."""

    name: str
    machine: Mapping[str, str]
    table: Table


def speeds(folders: Iterable[Path]) -> list[Speed]:
    """The files beside these experiments, in `speed`, by name; none where there are none.

    Raises UsageError naming the file that is not one of measurements, and what is wrong with it.
    """
    places = sorted({folder.resolve().parent / "speed" for folder in folders})
    return [_read(file) for place in places for file in sorted(place.glob("*.json"))]


def _read(file: Path) -> Speed:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{file}: not JSON: {error}; seqbench speed writes such files") from error
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{file}: no list of measurements under the key 'rows'; seqbench speed writes such files")
    for place, row in enumerate(rows):
        if missing := [key for key in NEEDED if key not in row]:
            raise UsageError(f"{file}: row {place}: no {', '.join(missing)}; seqbench speed writes such files")
    machine = content.get("machine", {})
    facts = machine if isinstance(machine, dict) else {"machine": machine}
    return Speed(file.stem, {name: _plain(value) for name, value in facts.items()}, _table(rows))


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    present = dict.fromkeys(key for row in rows for key in row)
    keys = [key for key in COLUMNS if key in present] + [key for key in present if key not in COLUMNS]
    alignment = "".join("l" if any(isinstance(row.get(key), str) for row in rows) else "r" for key in keys)
    lines = [[_text(key, row.get(key)) for key in keys] for row in rows]
    return Table("", [COLUMNS.get(key, key) for key in keys], alignment, lines, wide=True)


def _text(key: str, value: Any) -> Text:
    if value is None:
        return NOTHING
    if key == "task" or key == "model":
        return tuple(str(value).split(", "))
    if isinstance(value, float):
        return (number(value),)
    return (_plain(value),)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return str(value)
