"""The verb `table`: what an experiment's rows say, and the ledger of published numbers."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import atomic
from ..errors import UsageError
from .experiments import DeviceClass, load
from .terminal import echo
from .writing import writing

if TYPE_CHECKING:
    from ..experiments.config import Experiment


class Format(enum.StrEnum):
    """How a table is written."""

    md = "md"
    csv = "csv"
    latex = "latex"
    json = "json"


def table(
    directories: Annotated[
        list[str] | None,
        typer.Argument(metavar="DIR", help="A folder with an experiment.yaml; with --ledger any number."),
    ] = None,
    format: Annotated[Format, typer.Option(help="How to write it.")] = Format.md,
    device: DeviceClass = None,
    working: Annotated[bool, typer.Option("--working", help="Only the rows that are not published yet.")] = False,
    ledger: Annotated[
        bool, typer.Option("--ledger", help="The published numbers, ours, and the verdicts (no DIR: all of them).")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="A file to write it to, in place of printing it.")] = None,
) -> None:
    """Prints the table of an experiment: every cell of its grid, with what is missing, and the seeds behind it.

    Rows of the folder and of the working area are taken together, newer ones first. With --ledger: each number that a
    paper prints for these tasks, ours beside it, and whether it is reproduced.

    Example: seqbench table results/quick --format latex
    """
    if ledger:
        text = _ledger(directories, format.value, device, working)
    elif not directories or len(directories) > 1:
        raise UsageError("table: one DIR is needed, such as results/quick; only --ledger takes none, or several")
    else:
        text = _table(directories[0], format.value, device, working)
    if out is None:
        echo(text, nl=False)
        return
    with writing(out):
        atomic.write(out, text)
    echo(f"wrote {out}")


def _table(directory: str, format: Any, device: str | None, working: bool) -> str:
    from ..analysis.grid import collect
    from ..report.tables.experiment_table import table as write

    experiment, rows = _rows(directory, working)
    return write(collect(experiment, rows, device), format, experiment.question)


def _ledger(directories: list[str] | None, format: str, device: str | None, working: bool) -> str:
    from ..analysis.ledger import lines
    from ..experiments.places import experiment_folder
    from ..report.tables.ledger_table import ledger

    folders = [experiment_folder(directory) for directory in directories] if directories else None
    return ledger(lines(folders, "working" if working else "all", device), format)


def _rows(directory: str, working: bool) -> tuple[Experiment, list[dict[str, Any]]]:
    from ..rows.store import Workplace

    experiment = load(directory)
    return experiment, [*Workplace(experiment.folder).rows("working" if working else "all")]
