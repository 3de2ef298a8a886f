"""Which of several rows of a run counts: the newest of each place, and of several places one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .instructions import PINNED
from .store import FINISHED, Row


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
