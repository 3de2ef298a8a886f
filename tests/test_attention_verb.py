"""The verb `attention`: the map of a trained run, trained again where its parameters are not here; what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import seqbench
from seqbench.bench import attention_weights, sampling
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config
from seqbench.bench.report.figures import attention_map
from seqbench.bench.rows.store import Workplace
from seqbench.bench.trained_runs import trained
from seqbench.models.encoder_decoder import END, START

EXPERIMENT = """\
question: Where does it look?
rows:
- task: reverse(alphabet=5, longest=5, length=5, train=1600, valid=32, test=32)
  training: {epochs: 3, batch: 32, learning_rate: 0.01}
  models:
  - seq2seq(width=16, attention=luong-general)
  - seq2seq(width=16, attention=none)
  - transformer-seq2seq(width=16, heads=2, layers=1)
- task: adding(length=6, train=32, valid=8, test=8)
  training: {epochs: 1}
  models: [gru(width=3)]
"""
RUN = "reverse luong"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An experiment of which nothing is trained yet."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SEQBENCH_RUNS", raising=False)
        folder = tmp_path_factory.mktemp("maps") / "results" / "tiny"
        folder.mkdir(parents=True)
        (folder / "experiment.yaml").write_text(EXPERIMENT, encoding="utf-8")
        yield folder


def test_the_map_of_a_run_that_is_trained_again(folder: Path) -> None:
    """The first call trains and keeps what was learned, the second finds it, and shows the same."""
    told = seqbench("attention", folder, RUN, "abc", "--json").json
    experiment = config.load(folder)
    run = sampling.chosen_among(experiment, experiment.runs, RUN, "")
    kept = Workplace(folder).trained(run.id, "cpu")
    assert kept.is_file()
    changed = kept.stat().st_mtime_ns
    assert seqbench("attention", folder, RUN, "abc", "--json").json == told
    assert kept.stat().st_mtime_ns == changed
    assert [Path(one).name for one in told["files"]] == ["attention.png", "attention.svg"]
    assert all(Path(one).stat().st_size > 1000 for one in told["files"])
    assert told["source"] == ["a", "b", "c"]
    assert "".join(one for one in told["target"] if one != "end") == told["answer"]
    weights = np.array(told["weights"])
    assert weights.shape == (len(told["target"]), 3)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    text = seqbench("attention", folder, RUN, "abc").out
    assert text.startswith(f"abc -> {told['answer']}\n")
    assert "attention.svg" in text


def test_the_weights_are_those_of_what_was_written(folder: Path) -> None:
    """Against the network, asked step by step."""
    seqbench("attention", folder, RUN, "abc")
    experiment = config.load(folder)
    run = sampling.chosen_among(experiment, experiment.runs, RUN, "")
    network, task = trained(experiment, run), run.make_task()
    body: Any = network.body
    found = attention_weights.look(network, task, "eabcd")
    memory, state, shown = body.encode(torch.tensor([[5, 1, 2, 3, 4]]), torch.tensor([5])), None, START
    for symbol, row in zip(found.target, found.weights, strict=True):
        with torch.no_grad():
            features, state, weights = body.decode(memory, torch.tensor([[shown]]), state)
            shown = int(network.head(features).log_probabilities()[0, 0, 2:].argmax()) + 2
        assert symbol == ("end" if shown == END else task.decode([shown]))
        np.testing.assert_allclose(row, weights[0, 0].double().numpy(), atol=1e-6)
    assert attention_weights.look(network, task, "abcde", beam=4).weights.shape[1] == 5


def test_a_source_that_is_longer_than_trained_is_read(folder: Path) -> None:
    told = seqbench("attention", folder, RUN, "abcdeabcdeabcde", "--json").json
    assert len(told["source"]) == 15
    assert len(told["target"]) <= 17


def test_a_transformer_has_a_map_too(folder: Path, tmp_path: Path) -> None:
    told = seqbench("attention", folder, "reverse transformer", "abca", "--out", tmp_path, "--beam", "3", "--json").json
    assert np.array(told["weights"]).shape[1] == 4
    assert (tmp_path / "attention.png").is_file()


@pytest.mark.parametrize(
    ("run", "source", "words"),
    [
        ("reverse none", "abc", "has no attention: it keeps a source in one vector, so there is no map"),
        (RUN, "", "source: reverse: the source is empty; at least one symbol is needed"),
        (RUN, "abz", "source: reverse: 'z', symbol 3 of the source, is unknown; sources have 'a', 'b', 'c', 'd', 'e'"),
        ("gru", "abc", "'gru' means several runs of tiny"),
        ("adding", "abc", "'adding' means no run of tiny"),
    ],
)
def test_what_has_no_map_is_said_before_anything_is_trained(folder: Path, run: str, source: str, words: str) -> None:
    answer = seqbench("attention", folder, run, source)
    assert answer.code == 2
    assert words in answer.err
    assert len(answer.err.splitlines()) == 1


def test_an_experiment_without_pairs(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text(
        "question: None?\nrows:\n- {task: adding(length=6), models: [gru(width=3)]}\n", encoding="utf-8"
    )
    experiment = config.load(tmp_path)
    kind = "of an encoder-decoder, and only such a one has a map"
    with pytest.raises(UsageError, match="has no run of an encoder-decoder, and only such a one has a map"):
        sampling.chosen_among(experiment, attention_weights.runs_of_pairs(experiment.runs), "gru", kind)


def test_the_figure_has_a_field_for_each_pair_of_symbols() -> None:
    weights = np.array([[0.1, 0.9], [0.6, 0.4], [0.5, 0.5]])
    figure = attention_map.draw(["x", " "], ["y", "x", "end"], weights, "A map")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["x", "␣"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["y", "x", "end"]
    assert axes.yaxis_inverted(), "what was written first stands on top"
    (mesh,) = axes.collections
    np.testing.assert_array_equal(np.asarray(mesh.get_array()).reshape(3, 2), weights)
    assert "'y' at ' ', 'x' at 'x', 'end' at 'x'" in attention_map.said(["x", " "], ["y", "x", "end"], weights)
