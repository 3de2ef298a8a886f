"""Gradient flow: the norms are those of the definition, for every model and task; files say where they come from."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from command import seqbench
from experiments import SMALL, TinyText, write
from fingerprints import MODELS, TASKS, built, fits, small, splits
from seqbench.bench import make_network, make_run, make_task, train
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config
from seqbench.bench.measuring import gradient_flow
from seqbench.bench.measuring.gradient_flow import gradient_norms
from seqbench.bench.report.figures.saving import digest_of
from seqbench.bench.rows import measurements
from seqbench.bench.rows.measurements import Flow
from seqbench.models.network import Network
from seqbench.tasks.base import Batch, Split, Task
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

TINY = """\
question: Two tasks
seeds: 2
training: {epochs: 1, batch: 16}
rows:
- task: [adding(length=6), "adding(length=8)"]
  models: [rnn(width=3), "tcn(width=2, kernel=2, levels=1)"]
"""
SHORT = TINY.replace("adding(length=6)", '"adding(length=6, train=48, valid=8, test=8)"')


def by_differences(network: Network, task: Task, batch: Batch, lag: int) -> float:
    """‖∂L_T/∂s_{T-lag}‖ of one example, from small changes of each number of the state in turn."""
    inputs = batch.inputs.double()
    cut = inputs.shape[1] - lag
    with torch.no_grad():
        whole, _ = network.body(inputs)
        parts, form = tree_flatten(network.body(inputs[:, :cut])[1])
        flat = torch.cat([part.flatten() for part in parts])
        changes = torch.eye(len(flat), dtype=torch.float64) * 1e-5
        changed = torch.cat([flat + changes, flat - changes])  # (2N, N)
        pieces = changed.split([part.numel() for part in parts], dim=1)
        states = [piece.reshape(-1, *part.shape[1:]) for piece, part in zip(pieces, parts, strict=True)]
        features, _ = network.body(inputs[:, cut:].expand(len(changed), -1, -1), tree_unflatten(states, form))

        def loss(last: Tensor) -> Tensor:  # (1, 1, W); what the other steps answer stays as it is
            features = torch.cat([whole[:, :-1], last], dim=1)
            answered = features if task.reads is None else features[:, -task.reads :]
            return task.loss(network.head(answered), batch._replace(targets=as_double(batch.targets)))

        losses = torch.stack([loss(feature[None, -1:]) for feature in features])
        return float(((losses[: len(flat)] - losses[len(flat) :]) / 2e-5).norm())


def as_double(targets: Tensor) -> Tensor:
    return targets.double() if targets.is_floating_point() else targets


@pytest.mark.parametrize("model", [model for model in MODELS if fits("jsb", model)])
@pytest.mark.parametrize("task", ["adding", "copy-memory"])
def test_norms_are_the_sizes_of_small_changes_effects(task: str, model: str) -> None:
    network, split = built(task, model), splits(task).test
    norms = gradient_norms(network, small(task), split, examples=1)
    batch = split.batch(torch.tensor([0]))
    assert len(norms) == batch.inputs.shape[1] - 1
    for lag in {1, 2, len(norms)}:
        expected = by_differences(network.double().eval(), small(task), batch, lag)
        assert float(norms[lag - 1]) == pytest.approx(expected, rel=1e-5, abs=1e-10)


def test_a_model_that_sees_later_inputs_is_refused_and_left_out(tmp_path: Path) -> None:
    network = built("adding", "bidirectional")
    with pytest.raises(UsageError, match="the model sees later inputs"):
        gradient_norms(network, small("adding"), splits("adding").test, examples=1)
    both = "question: x\nrows:\n- {task: adding(length=9), models: [bidirectional(width=2), gru(width=2)]}\n"
    cells = gradient_flow.cells_of(config.load(write(tmp_path / "both", both)))
    assert [cell.model for cell in cells] == ["gru"]
    alone = both.replace(", gru(width=2)", "")
    with pytest.raises(UsageError, match="there is none"):
        gradient_flow.cells_of(config.load(write(tmp_path / "alone", alone)))


def test_for_a_plain_network_they_are_the_product_of_jacobians() -> None:
    """Pascanu, Mikolov & Bengio 2013, eq. 5: ∂h_T/∂h_{T-k} = Π diag(1 - h_t²) U."""
    task = make_task("adding(length=7, train=1, valid=1, test=2)")
    network = make_network("adding(length=7)", "rnn(width=3)").double()
    split = task.load(0).test
    measured = gradient_norms(network, task, split)
    weights = network.state_dict()
    (back,) = [weights[name] for name in weights if "weight_hh" in name]
    expected = torch.zeros(6, dtype=torch.float64)
    for place in range(2):
        batch = split.batch(torch.tensor([place]))
        hidden = network.body(batch.inputs.double())[0][0].detach()  # (T, W)
        error = network.head(hidden[None, -1:]).flatten() - batch.targets.double()
        direction = 2 * error * weights["head.weight"][0]  # of the squared error with respect to h_T
        for lag in range(1, 7):
            direction = (direction * (1 - hidden[-lag] ** 2)) @ back
            expected[lag - 1] += direction.detach().norm() / 2
    torch.testing.assert_close(measured, expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize(("kernel", "levels"), [(2, 1), (3, 2)])
def test_beyond_a_receptive_field_nothing_flows(kernel: int, levels: int) -> None:
    task = make_task("adding(length=20, train=1, valid=1, test=8)")
    network = make_network("adding(length=20)", f"tcn(width=8, kernel={kernel}, levels={levels})")
    field = network.body.receptive_field
    assert field is not None
    norms = gradient_norms(network, task, task.load(0).test)
    assert (norms[: field - 1] > 0).all()
    assert (norms[field - 1 :] == 0).all()
    assert len(norms) == 19 > field


@pytest.mark.parametrize("task", [task for task in TASKS if fits(task, "gru")])
@pytest.mark.usefixtures("miniature_data")
def test_every_task_can_be_measured(task: str) -> None:
    norms = gradient_norms(built(task, "gru"), small(task), splits(task).test, examples=3)
    assert norms.isfinite().all()
    assert float(norms[0]) > 0


def test_a_text_is_measured_to_the_last_step_that_counts() -> None:
    task = TinyText()
    run = make_run("experiments:TinyText", "gru(width=4)")
    norms = gradient_norms(run.make_network(task), task, task.load(0).test)
    assert 1 <= len(norms) <= task.context + task.scored - 1
    assert (norms > 0).all()


class Cut(Split):
    """The examples of another split, each with a number of steps of its own."""

    def __init__(self, split: Split, steps: list[int]) -> None:
        self.split, self.steps = split, steps

    def __len__(self) -> int:
        return len(self.steps)

    def to(self, device: torch.device) -> Cut:
        return self

    def batch(self, index: Tensor) -> Batch:
        batch = self.split.batch(index)
        return batch._replace(inputs=batch.inputs[:, : self.steps[int(index)]])


class From(Split):
    """The examples of another split from one on."""

    def __init__(self, split: Split, first: int) -> None:
        self.split, self.first = split, first

    def __len__(self) -> int:
        return len(self.split) - self.first

    def to(self, device: torch.device) -> From:
        return self

    def batch(self, index: Tensor) -> Batch:
        return self.split.batch(index + self.first)


def test_examples_are_averaged_from_their_own_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task("adding(length=9, train=1, valid=1, test=3)")
    network = make_network("adding(length=9)", "lstm(width=3)")
    split, steps = task.load(0).test, [9, 6, 4]
    together = gradient_norms(network, task, Cut(split, steps))
    assert len(together) == 3
    one_by_one = [Cut(From(split, place), [count]) for place, count in enumerate(steps)]
    alone = [gradient_norms(network, task, one)[:3] for one in one_by_one]
    torch.testing.assert_close(together, torch.stack(alone).mean(0), rtol=1e-12, atol=0)
    monkeypatch.setattr(gradient_flow, "MOST_NUMBERS", 1)  # one example at a time
    torch.testing.assert_close(gradient_norms(network, task, Cut(split, steps)), together, rtol=1e-12, atol=0)


def test_a_network_is_left_as_it_is() -> None:
    network = built("adding", "tcn").train()
    before = {name: part.clone() for name, part in network.state_dict().items()}
    gradient_norms(network, small("adding"), splits("adding").test, examples=2)
    assert network.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert all(part.equal(before[name]) for name, part in network.state_dict().items())


def test_an_example_of_one_step_cannot_be_measured() -> None:
    task = small("adding")
    with pytest.raises(UsageError, match="no example is scored behind its first step"):
        gradient_norms(built("adding", "gru"), task, Cut(splits("adding").test, [1, 1]))


def test_a_training_of_so_many_steps_is_that_of_the_run() -> None:
    options: dict[str, Any] = {"batch": 16, "learning_rate": 0.01}
    one, two = (
        make_run("adding(length=6, train=48, valid=8)", "gru(width=3)", epochs=epochs, **options) for epochs in (1, 2)
    )
    network, steps = gradient_flow.trained(two, 3)
    assert steps == 3
    expected = train(one).network.state_dict()
    assert all(part.equal(expected[name]) for name, part in network.state_dict().items())
    network, steps = gradient_flow.trained(one, 1000)
    assert steps == 3
    assert all(part.equal(expected[name]) for name, part in network.state_dict().items())


def test_the_task_is_chosen_by_the_beginning_of_its_label(tmp_path: Path) -> None:
    experiment = config.load(write(tmp_path, TINY))
    assert {cell.task for cell in gradient_flow.cells_of(experiment)} == {"adding(length=6)"}
    assert len(gradient_flow.cells_of(experiment, "adding(length=8")) == 2
    with pytest.raises(UsageError, match=r"several tasks begin with 'add': adding\(length=6\), adding\(length=8\)"):
        gradient_flow.cells_of(experiment, "add")
    with pytest.raises(UsageError, match="no task begins with 'copy'"):
        gradient_flow.cells_of(experiment, "copy")


def test_measurements_come_back_from_their_file_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    experiment = config.load(write(tmp_path, SMALL))
    cells = gradient_flow.cells_of(experiment)
    flows = [Flow(cell.runs[0], cell.model, "initialisation", 0, [0.5, 1.25e-200, 0.0]) for cell in cells]
    file = tmp_path / "folder" / "gradients.csv"
    measurements.write(file, gradient_flow.origin_of(experiment, cells, datetime.now(UTC), 8), flows)
    origin, table = measurements.read(file)
    assert (origin["task"], origin["examples"]) == (cells[0].task, 8)
    assert set(origin["sources"]) == {run.id for cell in cells for run in cell.runs}
    for key in ("commit", "dirty", "versions", "processor", "threads", "started", "finished"):
        assert key in origin["provenance"]
    assert origin["provenance"]["threads"] == 1
    assert list(table["norm"]) == [0.5, 1.25e-200, 0.0] * 2
    assert list(table["lag"]) == [1, 2, 3] * 2
    assert list(table["model"]) == [flow.model for flow in flows for _ in range(3)]
    text = file.read_text(encoding="utf-8")
    for changed in (text.replace("0.5", "0.6"), text.replace('"examples": 8', '"examples": 9')):
        assert changed != text
        file.write_text(changed, encoding="utf-8")
        with pytest.raises(UsageError, match="has not the sum that it was written with"):
            measurements.read(file)
    for useless in ("run,lag\n1,2\n", "", "# 3\nrun\n"):
        file.write_text(useless, encoding="utf-8")
        with pytest.raises(UsageError, match="its first line does not say"):
            measurements.read(file)


def test_the_verb_measures_and_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    folder = write(tmp_path / "results" / "tiny", SHORT)
    area = tmp_path / "runs" / "tiny"
    answer = seqbench("gradients", folder, "--seeds", "0", "--steps", "2", "--examples", "4")
    assert answer.code == 0, answer.err
    written = [area / f"gradients.{ending}" for ending in ("csv", "png", "svg", "pdf")]
    assert answer.out.splitlines()[-4:] == [f"wrote {path}" for path in written]
    origin, table = measurements.read(written[0])
    assert set(table["steps"]) == {0, 2}
    assert table.groupby(["run", "moment"]).size().tolist() == [5] * 4
    assert origin["provenance"]["command"][0] == "gradients"
    assert all(digest_of(path) for path in written[1:])
    again = seqbench("gradients", folder, "--seeds", "0", "--steps", "2", "--examples", "4", "--out", tmp_path / "b")
    assert again.code == 0, again.err
    assert measurements.read(tmp_path / "b" / "gradients.csv").table.equals(table)
    drawn = seqbench("plot", folder, "--only", "gradients", "--out", tmp_path / "c")
    assert drawn.code == 0, drawn.err
    assert (tmp_path / "c" / "gradients.png").read_bytes() == written[1].read_bytes()
    wrong = seqbench("gradients", folder, "--task", "copy")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
