"""The verbs that tell facts and hand out data: list, describe, export. Torch is imported where it is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from .. import atomic
from ..errors import UsageError
from ..experiments import registry
from ..experiments.notation import parse
from .terminal import echo, standard_output
from .writing import writing

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def json_text(content: Any) -> str:
    """Facts as JSON text."""
    return json.dumps(content, indent=1, ensure_ascii=False)


def show_json(content: Any) -> None:
    """Prints facts for programs."""
    echo(json_text(content))


def list_(
    json: Json = False,
    data: Annotated[bool, typer.Option("--data", help="The tasks' data: licence, source, split, checksums.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="With --data: the Markdown file that gets the table, between its two marks.")
    ] = None,
) -> None:
    """The tasks and models, with their variants and sources; or where the tasks' data come from, and on which terms.

    Example: seqbench list --data --json
    """
    if out is not None and not data:
        raise UsageError("--out is for --data: the table of the tasks' data")
    if data:
        _list_data(json, out)
        return
    kinds: tuple[registry.Kind, ...] = ("task", "model")
    listed = {f"{kind}s": list(registry.listing(kind).values()) for kind in kinds}
    if json:
        show_json(
            {
                kind: [
                    {key: value for key, value in vars(entry).items() if key not in ("path", "look")}
                    for entry in entries
                ]
                for kind, entries in listed.items()
            }
        )
        return
    shown = standard_output()
    for kind, entries in listed.items():
        table = Table(title=kind, title_justify="left", box=None, header_style="bold")
        for header in ("name", "what it is", "variants", "source"):
            table.add_column(header, overflow="fold", no_wrap=header in ("name", "variants"))  # these are copied
        for entry in entries:
            table.add_row(entry.name, entry.line, "\n".join(entry.variants), entry.source)
        shown.print(table)


def _list_data(json: bool, out: Path | None) -> None:
    from ..experiments.data_facts import task_data
    from ..report.tables import data_table
    from ..report.tables.writers import Table as Written

    found = task_data()
    if out is not None:
        with writing(out):
            data_table.write_between_marks(out, found)
    if json:
        show_json(data_table.records(found))
        return
    if out is not None:
        echo(f"written: {out}")
        return
    shown = standard_output()
    for block in data_table.blocks(found):
        if not isinstance(block, Written):
            shown.print(block, markup=False, highlight=False)
            continue
        table = Table(title=block.title, title_justify="left", box=None, header_style="bold")
        for header in block.header:
            table.add_column(header, overflow="fold")
        for line in block.lines:
            table.add_row(*(Text("\n".join(text)) for text in line))
        shown.print(table)


def describe(
    task: Annotated[str, typer.Argument(help="A task, as name(key=value, …), a .py file, or package.module:Class.")],
    model: Annotated[str, typer.Argument(help="A model, likewise.")],
    parameters: Annotated[int | None, typer.Option(min=1, help="Fit the width to this many parameters.")] = None,
    tolerance: Annotated[float, typer.Option(min=0, help="How far the count may lie from it, as a fraction.")] = 0.01,
    head: Annotated[str | None, typer.Option(help="The read-out, else the task's.")] = None,
    embedding: Annotated[str | None, typer.Option(help="The embedding of symbols, else the task's.")] = None,
    json: Json = False,
) -> None:
    """A model on a task: options, parameters, width, receptive field, state, multiply-adds, shapes, metric, floor.

    Example: seqbench describe 'adding(length=600)' lstm --parameters 70369
    """
    from ..experiments.describing import facts_of

    facts = facts_of(task, model, parameters, tolerance, head, embedding)
    if json:
        show_json(facts)
        return
    table = Table(box=None, show_header=False)
    for name, value in facts.items():
        table.add_row(name, _readable(value))
    standard_output().print(table)


def _readable(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_readable(item)}" for key, item in value.items())
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "\n".join(_readable(item) for item in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def export(
    task: Annotated[str, typer.Argument(help="A task, as name(key=value, …).")],
    out: Annotated[Path, typer.Option(help="The .npz file to write.")],
    seed: Annotated[int, typer.Option(min=0, help="The seed of generated data.")] = 0,
    croissant: Annotated[
        bool, typer.Option("--croissant", help="Of a generated task: write OUT.croissant.json too, its metadata.")
    ] = False,
    json: Json = False,
) -> None:
    """Writes a task's data for a loop of your own: {train,valid,test}_{x,y} and, where not one step alone is
    scored, {…}_mask (N, T), true where the answer is scored. Of a text: {…}_ids, and `symbols`, what they stand for.

    Example: seqbench export 'adding(length=200)' --seed 0 --out adding.npz
    """
    from ...tasks.datasets import DataError
    from ..croissant import metadata_of_export, require_generated
    from ..exporting import export_task

    if out.suffix != ".npz":
        raise UsageError(f"--out {out}: a file name that ends in .npz is needed")
    spec = parse(task)
    if croissant:
        require_generated(spec.name)
    try:
        shapes = export_task(spec, seed, out)
    except (DataError, ValueError) as error:  # a file, or an option that asks for more than the file has
        raise UsageError(str(error)) from error
    described = out.with_suffix(".croissant.json") if croissant else None
    if described is not None:
        text = json_text(metadata_of_export(spec, seed, out))
        with writing(described):
            atomic.write(described, f"{text}\n")
    if json:
        show_json({"file": str(out), "shapes": shapes} | ({"croissant": str(described)} if described else {}))
        return
    for name, shape in shapes.items():
        echo(f"{name}  {shape}")
    if described is not None:
        echo(f"metadata  {described}")
