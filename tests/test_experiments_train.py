"""Every experiment of the suite can be trained: two steps of each of its models, on miniature files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from seqbench.bench.engine.training import Stopped, train
from seqbench.bench.experiments import config
from seqbench.bench.experiments.notation import Spec
from seqbench.bench.experiments.runs import Run

RESULTS = Path(__file__).resolve().parent.parent / "results"
FOLDERS = sorted(file.parent for file in RESULTS.glob("*/experiment.yaml"))


def in_miniature(run: Run) -> Run:
    """The same run; of a text, in short windows of two streams, for which the miniature text has room, of reviews with
    few words.
    """
    if not run.task_class.distribution and "words" in run.task.options:
        return replace(run, task=Spec(run.task.name, {**run.task.options, "words": 20}))
    if not run.task_class.distribution or run.model_class.pairs:
        return run
    options = {**run.task.options, "context": 8, "scored": 8, "train": None, "held": None}
    return replace(run, task=Spec(run.task.name, options), training=replace(run.training, batch=2))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_two_steps(folder: Path, request: pytest.FixtureRequest) -> None:
    cells, taken = config.load(folder, seeds=[0]).cells, []
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
    assert taken == list(cells)


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
