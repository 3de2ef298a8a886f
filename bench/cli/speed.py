"""The verb of speed: what a training step costs, beside what a user would write and what the machine could do."""

from __future__ import annotations

import enum
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .experiments import device_named
from .facts import show_json
from .terminal import echo, standard_output

if TYPE_CHECKING:
    from ..report.tables.writers import Table

INTERRUPTED = 130


class Peer(enum.StrEnum):
    """What may be measured beside the reference."""

    compile = "compile"
    jax = "jax"


def speed(
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: cuda where there is one.")] = "cpu",
    task: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Only tasks with this in their name (again for more).")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Only models with this in their name (again for more).")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of a step (default: all cores).")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="How often each variant has its turn.")] = 9,
    sweep: Annotated[bool, typer.Option("--sweep", help="Instead: runs per hour, side by side and in turn.")] = False,
    lengths: Annotated[
        bool, typer.Option("--lengths", help="Instead: a step against the length T and the batch B, with a figure.")
    ] = False,
    suite: Annotated[
        bool, typer.Option("--suite", help="Instead: every model of the suite at two shapes, trained and streamed.")
    ] = False,
    peer: Annotated[
        list[Peer] | None, typer.Option(help="Beside the reference: torch.compile of it, or the same network in JAX.")
    ] = None,
    history: Annotated[
        Path | None, typer.Option(help="Measure nothing: draw what asv has of a machine, such as results/asv/NAME.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Keep it in this .json file, row by row.")] = None,
    read: Annotated[Path | None, typer.Option(help="Measure nothing: print this file, as Markdown.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measures a training step of every task and model of results/bai2018-*, beside the reference.

    The reference is plain torch.nn, the published TCN block, or the package that a model names, as PyTorch comes, and
    again with denormals flushed to zero. A step of one sequence that is read step by step is measured as well. Each has
    a process of its own, and they take turns; medians, and the spread as interquartile range / median.
    A task or model of a run is named by a part of its name, or of the run's id; unasked, of a task at several lengths
    the default one is measured, and no network above 20 million parameters.
    Nothing else should run meanwhile; the file says whether something did.

    Example: seqbench speed --task adding --model lstm --repeat 5
    """
    if history is not None:
        _draw_history(history)
        return
    if read is not None:
        _print(_content(read), json, markdown=True)
        return
    if out is not None and out.suffix != ".json":
        raise UsageError(f"--out {out}: a file name that ends in .json is needed")
    from ..measuring import scaling as by_length
    from ..measuring import shapes
    from ..measuring.session import Session
    from ..running.cores import cores

    chosen_device = device_named(device)
    if suite and (task or sweep or lengths):
        raise UsageError("--suite: its shapes are its own; leave out --task, --sweep and --lengths")
    cases, left_out = shapes.suite(model or ()) if suite else ([], [])
    if not suite and (lengths or not sweep):
        cases = shapes.cases(task or (), model or ())
    stretched = by_length.stretchable(cases, asked=bool(task)) if lengths else []
    name = out.stem if out is not None else platform.node()
    session = Session(chosen_device, threads or cores(), name, out, lambda text: echo(text, err=True))
    session.new["left_out"] += left_out
    try:
        if sweep:
            session.measure_sweep()
        if lengths:
            session.measure_lengths(stretched, repeat)
        if not sweep and not lengths:
            session.measure_rows(cases, repeat, [one.value for one in peer or ()])
    except KeyboardInterrupt:
        kept = f"; what was measured is in {out}" if out is not None and out.is_file() else ""
        echo(f"stopped{kept}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    content = session.finish()
    _print(content, json, markdown=False)
    if out is not None and "lengths" in content:
        from ..report.figures import speed_lengths

        for path in speed_lengths.write(content, out.with_name(f"{out.stem}-lengths")):
            echo(f"wrote {os.fspath(path)}", err=True)
    if any("error" in row for row in session.new["rows"]):
        raise typer.Exit(1)


def _draw_history(place: Path) -> None:
    from ..report.figures import speed_history

    if not place.is_dir():
        raise UsageError(f"--history {place}: there is no such folder; make speed-history makes results/asv/MACHINE")
    for path in speed_history.write(speed_history.read(place), place.with_name(f"{place.name}-steps")):
        echo(f"wrote {os.fspath(path)}")


def _content(path: Path) -> dict[str, Any]:
    from ..measuring import record

    content = record.read(path)
    if not content:
        raise UsageError(f"--read {path}: there is no such file; seqbench speed --out {path} makes it")
    return content


def _print(content: dict[str, Any], json: bool, markdown: bool) -> None:
    from ..report.tables import speed_table, writers

    if json:
        show_json(content)
        return
    blocks = speed_table.blocks(content)
    if markdown:
        echo(writers.markdown(blocks), nl=False)
        return
    out = standard_output()
    for block in blocks:
        out.print(block if isinstance(block, str) else _rich(block), highlight=False)


def _rich(table: Table) -> Any:
    from rich.table import Table as RichTable

    made = RichTable(title=table.title or None, title_justify="left", box=None, header_style="bold")
    for name, side in zip(table.header, table.alignment, strict=True):
        made.add_column(name, justify="right" if side == "r" else "left", overflow="fold")
    for line in table.lines:
        made.add_row(*(", ".join(text) for text in line))
    return made
