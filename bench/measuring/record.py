"""The file of a machine's measurements: one `machine` block, and the parts that were measured there.

Keys: `machine` (see `machine.facts`), `rows` (see `turns.row_of`, `peaks.over_processes`), `sweep` (see
`throughput.measure`), `lengths` (see `scaling.measure`), `left_out` (task, model, reason). A later measurement replaces
what it has measured anew and leaves the rest; but only on the same machine, with the same versions, at the same commit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import msgspec

from .. import atomic
from ..errors import UsageError
from ..rows.row_shape import Number, Score, Whole, in_words

SAME = ("processor", "cores", "threads", "device", "dtype", "torch", "numba", "numpy", "python", "commit", "dirty")
"""What must be equal where two measurements stand in one file."""
PARTS = ("rows", "sweep", "lengths", "left_out")


class _Way(TypedDict):
    """Of a sweep: side by side, or in turn."""

    jobs: Whole
    threads: Whole
    seconds: Number
    runs_per_hour: Number


class _Row(TypedDict):
    task: str
    model: str
    error: NotRequired[str]
    peaks_mb: NotRequired[list[Number]]
    reference_peaks_mb: NotRequired[list[Number]]
    ours_ms: NotRequired[Score]
    ratio_defaults: NotRequired[Score]
    run_hours: NotRequired[Score]
    spread: NotRequired[Score]


class _Case(TypedDict):
    task: str
    model: str
    reason: str


class _Machine(TypedDict):
    name: NotRequired[str]
    others: NotRequired[Number]


class _Sweep(TypedDict):
    runs: Whole
    side_by_side: _Way
    in_turn: _Way
    ratio: Number
    ratios: NotRequired[list[Number]]


class _Exponent(TypedDict):
    model: str
    steps: Score
    batch: Score


class _Lengths(TypedDict):
    task: str
    exponents: list[_Exponent]


class _Measurements(TypedDict):
    """What of a file the tables rely on."""

    machine: _Machine
    rows: NotRequired[list[_Row]]
    left_out: NotRequired[list[_Case]]
    sweep: NotRequired[_Sweep]
    lengths: NotRequired[_Lengths]


def read(path: Path) -> dict[str, Any]:
    """The content of a file of measurements; empty where there is none. Raises UsageError for another kind of file."""
    if not path.is_file():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        msgspec.convert(content, _Measurements)  # only a check: what a later version has written beside it stays
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {in_words(error)}; measure again, or name another file") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {error}; name another file, or remove this one") from error
    return content


def check(path: Path, machine: dict[str, Any]) -> None:
    """Raises UsageError where a file holds measurements that those of this machine cannot stand beside."""
    before = read(path).get("machine")
    for key in SAME:
        if before is not None and before.get(key) != machine.get(key):
            raise UsageError(
                f"{path}: measured with {key} {before.get(key)}, and it is {machine.get(key)} now: "
                "name another file, or remove this one and measure all of it anew"
            )


def merged(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The content of a file with what was measured anew; a row replaces the one of the same task and model.

    A file is `shared` where any of its measurements was.
    """
    machine = {**new["machine"]}
    if before.get("machine", {}).get("shared"):
        machine["shared"] = True
    content: dict[str, Any] = {"machine": machine}
    for part in PARTS:
        if part in ("rows", "left_out"):
            lines = {_key(row): row for row in before.get(part, [])}
            lines |= {_key(row): row for row in new.get(part, [])}
            if part == "left_out":
                lines = {key: row for key, row in lines.items() if key not in map(_key, content["rows"])}
            content[part] = list(lines.values())
        elif part in new or part in before:
            content[part] = new.get(part, before.get(part))
    return content


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes a file of measurements, a line for each row."""
    lines = [f' "machine": {json.dumps(content["machine"], ensure_ascii=False)}']
    for part in PARTS:
        if isinstance(content.get(part), list):
            rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in content[part])
            lines.append(f' "{part}": [\n  {rows}\n ]' if rows else f' "{part}": []')
        elif part in content:
            lines.append(f' "{part}": {json.dumps(content[part], ensure_ascii=False)}')
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["task"], row["model"]
