"""A run that is stopped and goes on gives what it would have given, to the bit; and what a checkpoint is."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from experiments import after, after_steps, in_pieces, measured_of
from seqbench.bench import api
from seqbench.bench.engine import checkpoint, evaluation
from seqbench.bench.engine.checkpoint import Checkpoint, Owned
from seqbench.bench.engine.steps import EvaluationStep, TrainingStep
from seqbench.bench.engine.training import Stopped, train

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
    with Checkpoint(file) as kept, after_steps(70) as should_stop, pytest.raises(Stopped):
        train(run, checkpoint=kept, should_stop=should_stop)
    saved = Checkpoint(file).load(CPU)
    assert saved is not None
    with Checkpoint(file) as kept:
        progress = train(run, checkpoint=kept).progress
    for name in ("training_seconds", "evaluation_seconds", "cpu_seconds"):
        assert getattr(progress, name) > saved["progress"][name] > 0
    seconds = [point["seconds"] for point in progress.curve]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("asked", [1, 7], ids=["in the evaluation of epoch 0", "before a step"])
def test_a_stop_without_a_checkpoint_is_a_stop(asked: int) -> None:
    with pytest.raises(Stopped, match="gru seed 0"):
        train(api.make_run(TASK, "gru(width=3)", **SETTINGS), should_stop=after(asked))


# Stops within an evaluation. There are some batches in each, as there are of a text, or of many examples.

EVALUATED = [
    (
        TINY := "copy-memory(delay=2, train=12, valid=5, test=5)",
        "gru(width=3, input_dropout=0.3)",
        {"test_lengths": [2, 4]},
    ),
    ("experiments:TinyText", "lstm(width=3, layers=2, dropout=0.2, recurrent_dropout=0.2)", {}),
]


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations of TINY are of two sequences a batch; the text has seventeen windows in each as it is."""
    monkeypatch.setattr(evaluation, "EVALUATION_STEPS", 2 * api.make_task(TINY).steps)


@pytest.mark.usefixtures("batches")
@pytest.mark.parametrize(("task", "model", "settings"), EVALUATED, ids=["sequences", "a text"])
def test_stopped_wherever_it_is_asked_is_uninterrupted(
    task: str, model: str, settings: dict[str, Any], file: Path
) -> None:
    """In epoch 0, in its test lengths, between steps, in the evaluation of an epoch, in the test lengths of the end."""
    run = api.make_run(task, model, epochs=2, batch=4, **settings)
    count = itertools.count()
    whole = train(run, should_stop=lambda: next(count) < 0)
    places = next(count)
    steps = []
    for asked in range(0, places, 1 if task == TINY else 4):
        with Checkpoint(file) as kept:
            with pytest.raises(Stopped):
                train(run, checkpoint=kept, should_stop=after(asked))
            saved = kept.load(CPU)
            assert saved is not None
            steps.append(saved["progress"]["total_steps"])
            outcome = train(run, checkpoint=kept)
            assert measured_of(outcome) == measured_of(whole), asked
            assert outcome.progress.resumed == 1
        file.unlink()
    last = whole.progress.total_steps
    assert steps == sorted(steps)
    assert task != TINY or {*steps} == {*range(last + 1)}, "no step is lost wherever it stops"
    assert min(steps.count(0), steps.count(last)) > 1, "some of them are within evaluations"


@pytest.mark.usefixtures("batches")
@pytest.mark.parametrize(("task", "model", "settings"), EVALUATED, ids=["sequences", "a text"])
def test_one_run_stopped_at_every_second_question_comes_to_its_end(
    task: str, model: str, settings: dict[str, Any], file: Path
) -> None:
    """Each time it comes one batch further than it can within one evaluation, or is let through the evaluation."""
    run = api.make_run(task, model, epochs=2, batch=4, **settings)
    whole = train(run)
    stops = 0
    for asked in itertools.cycle([1, 3, 70]):
        with Checkpoint(file) as kept:
            try:
                outcome = train(run, checkpoint=kept, should_stop=after(asked))
            except Stopped:
                stops += 1
                continue
        break
    assert measured_of(outcome) == measured_of(whole)
    assert outcome.progress.resumed == stops > 1


@pytest.mark.usefixtures("batches")
def test_killed_within_an_evaluation_is_uninterrupted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due is saved between the last step and the evaluation, so that no step is done again."""
    run = api.make_run(TINY, "gru(width=3, input_dropout=0.3)", epochs=2, batch=4, test_lengths=[4])
    whole = train(run)
    do, take = EvaluationStep._do, TrainingStep.take
    steps: list[int] = []
    for survived in (0, 5, 10, 11, 2, 7, 8, 2):  # of eleven batches in epoch 0, six in each other, five in the end
        with monkeypatch.context() as patch:
            batches = iter(range(survived))

            def killed(*arguments: Any, batches: Any = batches) -> None:
                if next(batches, None) is None:
                    raise KeyboardInterrupt
                do(*arguments)

            def counted(self: TrainingStep, number: int) -> int:
                steps.append(number)
                return take(self, number)

            patch.setattr(EvaluationStep, "_do", killed)
            patch.setattr(TrainingStep, "take", counted)
            with pytest.raises(KeyboardInterrupt), Checkpoint(file, every=0.0) as kept:
                train(run, checkpoint=kept)
    with Checkpoint(file, every=0.0) as kept:
        assert measured_of(train(run, checkpoint=kept)) == measured_of(whole)
    assert steps == [0, 1, 2, 0, 1, 2], "each step of two epochs was taken once"


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
        assert [path.name for path in file.parent.iterdir()] == [file.name, f"{file.name}.lock"]
    assert [path.name for path in file.parent.iterdir()] == [file.name], "a lock that nobody holds is no more"


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
    monkeypatch.setattr(
        os, "fsync", lambda _: now.__setitem__(0, now[0] + 4.5)
    )  # nine seconds for the file and its folder
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
        owner = {"torch": checkpoint.torch, "os": os, "Path": Path}[fails.partition(".")[0]]
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
        assert file.with_name(f"{file.name}.lock").exists(), "the second has left it to the first"
    with Checkpoint(file):
        pass
