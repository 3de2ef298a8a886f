"""The verbs of evidence: verify, reproduce, merge."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from . import backends
from .experiments import DeviceClass, Dir
from .facts import Json, show_json
from .terminal import Console, echo

if TYPE_CHECKING:
    from ..evidence.merging import Merger
    from ..evidence.verifying import Verdict, Verification
    from ..rows.store import Row

SHOWN = 20
"""The most differences of a row that are printed; --json has all."""


class Preference(enum.StrEnum):
    """Whose result counts where two machines differ."""

    here = "here"
    there = "there"
    newer = "newer"


def verify(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="DIR [RUN]…", help="A folder, and runs: beginnings of ids, or parts of labels."),
    ] = None,
    static: Annotated[
        bool, typer.Option("--static", help="Check folders without training; every word is a folder (default: all).")
    ] = False,
    sample: Annotated[int | None, typer.Option(min=1, help="Only so many of the rows, drawn by lot.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of --sample: another seed, other rows.")] = 0,
    rows: Annotated[
        Path | None, typer.Option(help="A file of rows made again already: compare with it, train nothing.")
    ] = None,
    working: Annotated[bool, typer.Option("--working", help="The rows that are not published yet.")] = False,
    device: DeviceClass = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time (default: one a core; one on a GPU).")] = None,
    on: backends.On = None,
    storage: backends.Kept = None,
    json: Json = False,
) -> None:
    """Trains published rows again, each from itself alone, and compares: to the bit on the same machine and versions.

    Elsewhere within a tolerance: the first steps to 0.1 %, scores by their unit (bench/rows/comparing.py says how and
    why); and the mean of each cell, from three rows on, within the interval that its rows give for it. A line for each
    difference. Nothing is written. Exit codes: 0 the same, 1 not, 2 for a mistake in the command.

    Example: seqbench verify results/quick 'copy-memory(delay=20, train=25600) lstm seed 0'
    """
    words = words or []
    if static:
        given: dict[str, object] = {
            "--sample": sample,
            "--rows": rows,
            "--jobs": jobs,
            "--device": device,
            "--working": working or None,
        }
        given |= {"--on": on, "--storage": storage}
        for name, value in given.items():
            if value is not None:
                raise UsageError(f"verify --static looks at all published rows and trains none: {name} means nothing")
        raise typer.Exit(_check(words, json))
    if not words:
        raise UsageError("verify needs the folder of an experiment, such as results/quick (or --static, for all)")
    verification = _verify(words[0], words[1:], sample, seed, rows, working, device, jobs, on, storage)
    if json:
        from ..evidence import cell_means, verifying

        rows_found = [verifying.record(verdict) for verdict in verification.verdicts]
        show_json({"rows": rows_found, "cells": [*map(cell_means.record, verification.cells)]})
    else:
        for line in _verdict_lines(verification):
            echo(line)
    raise typer.Exit(verification.exit_code or (0 if verification.good else 1))


def _verify(
    directory: str,
    runs: Sequence[str],
    sample: int | None,
    seed: int,
    file: Path | None,
    working: bool,
    device: str | None,
    jobs: int | None,
    on: str | None,
    storage: str | None,
) -> Verification:
    from ..experiments import places
    from ..running import processes

    folder = places.experiment_folder(directory)
    backends.check(on, storage)
    if file is None and on is None:
        processes.start_ahead(device or "auto")
    from ..evidence import verifying
    from ..rows.store import RowFile, Workplace
    from .live import Live

    source = "working" if working else "published"
    there = [row for row in Workplace(folder).rows(source) if device in (None, row["device"])]
    if not there:
        others = "" if device is None else f" of {device}"
        raise UsageError(f"{directory}: there are no {source} rows{others} to verify")
    chosen = verifying.chosen(there, runs, sample, seed)
    if file is not None:
        if not file.is_file():
            raise UsageError(f"--rows {file}: no such file")
        return verifying.verify_against(folder, chosen, RowFile(file).read())
    threads = max((row["provenance"].get("threads", 1) for row in chosen), default=1)
    kind = "cuda" if any(row["device"] == "cuda" for row in chosen) else "cpu"
    with backends.backend_on(on, storage, kind, jobs, threads) as backend, Live(Console(stderr=True)) as live:
        return verifying.verify(folder, chosen, live, jobs, backend)


def _verdict_lines(verification: Verification) -> list[str]:
    from ..evidence.verifying import OUTCOMES

    verdicts = verification.verdicts
    lines = [line for verdict in verdicts for line in lines_of(verdict)]
    counts = {outcome: sum(verdict.outcome == outcome for verdict in verdicts) for outcome in OUTCOMES}
    found = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    return [*lines, *_cell_lines(verification), f"{len(verdicts)} rows: {found}"]


def _cell_lines(verification: Verification) -> list[str]:
    """The means of cells, and how often one of so many is outside of its interval by luck."""
    from ..analysis.one_more_run import any_false

    cells = verification.cells
    if all(cell.good for cell in cells):
        return [*map(str, cells)]
    luck = f"by luck alone a mean is outside in {100 * any_false(len(cells)):.0f} of 100 such verifications"
    return [*map(str, cells), luck]


def lines_of(verdict: Verdict) -> list[str]:
    """What is printed of a verdict: one line, and one for each difference."""
    row = verdict.row
    bits = {"the same": "the same to the bit", "within tolerance": "the same within the tolerance"}
    text = f"{named(row)}: {bits.get(verdict.outcome, verdict.outcome)}"
    text += f": {verdict.reason}" if verdict.reason else ""
    if verdict.elsewhere:
        what = "although" if verdict.outcome == "the same" else "not comparable to the bit:"
        text += f"; {what} {', '.join(verdict.elsewhere)}"
    lines = [text, *(f"{row['id']} {difference}" for difference in verdict.differences[:SHOWN])]
    more = len(verdict.differences) - SHOWN
    return [*lines, f"{row['id']} and {more} differences more; --json has them all"] if more > 0 else lines


def named(row: Row) -> str:
    """A row as messages name it; `*` marks one that was made with uncommitted changes."""
    dirty = "*" if row["provenance"].get("dirty") else ""
    return f"{row['id']} {row['label']}{dirty} ({row['device']})"


def _check(words: Sequence[str], json: bool) -> int:
    from ..evidence import checking
    from ..experiments.places import experiment_folder, own_folders, own_results

    reports = [checking.check(folder) for folder in ([experiment_folder(word) for word in words] or own_folders())]
    reports += [] if words else checking.check_ledger(own_results())
    if json:
        show_json(checking.record(reports))
    else:
        for line in (line for report in reports for line in checking.summary(report)):
            echo(line)
    return 1 if any(report.count("error") for report in reports) else 0


def reproduce(
    words: Annotated[
        list[str], typer.Argument(metavar="[DIR] RUN", help="The beginning of a run's id, or a part of its label.")
    ],
    device: DeviceClass = None,
    json: Json = False,
) -> None:
    """Prints the commands that make a row again on a fresh machine: clone, versions, data, training, comparison.

    Example: seqbench reproduce results/quick 'jsb tcn(kernel=3, levels=2) seed 0'
    """
    from ..evidence import reproducing
    from ..experiments.places import experiment_folder

    if len(words) > 2:
        raise UsageError(f"reproduce takes one run, and its folder before it; quote a label: {' '.join(words)!r}")
    folder = experiment_folder(words[0]) if len(words) == 2 else None
    found = reproducing.find(words[-1], folder, device)
    lines = reproducing.commands(found)
    if json:
        commands = [line for line in lines if not line.startswith("#")]
        remarks = [line.removeprefix("# ") for line in lines if line.startswith("#")]
        show_json({"id": found.row["id"], "folder": str(found.folder), "commands": commands, "remarks": remarks})
        return
    for line in lines:
        echo(line)


def merge(
    directory: Dir,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="The runs.jsonl of other machines.")],
    prefer: Annotated[
        Preference | None, typer.Option(help="Whose result counts where two differ: here, there, or the newer.")
    ] = None,
    trials: Annotated[bool, typer.Option("--trials", help="The files are trials.jsonl, of tune.")] = False,
    json: Json = False,
) -> None:
    """Takes rows that other machines made into the working area: a run once, conflicts shown.

    Where two results of a run differ, nothing is written unless --prefer decides. Exit codes: 0; 1 where something
    was refused or is undecided.

    Example: seqbench merge results/bai2018-jsb from-the-lab/runs.jsonl --prefer newer
    """
    from ..evidence import merging
    from ..experiments import config, places
    from ..tuning.study import trials_of

    folder = places.experiment_folder(directory)
    experiment = trials_of(config.load(folder, winners=False)) if trials else config.load(folder)
    merger = merging.merge(experiment, files, prefer.value if prefer else None)
    if json:
        conflicts = [
            {"id": one.here["id"], "run": one.here["label"], "device": one.here["device"], "file": str(one.file)}
            | {"differences": [{"path": what.path, "here": what.here, "there": what.there} for what in one.differences]}
            for one in merger.conflicts
        ]
        show_json(
            {"written": merger.written, "added": [row["id"] for row in merger.added]}
            | {"known": [row["id"] for row in merger.known], "refused": merger.refused, "conflicts": conflicts}
        )
    else:
        echo(f"{len(merger.added)} rows added, {len(merger.known)} were here already")
    _complain(merger)
    if merger.refused or not merger.written:
        raise typer.Exit(1)


def _complain(merger: Merger) -> None:
    """What was mended, what did not come in, and where two results differ, on standard error."""
    for text in merger.repaired:
        echo(text, err=True)
    for text in merger.refused:
        echo(f"refused: {text}", err=True)
    for one in merger.conflicts:
        found = [difference for difference in one.differences if difference.path.startswith("scores")]
        shown = [*found, *one.differences][0]
        more = f" and {len(one.differences) - 1} differences more" if len(one.differences) > 1 else ""
        echo(
            f"conflict: {named(one.here)}: {shown.path}: {shown.here!r} here, {shown.there!r} in {one.file}{more}",
            err=True,
        )
    if not merger.written:
        echo("nothing is written; --prefer here, there or newer decides all conflicts", err=True)
