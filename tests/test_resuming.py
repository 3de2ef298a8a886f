"""A run that is stopped and goes on gives what it would have given, to the bit; and what a checkpoint is."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from experiments import after, in_pieces, measured_of
from filelock import FileLock
from seqbench.bench import api, checkpoint
from seqbench.bench.checkpoint import Checkpoint, Owned
from seqbench.bench.training import Stopped, train

CPU = torch.device("cpu")
CONTENT = {"network": {"weight": torch.arange(6.0).reshape(2, 3)}, "progress": {"curve": [{"epoch": 1}], "step": 0}}

TASK = "adding(length=8, train=60, valid=16, test=16)"
SETTINGS = {"epochs": 4, "batch": 2}
"""4 epochs of 30 steps, with a point of the trace after every step."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints" / "run-cpu.pt"


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam", "weight_decay": 0.01},
        {"optimizer": "rmsprop", "momentum": 0.5},
        {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.01, "clip": 0.1},
        {"optimizer": "adagrad", "schedule": "step(every=1, by=0.5)"},
        {"optimizer": "adam", "learning_rate": 0.03, "schedule": "plateau(by=0.5, window=1, after=0)"},
    ],
    ids=["adam", "rmsprop", "sgd", "adagrad", "plateau"],
)
@pytest.mark.parametrize(
    "model",
    ["tcn(width=3, kernel=2, levels=2, dropout=0.3)", "gru(width=3, layers=2, dropout=0.3)"],
    ids=["tcn", "gru"],
)
def test_stopped_anywhere_is_uninterrupted(settings: dict[str, Any], model: str, file: Path) -> None:
    """Before the first step, twice in one place, within an epoch, at the end of one, and one step before the end."""
    run = api.make_run(TASK, model, **SETTINGS, **settings)
    whole = train(run)
    rates = {point["learning_rate"] for point in whole.progress.curve[1:]}
    assert "schedule" not in settings or len(rates) > 1, "the schedule has something to forget"
    assert measured_of(in_pieces(run, file, [0, 0, 1, 13, 16, 30, 59])) == measured_of(whole)


def test_stopped_between_two_points_of_the_trace(file: Path) -> None:
    """600 steps have a point every 3 steps: the losses since the last one are kept too."""
    run = api.make_run("adding(length=4, train=300, valid=4, test=4)", "rnn(width=2)", epochs=2, batch=1)
    whole = train(run)
    assert [steps for steps, _ in whole.progress.trace][:3] == [3, 6, 9]
    assert measured_of(in_pieces(run, file, [1, 1, 8, 289, 2])) == measured_of(whole)


def test_killed_anywhere_is_uninterrupted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill comes where no one asks: what counts is the last checkpoint that was saved as it fell due."""
    run = api.make_run(TASK, "tcn(width=3, kernel=2, levels=2, dropout=0.3)", **SETTINGS)
    whole = train(run)
    step = torch.optim.Adam.step
    for survived in (1, 13, 16, 30, 31):
        with monkeypatch.context() as patch:
            steps = iter(range(survived))

            def killed(*arguments: Any, steps: Any = steps) -> Any:
                if next(steps, None) is None:
                    raise KeyboardInterrupt
                return step(*arguments)

            patch.setattr(torch.optim.Adam, "step", killed)
            with pytest.raises(KeyboardInterrupt), Checkpoint(file, every=0.0) as kept:
                train(run, checkpoint=kept)
    with Checkpoint(file, every=0.0) as kept:
        outcome = train(run, checkpoint=kept)
    assert outcome.progress.resumed == 5
    assert measured_of(outcome) == measured_of(whole)


def test_a_finished_run_goes_on_to_the_same_end(file: Path) -> None:
    """The worker may be killed after the last epoch, before its row is on the disk."""
    run = api.make_run(TASK, "gru(width=3)", **SETTINGS)
    outcomes = []
    for _ in range(2):
        with Checkpoint(file) as kept:
            outcomes.append(measured_of(train(run, checkpoint=kept)))
    assert outcomes[0] == outcomes[1]


def test_times_go_on_where_they_were(file: Path) -> None:
    run = api.make_run(TASK, "gru(width=3)", **SETTINGS)
    with Checkpoint(file) as kept, pytest.raises(Stopped):
        train(run, checkpoint=kept, should_stop=after(70))
    saved = Checkpoint(file).load(CPU)
    assert saved is not None
    with Checkpoint(file) as kept:
        progress = train(run, checkpoint=kept).progress
    for name in ("training_seconds", "evaluation_seconds", "cpu_seconds"):
        assert getattr(progress, name) > saved["progress"][name] > 0
    seconds = [point["seconds"] for point in progress.curve]
    assert seconds == sorted(seconds)


def test_a_stop_without_a_checkpoint_is_a_stop() -> None:
    with pytest.raises(Stopped, match="gru seed 0"):
        train(api.make_run(TASK, "gru(width=3)", **SETTINGS), should_stop=after(3))


# The file itself.


def same(content: dict[str, Any] | None) -> bool:
    assert content is not None
    return torch.equal(content["network"]["weight"], CONTENT["network"]["weight"]) and (
        content["progress"] == CONTENT["progress"]
    )


def test_saved_and_loaded(file: Path) -> None:
    with Checkpoint(file, "stamp") as kept:
        assert kept.load(CPU) is None
        kept.save(CONTENT)
        assert same(kept.load(CPU))
        assert [path.name for path in file.parent.glob("*pt*") if path.suffix != ".lock"] == [file.name]


def test_another_stamp_is_not_gone_on_with(file: Path) -> None:
    with Checkpoint(file, "old") as kept:
        kept.save(CONTENT)
    with Checkpoint(file, "new") as kept:
        assert kept.load(CPU) is None
        kept.save(CONTENT)
        assert same(kept.load(CPU))


def test_due_after_so_many_seconds(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    kept = Checkpoint(file, every=60.0)
    file.parent.mkdir()
    assert not kept.due
    now[0] += 60
    assert kept.due
    kept.save(CONTENT)
    assert not kept.due


def test_what_takes_long_to_save_is_due_more_seldom(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(checkpoint.os, "fsync", lambda _: now.__setitem__(0, now[0] + 9))  # nine seconds on the disk
    kept = Checkpoint(file, every=60.0)
    file.parent.mkdir()
    kept.save(CONTENT)
    now[0] += 179
    assert not kept.due
    now[0] += 1
    assert kept.due


@pytest.mark.parametrize("fails", ["torch.save", "os.fsync", "Path.replace"])
def test_a_failure_to_save_leaves_the_old_file(fails: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        if fails == "torch.save":
            arguments[1].write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Checkpoint(file) as kept:
        kept.save(CONTENT)
        owner = {"torch": checkpoint.torch, "os": checkpoint.os, "Path": Path}[fails.partition(".")[0]]
        with monkeypatch.context() as patch:
            patch.setattr(owner, fails.partition(".")[2], full)
            with pytest.raises(OSError, match="No space left"):
                kept.save({"network": {}, "progress": {}})
        assert same(kept.load(CPU))
        assert not list(file.parent.glob("*.tmp"))


@pytest.mark.parametrize("damage", ["half", "empty", "text", "pickle", "flipped"])
def test_a_damaged_file_is_set_aside(damage: str, file: Path) -> None:
    with Checkpoint(file) as kept:
        kept.save(CONTENT)
        content = file.read_bytes()
        place = content.index(CONTENT["network"]["weight"].numpy().tobytes())  # type: ignore[index]
        damaged = {
            "half": content[: len(content) // 2],
            "empty": b"",
            "text": b"this is not a checkpoint",
            "pickle": b"\x80\x02R.",  # for which torch.load raises IndexError
            "flipped": content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :],
        }[damage]
        file.write_bytes(damaged)
        assert kept.load(CPU) is None
        assert not file.exists()
        assert file.with_suffix(".damaged").read_bytes() == damaged


def test_reading_runs_no_code(file: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(file.parent / "sprung"),)

    with Checkpoint(file) as kept:
        torch.save({"stamp": "", "network": Trap()}, file)
        assert kept.load(CPU) is None
    assert not (file.parent / "sprung").exists()


def test_one_owner(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "OWNER_PATIENCE", 0.1)
    with Checkpoint(file):
        with pytest.raises(Owned, match="another process trains this run"), Checkpoint(file):
            pass
        assert FileLock(f"{file}.lock").is_locked is False, "the second owner holds nothing"
    with Checkpoint(file):
        pass
