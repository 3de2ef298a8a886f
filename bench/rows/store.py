"""Rows in, rows out: one JSON line a run, appended by one writer, each with its own checksum.

A row's keys: `id`, `status` (done, diverged, failed, died), `device` (cpu or cuda), `label`, `config`, `parameters`,
`state_size` and `receptive_field` ("unknown" where the model does not say), `causal` (false where the model sees later
inputs, though the task asks that it does not), `scores`, `lengths`, `curve`, `trace`, `yardsticks`, `resumed` (how many
times it was gone on with), `seconds` (training and evaluation of wall time; cpu), `peak_memory_mb`, `provenance` (its
keys stand there), `error`, `sum`. `row_shape` says what stands in each.
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

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


class StoredRow(Row):
    """A row as it stands in a file. line: its own bytes, which are copied wherever the row goes.

    It does not change, so that it says what its line says; a copy of it is a plain row.
    """

    __slots__ = ("line",)

    def __init__(self, row: Row, line: bytes) -> None:
        super().__init__(row)
        self.line = line

    def _fixed(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a stored row does not change: make a new one, {**row, …}")

    __setitem__ = __delitem__ = __ior__ = update = setdefault = pop = popitem = clear = _fixed

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def signed(row: Row) -> Row:
    """The row with the checksum of its content."""
    return {**row, "sum": checksum({key: value for key, value in row.items() if key != "sum"})}


def untouched(row: Row) -> bool:
    """Whether the row still has the checksum that it was written with."""
    return "sum" in row and row["sum"] == checksum(row)


def checksum(row: Row) -> str:
    """16 hex digits: SHA-256 of the row's line, all of it but the checksum."""
    whole, own = _line(row), f',"sum":"{row.get("sum")}"'.encode()
    before, _, after = whole.partition(own)
    return hashlib.sha256(before + after).hexdigest()[:16]


def _line(row: Row) -> bytes:
    """The line of a row in a file, without its end."""
    if isinstance(row, StoredRow):
        return row.line
    return json.dumps(row, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


class RowFile:
    """A `runs.jsonl`: read whole, appended to by one process at a time, replaced only by `publish`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Row) -> Row:
        """Signs the row and writes it to the disk; the signed row is returned.

        Raises ValueError for what is no row, or does not say where it comes from (see `row_shape`), OSError where the
        disk refuses; then what was written of the line is taken back, so that the file stays whole.
        """
        line = _line(signed(finite(row)))
        kept = StoredRow(row_shape.typed(line), line)
        if missing := row_shape.lacking(kept):
            raise ValueError(f"row {row['id']} lacks provenance.{', provenance.'.join(missing)}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.repair()
        new = not self.path.exists()
        with self.path.open("ab", buffering=0) as file:  # a buffer would write its rest once more when it is closed
            start = file.tell()
            rest = memoryview(line + b"\n")
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self.path, start)
                raise
        if new:
            atomic.flush_folder(self.path.parent)
        return kept

    @property
    def torn(self) -> bool:
        """Whether the last line was cut short as it was written."""
        rest = self.path.read_bytes().rpartition(b"\n")[2] if self.path.is_file() else b""
        try:
            return bool(rest) and row_shape.typed(rest) is None
        except row_shape.Malformed:
            return True
        except row_shape.Misshapen:
            return False

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

    def read(self) -> list[Row]:
        """All rows; a torn last line is passed over. Raises UsageError naming file, line and key of what is no row."""
        rows = []
        for line in self.lines():
            if line.row is None:
                raise UsageError(f"{self.path}:{line.number}: {line.flaw}{_REMEDY}")
            rows.append(line.row)
        return rows

    def lines(self) -> list[Line]:
        """Every line with its row, or with what is wrong with it; empty ones and a torn last one are passed over."""
        if not self.path.is_file():
            return []
        found = []
        texts = self.path.read_bytes().split(b"\n")
        with _uncollected():
            for number, text in enumerate(texts, 1):
                text = text.removeprefix(BYTE_ORDER_MARK).strip()
                try:
                    if text:
                        found.append(Line(number, StoredRow(row_shape.typed(text), text)))
                except row_shape.Misshapen as error:
                    found.append(Line(number, None, str(error)))
                except row_shape.Malformed as error:
                    if number < len(texts):
                        found.append(Line(number, None, f"not a row: {error}"))
        return found

    def replace(self, rows: Iterable[Row]) -> None:
        """Writes all rows anew; the lines of stored rows as they are."""
        with atomic.replacing(self.path) as file:
            for row in rows:
                file.write(_line(row) + b"\n")


class Line(NamedTuple):
    """A line of a file. number: from 1. row: None where it is none. flaw: what is wrong with it then."""

    number: int
    row: Row | None
    flaw: str = ""


BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_REMEDY = "; take the line out, and seqbench run makes the row again"


@contextmanager
def _uncollected() -> Iterator[None]:
    """Within it no garbage is looked for: among rows, which hold no cycles, that takes longer than to read them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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
