"""Warm-up, the cosine, and gradients that are averaged over several batches before a step."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from recording import RecordingLane, train_in
from seqbench.bench import api, seeding
from seqbench.bench.engine import training
from seqbench.bench.engine.checkpoint import Checkpoint
from seqbench.bench.engine.evaluation import trained
from seqbench.bench.engine.lanes import HostLane
from seqbench.bench.engine.steps import TrainingStep
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments.runs import Run
from seqbench.bench.experiments.settings import Training, canonical_schedule, make_schedule
from torch import nn

TASK = "adding(length=6, train=40, valid=8, test=8)"


def make_run(model: str = "gru(width=3)", task: str = TASK, **settings: Any) -> Run:
    return api.make_run(task, model, **{"epochs": 2, "batch": 8, "learning_rate": 0.01, **settings})


def rates(steps: int, **settings: Any) -> list[float]:
    made = Training(learning_rate=1.0, **settings)
    schedule = make_schedule(made.schedule)
    return [made.rate(schedule, [], step, steps) for step in range(steps)]


def test_warm_up_grows_in_proportion_to_the_step() -> None:
    assert rates(6, warmup=4) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert rates(3) == [1.0] * 3


def test_cosine_falls_over_the_whole_run_to_its_floor() -> None:
    assert rates(4, schedule="cosine") == pytest.approx([1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2])
    assert rates(4, schedule="cosine(floor=0.5)")[2] == pytest.approx(0.75)
    after_warm_up = rates(6, schedule="cosine", warmup=2)
    assert after_warm_up[:2] == [0.5, 1.0]
    assert after_warm_up[2:] == rates(4, schedule="cosine")


def test_with_a_schedule_by_epochs_warm_up_is_a_factor_of_it() -> None:
    made = Training(learning_rate=0.5, schedule="step(every=1, by=0.5)", warmup=4)
    assert [made.rate(make_schedule(made.schedule), [1.0], step, 8) for step in (2, 5)] == [0.1875, 0.25]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "adagrad"])
@pytest.mark.parametrize("captures", [False, True])
def test_the_loop_sets_the_rate_of_every_step(optimizer: str, captures: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["torch.optim.rmsprop"], "_get_capturable_supported_devices", lambda: ["cpu"])
    run = make_run(optimizer=optimizer, schedule="cosine(floor=0.1)", warmup=3)
    seen: list[float] = []
    taken = TrainingStep.take

    def take(self: TrainingStep, number: int) -> int:
        seen.append(float(self.optimizer.param_groups[0]["lr"]))
        return taken(self, number)

    monkeypatch.setattr(TrainingStep, "take", take)
    outcome = train_in(RecordingLane() if captures else HostLane(), run)
    schedule = make_schedule(run.training.schedule)
    assert seen == pytest.approx([run.training.rate(schedule, [], step, 10) for step in range(10)], rel=1e-6)
    reported = [point["learning_rate"] for point in trained(outcome.progress.curve)]
    assert reported == pytest.approx([seen[4], seen[9]], rel=1e-6)
    assert bool(outcome.uncaptured) is (captures and optimizer == "adagrad")
    if captures:
        other = train_in(HostLane(), run)
        assert outcome.progress.trace[-1] == pytest.approx(other.progress.trace[-1], rel=1e-3)


@pytest.mark.parametrize("captures", [False, True])
def test_a_step_follows_the_mean_gradient_of_its_batches(captures: bool) -> None:
    """Five batches of 8, two a step: two whole steps and one with what is left, in each of two epochs."""
    run = make_run(optimizer="sgd", accumulate=2, clip=0.05)
    outcome = train_in(RecordingLane() if captures else HostLane(), run)
    assert outcome.uncaptured == ("accumulate=2: an optimizer step spans several batches" if captures else "")
    task = run.make_task()
    split, network = task.load(0).train, run.make_network(task)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for epoch in range(2):
        batches = seeding.order(0, epoch, len(split)).split(8)
        for together in (batches[:2], batches[2:4], batches[4:]):
            losses = [task.loss(network.read(split.batch(index).inputs), split.batch(index)) for index in together]
            optimizer.zero_grad()
            torch.stack(losses).mean().backward()
            nn.utils.clip_grad_norm_(network.parameters(), 0.05)
            optimizer.step()
    last = run.make_network(task)
    best = max(range(2), key=lambda epoch: -outcome.progress.curve[epoch]["valid"]["mse"])
    assert best == 1, "the outcome's network is that of the last epoch, as ours here"
    last.load_state_dict(outcome.network.state_dict())
    for mine, other in zip(last.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)


def test_a_group_of_batches_is_as_one_large_batch() -> None:
    both: list[dict[str, Any]] = [{"batch": 8}, {"batch": 4, "accumulate": 2}]
    one, other = (train_in(HostLane(), make_run(**settings)) for settings in both)
    for mine, theirs in zip(one.network.parameters(), other.network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{"accumulate": 3}, {"accumulate": 2, "warmup": 3, "schedule": "cosine"}])
def test_a_kill_between_the_batches_of_a_step_costs_no_bit(settings: dict[str, Any], tmp_path: Path) -> None:
    run = make_run("gru(width=3, layers=2, dropout=0.2)", optimizer="adamw", weight_decay=0.1, **settings)
    whole = training.train(run)
    for stop in range(1, 4):
        asked = 0

        def stop_now(stop: int = stop) -> bool:
            nonlocal asked
            asked += 1
            return asked > stop

        with Checkpoint(tmp_path / f"{stop}.pt", every=0.0) as checkpoint:
            with pytest.raises(training.Stopped):
                training.train(run, checkpoint=checkpoint, should_stop=stop_now)
            resumed = training.train(run, checkpoint=checkpoint)
        assert resumed.progress.resumed == 1
        assert resumed.progress.trace == whole.progress.trace
        for mine, other in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
            assert torch.equal(mine, other)


def test_settings_at_their_defaults_change_no_id() -> None:
    assert make_run(warmup=0, accumulate=1).id == make_run().id
    assert make_run(warmup=1).id != make_run().id != make_run(accumulate=2).id
    assert canonical_schedule("cosine(floor=0.0)") == "cosine"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"warmup": -1}, "warmup=-1: at least 0 is needed"),
        ({"accumulate": 0}, "accumulate=0: at least 1 is needed"),
        ({"schedule": "cosine(floor=1.5)"}, "cosine: floor=1.5: a share of the learning rate, 0 to 1, is needed"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin': did you mean 'cosine'"),
        ({"optimizer": "adamw", "momentum": 0.5}, "momentum is an option of sgd and rmsprop, not of adamw"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        Training(**settings)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_warm_up_longer_than_the_run_is_refused() -> None:
    with pytest.raises(UsageError, match="warmup=6: fewer than the run's 6 optimizer steps are needed"):
        training.train(make_run(warmup=6, accumulate=2))
