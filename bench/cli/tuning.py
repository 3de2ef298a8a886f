"""The verbs of tuning: tune and new."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ..errors import UsageError
from . import backends
from .experiments import Dir, asked_for, device_named, number_or_auto, say_how_to_go_on
from .facts import show_json
from .terminal import Console, echo, standard_output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..experiments.config import Experiment
    from ..rows.store import Row, Workplace
    from ..running.planning import Planned
    from ..tuning.selection import Searched


def tune(
    directory: Dir,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is one.")] = "auto",
    jobs: Annotated[
        str,
        typer.Option(callback=number_or_auto, help="Runs at a time; auto: one a core, or on a GPU as many as pay."),
    ] = "auto",
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads of each run, on a CPU.")] = 1,
    only: Annotated[
        list[str] | None, typer.Option(help="Only trials with these words in their label, or an id.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only share I of N, for job arrays; merge --trials joins them.")
    ] = None,
    on: backends.On = None,
    storage: backends.Kept = None,
    minutes: Annotated[
        float | None, typer.Option("--for", min=0, help="Stop after so many minutes (exit code 75).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say which trials would be run, and train none.")] = False,
    json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON.")] = False,
) -> None:
    """Searches for the settings of every model: the trials of the `tune:` block, the same number for all.

    The trials are planned before the first of them runs. Each is a run with a row, in trials.jsonl of the working area.
    When all models of a task have all their trials, its winners on validation go into tuned.yaml, which `run` follows.
    Ctrl-C and kills lose nothing; the next `tune` goes on. Exit codes as of run.

    Example: seqbench tune results/laptop --for 60
    """
    if json and not dry_run:
        raise UsageError("--json goes with --dry-run here; tuned.yaml has the winners")
    from ..experiments import config, places
    from ..running import processes

    folder = places.experiment_folder(directory)
    backends.check(on, storage)
    if not dry_run and on is None:
        processes.start_ahead(device, threads)
    from ..rows.store import Workplace
    from ..running import planning, shards, sweep
    from ..tuning.study import check, trials_of

    experiment, chosen = config.load(folder, winners=False), device_named(device, on)
    study, share = trials_of(experiment), shards.parse(shard) if shard is not None else None
    workplace = Workplace(folder, share.name if share else None, study.record)
    if workplace.installed:
        raise UsageError(f"{folder} belongs to the installed package: copy the folder to tune it")
    mine = asked_for(study, only, share, "trial", directory)

    def plan() -> list[Planned]:
        return [item for item in planning.plan(study, workplace, chosen) if item.run.id in mine]

    if dry_run:
        show(plan(), json)
        return
    check(experiment)
    from .live import Live

    out, at_a_time = standard_output(unfailing=True), None if jobs == "auto" else int(jobs)
    say_others(study, workplace, out)
    with backends.backend_on(on, storage, chosen, at_a_time, threads) as backend, Live(out, "valid") as live:
        place = workplace.part
        result = sweep.run(study, plan, live, chosen, at_a_time, minutes, threads=threads, part=place, backend=backend)
    if share is None:
        conclude(experiment, workplace, [*workplace.rows()], chosen, out)
    if result.exit_code in sweep.CUT_SHORT:
        say_how_to_go_on(out, "tune", directory, shard=share, on=on, storage=storage)
    raise typer.Exit(result.exit_code)


def show(items: Sequence[Planned], json: bool) -> None:
    """What would be run, and why."""
    if json:
        show_json([{"id": item.run.id, "run": str(item.run), "reason": item.reason} for item in items])
        return
    for item in items:
        echo(f"{item.run.id}  {item.run}  {item.reason}")


def say_others(study: Experiment, workplace: Workplace, out: Console) -> None:
    """Says how many rows of the file of trials are of no trial of this study."""
    ids = {run.id for run in study.runs}
    for file in (workplace.published, workplace.working):
        others = [number for number, row in enumerate(file.read(), 1) if row["id"] not in ids]
        if others:
            out.print(
                f"{file.path}:{others[0]}: {len(others)} trials are of another space, seed or version; "
                "they do not count",
                style="yellow",
                soft_wrap=True,
            )


def conclude(experiment: Experiment, workplace: Workplace, rows: Sequence[Row], device: str, out: Console) -> None:
    """The winners of what is complete, into `tuned.yaml` and on the terminal; the journal follows."""
    from ..tuning import selection, study_journal, winners

    found = selection.searched(experiment, rows, device)
    if study_journal.available():
        study_journal.follow(found, workplace.area)
    else:
        out.print("no journal for Optuna's dashboard: it is not installed (pip install 'seqbench[tune]')", style="dim")
    written = winners.write(experiment, found)
    out.print(_table(found))
    for one in found:
        for name in one.edges:
            value = one.winner.settings[name] if one.winner is not None else None
            out.print(
                f"edge: {one.cell.task}, {one.cell.model}: no trial has a {name} beyond {value}; "
                "to know what lies there, widen the space for all models and tune again",
                style="yellow",
            )
    if written is not None:
        out.print(f"wrote {written}", soft_wrap=True)


def _table(found: Sequence[Searched]) -> Table:
    """How far each model is, and its winner."""
    table = Table(title="trials", title_justify="left")
    for header in ("task", "model", "trials", "diverged", "best on validation", "settings"):
        table.add_column(header, overflow="fold")
    from ..experiments.notation import written

    before = None
    for one in found:
        if before is not None and before != one.cell.task:
            table.add_section()
        best, metric = one.winner, one.metric
        plan = one.cell.plan
        table.add_row(
            "" if before == one.cell.task else one.cell.task,
            one.cell.model,
            f"{len(one.trials)}/{len(plan.trials) if plan is not None else 0}",
            str(sum(trial.diverged for trial in one.trials)),
            "" if best is None else f"{metric.name} {best.score:.4g}{', solved' if best.solved else ''}",
            "" if best is None else ", ".join(f"{name}={written(value)}" for name, value in best.settings.items()),
        )
        before = one.cell.task
    return table


def new(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the new experiment.")],
    models: Annotated[
        str, typer.Option(metavar="A,B,…", help="Models to compare: names, specs, or files of your own.")
    ],
    suite: Annotated[str, typer.Option(help="The experiment whose tasks and search it takes over.")] = "laptop",
) -> None:
    """Writes an experiment that compares your own model with the suite's, on the suite's tasks and tuned alike.

    Example: seqbench new results/mine --models my_model.py,lstm,mamba --suite laptop
    """
    from ..tuning import new_experiment

    made = new_experiment.write(directory, models, suite)
    for text in made.left_out:
        echo(text, err=True)
    experiment, place = made.experiment, shlex.quote(str(directory))
    tasks = len({cell.task for cell in experiment.cells})
    echo(f"wrote {directory / 'experiment.yaml'}: {len(experiment.cells) // tasks} models on {tasks} tasks")
    if experiment.tuning is not None:
        trials = experiment.tuning.trials * len(experiment.tuning.seeds) * len(experiment.cells)
        echo(f"next: seqbench tune {place}   # {trials} runs; --for 60 takes an hour of it")
    echo(f"{'then' if experiment.tuning is not None else 'next'}: seqbench run {place}   # {len(experiment.runs)} runs")
