"""The reference of `seqbench speed` computes what ours computes: outputs, loss and gradients, from the same numbers."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from seqbench.bench import seeding
from seqbench.bench.api import make_run
from seqbench.bench.engine.steps import TrainingStep, answer
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments.runs import Run
from seqbench.bench.measuring import shapes
from seqbench.bench.measuring.reference import PlainStep, Reference, pairs, plain_body
from seqbench.bench.measuring.variants import Ours, Plain, indices
from torch import Tensor

TASKS = {
    "last step": "adding(length=30, train=8, valid=2, test=2)",
    "every step": "copy-memory(delay=12, train=8, valid=2, test=2)",
}
MODELS = [
    "lstm(width=5)",
    "lstm(width=5, layers=2, forget_bias=2.0)",
    "gru(width=5, layers=2)",
    "rnn(width=5, layers=2)",
    "rnn(width=5, nonlinearity=relu)",
    "tcn(width=5, levels=3, kernel=3)",
    "tcn(widths=[4, 4, 6], kernel=2)",
]

OWN_MODEL = """
from seqbench.models.base import Model as Base
from torch import nn


class Model(Base):
    def __init__(self, channels, *, width=3):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(channels, width)])
        self.features, self.state_size, self.receptive_field, self.macs_per_step = width, 0, 1, channels * width

    def forward(self, inputs, state=None):
        return self.blocks[0](inputs), None
"""


def both(run: Run) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs, loss and gradients of ours and of the reference, for one batch; gradients in one order."""
    task = run.make_task()
    split = task.load(0).train.in_streams(run.training.batch)
    batch = split.batch(indices(split, run)[0])
    network = run.make_network(task)
    network.seed_dropout(seeding.generator("dropout", 0))
    reference = Reference(run, task).take(network)
    outputs, _ = answer(network, split, batch)
    loss = task.loss(outputs, batch)
    plain, _ = reference(reference.prepare(batch).inputs)
    plain_loss = reference.loss(plain, batch, task)
    loss.backward()
    plain_loss.backward()
    numbers = outputs if isinstance(outputs, Tensor) else outputs.values
    beside = pairs(reference, network)
    return [numbers, loss, *(other.grad for _, other in beside)], [plain, plain_loss, *(own.grad for own, _ in beside)]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_it_computes_the_same_function(task: str, model: str) -> None:
    ours, theirs = both(make_run(task, model, batch=4))
    assert len(ours) > 6
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head", ["softmax", "tied"])
@pytest.mark.parametrize("model", ["lstm(width=5)", "tcn(width=5, levels=2, kernel=3)"])
@pytest.mark.usefixtures("miniature_data")
def test_it_computes_the_same_function_on_a_text(model: str, head: str) -> None:
    run = make_run("ptb-word(context=4, scored=4)", model, head=head, embedding="embedding(width=6)", batch=2)
    ours, theirs = both(run)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_it_shares_no_numbers_with_ours_but_those_it_took() -> None:
    """Other numbers, another function: the comparison above can fail."""
    run = make_run(TASKS["last step"], "gru(width=5)", batch=4)
    task = run.make_task()
    batch = task.load(0).train.batch(torch.arange(4))
    network = run.make_network(task)
    outputs, _ = network(batch.inputs)
    plain, _ = Reference(run, task)(batch.inputs)
    assert not torch.allclose(outputs, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", ["lstm(width=5)", "tcn(width=5, levels=3, kernel=3)"])
def test_a_step_of_it_changes_the_numbers_as_ours_does(model: str) -> None:
    run = make_run(TASKS["last step"], model, batch=4, clip=0.1, optimizer="sgd", learning_rate=0.5)
    task = run.make_task()
    split = task.load(0).train
    network = run.make_network(task)
    network.seed_dropout(seeding.generator("dropout", 0))
    reference = Reference(run, task).take(network)
    step = TrainingStep(run, task, split, network, run.training.make_optimizer(network.parameters()))
    plain = PlainStep(run, task, reference, run.training.make_optimizer(reference.parameters()), False, 0)
    for index in indices(split, run):
        step.run(index)
        plain.run(reference.prepare(split.batch(index)))
    batch = split.batch(torch.arange(8))
    ours, _ = network(batch.inputs)
    theirs, _ = reference(reference.prepare(batch).inputs)
    before, _ = run.make_network(task)(batch.inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(ours, before, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_it_drops_recurrent_weights_as_ours_does(name: str) -> None:
    """Other draws, the same share; the parameters themselves stay, and learn. In evaluation nothing is dropped."""
    run = make_run(TASKS["last step"], f"{name}(width=40, layers=2, recurrent_dropout=0.25)", batch=4)
    task = run.make_task()
    batch = task.load(0).train.batch(torch.arange(4))
    network = run.make_network(task)
    reference = Reference(run, task).take(network)
    cells = reference.body.cells
    plain, _ = reference(batch.inputs)
    for layer in range(2):
        left, whole = getattr(cells, f"weight_hh_l{layer}"), reference.body.parameter(f"weight_hh_l{layer}")
        kept = left != 0
        torch.testing.assert_close(left[kept], whole[kept] / 0.75)
        assert abs(kept.double().mean() - 0.75) < 0.05  # of 1,600 numbers at least: 4 standard errors
        assert isinstance(whole, torch.nn.Parameter)
    again, _ = reference(batch.inputs)
    assert not torch.equal(plain, again)
    plain.sum().backward()
    assert all(parameter.grad is not None for parameter in reference.parameters())
    still, _ = reference.eval()(batch.inputs)
    ours, _ = network.eval()(batch.inputs)
    torch.testing.assert_close(still, ours, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "complaint"),
    [("gru(width=5, reset=before)", "another form"), ("tcn(width=5, weight_norm=false)", "without it")],
)
def test_what_has_no_reference_is_named(model: str, complaint: str) -> None:
    run = make_run(TASKS["last step"], model)
    with pytest.raises(UsageError, match=complaint):
        Reference(run, run.make_task())


def test_a_model_of_other_layers_has_no_reference(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(OWN_MODEL, encoding="utf-8")
    with pytest.raises(UsageError, match="plain PyTorch has no such layer"):
        plain_body(make_run(TASKS["last step"], str(own)), 2)


def test_layers_come_from_the_package_that_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is around them starts as ours; where the package is missing torch's operations compute the same."""

    class Halving(torch.nn.Module):
        def __init__(self, dim: int, expansion_factor: float, proj_out: bool) -> None:
            super().__init__()
            assert (dim, expansion_factor, proj_out) == (5, 2.0, True)
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, inputs: Tensor, **state: object) -> object:
            outputs = self.scale * inputs / 2
            return (outputs, inputs[:, -1:]) if state.get("return_next_prev_hidden") else outputs

    run = make_run(TASKS["every step"], "mingru(width=5)", batch=4)
    task = run.make_task()
    network = run.make_network(task)
    inputs = task.load(0).train.batch(torch.arange(4)).inputs
    expected, _ = network(inputs)
    monkeypatch.setitem(sys.modules, "minGRU_pytorch", None)
    missing = Reference(run, task).take(network)
    assert (missing.name, missing.streams) == ("torch", True)
    torch.testing.assert_close(missing(inputs)[0], expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setitem(sys.modules, "minGRU_pytorch", SimpleNamespace(minGRU=Halving))
    found = Reference(run, task).take(network)
    assert (found.name, found.streams) == ("minGRU_pytorch", True)
    assert len([part for part in found.modules() if isinstance(part, Halving)]) == 2
    ours = dict(network.named_parameters())
    theirs = {name.removeprefix("body."): part for name, part in found.named_parameters() if name.startswith("body.")}
    shared = [name for name in theirs if name in ours]
    assert any("mlp" in name for name in shared)
    assert not any("mixer." in name for name in shared)
    assert all(torch.equal(theirs[name], ours[name]) for name in shared)
    outputs, state = found.eval()(inputs[:, :1])
    assert found(inputs[:, 1:2], state)[0].shape == outputs.shape


@pytest.mark.parametrize("model", ["lstm(width=5)", "tcn(width=5, levels=3, kernel=3)", "s4d(width=6, states=4)"])
def test_a_sequence_is_read_step_by_step(model: str) -> None:
    """The published TCN keeps no state, so it cannot be streamed; ours can."""
    run = make_run(TASKS["last step"], model, batch=4)
    ours, plain = Ours(run, torch.device("cpu")), Plain(run, torch.device("cpu"))
    assert ours.stream() == 30
    assert plain.stream() == (0 if model.startswith("tcn") else 30)
    assert ours.network.training
    assert plain.facts() == {"reference": "torch"}


def test_every_model_of_the_suite_at_two_shapes_and_of_one_size() -> None:
    found, left_out = shapes.suite(["min", "lru", "tcn"])
    assert left_out == []
    models = {"gated-tcn", "lru", "mingru", "minlstm", "tcn"}
    assert {(case.model, case.run.make_task().steps, case.run.training.batch) for case in found} == {
        (model, *shape) for model in models for shape in ((784, 64), (128, 32))
    }
    with pytest.raises(UsageError, match=r"--model mingur: .* did you mean 'mingru'"):
        shapes.suite(["mingur"])
