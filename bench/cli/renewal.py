"""The verbs that keep rows current: renew, rehash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..errors import UsageError
from .evidence import lines_of, named
from .experiments import DeviceClass, load
from .facts import Json, show_json

if TYPE_CHECKING:
    from ..verifying import Verdict


def renew(
    words: Annotated[
        list[str],
        typer.Argument(metavar="DIR [RUN]…", help="A folder, and runs: beginnings of ids, or parts of labels."),
    ],
    device: DeviceClass = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time (default: one a core; one on a GPU).")] = None,
    json: Json = False,
) -> None:
    """Trains the first epoch of stale rows again; those that come out the same to the bit are stale no more.

    Only where nothing but models has changed since a row was made; the sources must be committed. What was seen is kept
    in renewed.jsonl beside the rows; table (--device says of which rows), figures and ledger are made anew.
    Exit codes: 0 nothing is stale now, 1 something is, 2 for a mistake in the command.

    Example: seqbench renew results/bai2018-jsb lstm
    """
    from .. import places, processes

    places.experiment_folder(words[0])
    processes.start_ahead("auto")
    from .. import publishing, renewing, verifying
    from ..store import Workplace
    from .live import Live

    experiment = load(words[0])
    rows = Workplace(experiment.folder).published.read()
    if not rows:
        raise UsageError(f"{words[0]}: there are no published rows to renew")
    chosen = verifying.chosen(rows, words[1:])
    with Live(Console(stderr=True)) as live:
        found = renewing.renew(experiment.folder, chosen, live, jobs)
    if any(verdict.good for verdict in found.verdicts):
        publishing.write_answers(experiment, device)
        publishing.write_its_ledger(experiment)
    if json:
        show_json([verifying.record(verdict) for verdict in found.verdicts])
    else:
        for line in _renewal_lines(found.verdicts):
            typer.echo(line)
    raise typer.Exit(found.exit_code or (0 if all(verdict.good for verdict in found.verdicts) else 1))


def _renewal_lines(verdicts: Sequence[Verdict]) -> list[str]:
    good = [verdict for verdict in verdicts if verdict.good]
    lines = []
    for one in good:
        part = "all of it" if one.row["config"]["training"]["epochs"] == 1 else "its first epoch"
        lines.append(f"{named(one.row)}: renewed: {part} is the same to the bit")
    lines += [f"still stale: {line}" for one in verdicts if not one.good for line in lines_of(one)]
    return [*lines, f"{len(verdicts)} stale rows, {len(good)} renewed" if verdicts else "no row is stale"]


def rehash(
    directories: Annotated[
        list[str] | None, typer.Argument(metavar="[DIR]…", help="Folders of experiments (default: all).")
    ] = None,
) -> None:
    """Computes the hash of published rows again, by the present rules, from the code of their commits.

    Needed after the rules of the hash have changed (bench/sources.py), and for rows made before that. Nothing is
    trained: the files of each row's commit are read from the repository. A record for each row is kept in
    renewed.jsonl. Exit codes: 0; 1 where the commit of a row is not here; 2 for a mistake in the command.

    Example: seqbench rehash results/bai2018-jsb
    """
    from .. import renewing
    from ..places import experiment_folder, own_folders

    failed = False
    for folder in [experiment_folder(word) for word in directories or []] or own_folders():
        found = renewing.rehash(folder)
        for row, reason in found.failed:
            typer.echo(f"{named(row)}: not rehashed: {reason}", err=True)
        failed = failed or bool(found.failed)
        if found.records or found.failed:
            typer.echo(f"{folder}: {len(found.records)} rows rehashed, {len(found.failed)} not")
    raise typer.Exit(1 if failed else 0)
