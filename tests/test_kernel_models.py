"""Models whose layers are kernels against the same models of torch's operations, and fifty steps of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from seqbench.bench import make_run
from seqbench.bench.engine.steps import TrainingStep
from seqbench.models import _recurrent, base, gru, lstm, rnn, tcn
from seqbench.models._compiling import plain

from .test_kernels import assert_near, with_gradients

MODELS: dict[str, Callable[..., base.Model]] = {
    "rnn": rnn.Model, "lstm": lstm.Model, "gru": gru.Model, "tcn": tcn.Model,
}  # fmt: skip


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(1803)
        yield


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("reads", [1, 3, None])
@pytest.mark.parametrize("steps", [1, 2, 37, 64])
@pytest.mark.parametrize("name", MODELS)
def test_reading_equals_the_plain_features(name: str, steps: int, reads: int | None, training: bool) -> None:
    options: dict[str, Any] = (
        {"kernel": 3, "levels": 4, "dropout": 0.3} if name == "tcn" else {"layers": 2, "dropout": 0.3}
    )
    for kind in ("channel", "element"):
        model = MODELS[name](2, width=6, dropout_kind=kind, **options).double().train(training)
        inputs = torch.randn(3, steps, 2, dtype=torch.float64, requires_grad=True)
        results = []
        for way in ("read", "plain"):
            base.seed_dropout(model, torch.Generator().manual_seed(7))
            if way == "read":
                features = model.read(inputs, reads)
            else:
                with plain():
                    features = model(inputs)[0][:, -(reads or steps) :]
            assert features.shape == (3, min(reads or steps, steps), 6)
            results.append(with_gradients([features], [inputs, *model.parameters()]))
        for ours, theirs in zip(*results, strict=True):
            assert_near(ours, theirs, times=10)


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_of_no_sequence_has_no_features_and_gradients_of_zero(name: str) -> None:
    model = MODELS[name](2, width=6)
    for features, steps in ((model.read(torch.zeros(0, 5, 2), 1), 1), (model(torch.zeros(0, 5, 2))[0], 5)):
        assert features.shape == (0, steps, 6)
        features.sum().backward()
    assert all(part.grad is not None and not part.grad.any() for part in model.parameters())


def test_the_last_step_costs_a_tcn_few_steps_of_each_level() -> None:
    model = tcn.Model(1, kernel=2, levels=6, width=4)
    shapes: list[int] = []
    for part in model.blocks:
        assert isinstance(part, tcn.Block)
        original = part.fused
        part.fused = lambda inputs, dilation, original=original: (  # type: ignore[method-assign]
            shapes.append(inputs.shape[1]) or original(inputs, dilation)  # type: ignore[func-returns-value]
        )
    model.read(torch.randn(2, 100, 1), 1)
    assert shapes == [100, 50, 25, 13, 7, 4]


@pytest.mark.parametrize(
    ("module", "operation", "model", "numbers"),
    [
        (_recurrent, "recurrence", lambda: lstm.Model(3, width=8, layers=2), 4 * 8 * 8),
        (tcn, "dilated_block", lambda: tcn.Model(3, width=8, kernel=3, levels=2), 3 * 8 * 8),
    ],
    ids=["lstm", "tcn"],
)
def test_wide_layers_are_torchs_and_compute_the_same(
    module: Any, operation: str, model: Callable[[], base.Model], numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two layers with so many numbers in their largest matrix: by our kernels up to that limit, by torch's beyond."""
    ours: list[int] = []
    kernels = getattr(module, operation)
    monkeypatch.setattr(module, operation, lambda *given: ours.append(1) or kernels(*given))  # type: ignore[func-returns-value]
    made, inputs = model().double(), torch.randn(5, 9, 3, dtype=torch.float64)
    results = []
    for wide, layers in ((numbers, 2), (numbers - 1, 0)):
        monkeypatch.setattr(module, "WIDE", wide)
        results.append(with_gradients([made.read(inputs)], [*made.parameters()]))
        assert len(ours) == layers
        ours.clear()
    for one, other in zip(*results, strict=True):
        assert_near(one, other, times=10)


def test_of_long_sequences_a_wide_lstm_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's keeps twice as much: it is taken for as many hidden states as SMALL says, and not for one more."""
    monkeypatch.setattr(_recurrent, "WIDE", 0)
    monkeypatch.setattr(_recurrent, "SMALL", 2 * 9 * 8)
    taken: list[int] = []
    kernels = _recurrent.recurrence
    monkeypatch.setattr(_recurrent, "recurrence", lambda *given: taken.append(1) or kernels(*given))  # type: ignore[func-returns-value]
    made = lstm.Model(3, width=8)
    for steps, expected in ((9, 0), (10, 1)):
        made.read(torch.randn(2, steps, 3))
        assert len(taken) == expected


def test_outputs_do_not_depend_on_the_number_of_threads() -> None:
    before, seen = torch.get_num_threads(), []
    models = [make(2, width=12) for make in MODELS.values()]
    inputs = torch.randn(21, 30, 2)
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        seen.append([model.read(inputs).detach() for model in models])
    torch.set_num_threads(before)
    assert all(torch.equal(one, other) for others in seen[1:] for one, other in zip(seen[0], others, strict=True))


TASKS = ("adding(length=40, train=400, valid=20, test=20)", "copy-memory(delay=20, train=400, valid=20, test=20)")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", MODELS)
def test_fifty_steps_of_training_go_as_with_torchs_operations(name: str, task: str) -> None:
    """From one seed, with Adam at 0.002 and clipping; the losses drift apart by rounding only."""
    model = "tcn(kernel=3, levels=4, width=12, dropout=0.1)" if name == "tcn" else f"{name}(width=16)"
    curves = []
    for way in ("kernels", "plain"):
        run = make_run(task, model, batch=8, optimizer="adam", learning_rate=0.002, clip=1.0)
        made = run.make_task()
        network, split = run.make_network(made), made.load(run.seed).train
        network.seed_dropout(torch.Generator().manual_seed(3))
        network.train()
        step = TrainingStep(run, made, split, network, run.training.make_optimizer(network.parameters()), "cpu")
        losses = []
        for number in range(50):
            before = step.loss_sum.item()
            index = torch.arange(8 * number, 8 * number + 8)
            if way == "plain":
                with plain():
                    step.run(index)
            else:
                step.run(index)
            losses.append((step.loss_sum.item() - before) / 8)
        curves.append(losses)
    ours, theirs = curves
    assert theirs[-1] != theirs[0]
    np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-5)
