"""What holds for every task with every model, found in the registry: a new file is picked up and must keep it.

Tried are the pairs of `fingerprints.covering`; `ALL_PAIRS=1 make test` tries all.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fingerprints
import numpy as np
import pytest
import torch
from fingerprints import (
    MODELS,
    TASKS,
    built,
    covering,
    each_once,
    fits,
    kind_of,
    numbers,
    read,
    run_of,
    small,
    some,
    splits,
)
from seqbench.bench.engine.training import train
from seqbench.bench.experiments import registry
from seqbench.bench.experiments.settings import Training
from seqbench.tasks.base import Batch, Continuous, Pair, Split, Task
from torch import Tensor

every_task = pytest.mark.parametrize("task", TASKS)
every_model = pytest.mark.parametrize("model", MODELS)
every_pair = pytest.mark.parametrize(("task", "model"), covering())
"""A task with a model. Those of a source and a target are asked what follows from one sequence in test_pair_models."""
each_task_and_model = pytest.mark.parametrize(("task", "model"), each_once())
"""Fewer pairs, for what a task or a model can break by itself, whatever the other is."""
every_sequence = pytest.mark.parametrize(
    ("task", "model"), [(task, model) for task, model in covering() if not registry.find("model", model).pairs]
)
pytestmark = pytest.mark.usefixtures("miniature_data", "thread")


def random_states() -> list[Any]:
    """The global random states that a benchmark must leave alone."""
    name, keys, *rest = np.random.get_state()
    return [torch.get_rng_state().tolist(), name, keys.tolist(), rest, random.getstate()]


def answers(task: str, model: str, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the body is shown (B, T, C), a leaf; its features (B, T, W); the head's answer at every step (B, T, O)."""
    network = built(task, model).eval()
    shown = inputs if network.embedding is None else network.embedding(inputs)
    shown = shown.detach().requires_grad_()
    features, _ = network.body(shown)
    return shown, features, numbers(network.head(features))


def reads_of(task: Task, batch: Batch) -> int | Tensor | None:
    """How many of the last steps are read, or which (B, R)."""
    return task.reads if batch.reads is None else batch.reads


def spread(split: Split, count: int = 5) -> Tensor:
    """Examples from all over a split, the first and the last among them."""
    return torch.linspace(0, len(split) - 1, min(count, len(split))).long()


def test_every_file_is_found() -> None:
    root = registry.ROOT
    for kind, found in (("tasks", TASKS), ("models", MODELS)):
        holding = {
            path.stem for path in (root / kind).glob("*.py") if f"\nclass {kind[:-1].title()}(" in path.read_text()
        }
        assert {name.replace("-", "_") for name in found} == holding - {"base"}
    assert {"rnn", "lstm", "gru", "tcn"} <= set(MODELS)
    assert {"adding", "copy-memory", "sequential-mnist", "permuted-mnist", "jsb", "nottingham"} <= set(TASKS)
    assert {"ptb-word", "ptb-char", "text8", "wikitext-103", "lambada"} <= set(TASKS)


def test_each_model_meets_each_kind_of_task_and_each_task_two_models() -> None:
    pairs = covering()
    for model in MODELS:
        met_kinds = {kind_of(task) for task, met in pairs if met == model}
        assert met_kinds == {kind_of(task) for task in TASKS if fits(task, model)}
    for task in TASKS:
        assert len([model for met, model in pairs if met == task]) >= 2
    assert len(pairs) == len(set(pairs))
    assert all(fits(*pair) for pair in pairs)


@every_task
def test_batches_have_the_declared_shapes(task: str) -> None:
    made = small(task)
    for name, split in splits(task)._asdict().items():
        batch, lengths = some(split, 3), split.lengths
        if isinstance(made.input, Pair):  # see test_pair_tasks
            continue
        longest = made.steps if lengths is None else int(lengths[:3].max())
        assert len(batch.targets) == 3
        if isinstance(made.input, Continuous):
            assert longest <= made.steps
            assert batch.inputs.shape == (3, longest, made.input.channels)
            assert batch.inputs.dtype == torch.float32
            assert batch.inputs.isfinite().all()
            assert (batch.mask is None) == (lengths is None)
            if batch.mask is not None and lengths is not None:
                assert batch.mask.shape == (3, longest)
                assert batch.mask.sum(1).tolist() == lengths[:3].tolist()
        else:
            assert batch.inputs.shape == (3, longest)
            reads = reads_of(made, batch)
            answers = reads.shape[1] if isinstance(reads, Tensor) else longest if reads is None else reads
            assert batch.targets.shape == (3, answers)
            for symbols, many in ((batch.inputs, made.input.vocabulary), (batch.targets, made.outputs)):
                assert symbols.dtype == torch.int64
                assert 0 <= symbols.min() <= symbols.max() < many
            assert batch.mask is None or batch.mask.shape == batch.targets.shape
            if made.predicts_input:  # a text: the words of its held-out parts are scored by group
                assert made.input.vocabulary == made.outputs
                assert (batch.mask is None) == (batch.group is None) == (name == "train")
                assert name == "train" or batch.group.shape == batch.targets.shape
        assert batch.mask is None or batch.mask.dtype == torch.bool


@every_task
def test_the_length_option_is_the_only_one_that_another_length_changes(task: str) -> None:
    made = small(task)
    if made.length_option is None:
        with pytest.raises(ValueError, match="the length is given by the data"):
            made.at_length(9)
        return
    own, longer = made.options(), made.at_length(made.options()[made.length_option] + 3)
    assert [name for name, value in longer.options().items() if value != own[name]] == [made.length_option]
    assert longer.steps > made.steps


@every_pair
def test_outputs_loss_and_totals(task: str, model: str) -> None:
    made, network = small(task), built(task, model).eval()
    for split in splits(task):
        batch = some(split)
        if isinstance(made.input, Pair):
            with torch.no_grad():
                outputs = read(network, batch)
            assert numbers(outputs).shape == (*batch.targets.shape, made.outputs)
            assert_judged(made, outputs, batch)
            continue
        examples, steps = batch.inputs.shape[:2]
        reads = reads_of(made, batch)
        with torch.no_grad():
            _, features, everywhere = answers(task, model, batch.inputs)
            outputs, _ = network(batch.inputs, None, batch.reads)
        assert features.shape == (examples, steps, network.body.features)
        if isinstance(reads, Tensor):
            asked = torch.stack([said[steps] for said, steps in zip(everywhere, reads, strict=True)])
        else:
            asked = everywhere if reads is None else everywhere[:, steps - reads :]
        assert numbers(outputs).shape == (*asked.shape[:2], made.outputs)
        torch.testing.assert_close(numbers(outputs), asked.detach())
        assert_judged(made, outputs, batch)


def assert_judged(task: Task, outputs: Any, batch: Batch) -> None:
    """A task gives a loss and the totals of all its metrics for the answers to a batch."""
    loss = task.loss(outputs, batch)
    assert loss.shape == ()
    assert loss.isfinite()
    totals = task.totals(outputs, batch)
    assert set(totals) == {metric.name for metric in task.metrics}
    for metric in task.metrics:
        total, count = totals[metric.name]
        assert 0 <= float(count) <= batch.inputs.shape[:2].numel()
        assert np.isfinite(metric.value(float(total), float(count))) == (float(count) > 0)
    assert float(totals[task.metrics[0].name][1]) > 0


@each_task_and_model
def test_totals_are_sums_over_examples(task: str, model: str) -> None:
    """So that a score does not depend on how examples are batched, nor on what pads them."""
    made, network, split = small(task), built(task, model).eval(), splits(task).test
    chosen = spread(split)
    batches = [split.batch(chosen), *(split.batch(one[None]) for one in chosen)]
    with torch.no_grad():
        together, *alone = (made.totals(read(network, batch), batch) for batch in batches)
    for name, (total, count) in together.items():
        assert float(count) == sum(float(one[name][1]) for one in alone)
        assert float(total) == pytest.approx(sum(float(one[name][0]) for one in alone), rel=1e-4)


@every_sequence
def test_no_answer_depends_on_a_later_input(task: str, model: str) -> None:
    inputs = some(splits(task).train, 2).inputs
    if not built(task, model).body.causal:
        pytest.skip("the model says that it is not causal")
    shown, features, outputs = answers(task, model, inputs)
    steps = inputs.shape[1]
    for t in sorted({0, steps // 3, steps - 2}):
        for made in (features, outputs):
            (gradient,) = torch.autograd.grad(made[:, t].square().sum(), shown, retain_graph=True)
            assert not gradient[:, t + 1 :].any(), f"what is said at {t} depends on later inputs"
            assert gradient[:, : t + 1].any()
        changed = torch.cat([inputs[:, : t + 1], inputs[:, t + 1 :].flip(0)], 1)
        torch.testing.assert_close(answers(task, model, changed)[2][:, : t + 1], outputs[:, : t + 1])


@every_sequence
def test_pieces_give_what_the_whole_gives(task: str, model: str) -> None:
    network, inputs = built(task, model).eval(), some(splits(task).valid).inputs
    if not network.body.causal:
        pytest.skip("the model says that it is not causal")
    steps, draw = inputs.shape[1], random.Random(f"{task} {model}")
    with torch.no_grad():
        whole = numbers(network(inputs, None, steps)[0])
        for count in (1, 3):
            cuts = sorted(draw.sample(range(1, steps), count))
            pieces, state = [], None
            for start, end in zip([0, *cuts], [*cuts, steps], strict=True):
                outputs, state = network(inputs[:, start:end], state, end - start)
                pieces.append(numbers(outputs))
            together, rounding = torch.cat(pieces, 1), 1e-5 * max(1.0, float(whole.abs().max()))
            assert float((together - whole).abs().max()) <= rounding, f"cut at {cuts}"


@every_pair
def test_the_loss_falls_and_every_parameter_learns(task: str, model: str) -> None:
    """A fifth of the loss on one batch within 50 steps."""
    made, network, batch = small(task), built(task, model), some(splits(task).train)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    first, last = None, torch.inf
    for step in range(50):
        optimizer.zero_grad()
        loss = made.loss(read(network, batch), batch)
        last = loss.item()
        first = last if first is None else first
        if last <= 0.8 * first:
            break
        loss.backward()
        if step == 0:
            for name, parameter in network.named_parameters():
                assert parameter.grad is not None, name
                assert parameter.grad.isfinite().all(), name
                assert parameter.grad.any(), name
        optimizer.step()
    assert first is not None
    assert last <= 0.8 * first


@each_task_and_model
def test_a_training_run_ends_with_finite_scores(task: str, model: str) -> None:
    run = replace(run_of(task, model), training=Training(epochs=1, batch=8))
    outcome = train(run)
    assert outcome.status == "done"
    untrained, point = outcome.progress.curve
    assert (untrained["epoch"], point["epoch"]) == (0, 1)
    metrics = small(task).metrics
    assert set(point["test"]) == {metric.name for metric in metrics}
    assert metrics[0].name in point["valid"]
    assert np.isfinite([point["train_loss"], *point["valid"].values(), *point["test"].values()]).all()
    before, after = built(task, model).state_dict(), outcome.network.state_dict()
    assert [name for name in before if torch.equal(before[name], after[name])] == []


@each_task_and_model
def test_global_random_states_are_left_alone(task: str, model: str) -> None:
    before = random_states()
    made, network = small(task), built(task, model)
    batch = some(made.load(3).train)
    made.loss(read(network, batch), batch).backward()
    assert random_states() == before


@each_task_and_model
def test_global_random_states_change_nothing(task: str, model: str) -> None:
    def made() -> list[str]:
        data = some(small(task).load(3).train)
        return [fingerprints.of_tensors(data), *fingerprints.of_pair(task, model).values()]

    first = made()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12345)
        assert made() == first


def test_the_same_bits_in_another_process(miniature_folder: Path) -> None:
    script = Path(fingerprints.__file__)
    command = [sys.executable, str(script), str(miniature_folder)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr
    theirs, ours = json.loads(ended.stdout), fingerprints.of_all()
    assert len(ours) == len(TASKS) + len(covering())
    assert theirs == ours


@every_task
def test_what_a_seed_changes(task: str) -> None:
    """The test split never; training and validation data where they are generated; order and weights always."""
    zero, one = (fingerprints.of_data(task, seed) for seed in (0, 1))
    assert zero["test"] == one["test"]
    generated = not registry.find("task", task).remotes
    assert (zero["train"] != one["train"]) == generated
    assert (zero["valid"] != one["valid"]) == generated
    assert len(set(zero.values())) == 3, "two splits hold the same"


@every_model
def test_a_seed_changes_the_first_weights(model: str) -> None:
    task = next(task for task in TASKS if fits(task, model))
    weights = [fingerprints.of_tensors(built(task, model, seed).state_dict().values()) for seed in (0, 0, 1)]
    assert weights[0] == weights[1] != weights[2]
