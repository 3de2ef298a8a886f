"""Models of a user's own on trial: what the contract says, causality by gradient, and errors that name their line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import made_rows
import own_models
import pytest
import torch
from seqbench.bench import api
from seqbench.bench.analysis import grid
from seqbench.bench.analysis.standing import standing
from seqbench.bench.engine import trial
from seqbench.bench.engine.repeatable import drawing_globally
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments.runs import Run
from seqbench.bench.report.tables import experiment_table
from seqbench.bench.rows.store import signed
from seqbench.models.base import Model, State
from torch import Tensor, nn
from torch.nn import functional

COPY = "copy-memory(delay=3, train=16, valid=8, test=8)"
ADDING = "adding(length=12, train=16, valid=8, test=8)"


class Base(Model):
    """A linear map, and what a derived class makes of it."""

    def __init__(self, channels: int, *, width: int = 6) -> None:
        super().__init__()
        self.map = nn.Linear(channels, width)
        self.features, self.state_size, self.receptive_field, self.macs_per_step = width, 0, 1, channels * width

    def mixed(self, features: Tensor) -> Tensor:
        return features

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        return self.mixed(self.map(inputs)), None


class Convolution(Base):
    """Padded on both sides, without a word on it."""

    def __init__(self, channels: int, *, width: int = 6) -> None:
        super().__init__(channels, width=width)
        self.convolution = nn.Conv1d(width, width, 3, padding=1)

    def mixed(self, features: Tensor) -> Tensor:
        return self.convolution(features.transpose(1, 2)).transpose(1, 2)


class Hidden(Convolution):
    """Behind a map that is zero at first."""

    def __init__(self, channels: int, *, width: int = 6) -> None:
        super().__init__(channels, width=width)
        self.gate = nn.Parameter(torch.zeros(width))

    def mixed(self, features: Tensor) -> Tensor:
        return features + self.gate * super().mixed(features)


class Normalised(Base):
    """By the mean of the whole sequence."""

    def mixed(self, features: Tensor) -> Tensor:
        return features - features.mean(1, keepdim=True)


class Declared(Base):
    causal = False


class Fourier(Base):
    """A causal convolution by FFT, whose roundings reach everywhere."""

    def __init__(self, channels: int, *, width: int = 6) -> None:
        super().__init__(channels, width=width)
        self.kernel = nn.Parameter(torch.randn(512, width))

    def mixed(self, features: Tensor) -> Tensor:
        steps = features.shape[1]
        spectrum = torch.fft.rfft(features, 2 * steps, 1) * torch.fft.rfft(self.kernel[:steps], 2 * steps, 0)
        return torch.fft.irfft(spectrum, 2 * steps, 1)[:, :steps]


class Padded(Convolution):
    def mixed(self, features: Tensor) -> Tensor:
        padded = functional.pad(features.transpose(1, 2), (1, 0))
        return self.convolution(padded)[..., : features.shape[1]].transpose(1, 2)


class Twice(Base):
    """One whose `forward` is causal and whose `read`, by which it is trained, is not."""

    def read(self, inputs: Tensor, reads: int | None = None) -> Tensor:
        features = self.map(inputs).flip(1)
        return features if reads is None else features[:, -reads:]


def run_of(model: type[Model], task: str = COPY) -> Run:
    return api.make_run(task, f"test_trial:{model.__name__}", epochs=1, batch=8)


def tried(model: type[Model], task: str = COPY) -> bool:
    run = run_of(model, task)
    return trial.is_causal(run, run.make_task(), torch.device("cpu"))


@pytest.mark.parametrize("model", [Convolution, Hidden, Normalised, Declared, Twice])
def test_what_sees_later_inputs_is_found_where_a_task_asks_it(model: type[Model]) -> None:
    assert not tried(model)
    assert tried(model, ADDING), "at the last step every model has seen all"


@pytest.mark.parametrize("model", [Base, Fourier, Padded])
def test_what_does_not_is_not_accused(model: type[Model]) -> None:
    assert tried(model)
    assert tried(model, "copy-memory(delay=300, train=16, valid=8, test=8)")


def test_the_outcome_and_the_row_say_it() -> None:
    assert not api.train(run_of(Convolution)).causal
    assert api.train(run_of(Base)).causal


def test_a_trial_alters_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(Padded)
    whole = api.train(run).progress.trace
    monkeypatch.setattr("seqbench.bench.engine.training.is_causal", lambda *_: True)
    assert api.train(run).progress.trace == whole


@pytest.mark.parametrize("model", [Convolution, Declared])
def test_it_is_refused_where_a_task_predicts_its_own_input(model: type[Model], miniature_data: Path) -> None:
    run = run_of(model, "jsb")
    with pytest.raises(UsageError, match=r"^test_trial\.py:\d+: the model is not causal \(.*\), and jsb asks it"):
        api.train(run)


def test_torchs_recurrent_dropout_draws_from_the_global_generator() -> None:
    """Not from cuDNN's own state, which outlives a run; on a CPU one can only see that cuDNN is switched off."""
    asked: list[bool] = []

    class Layers(nn.LSTM):
        def forward(self, *arguments: Any) -> Any:
            asked.append(torch.backends.cudnn.enabled)
            return super().forward(*arguments)

    inputs = torch.randn(2, 5, 3)
    for dropout, without in ((0.3, True), (0.0, False)):
        layers = Layers(3, 4, num_layers=2, dropout=dropout, batch_first=True)
        torch.manual_seed(0)
        before, _ = layers(inputs)
        torch.manual_seed(0)
        after, _ = drawing_globally(nn.Sequential(layers))[0](inputs)
        assert torch.equal(before, after)
        assert asked == [True, not without]
        assert torch.backends.cudnn.enabled
        asked.clear()


def test_a_declared_model_of_the_suite_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from seqbench.models import gru

    run = api.make_run(COPY, "gru(width=4)")
    assert trial.is_causal(run, run.make_task(), torch.device("cpu"))
    monkeypatch.setattr(gru.Model, "causal", property(lambda self: self.features != 4))
    assert not trial.is_causal(run, run.make_task(), torch.device("cpu"))


# What forward gives.


class Features(Base):
    def forward(self, inputs: Tensor, state: State = None) -> Any:
        return self.map(inputs)


class Last(Base):
    def forward(self, inputs: Tensor, state: State = None) -> Any:
        return self.map(inputs)[:, -1], None


class Exchanged(Base):
    def forward(self, inputs: Tensor, state: State = None) -> Any:
        return self.map(inputs).transpose(0, 1), None


class Wider(Base):
    def __init__(self, channels: int, *, width: int = 6) -> None:
        super().__init__(channels, width=width)
        self.features = width + 1


class Whole(Base):
    def forward(self, inputs: Tensor, state: State = None) -> Any:
        return self.map(inputs).argmax(2, keepdim=True).expand(-1, -1, 6), None


class Needy(Base):
    def forward(self, inputs: Tensor, state: State) -> Any:  # type: ignore[override]
        return self.map(inputs), state


class Reading(Base):
    def read(self, inputs: Tensor, reads: int | None = None) -> Tensor:
        return self.map(inputs)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Features, r"forward gave a tensor \(2, 23, 6\); a pair \(features, state\) is needed"),
        (Last, r"forward gave features of a tensor \(2, 6\) for inputs \(2, 23, 1\); \(B, T, W\) = \(2, 23, 6\) is"),
        (Exchanged, r"forward gave features of a tensor \(23, 2, 6\) for inputs"),
        (Wider, r".*; \(B, T, W\) = \(2, 23, 7\) is needed, where W is what the constructor has set as self.features"),
        (Whole, r"forward gave features of type torch.int64; floating-point ones are needed"),
        (Needy, r"forward\(inputs, state=None\) is needed: .*missing 1 required positional argument: 'state'"),
        (Reading, r"read\(inputs, 1\) gave a tensor \(2, 12, 6\); \(B, R, W\) = \(2, 1, 6\) is needed"),
    ],
)
def test_what_the_contract_wants_is_said_with_the_line(model: type[Model], text: str) -> None:
    with pytest.raises(UsageError, match=rf"^test_trial\.py:\d+: {text}") as raised:
        tried(model, ADDING if model is Reading else COPY)
    assert "\n" not in str(raised.value)


def test_a_class_that_does_not_say_its_features() -> None:
    class Silent(Model):
        def __init__(self, channels: int, *, width: int = 6) -> None:
            super().__init__()

        def forward(self, inputs: Tensor, state: State = None) -> Any:
            return inputs, None

    run = run_of(Base)
    object.__setattr__(run, "model_class", Silent)
    with pytest.raises(UsageError, match=r"Silent: its constructor sets no self\.features, the width W"):
        run.make_network(run.make_task())


def test_the_five_models_train_at_a_budget_with_the_same_score_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a folder outside of the checkout."""
    monkeypatch.chdir(own_models.write(tmp_path / "mine"))
    for name in own_models.NAMES:
        run = api.make_run(COPY, name, parameters=5000, tolerance=0.2, epochs=2, batch=8)
        one, two = api.train(run), api.train(run)
        assert (one.scores, one.progress.trace) == (two.scores, two.progress.trace)
        assert one.causal
        assert abs(one.network.parameter_count / 5000 - 1) <= 0.2
    assert not api.train(api.make_run(COPY, "symmetric.py:Net", epochs=1, batch=8)).causal


def test_a_model_that_is_not_causal_is_named_in_the_table_and_never_bold(tmp_path: Path) -> None:
    experiment = made_rows.write(
        tmp_path,
        "question: Which?\nseeds: 2\ntraining: {epochs: 1, learning_rate: 0.01}\nrows:\n"
        "- {task: copy-memory(delay=5), models: [gru(width=4), rnn(width=4)]}\n",
    )
    rows = [made_rows.made(run, 0.1 * (1 + place)) for place, run in enumerate(experiment.runs)]
    sees = [row | {"causal": False} if "rnn" in row["label"] else row for row in rows]
    entries = grid.collect(experiment, [signed(row) for row in sees])
    text = experiment_table.table(entries)
    assert re.search(r"^\| copy-memory.*n=2 +\|[^|]*n=2¶ *\|$", text, re.MULTILINE)
    assert "¶ not causal: the model sees later inputs, though the task asks for answers from the inputs so far" in text
    assert standing(entries[:1] + [one for one in entries if one.metric == entries[0].metric][1:]).left_out == {
        "rnn": "not causal"
    }
    assert made_rows.misshapen(sees[-1]) == ""
    assert "¶" not in experiment_table.table(grid.collect(experiment, rows))
