"""Tiny experiments, and what a test needs to run them: in this process, or by the command line in another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
import pytest
import torch
from seqbench.bench.engine.checkpoint import Checkpoint
from seqbench.bench.engine.steps import TrainingStep
from seqbench.bench.engine.training import Outcome, Stopped, train
from seqbench.bench.experiments import config
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows.store import Row, Workplace, signed
from seqbench.bench.running import planning, sweep
from seqbench.tasks import _language, _text

SMALL = """\
question: Which one?
rows:
- task: adding(length=12, train=128, valid=32, test=32)
  training: {epochs: 2, batch: 16, clip: 1.0}
  models: ["gru(width=4)", "tcn(width=4, kernel=2, levels=2, dropout=0.2)"]
"""
"""Two runs of 16 steps."""

LONG = """\
question: How long?
rows:
- task: adding(length=8, train=320, valid=32, test=32)
  training: {epochs: 20, batch: 8, schedule: "plateau(after=1, window=1)"}
  models: ["gru(width=4, input_dropout=0.2)"]
"""
"""One run of 800 steps, a second or two long, that has a checkpoint after every 40 steps."""

OWN_MODEL = '''\
"""A model of the user's own."""

import os
import signal
from pathlib import Path

from seqbench.models import gru


class Model(gru.Model):
    """A GRU that first does what BODY stands for."""

    def forward(self, inputs, state=None):
        # no comment yet
        BODY
        return super().forward(inputs, state)
'''
"""The text of `my_model.py`; BODY stands for a line of its own."""

HELD = LONG.replace("gru(width=4", "held.py(width=4")
"""LONG with a model that can be held, so that the run cannot end before a test has interrupted it."""

HELD_MODEL = '''\
"""A GRU that a file can hold up."""

import itertools
import time
from pathlib import Path

from seqbench.models import gru

calls = itertools.count()


class Model(gru.Model):
    """A GRU. While there is a file `hold` beside this one, it is slow after the first epoch, which has 40 steps."""

    def forward(self, inputs, state=None):
        if next(calls) >= 60 and Path(__file__).with_name("hold").exists():
            time.sleep(0.5)
        return super().forward(inputs, state)
'''
"""The text of `held.py`. Held up, the 19 other epochs of HELD take longer than any test waits."""

OWN = SMALL.replace('"tcn(', 'my_model.py(width=3), "tcn(').replace('"gru(width=4)", ', "")
"""SMALL with the user's own model in place of the GRU, and before the TCN."""


@dataclass(frozen=True)
class TinyText(_language.Characters):
    """A text of seven symbols drawn by lot: what is learnt by heart from the training text does harm elsewhere.

    Its name is `experiments:TinyText`.
    """

    vocabulary: ClassVar[int] = 7
    evaluation_streams: ClassVar[int] = 3
    head: ClassVar[str] = "softmax"
    embedding: ClassVar[str] = "embedding(width=4, std=1.0)"

    context: int = 3
    scored: int = 4
    train: int | None = 150
    held: int | None = 50

    def encoded_now(self) -> _text.Encoded:
        random = np.random.RandomState(3)
        texts = {name: random.randint(0, self.size, 401) for name in ("train", "valid", "test")}
        return _text.Encoded([chr(97 + number) for number in range(self.size)], texts, dict.fromkeys(texts, "by lot"))

    def encoded(self) -> _text.Encoded:  # not from a cache
        return self.encoded_now()

    def yardsticks(self) -> dict[str, dict[str, float]]:
        return {"uniform": {"bpc": float(np.log2(self.size))}}


def write(folder: Path, text: str = SMALL, **files: str) -> Path:
    """An experiment's folder, with further files: name without `.py` -> content."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.yaml").write_text(text, encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content, encoding="utf-8")
    return folder


def write_held(folder: Path) -> Path:
    """The experiment HELD in this folder, and held."""
    (write(folder, HELD, held=HELD_MODEL) / "hold").touch()
    return folder


def after(times: int) -> Callable[[], bool]:
    """Says stop when it is asked for the time after `times` others: before a step, or a batch of an evaluation."""
    asked = iter(range(times + 1))
    return lambda: next(asked) == times


@contextmanager
def after_steps(steps: int) -> Iterator[Callable[[], bool]]:
    """Within it so many steps of training are taken; then what it gives says stop, wherever it is asked next."""
    taken, take = list[int](), TrainingStep.take

    def counted(self: TrainingStep, number: int) -> int:
        taken.append(number)
        return take(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingStep, "take", counted)
        yield lambda: len(taken) >= steps


def in_pieces(run: Run, file: Path, pieces: list[int]) -> Outcome:
    """Trained with a stop after each piece of so many steps, every time from the file and in a new network."""
    for steps in pieces:
        with Checkpoint(file) as kept, after_steps(steps) as should_stop, pytest.raises(Stopped):
            train(run, checkpoint=kept, should_stop=should_stop)
    with Checkpoint(file) as kept:
        outcome = train(run, checkpoint=kept)
    assert outcome.progress.resumed == len(pieces)
    return outcome


@dataclass
class Recorder:
    """A display that remembers; `on_begin` is called at the start, `on_progress` with the run and its steps."""

    on_progress: Callable[[Run, int], object] = lambda run, steps: None
    on_begin: Callable[[], object] = lambda: None
    planned: int = -1
    done: int = -1
    said: list[str] = field(default_factory=list)
    ended: list[tuple[str, str | None]] = field(default_factory=list)

    def begin(self, planned: int, done: int) -> None:
        self.planned, self.done = planned, done
        self.on_begin()

    def progress(self, run: Run, steps: int, all_steps: int, epoch: int, scores: dict[str, float]) -> None:
        self.on_progress(run, steps)

    def end(self, run: Run, row: Row | None) -> None:
        self.ended.append((run.id, row["status"] if row else None))

    def say(self, text: str) -> None:
        self.said.append(text)


def sweep_in(folder: Path, display: Recorder | None = None, **options: Any) -> sweep.Result:
    """Plans and runs the experiment of a folder in this process; `afresh` and `stale` go to the plan."""
    experiment = config.load(folder)
    choice = {name: options.pop(name) for name in ("afresh", "stale") if name in options}
    planned = planning.plan(experiment, Workplace(folder), "cpu", **choice)
    return sweep.run(experiment, planned, display or Recorder(), **options)


def reasons(folder: Path, **choice: bool) -> list[str]:
    """Why each run of the folder is or is not to do."""
    return [item.reason for item in planning.plan(config.load(folder), Workplace(folder), "cpu", **choice)]


def rows_of(folder: Path) -> list[Row]:
    """The rows of the working area, oldest first."""
    return Workplace(folder).working.read()


def clean(row: Row, **changes: Any) -> Row:
    """The row as from a commit, with changes, signed again; those of `provenance` are added to what is there."""
    origin = row["provenance"] | {"commit": "c0ffee" * 6, "dirty": False, "diff": None}
    return signed(row | changes | {"provenance": origin | changes.pop("provenance", {})})


def published_in(folder: Path, rows: list[Row]) -> Path:
    """The folder, with these rows as its published ones, as they are."""
    Workplace(folder).published.replace(rows)
    return folder


def measured(row: Row) -> dict[str, Any]:
    """What of a row must not depend on when, where and in how many pieces it was trained."""
    curve = [{key: value for key, value in point.items() if key != "seconds"} for point in row["curve"]]
    return {"curve": curve} | {key: row[key] for key in ("status", "scores", "lengths", "trace")}


def measured_of(outcome: Outcome) -> dict[str, Any]:
    """The same of an outcome, and the bytes of its last weights."""
    progress = vars(outcome) | vars(outcome.progress)
    weights = {name: value.numpy().tobytes().hex() for name, value in outcome.network.state_dict().items()}
    return {**measured(progress), "weights": weights}


def measured_here(run: Run) -> dict[str, Any]:
    """What the row of a run must hold: trained in this process, in one piece."""
    here = measured_of(train(run))
    del here["weights"]
    return here


def bits(values: list[torch.Tensor]) -> list[bytes]:
    """Tensors as bytes, so that NaN equals itself and -0.0 differs from 0.0."""
    return [value.detach().numpy().tobytes() for value in values]


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """`seqbench run FOLDER …` in a session of its own, for `finish`."""
    return subprocess.Popen(
        [sys.executable, "-m", "seqbench.bench.cli", "run", str(folder), "--device", "cpu", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and all output; whatever hangs is killed after `PATIENCE`."""
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, output


PATIENCE = 300.0
"""Seconds after which a test gives up waiting. It is there only so that a hang ends, and far more than is needed."""


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Waits until the condition holds; AssertionError after `PATIENCE`, which says what did not come."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < PATIENCE, f"{what} did not come within {PATIENCE:.0f} s"
        time.sleep(0.02)


class Clock:
    """A clock for `time.monotonic` that stands still until an event; then each look at it finds a second more.

    What is to happen some seconds after the event happens after so many looks, however fast the machine is.
    """

    def __init__(self, event: Callable[[], bool]) -> None:
        self.event, self.now = event, time.monotonic()

    def monotonic(self) -> float:
        self.now += self.event()
        return self.now


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of an experiment that are there."""
    return sorted((Workplace(folder).area / "checkpoints").glob("*.pt"))


def descendants(process_id: int) -> list[psutil.Process]:
    """All processes that a process has started, directly or not."""
    return psutil.Process(process_id).children(recursive=True)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run."""
    return [one for one in processes if runs(one)]


def runs(process: psutil.Process) -> bool:
    """Whether a process still runs. One that has ended but that nobody has waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it has ended between the two questions
        return False


def in_session(session_id: int) -> list[psutil.Process]:
    """The running processes of a session, those too whose parent has ended; for a process of `start` its own id."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended, or is another user's
            if os.getsid(process.pid) == session_id and runs(process):
                found.append(process)
    return found
