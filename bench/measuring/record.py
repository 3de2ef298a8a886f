"""The file of a machine's measurements: one `machine` block, and the parts that were measured there.

Keys: `machine` (see `machine.facts`), `rows` (see `turns.row_of`, `peaks.over_processes`), `sweep` (see
`throughput.measure`), `lengths` (see `scaling.measure`), `left_out` (task, model, reason). A later measurement replaces
what it has measured anew and leaves the rest; but only on the same machine, with the same versions, at the same commit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .. import atomic
from ..errors import UsageError
from ..rows.row_shape import SCORE, Known, Several, unlike

SAME = ("processor", "cores", "threads", "device", "dtype", "torch", "numba", "numpy", "python", "commit", "dirty")
"""What must be equal where two measurements stand in one file."""
PARTS = ("rows", "sweep", "lengths", "left_out")
WAY = Known({"jobs": int, "threads": int, "seconds": float, "runs_per_hour": float})
"""Of a sweep: side by side, or in turn."""
ROW = Known(
    {"task": str, "model": str, "error?": str, "peaks_mb?": Several(float), "reference_peaks_mb?": Several(float)}
    | {f"{key}?": SCORE for key in ("ours_ms", "ratio_defaults", "run_hours", "spread")}
)
CASE = Known({"task": str, "model": str, "reason": str})
SHAPE = Known(
    {
        "machine": Known({"name?": str, "others?": float}),
        "rows?": Several(ROW),
        "left_out?": Several(CASE),
        "sweep?": Known({"runs": int, "side_by_side": WAY, "in_turn": WAY, "ratio": float, "ratios?": Several(float)}),
        "lengths?": Known({"task": str, "exponents": Several(Known({"model": str, "steps": SCORE, "batch": SCORE}))}),
    }
)
"""What of a file the tables rely on."""


def read(path: Path) -> dict[str, Any]:
    """The content of a file of measurements; empty where there is none. Raises UsageError for another kind of file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {error}; name another file, or remove this one") from error
    if not isinstance(content, dict) or not isinstance(content.get("machine"), dict):
        raise UsageError(f"{path}: not a file of measurements: there is no machine in it; name another file")
    if wrong := [*unlike("", content, SHAPE)]:
        raise UsageError(f"{path}: {wrong[0]}; measure again, or name another file")
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
