"""Runs -> workers -> rows: which runs are to do, the processes that do them, interruption, one writer.

On a CPU each run has a process of its own; on a GPU one process has them all, in turn (`engine.packing`).
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import connection
from typing import Any, Protocol

import torch

from ..tasks.datasets import DataError, fetch, sums
from . import provenance, worker
from .config import Experiment
from .errors import UsageError
from .planning import Planned
from .processes import cores, default_jobs, how_it_ended, signals_held_back, threads_in_children, worker_context
from .repeatable import check_precision
from .runs import Run
from .store import FINISHED, Row, Workplace, finite, signed

START_UP_LIMIT = 120.0
"""Seconds in which a worker must say that it has started; a hung fork server would else be waited for for ever."""
GRACE = 60.0
"""Seconds that a worker has to checkpoint when it is asked to stop."""
INTERRUPTED, TERMINATED, OUT_OF_TIME = 130, 143, 75


class Display(Protocol):
    """What a sweep shows of itself while it goes on."""

    def begin(self, planned: int, done: int) -> None:
        """`planned` runs will be trained, `done` are there already."""

    def progress(self, run: Run, steps: int, all_steps: int, epoch: int, scores: dict[str, float]) -> None:
        """A worker is at `steps`."""

    def end(self, run: Run, row: Row | None) -> None:
        """A worker has ended, with a row, or stopped without one."""

    def say(self, text: str) -> None:
        """Something that a person should know."""


@dataclass
class Result:
    """How a sweep ended.

    exit_code: 0; 1 where a run failed or nothing could run; 75, 130, 143 where it was cut short.
    """

    exit_code: int = 0
    rows: list[Row] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)


def run(
    experiment: Experiment,
    planned: Sequence[Planned],
    display: Display,
    device: str = "cpu",
    jobs: int | None = None,
    minutes: float | None = None,
    checkpoint_every: float = 60.0,
    keep: bool = True,
    threads: int = 1,
    packed: bool | None = None,
) -> Result:
    """Trains what is planned, `jobs` at a time, into the working area; returns when all is done or it is cut short.

    jobs: None for as many as suit the device. threads: of each run, on a CPU. packed: whether one process has all
    runs; None: where they share a GPU.
    keep: False writes nothing anywhere, no row and no checkpoint; the result alone has the rows.
    Raises UsageError where another process runs this experiment, the working area cannot be written, or the device
    cannot do the experiment's precision.
    """
    for item in planned:
        check_precision(item.run, torch.device(device))
    workplace = Workplace(experiment.folder)
    with workplace.held() if keep else nullcontext():
        if keep and (repaired := workplace.working.repair()):
            display.say(repaired)
        jobs = jobs or default_jobs(device, threads)
        if device == "cpu" and jobs * threads > cores():
            display.say(f"{jobs} runs at a time with {threads} threads each share {cores()} cores")
        packed = device != "cpu" and jobs > 1 if packed is None else packed
        kept = workplace if keep else None
        return _Sweep(experiment, kept, display, device, minutes, checkpoint_every, threads, packed).run_through(
            planned, jobs
        )


@dataclass
class _Worker:
    """items: the runs of its job that have not ended, by id. begun: those of them that it has begun.

    fruitful: whether a run has ended in it. A worker that dies without any is not given its runs again.
    """

    items: dict[str, Planned]
    process: Any
    pipe: connection.Connection
    started_at: float = field(default_factory=time.monotonic)
    begun: set[str] = field(default_factory=set)
    fruitful: bool = False
    ready: bool = False
    asked_to_stop_at: float | None = None


class _Sweep:
    def __init__(
        self,
        experiment: Experiment,
        workplace: Workplace | None,
        display: Display,
        device: str,
        minutes: float | None,
        checkpoint_every: float,
        threads: int,
        packed: bool,
    ) -> None:
        self.experiment, self.workplace, self.display, self.device = experiment, workplace, display, device
        self.checkpoint_every, self.threads, self.packed = checkpoint_every, threads, packed
        self.deadline = time.monotonic() + 60 * minutes if minutes is not None else None
        self.origin = provenance.of_sweep(experiment.folder, experiment.runs)
        self.result = Result()
        self.waiting: deque[Planned] = deque()
        self.workers: list[_Worker] = []
        self.stop_code: int | None = None
        self.context = worker_context(device)

    def run_through(self, planned: Sequence[Planned], jobs: int) -> Result:
        self.waiting.extend(self._with_data(planned))
        self.display.begin(len(self.waiting), sum(not item.to_do for item in planned))
        if self.result.unavailable and not self.waiting and all(item.to_do for item in planned):
            self.result.exit_code = 1
        with self._signals():
            try:
                while self.waiting or self.workers:
                    if self.deadline is not None and time.monotonic() > self.deadline:
                        self.stop_code = self.stop_code or OUT_OF_TIME
                    while self.waiting and len(self.workers) < (1 if self.packed else jobs) and self.stop_code is None:
                        items = [self.waiting.popleft() for _ in range(len(self.waiting) if self.packed else 1)]
                        self._start(items, jobs if self.packed else 1)
                    if self.stop_code is not None:
                        self._ask_to_stop()
                        if not self.workers:
                            break
                    self._listen()
            except KeyboardInterrupt:
                goes_on = ": the next run goes on from the last checkpoints" if self.workplace else ""
                self.display.say(f"stopped at once{goes_on}")
            finally:
                for one in self.workers:
                    one.process.kill()
        if self.stop_code is not None:
            self.result.exit_code = self.stop_code
        elif any(row["status"] not in FINISHED for row in self.result.rows):
            self.result.exit_code = 1
        return self.result

    def _with_data(self, planned: Sequence[Planned]) -> Iterator[Planned]:
        """The runs to do whose files can be had; the others are named once a task."""
        reasons: dict[str, str | None] = {}
        for item in planned:
            name = item.run.task.name
            if item.to_do and name not in reasons:
                try:
                    remotes = item.run.task_class.remotes
                    for remote in remotes:
                        fetch(remote, say=self.display.say, siblings=remotes)
                    reasons[name] = None
                except DataError as error:
                    reasons[name] = str(error)
                    self.result.unavailable[name] = str(error)
                    self.display.say(f"{name} is left out: {error}")
            if item.to_do and reasons[name] is None:
                yield item

    def _start(self, items: list[Planned], most: int) -> None:
        job = worker.Job(
            tuple(self._assignment(item) for item in items),
            self.experiment.folder.resolve(),
            self.device,
            self.checkpoint_every,
            self.origin,
            self.threads,
            most,
        )
        pipe, theirs = self.context.Pipe()
        process = self.context.Process(target=worker.main, args=(theirs, job), daemon=True)
        with threads_in_children(self.threads), signals_held_back():
            process.start()
            self.workers.append(_Worker({item.run.id: item for item in items}, process, pipe))
        theirs.close()

    def _assignment(self, item: Planned) -> worker.Assignment:
        run, place = item.run, (item.run.id, torch.device(self.device).type)
        checkpoint = self.workplace.checkpoint(*place) if self.workplace else None
        if checkpoint and item.reason in ("afresh", "stale"):
            checkpoint.unlink(missing_ok=True)
        trained = self.workplace.trained(*place) if self.workplace else None
        return worker.Assignment(run.config, provenance.source_hash(run), checkpoint, trained)

    def _listen(self) -> None:
        by_handle: dict[Any, _Worker] = {}
        for one in self.workers:
            by_handle |= {one.pipe: one, one.process.sentinel: one}
        heard = {id(by_handle[handle]): by_handle[handle] for handle in connection.wait(list(by_handle), timeout=0.2)}
        for one in heard.values():
            self._hear(one)
        for one in list(self.workers):
            late = not one.ready and time.monotonic() - one.started_at > START_UP_LIMIT
            deaf = one.asked_to_stop_at is not None and time.monotonic() - one.asked_to_stop_at > GRACE
            if late or deaf:
                one.process.kill()
                one.process.join()
                self._gone(one, "did not start in time" if late else "did not stop when asked to")

    def _hear(self, one: _Worker) -> None:
        alive = one.process.is_alive()  # asked first: what it sent before its end is read below
        try:
            while one.pipe.poll():
                kind, *content = one.pipe.recv()
                if kind == "started":
                    one.ready = True
                    continue
                run, *rest = content
                if kind == "begun":
                    one.begun.add(run)
                elif kind == "progress":
                    self.display.progress(one.items[run].run, *rest)
                elif kind == "say":
                    self.display.say(f"{one.items[run].run}: {rest[0]}")
                else:
                    self._ended(one, run, rest[0] if kind == "row" else None)
        except (EOFError, OSError):
            pass
        if not one.items or not alive:
            one.process.join()
            self._gone(one, how_it_ended(one.process.exitcode))

    def _gone(self, one: _Worker, how: str) -> None:
        """A worker is no more. What it has begun has died with it; what it has not goes to another."""
        self.workers.remove(one)
        one.pipe.close()
        in_order = one.asked_to_stop_at is not None and one.process.exitcode == 0
        lost = one.begun if one.begun or one.fruitful or in_order else one.items
        for run in [run for run in one.items if run in lost]:
            self._died(one, run, how)
        if self.stop_code is None:
            self.waiting.extendleft(reversed(one.items.values()))

    def _ended(self, one: _Worker, run: str, row: Row | None) -> None:
        ended = one.items.pop(run).run
        one.begun.discard(run)
        one.fruitful = True
        if row is not None:
            row = self._kept(row, self.workplace) if self.workplace else signed(finite(row))
            self.result.rows.append(row)
        self.display.end(ended, row)

    def _kept(self, row: Row, workplace: Workplace) -> Row:
        try:
            row = workplace.working.append(row)
        except OSError as error:
            raise UsageError(
                f"cannot write {workplace.working.path}: {error.strerror}; "
                "the run's checkpoint is kept, the next run goes on from it"
            ) from error
        if row["status"] in FINISHED:
            workplace.checkpoint(row["id"], row["device"]).unlink(missing_ok=True)
        return row

    def _died(self, one: _Worker, run: str, how: str) -> None:
        device = torch.device(self.device)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        dead = one.items[run].run
        origin = {
            **self.origin,
            **provenance.of_process(device),
            "threads": self.threads,
            "source": provenance.source_hash(dead),
            "data": sums(dead.task_class.remotes),
            "started": now,
            "finished": now,
        }
        error = {"message": f"the worker {how}", "traceback": ""}
        self._ended(one, run, worker.make_row(dead, self.device, origin, error=error, status="died"))

    def _ask_to_stop(self) -> None:
        for one in self.workers:
            if one.asked_to_stop_at is None:
                one.asked_to_stop_at = time.monotonic()
                try:
                    one.pipe.send("stop")
                except OSError:
                    continue

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Within it Ctrl-C and SIGTERM ask the workers to checkpoint and stop; a second Ctrl-C kills them."""

        def handle(number: int, frame: Any) -> None:
            if self.stop_code == INTERRUPTED and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.stop_code = INTERRUPTED if number == signal.SIGINT else TERMINATED
            what = "the runs save their checkpoints" if self.workplace else "nothing is kept"
            self.display.say(f"stopping: {what} (Ctrl-C once more: stop at once)")

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
