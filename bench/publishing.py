"""From the working area into the experiment's folder: rows that can be trusted, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from . import gradient_flow, provenance
from .config import Experiment
from .errors import UsageError
from .ledger import read as published_numbers
from .report import figures
from .report.grid import collect
from .report.ledger import printed_scores
from .report.ledger_table import write_ledger
from .report.tables import table
from .store import FINISHED, Row, Workplace, latest, untouched

TABLE, LEDGER = "table.md", "ledger.md"
FORMATS = ("png", "svg")
"""What figures in an experiment's folder are, for a screen and for print."""


@dataclass(frozen=True)
class Publication:
    """What was moved, what was left, with the reason for each, and which torn lines of files were set aside."""

    moved: Sequence[Row]
    left: Sequence[tuple[Row, str]]
    written: Sequence[Path]
    repaired: Sequence[str]


def publish(experiment: Experiment, device: str | None = None) -> Publication:
    """Moves clean, finished rows into the folder and makes its table and figures anew, and the ledger that judges it.

    Rows that are dirty, stale, unfinished, edited by hand or not of this experiment are left where they are.
    device: which rows the table shows, where there are those of a CPU and of a GPU.
    Raises OSError where the folder cannot be written; nothing is lost then. Raises UsageError while another process
    runs the experiment.
    """
    workplace = Workplace(experiment.folder)
    if workplace.installed:
        raise UsageError(f"{experiment.folder} belongs to the installed package: copy the folder to publish in it")
    with workplace.held() if workplace.working.path.is_file() else nullcontext():
        moved, left, repaired = _move(experiment, workplace)
    written = write_answers(experiment, device)
    return Publication(moved, left, [*written, *_write_ledger(experiment)], repaired)


def _move(experiment: Experiment, workplace: Workplace) -> tuple[list[Row], list[tuple[Row, str]], list[str]]:
    runs = {run.id: run for run in experiment.runs}
    sources = {run_id: provenance.source_hash(run) for run_id, run in runs.items()}
    moved, left = [], []
    repaired = [text for file in (workplace.published, workplace.working) if (text := file.repair())]
    working = workplace.working.read()
    for row in latest(working).values():
        reason = _why_not(row, sources)
        if reason:
            left.append((row, reason))
        else:
            moved.append(row)
    if moved:
        order = list(runs)
        together = latest([*workplace.published.read(), *moved]).values()
        workplace.published.replace(
            sorted(
                together, key=lambda row: (order.index(row["id"]) if row["id"] in runs else len(runs), row["device"])
            )
        )
        places = {(row["id"], row["device"]) for row in moved}
        workplace.working.replace(row for row in working if (row["id"], row["device"]) not in places)
    return moved, left, repaired


def _why_not(row: Row, sources: dict[str, str]) -> str | None:
    if row["id"] not in sources:
        return "not a run of this experiment as it is now"
    if row["status"] not in FINISHED:
        return f"{row['status']}: {row['error']['message']}"
    if not untouched(row):
        return "its content has not the sum that it was written with"
    if row["provenance"]["commit"] is None:
        return "of no commit: it was made outside a git checkout"
    if row["provenance"]["dirty"]:
        return "dirty: the sources differed from the commit when it was made"
    if row["provenance"]["source"] != sources[row["id"]]:
        return "stale: the source that defines it has changed since"
    return None


def write_answers(experiment: Experiment, device: str | None = None) -> list[Path]:
    """Writes `table.md` and the figures of the published rows; none where there are no rows.

    A figure of before that these rows do not give any more is taken away.
    """
    rows = Workplace(experiment.folder).published.read()
    if not rows:
        return []
    path = experiment.folder / TABLE
    path.write_text(table(collect(experiment, rows, device), "md", experiment.question), encoding="utf-8")
    drawn = write_figures(experiment, rows, experiment.folder, device)
    for name in (f"{name}.{format}" for name in figures.FIGURES for format in FORMATS):
        if experiment.folder / name not in drawn:
            (experiment.folder / name).unlink(missing_ok=True)
    return [path, *drawn]


def _write_ledger(experiment: Experiment) -> list[Path]:
    """The ledger beside the experiment's folder, where a published number is judged by this experiment."""
    judging = {Path(name).name for number in published_numbers() for name in number.experiments}
    if experiment.name not in judging:
        return []
    written = write_ledger(experiment.folder.resolve().parent / LEDGER)
    return [written] if written else []


def write_figures(experiment: Experiment, rows: Sequence[Row], place: Path, device: str | None = None) -> list[Path]:
    """Draws all figures that these rows and the measurements in the experiment's folder give, into `place`."""
    measured = experiment.folder / gradient_flow.FILE
    return figures.write(
        experiment,
        rows,
        place,
        device,
        published=printed_scores(experiment),
        gradients=measured if measured.is_file() else None,
        formats=FORMATS,
    ).written
