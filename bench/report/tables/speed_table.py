"""Measured speed as a table: what stands in `results/speed/*.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...analysis.digits import number
from ...errors import UsageError
from .cells import NOTHING, Text
from .writers import Block, Table

COLUMNS = {
    "task": "Task",
    "model": "Model",
    "parameters": "Parameters",
    "batch": "B",
    "steps": "T",
    "ours_ms": "Ours (ms)",
    "evaluation_ms": "Evaluation (ms)",
    "reference_ms": "Reference (ms)",
    "flushed_ms": "Reference, denormals flushed (ms)",
    "ratio_defaults": "Ratio to reference",
    "ratio_flushed": "Ratio to flushed",
    "compile_ms": "Reference by torch.compile (ms)",
    "ratio_compile": "Ratio, torch.compile",
    "jax_ms": "JAX (ms)",
    "ratio_jax": "Ratio, JAX",
    "stream_ms": "Streaming (ms a step)",
    "reference_stream_ms": "Streaming, reference (ms a step)",
    "ratio_stream": "Ratio, streaming",
    "reference": "Reference",
    "run_hours": "Hours of a run",
    "steps_per_second": "Sequence steps a second",
    "floor_ms": "Floor (ms)",
    "ratio_floor": "Times the floor",
    "peak_mb": "Peak (MiB)",
    "reference_peak_mb": "Peak of the reference (MiB)",
    "spread": "Spread",
}
"""Key of a row -> its column; other keys of a file follow with their own names."""
BEHIND = ("run", "gflop", "reference_spread", "repeats", "peaks_mb", "reference_peaks_mb")
"""Keys that stand in the file for those who compute with it, and in no table."""
SHORT = {
    "task": "Task",
    "model": "Model",
    "ours_ms": "Ours (ms)",
    "reference_ms": "Reference",
    "flushed_ms": "Flushed",
    "ratio_defaults": "Ratio",
    "ratio_flushed": "Ratio, flushed",
    "compile_ms": "torch.compile",
    "ratio_compile": "Ratio, torch.compile",
    "jax_ms": "JAX",
    "ratio_jax": "Ratio, JAX",
    "stream_ms": "Streaming",
    "ratio_stream": "Ratio, streaming",
    "reference": "By",
    "floor_ms": "Floor",
    "evaluation_ms": "Evaluation",
    "peak_mb": "Peak (MiB)",
    "reference_peak_mb": "Of reference",
    "spread": "Spread",
}
"""The columns that fit a page, under names that `NOTES` explains."""
NOTES = (
    "One training step of the engine (ours) and of what a user would write (reference: torch.nn and the published TCN "
    "block, PyTorch's defaults; flushed: with denormals flushed to zero), all at initialisation, in ms: medians of "
    "turns that the processes took one after the other. Ratio: reference / ours, above 1 where ours is faster. Floor: "
    "the arithmetic and the bytes of the plain step at the rates of this machine's {product} and memory "
    "copy, whichever takes longer; an implementation that leaves out what nobody reads may come below it. Evaluation: "
    "of as many sequence steps. Peak: memory of a step beyond what was held before{peaks}. Spread: interquartile range "
    "/ median of ours."
)
STREAMED = (
    "Streaming: a step of one sequence that is read step by step, in ms, and the reference by ours. By: what the "
    "reference is built of, a package where the model names one that is installed, else torch's operations alone."
)
OF_TORCH, OF_BOTH = "large matrix product", "matrix products (torch's large one or our kernel's, the faster of them)"
RATES = {
    "micro_kernel_gflops": ("our kernel's product", "GFLOP/s"),
    "matrix_product_gflops": ("matrix product", "GFLOP/s"),
    "memory_copy_gbps": ("memory copy", "GB/s"),
}
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
    except (ValueError, RecursionError) as error:
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
    keys = [key for key in COLUMNS if key in present]
    keys += [key for key in present if key not in COLUMNS and key not in BEHIND]
    alignment = "".join("l" if any(isinstance(row.get(key), str) for row in rows) else "r" for key in keys)
    lines = [[_text(key, row.get(key)) for key in keys] for row in rows]
    return Table("", [COLUMNS.get(key, key) for key in keys], alignment, lines, wide=True)


def blocks(content: Mapping[str, Any]) -> list[Block]:
    """What was measured on a machine as short tables with their notes: rows, sweep, lengths, whatever is there.

    content: of a file as `seqbench speed` writes it.
    """
    made: list[Block] = [_machine(content.get("machine", {}))]
    if rows := content.get("rows"):
        product = OF_BOTH if content.get("machine", {}).get("micro_kernel_gflops") else OF_TORCH
        made += [*_at_a_glance(rows), _short(rows), NOTES.format(peaks=_processes(rows), product=product)]
        made += [STREAMED] if any("stream_ms" in row for row in rows) else []
        made += [f"{row['task']} {row['model']}: {row['error']}" for row in rows if "error" in row]
        made += _hours(rows, content.get("machine", {}).get("threads"))
    if left_out := content.get("left_out"):
        reasons = dict.fromkeys(f"{row['task']} ({row['reason']})" for row in left_out)
        made.append(f"Left out: {', '.join(reasons)}.")
    if sweep := content.get("sweep"):
        made += _sweep(sweep)
    if lengths := content.get("lengths"):
        made += _lengths(lengths)
    return made


def _machine(machine: Mapping[str, Any]) -> str:
    """The machine in a sentence; where it was shared that comes first."""
    parts = [
        *(str(machine[key]) for key in ("processor", "device", "dtype", "instructions") if machine.get(key)),
        *([f"{machine['threads']} thread{'' if machine['threads'] == 1 else 's'}"] if machine.get("threads") else []),
        *(f"{key} {machine[key]}" for key in ("torch", "numba", "numpy", "python") if machine.get(key)),
        *(f"{name} {machine[key]} {unit}" for key, (name, unit) in RATES.items() if machine.get(key)),
        *(f"{key.replace('_', ' ')} {machine[key]}" for key in ("load_before", "load_after") if key in machine),
        *([f"others used {machine['others']:.1%} of the cores"] if "others" in machine else []),
        *([str(machine["date"])[:10]] if machine.get("date") else []),
        *([f"commit {str(machine['commit'])[:10]}"] if machine.get("commit") else []),
    ]
    changed = ", with changes that are in no commit" if machine.get("dirty") else ""
    warning = "SHARED with other work, so no measure of speed. " if machine.get("shared") else ""
    return f"{warning}{machine.get('name', 'A machine')}: {', '.join(parts)}{changed}."


def _short(rows: Sequence[Mapping[str, Any]]) -> Table:
    keys = [key for key in SHORT if any(row.get(key) is not None for row in rows)]
    alignment = "".join("l" if key in ("task", "model", "reference") else "r" for key in keys)
    before = [None, *(row.get("task") for row in rows)]
    lines = [
        [() if key == "task" and row.get("task") == task else _text(key, row.get(key)) for key in keys]
        for task, row in zip(before, rows, strict=False)
    ]
    return Table("", [SHORT[key] for key in keys], alignment, lines)


def _processes(rows: Sequence[Mapping[str, Any]]) -> str:
    """Of how many processes a peak is the median, where all are of several."""
    counts = {len(row.get(key, ())) for row in rows for key in ("peaks_mb", "reference_peaks_mb") if "error" not in row}
    return f" (median of {min(counts)} processes)" if counts and min(counts) > 1 else ""


def _at_a_glance(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    """A step of ours and its ratio to the reference, a line for each task and a column for each model."""
    models, of_task = _by_task(rows, "ratio_defaults")
    if not of_task:
        return []
    lines = [
        [_text("task", task), *(_glance(of_model.get(model)) for model in models)] for task, of_model in of_task.items()
    ]
    title = "A training step of ours in ms, and in brackets the time of the reference by ours"
    return [Table(title, ["Task", *models], "l" + "r" * len(models), lines)]


def _glance(row: Mapping[str, Any] | None) -> Text:
    return NOTHING if row is None else (f"{number(row['ours_ms'])} ({number(row['ratio_defaults'])})",)


def _by_task(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[list[str], dict[str, dict[str, Mapping[str, Any]]]]:
    """The models in their order, and the rows that have a key: task -> model -> row."""
    of_task: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        if row.get(key) is not None:
            of_task.setdefault(row["task"], {})[row["model"]] = row
    return list(dict.fromkeys(row["model"] for row in rows)), of_task


def _hours(rows: Sequence[Mapping[str, Any]], threads: int | None) -> list[Block]:
    """What a whole run takes, a line for each task and a column for each model, and one seed of all of them."""
    models, of_task = _by_task(rows, "run_hours")
    if not of_task:
        return []
    lines = []
    for task, of_model in of_task.items():
        hours = {model: row["run_hours"] for model, row in of_model.items()}
        whole = math.fsum(hours.values()) if len(hours) == len(models) else None
        lines.append(
            [
                _text("task", task),
                *(_text("run_hours", hours.get(model)) for model in models),
                _text("run_hours", whole),
            ]
        )
    each = f", {threads} thread{'' if threads == 1 else 's'} each" if threads else ""
    title = f"Hours of a whole run by the published protocol{each}"
    return [Table(title, ["Task", *models, "One seed of all"], "l" + "r" * (len(models) + 1), lines)]


def _sweep(sweep: Mapping[str, Any]) -> list[Block]:
    lines = [
        [(name,), *((_plain(sweep[key][part]),) for part in ("jobs", "threads", "seconds", "runs_per_hour"))]
        for name, key in (("side by side", "side_by_side"), ("in turn", "in_turn"))
    ]
    rounds = [number(ratio) for ratio in sweep.get("ratios", [])]
    medians = f", medians of {len(rounds)} rounds" if rounds else ""
    of_rounds = f", the median of those of the rounds, {', '.join(rounds)}" if rounds else ""
    title = f"The same sweep of {sweep['runs']} runs{medians}"
    return [
        Table(title, ["Runs", "At a time", "Threads each", "Seconds", "Runs an hour"], "lrrrr", lines),
        f"Ratio: {number(sweep['ratio'])}{of_rounds}. Start-up and evaluation are in it.",
    ]


def _lengths(lengths: Mapping[str, Any]) -> list[Block]:
    lines = [[(row["model"],), (number(row["steps"]),), (number(row["batch"]),)] for row in lengths["exponents"]]
    title = f"{lengths['task']}: cost of a step against T and against B"
    return [
        Table(title, ["Model", "Exponent of T", "Exponent of B"], "lrr", lines),
        "Exponents of power laws fitted to all lengths and batches: 1 is in proportion, less where small steps have "
        "costs of their own.",
    ]


def _text(key: str, value: Any) -> Text:
    if value is None:
        return NOTHING
    if key == "task" or key == "model":
        return tuple(str(value).split(", "))
    if isinstance(value, float):
        return (f"{value:.1%}" if key == "spread" else number(value),)
    return (_plain(value),)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return str(value)
