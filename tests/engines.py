"""A cluster without machines: a script says what becomes of each attempt, and a clock that only it moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from backends import row_of
from seqbench.bench.running.backend import Begun, Event, Job
from seqbench.bench.running.cluster import Cause, Ended, Failed, Needs, News, Told, refuse
from seqbench.bench.running.supervision import Letter, Ticket


def letters(*events: Event, first: int = 1) -> list[Letter]:
    """Events as an attempt numbers them."""
    return [Letter(place, event) for place, event in enumerate(events, first)]


def done(job: Job) -> list[Letter]:
    """All letters of a job whose runs are done in order."""
    return letters(*(event for one in job.runs for event in (Begun(one.run), row_of(job, one.run))))


@dataclass
class FakeEngine:
    """Attempts end when a test says so; without a script for them they are done at the next look.

    places: attempts at a time; most: MiB of the largest node. script: from a ticket and its job to news; None leaves
    the attempt open.
    """

    places: int = 2
    most: float = 8192.0
    gpus: int = 0
    script: Callable[[Ticket, Job], list[News] | None] = lambda ticket, job: [Ended(ticket, done(job))]
    started: list[tuple[Ticket, Job, Needs]] = field(default_factory=list)
    cancelled: list[tuple[Ticket, bool]] = field(default_factory=list)
    stopping: list[bool] = field(default_factory=list)
    closed: bool = False
    now: float = 0.0
    _next: list[News] = field(default_factory=list)
    _open: set[Ticket] = field(default_factory=set)

    def check(self, needs: Needs) -> Needs:
        if needs.gpus > self.gpus:
            raise refuse(needs, "its nodes have 1 processors, 0 GPU each")
        return Needs(needs.cpus, needs.gpus, min(needs.memory, self.most))

    def capacity(self, needs: Needs) -> int:
        return self.places

    def start(self, ticket: Ticket, job: Job, needs: Needs) -> None:
        self.started.append((ticket, job, needs))
        news = self.script(ticket, job)
        if news is None:
            self._open.add(ticket)
        else:
            self._next += news

    def news(self, timeout: float, stopping: bool) -> list[News]:
        self.stopping.append(stopping)
        assert len(self.stopping) < 10_000, "a sweep that waits for what never comes"
        self.now += timeout
        found, self._next = self._next, []
        return found

    def cancel(self, ticket: Ticket, at_once: bool) -> None:
        self.cancelled.append((ticket, at_once))
        if ticket in self._open and not at_once:
            self._open.discard(ticket)
            self._next.append(Failed(ticket, "cancelled", "was cancelled"))

    def close(self) -> None:
        self.closed = True


def failing(cause: Cause, times: int, *before: Callable[[Job], list[Letter]]) -> Callable[[Ticket, Job], list[News]]:
    """A script: the first attempts at each job fail, after these letters; the next is done."""

    def script(ticket: Ticket, job: Job) -> list[News]:
        if ticket.attempt > times:
            return [Ended(ticket, done(job))]
        return [*(Told(ticket, told(job)) for told in before), Failed(ticket, cause, "was lost with its node")]

    return script
