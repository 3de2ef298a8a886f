"""What a trained language model writes: drawn as its distribution says, streamed, from the right parameters."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import fingerprints
import pytest
import torch
from command import Answer, seqbench
from seqbench.bench import sampling
from seqbench.bench.engine.evaluation import evaluate
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows.store import Workplace
from seqbench.models.network import Network

EXPERIMENT = """\
question: What does it write?
rows:
- task: experiments:TinyText
  training: {epochs: 3, batch: 8, learning_rate: 0.1}
  models: [gru(width=5), "tcn(width=5, kernel=2, levels=2)"]
- task: adding(length=6, train=32, valid=8, test=8)
  training: {epochs: 1}
  models: [gru(width=3)]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An experiment of which the characters were trained by the command line."""
    place = tmp_path_factory.mktemp("sampling")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SEQBENCH_RUNS", raising=False)
        folder = place / "results" / "tiny"
        folder.mkdir(parents=True)
        (folder / "experiment.yaml").write_text(EXPERIMENT, encoding="utf-8")
        assert seqbench("run", folder, "--device", "cpu", "--only", "Tiny").code == 0
        yield folder


@pytest.fixture
def a_run(folder: Path) -> Run:
    return sampling.chosen(config.load(folder), "TinyText gru")


@pytest.fixture
def network(folder: Path, a_run: Run) -> Network:
    return sampling.trained(config.load(folder), a_run)


def test_the_parameters_are_those_of_the_best_epoch(folder: Path, a_run: Run, network: Network) -> None:
    (row,) = (row for row in Workplace(folder).rows() if row["id"] == a_run.id)
    task = a_run.make_task()
    with fingerprints.one_thread():
        scores = evaluate(network, task, task.load(0).test)
    assert scores == row["scores"]["best"]["test"]


@pytest.mark.parametrize("model", ["gru", "tcn"])
def test_streaming_writes_what_the_whole_text_would_give(folder: Path, model: str) -> None:
    experiment = config.load(folder)
    run = sampling.chosen(experiment, f"TinyText {model}")
    network, task = sampling.trained(experiment, run), run.make_task()
    text = "".join(sampling.write(network, task, "cab", 30, temperature=0))
    assert text.startswith("cab")
    assert len(text) == 33
    ids = task.encode(text)
    with torch.no_grad():
        whole, _ = network(torch.tensor([ids[:-1]]), None, len(ids) - 1)
    assert whole.most_probable()[0, 2:].tolist() == ids[3:]


DRAWN = 600


def test_symbols_are_drawn_as_often_as_they_are_probable(a_run: Run, network: Network) -> None:
    task = a_run.make_task()
    prompt = task.encode("a")
    with torch.no_grad():
        answer, _ = network(torch.tensor([prompt]), None, 1)
    log_probabilities = answer.log_probabilities()[0, 0]
    for temperature in (1.0, 0.5):
        expected = (log_probabilities / temperature).softmax(0)
        drawn = Counter("".join(sampling.write(network, task, "a", 1, temperature, seed))[1] for seed in range(DRAWN))
        most = int(expected.argmax())
        share = drawn[task.decode([most])] / DRAWN
        spread = math.sqrt(expected[most] * (1 - expected[most]) / DRAWN)
        assert abs(share - expected[most]) < 4 * spread


def test_a_seed_is_a_text(a_run: Run, network: Network) -> None:
    task = a_run.make_task()
    texts = ["".join(sampling.write(network, task, "cab", 60, 1.0, seed)) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_the_command_prints_the_text(folder: Path) -> None:
    plain = seqbench("sample", folder, "TinyText gru", "cab", "--tokens", 20, "--temperature", 0.7)
    assert plain.code == 0
    assert plain.out.startswith("cab")
    assert len(plain.out) == 3 + 20 + 1
    as_json = seqbench("sample", folder, "TinyText gru", "cab", "--tokens", 20, "--temperature", 0.7, "--json")
    assert as_json.json["text"] + "\n" == plain.out
    by_id = seqbench("sample", folder, as_json.json["id"][:6], "cab", "--tokens", 20, "--temperature", 0.7)
    assert by_id.out == plain.out


def test_the_next_symbols_are_those_of_the_distribution(folder: Path, a_run: Run, network: Network) -> None:
    task = a_run.make_task()
    with torch.no_grad():
        answer, _ = network(torch.tensor([task.encode("cab")]), None, 1)
    expected = answer.log_probabilities()[0, 0].exp()
    found = sampling.next_symbols(network, task, "cab", 3)
    assert [symbol for symbol, _ in found] == [task.decode([int(n)]) for n in expected.argsort(descending=True)[:3]]
    assert [share for _, share in found] == pytest.approx(expected.sort(descending=True).values[:3].tolist())
    assert sum(share for _, share in sampling.next_symbols(network, task, "cab", 99)) == pytest.approx(1)
    as_json = seqbench("sample", folder, "TinyText gru", "cab", "--next", 3, "--json").json
    assert [(one["symbol"], one["probability"]) for one in as_json["next"]] == found
    table = seqbench("sample", folder, "TinyText gru", "cab", "--next", 3)
    assert table.code == 0
    assert "after 'cab'" in table.out
    assert f"{found[0][1]:.3f}" in table.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Tiny", "a"), "'Tiny' means several runs of tiny"),
        (("nothing", "a"), "'nothing' means no run of tiny"),
        (("adding", "a"), "'adding' means no run of tiny: "),
        (("TinyText gru", ""), "prompt: at least one symbol is needed"),
        (("TinyText gru", "\N{SNOWMAN}"), "'\N{SNOWMAN}' is not in the vocabulary"),
        (("TinyText gru", "a", "--temperature", "-1"), "Invalid value for '--temperature'"),
        (("TinyText gru", "a", "--tokens", "0"), "Invalid value for '--tokens'"),
    ],
)
def test_what_cannot_be_written_is_said(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    answer: Answer = seqbench("sample", folder, *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_parameters_that_are_not_here_are_asked_for(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "results" / "tiny"
    elsewhere.mkdir(parents=True)
    (elsewhere / "experiment.yaml").write_text(EXPERIMENT, encoding="utf-8")
    experiment = config.load(elsewhere)
    run = sampling.chosen(experiment, "TinyText gru")
    with pytest.raises(UsageError, match=rf"{run.id} .* is not here .* --only {run.id} --afresh"):
        sampling.trained(experiment, run)
