"""The trials of an experiment's study as an experiment of their own: ordinary runs, with ordinary rows."""

from __future__ import annotations

from dataclasses import replace

from ..errors import UsageError
from ..experiments.config import Experiment
from ..experiments.grid_cells import Cell

FILE = "trials.jsonl"
"""The file of the trials' rows, in the experiment's folder and in its working area."""


def trials_of(experiment: Experiment) -> Experiment:
    """An experiment whose cells are the trials, task by task, of each task the first trial of all models first.

    Its rows stand in `FILE`. Raises UsageError where the experiment has no `tune:` block.
    """
    if experiment.tuning is None:
        raise UsageError(
            f"{experiment.folder}/experiment.yaml: there is no `tune:` block, so there is nothing to tune "
            "(bench/experiments/tuning_block.py explains it)"
        )
    cells = [
        replace(
            cell,
            model=f"{cell.model}, trial {trial}",
            runs=tuple(cell.plan.run(trial, seed) for seed in experiment.tuning.seeds),
            reference=None,
            trial=trial,
        )
        for of_task in _by_task(experiment)
        for trial in range(experiment.tuning.trials)
        for cell in of_task
        if cell.plan is not None
    ]
    return replace(experiment, cells=tuple(cells), record=FILE, instructions=())


def check(experiment: Experiment) -> None:
    """Makes each model with the values at the ends of its space. Raises UsageError where one does not take them."""
    for cell in experiment.cells:
        if cell.plan is not None:
            try:
                cell.plan.try_models()
            except UsageError as error:
                raise UsageError(f"{experiment.folder}/experiment.yaml: {cell.task}, {cell.model}: {error}") from error


def _by_task(experiment: Experiment) -> list[list[Cell]]:
    found: dict[str, list[Cell]] = {}
    for cell in experiment.cells:
        found.setdefault(cell.task, []).append(cell)
    return [*found.values()]
