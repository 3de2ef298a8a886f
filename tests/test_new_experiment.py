"""`seqbench new`: from a file of one's own to an experiment that compares it with the suite's models, tuned alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import seqbench
from experiments import SMALL, rows_of, write
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config
from seqbench.bench.rows.store import Workplace
from seqbench.bench.tuning import new_experiment
from studies import STUDY

OWN = '''\
"""A running mean."""

from torch import nn


class Model(nn.Module):
    def __init__(self, channels, width=8):
        super().__init__()
        self.linear = nn.Linear(channels, width)

    def forward(self, x):
        steps = self.linear(x).cumsum(1)
        return steps / (1 + nn.functional.pad(steps[..., :1] * 0 + 1, (0, 0, 0, 0)).cumsum(1))
'''
SUITE = """\
question: Which of the suite's?
reference: lstm
seeds: 2
tune:
  trials: 2
  seeds: [1000]
  space:
    learning_rate: log(low=1e-3, high=1e-1)
  additions:
    lstm: {forget_bias: [0.0, 1.0]}
    tcn: {dropout: [0.0, 0.1]}
training: {epochs: 1, batch: 16}
models:
- lstm
- {model: "tcn(kernel=3, levels=2)", tolerance: 0.3}
- gru
rows:
- task: adding(length=12, train=32, valid=32, test=32)
  parameters: 500
  tolerance: 0.2
- task: adding(length=13, train=32, valid=32, test=32)   # here the LSTM has more
  parameters: 500
  tolerance: 0.2
  space:
    dropout: [0.0]
  models: [{model: lstm, parameters: 700}, gru, "tcn(kernel=3, levels=2)"]
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a suite, and a model of one's own beside it; the current folder."""
    write(tmp_path / "suite", SUITE.replace("dropout: [0.0]", "dropout: [0.0, 0.1]").replace("gru,", "gru(layers=2),"))
    (tmp_path / "my_model.py").write_text(OWN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_suites_words_are_kept_and_the_own_model_is_added(suite: Path) -> None:
    made = new_experiment.write(Path("mine/here"), "my_model.py, lstm,tcn", "suite")
    experiment = config.load(Path("mine/here"))
    assert [cell.runs[0].model.name for cell in experiment.cells] == ["../../my_model.py", "lstm", "tcn"] * 2
    assert [cell.runs[0].seed for cell in experiment.cells] == [0] * 6
    assert [cell.budget for cell in experiment.cells] == [500, 500, 500, 500, 700, 500]
    assert experiment.cells[2].runs[0].model.options["kernel"] == 3
    assert {cell.reference.model.name for cell in experiment.cells if cell.reference} == {"lstm"}
    assert experiment.tuning is not None
    assert set(experiment.tuning.additions) == {"lstm", "tcn"}
    (left_out,) = made.left_out
    assert left_out == (
        "adding(length=13, train=32, valid=32, test=32): dropout is not tuned, for no model: ../../my_model.py has no "
        "such option"
    )
    assert all("dropout" not in cell.plan.settings(0) for cell in experiment.cells[3:5] if cell.plan)
    text = (suite / "mine/here/experiment.yaml").read_text(encoding="utf-8")
    assert text.startswith("# Made from suite by seqbench new")
    assert "here the LSTM has more" in text


def test_what_cannot_be_is_refused(suite: Path) -> None:
    for models, what in (
        ("lstm", "at least two models"),
        ("lstm,lstn", "unknown model 'lstn'"),
        ("lstm,mine.py", "no file mine.py"),
    ):
        with pytest.raises(UsageError, match=what):
            new_experiment.write(Path("new"), models, "suite")
        assert not Path("new").exists()
    with pytest.raises(UsageError, match="no such experiment"):
        new_experiment.write(Path("new"), "lstm,gru", "sweet")
    with pytest.raises(UsageError, match="is there already"):
        new_experiment.write(Path("suite"), "lstm,gru", "suite")


def test_a_suite_of_the_house_gives_a_valid_experiment(suite: Path) -> None:
    made = new_experiment.write(Path("mine"), "lstm,mingru(layers=1)", "quick")
    assert made.experiment.tuning is None
    assert {cell.runs[0].model.name for cell in made.experiment.cells} == {"lstm", "mingru"}


def test_three_commands_from_a_file_to_a_table(suite: Path) -> None:
    """The trials and the runs are true ones, of a second each; kills and the like are tested elsewhere."""
    assert seqbench("new", "mine", "--models", "my_model.py,gru", "--suite", "suite").code == 0
    text = (suite / "mine/experiment.yaml").read_text(encoding="utf-8")
    first = text.index("- task: adding(length=13")
    (suite / "mine/experiment.yaml").write_text(text[:first], encoding="utf-8")
    refused = seqbench("run", "mine")
    assert refused.code == 2
    assert "its 4 runs are not tuned yet: seqbench tune mine" in refused.err
    planned = seqbench("tune", "mine", "--dry-run")
    assert planned.out.count("new") == 4
    tuned = seqbench("tune", "mine", "--device", "cpu", "--jobs", "1")
    assert tuned.code == 0, tuned.err
    assert "wrote mine/tuned.yaml" in tuned.out
    assert [row["config"]["seed"] for row in Workplace(Path("mine"), record="trials.jsonl").working.read()] == [
        1000
    ] * 4
    done = seqbench("run", "mine", "--device", "cpu", "--jobs", "1")
    assert done.code == 0, done.err
    rates = {row["config"]["training"]["learning_rate"] for row in rows_of(Path("mine"))}
    chosen = {cell.runs[0].training.learning_rate for cell in config.load(Path("mine")).cells}
    assert len(rows_of(Path("mine"))) == 4
    assert rates == chosen
    assert seqbench("tune", "mine", "--device", "cpu").code == 0
    assert len(Workplace(Path("mine"), record="trials.jsonl").working.read()) == 4, "nothing is tried twice"


def test_an_experiment_without_a_block_is_not_tuned(tmp_path: Path) -> None:
    found = seqbench("tune", str(write(tmp_path, SMALL)))
    assert found.code == 2
    assert "there is no `tune:` block" in found.err
    assert STUDY.count("tune:") == 1
