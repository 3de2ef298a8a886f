"""A sweep: a row for each run, whatever becomes of it; what is there already is not made again."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import made_rows
import pytest
from backends import Scripted
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
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config
from seqbench.bench.rows import sources
from seqbench.bench.rows.store import RowFile, Workplace, untouched

OWN_TASK = '''\
"""A task that needs a file which no one has."""

from seqbench.tasks import adding, datasets


class Task(adding.Task):
    """Adding with a file."""

    remotes = (datasets.Remote("mine/numbers.bin", "0" * 64),)
'''


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Hashes are kept for the life of a process; here files change within it."""
    sources.forget()
    yield
    sources.forget()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recorder]:
    """An experiment that has been run once, without a hitch; not to be changed."""
    folder, display = write(tmp_path_factory.mktemp("small") / "results" / "small"), Recorder()
    assert sweep_in(folder, display).exit_code == 0
    return folder, display


def test_a_row_for_each_run(small: tuple[Path, Recorder]) -> None:
    folder, display = small
    rows, runs = rows_of(folder), config.load(folder).runs
    assert {row["id"] for row in rows} == {run.id for run in runs}
    assert (display.planned, display.done, sorted(display.ended)) == (2, 0, sorted((run.id, "done") for run in runs))
    assert folder.parent.parent / "runs" / "small" / "runs.jsonl" == Workplace(folder).working.path
    assert not (folder / "runs.jsonl").exists(), "nothing is published by itself"
    assert checkpoints(folder) == [], "of a finished run nothing is kept"


def test_rows_are_whole(small: tuple[Path, Recorder]) -> None:
    folder, _ = small
    lines = Workplace(folder).working.path.read_bytes().splitlines()
    assert rows_of(folder) == [json.loads(line) for line in lines], "row_shape names every key"
    by_id = {run.id: run for run in config.load(folder).runs}
    for row in rows_of(folder):
        run = by_id[row["id"]]
        assert untouched(row)
        assert row["config"] == run.config
        assert (row["status"], row["device"], row["error"], row["resumed"]) == ("done", "cpu", None, 0)
        assert row["parameters"] == run.make_network(run.make_task()).parameter_count
        assert set(row["provenance"]) >= made_rows.REQUIRED
        assert row["provenance"]["source"] == sources.source_hash(run)
        assert row["provenance"]["threads"] == 1
        assert row["provenance"]["started"] <= row["provenance"]["finished"]
        assert row["seconds"]["training"] > 0


def test_rows_are_what_training_here_gives(small: tuple[Path, Recorder]) -> None:
    """In other processes, two at a time: the same bits."""
    folder, _ = small
    rows = {row["id"]: row for row in rows_of(folder)}
    for run in config.load(folder).runs:
        assert measured(rows[run.id]) == measured_here(run)


def test_finished_runs_are_not_made_again(small: tuple[Path, Recorder]) -> None:
    folder, display = small[0], Recorder()
    before = rows_of(folder)
    assert reasons(folder) == ["finished", "finished"]
    assert sweep_in(folder, display).exit_code == 0
    assert (display.planned, display.done, display.ended) == (0, 2, [])
    assert rows_of(folder) == before


def test_published_rows_count_too(small: tuple[Path, Recorder], tmp_path: Path) -> None:
    folder = write(tmp_path / "results" / "small")
    assert reasons(folder) == ["new", "new"]
    Workplace(folder).published.append(rows_of(small[0])[0])
    assert sorted(reasons(folder)) == ["finished", "new"]


def test_afresh_and_one_at_a_time(tmp_path: Path) -> None:
    folder = write(tmp_path / "small")
    seen: list[str] = []
    display = Recorder(on_progress=lambda run, steps: seen.append(run.id) if run.id not in seen[-1:] else None)
    assert sweep_in(folder).exit_code == 0
    assert reasons(folder, afresh=True) == ["afresh", "afresh"]
    assert sweep_in(folder, display, afresh=True, jobs=1).exit_code == 0
    assert seen == [run.id for run in config.load(folder).runs], "one after the other, in the grid's order"
    rows = rows_of(folder)
    assert len(rows) == 4
    assert {row["id"]: measured(row) for row in rows[:2]} == {row["id"]: measured(row) for row in rows[2:]}


def test_a_users_model_is_found_and_its_rows_grow_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a path relative to the experiment, from any folder, in the worker too; stale by code, not by comments."""
    folder = write(tmp_path / "own", OWN, my_model=OWN_MODEL.replace("BODY", "inputs = inputs * 1.0"))
    monkeypatch.chdir("/")
    assert sweep_in(folder).exit_code == 0

    def edit(old: str, new: str) -> None:
        file = folder / "my_model.py"
        file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        sources.forget()

    edit("# no comment yet", "# a comment")
    assert reasons(folder) == ["finished", "finished"]
    edit("1.0", "2.0")
    assert reasons(folder) == ["finished, stale", "finished"]
    assert sweep_in(folder, stale=False).rows == [], "said, but not made again unless asked to"
    assert reasons(folder, stale=True) == ["stale", "finished"]
    assert sweep_in(folder, stale=True).exit_code == 0
    old, new = (row for row in rows_of(folder) if "my_model" in row["label"])
    assert old["provenance"]["source"] != new["provenance"]["source"]
    assert measured(old) != measured(new)
    assert reasons(folder) == ["finished", "finished"]


def test_a_source_that_changes_during_the_sweep_gets_no_row_of_the_old_one(tmp_path: Path) -> None:
    """The hash is taken when the sweep starts, the file is read by each worker: they must be of one source."""
    folder = write(tmp_path / "own", OWN, my_model=OWN_MODEL.replace("BODY", "inputs = inputs * 1.0"))
    assert reasons(folder) == ["new", "new"]
    for run in config.load(folder).runs:
        sources.source_hash(run)
    write(folder, OWN, my_model=OWN_MODEL.replace("BODY", "inputs = inputs * 2.0"))
    display = Recorder()
    result = sweep_in(folder, display)
    assert (result.exit_code, [*result.refused]) == (1, [config.load(folder).runs[0].id])
    assert any("is not the one that the sweep started with" in text for text in display.said)
    (row,) = rows_of(folder)
    assert "tcn" in row["label"]
    sources.forget()
    assert sweep_in(folder).exit_code == 0


@pytest.mark.parametrize("where", ["model", "task"])
def test_what_raises_becomes_a_row_and_the_rest_goes_on(where: str, tmp_path: Path) -> None:
    text, files = OWN, {"my_model": OWN_MODEL.replace("BODY", "raise ArithmeticError('too hard')")}
    if where == "task":
        text = SMALL.replace("rows:\n", "rows:\n- {task: my_task.py(length=9), models: [gru(width=3)]}\n")
        raising = "\n    def load(self, seed):\n        raise ArithmeticError('too hard')\n"
        files = {"my_task": OWN_TASK.replace("(datasets.Remote", "() and (datasets.Remote") + raising}
    folder, display = write(tmp_path / "own", text, **files), Recorder()
    assert sweep_in(folder, display).exit_code == 1
    failed = [row for row in rows_of(folder) if row["status"] == "failed"]
    (message,) = (row["error"]["message"] for row in failed)
    assert re.fullmatch(rf"my_{where}\.py:\d+: ArithmeticError: too hard", message), "and the line of their file"
    assert f"my_{where}.py" in failed[0]["error"]["traceback"]
    assert set(failed[0]["provenance"]) >= made_rows.REQUIRED
    others = [row for row in rows_of(folder) if row["status"] == "done"]
    assert len(others) == len(config.load(folder).runs) - 1
    assert sorted(set(reasons(folder))) == ["finished", "tried again"]


def test_a_killed_worker_becomes_a_row_and_the_next_sweep_goes_on_with_it(tmp_path: Path) -> None:
    """Killed as by the system when memory is short, at the 9th of 16 steps, 8 of which a checkpoint holds."""
    marker = tmp_path / "killed"
    body = (
        f"self.calls = getattr(self, 'calls', 0) + self.training\n"
        f"        if self.calls == 9 and not Path({str(marker)!r}).exists():\n"
        f"            Path({str(marker)!r}).touch()\n"
        f"            os.kill(os.getpid(), signal.SIGKILL)"
    )
    folder = write(tmp_path / "own", OWN, my_model=OWN_MODEL.replace("BODY", body))
    display = Recorder()
    assert sweep_in(folder, display, checkpoint_every=0.0).exit_code == 1
    by_status = {row["status"]: row for row in rows_of(folder)}
    assert set(by_status) == {"died", "done"}
    died = by_status["died"]
    assert died["error"]["message"] == "the worker was killed by SIGKILL (out of memory, perhaps)"
    assert (died["id"], "died") in display.ended
    assert [file.name for file in checkpoints(folder)] == [f"{died['id']}-cpu.pt"]
    assert reasons(folder) == ["resumes", "finished"]
    assert sweep_in(folder).exit_code == 0
    row = rows_of(folder)[-1]
    assert (row["id"], row["resumed"]) == (died["id"], 1)
    assert measured(row) == measured_here(config.load(folder).runs[0])
    assert checkpoints(folder) == []


def test_a_diverged_run_is_a_result(tmp_path: Path) -> None:
    text = SMALL.replace("clip: 1.0", "optimizer: sgd, learning_rate: 1.0e+30")
    folder = write(tmp_path / "hot", text)
    assert sweep_in(folder).exit_code == 0
    assert [row["status"] for row in rows_of(folder)] == ["diverged", "diverged"]
    assert reasons(folder) == ["finished", "finished"]


def test_a_file_that_cannot_be_had_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQBENCH_MIRROR", str(tmp_path / "empty"))
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "data"))
    needy = "- {task: my_task.py(length=9), training: {epochs: 1}, models: [gru(width=3), lstm(width=3)]}\n"
    folder, display = write(tmp_path / "own", SMALL + needy, my_task=OWN_TASK), Recorder()
    result = sweep_in(folder, display, backend=Scripted())
    assert result.exit_code == 0
    assert [row["status"] for row in rows_of(folder)] == ["done", "done"]
    assert len(display.said) == 1
    assert display.said[0].startswith("my_task.py is left out: mine/numbers.bin (sha256 of the payload 000")
    assert str(tmp_path / "empty" / "mine" / "numbers.bin") in display.said[0]
    assert list(result.unavailable) == ["my_task.py"]
    lonely, display = write(tmp_path / "lonely", "question: q\nrows:\n" + needy, my_task=OWN_TASK), Recorder()
    assert sweep_in(lonely, display).exit_code == 1, "nothing could run"
    assert len(display.said) == 1


def test_a_torn_line_is_mended_and_said(small: tuple[Path, Recorder], tmp_path: Path) -> None:
    folder, display = write(tmp_path / "small"), Recorder()
    working = Workplace(folder).working
    for row in rows_of(small[0]):
        working.append(row)
    with working.path.open("ab") as file:
        file.write(b'{"id": "c0')
    assert sweep_in(folder, display).exit_code == 0
    assert [text.partition(": ")[2] for text in display.said] == [
        "the last line was half-written (10 bytes); it is now in runs.jsonl.damaged"
    ]


def test_only_one_sweep_at_a_time(tmp_path: Path) -> None:
    folder = write(tmp_path / "small")
    with Workplace(folder).held(), pytest.raises(UsageError, match="another process runs or publishes it"):
        sweep_in(folder)
    assert rows_of(folder) == []


def test_a_full_disk_loses_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: RowFile, row: dict[str, object]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = write(tmp_path / "small", SMALL.replace('"gru(width=4)", ', ""))
    with monkeypatch.context() as patch:
        patch.setattr(RowFile, "append", full)
        with pytest.raises(UsageError, match=r"cannot write .+runs\.jsonl: No space left on device; the run's check"):
            sweep_in(folder)
    assert reasons(folder) == ["resumes"]
    assert sweep_in(folder).exit_code == 0
    (row,) = rows_of(folder)
    assert row["resumed"] == 1
    assert measured(row) == measured_here(config.load(folder).runs[0])
