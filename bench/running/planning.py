"""Which runs of an experiment are to do, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from ...tasks.datasets import DataError, fetch
from ..experiments.config import Experiment
from ..experiments.runs import Run
from ..rows.newest import latest, place_of
from ..rows.renewals import Staleness, staleness
from ..rows.store import FINISHED, Row, Workplace
from . import resumable

Reason = Literal["new", "resumes", "tried again", "stale", "afresh", "finished", "finished, stale", "not tuned yet"]
UNTUNED: Reason = "not tuned yet"
"""Of a run whose settings are still to be searched for, by `seqbench tune`."""


@dataclass(frozen=True)
class Planned:
    """A run, why it is or is not to do, and why its row is not current where it is stale.

    there: the checksum of the result that is there already; None where there is none.
    """

    run: Run
    reason: Reason
    staleness: Staleness | None = None
    there: str | None = None

    @property
    def to_do(self) -> bool:
        """Whether it will be trained."""
        return not self.reason.startswith("finished") and self.reason != UNTUNED


def plan(
    experiment: Experiment,
    workplace: Workplace,
    device: str,
    afresh: bool = False,
    stale: bool = False,
    instructions: str | None = None,
    known: Iterable[Row] | None = None,
) -> list[Planned]:
    """All runs of the experiment with the reason for which each is to do, or not.

    instructions: only rows that were made with these count as there, by torch's name for them; None: all do.
    known: all rows of the workplace, where they were read already.
    """
    found = workplace.rows() if known is None else known
    rows = latest(row for row in found if instructions in (None, place_of(row).instructions))
    planned = []
    untuned = experiment.untuned
    for run in experiment.runs:
        row = rows.get((run.id, device))
        finished = row is not None and row["status"] in FINISHED
        old = staleness(row, run) if finished and row is not None else None
        there = row.get("sum") if finished and row is not None else None
        reason: Reason
        if run.id in untuned:
            reason = UNTUNED
        elif afresh:
            reason = "afresh"
        elif resumable.goes_on(workplace.checkpoint(run.id, device, instructions), there):
            reason = "resumes"
        elif row is None:
            reason = "new"
        elif not finished:
            reason = "tried again"
        elif old is not None:
            reason = "stale" if stale else "finished, stale"
        else:
            reason = "finished"
        planned.append(Planned(run, reason, old, there))
    return planned


def with_data(planned: Iterable[Planned], say: Callable[[str], None]) -> tuple[list[Planned], dict[str, str]]:
    """The runs to do whose files can be had, which are fetched; and of the other tasks why not, which is said once."""
    there: list[Planned] = []
    reasons: dict[str, str | None] = {}
    for item in planned:
        name = item.run.task.name
        if item.to_do and name not in reasons:
            try:
                remotes = item.run.task_class.remotes
                for remote in remotes:
                    fetch(remote, say=say, siblings=remotes)
                reasons[name] = None
            except DataError as error:
                reasons[name] = str(error)
                say(f"{name} is left out: {error}")
        if item.to_do and reasons[name] is None:
            there.append(item)
    return there, {name: reason for name, reason in reasons.items() if reason is not None}
