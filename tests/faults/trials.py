"""What every kind of trial uses: a room of its own, commands in processes, and what must hold whatever happened."""

from __future__ import annotations

import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import commands
from command import Answer, seqbench
from commands import Command, Watch
from experiments import in_session, measured
from seqbench.bench.errors import UsageError
from seqbench.bench.rows.store import FINISHED, Row, RowFile, Workplace, untouched

EXPERIMENT = """\
question: What survives?
seeds: 1
rows:
- task: adding(length=12, train=320, valid=32, test=32)
  training: {epochs: 4, batch: 8}
  models: ["gru(width=4)", "tcn(width=4, kernel=2, levels=2, dropout=0.2)"]
"""
"""Two runs of 160 steps."""
MOST_PROCESSOR_SECONDS = 60.0
"""What a call in this process may use; one that never ends uses more, whatever else the machine does."""
PATIENCE = 900.0
"""Seconds after which a call hangs that uses none."""
SECONDS_TO_END = 30
"""How long a process may stay idle after its command has ended."""
TROUBLES = ("lost", "torn", "doubled", "other bits", "tracebacks", "hangs", "left behind")
"""What must not happen, in the order of the figures."""


@dataclass
class Trial:
    """One attempt. room: a folder of its own. random: all that it draws, so that its seed repeats it.

    counts: how often something of `TROUBLES` came, and what else there is to count. findings: what came, in a line
    each. reference: what the runs of `EXPERIMENT` measure when nothing disturbs them, by id; rows: the file of these
    rows; gradients: measurements of them. seconds: how long that takes in a process that is started, or forked.
    library: what `disk.library` has compiled. started: all commands.
    """

    seed: int
    room: Path
    reference: dict[str, Any] = field(default_factory=dict)
    seconds: tuple[float, float] = (10.0, 5.0)
    library: str = ""
    rows: Path = Path()
    gradients: Path = Path()
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    started: list[Command] = field(default_factory=list)

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

    def start(self, *arguments: object, forked: bool = True, **environment: str) -> Command:
        """`seqbench ARGUMENTS` in a session of its own, for `finish`. forked: from a process that has all imports."""
        (self.room / "home").mkdir(exist_ok=True)
        own = {"HOME": str(self.room / "home"), "SEQBENCH_DATA": str(self.room / "data"), **environment}
        begin = commands.fork if forked else commands.start
        command = begin([*map(str, arguments)], own, self.room / f"output-{len(self.started)}")
        self.started.append(command)
        return command

    def finish(self, command: Command, *codes: int) -> str:
        """The output. A hang, a traceback, an exit code that is none of these and processes that stay are troubles."""
        watch = Watch(command.pid)
        while command.code is None:
            time.sleep(0.01)
            if watch.hangs():
                self.found("hangs", f"{command.words}: {command.text.strip()[-300:]}")
                command.kill()
        output, code = command.text, command.code
        if "Traceback (most recent call last)" in output and not _before_it_began(output, code):
            self.found("tracebacks", f"{command.words}: {output.strip().splitlines()[-1][:300]}")
        elif code not in codes:
            self.found("tracebacks", f"{command.words}: exit code {code}: {output.strip()[-300:]}")
        watch = Watch(command.pid)
        while left := in_session(command.pid):
            if watch.hangs() or watch.wanting.count(False) > SECONDS_TO_END:
                self.found("left behind", f"{command.words}: {len(left)} processes")
                command.kill()
            time.sleep(0.02)
        return output

    def close(self) -> None:
        """Ends what still runs."""
        for command in self.started:
            command.kill()

    def call(self, *arguments: object) -> Answer | None:
        """`seqbench ARGUMENTS` in this process; None where it hung or threw."""
        named = " ".join(map(str, arguments))
        try:
            with time_limit():
                answer = seqbench(*arguments)
        except Hung:
            self.found("hangs", named)
            return None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            self.found("tracebacks", f"{named}: {type(error).__name__}: {str(error)[:200]} ({place})")
            return None
        if answer.code == 130:  # the campaign's end
            raise KeyboardInterrupt
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

    def check_no_doubles(self, rows: list[Row], after: str) -> None:
        """No run has two results, where none was asked for again."""
        twice = [
            name for name, count in Counter(row["id"] for row in rows if row["status"] in FINISHED).items() if count > 1
        ]
        if twice:
            self.found("doubled", f"{after}: {', '.join(twice)}")

    def check_leftovers(self, folder: Path) -> None:
        """In the working area of an experiment that is done there are its rows, and nothing half-made."""
        for path in Workplace(folder).area.rglob("*"):
            checkpoint = (
                path.suffix == ".pt" and path.parent.name == "checkpoints"
            )  # what was learned is kept on purpose
            if checkpoint or path.suffix in (".tmp", ".lock", ".replaces", ".copy", ".part") or path.name == "lock":
                self.found("left behind", str(path.relative_to(folder.parents[1])))


class Hung(BaseException):
    """Something took too long; no `Exception`, so that nobody takes it for an error of the input."""


@contextmanager
def time_limit() -> Iterator[None]:
    """Within it Hung is raised after `MOST_PROCESSOR_SECONDS`, or after `PATIENCE`."""

    def over(number: int, frame: Any) -> None:
        raise Hung

    numbers = (signal.SIGALRM, signal.SIGPROF)
    before = [signal.signal(number, over) for number in numbers]
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    signal.setitimer(signal.ITIMER_PROF, MOST_PROCESSOR_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _before_it_began(output: str, code: int | None) -> bool:
    """Whether Ctrl-C came before the suite's first line, where Python itself prints a traceback."""
    return code in (1, -signal.SIGINT) and output.rstrip().endswith("KeyboardInterrupt") and ", in main\n" not in output


def lines_of(path: Path) -> list[Row]:
    """The rows of a file, or none where it cannot be read."""
    try:
        return RowFile(path).read()
    except (UsageError, OSError):
        return []
