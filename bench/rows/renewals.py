"""Rows that count as current: trained by this code, or reproduced bit for bit by it.

A change of the code makes the rows that it defines stale, though it may leave every bit as it was. `renewed.jsonl`
beside the rows keeps a record for each row that the code of a later commit was seen to reproduce (`seqbench renew`), or
whose hash was computed again by newer rules (`seqbench rehash`).

A record's keys: `row` (the row's checksum), `id`, `device`, `label`, `was` (the hash in the row), `source` and `files`
(the hash of the code by which the row is current, and of each of its files), `commit` (of that code), `how` (`renewed`
or `rehashed`), `finished` (UTC), `sum` (the record's own checksum). That of a renewal also says what was compared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..experiments.runs import Run
from . import files_read, sources
from .store import Row, RowFile, signed, untouched

FILE = "renewed.jsonl"
KEYS = {"row", "id", "label", "source", "commit"}
"""What every record has, whoever wrote it."""
Record = dict[str, Any]
NAMED = 8
"""So many of the files that make a row stale are named in a sentence."""


@dataclass(frozen=True)
class Staleness:
    """Why a row is not current.

    changed: the names of the files that define its run and are not as they were; empty where that cannot be known.
    """

    changed: tuple[str, ...]

    def __str__(self) -> str:
        if self.changed:
            more = len(self.changed) - NAMED
            rest = f" and {more} more files" if more > 0 else ""
            return f"stale: {', '.join(self.changed[:NAMED])}{rest} changed since"
        return "stale: made by other code, of a commit that is not in this repository"


def staleness(row: Row, run: Run) -> Staleness | None:
    """Why a row is not current; None where it is.

    run: the row's, with the folder of its experiment.
    """
    if read := files_read.changed(row["provenance"], run.folder):
        return Staleness(tuple(read))
    now = sources.source_hash(run)
    record = latest_record(row, run.folder)
    if now in (row["provenance"]["source"], record and record["source"]):
        return None
    try:
        before = _files_of(row, record, run)
    except UsageError:
        return Staleness(())
    changed = sources.changed(before, sources.file_hashes(run))
    return Staleness(tuple(changed)) if changed else None


def _files_of(row: Row, record: Record | None, run: Run) -> Mapping[str, str]:
    """The files by which a row was current last. Raises UsageError where only its commit knows, and is not here."""
    for source, files, commit in (
        *([(record["source"], record.get("files"), record["commit"])] if record is not None else []),
        (row["provenance"]["source"], row["provenance"].get("source_files"), row["provenance"]["commit"]),
    ):
        if source.startswith(sources.VERSION) and files:
            return files
        if commit is not None and not row["provenance"]["dirty"]:
            return sources.at_commit(commit, run)
    raise UsageError("it was made by no commit")


def latest_record(row: Row, folder: Path | None) -> Record | None:
    """The newest record of a row in its experiment's folder; None where there is none that nobody has edited."""
    return None if folder is None else _read(folder).get(row.get("sum", ""))


def lines(folder: Path) -> Iterator[tuple[int, Record | None]]:
    """Every line of an experiment's file with its number; None for one that was edited by hand or is no record."""
    path = folder / FILE
    if not path.is_file():
        return
    for number, text in enumerate(path.read_bytes().splitlines(), 1):
        try:
            record = json.loads(text)
            whole = set(record) >= KEYS and untouched(record)
        except (ValueError, TypeError, RecursionError):
            whole = False
        yield number, record if whole else None


def record_of(row: Row, files: Mapping[str, str], commit: str, how: str, **facts: Any) -> Record:
    """A new record, signed: the row is current by the code of `commit`, whose files have these hashes."""
    return signed(
        {
            "row": row["sum"],
            "id": row["id"],
            "device": row["device"],
            "label": row["label"],
            "was": row["provenance"]["source"],
            "source": sources.digest(files),
            "files": dict(files),
            "commit": commit,
            "how": how,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            **facts,
        }
    )


def rehashed(row: Row, run: Run) -> Record | None:
    """The record of a row whose hash is of older rules: the hash by the present rules of the commit that made it last.

    None where the row, or its newest record, has a hash by the present rules. Raises UsageError where the row is of no
    commit, or of one that this repository lacks.
    """
    record = latest_record(row, run.folder)
    if (record or row["provenance"])["source"].startswith(sources.VERSION):
        return None
    commit = record["commit"] if record is not None else row["provenance"]["commit"]
    if commit is None or row["provenance"]["dirty"]:
        raise UsageError("it was made by no commit, or by changed sources")
    facts = {key: record[key] for key in ("epochs", "steps", "whole") if key in record} if record is not None else {}
    return record_of(row, sources.at_commit(commit, run), commit, "rehashed", **facts)


def keep(folder: Path, rows: Iterable[Row], new: Iterable[Record] = ()) -> None:
    """Writes the file anew: the newest record of each of these rows, all that the folder has.

    Without any there is no file. Raises OSError where it cannot be written.
    """
    places = {row.get("sum"): place for place, row in enumerate(rows)}
    there = (record for _, record in lines(folder) if record is not None)
    newest = {record["row"]: record for record in (*there, *new) if record["row"] in places}
    if newest:
        RowFile(folder / FILE).replace(sorted(newest.values(), key=lambda record: places[record["row"]]))
    else:
        (folder / FILE).unlink(missing_ok=True)


def _read(folder: Path) -> Mapping[str, Record]:
    path = os.path.abspath(folder)  # asked for each row: no more than one look at the disk
    try:
        there = os.stat(f"{path}/{FILE}")
    except OSError:
        return {}
    return _read_once(path, there.st_ino, there.st_mtime_ns, there.st_size)


@lru_cache(maxsize=256)
def _read_once(folder: str, inode: int, modified: int, size: int) -> Mapping[str, Record]:
    return {record["row"]: record for _, record in lines(Path(folder)) if record is not None}
