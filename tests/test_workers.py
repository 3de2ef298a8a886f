"""Worker processes: quickly ready, one thread each, and the same bits as here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import odd_workers
import psutil
import pytest
import torch
from experiments import PATIENCE, Clock, Recorder, measured, measured_of, rows_of, sweep_in, wait_for, write
from seqbench.bench import api
from seqbench.bench.engine.checkpoint import Checkpoint
from seqbench.bench.engine.training import train
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows import sources
from seqbench.bench.running import backend, local, processes, sweep, worker

ONE = """\
question: One?
rows:
- {task: "adding(length=12, train=64, valid=8, test=8)", training: {epochs: 1}, models: [gru(width=3)]}
"""


@pytest.fixture
def workers() -> Iterator[Any]:
    """Starts workers as a sweep does, and gives each with the pipe to it; all are ended with the test."""
    context, started = processes.worker_context("cpu"), []

    def start(target: Any, job: Any = None) -> Any:
        pipe, theirs = context.Pipe()
        process = context.Process(target=target, args=(theirs, job), daemon=True)
        with processes.threads_in_children():
            process.start()
        theirs.close()
        started.append(process)
        return process, pipe

    yield start
    for process in started:
        process.kill()
        process.join()


def test_a_worker_is_born_with_what_it_needs(workers: Any) -> None:
    """Failures to preload are silent. A worker that is made by the fork server has at once what the server imported."""
    born = workers(odd_workers.look_around)[1].recv()
    assert {"torch", "numba", "numpy", "scipy", "seqbench.bench.running.worker"} <= born["modules"]
    assert set(processes.PRELOAD) <= born["modules"]
    assert {"torch._dynamo", "numba.np.arraymath", "scipy.linalg"} <= born["modules"], "which are imported late else"
    assert not [name for name in born["modules"] if name.startswith("pytest")], "nor with more than that"


def test_a_worker_has_one_thread_a_library(workers: Any) -> None:
    environment = workers(odd_workers.look_around)[1].recv()["environment"]
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        assert environment[name] == "1", name
    assert environment["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_the_environment_here_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with processes.threads_in_children():
        assert (processes.os.environ["OMP_NUM_THREADS"], processes.os.environ["MKL_NUM_THREADS"]) == ("1", "1")
    assert processes.os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in processes.os.environ


def job_of(run: Run, file: Path) -> backend.Job:
    assignment = backend.Assignment(run.id, run.config, sources.source_hash(run), file, None)
    return backend.Job((assignment,), file.parent, "cpu", 60.0, {})


def row_from(pipe: Any) -> dict[str, Any]:
    """The row, after whatever a worker says before."""
    while True:
        message = pipe.recv()
        if isinstance(message, backend.RowMade):
            return message.row
        assert message == "started" or isinstance(message, backend.Begun | backend.Progressed)


@pytest.mark.parametrize("model", ["gru(width=4)", "tcn(width=4, kernel=2, levels=2, dropout=0.2)"])
def test_the_same_bits_in_another_process(model: str, workers: Any, tmp_path: Path) -> None:
    """The curve, the trace, the scores, and the last weights, which stand in the checkpoint."""
    run = api.make_run("copy-memory(delay=3, train=96, valid=16, test=16)", model, epochs=2, test_lengths=[5])
    here = measured_of(train(run))
    process, pipe = workers(worker.main, job_of(run, tmp_path / "run.pt"))
    row = row_from(pipe)
    process.join(PATIENCE)
    assert process.exitcode == 0
    saved = Checkpoint(tmp_path / "run.pt", sources.source_hash(run)).load(torch.device("cpu"))
    assert saved is not None
    weights = {name: value.numpy().tobytes().hex() for name, value in saved["network"].items()}
    assert {**measured(row), "weights": weights} == here
    assert row["provenance"]["threads"] == 1
    assert row["peak_memory_mb"] > 10


def test_a_worker_without_a_parent_ends(workers: Any, tmp_path: Path) -> None:
    """Here the pipe is closed; a parent that is killed is in test_interruption.py."""
    run = api.make_run("adding(length=60, train=6400, valid=8, test=8)", "lstm(width=8)", epochs=10_000)
    process, pipe = workers(worker.main, job_of(run, tmp_path / "run.pt"))
    while not isinstance(pipe.recv(), backend.Progressed):
        continue
    pipe.close()
    wait_for(lambda: not psutil.pid_exists(process.pid) or not process.is_alive(), "the worker's end")


@pytest.mark.parametrize(
    ("odd", "limits", "message"),
    [
        (odd_workers.hang, {"start_up_limit": 1.0}, "the worker did not start in time"),
        (odd_workers.leave, {}, "the worker ended with exit code 3 before it sent its row"),
    ],
)
def test_odd_workers_leave_a_row(
    odd: Any,
    limits: dict[str, float],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = write(tmp_path / "one", ONE)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "main", odd)
        display = Recorder()
        with local.Local(**limits) as odd_ones:
            assert sweep_in(folder, display, backend=odd_ones).exit_code == 1
    check_died(folder, display, message)


def check_died(folder: Path, display: Recorder, message: str) -> None:
    (row,) = rows_of(folder)
    assert (row["status"], row["error"]["message"]) == ("died", message)
    assert display.ended == [(row["id"], "died")]
    assert sweep_in(folder).exit_code == 0, "and the next sweep tries again"
    assert [one["status"] for one in rows_of(folder)] == ["died", "done"]


def test_a_worker_that_does_not_listen_leaves_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has half a minute, is asked to stop, and has another minute for that. All of it passes once it is there."""
    folder = write(tmp_path / "one", ONE)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "main", odd_workers.not_listen)
        clock = Clock(lambda: any(folder.glob("deaf-*")))
        patch.setattr(sweep, "time", clock)
        patch.setattr(local, "time", clock)
        display = Recorder()
        assert sweep_in(folder, display, minutes=0.5).exit_code == 75
    check_died(folder, display, "the worker did not stop when asked to")


def test_a_loop_imported_before_it_changed_makes_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fork server imports it before the run is planned: the run's hash alone would be that of the new one."""
    folder = write(tmp_path / "one", ONE)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "main", odd_workers.of_an_older_loop)
        result = sweep_in(folder)
    (text,) = result.refused.values()
    assert "is not the one that the sweep started with" in text
    assert (result.exit_code, rows_of(folder)) == (1, [])


def test_how_a_process_ended() -> None:
    assert processes.how_it_ended(-9) == "was killed by SIGKILL (out of memory, perhaps)"
    assert processes.how_it_ended(-11) == "was killed by SIGSEGV"
    assert processes.how_it_ended(1) == "ended with exit code 1 before it sent its row"
