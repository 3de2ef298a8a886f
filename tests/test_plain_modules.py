"""Plain `nn.Module`s as models: what is measured, what is unknown, and what is said of those that do not fit."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import own_models
import pytest
import torch
from seqbench.bench import api, sampling, seeding
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import networks, registry
from seqbench.bench.experiments.describing import facts_of
from seqbench.bench.experiments.options import options_of
from seqbench.bench.measuring.gradient_flow import gradient_norms
from seqbench.models._plain_module import PlainModule
from seqbench.models.base import UNKNOWN
from torch import Tensor, nn

TASK = "copy-memory(delay=3, train=16, valid=8, test=8)"


class Plain(nn.Module):
    """A linear map."""

    def __init__(self, channels, width=6, scale=1, bias=True, rate: float = 0.5, kind="tanh", mixed=None):  # type: ignore[no-untyped-def]
        super().__init__()
        self.map = nn.Linear(channels, width, bias=bias)
        self.scale = scale

    def forward(self, x: Tensor) -> Any:
        return self.scale * self.map(x)


class Stateful(nn.Module):
    """By hand, with numbers that it needs while it is made; the width has no default."""

    def __init__(self, n_in: int, *, hidden: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(n_in, hidden)
        self.noise = float(torch.rand(1).item() + np.random.rand() + random.random())
        if hidden % 4:
            raise ValueError(f"hidden={hidden}: a multiple of 4 is needed")

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        memory = x.new_zeros(len(x), self.cell.hidden_size) if state is None else state
        steps = []
        for step in x.unbind(1):
            memory = self.cell(step, memory)
            steps.append(memory)
        return torch.stack(steps, 1), memory


class Telling(Stateful):
    """One that says what it can of its size, as a model does."""

    sized_by = "hidden"
    version = 3

    def __init__(self, n_in: int, *, hidden: int = 8) -> None:
        super().__init__(n_in, hidden=hidden)
        self.state_size, self.receptive_field, self.macs_per_step = hidden, None, 3 * hidden * (hidden + n_in)
        self.features = nn.Identity()  # of another meaning


class Both(nn.Module):
    """It gives two things, of which it takes none: no state."""

    def __init__(self, channels: int, width: int = 6) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(width, 1, batch_first=True)
        self.map = nn.Linear(channels, width)

    def forward(self, x: Tensor) -> Any:
        x = self.map(x)
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        return self.layer(x, x, x, attn_mask=mask)


class Last(Plain):
    def forward(self, x: Tensor) -> Any:
        return self.map(x)[:, -1]


class Exchanged(Plain):
    def forward(self, x: Tensor) -> Any:
        return self.map(x).transpose(0, 1)


class Named(Plain):
    def forward(self, x: Tensor) -> Any:
        return {"features": self.map(x)}


class Three(Plain):
    def forward(self, x: Tensor) -> Any:
        return self.map(x), None, x


class Failing(Plain):
    def forward(self, x: Tensor) -> Any:
        return self.map(x.flatten(1))


class Widthless(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.map = nn.Linear(channels, 5)

    def forward(self, x: Tensor) -> Any:
        return self.map(x)


class Nothing(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x


def model(name: type[nn.Module]) -> type[PlainModule]:
    found: type[PlainModule] = registry.find("model", f"test_plain_modules:{name.__name__}")
    return found


def test_options_are_those_of_the_constructor() -> None:
    """All but the first argument; of those without an annotation the default tells the type."""
    known = options_of(model(Plain))
    assert [*known] == ["width", "scale", "bias", "rate", "kind", "mixed"]
    _, options = registry.resolve("model", api.parse("test_plain_modules:Plain(scale=0.5, mixed=[1, 2])"))
    assert options == {"width": 6, "scale": 0.5, "bias": True, "rate": 0.5, "kind": "tanh", "mixed": [1, 2]}
    for wrong in ("width=wide", "bias=3", "rate=x", "kind=3"):
        with pytest.raises(UsageError, match=f"{wrong.partition('=')[0]}="):
            registry.resolve("model", api.parse(f"test_plain_modules:Plain({wrong})"))
    with pytest.raises(UsageError, match="needs the option hidden"):
        registry.resolve("model", api.parse("test_plain_modules:Stateful"))


@pytest.mark.parametrize(("cls", "option"), [(Plain, "width"), (Stateful, "hidden"), (Telling, "hidden")])
def test_its_width_meets_a_budget(cls: type[nn.Module], option: str) -> None:
    found = model(cls)
    assert found.sized_by == option
    run = api.make_run(TASK, f"test_plain_modules:{cls.__name__}", parameters=2000, tolerance=0.2)
    network = run.make_network(run.make_task())
    assert abs(network.parameter_count / 2000 - 1) < 0.2
    assert network.body.features == run.model.options[option]


def test_what_is_not_told_is_unknown() -> None:
    body = model(Plain)(2, width=7)
    assert (body.features, body.streamed, body.causal) == (7, False, True)
    assert (body.state_size, body.receptive_field, body.macs_per_step) == (UNKNOWN, UNKNOWN, UNKNOWN)
    body = model(Telling)(2, hidden=8)
    assert (body.features, body.streamed, body.version) == (8, True, 3)
    assert (body.state_size, body.receptive_field, body.macs_per_step) == (8, None, 240)
    facts = facts_of(TASK, "test_plain_modules:Plain", 500, 0.5)
    assert facts["state_size"] == facts["receptive_field"] == facts["macs_per_sequence"] == "unknown"
    assert facts_of(TASK, "test_plain_modules:Telling", 500, 0.5)["macs_per_sequence"] > 0
    row = api.train(api.make_run(TASK, "test_plain_modules:Plain", epochs=1, batch=8))
    assert row.network.body.state_size_after(7) == UNKNOWN


def test_it_is_streamed_where_it_takes_and_gives_a_state() -> None:
    body = model(Stateful)(3, hidden=8).eval()
    inputs = torch.randn(2, 9, 3)
    whole, _ = body(inputs)
    first, state = body(inputs[:, :4])
    second, _ = body(inputs[:, 4:], state)
    assert torch.allclose(torch.cat([first, second], 1), whole, atol=1e-6)
    stateless = model(Both)(3)
    features, state = stateless(inputs)
    assert (features.shape, state, stateless.streamed) == ((2, 9, 6), None, False)
    with pytest.raises(ValueError, match="Both has no state, so it cannot go on from one"):
        stateless(inputs, features)


def test_to_make_one_leaves_no_draw_but_its_own() -> None:
    """What its trial call draws is given back, on paper also what its constructor draws."""
    names, cpu = ("python", "numpy", "torch"), torch.device("cpu")
    before = seeding.states(names, cpu)
    api.make_run(TASK, "test_plain_modules:Stateful", parameters=2000, tolerance=0.2)
    assert seeding.same(seeding.states(names, cpu), before)
    numbers = []
    for name in ("Noisy", "Quiet"):
        torch.manual_seed(0)
        model(globals()[name])(3)
        numbers.append(torch.rand(1).item())
    assert numbers[0] == numbers[1]


class Quiet(Plain):
    def forward(self, x: Tensor) -> Any:
        return self.map(x)


class Noisy(Plain):
    def forward(self, x: Tensor) -> Any:
        return self.map(x + torch.rand(x.shape))


@pytest.mark.parametrize(
    ("cls", "text"),
    [
        (Last, r"forward gave features \(2, \d\) for inputs \(2, 5, 1\); .* features of every step are needed"),
        (Exchanged, r"forward gave features \(5, 2, \d\) .*: batch and time are exchanged"),
        (Named, r"forward gave a mapping; features \(B, T, W\) are needed, or a pair \(features, state\)"),
        (Three, r"forward gave a tuple \(a tensor \(2, 5, \d\), a NoneType, a tensor \(2, 5, 1\)\); features"),
        (Failing, r"mat1 and mat2 shapes cannot be multiplied"),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_place(cls: type[nn.Module], text: str) -> None:
    for budget in (None, 2000):
        with pytest.raises(UsageError, match=rf"^test_plain_modules\.py:\d+: {text}") as raised:
            api.make_run(TASK, f"test_plain_modules:{cls.__name__}", parameters=budget)
        assert "\n" not in str(raised.value)


def test_one_without_a_width_has_no_budget() -> None:
    assert api.train(api.make_run(TASK, "test_plain_modules:Widthless", epochs=1, batch=8)).status == "done"
    with pytest.raises(UsageError, match="Widthless has no option that sets its width: a budget of parameters needs"):
        api.make_run(TASK, "test_plain_modules:Widthless", parameters=1000)
    with pytest.raises(UsageError, match="Nothing: its constructor takes no number of channels C as its first arg"):
        model(Nothing)


def test_a_file_names_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own_models.write(tmp_path))
    with pytest.raises(UsageError, match=r"plain\.py holds no class Model that .*; it holds plain\.py:Net$"):
        registry.find("model", "plain.py")


def test_the_gradient_flow_of_one_can_be_measured() -> None:
    run = api.make_run(TASK, "test_plain_modules:Stateful(hidden=4)", epochs=1, batch=8)
    task = run.make_task()
    assert networks.on_paper(task, run.model_class, run.model.options).body.features == 4
    assert len(gradient_norms(run.make_network(task), task, task.load(0).test)) > 3


def test_one_without_a_state_writes_too(miniature_data: Path) -> None:
    """It reads again what it has written, as far back as the task's windows go."""
    run = api.make_run(
        "ptb-char(context=6, scored=6, train=400, held=100)", "test_plain_modules:Both(width=8)", batch=4
    )
    task, network = run.make_task(), run.make_network(run.make_task()).eval()
    prompt = task.decode(task.encoded().texts["test"][:5].tolist())  # type: ignore[attr-defined]
    pieces = [*sampling.write(network, task, prompt, 20, temperature=0)]
    assert len(pieces) == 21
    ids = task.encode("".join(pieces))
    for place in range(5, len(ids)):
        window = ids[max(0, place - task.steps) : place]
        with torch.no_grad():
            expected = network.read(torch.tensor([window]), 1).log_probabilities()[0, 0].argmax()
        assert ids[place] == expected
