"""Rows made again: each run is trained from its row alone, and what comes out is compared with what stands there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from .. import seeding
from ..errors import UsageError
from ..experiments import config, naming
from ..experiments.config import Cell, Experiment
from ..experiments.runs import Run
from ..rows import instructions, renewals
from ..rows.comparing import Cannot, Difference, differences, elsewhere, large_differences, run_of
from ..rows.newest import by_place, latest, place_of
from ..rows.store import FINISHED, Row, Workplace, checksum, untouched
from ..running import sweep
from ..running.backend import Backend
from ..running.planning import Planned
from . import cell_means
from .cell_means import CellMean, Pair
from .set_tolerances import Tolerances, between_sets, key_of, tolerances

Outcome = Literal["the same", "within tolerance", "differs", "not verified"]
OUTCOMES: tuple[Outcome, ...] = ("the same", "within tolerance", "differs", "not verified")


@dataclass(frozen=True)
class Verdict:
    """What became of one row.

    elsewhere: why it cannot have the same bits here; empty where it must. differences: what is not the same, or on
    another machine what rounding does not explain. reason: why it was not verified.
    """

    row: Row
    outcome: Outcome
    elsewhere: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether the row holds."""
        return self.outcome in ("the same", "within tolerance")


@dataclass(frozen=True)
class Verification:
    """The verdicts, in the order of the rows, and those on the means of cells that did not have the same bits.

    exit_code: of a sweep that was cut short, else None.
    """

    verdicts: Sequence[Verdict]
    exit_code: int | None = None
    cells: Sequence[CellMean] = ()

    @property
    def good(self) -> bool:
        """Whether every row holds, and every mean of a cell."""
        return all(one.good for one in self.verdicts) and all(one.good for one in self.cells)


def chosen(rows: Iterable[Row], wanted: Sequence[str] = (), sample: int | None = None, seed: int = 0) -> list[Row]:
    """The newest row of each run that one of the texts means (`naming.means`); all without any.

    sample: that many of them, drawn from the named stream `verify` of `seed`, in the order of the rows.
    Raises UsageError for a text that no row has, with what is there.
    """
    there = list(by_place(rows).values())
    runs = [(row["id"], row["label"]) for row in there]
    if (text := naming.unmet(wanted, runs)) is not None:
        raise UsageError(f"no row has {text!r} in its label or at the beginning of its id: {naming.listed(runs)}")
    found = [row for row in there if not wanted or any(naming.means(text, row["id"], row["label"]) for text in wanted)]
    if sample is None or sample >= len(found):
        return found
    places = torch.randperm(len(found), generator=seeding.generator("verify", seed))[:sample]
    return [found[place] for place in sorted(places.tolist())]


def verify(
    folder: Path,
    rows: Sequence[Row],
    display: sweep.Display,
    jobs: int | None = None,
    backend: Backend | None = None,
) -> Verification:
    """Trains the run of each row again, with its device, threads and vector instructions, and compares.

    Nothing is written anywhere.
    folder: the experiment's, where a relative path of a user's file is looked for. jobs, backend: as of `sweep.run`.
    """
    verdicts: dict[int, Verdict] = {}
    pairs: list[Pair] = []
    known = tolerances(Workplace(folder).rows())
    again: dict[tuple[str, int, str], dict[int, Run]] = {}
    for place, row in enumerate(rows):
        verdicts[place] = Verdict(row, "not verified", reason="it was stopped before it was done")
        try:
            run = trainable(row, folder)
            at = row["device"], row["provenance"].get("threads", 1), place_of(row).instructions
            again.setdefault(at, {})[place] = run
        except Cannot as reason:
            verdicts[place] = Verdict(row, "not verified", reason=str(reason))
    exit_code = None
    for (device, threads, pinned), of_place in again.items():
        if not of_place or exit_code is not None:
            continue
        cells = tuple(Cell(run.task_label, run.model_label, (run,), None, ()) for run in of_place.values())
        experiment = Experiment(folder, "", "suite", cells)  # what its experiment.yaml says is of no matter
        planned = [Planned(run, "afresh") for run in of_place.values()]
        result = sweep.run(
            experiment,
            planned,
            display,
            device,
            jobs,
            keep=False,
            threads=threads,
            backend=backend,
            instructions=pinned.lower() or "native",
        )
        made = {row["id"]: row for row in result.rows}
        for place, run in of_place.items():
            row = rows[place]
            if run.id in made:
                verdicts[place] = judged(made[run.id], row, run, known)
                pairs.append(Pair(made[run.id], row, run))
            elif run.id in result.refused:
                verdicts[place] = Verdict(row, "not verified", reason=result.refused[run.id])
            elif run.task.name in result.unavailable:
                verdicts[place] = Verdict(row, "not verified", reason=result.unavailable[run.task.name])
        if result.exit_code not in (0, 1):
            exit_code = result.exit_code
    return Verification([verdicts[place] for place in range(len(rows))], exit_code, _cells(folder, pairs, rows))


def verify_against(folder: Path, rows: Sequence[Row], made: Iterable[Row]) -> Verification:
    """Compares with rows that were made again already, elsewhere; trains nothing."""
    others, of_device = by_place(made), latest(made)
    verdicts, known = [], tolerances(Workplace(folder).rows())
    pairs: list[Pair] = []
    for row in rows:
        try:
            run = run_of(row, folder)
            here = others.get(place_of(row)) or of_device.get((row["id"], row["device"]))
            if here is None:
                raise Cannot("it has not been made again there")
            verdicts.append(judged(here, row, run, known))
            pairs.append(Pair(here, row, run))
        except Cannot as reason:
            verdicts.append(Verdict(row, "not verified", reason=str(reason)))
    return Verification(verdicts, cells=_cells(folder, pairs, rows))


def _cells(folder: Path, pairs: Sequence[Pair], rows: Sequence[Row]) -> list[CellMean]:
    """The means of the cells. rows: those that are verified; the others of their cells give the spread, too."""
    sources = {place_of(row) for row in rows}
    there = [*by_place(row for row in Workplace(folder).rows() if untouched(row)).values()]
    there = [*rows, *(row for row in there if place_of(row) not in sources)]
    try:
        preset = config.load(folder).preset
    except UsageError:  # a row is verified by itself alone, whatever became of its experiment
        preset = "suite"
    return cell_means.judged([pair for pair in pairs if untouched(pair.row)], there, preset, between_sets(there))


def judged(here: Row, row: Row, run: Run, known: Tolerances | None = None) -> Verdict:
    """The verdict on a row, from the same run as it came out here.

    known: what rows of several sets of vector instructions have measured; it counts where the sets of the two differ.
    """
    if here["status"] not in FINISHED:
        return Verdict(row, "not verified", reason=f"{here['status']} here: {here['error']['message']}")
    old = renewals.staleness(row, run)
    reasons = (*elsewhere(here, row), *([str(old)] if old else []))
    found = differences(here, row)
    if found and reasons:
        sets = {place_of(one).instructions for one in (here, row)}
        measured = (known or {}).get(key_of(row)) if len(sets) > 1 else None
        found = large_differences(here, row, run, measured)
        outcome: Outcome = "differs" if found else "within tolerance"
    else:
        outcome = "differs" if found else "the same"
    if not untouched(row):
        outcome, found = "differs", [Difference("sum", checksum(row), row.get("sum")), *found]
    return Verdict(row, outcome, reasons, tuple(found))


def trainable(row: Row, folder: Path) -> Run:
    """The run of a row that can be trained here and compared. Raises Cannot."""
    run = run_of(row, folder)
    if row["status"] not in FINISHED:
        raise Cannot(f"there is no result to compare with: it {row['status']}")
    if row["device"] == "cuda" and not torch.cuda.is_available():
        raise Cannot("it was made on a GPU, and torch sees none here")
    if reason := instructions.lacks(place_of(row).instructions or None):
        raise Cannot(reason)
    return run


def record(verdict: Verdict) -> dict[str, Any]:
    """A verdict for programs."""
    row = verdict.row
    return {
        "id": row["id"],
        "run": row["label"],
        "device": row["device"],
        "dirty": row["provenance"].get("dirty"),
        "outcome": verdict.outcome,
        "to_the_bit": not verdict.elsewhere,
        "elsewhere": list(verdict.elsewhere),
        "differences": [{"path": one.path, "here": one.here, "row": one.there} for one in verdict.differences],
        "reason": verdict.reason or None,
    }
