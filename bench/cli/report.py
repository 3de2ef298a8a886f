"""The verb of the page: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .experiments import DeviceClass
from .terminal import echo
from .writing import writing

NAME = "report.html"
"""The file in an experiment's working area, or beside those of several experiments."""


def report(
    directories: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DIR]…", help="Folders with an experiment.yaml (default: all of the suite)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="The file to write (default: in the working area).")
    ] = None,
    device: DeviceClass = None,
    working: Annotated[bool, typer.Option("--working", help="Only the rows that are not published yet.")] = False,
) -> None:
    """Writes a page for a browser: tables, learning curves, every run with its command and origin, published numbers.

    It is one file that loads nothing, to be mailed, printed, or put on any web server. Rows of the folder and of the
    working area are taken together, newer ones first. Rows of a CPU and of a GPU get a section each.

    Example: seqbench report results/quick --out quick.html
    """
    from ..experiments.places import experiment_folder, own_folders
    from ..report.page import page
    from ..rows.store import Workplace

    folders = [experiment_folder(directory) for directory in directories] if directories else None
    if out is None:
        areas = [Workplace(folder).area for folder in folders or own_folders()]
        out = (areas[0] if len(areas) == 1 else areas[0].parent) / NAME
    elif out.is_dir():
        raise UsageError(f"--out {out}: that is a folder; name a file in it, such as {out / NAME}")
    with writing(out):
        written = page.write(out, folders, "working" if working else "all", device.value if device else None)
    echo(f"wrote {written} ({written.stat().st_size / 1000:.0f} kB): open it in a browser")
