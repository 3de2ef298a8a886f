"""A sweep whose runs share one process, as on a GPU: rows, stops and deaths are those of runs alone."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from experiments import (
    OWN,
    OWN_MODEL,
    SMALL,
    Recorder,
    checkpoints,
    measured,
    measured_here,
    reasons,
    rows_of,
    sweep_in,
    write,
)
from seqbench.bench.experiments import config
from seqbench.bench.running import local, processes

FOUR = SMALL.replace("rows:", "seeds: [0, 1]\nrows:")
pytestmark = pytest.mark.usefixtures("forgotten")


def check_rows(folder: Path, resumed: int | None = None) -> list[dict[str, Any]]:
    """The newest row of each run is what it measures alone; returns them."""
    newest = {row["id"]: row for row in rows_of(folder)}
    runs = config.load(folder).runs
    assert set(newest) == {run.id for run in runs}
    for run in runs:
        assert measured(newest[run.id]) == measured_here(run)
        assert resumed is None or newest[run.id]["resumed"] == resumed
    return [newest[run.id] for run in runs]


def test_rows_are_those_of_lone_runs(tmp_path: Path) -> None:
    folder, display = write(tmp_path / "four", FOUR), Recorder()
    steps: dict[str, int] = {}
    display.on_progress = lambda run, step: steps.update({run.id: step})
    assert sweep_in(folder, display, packed=True, jobs=3).exit_code == 0
    rows = check_rows(folder, resumed=0)
    assert sorted(display.ended) == sorted((row["id"], "done") for row in rows)
    assert set(steps) <= {row["id"] for row in rows}
    assert steps
    assert max(row["provenance"].get("beside", 0) for row in rows) == 2, "three at a time"
    assert all(row["seconds"]["cpu"] > 0 for row in rows)
    assert checkpoints(folder) == []


def test_cut_short_and_gone_on_with(tmp_path: Path) -> None:
    """All that were begun have saved a checkpoint; the others are as they were."""
    folder, display = write(tmp_path / "four", FOUR.replace("epochs: 2", "epochs: 30")), Recorder()
    display.on_progress = lambda run, step: os.kill(os.getpid(), signal.SIGTERM)
    assert sweep_in(folder, display, packed=True, jobs=3).exit_code == 143
    assert rows_of(folder) == []
    assert reasons(folder).count("resumes") == len(checkpoints(folder)) == 3
    assert reasons(folder).count("new") == 1
    assert [status for _, status in display.ended] == [None] * 3
    assert sweep_in(folder, packed=True, jobs=4).exit_code == 0
    rows = check_rows(folder)
    assert sum(row["resumed"] for row in rows) == 3


def killing(folder: Path, marker: Path, text: str = OWN) -> Path:
    """An experiment whose first run kills its process at its 9th step, the first time."""
    body = (
        f"self.calls = getattr(self, 'calls', 0) + self.training\n"
        f"        if self.calls == 9 and not Path({str(marker)!r}).exists():\n"
        f"            Path({str(marker)!r}).touch()\n"
        f"            os.kill(os.getpid(), signal.SIGKILL)"
    )
    return write(folder, text, my_model=OWN_MODEL.replace("BODY", body))


def test_a_death_takes_along_what_was_begun(tmp_path: Path) -> None:
    folder = killing(tmp_path / "own", tmp_path / "killed")
    assert sweep_in(folder, packed=True, jobs=2, checkpoint_every=0.0).exit_code == 1
    assert [row["status"] for row in rows_of(folder)] == ["died", "died"]
    assert reasons(folder) == ["resumes", "resumes"]
    assert sweep_in(folder, packed=True, jobs=2).exit_code == 0
    check_rows(folder, resumed=1)


def test_what_was_not_begun_goes_to_another_process(tmp_path: Path) -> None:
    folder = killing(tmp_path / "own", tmp_path / "killed")
    assert sweep_in(folder, packed=True, jobs=1).exit_code == 1
    by_status = {row["status"]: row for row in rows_of(folder)}
    assert set(by_status) == {"died", "done"}
    assert "my_model" in by_status["died"]["label"]


def test_a_failure_is_a_row_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", OWN, my_model=OWN_MODEL.replace("BODY", "raise ArithmeticError('too hard')"))
    assert sweep_in(folder, packed=True, jobs=2).exit_code == 1
    failed, done = sorted(rows_of(folder), key=lambda row: row["status"], reverse=True)
    assert failed["status"] == "failed"
    assert re.fullmatch(r"my_model\.py:\d+: ArithmeticError: too hard", failed["error"]["message"])
    assert "my_model.py" in failed["error"]["traceback"]
    assert measured(done) == measured_here(next(run for run in config.load(folder).runs if run.id == done["id"]))


def test_threads_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row says how many it had; more of them than cores are said."""
    monkeypatch.setattr(local, "cores", lambda: 2)
    folder, display = write(tmp_path / "small"), Recorder()
    assert sweep_in(folder, display, jobs=2, threads=2).exit_code == 0
    assert [row["provenance"]["threads"] for row in rows_of(folder)] == [2, 2]
    assert display.said == ["2 runs at a time with 2 threads each share 2 cores"]


@pytest.mark.parametrize(("cores", "threads", "jobs"), [(8, 1, 8), (8, 2, 4), (8, 3, 2), (2, 4, 1)])
def test_runs_at_a_time(cores: int, threads: int, jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: cores)
    assert processes.default_jobs("cpu", threads) == jobs
    assert processes.default_jobs("cuda", threads) > 8
