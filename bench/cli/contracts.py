"""The verb `check`: does a model or a task of one's own keep what the suite relies on?"""

from __future__ import annotations

from typing import Annotated

import typer

from .facts import Json, show_json
from .terminal import echo

SIGNS = {"kept": "ok  ", "broken": "FAIL", "remark": "note", "not asked": "–   "}


def check(
    name: Annotated[str, typer.Argument(help="A model or a task: its .py file, package.module:Class, or its name.")],
    task: Annotated[
        list[str] | None, typer.Option("--task", help="A task on which a model is tried; may be given several times.")
    ] = None,
    speed: Annotated[bool, typer.Option(help="Whether a model's training step is timed beside the suite's.")] = True,
    json: Json = False,
) -> None:
    """Tries a model or a task of your own against the contract: a line for each thing, and what to do about it.

    Exit code 1 where something is broken. A task is tried at the size of its `test_parameters`.

    Example: seqbench check my_model.py --task 'copy-memory(delay=20)'
    """
    from ..contract import fitting

    subjects = []
    for subject in fitting.check(name, task or (), speed):
        subjects.append(subject)
        if not json:
            echo(f"{subject.kind} {subject.name}" + (f" on {subject.task}" if subject.kind == "model" else ""))
            for item in subject.items:
                echo(f"  {SIGNS[item.verdict]} {item}")
    broken = sum(subject.broken for subject in subjects)
    if json:
        show_json([subject.as_json() for subject in subjects])
    else:
        echo(f"{broken} broken" if broken else "the contract is kept")
    raise typer.Exit(1 if broken else 0)
