"""What many machines ask of the driver: the sweep and the backend as they are, machines and clock simulated.

`python -m seqbench.bench.speed.cluster_load [RUNS [WORKERS]]` lets a sweep of so many runs (10,000) go over so many
workers (500). A run takes two minutes on average (a lognormal time), reports as `ray_engine` has it, and now and then a
worker is lost. The rows are written to the disk as always. Printed are the outstanding jobs, how busy the workers were,
the processor's time of the driver for each part, its memory, and how many workers it could serve at most.
"""

from __future__ import annotations

import heapq
import itertools
import random
import resource
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .history import module

EXPERIMENT = """
question: How much is too much?
seeds: {runs}
training: {{epochs: 1, batch: 8}}
rows:
- task: adding(length=10, train=32, valid=8, test=8)
  models: [gru(width=4)]
"""
MEAN_SECONDS, SPREAD = 120.0, 0.7
"""Of a run; the standard deviation of its logarithm."""
START_SECONDS, LOST_EVERY = 2.0, 12 * 3600.0
"""From a free place to a run that trains; time of one worker between two losses, on average."""
GATHERED = 0.1
"""Seconds for which letters are gathered, as `ray_engine.GATHERED`."""


@dataclass
class Machines:
    """An engine of simulated workers. row: of a run; every other gets one like it. own: processor's seconds in here."""

    workers: int
    row: dict[str, Any]
    now: float = 0.0
    letters: int = 0
    outstanding: int = 0
    most: int = 0
    busy: float = 0.0
    lost: int = 0
    own: float = 0.0
    cluster: Any = field(default_factory=lambda: module("cluster"))
    backend: Any = field(default_factory=lambda: module("backend"))
    supervision: Any = field(default_factory=lambda: module("supervision"))
    random: random.Random = field(default_factory=lambda: random.Random(0))
    _queue: deque[tuple[Any, Any]] = field(default_factory=deque)
    _agenda: list[tuple[float, int, Any, Any, str]] = field(default_factory=list)
    _order: Any = field(default_factory=itertools.count)
    _ends: dict[Any, float] = field(default_factory=dict)

    def check(self, needs: Any) -> Any:
        return needs

    def capacity(self, needs: Any) -> int:
        return self.workers

    def start(self, ticket: Any, job: Any, needs: Any) -> None:
        self.outstanding += 1
        self.most = max(self.most, self.outstanding)
        self._queue.append((ticket, job))
        self._begin()

    def _begin(self) -> None:
        while self._queue and len(self._ends) < self.workers:
            ticket, job = self._queue.popleft()
            seconds = START_SECONDS
            for _ in job.runs:
                seconds += self.random.lognormvariate(0.0, SPREAD) * MEAN_SECONDS
            lost = self.random.expovariate(1 / LOST_EVERY)
            end = self.now + min(seconds, lost)
            self._ends[ticket] = end
            self.busy += end - self.now
            self._put(self.now + START_SECONDS, ticket, job, "letter")
            self._put(end, ticket, job, "lost" if lost < seconds else "done")

    def _put(self, at: float, ticket: Any, job: Any, what: str) -> None:
        heapq.heappush(self._agenda, (at, next(self._order), ticket, job, what))

    def news(self, timeout: float, stopping: bool) -> list[Any]:
        begin = time.process_time()
        found = self._news(timeout)
        self.own += time.process_time() - begin
        return found

    def _news(self, timeout: float) -> list[Any]:
        cluster, backend, letter = self.cluster, self.backend, self.supervision.Letter
        until = max(self.now, self._agenda[0][0] if self._agenda else self.now + timeout) + GATHERED
        every = max(1.0, self.workers / 200)
        found: list[Any] = []
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, ticket, job, what = heapq.heappop(self._agenda)
            if what == "letter":
                self.letters += 1
                run = job.runs[0].run
                event = backend.Progressed(run, 1, 2, 0, {"mse": 0.1})
                found.append(cluster.Told(ticket, [letter(self.letters + 10**9, event)]))
                if self.now + every < self._ends[ticket]:
                    self._put(self.now + every, ticket, job, "letter")
                continue
            del self._ends[ticket]
            self.outstanding -= 1
            if what == "lost":
                self.lost += 1
                found.append(cluster.Failed(ticket, "node", "was lost with its node"))
            else:
                events = [one for run in job.runs for one in (backend.Begun(run.run), self._made(run))]
                found.append(cluster.Ended(ticket, [letter(place, one) for place, one in enumerate(events, 1)]))
            self._begin()
        self.now = max(self.now, until)
        return found

    def _made(self, assignment: Any) -> Any:
        label = f"{self.row['label']} {assignment.run}"
        return self.backend.RowMade(
            assignment.run, {**self.row, "id": assignment.run, "config": assignment.config, "label": label}
        )

    def cancel(self, ticket: Any, at_once: bool) -> None:
        """Nothing is cancelled here."""

    def close(self) -> None:
        """Nothing is held."""


class Silent:
    """A display that shows nothing."""

    def begin(self, *_: Any) -> None: ...
    def progress(self, *_: Any) -> None: ...
    def end(self, *_: Any) -> None: ...
    def say(self, *_: Any) -> None: ...


def a_row(folder: Path, experiment: Any) -> dict[str, Any]:
    """The row of the experiment's first run, trained here."""
    worker, backend, sources = module("worker"), module("backend"), module("sources")
    run = experiment.runs[0]
    job = backend.Job(
        (backend.Assignment(run.id, run.config, sources.source_hash(run), None, None),), folder, "cpu", 60.0, {}
    )
    judged = module("provenance").of_sweep(folder, [run])
    found: list[Any] = []
    worker.perform(replace(job, sweep=judged), found.append, lambda: False)
    (row,) = [event.row for event in found if isinstance(event, backend.RowMade)]
    return {**row, "seconds": {"training": MEAN_SECONDS, "evaluation": 1.0, "cpu": MEAN_SECONDS}}


def simulate(runs: int, workers: int) -> dict[str, float]:
    """What a sweep of so many runs on so many workers takes, by name."""
    config, planning, sweep = module("config"), module("planning"), module("sweep")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "load"
        folder.mkdir()
        (folder / "experiment.yaml").write_text(EXPERIMENT.format(runs=runs), encoding="utf-8")
        begin = time.process_time()
        experiment = config.load(folder)
        planned = planning.plan(experiment, module("store").Workplace(folder), "cpu")
        read = time.process_time() - begin
        machines = Machines(workers, a_row(folder, experiment))
        begin, wall = time.process_time(), time.perf_counter()
        with module("cluster").Cluster(machines, clock=lambda: machines.now) as backend:
            result = sweep.run(experiment, planned, Silent(), backend=backend)
        spent, wall = time.process_time() - begin - machines.own, time.perf_counter() - wall
        rows = module("store").Workplace(folder).working
        size = rows.path.stat().st_size
        begin = time.process_time()
        there = {row["id"] for row in rows.read()}
        reread = time.process_time() - begin
    assert result.exit_code == 0
    assert len(there) == runs
    return {
        "rows": len(there),
        "simulated hours": machines.now / 3600,
        "workers busy, %": 100 * machines.busy / (workers * machines.now),
        "workers lost": machines.lost,
        "outstanding jobs at the most": machines.most,
        "letters": machines.letters,
        "reading and planning, s": read,
        "driver, processor s": spent,
        "driver and simulation, real s": wall,
        "driver, ms a run": 1000 * spent / runs,
        "share of one core, %": 100 * spent / machines.now,
        "workers that one core serves": workers * machines.now / spent,
        "rows, MiB": size / 2**20,
        "reading the rows, s": reread,
        "driver, peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Prints the figures of one simulation."""
    runs, workers = (int(word) for word in (*sys.argv[1:3], *("10000", "500")[len(sys.argv[1:3]) :]))
    for name, value in simulate(runs, workers).items():
        print(f"{name:32} {value:12,.2f}")


if __name__ == "__main__":
    main()
