"""The backend on many machines: attempts at jobs, a window of outstanding ones, and what to do when a machine fails.

An engine (`ray_engine`) starts attempts on nodes and brings what they say; nothing here knows which engine it is. Each
attempt is supervised on its node (`supervision`). Of an attempt all letters but progress come again with its end, so
that what is lost on the way delays a row and loses none.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from ..errors import UsageError
from .backend import Assignment, Backend, Begun, End, Event, Job, Lost, RowMade, Said, Stopped
from .processes import GRACE
from .storage import Storage, name_of, reason
from .supervision import Letter, Ticket

JOB_SECONDS = 15.0
"""A task costs the driver and the cluster some milliseconds, so runs of a second share one."""
AHEAD = 2
"""Outstanding jobs for each that the cluster can do at once: enough that no node waits, few enough to stop quickly."""
LEAST_WINDOW = 16
"""Outstanding jobs on a small cluster: a cluster that grows does so because of them."""
UNKNOWN_MEMORY = 1024.0
"""MiB that are asked for where no run of the kind has been measured."""
SUPERVISION = 256.0
"""MiB of the task beside its runs: Ray's worker and the server that makes processes."""
MARGIN = 1.2
"""What is asked for is so many times what was measured."""
WORKERS_LOST, NODES_LOST = 3, 20
"""How often the attempts at a job may end with their worker, and with their node, until its runs count as lost."""

Cause = Literal["cancelled", "worker", "node", "memory", "task"]


@dataclass(frozen=True)
class Needs:
    """What an attempt takes on its node. memory: MiB."""

    cpus: float
    gpus: float
    memory: float


@dataclass(frozen=True)
class Told:
    """Letters of an attempt; none of them says that it is alive."""

    ticket: Ticket
    letters: list[Letter]


@dataclass(frozen=True)
class Ended:
    """An attempt has ended in order, with all of its letters but progress."""

    ticket: Ticket
    letters: list[Letter]


@dataclass(frozen=True)
class Failed:
    """An attempt is no more. text: what happened, as a phrase that goes on from "the worker"."""

    ticket: Ticket
    cause: Cause
    text: str


News = Told | Ended | Failed


class Engine(Protocol):
    """Starts attempts somewhere, and brings news of them."""

    def check(self, needs: Needs) -> Needs:
        """What to ask for: no more memory than the largest node has. Raises UsageError where no node ever has it."""

    def capacity(self, needs: Needs) -> int:
        """How many attempts with such needs the whole cluster could do at once, as it is now."""

    def start(self, ticket: Ticket, job: Job, needs: Needs) -> None:
        """Starts an attempt, and returns before it is done."""

    def news(self, timeout: float, stopping: bool) -> list[News]:
        """What has happened since; waits at most so long. stopping: whether all attempts are to save and end.

        Raises Gone where the cluster is no more.
        """

    def cancel(self, ticket: Ticket, at_once: bool) -> None:
        """Ends an attempt: one that has not started, or at once whatever it does."""

    def close(self) -> None:
        """Gives back what it holds."""


@dataclass
class _Work:
    """A job. open: its runs that have not ended; begun: those of them that have begun. seen: letters, by attempt."""

    number: int
    job: Job
    needs: Needs
    open: dict[str, Assignment]
    begun: set[str] = field(default_factory=set)
    attempt: int = 0
    alive: bool = False
    seen: set[tuple[int, int]] = field(default_factory=set)
    lost: dict[str, int] = field(default_factory=dict)
    asked_to_stop_at: float | None = None


class Cluster(Backend):
    """Jobs on the nodes of an engine's cluster.

    device, threads: what the jobs will need; jobs: outstanding ones at the most, None for `AHEAD` times what the
    cluster can do. storage: for checkpoints where nodes share no file system. Raises UsageError where no node has what
    is needed.
    """

    job_seconds = JOB_SECONDS

    def __init__(
        self,
        engine: Engine,
        device: str = "cpu",
        jobs: int | None = None,
        threads: int = 1,
        storage: Storage | None = None,
        grace: float = 2 * GRACE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine, self.jobs, self.storage, self.grace, self.clock = engine, jobs, storage, grace, clock
        self._needs = engine.check(_needs(device, threads, None))
        self._works: dict[int, _Work] = {}
        self._numbers = 0
        self._arrived: deque[Event] = deque()
        self._stopping = self._closed = False
        self._stored: set[str] = set()
        self._said: set[str] = set()

    @property
    def window(self) -> int:
        """How many jobs may be outstanding."""
        return self.jobs or max(LEAST_WINDOW, AHEAD * self.engine.capacity(self._needs))

    @property
    def free(self) -> int:
        """How many more jobs it takes now."""
        return 0 if self._closed else max(0, self.window - len(self._works))

    def submit(self, job: Job) -> None:
        """Starts a job somewhere. Raises UsageError where no node ever has what it needs."""
        if self._closed:
            raise RuntimeError("a closed backend takes no job")
        self._needs = self.engine.check(_needs(job.device, job.threads, job.memory))
        if self.storage is not None:
            new = [remote for remote in job.data if remote.filename not in self._stored]
            self._try(partial(self.storage.keep_data, new), "nodes look for the data elsewhere")
            self._stored |= {remote.filename for remote in new}
        self._stopping = False
        self._numbers += 1
        work = _Work(self._numbers, job, self._needs, {one.run: one for one in job.runs})
        self._works[work.number] = work
        self._start(work)

    def events(self, timeout: float) -> Iterator[Event]:
        """What has happened since the last call. Waits for the first event, at most `timeout` seconds."""
        if not self._arrived:
            for one in self.engine.news(timeout, self._stopping):
                self._hear(one)
            self._end_what_does_not_obey()
        while self._arrived:
            yield self._arrived.popleft()

    def stop(self) -> None:
        """Asks all jobs to save checkpoints and end; those that no node has begun are taken back."""
        self._stopping = True
        for work in self._works.values():
            if work.asked_to_stop_at is None:
                work.asked_to_stop_at = self.clock()
                if not work.alive:
                    self.engine.cancel(self._ticket(work), at_once=False)

    def kill(self) -> None:
        """Ends all jobs at once."""
        for work in self._works.values():
            self.engine.cancel(self._ticket(work), at_once=True)
        self._works.clear()
        self._arrived.clear()

    def forget(self, checkpoint: Path) -> None:
        """Removes a checkpoint here, and in the storage."""
        checkpoint.unlink(missing_ok=True)
        if self.storage is not None:
            self._try(partial(self.storage.remove, name_of(checkpoint)), "checkpoints that are needed no more stay")

    def close(self) -> None:
        """Ends all jobs; none is taken any more."""
        if not self._closed:
            self._closed = True
            self.kill()
            self.engine.close()

    @staticmethod
    def _ticket(work: _Work) -> Ticket:
        return Ticket(work.number, work.attempt)

    def _start(self, work: _Work) -> None:
        work.attempt += 1
        work.alive = False
        self.engine.start(self._ticket(work), replace(work.job, runs=tuple(work.open.values())), work.needs)

    def _hear(self, news: News) -> None:
        work = self._works.get(news.ticket.job)
        if work is None:
            return
        if isinstance(news, Failed):
            if news.ticket.attempt == work.attempt:
                self._failed(work, news.cause, news.text)
            return
        work.alive = work.alive or news.ticket.attempt == work.attempt
        for letter in news.letters:
            known = (news.ticket.attempt, letter.place)
            if known not in work.seen:
                work.seen.add(known)
                self._take(work, letter.event)
        if not work.open:
            del self._works[work.number]
        elif isinstance(news, Ended) and news.ticket.attempt == work.attempt:
            self._lose(work, "ended before all of its runs had")

    def _take(self, work: _Work, event: Event) -> None:
        if isinstance(event, Lost):  # the process on the node has died: as on one machine, that is the run's end
            gone = {*event.begun, *event.not_begun} & {*work.open}
            for run in gone:
                del work.open[run]
            event = Lost(
                event.how, *(tuple(run for run in runs if run in gone) for runs in (event.begun, event.not_begun))
            )
        elif isinstance(event, End):
            assignment = work.open.pop(event.run, None)
            if assignment is None:  # an earlier attempt has brought it
                return
            if isinstance(event, RowMade):
                self._bring_what_was_learned(assignment)
        elif isinstance(event, Begun):
            work.begun.add(event.run)
        elif isinstance(event, Said) and event.run is None:  # what is the matter with a node is the same for each job
            self._say(event.text)
            return
        self._arrived.append(event)

    def _bring_what_was_learned(self, assignment: Assignment) -> None:
        if self.storage is not None and assignment.trained is not None:
            bring = partial(self.storage.take, name_of(assignment.trained), assignment.trained)
            self._try(bring, "what runs have learned is not here")

    def _try(self, action: Callable[[], object], otherwise: str) -> None:
        """Does something with the storage. Where that fails no run suffers, so it is said, and once."""
        assert self.storage is not None
        try:
            action()
        except Exception as error:  # each kind of storage has errors of its own
            self._say(f"{self.storage.url}: {reason(error)}; {otherwise}")

    def _say(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._arrived.append(Said(None, text))

    def _failed(self, work: _Work, cause: Cause, text: str) -> None:
        if cause == "cancelled" and work.asked_to_stop_at is not None:
            del self._works[work.number]
            self._arrived.extend(Stopped(run) for run in work.open)
            return
        work.lost[cause] = work.lost.get(cause, 0) + 1
        limit = {"worker": WORKERS_LOST, "memory": WORKERS_LOST, "node": NODES_LOST}.get(cause, 0)
        if work.asked_to_stop_at is not None or work.lost[cause] > limit:
            self._lose(work, text)
            return
        if cause == "memory":
            wanted = replace(work.needs, memory=2 * work.needs.memory)
            work.needs = self.engine.check(wanted)
        runs = f"{len(work.open)} runs begin" if len(work.open) > 1 else "its run begins"
        self._arrived.append(Said(None, f"a worker {text}: {runs} again elsewhere, from where the checkpoint was"))
        self._start(work)

    def _lose(self, work: _Work, how: str) -> None:
        """What is open is lost; asked to stop, what was begun has its checkpoint, and the next sweep goes on."""
        del self._works[work.number]
        begun = tuple(run for run in work.open if run in work.begun)
        not_begun = tuple(run for run in work.open if run not in work.begun)
        self._arrived.append(Lost(how, begun, not_begun))

    def _end_what_does_not_obey(self) -> None:
        now = self.clock()
        for work in list(self._works.values()):
            if work.asked_to_stop_at is not None and now - work.asked_to_stop_at > self.grace:
                self.engine.cancel(self._ticket(work), at_once=True)
                self._lose(work, "did not stop when asked to")


def _needs(device: str, threads: int, memory: float | None) -> Needs:
    """What a job needs. memory: what its runs have been measured to hold, in MiB; None where they have not."""
    wanted = UNKNOWN_MEMORY if memory is None else MARGIN * memory
    gpus = 0.0 if device == "cpu" else 1.0
    return Needs(float(threads) if device == "cpu" else 1.0, gpus, wanted + SUPERVISION)


def refuse(needs: Needs, nodes: str) -> UsageError:
    """The error of a cluster that never has what is needed. nodes: what its nodes have."""
    parts = [f"{needs.cpus:g} processors"] + ([f"{needs.gpus:g} GPU"] if needs.gpus else [])
    return UsageError(f"no node of the cluster has {' and '.join(parts)}, so no run would ever begin; {nodes}")
