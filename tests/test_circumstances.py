"""A checkpoint is gone on with only where the bits would be the same; else the run begins anew, and says why."""

from __future__ import annotations

import os
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from experiments import (
    Recorder,
    after_steps,
    checkpoints,
    measured,
    measured_here,
    measured_of,
    reasons,
    rows_of,
    sweep_in,
    write,
)
from seqbench.bench import api
from seqbench.bench.engine.checkpoint import Checkpoint, circumstances, what_differs
from seqbench.bench.engine.training import Stopped, train
from seqbench.bench.experiments import config
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows import provenance, sources

CPU = torch.device("cpu")
LONGER = """\
question: Begun anew?
rows:
- task: adding(length=8, train=320, valid=32, test=32)
  training: {epochs: 10, batch: 8}
  models: ["gru(width=4, input_dropout=0.2)"]
"""


def make_run() -> Run:
    return api.make_run("adding(length=8, train=60, valid=16, test=16)", "gru(width=3)", epochs=2, batch=4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The checkpoint of a run that was stopped after its seventh step."""
    path = tmp_path / "run.pt"
    with Checkpoint(path) as kept, after_steps(7) as should_stop, pytest.raises(Stopped):
        train(make_run(), checkpoint=kept, should_stop=should_stop)
    return path


def changed(path: Path, **changes: Any) -> None:
    """Writes the checkpoint again with changed content; `circumstances` are merged."""
    with Checkpoint(path) as kept:
        content = kept.load(CPU)
        assert content is not None
        kept.save(content | changes)


def gone_on(path: Path, **options: Any) -> tuple[dict[str, Any], int, list[str]]:
    """What a training from the checkpoint measures, how often it was resumed, and what it says."""
    said: list[str] = []
    with Checkpoint(path) as kept:
        outcome = train(make_run(), checkpoint=kept, say=said.append, **options)
    return measured_of(outcome), outcome.progress.resumed, said


def test_what_is_the_same_is_gone_on_with_in_silence(file: Path) -> None:
    whole = measured_of(train(make_run()))
    assert gone_on(file) == (whole, 1, [])


def test_what_alters_bits_is_kept() -> None:
    found = circumstances(CPU, 3)
    origin = provenance.of_process(CPU)
    assert found["threads"] == "3"
    assert (found["device"], found["instructions"]) == ("cpu", origin["instructions"])
    assert origin["processor"].startswith(f"{found['processor']}, ")
    versions = {name: found["Python" if name == "python" else name] for name in ("python", *provenance.COMPUTE)}
    assert versions == {name: origin["versions"][name] for name in versions}
    assert all(isinstance(value, str) and value for value in found.values())


@pytest.mark.parametrize("name", circumstances(CPU, 1))
def test_other_circumstances_begin_anew_and_say_so(name: str, file: Path) -> None:
    now = circumstances(CPU, 1)
    changed(file, circumstances=now | {name: "of old"})
    whole = measured_of(train(make_run()))
    assert gone_on(file) == (
        whole,
        0,
        [f"begun anew: the checkpoint was made with {name} of old, here it is {now[name]}"],
    )


def test_other_threads_begin_anew(file: Path) -> None:
    """What one thread has trained is not gone on with by two, nor the other way round."""
    with Checkpoint(file) as kept, pytest.raises(Stopped):
        train(make_run(), checkpoint=kept, threads=2, should_stop=lambda: True, say=lambda text: None)
    measured_now, resumed, said = gone_on(file)
    assert (resumed, said) == (0, ["begun anew: the checkpoint was made with threads 2, here it is 1"])
    assert measured_now == measured_of(train(make_run()))


def test_a_checkpoint_of_before_begins_anew(file: Path) -> None:
    with Checkpoint(file) as kept:
        content = kept.load(CPU)
        assert content is not None
        del content["circumstances"], content["generators"]
        kept.save(content)
    _, resumed, said = gone_on(file)
    assert resumed == 0
    assert said == ["begun anew: the checkpoint does not say with which versions and on which machine it was made"]


def test_another_source_and_a_damaged_file_are_said(file: Path) -> None:
    said: list[str] = []
    now = circumstances(CPU, 1)
    with Checkpoint(file, "another") as kept:
        assert kept.resumable(CPU, now, said.append) is None
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with Checkpoint(file) as kept:
        assert kept.resumable(CPU, now, said.append) is None
        assert kept.resumable(CPU, now, said.append) is None, "now there is none, of which nothing is to be said"
    assert said == [
        "begun anew: the source has changed since the checkpoint was made",
        f"begun anew: the checkpoint is damaged; it is kept as {file.with_suffix('.damaged')}",
    ]


def test_from_python_it_is_a_warning(file: Path) -> None:
    changed(file, circumstances=circumstances(CPU, 1) | {"torch": "1.0"})
    with (
        Checkpoint(file) as kept,
        pytest.warns(UserWarning, match="begun anew: the checkpoint was made with torch 1.0"),
    ):
        train(make_run(), checkpoint=kept)
    with Checkpoint(file) as kept, warnings.catch_warnings(action="error"):
        assert train(make_run(), checkpoint=kept).progress.resumed == 1


def test_several_differences_stand_in_one_line() -> None:
    then, now = {"torch": "2.12", "scipy": "1.15"}, {"torch": "2.13", "scipy": "1.15", "GPU": "a card"}
    assert what_differs(then, now) == (
        "the checkpoint was made with torch 2.12, here it is 2.13; with GPU unknown, here it is a card"
    )
    assert what_differs(now, now) == ""


@pytest.mark.usefixtures("forgotten")
def test_a_sweep_shows_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "longer", LONGER)
    display = Recorder()
    stopping = iter([True])  # once
    display.on_progress = lambda run, steps: [os.kill(os.getpid(), signal.SIGTERM) for _ in stopping]
    assert sweep_in(folder, display, checkpoint_every=0.0).exit_code == 143
    (path,) = checkpoints(folder)
    (run,) = config.load(folder).runs
    with Checkpoint(path, sources.source_hash(run)) as kept:
        content = kept.load(CPU)
        assert content is not None
        kept.save(content | {"circumstances": content["circumstances"] | {"numba": "0.1"}})
    assert reasons(folder) == ["resumes"]
    display = Recorder()
    assert sweep_in(folder, display).exit_code == 0
    here = circumstances(CPU, 1)["numba"]
    assert display.said == [f"{run}: begun anew: the checkpoint was made with numba 0.1, here it is {here}"]
    row = rows_of(folder)[-1]
    assert row["resumed"] == 0
    assert measured(row) == measured_here(run)


def test_a_network_is_read_wherever_it_was_trained(file: Path) -> None:
    """To write with it, or to measure it, the bits of its training do not matter."""
    changed(file, circumstances={"torch": "1.0"})
    content = Checkpoint(file).load(CPU)
    assert content is not None
    make_run().make_network(make_run().make_task()).load_state_dict(content["network"])
