"""The campaign of faults (`make faults`): what it does is what it says, and a few of its trials find nothing."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

sys.path.insert(1, str(Path(__file__).parent / "faults"))
import commands
import corruption
import disk
import servers
from trials import Trial

needs_a_compiler = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("cc") is None, reason="disk errors need Linux and a C compiler"
)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["_checkpoint", "_encoded_text", "_archive"])
def test_trials_that_find_nothing(kind: str, seed: int, tmp_path: Path) -> None:
    one = Trial(seed, tmp_path)
    getattr(servers if kind == "_archive" else corruption, kind)(one)
    assert one.findings == []
    assert sum(one.counts.values()) >= 1


class Process:
    """As psutil has it. used: seconds of a processor, at each look so much more. status: what it does at each look."""

    def __init__(self, used: float, status: str) -> None:
        self.used, self.step, self.status_ = 0.0, used, status

    def cpu_times(self) -> tuple[float, float]:
        self.used += self.step
        return self.used, 0.0

    def status(self) -> str:
        return self.status_


@pytest.mark.parametrize(
    ("used", "status", "hangs"),
    [
        (0.0, psutil.STATUS_SLEEPING, True),  # it waits for what will never come
        (0.0, psutil.STATUS_RUNNING, False),  # it waits for a processor that others have
        (0.05, psutil.STATUS_SLEEPING, False),
        (2.0, psutil.STATUS_RUNNING, True),  # an endless loop
    ],
)
def test_a_slow_machine_is_no_hang(used: float, status: str, hangs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    process, seconds = Process(used, status), itertools.count()
    monkeypatch.setattr(commands, "in_session", lambda session: [process])
    monkeypatch.setattr(commands.time, "monotonic", lambda: next(seconds))
    watch = commands.Watch(1)
    assert any(watch.hangs() for _ in range(2 * commands.IDLE_SECONDS)) == hangs


def test_two_results_of_a_run_are_a_finding(tmp_path: Path) -> None:
    one = Trial(0, tmp_path)
    rows = [{"id": "a", "status": "died"}, {"id": "a", "status": "done"}, {"id": "b", "status": "done"}]
    one.check_no_doubles(rows, "kills")
    assert one.findings == []
    one.check_no_doubles([*rows, {"id": "a", "status": "diverged"}], "kills")
    assert one.findings == ["doubled: kills: a"]


def test_a_seed_repeats_a_trial(tmp_path: Path) -> None:
    drawn = [corruption.damaged(Trial(3, tmp_path), bytes(range(200))) for _ in range(2)]
    assert drawn[0] == drawn[1] != bytes(range(200))


@needs_a_compiler
@pytest.mark.parametrize(("call", "short"), [(1, ""), (2, ""), (2, "1")])
def test_the_disk_refuses_when_it_is_told_to(call: int, short: str, tmp_path: Path) -> None:
    """The first call that it counts makes the file, the second writes to it; a short write does a half."""
    code = f"import os; f = os.open({str(tmp_path / 'a')!r}, os.O_CREAT | os.O_WRONLY); print(os.write(f, b'four'))"
    refusing = {"FAULTS_UNDER": str(tmp_path), "FAULTS_AT": str(call), "FAULTS_FOR": "1", "FAULTS_ERRNO": "28"}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "LD_PRELOAD": disk.library(tmp_path.parent), "FAULTS_SHORT": short, **refusing},
        capture_output=True,
        text=True,
    )
    if short:
        assert (ended.stdout, ended.returncode) == ("2\n", 0)
    else:
        assert "No space left on device" in ended.stderr
