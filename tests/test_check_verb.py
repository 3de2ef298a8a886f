"""`seqbench check` of models: the suite's and people's own keep the contract, and those that break a rule are found."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import own_models
import pytest
import torch
from checked import SMALL, SMALL_PAIRS, broken, items
from command import seqbench
from seqbench.bench.contract import fitting
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import registry
from seqbench.models.base import Model, State
from seqbench.tasks import base
from torch import Tensor, nn


@pytest.mark.parametrize("name", registry.listing("model"))
def test_the_suites_models_keep_the_contract(name: str) -> None:
    pairs = registry.find("model", name).pairs
    found = items(name, SMALL_PAIRS if pairs else SMALL)
    others = {asked for asked, item in found.items() if item.verdict not in ("kept", "not asked")}
    noted = set() if registry.find("model", name).causal is True else {"causality"}
    assert others == noted, [str(item) for item in found.values()]
    assert len(found) == (13 if pairs else 12)


def test_peoples_own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with heads, in eights, plain, with Dropout and with dropout in an LSTM; what they do not tell is noted."""
    monkeypatch.chdir(own_models.write(tmp_path))
    noted = {}
    for name in own_models.NAMES:
        found = items(name, SMALL)
        assert not broken(found), [str(item) for item in found.values() if item.verdict == "broken"]
        noted[name] = {item.name for item in found.values() if item.verdict == "remark"}
        assert found["pieces"].verdict == (
            "kept" if name in ("eights.py", "plain.py:Net", "stacked.py") else "not asked"
        )
    assert noted == {
        "heads.py": {"state", "reach"},
        "eights.py": set(),
        "plain.py:Net": {"state", "reach"},
        "drops.py:Net": {"state", "reach"},
        "stacked.py": set(),
    }
    assert broken(items("symmetric.py:Net", SMALL)) == {"causality"}


class Sound(Model):
    """A leaky average, from which those below differ in one thing."""

    def __init__(self, channels: int, *, width: int = 6) -> None:
        super().__init__()
        self.map = nn.Linear(channels, width)
        self.features = self.state_size = width
        self.receptive_field: Any = None
        self.macs_per_step = channels * width

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        memory = inputs.new_zeros(len(inputs), self.features) if state is None else state
        steps = []
        for step in self.changed(self.map(inputs)).unbind(1):
            memory = 0.5 * memory + step
            steps.append(memory)
        return torch.stack(steps, 1), memory

    def changed(self, features: Tensor) -> Tensor:
        return features


class Mixing(Sound):
    def changed(self, features: Tensor) -> Tensor:
        return features - features.mean(0, keepdim=True)


class Later(Sound):
    """By a greatest value, which has no gradient at most places."""

    def changed(self, features: Tensor) -> Tensor:
        return features + features.detach().amax(1, keepdim=True)


class Forgetful(Sound):
    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        return super().forward(inputs)


class Miscounted(Sound):
    def __init__(self, channels: int, *, width: int = 6) -> None:
        super().__init__(channels, width=width)
        self.state_size = 3


class Short(Sound):
    def __init__(self, channels: int, *, width: int = 6) -> None:
        super().__init__(channels, width=width)
        self.receptive_field = 4


COUNT = itertools.count()


class Outside(Sound):
    """It keeps something outside of the module."""

    def changed(self, features: Tensor) -> Tensor:
        return features * (1 + 0.01 * (next(COUNT) % 97)) if self.training else features


class Attribute(Sound):
    """It keeps something where no checkpoint holds it."""

    def __init__(self, channels: int, *, width: int = 6) -> None:
        super().__init__(channels, width=width)
        self.steps = 0

    def changed(self, features: Tensor) -> Tensor:
        self.steps += self.training
        return features / (1 + 0.1 * self.steps) if self.training else features


class Idle(Sound):
    def __init__(self, channels: int, *, width: int = 6) -> None:
        super().__init__(channels, width=width)
        self.unused = nn.Linear(width, width)


class Shapeless(Sound):
    def forward(self, inputs: Tensor, state: State = None) -> Any:
        return super().forward(inputs, state)[0]


class Deaf(Sound):
    """Its features depend on no input, and are too small to learn from."""

    def changed(self, features: Tensor) -> Tensor:
        return 1e-12 * features


@pytest.mark.parametrize(
    ("model", "expected", "remedy"),
    [
        (Sound, set(), ""),
        (Mixing, {"examples"}, "nothing may be computed over the batch in evaluation"),
        (Later, {"causality"}, "pad a convolution on its left alone"),
        (Forgetful, {"pieces"}, "forward must go on from the state that it is given"),
        (Miscounted, {"state"}, "self.state_size counts the numbers"),
        (Short, {"reach"}, "self.receptive_field is how many steps"),
        (Outside, {"same bits twice"}, "nothing may be kept outside of the module"),
        (Attribute, {"same bits after a stop"}, "must be in parameters and buffers"),
        (Idle, {"gradients"}, "they count as parameters and learn nothing"),
        (Shapeless, {"shapes"}, "a pair (features, state) is needed"),
    ],
)
def test_each_rule_that_is_broken_is_found_and_says_what_to_do(
    model: type[Model], expected: set[str], remedy: str
) -> None:
    found = items(f"test_check_verb:{model.__name__}", SMALL)
    assert broken(found) >= expected
    if model not in (Later, Outside, Shapeless):  # of these other items cannot be kept either
        assert broken(found) == expected
    for name in expected:
        assert remedy in str(found[name])
        assert "\n" not in str(found[name])
        assert "test_check_verb.py:" in found[name].found


def test_a_model_that_does_not_learn_is_found() -> None:
    found = items("test_check_verb:Deaf", "adding(length=8, train=32, valid=8, test=8)")
    assert "learning" in broken(found) or found["learning"].verdict == "kept"
    assert "gradients" not in broken(found)


# The verb.


def test_the_verb_says_a_line_for_each_thing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own_models.write(tmp_path))
    told = seqbench("check", "symmetric.py:Net", "--task", SMALL, "--no-speed")
    assert told.code == 1
    lines = told.out.splitlines()
    assert lines[0] == "model symmetric.py:Net on copy-memory(delay=3, train=32, valid=8, test=8)"
    assert [line[2:6] for line in lines[1:-1]].count("FAIL") == 1
    assert lines[-1] == "1 broken"
    found = json.loads(seqbench("check", "eights.py", "--task", SMALL, "--no-speed", "--json").out)
    assert found[0]["kind"] == "model"
    assert {item["name"] for item in found[0]["items"]} >= {"shapes", "causality", "pieces", "same bits twice"}
    assert seqbench("check", "nothing.py").code == 2


def test_speed_stands_beside_the_suites_models(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: entry for name, entry in registry.listing("model").items() if name in ("rnn", "gru")}
    monkeypatch.setattr(
        registry, "listing", lambda kind, whole=registry.listing: few if kind == "model" else whole(kind)
    )
    (subject,) = fitting.check("test_check_verb:Sound", [SMALL])
    (speed,) = (item for item in subject.items if item.name == "speed")
    assert "a training step of" in speed.found
    assert "gru " in speed.found
    assert "rnn " in speed.found


def test_what_a_name_means(tmp_path: Path) -> None:
    assert fitting.kinds_of("gru") == ["model"]
    assert fitting.kinds_of("adding") == ["task"]
    both = tmp_path / "both.py"
    both.write_text(
        "from seqbench.models.gru import Model as Model\nfrom seqbench.tasks.adding import Task as Task\n", "utf-8"
    )
    assert fitting.kinds_of("both.py", tmp_path) == ["model", "task"]
    both.write_text("", "utf-8")
    (tmp_path / "neither.py").write_text("", "utf-8")
    with pytest.raises(UsageError, match=r"holds no class Model .*; nor a task: .* holds no class Task"):
        fitting.kinds_of("neither.py", tmp_path)


def test_by_default_there_is_a_task_for_each_kind_of_input() -> None:
    chosen = [task for _, task in fitting._usual()]
    assert {type(task.input) for task in chosen} == {base.Continuous, base.Tokens}
    assert all(task.asks_causality for task in chosen)
    assert [type(task.input) for _, task in fitting._usual(pairs=True)] == [base.Pair]
