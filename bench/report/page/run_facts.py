"""What is known of a cell's runs, as texts: their settings, commands, scores, origin, and how they ended."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ....tasks.base import Tokens
from ...analysis.cell_scores import BEST
from ...analysis.digits import number, seconds_text
from ...analysis.grid import Entry
from ...engine.evaluation import trained
from ...experiments import registry
from ...experiments.config import Cell, Experiment
from ...experiments.notation import written
from ...experiments.runs import LOOP_VERSION, Run
from ...rows import renewals
from ...rows.comparing import flaw
from ...rows.store import Row
from ..tables.cells import ASSUMED, DIRTY, EDITED, NOTHING, STALE, Text, metric_title
from ..tables.writers import Table

ORIGIN = (
    "commit", "diff", "source", "versions", "processor", "platform", "instructions", "device", "driver", "threads",
    "data", "read", "command",
)  # fmt: skip
"""What is said of where rows come from, in the words of `provenance`."""
NAMES = {
    "diff": "sum of the uncommitted changes",
    "source": "hash of the defining source",
    "instructions": "vector instructions",
    "data": "SHA-256 of the data",
    "read": "SHA-256 of files that your code reads",
}
"""Those of them that need other words."""


class Fact(NamedTuple):
    """Something that runs have in common, or not: its name, and each text with the seeds that it is true of ("" for
    all that have a row).
    """

    name: str
    texts: Sequence[tuple[Text, str]]


class CellFacts(NamedTuple):
    """All that is known of a cell's runs.

    settings: name -> text. runs: a table with a line a run. origin: where the rows come from. commands: what to type,
    with a word on each. errors: seed and message of the runs that failed.
    """

    settings: Mapping[str, str]
    runs: Table
    origin: Sequence[Fact]
    commands: Sequence[tuple[str, str]]
    errors: Sequence[tuple[int, str]]


def facts(
    experiment: Experiment, cell: Cell, entries: Sequence[Entry], rows: Mapping[str, Row], published: frozenset[str]
) -> CellFacts:
    """The facts of one cell.

    entries: its own, one a metric. rows: the rows that count, by run id. published: the sums of published rows.
    """
    present = [(run, rows[run.id]) for run in cell.runs if run.id in rows]
    errors = [(run.seed, _error(row)) for run, row in present if row.get("error")]
    return CellFacts(
        settings(cell),
        _runs(cell, entries, rows, published),
        list(_origin(present)),
        list(commands(experiment, cell, rows)),
        errors,
    )


def settings(cell: Cell) -> dict[str, str]:
    """The whole configuration that the runs of a cell share, as texts in the notation."""
    run = cell.runs[0]
    training = ((field.name, getattr(run.training, field.name)) for field in dataclasses.fields(run.training))
    found = {
        "task": f"{run.task}, version {run.task_class.version}",
        "model": f"{run.model}, version {run.model_class.version}",
        "head": str(run.head),
        "embedding": str(run.embedding),
        "training": ", ".join(f"{name}={written(value)}" for name, value in training),
        "precision": run.precision,
        "loop": f"version {LOOP_VERSION}",
    }
    if not isinstance(run.make_task().input, Tokens):
        del found["embedding"]  # numbers have none
    if cell.budget is not None:
        found["budget"] = f"{cell.budget} parameters"
    if cell.assumed:
        found[f"assumed {ASSUMED}"] = ", ".join(cell.assumed)
    return found


def commands(experiment: Experiment, cell: Cell, rows: Mapping[str, Row]) -> Iterable[tuple[str, str]]:
    """What trains each run here, and what prints how to make its row on a fresh machine."""
    folder = shlex.quote(place_of(experiment.folder))
    for run in cell.runs:
        if run.id not in rows:
            yield f"seqbench run {folder} --only {run.id}", f"trains seed {run.seed}"
            continue
        device = rows[run.id]["device"]
        again = f"seqbench run {folder} --only {run.id} --device {device} --afresh"
        yield again, f"trains seed {run.seed} again"
        elsewhere = f"seqbench reproduce {folder} {run.id} --device {device}"
        yield elsewhere, f"says how to make seed {run.seed} on a fresh machine"


def place_of(folder: Path) -> str:
    """A folder as a command names it: from the root of the suite where it lies there, else as it was named."""
    absolute = folder.resolve()
    return absolute.relative_to(registry.ROOT).as_posix() if absolute.is_relative_to(registry.ROOT) else str(folder)


def row_marks(run: Run, row: Row) -> str:
    """The signs of a row, as tables have them behind a cell."""
    origin = row["provenance"]
    stale, edited = renewals.staleness(row, run) is not None, flaw(row, run.folder) is not None
    used = ((DIRTY, origin["dirty"]), (STALE, stale), (EDITED, edited))
    return "".join(sign for sign, is_used in used if is_used)


def _runs(cell: Cell, entries: Sequence[Entry], rows: Mapping[str, Row], published: frozenset[str]) -> Table:
    """One line a run: how it ended, its scores, what it took."""
    titles = [metric_title(entry.metric) for entry in entries]
    header = [
        "Seed", "Status", *titles, "Epochs", "Best at", "Wall s", "CPU s", "Peak MiB", "Finished (UTC)", "Published",
        "Run", "Sum",
    ]  # fmt: skip
    lines = [_run(run, entries, rows.get(run.id), published) for run in cell.runs]
    return Table("", header, "rl" + "r" * (len(titles) + 5) + "llll", lines)


def _run(run: Run, entries: Sequence[Entry], row: Row | None, published: frozenset[str]) -> list[Text]:
    if row is None:
        return [(str(run.seed),), ("not run",), *[NOTHING] * (len(entries) + 7), (run.id,), NOTHING]
    seconds, scores = row.get("seconds", {}), row.get("scores", {})
    wall = sum(seconds[part] for part in ("training", "evaluation")) if seconds else None
    memory = row.get("peak_memory_mb")
    return [
        (str(run.seed),),
        (row["status"] + row_marks(run, row),),
        *[(_score(entry, scores),) for entry in entries],
        (str(len(trained(row.get("curve") or [])) or NOTHING[0]),),
        (str(scores.get("best", {}).get("epoch", NOTHING[0])),),
        (seconds_text(wall),),
        (seconds_text(seconds.get("cpu")),),
        (NOTHING[0] if memory is None else f"{memory:.0f}",),
        (str(row["provenance"].get("finished", NOTHING[0]))[:16].replace("T", " "),),
        ("yes" if row.get("sum") in published else "no",),
        (run.id,),
        (str(row.get("sum", NOTHING[0])),),
    ]


def _score(entry: Entry, scores: Mapping[str, Any]) -> str:
    score = scores.get("best" if entry.rule == BEST else "last", {}).get("test", {}).get(entry.metric.name)
    return number(score, entry.metric.decimals)


def _error(row: Row) -> str:
    """What a run that failed said."""
    error = row.get("error")
    return str(error.get("message", error)) if isinstance(error, Mapping) else str(error)


def _origin(present: Sequence[tuple[Run, Row]]) -> Iterable[Fact]:
    """Where the rows come from: what all have in common once, all else by seed."""
    for key in ORIGIN:
        seeds_of: dict[Text, list[int]] = {}
        for run, row in present:
            value = row["provenance"].get(key)
            if value not in (None, "", {}, []):
                seeds_of.setdefault(_text(key, value), []).append(run.seed)
        if seeds_of:
            texts = [(text, _of_seeds(seeds, len(present))) for text, seeds in seeds_of.items()]
            yield Fact(NAMES.get(key, key), texts)
    yield from _renewed(present)


def _renewed(present: Sequence[tuple[Run, Row]]) -> Iterable[Fact]:
    """By which later code rows count as current, or why they do not, by seed."""
    seeds_of: dict[str, list[int]] = {}
    for run, row in present:
        record, old = renewals.latest_record(row, run.folder), renewals.staleness(row, run)
        if old is not None:
            seeds_of.setdefault(f"no: {old}", []).append(run.seed)
        elif record is not None and record["commit"] != row["provenance"]["commit"]:
            text = f"yes: reproduced bit for bit by commit {record['commit'][:10]}"
            seeds_of.setdefault(text, []).append(run.seed)
    if seeds_of:
        yield Fact("current", [((text,), _of_seeds(seeds, len(present))) for text, seeds in seeds_of.items()])


def _text(key: str, value: Any) -> Text:
    if key == "command":
        return (f"seqbench {shlex.join(map(str, value))}",) if isinstance(value, list) else (str(value),)
    if isinstance(value, Mapping):
        return tuple(f"{name} {part}" for name, part in value.items() if part is not None)
    return (str(value),)


def _of_seeds(seeds: Sequence[int], of: int) -> str:
    """Of which seeds something is true; nothing where of all."""
    return "" if len(seeds) == of else f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"
