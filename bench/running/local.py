"""The backend on this machine: each job has a process of its own. `backend` says what such a thing must do."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import connection
from pathlib import Path
from typing import Any

from .backend import Backend, Begun, End, Event, Job, Lost, Said, Stopped
from .cores import cores
from .processes import (
    GRACE,
    START_UP_LIMIT,
    Child,
    default_jobs,
    environment,
    threads_in_children,
    worker_context,
)

LAST_MOMENT = 5.0
"""Seconds that a process whose runs have all ended has to end by itself before it is killed."""


class _Worker:
    """A process with its job. open: the runs that have not come to their end. begun: those of them that have begun."""

    def __init__(self, job: Job, child: Child) -> None:
        self.child = child
        self.open = [assignment.run for assignment in job.runs]
        self.begun: set[str] = set()
        self.started = False
        self.asked_to_stop_at: float | None = None
        self.done_at: float | None = None


class Local(Backend):
    """Processes of this machine, `jobs` at a time, each with a job of its own.

    device, threads: what the jobs will need; jobs: None for as many as suit these. What a process gets in the end is
    what its job says. environment: variables of the processes, beside those of `threads_in_children`.
    start_up_limit: seconds in which a process must say that it has started. grace: seconds that it has to save its
    checkpoints when it is asked to stop, and to end after its last run. Whoever takes longer is killed. target: what a
    process does, as `worker.main`, which is imported where none is given: it imports torch.
    """

    job_seconds = 0.0

    def __init__(
        self,
        device: str = "cpu",
        jobs: int | None = None,
        threads: int = 1,
        *,
        environment: Mapping[str, str] | None = None,
        start_up_limit: float = START_UP_LIMIT,
        grace: float = GRACE,
        target: Callable[..., None] | None = None,
    ) -> None:
        self.jobs = jobs or default_jobs(device, threads)
        self.environment = dict(environment or {})
        self.start_up_limit, self.grace, self.target = start_up_limit, grace, target
        self._workers: list[_Worker] = []
        self._arrived: deque[Event] = deque()
        self._closed = False
        if device == "cpu" and self.jobs * threads > cores():
            text = f"{self.jobs} runs at a time with {threads} threads each share {cores()} cores"
            self._arrived.append(Said(None, text))

    @property
    def free(self) -> int:
        """How many more jobs have a process now."""
        return 0 if self._closed else max(0, self.jobs - len(self._workers))

    def submit(self, job: Job) -> None:
        """Starts a process for the job. Raises UsageError where none can be started."""
        if self._closed:
            raise RuntimeError("a closed backend takes no job")
        target = self.target
        if target is None:
            from . import worker

            target = worker.main
        with threads_in_children(job.threads, job.instructions), environment(self.environment):
            child = Child(worker_context(job.device), target, job)
        self._workers.append(_Worker(job, child))

    def events(self, timeout: float) -> Iterator[Event]:
        """What has happened since the last call. Waits for the first event, at most `timeout` seconds."""
        if not self._arrived:
            self._listen(timeout)
        while self._arrived:
            yield self._arrived.popleft()

    def stop(self) -> None:
        """Asks all processes to save checkpoints and end."""
        for one in self._workers:
            if one.asked_to_stop_at is None:
                one.asked_to_stop_at = time.monotonic()
                try:
                    one.child.pipe.send("stop")
                except OSError:  # it has ended; `events` finds that
                    continue

    def kill(self) -> None:
        """Ends all processes at once; one that has no run left may end by itself."""
        for one in self._workers:
            if one.open:
                one.child.process.kill()
        for one in self._workers:
            one.child.process.join(LAST_MOMENT)
            one.child.kill()
            one.child.pipe.close()
        self._workers.clear()
        self._arrived.clear()

    def forget(self, checkpoint: Path) -> None:
        """Removes a checkpoint."""
        checkpoint.unlink(missing_ok=True)

    def close(self) -> None:
        """Ends all processes; no job is taken any more."""
        self._closed = True
        self.kill()

    def _listen(self, timeout: float) -> None:
        """Reads what the processes have sent, and finds those that have ended or take too long."""
        by_handle: dict[Any, _Worker] = {handle: one for one in self._workers for handle in one.child.handles}
        heard = {id(by_handle[handle]): by_handle[handle] for handle in connection.wait(list(by_handle), timeout)}
        for one in heard.values():
            alive = one.child.alive  # asked first: what it sent before its end is read now
            silent = self._read(one)
            if silent or not alive:
                self._gone(one, None)
        now = time.monotonic()
        for one in list(self._workers):
            if not one.started and now - one.child.started_at > self.start_up_limit:
                self._end(one, "did not start in time")
            elif one.done_at is not None and now - one.done_at > self.grace:
                self._end(one, "did not end after its last run")
            elif one.asked_to_stop_at is not None and now - one.asked_to_stop_at > self.grace:
                self._end(one, "did not stop when asked to")

    def _read(self, one: _Worker) -> bool:
        """Takes all messages that have arrived; True where no other can come."""
        try:
            while one.child.pipe.poll():
                message = one.child.pipe.recv()
                one.started = True
                if isinstance(message, Event):
                    self._take(one, message)
        except (EOFError, OSError):
            return True
        return False

    def _take(self, one: _Worker, event: Event) -> None:
        if isinstance(event, Begun):
            one.begun.add(event.run)
        elif isinstance(event, End) and event.run in one.open:
            one.open.remove(event.run)
            if not one.open:
                one.done_at = time.monotonic()
        self._arrived.append(event)

    def _end(self, one: _Worker, why: str) -> None:
        one.child.kill()
        self._read(one)
        self._gone(one, why)

    def _gone(self, one: _Worker, why: str | None) -> None:
        """A process is no more; `why` where we have ended it. Its runs come to their end here, if they have not yet."""
        self._workers.remove(one)
        how = why or one.child.how_it_ended(" before it sent its row")
        one.child.kill()  # it has closed its pipe, so whatever it still does is in vain
        one.child.pipe.close()
        begun = tuple(run for run in one.open if run in one.begun)
        not_begun = tuple(run for run in one.open if run not in one.begun)
        if one.asked_to_stop_at is not None and one.child.process.exitcode == 0:
            self._arrived.extend(Stopped(run) for run in not_begun)
            not_begun = ()
        if begun or not_begun:
            self._arrived.append(Lost(how, begun, not_begun))
