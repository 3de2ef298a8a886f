"""The command line cut short, by whatever: no process stays behind, and what comes out is as if nothing had been."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import odd_workers
import psutil
import pytest
from command import seqbench
from experiments import (
    PATIENCE,
    Clock,
    Recorder,
    alive,
    checkpoints,
    descendants,
    finish,
    in_session,
    measured,
    measured_here,
    reasons,
    rows_of,
    start,
    sweep_in,
    wait_for,
    write_held,
)
from seqbench.bench.experiments import config
from seqbench.bench.rows.store import Workplace
from seqbench.bench.running import processes, sweep, worker

Launch = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An experiment of one run, which is held: it goes on slowly, until it is interrupted or released."""
    return write_held(tmp_path / "results" / "long")


def release(folder: Path) -> None:
    """From now on the run is as quick as it can be."""
    (folder / "hold").unlink()


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Starts `seqbench run`; whatever still runs after the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_one(*arguments: Any, **environment: str) -> subprocess.Popen[str]:
        started.append(start(*arguments, **environment))
        return started[-1]

    yield start_one
    for process in started:
        for one in in_session(process.pid):
            one.kill()
        process.kill()
        process.communicate()


def wait_for_checkpoint(folder: Path) -> None:
    wait_for(lambda: checkpoints(folder), "a checkpoint")


def fork_servers(process_id: int) -> list[psutil.Process]:
    """The fork server of a process, once it is there. Its own children, the workers, are not among them."""
    found = []
    for child in psutil.Process(process_id).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "forkserver" in " ".join(child.cmdline()):
                found.append(child)
    return found


def fork_server(process_id: int) -> psutil.Process:
    """The same; waits for it."""
    wait_for(lambda: fork_servers(process_id), "the fork server")
    (server,) = fork_servers(process_id)
    return server


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the run measures in one piece."""
    folder = write_held(tmp_path_factory.mktemp("whole"))
    release(folder)
    (run,) = config.load(folder).runs
    return measured_here(run)


def check_uninterrupted(folder: Path, whole: dict[str, Any]) -> None:
    """Goes on here to the end, which must be that of a run in one piece."""
    assert reasons(folder) == ["resumes"]
    release(folder)
    assert sweep_in(folder).exit_code == 0
    row = rows_of(folder)[-1]
    assert row["resumed"] == 1
    assert measured(row) == whole
    assert len({point["learning_rate"] for point in row["curve"][1:]}) > 1, "the schedule has something to forget"


def test_ctrl_c(folder: Path, launch: Launch, whole: dict[str, Any]) -> None:
    """A terminal sends it to all processes, workers and fork server too."""
    process = launch(folder)
    wait_for_checkpoint(folder)
    os.killpg(process.pid, signal.SIGINT)
    code, output = finish(process)
    assert code == 130, output
    assert "stopping: the runs save their checkpoints" in output
    assert f"not done yet; go on with: seqbench run {shlex.quote(str(folder))}" in " ".join(output.split())
    assert "Traceback" not in output
    assert rows_of(folder) == []
    check_uninterrupted(folder, whole)


def has_sigterm(process_id: int, kind: str) -> bool:
    """Whether a process does that with it: `SigCgt`, it has a handler; `SigBlk`, it holds it back."""
    signals = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8").split(f"{kind}:")[1].split()[0]
    return bool(int(signals, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux says what a process listens for")
def test_sigterm_to_all_before_anything_has_begun(folder: Path, launch: Launch) -> None:
    """As a scheduler sends it. The fork server, which still imports, must not be killed, or no worker starts."""
    process = launch(folder)
    server = fork_server(process.pid)
    server.terminate()
    wait_for(lambda: has_sigterm(process.pid, "SigCgt"), "the sweep")
    wait_for(lambda: has_sigterm(process.pid, "SigBlk") or server.children(), "the start of the worker")
    assert alive([server])
    os.killpg(process.pid, signal.SIGTERM)
    code, output = finish(process)
    assert code == 143, output
    assert "Traceback" not in output
    wait_for(lambda: not in_session(process.pid), "the end of all its processes")
    assert rows_of(folder) == []
    assert reasons(folder) == ["resumes"], "the worker has started, and stopped when it was asked to"


def test_a_killed_parent_leaves_nothing_behind(folder: Path, launch: Launch, whole: dict[str, Any]) -> None:
    process = launch(folder)
    wait_for_checkpoint(folder)
    family = descendants(process.pid)
    assert len(family) >= 2, "the fork server and the worker"
    process.kill()
    assert process.wait() == -signal.SIGKILL
    wait_for(lambda: not in_session(process.pid), "the end of all its processes")
    assert not alive(family)
    assert rows_of(folder) == []
    check_uninterrupted(folder, whole)


def test_out_of_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The half minute that it has passes once there is a checkpoint. The run is not done by then, as it is held."""
    monkeypatch.setattr(sweep, "time", Clock(lambda: bool(checkpoints(folder))))
    answer = seqbench("run", folder, "--device", "cpu", "--for", "0.5")
    assert answer.code == 75, answer.err
    assert "go on with" in answer.out
    assert rows_of(folder) == []
    assert reasons(folder) == ["resumes"]


def test_a_second_run_is_refused(folder: Path, launch: Launch) -> None:
    with Workplace(folder).held():
        process = launch(folder)
        server = fork_server(process.pid)
        server.suspend()  # so that it cannot end by itself
        code = process.wait(PATIENCE)
    wait_for(lambda: not alive([server]), "the end of the fork server")
    wait_for(lambda: not in_session(process.pid), "the end of all its processes")
    output = finish(process)[1]
    assert code == 2
    lock = folder.parents[1] / "runs" / "long" / "lock"
    assert output.splitlines() == [f"seqbench: {folder}: another process runs or publishes it (it holds {lock})"]


@pytest.mark.parametrize("sent", processes.STOPPING)
def test_a_signal_to_a_sweep_within_a_program(sent: signal.Signals, folder: Path) -> None:
    """The handlers that were there before are there again after it."""
    before = [signal.getsignal(number) for number in processes.STOPPING]
    once = iter([sent])
    display = Recorder(on_progress=lambda run, steps: [signal.raise_signal(number) for number in once])
    assert sweep_in(folder, display).exit_code == 128 + sent
    assert len(display.said) == 1
    assert [status for _, status in display.ended] == [None]
    assert [signal.getsignal(number) for number in processes.STOPPING] == before
    assert reasons(folder) == ["resumes"]


def test_what_is_ignored_stays_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`nohup seqbench run` goes on when its terminal is closed."""
    release(folder)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        display = Recorder(on_progress=lambda run, steps: signal.raise_signal(signal.SIGHUP))
        assert sweep_in(folder, display).exit_code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_c_twice_stops_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker does not listen, so that the first Ctrl-C alone would end it only after a minute, with a row."""
    monkeypatch.setattr(worker, "main", odd_workers.not_listen)
    display = Recorder()

    def press() -> None:
        wait_for(lambda: [*folder.glob("deaf-*")], "the worker")
        os.kill(os.getpid(), signal.SIGINT)
        wait_for(lambda: display.said, "the answer to the first Ctrl-C")
        os.kill(os.getpid(), signal.SIGINT)

    presses = threading.Thread(target=press)
    display.on_begin = presses.start
    assert sweep_in(folder, display).exit_code == 130
    presses.join()
    assert display.said[1] == "stopped at once: the next run goes on from the last checkpoints"
    assert (rows_of(folder), display.ended) == ([], [])
    (name,) = (path.name for path in folder.glob("deaf-*"))
    worker_id = int(name.removeprefix("deaf-"))
    wait_for(lambda: worker_id not in [one.pid for one in in_session(os.getsid(0))], "the end of the worker")
