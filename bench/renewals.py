"""Which rows are of the present sources: those that they have made, and those that they were seen to make again.

A change of a kernel makes the rows of its models stale, though it may leave every bit as it was. `seqbench renew`
trains the beginning of such a row again and keeps, where it comes out the same, a line in `renewed.jsonl` beside them.

A line's keys: `row` (the sum of the row), `id`, `device`, `label`, `source` (the hash of the sources that made its
beginning again), `was` (the hash in the row), `epochs` and `steps` (how far), `whole` (whether that was all of the
run), `commit`, `versions`, `platform`, `processor`, `instructions`, `finished` (UTC), `sum` (of the line).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from . import provenance
from .runs import Run
from .store import Row, RowFile, signed, untouched

FILE = "renewed.jsonl"
ORIGIN = ("commit", "versions", "platform", "processor", "instructions", "finished")
"""What a line takes from the provenance of the row that was made again."""
KEYS = {"row", "id", "label", "source", "epochs", "steps", "whole", "commit"}
Line = dict[str, Any]


def is_stale(row: Row, run: Run) -> bool:
    """Whether the code that defines the run has changed since the row was made, and has not been seen to make it again.

    run: the row's, with the folder of its experiment.
    """
    now = provenance.source_hash(run)
    return bool(row["provenance"]["source"] != now and renewal(row, run, now) is None)


def renewal(row: Row, run: Run, source: str) -> Line | None:
    """The line by which a row is of these sources, too; None where there is none. One edited by hand counts nowhere."""
    if run.folder is None:
        return None
    fitting = (line for line in _read(run.folder) if line["row"] == row.get("sum") and line["source"] == source)
    return next(fitting, None)


def lines(folder: Path) -> Iterator[tuple[int, Line | None]]:
    """Every line of an experiment's file with its number; None for one that was edited by hand or is none."""
    path = folder / FILE
    if not path.is_file():
        return
    for number, text in enumerate(path.read_bytes().splitlines(), 1):
        try:
            line = json.loads(text)
            whole = set(line) >= KEYS and untouched(line)
        except (ValueError, TypeError, RecursionError):
            whole = False
        yield number, line if whole else None


def line_of(row: Row, made: Row) -> Line:
    """The line that says so: `made` has the beginning of `row`, by the sources of now."""
    origin = made["provenance"]
    return signed(
        {
            "row": row["sum"],
            "id": row["id"],
            "device": row["device"],
            "label": row["label"],
            "was": row["provenance"]["source"],
            "source": origin["source"],
            "epochs": made["curve"][-1]["epoch"],
            "steps": made["curve"][-1]["steps"],
            "whole": made["id"] == row["id"],
            **{key: origin[key] for key in ORIGIN},
        }
    )


def keep(folder: Path, rows: Iterable[Row], new: Iterable[Line] = ()) -> None:
    """Writes the file anew: the newest line of each of these rows, all that the folder has. No file where none is left.

    Raises OSError where it cannot be written.
    """
    places = {row.get("sum"): place for place, row in enumerate(rows)}
    there = (line for _, line in lines(folder) if line is not None)
    newest = {line["row"]: line for line in (*there, *new) if line["row"] in places}
    if newest:
        RowFile(folder / FILE).replace(sorted(newest.values(), key=lambda line: places[line["row"]]))
    else:
        (folder / FILE).unlink(missing_ok=True)


def _read(folder: Path) -> tuple[Line, ...]:
    path = (folder / FILE).resolve()
    if not path.is_file():
        return ()
    there = path.stat()
    return _read_once(path.parent, there.st_ino, there.st_mtime_ns, there.st_size)


@lru_cache(maxsize=256)
def _read_once(folder: Path, inode: int, modified: int, size: int) -> tuple[Line, ...]:
    return tuple(line for _, line in lines(folder) if line is not None)
