"""The command line cut short, by whatever: no process stays behind, and what comes out is as if nothing had been."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import odd_workers
import psutil
import pytest
from experiments import (
    LONG,
    Recorder,
    alive,
    checkpoints,
    descendants,
    finish,
    measured,
    measured_here,
    reasons,
    rows_of,
    start,
    sweep_in,
    wait_for,
    write,
)
from seqbench.bench import config, worker
from seqbench.bench.store import Workplace

Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "results" / "long", LONG)


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Starts `seqbench run`; whatever still runs after the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_one(*arguments: Any, **environment: str) -> subprocess.Popen[str]:
        started.append(start(*arguments, **environment))
        return started[-1]

    yield start_one
    for process in started:
        for one in descendants(process.pid) if process.poll() is None else []:
            one.kill()
        process.kill()
        process.communicate()


def wait_for_new_checkpoint(folder: Path) -> None:
    before = [file.stat().st_mtime_ns for file in checkpoints(folder)]
    wait_for(lambda: [file.stat().st_mtime_ns for file in checkpoints(folder)] > before, what="a checkpoint")


def command_lines(process_id: int) -> str:
    """Those of all children."""
    lines = []
    for child in psutil.Process(process_id).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            lines.extend(child.cmdline())
    return " ".join(lines)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the run measures in one piece."""
    (run,) = config.load(write(tmp_path_factory.mktemp("whole"), LONG)).runs
    return measured_here(run)


def check_uninterrupted(folder: Path, whole: dict[str, Any]) -> None:
    """Goes on here to the end, which must be that of a run in one piece."""
    assert reasons(folder) == ["resumes"]
    assert sweep_in(folder).exit_code == 0
    row = rows_of(folder)[-1]
    assert row["resumed"] == 1
    assert measured(row) == whole
    assert len({point["learning_rate"] for point in row["curve"][1:]}) > 1, "the schedule has something to forget"


def test_ctrl_c(folder: Path, launch: Launch, whole: dict[str, Any]) -> None:
    """A terminal sends it to all processes, workers and fork server too."""
    process = launch(folder)
    wait_for_new_checkpoint(folder)
    os.killpg(process.pid, signal.SIGINT)
    code, output = finish(process)
    assert code == 130, output
    assert "stopping: the runs save their checkpoints" in output
    assert f"not done yet; go on with: seqbench run {folder}" in " ".join(output.split())
    assert "Traceback" not in output
    assert rows_of(folder) == []
    check_uninterrupted(folder, whole)


def listens_for_sigterm(process_id: int) -> bool:
    """Whether a process has a handler for it."""
    caught = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8").split("SigCgt:")[1].split()[0]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux says what a process listens for")
def test_sigterm_to_all_before_anything_has_begun(folder: Path, launch: Launch) -> None:
    """As a scheduler sends it. The fork server, which still imports, must not be killed, or no worker starts."""
    process = launch(folder)
    wait_for(lambda: "forkserver" in command_lines(process.pid), what="the fork server")
    (server,) = [one for one in descendants(process.pid) if "forkserver" in " ".join(one.cmdline())]
    server.terminate()
    wait_for(lambda: listens_for_sigterm(process.pid), what="the sweep")
    assert alive([server])
    os.killpg(process.pid, signal.SIGTERM)
    family = descendants(process.pid)
    code, output = finish(process)
    assert code == 143, output
    assert "Traceback" not in output
    wait_for(lambda: not alive(family), 2, "the end of all its processes")
    assert rows_of(folder) == []
    assert reasons(folder) == ["resumes"], "the worker has started, and stopped when it was asked to"


def test_a_killed_parent_leaves_nothing_behind(folder: Path, launch: Launch, whole: dict[str, Any]) -> None:
    process = launch(folder)
    wait_for_new_checkpoint(folder)
    family = descendants(process.pid)
    assert len(family) >= 2, "the fork server and the worker"
    process.kill()
    assert process.wait() == -signal.SIGKILL
    wait_for(lambda: not alive(family), 2, "the end of all its processes")
    assert rows_of(folder) == []
    check_uninterrupted(folder, whole)


def test_out_of_time(folder: Path, launch: Launch) -> None:
    """After 1.2 seconds, wherever the run is then."""
    code, output = finish(launch(folder, "--for", "0.02"))
    assert code == 75, output
    assert "go on with" in output
    assert rows_of(folder) == []
    assert reasons(folder) == ["resumes"]


def test_a_second_run_is_refused(folder: Path, launch: Launch) -> None:
    with Workplace(folder).held():
        process = launch(folder)
        wait_for(lambda: "forkserver" in command_lines(process.pid), what="the fork server")
        family = descendants(process.pid)
        code = process.wait(60)
    wait_for(lambda: not alive(family), 1, "the end of the fork server, which would import for longer")
    output = finish(process)[1]
    assert code == 2
    lock = folder.parents[1] / "runs" / "long" / "lock"
    assert output.splitlines() == [f"seqbench: {folder}: another process runs or publishes it (it holds {lock})"]


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_a_sweep_within_a_program(sent: signal.Signals, code: int, folder: Path) -> None:
    """The handlers that were there before are there again after it."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    once = iter([sent])
    display = Recorder(on_progress=lambda run, steps: [signal.raise_signal(number) for number in once])
    assert sweep_in(folder, display).exit_code == code
    assert [status for _, status in display.ended] == [None]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert reasons(folder) == ["resumes"]


def test_ctrl_c_twice_stops_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "main", odd_workers.not_listen)
    timers = [threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)) for seconds in (0.5, 1.0)]
    begin, display = time.monotonic(), Recorder(on_begin=lambda: [timer.start() for timer in timers])
    try:
        assert sweep_in(folder, display).exit_code == 130
    finally:
        for timer in timers:
            timer.cancel()
    assert time.monotonic() - begin < 10
    assert display.said[1] == "stopped at once: the next run goes on from the last checkpoints"
    assert rows_of(folder) == []
