"""Examples of different lengths in one batch, each read at its own last step: padding must change nothing."""

from __future__ import annotations

import pytest
import torch
from fingerprints import MODELS, numbers
from recording import RecordingLane, train_in
from seqbench.bench import api
from seqbench.bench.engine.evaluation import evaluate
from seqbench.bench.engine.lanes import HostLane
from seqbench.bench.experiments.registry import find
from seqbench.bench.measuring import gradient_flow
from seqbench.models.network import Network
from seqbench.tasks.base import Batch
from torch import Tensor

HEADS = [
    ("varying:Parity", "linear"),
    ("varying:Said", "softmax"),
    ("varying:Said", "tied"),
    ("varying:Said", "adaptive(cutoffs=[3])"),
]
READING_ONE = [model for model in MODELS if not find("model", model).pairs]
PAIRS = [(*pair, MODELS[0]) for pair in HEADS] + [(*HEADS[i % 4], one) for i, one in enumerate(READING_ONE) if i]
"""Every head with one model, every model with one head."""
every_pair = pytest.mark.parametrize(("task", "head", "model"), PAIRS)


def made(task: str, head: str, model: str) -> tuple[api.Run, Network]:
    small = find("model", model).test_parameters
    options = ", ".join(f"{name}={value}" for name, value in small.items() if not isinstance(value, str))
    run = api.make_run(task, f"{model}({options})" if options else model, head=head, epochs=2, batch=8)
    return run, run.make_network(run.make_task())


def gradients(network: Network, loss: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    loss.backward()
    return {name: part.grad.clone() for name, part in network.named_parameters() if part.grad is not None}


def in_dtype(batch: Batch, dtype: torch.dtype) -> Batch:
    inputs, targets = (part.to(dtype) if part.is_floating_point() else part for part in (batch.inputs, batch.targets))
    return batch._replace(inputs=inputs, targets=targets)


def assert_alike(found: list[Tensor], expected: list[Tensor], rounding: float) -> None:
    """They differ by no more than `rounding` times the largest number that is expected of all of them."""
    largest = max(float(part.detach().abs().max()) for part in expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=rounding * largest)


@every_pair
def test_answers_and_gradients_of_a_padded_batch_are_those_of_each_example_alone(
    task: str, head: str, model: str
) -> None:
    run, network = made(task, head, model)
    toy, split = run.make_task(), run.make_task().load(0).train
    index = torch.arange(8)
    assert split.lengths is not None
    assert len(set(split.lengths[index].tolist())) > 3
    # Sums are rounded in another order where a batch has another shape. What that does to a number goes by the largest
    # ones that it was summed from, not by its own size; float64 tells it from a fault, which would not shrink.
    for dtype, rounding in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        network.eval().to(dtype)
        alone = [in_dtype(split.batch(one[None]), dtype) for one in index]
        assert [one.inputs.shape[1] for one in alone] == split.lengths[index].tolist()
        for extent in (int(split.lengths[index].max()), 15):
            batch = in_dtype(split.laid_out(index, extent), dtype)
            whole = lambda inputs, reads, lengths=None: network(inputs, None, reads)[0]  # noqa: E731
            for answer in (network.read, whole) if network.body.causal else (network.read,):
                expected = torch.cat([numbers(answer(one.inputs, one.reads)) for one in alone])
                assert_alike([numbers(answer(batch.inputs, batch.reads, batch.lengths))], [expected], rounding)
                own = torch.cat([numbers(answer(one.inputs, 1)) for one in alone])  # the plain last step
                assert_alike([expected], [own], rounding)
                together = gradients(network, toy.loss(answer(batch.inputs, batch.reads, batch.lengths), batch))
                apart = gradients(network, torch.stack([toy.loss(answer(one.inputs, 1), one) for one in alone]).mean())
                assert together.keys() == apart.keys()
                assert_alike(list(together.values()), list(apart.values()), rounding)


@every_pair
def test_an_evaluation_is_that_of_each_example_alone(task: str, head: str, model: str) -> None:
    run, network = made(task, head, model)
    toy, split = run.make_task(), run.make_task().load(0).test
    found = evaluate(network, toy, split, torch.device("cpu"))
    network.eval()
    totals = []
    for place in range(len(split)):
        batch = split.batch(torch.tensor([place]))
        with torch.no_grad():
            totals.append(toy.totals(network.read(batch.inputs, 1), batch))
    for name, score in found.items():
        assert score == pytest.approx(sum(float(one[name][0]) for one in totals) / len(split), rel=1e-6)


@pytest.mark.parametrize("task", ["varying:Parity", "varying:Said"])
@pytest.mark.parametrize("model", ["gru(width=4)", "tcn(width=4, kernel=2, levels=2)"])
def test_a_training_is_the_same_where_steps_are_captured_and_padded_to_a_few_lengths(task: str, model: str) -> None:
    run = api.make_run(task, model, epochs=2, batch=8, learning_rate=0.01)
    one, other = train_in(RecordingLane(), run), train_in(HostLane(), run)
    assert one.uncaptured == ""
    for mine, theirs in zip(one.progress.curve, other.progress.curve, strict=True):
        assert mine["valid"]["loss"] == pytest.approx(theirs["valid"]["loss"], rel=1e-3)


def test_the_flow_of_gradients_starts_at_each_examples_own_last_step() -> None:
    run, network = made("varying:Parity", "linear", "gru")
    split = run.make_task().load(0).test
    norms = gradient_flow.gradient_norms(network, run.make_task(), split, examples=6)
    assert split.lengths is not None
    assert len(norms) == int(split.lengths[:6].min()) - 1
    assert bool((norms > 0).all())
