"""The verbs of experiments: run, status, publish."""

from __future__ import annotations

import enum
import shlex
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..errors import UsageError
from . import backends
from .facts import Json, show_json
from .terminal import Console, echo, print_columns, standard_output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from ..experiments.config import Experiment
    from ..running.planning import Planned
    from ..running.shards import Shard

Dir = Annotated[str, typer.Argument(metavar="DIR", help="A folder with an experiment.yaml, such as results/quick.")]


class Device(enum.StrEnum):
    """What a row was made on."""

    cpu = "cpu"
    cuda = "cuda"


DeviceClass = Annotated[Device | None, typer.Option(help="Whose rows, where there are both.")]


def load(directory: str, seeds: str | None = None) -> Experiment:
    """The experiment of a folder, with other seeds in place of its own. Raises UsageError for what is wrong in it."""
    from ..experiments import config
    from ..experiments.places import experiment_folder

    return config.load(experiment_folder(directory), _numbers(seeds) if seeds is not None else None)


def _numbers(seeds: str) -> list[int]:
    """`0,3-5` as [0, 3, 4, 5]."""
    from ..experiments.axes import MOST_RUNS
    from ..experiments.options import LARGEST

    given = seeds if len(seeds) < 60 else seeds[:60] + "…"
    try:
        spans = [[int(end) for end in part.split("-")] for part in seeds.split(",")]
    except ValueError:  # no number, or one of thousands of digits
        spans = []
    count = sum(span[-1] - span[0] + 1 for span in spans)
    if count > MOST_RUNS:
        raise UsageError(f"--seeds {given}: {count:,} seeds; an experiment has at most {MOST_RUNS:,} runs")
    numbers = [number for span in spans for number in range(span[0], span[-1] + 1)]
    if not numbers or any(len(span) > 2 for span in spans) or max(numbers) > LARGEST:
        raise UsageError(f"--seeds {given}: numbers and spans are needed, such as 0,1 or 0-4")
    return list(dict.fromkeys(numbers))


def device_named(name: str, on: str | None = None) -> str:
    """cpu or cuda, as `--device` has it. Raises UsageError for another name, or where there is no such device.

    on: the cluster, if any: which devices that has is not asked here.
    """
    import torch

    if name == "auto":
        return "cuda" if on is None and torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise UsageError(f"--device {name}: cpu, cuda or auto is needed")
    if on is None and name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no CUDA device here")
    return name


def number_or_auto(text: str) -> str:
    """The value of `--jobs`, checked."""
    if text != "auto" and not (text.isdecimal() and len(text) < 7 and int(text) >= 1):
        raise typer.BadParameter(f"{text[:20]}: a number from 1 to 999999 is needed, or auto")
    return text


def run(
    directory: Dir,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, or auto: cuda where this machine has one; with --on cpu.")
    ] = "auto",
    jobs: Annotated[
        str,
        typer.Option(callback=number_or_auto, help="Runs at a time; auto: one a core, or on a GPU as many as pay."),
    ] = "auto",
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads of each run, on a CPU.")] = 1,
    instructions: Annotated[
        str | None,
        typer.Option(
            metavar="SET",
            help="Vector instructions: avx2 (default), avx512, native; others' rows do not count as there.",
        ),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only runs with these words in their label, or an id.")] = None,
    seeds: Annotated[str | None, typer.Option(help="These seeds instead of the experiment's: 0,1 or 0-4.")] = None,
    afresh: Annotated[bool, typer.Option("--afresh", help="Train all runs, whatever is there already.")] = False,
    stale: Annotated[bool, typer.Option("--stale", help="Train again what an older source has made.")] = False,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only share I of N, for job arrays; merge brings rows together.")
    ] = None,
    on: backends.On = None,
    storage: backends.Kept = None,
    minutes: Annotated[
        float | None, typer.Option("--for", min=0, help="Stop after so many minutes (exit code 75).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained, and why.")] = False,
    figure: Annotated[bool, typer.Option("--figure", help="Write the figure beside the new rows.")] = False,
    keep_weights: Annotated[
        bool, typer.Option("--keep-weights", help="Keep what each run learns, for load_run; of texts it always is.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON.")] = False,
) -> None:
    """Trains the runs of an experiment that have no row yet, into the working area, and prints the table.

    Ctrl-C: the runs save checkpoints, and the next `run` goes on. Exit codes: 0; 1 where a run failed; 2 for a
    mistake in the command; 75 after --for; 130 after Ctrl-C, and of another signal 128 and its number.

    Example: seqbench run results/quick --seeds 0 --only tcn
    """
    if json and not dry_run:
        raise UsageError("--json goes with --dry-run here; seqbench status --json tells what is there")
    from ..experiments import places
    from ..running import processes

    places.experiment_folder(directory)  # a mistake in the name starts nothing
    backends.check(on, storage)
    if not dry_run and on is None:
        processes.start_ahead(device, threads, instructions)
    from ..running import each_set, shards, sweep

    share = shards.parse(shard) if shard is not None else None
    experiment, chosen = load(directory, seeds), device_named(device, on)
    at_a_time = None if jobs == "auto" else int(jobs)
    from ..rows.store import Workplace

    workplace = Workplace(experiment.folder, share.name if share else None)
    out = standard_output(unfailing=True)
    sets, left_out = each_set.available(experiment, instructions, chosen)
    for sentence in left_out:
        out.print(sentence, style="yellow")
    mine = asked_for(experiment, only, share, "run", directory)

    def plan(name: str | None) -> list[Planned]:
        planned = each_set.plan(experiment, workplace, chosen, name, afresh, stale)
        return [item for item in planned if item.run.id in mine]

    def plan_and_say(name: str | None) -> list[Planned]:
        planned = plan(name)
        if old := sum(item.reason == "finished, stale" for item in planned):
            out.print(f"{old} rows are stale: seqbench status says why, --stale trains them again", style="yellow")
        return planned

    _say_untuned(directory, experiment, mine, out)
    if dry_run:
        _show_plans({name: plan(name) for name in sets}, json)
        return
    from ..report.tables import experiment_table  # noqa: F401  # now, while the fork server imports, rather than after the last run
    from .live import Live

    plans = {name: partial(plan_and_say, name) for name in sets}
    with backends.backend_on(on, storage, chosen, at_a_time, threads) as backend:
        options = {"threads": threads, "keep_weights": keep_weights, "part": workplace.part, "backend": backend}
        code = each_set.run(experiment, plans, lambda: Live(out), chosen, at_a_time, minutes, **options)
    _answer(experiment, workplace, chosen, out, figure)
    if code in sweep.CUT_SHORT:
        say_how_to_go_on(out, "run", directory, shard=share, on=on, storage=storage)
    raise typer.Exit(code)


def asked_for(
    experiment: Experiment, only: list[str] | None, share: Shard | None, kind: str, directory: str
) -> AbstractSet[str]:
    """The ids of the runs that `--only` and `--shard` leave.

    kind: what the message calls a run. Raises UsageError where a text of `--only` means none.
    """
    from ..experiments import naming

    named = [(one.id, str(one)) for one in experiment.runs]
    if only and (text := naming.unmet(only, named)) is not None:
        there = naming.listed(named)
        raise UsageError(f"--only {text!r}: no {kind} of {directory} has that in its label or begins with it: {there}")
    meant = {run_id for run_id, label in named if not only or naming.any_means(only, run_id, label)}
    return share.ids(meant) if share else meant


def say_how_to_go_on(out: Console, verb: str, directory: str, **given: object) -> None:
    """Names the command that trains what is left. given: options by name; those that are None were not given."""
    words = [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
    out.print(f"not done yet; go on with: seqbench {shlex.join([verb, directory, *words])}", style="yellow")


def _say_untuned(directory: str, experiment: Experiment, mine: AbstractSet[str], out: Console) -> None:
    """Which of these runs wait for their settings. Raises UsageError where all do, as there is nothing to run then."""
    waiting = {run.id: run for run in experiment.runs if run.id in experiment.untuned and run.id in mine}
    if not waiting:
        return
    remedy = f"seqbench tune {shlex.quote(directory)} searches for their settings"
    if len(waiting) == len(mine):
        raise UsageError(f"{directory}: its {len(mine)} runs are not tuned yet: {remedy}")
    tasks = ", ".join(dict.fromkeys(run.task_label for run in waiting.values()))
    out.print(f"{len(waiting)} of {len(mine)} runs are not tuned yet ({tasks}): {remedy}", style="yellow")


def _show_plans(plans: Mapping[str | None, Sequence[Any]], json: bool) -> None:
    """What would be trained, and why; with which instructions where the experiment asks for several sets."""
    items = [(one, item) for one, planned in plans.items() for item in planned]
    several = len(plans) > 1
    if json:
        found = [{"id": item.run.id, "run": str(item.run), "reason": item.reason} for _, item in items]
        show_json(
            [one | ({"instructions": name} if several else {}) for one, (name, _) in zip(found, items, strict=True)]
        )
        return
    for one, item in items:
        echo(f"{item.run.id}  {item.run}  {item.reason}{f' ({one})' if several else ''}")


def _answer(experiment: Experiment, workplace: Any, device: str, out: Console, figure: bool) -> None:
    """The table of the rows here, beside the committed ones where there are some."""
    from ..analysis.grid import collect
    from ..report.tables.experiment_table import compare

    here, committed = ([*workplace.rows(source)] for source in ("working", "published"))
    if not here and not committed:
        return
    beside = device if any(row["device"] == device for row in committed) else None
    lines = compare(collect(experiment, here, device), collect(experiment, committed, beside))
    table = Table(title=experiment.question or None, title_justify="left", caption_justify="left")
    for header in ("task", "metric", "model", "here", "committed"):
        table.add_column(header, overflow="fold")
    for before, line in zip([None, *lines], lines, strict=False):
        same = before is not None and (before.task, before.metric) == (line.task, line.metric)
        if before is not None and not same:
            table.add_section()
        table.add_row("" if same else line.task, "" if same else line.metric, line.model, line.here, line.committed)
    out.print(table)
    if figure and here:
        from ..report.figures.drawing import overview

        for path in overview(experiment, here, workplace.area / "overview", device):
            out.print(f"figure: {path}", soft_wrap=True)


def status(directory: Dir, json: Json = False) -> None:
    """How far an experiment is: each run with what is there of it.

    Example: seqbench status results/quick
    """
    from ..rows.newest import latest
    from ..rows.store import Workplace
    from ..running import planning

    experiment = load(directory)
    workplace = Workplace(experiment.folder)
    of_folder = workplace.published.read()
    there, rows = set(latest(of_folder)), latest(every := [*of_folder, *workplace.rows("working")])
    lines: list[dict[str, Any]] = []
    for device in sorted({device for _, device in rows}) or ["cpu"]:
        for item in planning.plan(experiment, workplace, device, known=every):
            row = rows.get((item.run.id, device))
            lines.append(
                {
                    "id": item.run.id,
                    "run": str(item.run),
                    "device": device,
                    "state": row["status"] if row else "not run",
                    "next": item.reason,
                    "stale": str(item.staleness) if item.staleness else None,
                    "published": (item.run.id, device) in there,
                    "dirty": row["provenance"]["dirty"] if row else None,
                    "error": row["error"]["message"] if row and row.get("error") else None,
                }
            )
    if json:
        show_json({"experiment": str(experiment.folder), "runs": lines})
        return
    printed = []
    for line in lines:
        state = line["state"] + (" (dirty)" if line["dirty"] else "") + (f": {line['error']}" if line["error"] else "")
        facts = (line["id"], line["run"], line["device"], state, line["next"])
        printed.append((*facts, "yes" if line["published"] else ""))
    print_columns(("id", "run", "device", "state", "next run", "published"), printed)
    for why in dict.fromkeys(line["stale"] for line in lines if line["stale"]):
        echo(f"{sum(line['stale'] == why for line in lines)} rows are {why}")
    done = sum(line["state"] in ("done", "diverged") for line in lines)
    echo(f"{done} of {len(lines)} runs are done; working area: {workplace.area}")
    if workplace.unfinished.exists():
        echo("table and figures are older than the rows: publish or renew was cut short; publish makes them")


def publish(directory: Dir, device: DeviceClass = None, json: Json = False) -> None:
    """Moves clean rows and measurements of gradients into the folder, and makes its table and all figures anew.

    What is dirty, stale or unfinished is left in the working area, and named; then the exit code is 1.

    Example: seqbench publish results/quick
    """
    from ..evidence.publishing import publish as publish_rows

    publication = publish_rows(load(directory), device)
    for text in publication.repaired:
        echo(text, err=True)
    if json:
        left = [{"id": row["id"], "reason": reason} for row, reason in publication.left]
        left += [{"file": str(path), "reason": reason} for path, reason in publication.left_files]
        written = [str(path) for path in publication.written]
        show_json({"published": [row["id"] for row in publication.moved], "left": left, "written": written})
    else:
        echo(f"{len(publication.moved)} rows published")
        for path in publication.written:
            echo(f"wrote {path}")
    for row, reason in publication.left:
        echo(f"left: {row['id']} {row['label']}: {reason}", err=True)
    for path, reason in publication.left_files:
        echo(f"left: {path}: {reason}", err=True)
    if publication.left or publication.left_files:
        raise typer.Exit(1)
