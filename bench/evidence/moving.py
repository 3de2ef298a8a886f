"""Rows on their way from the working area into the experiment's folder: which may go, and why the others may not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..rows import commits
from ..rows.comparing import flaw
from ..rows.newest import by_place, place_of
from ..rows.store import FINISHED, Row, Workplace


class Moved(NamedTuple):
    """Rows that were moved, rows that were left with the reason for each, and torn lines that were set aside."""

    moved: Sequence[Row] = ()
    left: Sequence[tuple[Row, str]] = ()
    repaired: Sequence[str] = ()


def move(workplace: Workplace, why_not: Callable[[Row], str | None], publish: Callable[[Sequence[Row]], None]) -> Moved:
    """Moves the rows of a working area, which is held, that nothing is against.

    why_not: gives the reason against a row. publish: writes rows into the folder; only then they leave the working
    area, so that a kill loses none.
    """
    repaired = [text for file in (workplace.published, workplace.working) if (text := file.repair())]
    working, moved, left = workplace.working.read(), [], []
    for row in by_place(working).values():
        reason = why_not(row)
        if reason:
            left.append((row, reason))
        else:
            moved.append(row)
    if moved:
        publish(moved)
        places = {place_of(row) for row in moved}
        workplace.working.replace(row for row in working if place_of(row) not in places)
    return Moved(moved, left, repaired)


def why_unfit(row: Row, folder: Path) -> str | None:
    """Why a row may not be published by any experiment; None where nothing of itself is against it."""
    if row["status"] not in FINISHED:
        return f"{row['status']}: {row['error']['message']}"
    if found := flaw(row, folder):
        return str(found)
    return commits.why_unclean(row["provenance"])
