"""The winners of a study, in `tuned.yaml` beside the experiment.yaml: `seqbench tune` writes it, each run follows it.

    study: 3f2a9c0d1b7e        # of which study (`trials.study_of`); of another one it does not count
    winners:
    - task: adding(length=100)
      model: lstm
      trial: 5                 # of the plan, counted from 0
      settings: {learning_rate: 0.00412}
      valid: {mse: 3.1e-4}     # means over the tuning seeds
      edges: []                # settings of which no value beyond was tried

A task has winners for all of its models or for none, as all models of a row have the same budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import nearest
from .grid_cells import Cell
from .marked_yaml import Marked
from .options import Option
from .trials import Plan

FILE = "tuned.yaml"
KEYS = {"study": Option("study", str, None, True), "winners": Option("winners", list[dict], None, True)}
WINNER_KEYS = {
    "task": Option("task", str, None, True),
    "model": Option("model", str, None, True),
    "trial": Option("trial", int, None, True),
    "settings": Option("settings", dict, None, True),
    "valid": Option("valid", dict, {}, False),
    "edges": Option("edges", list[str], [], False),
}


def with_winners(folder: Path, cells: Sequence[Cell], study: str) -> list[Cell]:
    """The cells with the settings of their winners; those of tasks that have none yet stay as they are.

    Raises UsageError with the line where the file is of another study, names what the experiment does not have, has
    other settings than the plan, or has winners for some models of a task and not for others.
    """
    file = folder / FILE
    if not file.is_file():
        return [*cells]
    marked = Marked(file)
    content = marked.checked((), marked.content, KEYS, FILE)
    again = f"seqbench tune {folder} makes it anew"
    if content["study"] != study:
        what = f"of the study {content['study']}, but the experiment's is {study}"
        raise marked.error(("study",), f"{what}: its space, models or trials are others now; {again}")
    plans: Mapping[tuple[str, str], Plan | None] = {(cell.task, cell.model): cell.plan for cell in cells}
    chosen: dict[tuple[str, str], int] = {}
    for number, given in enumerate(content["winners"]):
        path = ("winners", number)
        winner = marked.checked(path, given, WINNER_KEYS, "winners")
        place = winner["task"], winner["model"]
        plan = plans.get(place)
        if plan is None:
            there = {" ".join(one) for one in plans}
            raise marked.error(
                path, f"no model of the experiment is {' '.join(place)!r}: {nearest(' '.join(place), there)}"
            )
        if place in chosen:
            raise marked.error(path, f"{' '.join(place)} has two winners; {again}")
        if winner["trial"] not in plan.trials:
            raise marked.error((*path, "trial"), f"trial={winner['trial']}: there are {len(plan.trials)}, from 0 up")
        if _plain(plan.settings(winner["trial"])) != _plain(winner["settings"]):
            raise marked.error((*path, "settings"), f"not the settings of trial {winner['trial']}; {again}")
        chosen[place] = winner["trial"]
    for task in dict.fromkeys(cell.task for cell in cells):
        models = [cell.model for cell in cells if cell.task == task and cell.plan is not None]
        lacking = [model for model in models if (task, model) not in chosen]
        if lacking and len(lacking) < len(models):
            raise marked.error(("winners",), f"{task} has no winner for {', '.join(lacking)}, but for others; {again}")
    return [_with_winner(cell, chosen.get((cell.task, cell.model))) for cell in cells]


def _with_winner(cell: Cell, trial: int | None) -> Cell:
    if trial is None or cell.plan is None:
        return cell
    return replace(cell, runs=tuple(cell.plan.run(trial, run.seed) for run in cell.runs), trial=trial)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as YAML gives them back: `none` may be written as the notation does."""
    return {name: None if value == "none" else value for name, value in settings.items()}
