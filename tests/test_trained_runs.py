"""What a person has after a training: the network, its task, and what it answers on the test part."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command import seqbench
from experiments import rows_of
from seqbench.bench import load_run, make_run, predictions, train
from seqbench.bench.errors import UsageError
from seqbench.bench.rows.store import Workplace
from seqbench.bench.trained_runs import Trained

ADDING = "adding(length=6, train=64, valid=8, test=12)"
EXPERIMENT = f"""\
question: What is left of it?
seeds: 2
training: {{epochs: 2, batch: 8, learning_rate: 0.01}}
rows:
- {{task: "{ADDING}", models: [gru(width=3), lstm(width=3)]}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An experiment whose weights were kept but for those of one run."""
    folder = tmp_path_factory.mktemp("kept") / "mine"
    folder.mkdir()
    (folder / "experiment.yaml").write_text(EXPERIMENT, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SEQBENCH_RUNS", raising=False)
        arguments = ("run", folder, "--device", "cpu", "--jobs", "1", "--only")
        assert seqbench(*arguments, "lstm", "--only", "gru seed 1", "--keep-weights").code == 0
        assert seqbench(*arguments, "gru seed 0").code == 0
        yield folder


def scored(found: Trained) -> float:
    """The mean squared error by hand."""
    said = predictions(found)
    return float((said.answers[:, 0, 0] - said.targets).double().square().mean())


def test_a_run_is_loaded_with_what_it_has_learned(folder: Path) -> None:
    loaded = load_run(folder, "lstm seed 0")
    assert str(loaded.run).endswith("lstm seed 0")
    assert loaded.task.options()["test"] == 12
    assert loaded.row is not None
    assert loaded.row in rows_of(folder)
    assert scored(loaded) == pytest.approx(loaded.scores["best"]["test"]["mse"], rel=1e-6)
    assert not loaded.network.training
    outcome = train(loaded.run)
    for one, other in zip(loaded.network.parameters(), outcome.network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lstm", "'lstm' means several runs of mine: "),
        ("tcn", "'tcn' means no run of mine: "),
        ("gru seed 0", "--keep-weights trains it"),
    ],
)
def test_what_cannot_be_loaded_is_said(folder: Path, text: str, message: str) -> None:
    for place in Workplace(folder).area.glob("checkpoints/*.pt"):
        place.unlink()
    with pytest.raises(UsageError) as raised:
        load_run(folder, text)
    assert message in str(raised.value)


def test_the_answers_after_a_training() -> None:
    outcome = train(make_run(ADDING, "gru(width=3)", epochs=1, batch=8))
    assert outcome.task.options()["length"] == 6
    said = predictions(outcome)
    assert (said.answers.shape, said.targets.shape, said.scored.shape) == ((12, 1, 1), (12,), (12, 1))
    assert said.surprisals is None
    assert scored(outcome) == pytest.approx(outcome.scores["best"]["test"]["mse"], rel=1e-6)
    frame = said.frame()
    assert [*frame.columns] == ["example", "step", "target", "answer"]
    assert frame["answer"].tolist() == said.answers.flatten().tolist()
    assert frame["target"].tolist() == said.targets.tolist()
    assert len(predictions(outcome, "valid").frame()) == 8


def test_the_answers_of_many_numbers_and_of_many_steps() -> None:
    outcome = train(make_run("copy-memory(delay=3, train=16, valid=8, test=8)", "gru(width=3)", epochs=1, batch=8))
    said = predictions(outcome)
    outputs = outcome.task.outputs
    assert said.answers.shape == (8, said.scored.shape[1], outputs)
    frame = said.frame()
    assert len(frame) == int(said.scored.sum())
    assert [*frame.columns][2:4] == ["target", "answer_0"]
    assert sum(name.startswith("answer_") for name in frame) == outputs
    line = frame[(frame["example"] == 3) & (frame["step"] == 2)].iloc[0]
    assert line["target"] == said.targets[3, 2]
    assert line["answer_1"] == said.answers[3, 2, 1]


def test_the_answers_of_examples_of_different_lengths(miniature_data: Path) -> None:
    outcome = train(make_run("jsb", "rnn(width=3)", epochs=1, batch=4))
    said, lengths = predictions(outcome), outcome.task.load(0).test.lengths
    assert lengths is not None
    assert said.scored.sum(1).tolist() == lengths.tolist()
    assert len(said.frame()) == int(lengths.sum())
    assert said.answers.shape == said.targets.shape == (len(lengths), int(lengths.max()), 88)


def test_the_answers_of_a_text(miniature_data: Path) -> None:
    run = make_run("ptb-char(context=6, scored=6, train=400, held=100)", "gru(width=4)", epochs=1, batch=4)
    outcome = train(run)
    said = predictions(outcome)
    assert said.surprisals is not None
    assert said.answers.shape == said.targets.shape == said.surprisals.shape
    bits: Any = said.surprisals[said.scored].double().mean() / torch.tensor(2.0).log()
    assert float(bits) == pytest.approx(outcome.scores["best"]["test"]["bpc_all"], rel=1e-5)
    assert [*said.frame().columns] == ["example", "step", "target", "answer", "surprisal"]


def test_a_notebook_shows_how_far_a_training_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for what IPython gives."""
    shown: list[str] = []

    class Handle:
        def update(self, text: str) -> None:
            shown.append(text)

    def display(text: str, display_id: bool) -> Handle:
        assert display_id
        shown.append(text)
        return Handle()

    kernel, terminal = type("ZMQInteractiveShell", (), {})(), type("TerminalInteractiveShell", (), {})()
    run = make_run(ADDING, "gru(width=3)", epochs=1, batch=8)
    for found in (terminal, kernel):
        monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda found=found: found))
        monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(Pretty=str, display=display))
        outcome = train(run)
        assert bool(shown) == (found is kernel)
    assert shown[0].endswith("gru seed 0: begins")
    mse = outcome.progress.curve[-1]["valid"]["mse"]
    assert shown[-1].endswith(f"gru seed 0: epoch 1, step 8 of 8 (100 %), mse {mse:.4g} on validation")
    shown.clear()
    train(run, report=lambda progress, steps: None)
    assert not shown
