"""Parameters that a model exempts from weight decay or trains at a rate of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from seqbench.bench import api
from seqbench.bench.engine import training
from seqbench.bench.engine.checkpoint import Checkpoint
from seqbench.bench.engine.steps import TrainingStep
from seqbench.bench.experiments.settings import Training
from seqbench.models import gru
from seqbench.models.base import ParameterGroup
from seqbench.models.heads import Linear
from seqbench.models.network import Network
from torch import nn

TASK = "adding(length=4, train=24, valid=4, test=4)"
FACTOR = 0.125
SOURCE = """
from seqbench.models import gru
from seqbench.models.base import ParameterGroup


class Model(gru.Model):
    def parameter_groups(self):
        biases = [parameter for parameter in self.parameters() if parameter.dim() == 1]
        return [ParameterGroup(biases, learning_rate_factor=0.125, decays=False)]
"""


class Slow(gru.Model):
    """A GRU whose biases are trained more slowly, and without weight decay."""

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        biases = [parameter for parameter in self.parameters() if parameter.dim() == 1]
        return [ParameterGroup(biases, learning_rate_factor=FACTOR, decays=False)]


def network(model: type[gru.Model]) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Network(model(2, width=3), Linear(3, 1), 1)


def test_a_model_without_groups_is_one_group_and_its_optimizer_is_that_of_all_parameters() -> None:
    made = network(gru.Model)
    (usual,) = made.parameter_groups()
    assert [id(one) for one in usual.parameters] == [id(one) for one in made.parameters()]
    for in_graph in (False, True):
        grouped, plain = (
            Training().make_optimizer(parameters, in_graph=in_graph)
            for parameters in (made.parameter_groups(), made.parameters())
        )
        for group, other in zip(grouped.param_groups, plain.param_groups, strict=True):
            assert group.keys() == other.keys()
            assert all(group[key] == other[key] for key in group if key != "params")
            assert [id(one) for one in group["params"]] == [id(one) for one in other["params"]]


def test_every_parameter_stands_in_one_group() -> None:
    made = network(Slow)
    usual, slow = made.parameter_groups()
    assert {id(one) for one in made.body.parameters() if one.dim() == 1} == {id(one) for one in slow.parameters}
    named = [id(one) for group in (usual, slow) for one in group.parameters]
    assert sorted(named) == sorted(id(one) for one in made.parameters())
    assert slow[1:] == (FACTOR, False)
    assert usual[1:] == (1.0, True)


@pytest.mark.parametrize(
    ("optimizer", "in_graph"),
    [
        *((optimizer, False) for optimizer in ("sgd", "adam", "adamw", "rmsprop", "adagrad")),
        *((optimizer, True) for optimizer in ("sgd", "adam", "adamw", "adagrad")),  # torch's RMSprop needs a GPU there
    ],
)
def test_factor_and_exemption_act_also_after_a_new_rate(optimizer: Any, in_graph: bool) -> None:
    """Each group must move as a lone optimizer in float64 moves it at that rate and with that decay."""
    settings: dict[str, Any] = {"optimizer": optimizer, "learning_rate": 0.03125, "weight_decay": 0.25}
    run = api.make_run(TASK, "gru(width=3)", **settings)
    made = network(Slow).double()
    usual, slow = made.parameter_groups()
    expected = [[nn.Parameter(one.detach().clone()) for one in group.parameters] for group in (usual, slow)]
    together = run.training.make_optimizer(made.parameter_groups(), in_graph=in_graph)
    task = run.make_task()
    step = TrainingStep(run, task, task.load(0).train, made, together)
    alone = [
        Training(**{**settings, "learning_rate": 0.03125 * factor, "weight_decay": decay}).make_optimizer(copies)
        for copies, factor, decay in zip(expected, (1.0, FACTOR), (0.25, 0.0), strict=True)
    ]
    draw = torch.Generator().manual_seed(1)
    for rate in (0.03125, 0.03125, 0.0078125):
        step.set_rate(rate)
        for optimizer_alone, factor in zip(alone, (1.0, FACTOR), strict=True):
            for group in optimizer_alone.param_groups:
                group["lr"] = rate * factor
        for group, copies in zip((usual, slow), expected, strict=True):
            for parameter, copy in zip(group.parameters, copies, strict=True):
                parameter.grad = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
                copy.grad = parameter.grad.clone()
        together.step()
        for optimizer_alone in alone:
            optimizer_alone.step()
    for group, copies in zip((usual, slow), expected, strict=True):
        for parameter, copy in zip(group.parameters, copies, strict=True):
            torch.testing.assert_close(parameter, copy, rtol=1e-12, atol=1e-12)


def test_one_step_of_plain_descent_by_hand() -> None:
    """w - rate * (gradient + decay * w) for most, w - rate * factor * gradient for the group."""
    parameters = [nn.Parameter(torch.tensor([2.0], dtype=torch.float64)) for _ in range(2)]
    groups = [ParameterGroup([parameters[0]]), ParameterGroup([parameters[1]], learning_rate_factor=0.5, decays=False)]
    made = Training(optimizer="sgd", learning_rate=0.1, weight_decay=0.3).make_optimizer(groups)
    for parameter in parameters:
        parameter.grad = torch.tensor([1.0], dtype=torch.float64)
    made.step()
    assert [one.item() for one in parameters] == pytest.approx([2 - 0.1 * (1 + 0.3 * 2), 2 - 0.05], rel=1e-12)


def test_decoupled_decay_by_hand() -> None:
    """AdamW: w (1 - rate * decay) - rate * sign(gradient) in the first step, where Adam's two means cancel."""
    parameter = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    made = Training(optimizer="adamw", learning_rate=0.1, weight_decay=0.3).make_optimizer([parameter])
    parameter.grad = torch.tensor([5.0], dtype=torch.float64)
    made.step()
    assert parameter.item() == pytest.approx(2 * (1 - 0.1 * 0.3) - 0.1, rel=1e-8)


def test_a_run_with_groups_goes_on_to_the_bit(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SOURCE)
    settings: dict[str, Any] = {"epochs": 3, "batch": 8, "weight_decay": 0.1, "schedule": "step(every=1, by=0.5)"}
    run = api.make_run(TASK, f"{tmp_path}/slow.py:Model(width=3)", **settings)
    whole = training.train(run)
    asked = 0

    def stop_in_the_second_epoch() -> bool:
        nonlocal asked
        asked += 1
        return asked == 6

    with Checkpoint(tmp_path / "checkpoint.pt") as checkpoint:
        with pytest.raises(training.Stopped):
            training.train(run, checkpoint=checkpoint, should_stop=stop_in_the_second_epoch)
        resumed = training.train(run, checkpoint=checkpoint)
    assert resumed.progress.resumed == 1
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    usual = training.train(api.make_run(TASK, "gru(width=3)", **settings))
    assert not torch.equal(whole.network.state_dict()["head.bias"], usual.network.state_dict()["head.bias"])


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        (lambda body: [ParameterGroup([body.first, body.first])], "a parameter of shape (2,) stands in two groups"),
        (lambda body: [ParameterGroup([nn.Parameter(torch.zeros(5))])], "a parameter of shape (5,) is not one of"),
        (lambda body: [ParameterGroup([body.first], -1.0)], "learning_rate_factor=-1.0: at least 0 is needed"),
    ],
)
def test_groups_that_cannot_be_are_refused(groups: Any, said: str) -> None:
    class Odd(gru.Model):
        def parameter_groups(self) -> Sequence[ParameterGroup]:
            return groups(self)

    made = network(Odd)
    made.body.first = nn.Parameter(torch.zeros(2))  # type: ignore[assignment]
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        made.parameter_groups()
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
