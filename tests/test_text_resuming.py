"""A run on a text: its best parameters, its patience, and that a stop anywhere changes no bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from experiments import after_steps, in_pieces, measured_of
from seqbench.bench import api
from seqbench.bench.engine.checkpoint import Checkpoint
from seqbench.bench.engine.evaluation import Evaluation, evaluate, trained
from seqbench.bench.engine.lanes import Turns
from seqbench.bench.engine.training import Outcome, Stopped, train
from seqbench.bench.experiments.runs import Run

DROPPING = {
    "model": "lstm(width=6, layers=2, dropout=0.2, recurrent_dropout=0.2)",
    "embedding": "embedding(width=4, std=1.0, dropout=0.1, dropout_kind=word)",
    "head": "softmax(dropout=0.2)",
}
FAST = {"optimizer": "sgd", "learning_rate": 0.5, "clip": 0.5}
OVERFITTING = {"model": "lstm(width=24)", "learning_rate": 0.01, "batch": 3, "epochs": 9}
"""What best fits the other texts, which are drawn by lot, is reached early."""


def make_run(model: str = "lstm(width=6)", **settings: Any) -> Run:
    return api.make_run("experiments:TinyText", model, **{"epochs": 2, "batch": 4, **settings})


pytestmark = pytest.mark.usefixtures("thread")  # as in training, so that an evaluation here has the same bits


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.pt"


# The best parameters, and patience.


def is_best(run: Run, outcome: Outcome) -> None:
    """Asserts that the network is that of the best epoch, to the bit, neither the first nor the last."""
    best, curve = outcome.scores["best"], trained(outcome.progress.curve)
    bits = [point["valid"]["bpc"] for point in curve]
    assert 1 < best["epoch"] == 1 + bits.index(min(bits)) < len(curve)
    task, network = run.make_task(), outcome.network
    splits = task.load(run.seed)
    assert evaluate(network, task, splits.valid) == best["valid"] != curve[-1]["valid"]
    assert evaluate(network, task, splits.test) == best["test"] == curve[best["epoch"] - 1]["test"]


def test_the_network_is_that_of_the_best_epoch() -> None:
    run = make_run(**OVERFITTING)
    is_best(run, train(run))


@pytest.mark.parametrize("pieces", [[100], [12, 60, 3]], ids=["after the best", "before and after"])
def test_the_best_is_kept_over_a_stop(pieces: list[int], file: Path) -> None:
    run = make_run(**OVERFITTING)
    whole = train(run)
    outcome = in_pieces(run, file, pieces)
    assert measured_of(outcome) == measured_of(whole)
    is_best(run, outcome)


def test_patience_ends_a_run_early_and_survives_a_stop(file: Path) -> None:
    whole = train(make_run(**OVERFITTING))
    best = whole.scores["best"]["epoch"]
    run = make_run(**OVERFITTING, patience=2)
    outcome = train(run)
    assert outcome.progress.curve[-1]["epoch"] == best + 2 < whole.progress.curve[-1]["epoch"]
    assert (outcome.status, outcome.scores["best"]) == ("done", whole.scores["best"])
    for short, full in zip(outcome.progress.curve, whole.progress.curve, strict=False):
        assert {**short, "seconds": 0} == {**full, "seconds": 0}
    is_best(run, outcome)
    resumed = in_pieces(run, file, [12 * best + 12 + 5])  # in the second epoch that is no better
    assert measured_of(resumed) == measured_of(outcome)
    with Checkpoint(file) as kept:  # killed before its row was on the disk
        assert measured_of(train(run, checkpoint=kept)) == measured_of(outcome)


def test_patience_counts_from_the_best_on_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.5, 5.0, 4.0, 4.0, 3.0, 3.5, 3.0, 3.1, 1.0])  # at epoch 0 the best, which does not count
    both = (score for score in scores for _ in range(2))

    def turns(self: Evaluation) -> Turns:
        yield None
        return {"bpc": next(both)}

    monkeypatch.setattr(Evaluation, "turns", turns)
    outcome = train(make_run(epochs=8, patience=3))
    assert [point["valid"]["bpc"] for point in outcome.progress.curve] == [0.5, 5.0, 4.0, 4.0, 3.0, 3.5, 3.0, 3.1]
    assert outcome.scores["best"]["epoch"] == 4, "the first of equals"


# Going on.


def test_stopped_within_an_epoch_is_uninterrupted(file: Path) -> None:
    """Before the first step, twice in one place, in the middle of an epoch of 9 steps, and at the end of one."""
    run = make_run(epochs=4, **DROPPING, **FAST)
    whole = train(run)
    outcome = in_pieces(run, file, [0, 0, 1, 4, 9, 13])
    assert outcome.progress.resumed == 6
    assert measured_of(outcome) == measured_of(whole)


def test_killed_within_an_epoch_is_uninterrupted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(epochs=4, **DROPPING)
    whole = train(run)
    step = torch.optim.Adam.step
    for survived in (4, 6, 13):
        with monkeypatch.context() as patch:
            steps = iter(range(survived))

            def killed(*arguments: Any, steps: Any = steps) -> Any:
                if next(steps, None) is None:
                    raise KeyboardInterrupt
                return step(*arguments)

            patch.setattr(torch.optim.Adam, "step", killed)
            with pytest.raises(KeyboardInterrupt), Checkpoint(file, every=0.0) as kept:
                train(run, checkpoint=kept)
    with Checkpoint(file, every=0.0) as kept:
        assert measured_of(train(run, checkpoint=kept)) == measured_of(whole)


def test_the_carried_state_is_part_of_a_checkpoint(file: Path) -> None:
    """Without it the same run would go on otherwise."""
    run = make_run(epochs=1, **DROPPING)
    with Checkpoint(file) as kept:
        with after_steps(5) as should_stop, pytest.raises(Stopped):
            train(run, checkpoint=kept, should_stop=should_stop)
        saved = kept.load(torch.device("cpu"))
        assert saved is not None
        assert [part.shape for layer in saved["state"] for part in layer] == [(4, 6)] * 4
        assert not any(part.requires_grad for layer in saved["state"] for part in layer)
        kept.save({**saved, "state": None})
        assert measured_of(train(run, checkpoint=kept)) != measured_of(train(run))
