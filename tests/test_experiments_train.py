"""Every experiment of the suite can be trained: two steps of each of its models and tasks, on miniature files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from seqbench.bench.engine.training import Stopped, train
from seqbench.bench.experiments import config
from seqbench.bench.experiments.config import Cell
from seqbench.bench.experiments.notation import Spec
from seqbench.bench.experiments.runs import Run

RESULTS = Path(__file__).resolve().parent.parent / "results"
FOLDERS = sorted(file.parent for file in RESULTS.glob("*/experiment.yaml"))


FEW = 32
"""Examples of each part of a generated task: the first evaluation would else take most of the time."""


def in_miniature(run: Run) -> Run:
    """The same run, of few examples; of a text, in short windows of two streams, for which the miniature text has room;
    of reviews with few words.
    """
    options = {**run.task.options}
    options |= {name: FEW for name in ("train", "valid", "test") if isinstance(options.get(name), int)}
    run = replace(run, task=Spec(run.task.name, options), training=replace(run.training, batch=8))
    if not run.task_class.distribution and "words" in run.task.options:
        return replace(run, task=Spec(run.task.name, {**options, "words": 20}))
    if not run.task_class.distribution or run.model_class.pairs:
        return run
    options |= {"context": 8, "scored": 8, "train": None, "held": None}
    return replace(run, task=Spec(run.task.name, options), training=replace(run.training, batch=2))


def covering(cells: Sequence[Cell]) -> list[Cell]:
    """Some of the cells: each task of the experiment, each model, and each model's settings of a row at least once.

    ALL_PAIRS=1 in the environment asks for all. That every model fits every kind of task is tried in test_contract.
    """
    if os.environ.get("ALL_PAIRS"):
        return [*cells]
    tasks, models = (list(dict.fromkeys(str(getattr(cell, of)) for cell in cells)) for of in ("task", "model"))
    longer = max(len(tasks), len(models))
    wanted = {(tasks[i % len(tasks)], models[i % len(models)]) for i in range(longer)}
    taken = [cell for cell in cells if (str(cell.task), str(cell.model)) in wanted]
    for of in ("task", "model"):  # a grid may lack a pair of the diagonal
        met = {str(getattr(cell, of)) for cell in taken}
        taken += {str(getattr(cell, of)): cell for cell in cells if str(getattr(cell, of)) not in met}.values()
    return taken


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_two_steps(folder: Path, request: pytest.FixtureRequest) -> None:
    cells, taken = covering(config.load(folder, seeds=[0]).cells), list[Cell]()
    request.getfixturevalue("miniature_data")  # from here on: widths are fitted to the true vocabularies
    for cell in cells:
        asked = iter([False, False, True])
        try:
            train(in_miniature(cell.runs[0]), should_stop=lambda asked=asked: next(asked))
        except Stopped:
            taken.append(cell)
        except Exception as error:
            error.add_note(f"{cell.task} {cell.model}")
            raise
    assert taken == cells


@pytest.mark.parametrize(
    "folder", [one for one in FOLDERS if one.name.startswith("bai2018-")], ids=lambda one: one.name
)
def test_every_published_experiment_is_of_matched_size(folder: Path) -> None:
    experiment = config.load(folder, seeds=[0])
    assert experiment.preset == "published"
    if folder.name == "bai2018-lstm-sizes":  # the paper's own sizes, which are not matched: see test_ledger
        assert all(cell.budget is None for cell in experiment.cells)
        return
    for cell in experiment.cells:
        network = cell.runs[0].make_network(cell.runs[0].make_task())
        assert cell.budget is not None
        assert abs(network.parameter_count / cell.budget - 1) <= 0.025
