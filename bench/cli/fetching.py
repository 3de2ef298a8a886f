"""The verb that gets data: fetch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..experiments import registry
from ..experiments.notation import parse
from .facts import Json, show_json
from .terminal import Console, echo

if TYPE_CHECKING:
    from ...tasks.datasets import Remote


def fetch(
    tasks: Annotated[
        list[str] | None, typer.Argument(help="Tasks whose data to fetch; all where none is named.")
    ] = None,
    json: Json = False,
) -> None:
    """Fetches the data of tasks, from a mirror or their public homes, and verifies every file.

    A large download that was cut short is gone on with where it broke off.

    Example: SEQBENCH_MIRROR=/mnt/mirror seqbench fetch sequential-mnist jsb
    """
    specs = [parse(name) for name in tasks or registry.listing("task")]
    classes = [registry.resolve("task", spec)[0] for spec in specs]
    remotes = {remote.filename: remote for cls in classes for remote in cls.remotes}
    found, failed = _fetch_all(list(remotes.values()))
    if json:
        files = {remote.filename: {"path": str(path), "sha256": remote.sha256} for remote, path in found}
        show_json({"files": files, "failed": failed})
    else:
        for remote, path in found:
            echo(f"{remote.filename}  {path}  sha256 {remote.sha256}")
        if not remotes:
            echo("these tasks need no files: their data are generated")
    for message in failed.values():
        echo(f"seqbench: {message}", err=True)
    if failed:
        raise typer.Exit(1)


def _fetch_all(remotes: list[Remote]) -> tuple[list[tuple[Remote, Path]], dict[str, str]]:
    """The files that could be had, with their paths, and filename -> why for the others; a bar for each on stderr."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from ...tasks import datasets

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    found, failed = [], {}
    console = Console(stderr=True)
    with Progress(*columns, console=console) as progress:

        def say(line: str) -> None:
            console.print(line, soft_wrap=True)

        for remote in remotes:
            bar = progress.add_task(remote.filename, total=remote.size)

            def report(filename: str, received: int, total: int | None, bar: Any = bar) -> None:
                progress.update(bar, completed=received, total=total)

            try:
                path = datasets.fetch(remote, report, say, siblings=remotes)
            except datasets.DataError as error:
                failed[remote.filename] = str(error)
                continue
            found.append((remote, path))
            size = path.stat().st_size
            progress.update(bar, completed=size, total=size)
    return found, failed
