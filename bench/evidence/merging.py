"""Rows of one experiment that were made on several machines come together in one working area."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..errors import UsageError
from ..experiments.config import Experiment
from ..rows.comparing import Difference, differences, flaw
from ..rows.newest import Place, by_place, place_of
from ..rows.row_shape import SAID_ELSEWHERE, lacking
from ..rows.store import FINISHED, Row, RowFile, Workplace

Prefer = Literal["here", "there", "newer"]


@dataclass(frozen=True)
class Conflict:
    """Two results of one run that are not the same, and the file that has the second."""

    here: Row
    there: Row
    file: Path
    differences: Sequence[Difference]


@dataclass
class Merger:
    """What came of it.

    added: rows that the working area has now. known: rows whose result was here already, word by word or made again
    with the same bits. repaired: what was mended in the working area's file. refused: rows that may not come in, as
    lines that say why. conflicts: all, also those that were decided. written: False where conflicts are undecided; then
    the working area is as it was.
    """

    added: list[Row] = field(default_factory=list)
    known: list[Row] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    written: bool = False


def merge(experiment: Experiment, files: Sequence[Path], prefer: Prefer | None = None) -> Merger:
    """Takes the rows of other machines' `runs.jsonl` into the experiment's working area; the files stay as they are.

    prefer: whose result counts where two differ: that which is here (of several files that of the first), that which
    is there (of the last), or that which was finished last. Without it nothing is written where two differ.
    Raises UsageError for a file that is not there, is the experiment's own or holds what is no row, and while another
    process runs the experiment.
    """
    place = Workplace(experiment.folder, record=experiment.record)
    for file in files:
        _check(file, place)
    merger = Merger()
    with place.held():
        for text in filter(None, [place.working.repair()]):
            merger.repaired.append(text)
        counted = {where: row for where, row in by_place(place.rows()).items() if row["status"] in FINISHED}
        taken: dict[Place, Row] = {}
        for file in files:
            for row in _fit(file, experiment, merger):
                _take(row, file, counted, taken, merger, prefer)
        if merger.conflicts and prefer is None:
            return merger
        merger.added = list(taken.values())
        if taken:
            kept = (row for row in place.working.read() if place_of(row) not in taken)
            place.working.replace([*kept, *taken.values()])
        merger.written = True
    return merger


def _check(file: Path, place: Workplace) -> None:
    if file.is_dir():
        raise UsageError(f"{file}: a file of rows is needed, such as {file / 'runs.jsonl'}")
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    own = [one.path.resolve() for one in (place.published, place.working) if one.path.exists()]
    if file.resolve() in own:
        raise UsageError(f"{file}: these are the experiment's own rows")


def _fit(file: Path, experiment: Experiment, merger: Merger) -> Iterable[Row]:
    """The rows of a file that may come in; the others are named.

    Of one run the newest; where rows of the same sources disagree, all of them, so that the conflict shows.
    """
    lines = RowFile(file).lines()
    merger.refused += [f"{file}:{line.number}: {line.flaw}" for line in lines if line.row is None]
    if RowFile(file).torn:
        merger.refused.append(f"{file}: the last line is half-written; its row is not taken")
    grid = {run.id for run in experiment.runs}
    sound: dict[Place, list[Row]] = {}
    for row in (line.row for line in lines if line.row is not None):
        reason = _why_not(row, grid, experiment.folder)
        if reason:
            merger.refused.append(f"{file}: {row['id']} {row.get('label', '')}: {reason}")
        else:
            of_run = sound.setdefault(place_of(row), [])
            if of_run and row["provenance"]["source"] != of_run[-1]["provenance"]["source"]:
                of_run.clear()  # trained again because the sources have changed
            of_run.append(row)
    return [row for of_run in sound.values() for row in of_run]


def _why_not(row: Row, grid: set[str], folder: Path) -> str | None:
    if row["status"] not in FINISHED:
        return f"no result: it {row['status']}"
    if missing := [name for name in lacking(row) if name not in SAID_ELSEWHERE]:
        return f"it lacks provenance.{', provenance.'.join(missing)}"
    if found := flaw(row, folder):
        return str(found)
    if row["id"] not in grid:
        return "not a run of this experiment as it is now"
    return None


def _take(
    row: Row,
    file: Path,
    counted: dict[Place, Row],
    taken: dict[Place, Row],
    merger: Merger,
    prefer: Prefer | None,
) -> None:
    """Lets a row in, if there is no result of its run yet or it is preferred to that."""
    where = place_of(row)
    here = counted.get(where)
    if here is not None:
        found = differences(here, row)
        if not found:
            merger.known.append(row)
            return
        merger.conflicts.append(Conflict(here, row, file, found))
        newer = row["provenance"]["finished"] > here["provenance"].get("finished", "")
        if not (prefer == "there" or (prefer == "newer" and newer)):
            return
    counted[where] = taken[where] = row
