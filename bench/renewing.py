"""Stale rows whose beginning the present sources make again to the bit: they count as made by these.

A verdict must be of the code that stands beside it, and training everything again after every change of a kernel would
take days. What is asked instead: that since the row was made nothing has changed but files of `models/`, whose work
is the same in every step of a training; and that the first epoch, all of its steps and the evaluation after it, gives
the same scores to the bit. A run of one epoch is compared whole.

What this cannot find: a change that shows only in numbers which the first epoch does not meet.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path

from . import comparing, provenance, renewals, sweep, verifying
from .comparing import Cannot
from .errors import UsageError
from .runs import Run
from .store import FINISHED, Row, untouched
from .verifying import Verdict, Verification

ALIKE_IN_EVERY_STEP = "models/"
"""Where changes may be renewed over, beside a user's own model: what schedules or selects shows after a first epoch."""


def renew(folder: Path, rows: Sequence[Row], display: sweep.Display, jobs: int | None = None) -> Verification:
    """Trains the first epoch of each stale row again and compares; what is the same is kept in `renewed.jsonl`.

    folder: the experiment's. Rows of the sources of now are passed over.
    Raises UsageError where the sources differ from their commit: a line must name one.
    """
    stale = [row for row in rows if _is_stale(row, folder)]
    runs = [comparing.run_of(row, folder) for row in stale]
    if stale and provenance.of_sweep(folder, runs)["dirty"]:
        raise UsageError("renew: the sources differ from the commit that the rows would be renewed by; commit first")
    made: dict[str, Row] = {}

    def judge(here: Row, row: Row, run: Run) -> Verdict:
        made[row["sum"]] = here
        return judged(here, row, run)

    found = verifying.judge_again(folder, stale, beginning, judge, display, jobs)
    new = [renewals.line_of(one.row, made[one.row["sum"]]) for one in found.verdicts if one.outcome == "the same"]
    if new:
        renewals.keep(folder, rows, new)
    return found


def beginning(row: Row, folder: Path) -> Run:
    """The run of a row, of one epoch. Raises Cannot where that says nothing of the row."""
    run = verifying.trainable(row, folder)
    if not untouched(row):
        raise Cannot("its content has not the sum that it was written with")
    commit = row["provenance"]["commit"]
    if commit is None or row["provenance"]["dirty"]:
        raise Cannot("it was made by no commit, or by changed sources")
    try:
        changed = provenance.changed_since(commit, run)
    except UsageError as error:
        raise Cannot(str(error)) from error
    own = Path(inspect.getfile(run.model_class)).name
    if beyond := [name for name in changed if not name.startswith(ALIKE_IN_EVERY_STEP) and name != own]:
        raise Cannot(f"more than models has changed since it was made: {', '.join(beyond)}; train it again")
    if run.training.epochs > 1 and run.training.test_lengths:
        raise Cannot("it was evaluated at other lengths in the end, which a first epoch does not show; train it again")
    return dataclasses.replace(run, training=dataclasses.replace(run.training, epochs=1))


def judged(here: Row, row: Row, run: Run) -> Verdict:
    """The verdict on a row from its first epoch, as it came out here."""
    if here["status"] not in FINISHED:
        return Verdict(row, "not verified", reason=f"{here['status']} here: {here['error']['message']}")
    compared = comparing.differences if run.id == row["id"] else comparing.differences_of_an_epoch
    found = compared(here, row)
    reasons = tuple(text for text in comparing.elsewhere(here, row) if not text.startswith("defining source"))
    return Verdict(row, "differs" if found else "the same", reasons, tuple(found))


def _is_stale(row: Row, folder: Path) -> bool:
    """Whether a row is stale; one that is no run of here is not asked again."""
    try:
        return row["status"] in FINISHED and renewals.is_stale(row, comparing.run_of(row, folder))
    except Cannot:
        return False
