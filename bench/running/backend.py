"""The contract between a sweep, which knows what to train, and a backend, which has runs trained somewhere.

The sweep plans jobs, submits them, takes events and writes rows. A backend knows processes or machines, and nothing of
experiments, rows on the disk or displays. `local.Local` has runs trained in processes on this machine,
`cluster.Cluster` on many. This text is for whoever writes another one. Nothing in this module imports torch or starts
anything, so that any scheduler can use it.

**Jobs.** A `Job` is plain data and can be pickled. Its `device` and `threads` say what its runs need. Where it is
executed, `worker.perform(job, send, should_stop)` trains its runs and gives events to `send`: `Begun`, `Progressed`,
`Said`, `RowMade`, `Stopped` and `Refused`. The paths in a job are those of the machine that submits it: a backend on
other machines needs a file system that all of them see, or files of its own in their place, and the same sources.

**Who writes what.** Only the sweep writes rows. A worker writes the checkpoint files that its assignment names, and
nothing else. So a row must reach the sweep as an event. A checkpoint that is needed no more is removed by `forget`.

**Submitting.** The sweep submits only while `free` is above 0. `free` may be 0 for a while although nothing is under
way, as in a full cluster: the sweep then waits in `events`. A run is in at most one job that has not ended. Runs that
are known to be short share a job, until it lasts as long as `job_seconds`.

**Events.** For each run they come in this order: `Begun` (again where a run did not fit beside others and begins
later), `Progressed` any number of times, and then exactly one end, which is `RowMade`, `Stopped`, `Refused`, or to be
named by a `Lost`. `Stopped` and `Refused` may come without `Begun`. `Said` may come at any time. Events of different
runs come in any order. Every run of a submitted job must come to its end, or the sweep waits for ever. Delivering an
event twice does no harm: the sweep ignores events of runs that have come to their end. An event that was not taken from
the iterator of `events` must come with the next call.

**Lost jobs.** A process or machine that dies is found by the backend, and so is one that never starts. First it
delivers all that the job sent before its end. Then one `Lost` names all runs of the job that have not ended. Those that
had begun become rows with the status `died`, because they may be what killed the job. Those that had not begun are
given back: the sweep submits them again. It does not where no run of the job has begun or ended, since the next job
would be lost in the same way; then all of them become rows. Where it was surely a machine that failed and not a run, a
backend may begin a job again by itself, with the runs that have not ended: they go on from their checkpoints.

**Stop, kill, close.** `stop` asks all jobs under way to save checkpoints and end. It returns at once and may be called
again and again. The events go on until each run has come to its end: `Stopped` for a run that has saved its checkpoint
and for one that had not begun; `RowMade` for one that was done already; `Lost` for what did not obey, which the backend
ends after a time limit of its own. `kill` ends all jobs at once and forgets them: no event of theirs comes any more.
After both the backend can be given new jobs, so one backend can serve several sweeps, one after the other. `close`
kills what is left and gives back what the backend holds. It may be called twice; nothing may be submitted after it.

**Errors.** `submit` raises UsageError, in one line, where no job can be started at all. `submit` and `events` raise
Gone where the backend itself is no more: the sweep ends, and the next one goes on. An error within a run is nothing of
the backend's: it comes as a row with the status `failed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from ...tasks.datasets import Remote


class Gone(Exception):
    """The backend is no more, as a cluster whose head has ended; the message says what to do, in one line."""


@dataclass(frozen=True)
class Assignment:
    """One run of a job.

    run: its id. config: all that defines it, for `runs.from_config`. source: the hash of the sources that define its
    result, as the sweep has read them. checkpoint: the file to go on from; trained: the file for what the network has
    learned; both None where nothing is kept.
    """

    run: str
    config: dict[str, Any]
    source: str
    checkpoint: Path | None
    trained: Path | None


@dataclass(frozen=True)
class Job:
    """What one process has to do: runs with different ids.

    folder: where a relative path of a user's file is looked for. device: as torch names it. checkpoint_every: seconds
    between two checkpoints of a run. sweep: provenance that is the same for all rows of a sweep. threads: of each run,
    on a CPU. most: how many of the runs are trained at the same time, in turn. instructions: the vector instructions
    that torch must compute with, by torch's name for them; None for those that it takes by itself. memory: the MiB that
    runs like these have held at the most; None where that is not known. data: the files that the runs read.
    """

    runs: tuple[Assignment, ...]
    folder: Path
    device: str
    checkpoint_every: float
    sweep: dict[str, Any]
    threads: int = 1
    most: int = 1
    instructions: str | None = None
    memory: float | None = None
    data: tuple[Remote, ...] = ()


@dataclass(frozen=True)
class Begun:
    """A run is being trained now; before this it has changed nothing anywhere."""

    run: str


@dataclass(frozen=True)
class Progressed:
    """A run has done `steps` of `all_steps`, in this epoch; scores: the last ones on validation, metric -> value."""

    run: str
    steps: int
    all_steps: int
    epoch: int
    scores: dict[str, float]


@dataclass(frozen=True)
class Said:
    """A line that a person should know, about a run or, with None, about the backend itself."""

    run: str | None
    text: str


@dataclass(frozen=True)
class RowMade:
    """A run has ended with a row, as `making.make_row` makes it; it has no checksum yet."""

    run: str
    row: dict[str, Any]


@dataclass(frozen=True)
class Stopped:
    """A run has ended without a row because it was asked to stop."""

    run: str


@dataclass(frozen=True)
class Refused:
    """A run has ended without a row because it would not be the run that was asked for: text says why."""

    run: str
    text: str


@dataclass(frozen=True)
class Lost:
    """A job is no more. begun, not_begun: its runs that have not come to their end.

    how: what happened, as a phrase that goes on from "the worker", such as "was killed by SIGKILL".
    """

    how: str
    begun: tuple[str, ...] = field(default=())
    not_begun: tuple[str, ...] = field(default=())


Event = Begun | Progressed | Said | RowMade | Stopped | Refused | Lost
End = RowMade | Stopped | Refused
"""What a worker says of a run that has come to its end."""


class Backend(Protocol):
    """Has jobs executed; the text of the module says what must hold."""

    job_seconds: float
    """How long a job should last at least; shorter runs share one. 0 where each run may have its own."""

    @property
    def free(self) -> int:
        """How many more jobs it can take now."""

    def submit(self, job: Job) -> None:
        """Takes a job, and returns before it is done. Raises UsageError where no job can be started."""

    def events(self, timeout: float) -> Iterator[Event]:
        """What has happened since the last call. Waits for the first event, at most `timeout` seconds."""

    def stop(self) -> None:
        """Asks all jobs under way to save checkpoints and end."""

    def kill(self) -> None:
        """Ends all jobs at once."""

    def forget(self, checkpoint: Path) -> None:
        """Removes the checkpoint that assignments know by this name, wherever it is kept."""

    def close(self) -> None:
        """Kills what is left and gives back what the backend holds."""

    def __enter__(self) -> Self:
        """The backend itself; it is closed at the end of the `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
