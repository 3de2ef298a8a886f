"""Captured steps: repeated from the same tensors without the host, they do what steps do that are executed."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from experiments import after_steps, bits, measured_of
from recording import CPU, RecordingLane, train_in
from seqbench.bench import api
from seqbench.bench.engine.checkpoint import Checkpoint
from seqbench.bench.engine.devices import device_of
from seqbench.bench.engine.evaluation import evaluate, finished
from seqbench.bench.engine.lanes import HostLane
from seqbench.bench.engine.repeatable import products_in, repeatable
from seqbench.bench.engine.steps import EvaluationStep, TrainingStep
from seqbench.bench.engine.training import Loop, Outcome, Stopped
from seqbench.bench.experiments.runs import Run
from seqbench.models._compiling import plain
from seqbench.tasks import base

TASK = "adding(length=12, train=90, valid=32, test=40)"
TCN = "tcn(width=4, kernel=2, levels=2, dropout=0.3)"
SMALL_TCN = "tcn(width=4, kernel=2, levels=2)"
GRU = "gru(width=4, layers=2, dropout=0.3, recurrent_dropout=0.2)"
EVERY_TASK = [
    "adding(length=9, train=20, test=40)",
    "copy-memory(delay=4, train=20, test=40)",
    "copy-memory(delay=4, coding=one-hot, train=20, test=40)",
    "jsb",
    "sequential-mnist(view=rows, train=40)",
    "ptb-char(context=4, scored=4, train=300)",
    "lambada(context=4, scored=4)",
    "experiments:TinyText",
]


@pytest.fixture(autouse=True)
def capturable(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's optimizers know the devices that can capture, and a recording CPU is none of them."""
    monkeypatch.setattr(sys.modules["torch.optim.rmsprop"], "_get_capturable_supported_devices", lambda: ["cpu"])


def make_run(model: str = TCN, task: str = TASK, **settings: Any) -> Run:
    return api.make_run(task, model, **{"epochs": 3, "batch": 16, "learning_rate": 0.01, **settings})


def check_same(ours: Outcome, expected: Outcome, rel: float = 1e-3) -> None:
    """The same curves, up to the order of sums within the optimizer."""
    assert ours.status == expected.status
    assert [step for step, _ in ours.progress.trace] == [step for step, _ in expected.progress.trace]
    for name in ("trace", "curve"):
        for mine, other in zip(getattr(ours.progress, name), getattr(expected.progress, name), strict=True):
            if name == "trace":
                assert mine[1] == pytest.approx(other[1], rel=rel)
            else:
                for part in ("valid", "test"):
                    assert mine[part] == pytest.approx(other[part], rel=rel)
                assert mine["learning_rate"] == other["learning_rate"]


@pytest.mark.parametrize("model", ["rnn(width=4)", "lstm(width=4)", GRU, TCN])
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam", "weight_decay": 0.01, "clip": 0.1},
        {"optimizer": "rmsprop", "momentum": 0.5, "schedule": "step(every=1, by=0.5)"},
        {"optimizer": "rmsprop"},
        {"optimizer": "sgd", "momentum": 0.9, "clip": 0.1, "schedule": "step(every=1, by=0.5)"},
        {"optimizer": "sgd", "schedule": "step(every=1, by=0.1)"},
    ],
    ids=["adam", "rmsprop-momentum", "rmsprop", "sgd-momentum", "sgd"],
)
def test_captured_is_executed(model: str, settings: dict[str, Any]) -> None:
    """Dropout draws anew at each replay, the rate changes between epochs, 90 examples leave a batch of 10."""
    run, lane = make_run(model, **settings), RecordingLane()
    outcome = train_in(lane, run)
    assert outcome.uncaptured == ""
    assert lane.graphs == 2 + 1 + 1, "two sizes to train, one each to evaluate"
    assert lane.replays == 3 * (6 + 1 + 1) + 2, "and the untrained network, on validation and test"
    check_same(outcome, train_in(HostLane(), run))


def test_readings_that_come_late_change_nothing() -> None:
    outcomes = [train_in(RecordingLane(late), make_run()) for late in (0, 3)]
    assert measured_of(outcomes[0]) == measured_of(outcomes[1])


@pytest.mark.parametrize("model", ["lstm(width=6, layers=2)", "tcn(kernel=2, levels=2, width=6)"])
def test_a_text_goes_on_where_it_was(model: str) -> None:
    """The first window of an epoch is read whole, the others from the state that the one before has left."""
    run, lane = make_run(model, "experiments:TinyText", batch=4), RecordingLane()
    outcome = train_in(lane, run)
    carries = model.startswith("lstm")
    assert lane.graphs == (2 + 2 + 2 if carries else 1 + 2 + 2)
    check_same(outcome, train_in(HostLane(), run))


@pytest.mark.usefixtures("miniature_data")
@pytest.mark.parametrize(
    ("task", "model"),
    [
        *itertools.product(EVERY_TASK, ["lstm(width=4)", SMALL_TCN]),
        *itertools.product(EVERY_TASK[:2], ["rnn(width=4)", "gru(width=4)"]),
        ("permuted-mnist(train=8)", "lstm(width=4)"),  # 784 steps of cells, each recorded, take seconds a model
        ("permuted-mnist(train=8)", SMALL_TCN),
    ],
)
def test_every_task_is_captured(task: str, model: str) -> None:
    run, lane = make_run(model, task, epochs=2, batch=4, learning_rate=0.001), RecordingLane()
    outcome = train_in(lane, run)
    assert outcome.uncaptured == ""
    check_same(outcome, train_in(HostLane(), run))


@pytest.mark.parametrize("model", [GRU, TCN])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_the_capture_changes_nothing(model: str, optimizer: str) -> None:
    """Parameters, sums and the stream of dropout are as before; the optimizer's state is as at its start."""
    run, lane = make_run(model, optimizer=optimizer, momentum=0 if optimizer == "adam" else 0.9), RecordingLane()
    with repeatable(CPU), plain(), lane:
        fresh, loop = Loop(run, CPU, HostLane()), Loop(run, CPU, lane)
        assert lane.graphs > 0
        assert bits([*loop.network.state_dict().values()]) == bits([*fresh.network.state_dict().values()])
        assert torch.equal(loop.dropout.get_state(), fresh.dropout.get_state())
        assert loop.step.loss_sum.item() == 0
        state = [value for one in loop.optimizer.state.values() for value in one.values() if value is not None]
        assert len(state) >= len(loop.step.parameters), "it was made before the capture"
        assert not any(value.any() for value in state)
        assert all(not pair.any() for evaluation in loop.evaluations for pair in evaluation.step.sums.values())


def test_tensors_stay_where_they_are() -> None:
    run, lane = make_run(GRU), RecordingLane()
    with repeatable(CPU), plain(), lane:
        loop = Loop(run, CPU, lane)
        before = [tensor.data_ptr() for tensor in loop.step._tensors()]
        finished(loop.turns())
        assert [tensor.data_ptr() for tensor in loop.step._tensors()] == before


@pytest.mark.parametrize(
    ("model", "task"), [(GRU, TASK), (TCN, TASK), ("lstm(width=6, layers=2, dropout=0.2)", "experiments:TinyText")]
)
def test_stopped_anywhere_is_uninterrupted(model: str, task: str, tmp_path: Path) -> None:
    run = make_run(model, task, batch=4, epochs=2, schedule="step(every=1)")
    whole = train_in(RecordingLane(), run)
    for number, steps in enumerate([0, 1, 5, 9]):
        with Checkpoint(tmp_path / "run.pt") as kept:
            with after_steps(steps) as should_stop, pytest.raises(Stopped):
                train_in(RecordingLane(), run, checkpoint=kept, should_stop=should_stop)
            if number == 2:
                state = kept.load(CPU)
                assert state is not None
                assert (state["state"] is not None) == (task != TASK), "a text is left in its middle"
    with Checkpoint(tmp_path / "run.pt") as kept:
        assert measured_of(train_in(RecordingLane(), run, checkpoint=kept)) == measured_of(whole)


@pytest.mark.parametrize("head", ["softmax", "adaptive"])
def test_what_makes_the_host_wait_is_executed_and_said(head: str) -> None:
    """An adaptive softmax looks where its targets stand."""
    run, lane = make_run("gru(width=6)", "experiments:TinyText", head=head, batch=4), RecordingLane()
    outcome = train_in(lane, run)
    assert (lane.graphs == 0, bool(outcome.uncaptured)) == ((True, True) if head == "adaptive" else (False, False))
    check_same(outcome, train_in(HostLane(), run))


def test_adagrad_takes_its_rate_into_the_graph_which_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU its count of steps, which lies there on a GPU too, is waited for like any number: here it has none."""
    monkeypatch.setattr(sys.modules["torch.optim.adagrad"], "_get_value", lambda step: 1.0)
    run, lane = make_run(optimizer="adagrad", schedule="step(every=1, by=0.5)"), RecordingLane()
    outcome = train_in(lane, run)
    assert outcome.uncaptured == ""
    assert lane.graphs == 2 + 1 + 1 + 2 * 2, "two more for each of two changes of the rate"
    check_same(outcome, train_in(HostLane(), run))


class Ragged(base.Examples):
    """A user's split, which is shown by `batch` alone."""

    laid_out = base.Split.laid_out

    def batch(self, index: torch.Tensor) -> base.Batch:
        return self.present(*(column[index] for column in self.columns))


def test_a_split_that_the_device_cannot_lay_out_is_shown_all_the_same() -> None:
    run, lane = make_run(), RecordingLane()

    def load(run: Run, device: torch.device) -> base.Splits:
        splits = run.make_task().load(run.seed)
        return base.Splits(*(Ragged(*split.columns, present=split.present) for split in splits))  # type: ignore[attr-defined]

    outcome = train_in(lane, run, load=load)
    assert outcome.uncaptured == "Ragged does not lay batches out on the device"
    assert lane.graphs == 0
    check_same(outcome, train_in(HostLane(), run))


@pytest.mark.parametrize("captured", [False, True])
def test_a_step_by_itself(captured: bool) -> None:
    """As it is timed: any index, in training and evaluation mode by turns."""
    run, lane = make_run("gru(width=4)", optimizer="sgd", learning_rate=0.1), RecordingLane() if captured else None
    with repeatable(CPU), plain():
        task = run.make_task()
        splits, network = task.load(0), run.make_network(task)
        optimizer = run.training.make_optimizer(network.parameters(), in_graph=captured)
        step = TrainingStep(run, task, splits.train, network, optimizer, "cpu", lane)
        judge = EvaluationStep(task, splits.test, network, "cpu", lane)
        judge.run(torch.arange(40))
        before = judge.sums["mse"].tolist()
        losses = []
        for _ in range(30):
            step.run(torch.arange(16))
            losses.append(step.loss_sum.item())
        judge.begin()
        judge.run(torch.arange(40))
        assert losses[0] > 2 * (losses[-1] - losses[-2]) > 0
        assert judge.sums["mse"].tolist()[1] == 40
        assert judge.sums["mse"].tolist() != before
        assert judge.sums["mse"][0].item() / 40 == pytest.approx(evaluate(network, task, splits.test)["mse"], rel=1e-6)


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "rnn"), reason="torch has other names for it before 2.9")
def test_short_products_are_on_where_they_are_asked_for() -> None:
    def now() -> list[str]:
        parts: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn]  # type: ignore[attr-defined]
        return [part.fp32_precision for part in parts]

    before = now()
    with products_in("float32"):
        assert now() == ["ieee"] * 3
        with products_in("tf32"):
            assert now() == ["tf32"] * 3
        assert now() == ["ieee"] * 3
    assert now() == before


def test_an_unknown_device() -> None:
    with pytest.raises(ValueError, match="cpu or cuda is needed"):
        device_of(torch.device("meta"))
