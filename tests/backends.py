"""A backend without processes: a script says, as events, what becomes of each job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from experiments import SMALL, rows_of
from made_rows import made
from seqbench.bench.experiments import config, runs
from seqbench.bench.running import worker
from seqbench.bench.running.backend import Backend, Begun, Event, Job, RowMade

Script = Callable[[Job, Callable[[], bool]], Iterable[Event]]
"""From a job, and a question whether it was asked to stop, to what happens."""
FOUR = SMALL.replace("rows:", "seeds: [0, 1]\nrows:")
"""Four runs."""
PATIENCE = 1000
"""How often in a row a sweep may ask for events while there are none."""


def all_done(job: Job, asked_to_stop: Callable[[], bool]) -> Iterator[Event]:
    """Each run begins and ends with a made-up row, whatever is asked."""
    for assignment in job.runs:
        yield Begun(assignment.run)
        yield row_of(job, assignment.run)


def trained(job: Job, asked_to_stop: Callable[[], bool]) -> Iterable[Event]:
    """What a worker does, in this process."""
    events: list[Event] = []
    worker.perform(job, events.append, asked_to_stop)
    return events


def row_of(job: Job, run: str) -> RowMade:
    """The end of a run with a made-up row."""
    (assignment,) = [one for one in job.runs if one.run == run]
    return RowMade(run, made(runs.from_config(assignment.config, job.folder)))


def ids(folder: Path) -> list[str]:
    """The ids of an experiment's runs, in order."""
    return [run.id for run in config.load(folder).runs]


def jobs_of(backend: Scripted) -> list[list[str]]:
    """The ids of the runs of each job that was submitted."""
    return [[one.run for one in job.runs] for job in backend.submitted]


def statuses(folder: Path) -> dict[str, str]:
    """Run -> status, of all rows; a run with two of them is an error."""
    found = {row["id"]: row["status"] for row in rows_of(folder)}
    assert len(found) == len(rows_of(folder))
    return found


class Scripted(Backend):
    """Has at most `slots` jobs at a time, and gives one event of each at every call of `events`.

    scripts: one for each job, in the order in which they are submitted; the last one is for all further jobs.
    submitted: all jobs so far. job_seconds: how long one should last. It insists on what a backend may expect of a
    sweep.
    """

    def __init__(self, *scripts: Script, slots: int = 1, job_seconds: float = 0.0) -> None:
        self.scripts, self.slots, self.job_seconds = [*(scripts or (all_done,))], slots, job_seconds
        self.submitted: list[Job] = []
        self.killed = self.closed = False
        self.most_at_once = 0
        self._jobs: list[tuple[Job, Iterator[Event]]] = []
        self._asked: list[Job] = []
        self._idle = 0

    @property
    def free(self) -> int:
        return self.slots - len(self._jobs)

    def submit(self, job: Job) -> None:
        new, there = [one.run for one in job.runs], [one.run for other, _ in self._jobs for one in other.runs]
        assert self.free > 0, "more jobs than it takes"
        assert not self.closed, "a job after its end"
        assert len({*new, *there}) == len(new) + len(there), "a run that another job has"
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        self.submitted.append(job)
        self._jobs.append((job, iter(script(job, lambda: any(one is job for one in self._asked)))))
        self.most_at_once = max(self.most_at_once, len(self._jobs))

    def events(self, timeout: float) -> Iterator[Event]:
        self._idle += 1
        assert self._idle < PATIENCE, "the sweep waits for what never comes"
        for one in list(self._jobs):
            event = next(one[1], None)
            if event is None:
                self._jobs.remove(one)
                continue
            self._idle = 0
            yield event

    def stop(self) -> None:
        self._asked += [job for job, _ in self._jobs if not any(one is job for one in self._asked)]

    def kill(self) -> None:
        self.killed = self.killed or bool(self._jobs)
        self._jobs.clear()

    def forget(self, checkpoint: Path) -> None:
        checkpoint.unlink(missing_ok=True)

    def close(self) -> None:
        self.kill()
        self.closed = True
