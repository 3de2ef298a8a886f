"""The suite from Python: a task's data, a network of a size, one training, and the errors on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import made_rows
import pytest
import seqbench.bench
import torch
from seqbench.bench import make_network, make_run, make_task, read_rows, train
from seqbench.bench.errors import UsageError
from seqbench.bench.rows.store import RowFile
from seqbench.tasks import adding, copy_memory

SMALL = "adding(length=8, train=64, valid=16, test=16)"


def test_a_tasks_data() -> None:
    task = make_task("adding(length=200, train=10)")
    assert task == adding.Task(length=200, train=10)
    batch = task.load(seed=0).train.batch(torch.arange(4))
    assert batch.inputs.shape == (4, 200, 2)
    assert batch.targets.shape == (4,)
    assert make_task("copy-memory(coding=one-hot)") == copy_memory.Task(coding="one-hot")


def test_a_run_from_the_first_line_to_its_scores() -> None:
    run = make_run(SMALL, "gru", parameters=500, tolerance=0.1, epochs=3, learning_rate=1e-2, batch=16, seed=1)
    assert run.training.epochs == 3
    assert run.seed == 1
    outcome = train(run)
    assert outcome.status == "done"
    assert outcome.network.parameter_count == pytest.approx(500, rel=0.1)
    assert outcome.scores["best"]["test"]["mse"] < 1.0
    assert [point["epoch"] for point in outcome.progress.curve] == [0, 1, 2, 3]
    again = train(run)
    assert again.scores == outcome.scores
    for one, other in zip(again.network.parameters(), outcome.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_network_of_a_size() -> None:
    network = make_network("adding(length=600)", "lstm", parameters=70_369)
    assert network.parameter_count == 70_872
    task = make_task(SMALL)
    batch = task.load(0).train.batch(torch.arange(4))
    outputs, state = network(batch.inputs)
    assert outputs.shape == (4, 1, 1)
    again, _ = network(batch.inputs, state)
    assert not torch.equal(again, outputs)
    other = make_network("adding(length=600)", "lstm", parameters=70_369, head="linear(std=5.0)")
    assert other.head.weight.std() > 1
    assert make_network("jsb", "rnn(width=4)", head="linear(std=0.01)").head.weight.std() < 0.02


def test_a_networks_dropout_draws_from_the_seed() -> None:
    inputs = make_task(SMALL).load(0).train.batch(torch.arange(8)).inputs
    before = torch.get_rng_state()

    def outputs(seed: int) -> list[Any]:
        network = make_network(SMALL, "tcn(kernel=2, levels=2, width=8, dropout=0.5)", seed=seed)
        assert network.training
        return [network(inputs)[0].tolist() for _ in range(2)]

    first = outputs(0)
    assert first[0] != first[1]
    assert outputs(0) == first
    assert outputs(1) != first
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_task("ading"), "unknown task 'ading': did you mean 'adding'"),
        (lambda: make_task("adding(lenght=5)"), "task adding has no option 'lenght': did you mean 'length'"),
        (lambda: make_run("adding", "lstn"), "unknown model 'lstn': did you mean 'lstm'"),
        (lambda: make_run("adding", "lstm", epoch=5), "training has no option 'epoch': did you mean 'epochs'"),
        (lambda: make_run("adding", "lstm", epochs=0), "training: epochs=0: at least 1 is needed"),
        (lambda: make_run("adding", "lstm", learning_rate="1e-3"), "learning_rate='1e-3': a number is needed"),
        (lambda: make_run("adding", "lstm", head="lineal"), "unknown head 'lineal'"),
        (lambda: make_run("adding", "lstm", parameters=3), "no width comes within 1.0% of 3 parameters"),
        (lambda: make_run("adding", "lstm", parameters=0), "a budget of at least 1 is needed"),
        (lambda: make_network("adding", "lstm(width=0)"), "width: a whole number of at least 1 is needed"),
    ],
)
def test_a_mistake_says_what_is_wrong(make: Any, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        make()
    assert message in str(raised.value)


def test_the_interface_is_imported_when_it_is_used() -> None:
    for name in seqbench.bench.__all__:
        assert callable(getattr(seqbench.bench, name))
    with pytest.raises(AttributeError, match="no attribute 'make_tea'"):
        seqbench.bench.make_tea  # noqa: B018
    told = "print('torch' in sys.modules)"
    code = f"import sys, seqbench.bench; {told}; seqbench.bench.make_task; {told}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["False", "True"]


def test_scores_at_other_lengths_have_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQBENCH_RUNS", str(tmp_path / "runs"))
    text = "question: q\nrows: [{task: adding(length=8), models: [gru(width=4)]}]\n"
    (run,) = made_rows.write(tmp_path, text).runs
    RowFile(tmp_path / "runs.jsonl").append(made_rows.made(run, lengths={"16": {"mse": 0.25}}))
    assert read_rows(tmp_path)["length_16_mse"].tolist() == [0.25]
