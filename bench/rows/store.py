"""Rows in, rows out: one JSON line a run, appended by one writer, each with its own sum.

A row's keys: `id`, `status` (done, diverged, failed, died), `device` (cpu or cuda), `label`, `config`, `parameters`,
`state_size` and `receptive_field` ("unknown" where the model does not say), `causal` (false where the model sees later
inputs, though the task asks that it does not), `scores`, `lengths`, `curve`, `trace`, `yardsticks`, `resumed` (how many
times it was gone on with), `seconds` (training and evaluation of wall time; cpu), `peak_memory_mb`, `provenance` (its
keys stand there), `error`, `sum`. `row_shape` says what stands in each.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import Timeout

from .. import atomic, locks
from ..errors import UsageError
from . import row_shape
from .instructions import PINNED

Row = dict[str, Any]

FINISHED = row_shape.FINISHED
"""What is a result; `failed` and `died` are tried again by the next run."""


def finite(value: Any) -> Any:
    """A copy in which NaN and infinity are None: JSON has no such numbers."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def signed(row: Row) -> Row:
    """The row with the sum of its content."""
    return {**row, "sum": _sum(row)}


def untouched(row: Row) -> bool:
    """Whether the row's content still has the sum that it was written with."""
    return row.get("sum") == _sum(row)


def _sum(row: Row) -> str:
    content = {key: value for key, value in row.items() if key != "sum"}
    return hashlib.sha256(_line(content).encode()).hexdigest()[:16]


def _line(row: Row) -> str:
    return json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False)


class RowFile:
    """A `runs.jsonl`: read whole, appended to by one process at a time, replaced only by `publish`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Row) -> Row:
        """Signs the row and writes it to the disk; the signed row is returned.

        Raises ValueError for a row that does not say where it comes from (see `row_shape.lacking`), OSError where the
        disk refuses; then what was written of the line is taken back, so that the file stays whole.
        """
        if missing := row_shape.lacking(row):
            raise ValueError(f"row {row.get('id')} lacks {', '.join(missing)}")
        row = signed(finite(row))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.repair()
        new = not self.path.exists()
        with self.path.open("ab", buffering=0) as file:  # a buffer would write its rest once more when it is closed
            start = file.tell()
            rest = memoryview(_line(row).encode() + b"\n")
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self.path, start)
                raise
        if new:
            atomic.flush_folder(self.path.parent)
        return row

    @property
    def torn(self) -> bool:
        """Whether the last line was cut short as it was written."""
        rest = self.path.read_bytes().rpartition(b"\n")[2] if self.path.is_file() else b""
        try:
            return bool(rest) and json.loads(rest) is None
        except (ValueError, RecursionError):
            return True

    def repair(self) -> str | None:
        """Sets a half-written last line aside, in `runs.jsonl.damaged`, and says so; None where all is whole."""
        if not self.path.is_file() or self._ends_whole():
            return None
        whole, newline, rest = self.path.read_bytes().rpartition(b"\n")
        if self.torn:
            aside = self.path.with_name(f"{self.path.name}.damaged")
            with aside.open("ab") as file:
                file.write(rest + b"\n")
            with self.path.open("rb+") as file:
                file.truncate(len(whole) + len(newline))
            return f"{self.path}: the last line was half-written ({len(rest)} bytes); it is now in {aside.name}"
        with self.path.open("ab") as file:  # whole, only its line end is missing
            file.write(b"\n")
        return f"{self.path}: the end of the last line was missing; it is there now"

    def _ends_whole(self) -> bool:
        """Whether the last byte ends a line; the rest of the file, which may be long, is not read for it."""
        with self.path.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return True
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def read(self, whole: bool = True) -> list[Row]:
        """All rows; a torn last line is passed over. Raises UsageError naming file, line and key where one is no row.

        whole: False gives rows of any shape that have an id and a status, to those who say what is wrong with them.
        """
        if not self.path.is_file():
            return []
        rows = []
        lines = self.path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = _DECODER.decode(line.decode("utf-8-sig"))
                if not isinstance(row, dict) or not isinstance(row.get("id"), str) or "status" not in row:
                    raise ValueError("no id or status")
            except (ValueError, RecursionError) as error:
                if number == len(lines):
                    continue
                raise UsageError(f"{self.path}:{number}: not a row: {error}{_REMEDY}") from error
            if whole and (wrong := row_shape.misshapen(row)):
                more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
                raise UsageError(f"{self.path}:{number}: row {row['id']}: {wrong[0]}{more}{_REMEDY}")
            rows.append(row)
        return rows

    def replace(self, rows: Iterable[Row]) -> None:
        """Writes all rows anew."""
        with atomic.replacing(self.path) as file:
            for row in rows:
                file.write(_line(row).encode() + b"\n")


_REMEDY = "; take the line out, and seqbench run makes the row again"


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _whole(text: str) -> int:
    """A whole number. Raises ValueError beyond 64 bits, where nothing computes any more."""
    value = int(text) if len(text) <= 20 else 2**63
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"a number of {len(text)} digits is beyond 64 bits")
    return value


def _real(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:20]} is beyond 64 bits")
    return value


_DECODER = json.JSONDecoder(parse_constant=_no_number, parse_int=_whole, parse_float=_real)


class Place(NamedTuple):
    """What there is one row of: a run, on a class of device, with a set of vector instructions (of a CPU; else ``)."""

    id: str
    device: str
    instructions: str


def place_of(row: Row) -> Place:
    """The place of a row; rows of before rows said their instructions have none."""
    device, origin = row.get("device", ""), row.get("provenance")
    if device != "cpu" or not isinstance(origin, dict):
        return Place(row["id"], device, "")
    return Place(row["id"], device, origin.get("instructions") or "")


def by_place(rows: Iterable[Row]) -> dict[Place, Row]:
    """The newest row of each place; a result is never hidden by a later failure."""
    found: dict[Place, Row] = {}
    for row in rows:
        place = place_of(row)
        if place not in found or row["status"] in FINISHED or found[place]["status"] not in FINISHED:
            found[place] = row
    return found


def latest(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    """One row of each (id, device class): a result before a failure, then the pinned instructions before others.

    Within one place it is the newest, as `by_place` has it.
    """
    found: dict[tuple[str, str], Row] = {}
    for place, row in by_place(rows).items():
        other = found.get((place.id, place.device))
        if other is None or _rank(row) <= _rank(other):
            found[place.id, place.device] = row
    return found


def _rank(row: Row) -> tuple[bool, bool]:
    return row["status"] not in FINISHED, place_of(row).instructions != PINNED


class Workplace:
    """Where an experiment's rows stand: the folder itself (published) and the working area (not yet).

    The working area of `results/NAME` is `runs/NAME` beside `results`; of another folder `runs/NAME` beside it; of
    an experiment inside an installed package, in the current folder. `SEQBENCH_RUNS` names another place.

    part: a folder within the working area, for a process that trains a share of the runs beside others. Its new rows
    and its lock are there, so that each file has one writer; `merge` brings the rows together. Checkpoints and what
    networks have learned are in the area itself. record: the name of the file that has the rows (`Experiment.record`).
    """

    def __init__(self, folder: Path, part: str | None = None, record: str = "runs.jsonl") -> None:
        self.folder, self.part = folder, part
        self.area = self._area()
        self.published = RowFile(folder / record)
        self.working = RowFile(self._own / record)

    @property
    def installed(self) -> bool:
        """Whether the experiment belongs to an installed package, where nothing of a user's should be written."""
        folder, package = self.folder.resolve(), Path(__file__).resolve().parents[2]
        return folder.is_relative_to(package) and "site-packages" in folder.parts

    @property
    def _own(self) -> Path:
        """Where new rows and the lock are."""
        return self.area / self.part if self.part else self.area

    def rows(self, source: str = "all") -> Iterator[Row]:
        """Rows of `published`, `working`, or `all` (the published first, so that newer ones win).

        A part sees the rows of the area too, and before its own.
        """
        if source in ("published", "all"):
            yield from self.published.read()
        if source in ("working", "all"):
            if self.part:
                yield from RowFile(self.area / "runs.jsonl").read()
            yield from self.working.read()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within it this process alone changes the working area. What killed processes have left there is removed.

        Raises UsageError where another process does, or where the area cannot be written.
        """
        stack = ExitStack()
        try:
            self._own.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locks.held(self._own / "lock"))
        except Timeout as error:
            raise UsageError(
                f"{self.folder}: another process runs or publishes it (it holds {self._own / 'lock'})"
            ) from error
        except OSError as error:
            raise UsageError(
                f"cannot write to {self._own}: {error.strerror}; SEQBENCH_RUNS names another place"
            ) from error
        with stack:
            shared = (self.area / "checkpoints", self.area / "trained")  # with other parts, which have their own locks
            for folder in (self.folder, self._own, *shared):
                atomic.remove_abandoned(folder)
            for folder in shared:
                locks.remove_unheld(folder)
            yield

    @property
    def unfinished(self) -> Path:
        """A file that is there from the moment when published rows change until table, figures and ledger follow."""
        return self.area / "unfinished"

    def checkpoint(self, run_id: str, device: str, instructions: str | None = None) -> Path:
        """The file of a run's checkpoint; one of its own for vector instructions that are not the pinned ones."""
        ending = "" if instructions in (None, PINNED) else f"-{instructions}"
        return self.area / "checkpoints" / f"{run_id}-{device}{ending}.pt"

    def trained(self, run_id: str, device: str) -> Path:
        """The file of the parameters that a run has learned, of a text or where they are to be kept."""
        return self.area / "trained" / f"{run_id}-{device}.pt"

    def _area(self) -> Path:
        folder = self.folder.resolve()
        if named := os.environ.get("SEQBENCH_RUNS"):  # an empty one is none
            try:
                return Path(named).expanduser() / folder.name
            except RuntimeError as error:
                raise UsageError(f"SEQBENCH_RUNS={named}: there is no such user, or no home folder") from error
        if self.installed:
            return Path.cwd() / "runs" / folder.name
        above = folder.parent
        return (above.parent if above.name == "results" else above) / "runs" / folder.name
