"""What every kind of trial uses: a room of its own, commands in processes, and what must hold whatever happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from command import Answer, seqbench
from experiments import in_session, measured
from seqbench.bench.errors import UsageError
from seqbench.bench.rows.store import FINISHED, Row, RowFile, Workplace, untouched

EXPERIMENT = """\
question: What survives?
seeds: 2
rows:
- task: adding(length=12, train=320, valid=32, test=32)
  training: {epochs: 4, batch: 8}
  models: ["gru(width=4)", "tcn(width=4, kernel=2, levels=2, dropout=0.2)"]
"""
"""Four runs of 160 steps; a checkpoint after each epoch."""
PATIENCE = 300.0
"""Seconds after which a command hangs, whatever else the machine does."""
TROUBLES = ("lost", "torn", "doubled", "other bits", "tracebacks", "hangs", "left behind")
"""What must not happen, in the order of the figures."""


@dataclass
class Trial:
    """One attempt. room: a folder of its own. random: all that it draws, so that its seed repeats it.

    counts: how often something of `TROUBLES` came, and what else there is to count. findings: what came, in a line
    each. reference: what the runs of `EXPERIMENT` measure when nothing disturbs them, by id; seconds: how long that
    takes; rows: the file of these rows; gradients: measurements of them.
    """

    seed: int
    room: Path
    reference: dict[str, Any] = field(default_factory=dict)
    seconds: float = 5.0
    rows: Path = Path()
    gradients: Path = Path()
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def found(self, trouble: str, text: str) -> None:
        """Notes what must not be."""
        assert trouble in TROUBLES
        self.counts[trouble] += 1
        self.findings.append(f"{trouble}: {text}")

    def experiment(self) -> Path:
        """A new folder with `EXPERIMENT`."""
        folder = self.room / "results" / "small"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "experiment.yaml").write_text(EXPERIMENT, encoding="utf-8")
        return folder

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """`seqbench ARGUMENTS` in a session of its own, for `finish`."""
        (self.room / "home").mkdir(exist_ok=True)
        own = {"HOME": str(self.room / "home"), "SEQBENCH_DATA": str(self.room / "data"), **environment}
        return subprocess.Popen(
            [sys.executable, "-m", "seqbench", *map(str, arguments)],
            env={**os.environ, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def finish(self, process: subprocess.Popen[str], *codes: int) -> str:
        """The output. A hang, a traceback, an exit code that is none of these and processes that stay are troubles."""
        named = " ".join(map(str, process.args[3:]))  # type: ignore[index]
        try:
            output, _ = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            self.found("hangs", named)
        if "Traceback (most recent call last)" in output:
            self.found("tracebacks", f"{named}: {output.strip().splitlines()[-1][:300]}")
        elif process.returncode not in codes:
            self.found("tracebacks", f"{named}: exit code {process.returncode}: {output.strip()[-300:]}")
        give_up_at = time.monotonic() + 10
        while left := in_session(process.pid):
            if time.monotonic() > give_up_at:
                self.found("left behind", f"{named}: {len(left)} processes")
                os.killpg(process.pid, signal.SIGKILL)
                break
            time.sleep(0.02)
        return output

    def call(self, *arguments: object) -> Answer | None:
        """`seqbench ARGUMENTS` in this process; None where it hung or threw."""
        named = " ".join(map(str, arguments))
        try:
            with time_limit(PATIENCE):
                answer = seqbench(*arguments)
        except Hung:
            self.found("hangs", named)
            return None
        except KeyboardInterrupt:  # the campaign's end
            raise
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            self.found("tracebacks", f"{named}: {type(error).__name__}: {str(error)[:200]} ({place})")
            return None
        if answer.code not in (0, 1, 2):
            self.found("tracebacks", f"{named}: exit code {answer.code}")
        if answer.code == 2 and (answer.err.count("\n") != 1 or "Error" in answer.err.split(":")[0]):
            self.found("tracebacks", f"{named}: not one line: {answer.err[:300]!r}")
        return answer

    def check_rows(self, folder: Path, whole: bool = True) -> list[Row]:
        """Every row is whole, and has the undisturbed bits; whole: and none is missing."""
        rows: list[Row] = []
        for file in (Workplace(folder).published, Workplace(folder).working):
            try:
                rows += file.read()
            except UsageError as error:
                self.found("torn", str(error))
        for row in rows:
            if not untouched(row):
                self.found("torn", f"{row['id']}: checksum")
            elif row["status"] in FINISHED and measured(row) != self.reference[row["id"]]:
                self.found("other bits", row["label"])
        missing = set(self.reference) - {row["id"] for row in rows if row["status"] in FINISHED}
        if whole and missing:
            self.found("lost", f"{len(missing)} rows: {', '.join(sorted(missing))}")
        return rows

    def check_leftovers(self, folder: Path) -> None:
        """In the working area of an experiment that is done there are its rows, and nothing half-made."""
        for path in Workplace(folder).area.rglob("*"):
            if path.suffix in (".tmp", ".lock", ".pt", ".copy", ".part") or path.name == "lock":
                self.found("left behind", str(path.relative_to(folder.parents[1])))


class Hung(BaseException):
    """Something took too long; no `Exception`, so that nobody takes it for an error of the input."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Within it Hung is raised after so long."""

    def over(number: int, frame: Any) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def lines_of(path: Path) -> list[Row]:
    """The rows of a file, or none where it cannot be read."""
    try:
        return RowFile(path).read()
    except (UsageError, OSError):
        return []
