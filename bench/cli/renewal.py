"""The verbs that keep rows current: renew, rehash."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UsageError
from . import backends
from .evidence import named
from .experiments import DeviceClass, load
from .facts import Json, show_json
from .terminal import Console, echo


def renew(
    words: Annotated[
        list[str],
        typer.Argument(metavar="DIR [RUN]…", help="A folder, and runs: beginnings of ids, or parts of labels."),
    ],
    device: DeviceClass = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes at a time (default: one a core).")] = None,
    on: backends.On = None,
    json: Json = False,
) -> None:
    """Looks whether the present code reproduces stale rows bit for bit; those that it does count as current.

    The code of a row's commit and the present code, which must be committed, train the beginning of the run side by
    side; where more than models/ has changed, one row of the folder is trained for longer by both. What was seen is
    kept in renewed.jsonl beside the rows; table (--device says of which rows), figures and ledger are made anew. Exit
    codes: 0 nothing is stale now, 1 something is, 2 for a mistake in the command.

    Example: seqbench renew results/bai2018-jsb lstm
    """
    from ..evidence import publishing, renewing, verifying
    from ..rows.store import Workplace
    from .live import Live

    experiment = load(words[0])
    rows = [*Workplace(experiment.folder).rows()]
    if not rows:
        raise UsageError(f"{words[0]}: there are no rows to renew")
    chosen = verifying.chosen(rows, words[1:])
    with backends.pool_on(on) as pool, Live(Console(stderr=True)) as live:
        found = renewing.renew(experiment.folder, chosen, live, jobs, pool).found
    good = sum(not one.reason for one in found)
    publishing.finish(experiment, device)
    if json:
        show_json(
            [
                {"id": one.row["id"], "run": one.row["label"], "changed": one.changed, "reason": one.reason}
                for one in found
            ]
        )
    else:
        for one in sorted(found, key=lambda one: bool(one.reason)):
            what = f"still stale: {one.reason}" if one.reason else "renewed: the present code gives the same bits"
            echo(f"{named(one.row)}: {what}")
        echo(f"{len(found)} stale rows, {good} renewed" if found else "no row is stale")
    raise typer.Exit(0 if good == len(found) else 1)


def rehash(
    directories: Annotated[
        list[str] | None, typer.Argument(metavar="[DIR]…", help="Folders of experiments (default: all).")
    ] = None,
) -> None:
    """Computes the hash of published rows again, by the present rules, from the code of their commits.

    Needed after the rules of the hash have changed (bench/rows/sources.py), and for rows made before that. Nothing is
    trained: the files of each row's commit are read from the repository. A record for each row is kept in
    renewed.jsonl. Exit codes: 0; 1 where the commit of a row is not here; 2 for a mistake in the command.

    Example: seqbench rehash results/bai2018-jsb
    """
    from ..evidence import renewing
    from ..experiments.places import experiment_folder, own_folders

    failed = False
    for folder in [experiment_folder(word) for word in directories or []] or own_folders():
        found = renewing.rehash(folder)
        for row, reason in found.failed:
            echo(f"{named(row)}: not rehashed: {reason}", err=True)
        failed = failed or bool(found.failed)
        if found.records or found.failed:
            echo(f"{folder}: {len(found.records)} rows rehashed, {len(found.failed)} not")
    raise typer.Exit(1 if failed else 0)
