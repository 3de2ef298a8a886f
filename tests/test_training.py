"""The training loop: the same bits each time, nothing global changed, divergence seen, gradients clipped."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import seqbench
from experiments import bits, measured_of, write
from seqbench.bench import api
from seqbench.bench.engine.evaluation import Evaluation, evaluate
from seqbench.bench.engine.lanes import Turns
from seqbench.bench.engine.repeatable import repeatable
from seqbench.bench.engine.training import Progress, train
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config
from seqbench.bench.experiments.runs import Run
from seqbench.models.network import Network
from seqbench.tasks import _random, adding, base

TASK = "adding(length=12, train=128, valid=32, test=32)"
MODEL = "tcn(width=4, kernel=2, levels=2, dropout=0.2)"


def make_run(model: str = MODEL, task: str = TASK, **settings: Any) -> Run:
    return api.make_run(task, model, **{"epochs": 2, "batch": 16, **settings})


@pytest.fixture
def thread_count() -> Iterator[Callable[[int], None]]:
    """Sets torch's threads until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def flush_denormal() -> Iterator[Callable[[bool], bool]]:
    """Sets whether torch flushes denormal numbers until the test ends."""
    yield torch.set_flush_denormal
    torch.set_flush_denormal(False)


def flushes() -> bool:
    """Whether torch takes denormal numbers for zero in this thread."""
    return (torch.tensor([1e-38]) * torch.tensor([0.1])).item() == 0


@pytest.mark.parametrize("model", ["rnn(width=4)", "lstm(width=4, layers=2, dropout=0.3)", "gru(width=4)", MODEL])
def test_twice_the_same(model: str) -> None:
    run = make_run(model)
    assert measured_of(train(run)) == measured_of(train(run))


def test_every_part_of_the_run_counts() -> None:
    """Else the comparisons of this file would hold for nothing."""
    first = measured_of(train(make_run()))
    for changes in ({"seed": 1}, {"learning_rate": 0.003}, {"batch": 15}, {"model": MODEL.replace("0.2", "0.3")}):
        other = measured_of(train(make_run(**changes)))
        assert other["weights"] != first["weights"], changes
        assert other["trace"] != first["trace"], changes


def gradients(run: Run) -> list[bytes]:
    """Those of the first training step, as the loop computes them."""
    with repeatable(torch.device("cpu")):
        task = run.make_task()
        network, batch = run.make_network(task), task.load(0).train.batch(torch.arange(32))
        task.loss(network(batch.inputs)[0], batch).backward()
        return bits([parameter.grad for parameter in network.parameters() if parameter.grad is not None])


def test_generated_data_leave_the_gradients_bits(thread_count: Callable[[int], None]) -> None:
    """Compiled loops that ran before, with several threads, must not give torch its threads back (numba#9387)."""
    run = make_run("tcn(width=16, kernel=3, levels=3)", "adding(length=60, train=64, valid=8, test=8)")
    alone = gradients(run)
    thread_count(1)
    _random.uniform(_random.stream("test"), 0, 10_000, 100, threads=4)
    assert torch.get_num_threads() == 1
    assert gradients(run) == alone
    thread_count(2)
    assert gradients(run) == alone


@pytest.mark.parametrize("where", ["load", "loss"])
def test_a_task_that_changes_torchs_threads_is_stopped(
    where: str, monkeypatch: pytest.MonkeyPatch, thread_count: Callable[[int], None]
) -> None:
    thread_count(1)
    original = getattr(adding.Task, where)

    def careless(*arguments: Any) -> Any:
        torch.set_num_threads(2)
        return original(*arguments)

    monkeypatch.setattr(adding.Task, where, careless)
    reached: list[int] = []
    with pytest.raises(RuntimeError, match="2 threads where one was set"):
        train(make_run(), report=lambda progress, steps: reached.append(progress.epoch))
    assert reached.count(1) == (1 if where == "loss" else 0), "before every epoch it is looked at"
    assert torch.get_num_threads() == 1


def test_global_random_states_are_left_alone() -> None:
    def states() -> list[Any]:
        return [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]

    before = states()
    train(make_run("lstm(width=4, layers=2, dropout=0.2, recurrent_dropout=0.1, initialization=orthogonal)"))
    assert states() == before


def test_global_random_states_do_not_count() -> None:
    first = measured_of(train(make_run()))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        assert measured_of(train(make_run())) == first


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_threads_and_denormals_are_given_back(
    flushed: bool,
    fails: bool,
    thread_count: Callable[[int], None],
    flush_denormal: Callable[[bool], bool],
) -> None:
    thread_count(2)
    if not flush_denormal(flushed):
        pytest.skip("this processor cannot flush denormal numbers")
    inside: list[tuple[int, bool]] = []

    def look(progress: Progress, steps: int) -> None:
        inside.append((torch.get_num_threads(), flushes()))
        if fails:
            raise ZeroDivisionError

    if fails:
        with pytest.raises(ZeroDivisionError):
            train(make_run(), report=look)
    else:
        train(make_run(), report=look)
    assert set(inside) == {(1, True)}
    assert (torch.get_num_threads(), flushes()) == (2, flushed)


def test_order_of_batches_is_shared_by_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each epoch sees every example once, in an order of its own that only the seed decides."""

    def seen(run: Run) -> list[int]:
        indices: list[int] = []
        batch = base.Examples.batch

        def remember(self: base.Examples, index: torch.Tensor) -> base.Batch:
            if len(self) == 128:
                indices.extend(index.tolist())
            return batch(self, index)

        with monkeypatch.context() as patch:
            patch.setattr(base.Examples, "batch", remember)
            train(run)
        return indices

    one = seen(make_run("gru(width=3)"))
    assert sorted(one[:128]) == sorted(one[128:]) == list(range(128))
    assert one[:128] != one[128:]
    assert seen(make_run(MODEL)) == one
    assert seen(make_run("gru(width=3)", seed=1)) != one


def test_curve_and_trace() -> None:
    """Three epochs of 8 steps, of which the last has 10 examples less: 122 = 7 * 16 + 10."""
    outcome = train(
        make_run(task="adding(length=12, train=122, valid=32, test=32)", epochs=3, schedule="step(every=2)")
    )
    (untrained, *curve), trace = outcome.progress.curve, outcome.progress.trace
    assert outcome.status == "done"
    assert [untrained[key] for key in ("epoch", "steps", "learning_rate", "train_loss")] == [0, 0, None, None]
    assert 0 < untrained["seconds"] < curve[0]["seconds"]
    assert [(point["epoch"], point["steps"]) for point in curve] == [(1, 8), (2, 16), (3, 24)]
    assert [point["learning_rate"] for point in curve] == pytest.approx([2e-3, 2e-3, 2e-4])
    assert [steps for steps, _ in trace] == list(range(1, 25))
    for epoch, point in enumerate(curve):
        losses = [loss for _, loss in trace[8 * epoch : 8 * epoch + 8]]
        weighted = sum(loss * size for loss, size in zip(losses, [16] * 7 + [10], strict=True)) / 122
        assert point["train_loss"] == pytest.approx(weighted, rel=1e-12)
        assert set(point["valid"]) == set(point["test"]) == {"mse"}
    assert [point["seconds"] for point in curve] == sorted(point["seconds"] for point in curve)


def test_trace_of_a_long_run_is_thinned_and_loses_nothing() -> None:
    """2 epochs of 250 steps: an entry every 2 steps, and one at the end of each epoch."""
    run = make_run("gru(width=2)", "adding(length=2, train=250, valid=2, test=2)", batch=1)
    outcome = train(run)
    trace, curve = outcome.progress.trace, outcome.progress.curve
    assert [steps for steps, _ in trace] == list(range(2, 501, 2))
    assert np.mean([loss for _, loss in trace[:125]]) == pytest.approx(curve[1]["train_loss"], rel=1e-12)


@pytest.mark.parametrize("model", ["gru(width=4)", MODEL])
def test_a_loss_that_is_not_finite_ends_the_run(model: str) -> None:
    outcome = train(make_run(model, optimizer="sgd", learning_rate=1e30, epochs=5))
    assert outcome.status == "diverged"
    assert outcome.lengths == {}
    *before, last = [math.isfinite(loss) for _, loss in outcome.progress.trace]
    assert all(before)
    assert not last, "it is seen at once, not at the end of the epoch"


def test_scores_that_are_not_finite_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network can break in the last step of an epoch, after the last loss."""

    def break_down(self: Network, *arguments: Any) -> Any:
        outputs = read(self, *arguments)
        return outputs if self.training else outputs / 0

    read = Network.read
    monkeypatch.setattr(Network, "read", break_down)
    outcome = train(make_run(epochs=3))
    assert outcome.status == "diverged"
    assert [point["epoch"] for point in outcome.progress.curve] == [0, 1], "epoch 0 ends no run"


def norms_of_gradients(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the optimizer is given at each step."""
    norms: list[float] = []
    step = torch.optim.SGD.step

    def watched(self: torch.optim.SGD, *arguments: Any) -> Any:
        gradients = [parameter.grad for group in self.param_groups for parameter in group["params"]]
        norms.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", watched)
        train(run)
    return norms


def test_clip_limits_the_norm_of_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    free = norms_of_gradients(make_run(optimizer="sgd", learning_rate=1e-9), monkeypatch)
    limit = sorted(free)[len(free) // 2]
    clipped = norms_of_gradients(make_run(optimizer="sgd", learning_rate=1e-9, clip=limit), monkeypatch)
    assert len(free) == len(clipped) == 16
    assert max(free) > 1.01 * limit
    assert max(clipped) <= limit * (1 + 1e-4)
    for before, after in zip(free, clipped, strict=True):  # at this learning rate both see the same gradients
        assert after == pytest.approx(min(before, limit), rel=1e-3), "a small gradient is left as it is"


def test_test_lengths() -> None:
    run = make_run("gru(width=4)", "copy-memory(delay=3, train=32, valid=16, test=16)", test_lengths=[3, 9])
    outcome = train(run)
    assert set(outcome.lengths) == {"3", "9"}
    assert outcome.lengths["3"] == outcome.scores["best"]["test"], "the best network at its own length"
    longer = run.make_task().at_length(9)
    assert outcome.lengths["9"] == evaluate(outcome.network, longer, longer.load(0).test)
    assert outcome.lengths["9"] != outcome.lengths["3"]


def test_a_run_ends_when_validation_counts_as_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    solved, not_yet = 1e-3, 2e-3
    pairs = [(solved, solved), (0.1, not_yet), (not_yet, solved), (solved, not_yet), (solved, solved)]
    scores = (score for pair in pairs for score in pair)  # validation, then test; epoch 0 does not count

    def turns(self: Evaluation) -> Turns:
        yield None
        return {"mse": next(scores)}

    monkeypatch.setattr(Evaluation, "turns", turns)
    outcome = train(make_run(epochs=4, until_solved=True))
    assert outcome.status == "done"
    assert [point["valid"]["mse"] for point in outcome.progress.curve] == [solved, 0.1, not_yet, solved]
    assert outcome.scores["best"]["test"] == {"mse": not_yet}


@pytest.mark.usefixtures("miniature_data")
def test_a_task_that_cannot_be_solved_has_no_such_end() -> None:
    with pytest.raises(UsageError, match="until_solved=true: this task counts as solved at no score"):
        train(make_run(task="jsb", until_solved=True))


@pytest.mark.usefixtures("miniature_data")
def test_weights_that_break_in_the_last_step_end_the_run_as_diverged() -> None:
    """The first metric, accuracy, stays finite then; the loss does not."""
    run = api.make_run(
        "sequential-mnist(view=rows, train=64)",
        "tcn(levels=2, width=8)",
        epochs=1,
        batch=64,
        optimizer="sgd",
        learning_rate=1e30,
    )
    assert train(run).status == "diverged"


def test_mixed_precision_is_refused_on_a_cpu_where_it_would_be_trained(tmp_path: Path) -> None:
    text = f"question: Half?\nprecision: bfloat16\nrows:\n- {{task: '{TASK}', models: [gru(width=3)]}}\n"
    folder = write(tmp_path / "half", text)
    (run,) = config.load(folder).runs
    assert run.precision == "bfloat16"
    message = "precision=bfloat16 needs a GPU (--device cuda); on cpu only float32 is there"
    with pytest.raises(UsageError) as raised:
        train(run)
    assert str(raised.value) == message
    answer = seqbench("run", folder, "--device", "cpu")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert answer.err.endswith(f"{message}\n")
    for verb in (("run", folder, "--device", "cpu", "--dry-run"), ("status", folder), ("table", folder)):
        answer = seqbench(*verb)
        assert (answer.code, answer.err) == (0, ""), verb
