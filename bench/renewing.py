"""Stale rows whose beginning the present sources make again to the bit: they count as made by these.

A verdict must be of the code that stands beside it, and training everything again after every change of a kernel would
take days. What is asked instead: that since the row was made nothing has changed but files of `models/`, or a user's
own model, whose work is the same in every step of a training (and, for rows of a CPU, what runs on a GPU alone); and
that the first epoch, all of its steps and the evaluation after it, gives the same scores to the bit. A run of one epoch
is compared whole.

What this cannot find: a change that shows only in numbers which the first epoch does not meet.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path

from . import comparing, provenance, registry, renewals, sweep, verifying
from .comparing import Cannot
from .errors import UsageError
from .evaluation import trained
from .runs import Run
from .store import FINISHED, Row, Workplace, untouched
from .verifying import Verdict, Verification

GPU_ALONE = registry.ROOT / "bench" / "engine" / "cuda.py"
"""What no run on a CPU executes."""


def renew(folder: Path, rows: Sequence[Row], display: sweep.Display, jobs: int | None = None) -> Verification:
    """Trains the first epoch of each stale row again and compares; what is the same is kept in `renewed.jsonl`.

    folder: the experiment's. rows: of its published ones; those of the sources of now are passed over.
    Raises UsageError where the sources differ from their commit, of which a line must speak; while another process
    runs the experiment; and where the folder belongs to the installed package.
    """
    workplace = Workplace(folder)
    if workplace.installed:
        raise UsageError(f"{folder} belongs to the installed package: renew its rows in a checkout")
    stale, unknown, runs = list[Row](), list[Verdict](), list[Run]()
    for row in (row for row in rows if row["status"] in FINISHED):
        try:
            run = comparing.run_of(row, folder)
        except Cannot as reason:
            unknown.append(Verdict(row, "not verified", reason=str(reason)))
            continue
        if renewals.is_stale(row, run):
            stale.append(row)
            runs.append(run)
    if stale and provenance.of_sweep(folder, runs)["dirty"]:
        raise UsageError("renew: the sources differ from the commit that the rows would be renewed by; commit first")
    new: list[renewals.Line] = []

    def judge(here: Row, row: Row, run: Run) -> Verdict:
        verdict = judged(here, row, run)
        if verdict.good:
            new.append(renewals.line_of(row, here))
        return verdict

    with workplace.held():
        found = verifying.judge_again(folder, stale, beginning, judge, display, jobs)
        if new:
            renewals.keep(folder, workplace.published.read(), new)
    return Verification([*found.verdicts, *unknown], found.exit_code)


def beginning(row: Row, folder: Path) -> Run:
    """The run of a row, of one epoch. Raises Cannot where that says nothing of the row."""
    run = verifying.trainable(row, folder)
    if not untouched(row):
        raise Cannot("its content has not the sum that it was written with")
    if not trained(row["curve"]):
        raise Cannot("it diverged before its first epoch was over; train it again")
    commit = row["provenance"]["commit"]
    if commit is None or row["provenance"]["dirty"]:
        raise Cannot("it was made by no commit, or by changed sources; train it again")
    try:
        changed = provenance.changed_since(commit, run)
    except UsageError as error:
        raise Cannot(str(error)) from error
    if beyond := [path.name for path in changed if not _shown_by_an_epoch(path, run, row["device"])]:
        raise Cannot(f"more than models is not as in its commit: {', '.join(beyond)}; train it again")
    if run.training.epochs > 1 and run.training.test_lengths:
        raise Cannot("it was evaluated at other lengths in the end, which a first epoch does not show; train it again")
    return dataclasses.replace(run, training=dataclasses.replace(run.training, epochs=1))


def _shown_by_an_epoch(path: Path, run: Run, device: str) -> bool:
    """Whether a change of this file shows in a first epoch, if it shows at all."""
    task, model = (Path(inspect.getfile(cls)).resolve() for cls in (run.task_class, run.model_class))
    if device == "cpu" and path == GPU_ALONE:
        return True
    return registry.ROOT / "models" in path.parents or path == model != task


def judged(here: Row, row: Row, run: Run) -> Verdict:
    """The verdict on a row from its first epoch, as it came out here."""
    if here["status"] not in FINISHED:
        return Verdict(row, "not verified", reason=f"{here['status']} here: {here['error']['message']}")
    if here["provenance"]["dirty"] or here["provenance"]["commit"] is None:
        return Verdict(row, "not verified", reason="it was made again by sources of no commit")
    compared = comparing.differences if run.id == row["id"] else comparing.differences_of_an_epoch
    found = compared(here, row)
    reasons = tuple(comparing.elsewhere(here, row, sources=False))
    return Verdict(row, "differs" if found else "the same", reasons, tuple(found))
