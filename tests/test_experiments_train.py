"""Every experiment of the suite can be trained: two steps of each of its models, on miniature files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from seqbench.bench import config
from seqbench.bench.notation import Spec
from seqbench.bench.runs import Run
from seqbench.bench.training import Stopped, train

RESULTS = Path(__file__).resolve().parent.parent / "results"
RUNS = [
    pytest.param(cell.runs[0], id=f"{folder.parent.name}-{cell.task}-{cell.model}")
    for folder in sorted(RESULTS.glob("*/experiment.yaml"))
    for cell in config.load(folder.parent, seeds=[0]).cells
]


def in_miniature(run: Run) -> Run:
    """The same run; of a text, in short windows of two streams, for which the miniature text has room."""
    if not run.task_class.distribution:
        return run
    options = {**run.task.options, "context": 8, "scored": 8, "train": None, "held": None}
    return replace(run, task=Spec(run.task.name, options), training=replace(run.training, batch=2))


@pytest.mark.usefixtures("miniature_data")
@pytest.mark.parametrize("run", RUNS)
def test_two_steps(run: Run) -> None:
    asked = iter([False, False, True])
    with pytest.raises(Stopped):
        train(in_miniature(run), should_stop=lambda: next(asked))


def test_every_published_experiment_is_of_matched_size() -> None:
    for folder in sorted(RESULTS.glob("bai2018-*")):
        experiment = config.load(folder, seeds=[0])
        assert experiment.preset == "published"
        if folder.name == "bai2018-lstm-sizes":  # the paper's own sizes, which are not matched: see test_ledger
            assert all(cell.budget is None for cell in experiment.cells)
            continue
        for cell in experiment.cells:
            network = cell.runs[0].make_network(cell.runs[0].make_task())
            assert cell.budget is not None
            assert abs(network.parameter_count / cell.budget - 1) <= 0.025
