"""Planned runs -> jobs -> events -> rows: what is to do, who is told, when to stop, and the only writer of rows.

Who trains the runs, and where, is a `Backend`'s business: processes on this machine, if no other is given.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch

from ..engine.repeatable import check_precision
from ..errors import UsageError
from ..experiments.config import Experiment
from ..experiments.hidden_imports import remarks
from ..experiments.runs import Run
from ..rows import commits, provenance, sources
from ..rows.instructions import chosen as named
from ..rows.making import make_row, now, origin_of
from ..rows.store import FINISHED, Row, Workplace, finite, signed
from . import resumable
from .backend import Assignment, Backend, Begun, Event, Gone, Job, Lost, Progressed, Refused, RowMade, Said, Stopped
from .display import Display as Display
from .estimates import Estimates
from .local import Local
from .planning import Planned, with_data
from .processes import STOPPING, default_jobs

LOOK_EVERY = 0.2
"""Seconds between two looks at the clock, while nothing happens."""
OUT_OF_TIME = 75
INTERRUPTED = 128 + signal.SIGINT
CUT_SHORT = frozenset({OUT_OF_TIME, *(128 + number for number in STOPPING)})
"""The exit codes of a sweep that has not done all: of a signal, as shells have it, 128 and its number."""


@dataclass
class Result:
    """How a sweep ended.

    exit_code: 0; 1 where a run failed or nothing could run; one of `CUT_SHORT` where it was cut short. unavailable:
    task -> why its data cannot be had. refused: id of a run -> why it was not trained where it was to be.
    """

    exit_code: int = 0
    rows: list[Row] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


def run(
    experiment: Experiment,
    planned: Sequence[Planned] | Callable[[], Sequence[Planned]],
    display: Display,
    device: str = "cpu",
    jobs: int | None = None,
    minutes: float | None = None,
    checkpoint_every: float = 60.0,
    keep: bool = True,
    threads: int = 1,
    packed: bool | None = None,
    backend: Backend | None = None,
    instructions: str | None = None,
    keep_weights: bool = False,
    part: str | None = None,
) -> Result:
    """Trains what is planned, `jobs` at a time, into the working area; returns when all is done or it is cut short.

    planned: the plan, or what makes it. That is asked when no other process can change the working area any more: of a
    plan that is older, runs may have got rows meanwhile, by another `run` or by `merge`.
    jobs: None for as many as suit the device. threads: of each run, on a CPU. packed: whether a job has many runs,
    which take turns on its device; None: where they share a GPU.
    keep: False writes nothing anywhere, no row and no checkpoint; the result alone has the rows.
    keep_weights: whether the parameters of each run are kept in the working area; those of a text always are.
    instructions: `avx2`, `avx512` or `native`, as `instructions.chosen` has it; None: the pinned set.
    part: of the working area, which this sweep writes; others may write theirs meanwhile. None: the whole area.
    backend: who trains the runs; it says how many jobs it takes at a time, and is left open for the next sweep. None:
    processes on this machine.
    Raises UsageError where another process runs this experiment, the working area cannot be written, the device
    cannot do the experiment's precision, or no process can be started.
    """
    workplace = Workplace(experiment.folder, part, experiment.record)
    with workplace.held() if keep else nullcontext():
        if keep:
            troubles = (*commits.troubles(experiment.folder), *remarks(experiment.runs))
            for text in (workplace.working.repair(), *troubles):
                if text is not None:
                    display.say(text)
        items = planned() if callable(planned) else planned
        for item in items:
            check_precision(item.run, torch.device(device))
        jobs = jobs or default_jobs(device, threads)
        packed = device != "cpu" and jobs > 1 if packed is None else packed
        kept, most = workplace if keep else None, jobs if packed else None
        with nullcontext(backend) if backend else Local(device, 1 if packed else jobs, threads) as chosen:
            sweep = _Sweep(
                experiment, kept, display, device, minutes, checkpoint_every, threads, most, chosen, named(instructions)
            )
            sweep.keep_weights = keep_weights
            return sweep.run_through(items)


@dataclass
class _Submitted:
    """A job that the backend has. items: its runs that have not come to their end, by id, in order.

    begun: those of them that have begun. fruitful: whether a run of it has come to its end.
    """

    items: dict[str, Planned]
    begun: set[str] = field(default_factory=set)
    fruitful: bool = False


class _Sweep:
    """One sweep. most: how many runs a job trains in turn; None: a job has one run. keep_weights: as of `run`."""

    keep_weights = False

    def __init__(
        self,
        experiment: Experiment,
        workplace: Workplace | None,
        display: Display,
        device: str,
        minutes: float | None,
        checkpoint_every: float,
        threads: int,
        most: int | None,
        backend: Backend,
        instructions: str | None,
    ) -> None:
        self.experiment, self.workplace, self.display, self.device = experiment, workplace, display, device
        self.checkpoint_every, self.threads, self.most, self.backend = checkpoint_every, threads, most, backend
        self.instructions = instructions
        self.deadline = time.monotonic() + 60 * minutes if minutes is not None else None
        self.origin = provenance.of_sweep(experiment.folder, experiment.runs)
        self.result = Result()
        self.estimates = Estimates(device, workplace.rows() if workplace and backend.job_seconds else ())
        self.waiting: deque[Planned] = deque()
        self.under_way: dict[str, _Submitted] = {}  # by the id of a run that has not come to its end
        self.stop_code: int | None = None
        self.announced = False

    def run_through(self, planned: Sequence[Planned]) -> Result:
        unique = {item.run.id: item for item in planned}  # two rows may ask for the same run
        for item in unique.values():
            if self.workplace and item.reason.startswith("finished"):  # a kill may have left its checkpoint
                place = (item.run.id, torch.device(self.device).type, self.instructions)
                if resumable.has_left(left := self.workplace.checkpoint(*place)):
                    resumable.end(left, self.backend.forget)
        there, self.result.unavailable = with_data(unique.values(), self.display.say)
        self.waiting.extend(there)
        self.display.begin(len(self.waiting), sum(not item.to_do for item in unique.values()))
        if self.result.unavailable and not self.waiting and all(item.to_do for item in planned):
            self.result.exit_code = 1
        with self._signals():
            try:
                while self.waiting or self.under_way:
                    if self.deadline is not None and time.monotonic() > self.deadline:
                        self.stop_code = self.stop_code or OUT_OF_TIME
                    if self.stop_code is None:
                        self._submit()
                    else:
                        self._announce()
                        self.backend.stop()
                        if not self.under_way:
                            break
                    for event in self.backend.events(LOOK_EVERY):
                        self._take(event)
            except Gone as reason:
                self.stop_code = self.stop_code or OUT_OF_TIME
                self.display.say(f"{reason}: all rows so far are kept")
            except KeyboardInterrupt:
                self._announce()
                goes_on = ": the next run goes on from the last checkpoints" if self.workplace else ""
                self.display.say(f"stopped at once{goes_on}")
            finally:
                if self.under_way:
                    self.backend.kill()
        if self.stop_code is not None:
            self.result.exit_code = self.stop_code
        elif self.result.refused or any(row["status"] not in FINISHED for row in self.result.rows):
            self.result.exit_code = 1
        return self.result

    def _submit(self) -> None:
        """Gives the backend as many jobs as it takes.

        A job has one run, or several that are short; where runs are packed, an even share of all.
        """
        while self.waiting and self.stop_code is None and (free := self.backend.free) > 0:
            share = -(-len(self.waiting) // free)
            if self.most is None:
                share = self.estimates.filling(
                    self.backend.job_seconds, (item.run.config for item in islice(self.waiting, share))
                )
            items = [self.waiting.popleft() for _ in range(share)]
            job = Job(
                tuple(self._assignment(item) for item in items),
                self.experiment.folder.resolve(),
                self.device,
                self.checkpoint_every,
                self.origin,
                self.threads,
                self.most or 1,
                self.instructions,
                self.estimates.memory(item.run.config for item in items),
                tuple(dict.fromkeys(remote for item in items for remote in item.run.task_class.remotes)),
            )
            submitted = _Submitted({item.run.id: item for item in items})
            self.under_way |= dict.fromkeys(submitted.items, submitted)
            self.backend.submit(job)

    def _assignment(self, item: Planned) -> Assignment:
        run, place = item.run, (item.run.id, torch.device(self.device).type)
        checkpoint = self.workplace.checkpoint(*place, self.instructions) if self.workplace else None
        if checkpoint and item.reason in ("afresh", "stale"):
            resumable.begin_anew(checkpoint, item.there, self.backend.forget)
        wanted = self.keep_weights or run.task_class.distribution  # a person will want to see what it writes
        trained = self.workplace.trained(*place) if self.workplace and wanted else None
        return Assignment(run.id, run.config, sources.source_hash(run), checkpoint, trained)

    def _take(self, event: Event) -> None:
        """Does what an event asks for. One of a run that has come to its end already is passed over."""
        if isinstance(event, Lost):
            return self._lost(event)
        job = self.under_way.get(event.run) if event.run is not None else None
        if isinstance(event, Said):
            about = f"{job.items[event.run].run}: " if job and event.run else ""
            return self.display.say(f"{about}{event.text}")
        if job is None:
            return None
        if isinstance(event, Begun):
            job.begun.add(event.run)
        elif isinstance(event, Progressed):
            run = job.items[event.run].run
            self.display.progress(run, event.steps, event.all_steps, event.epoch, event.scores)
        elif isinstance(event, RowMade):
            self._ended(event.run, event.row)
        elif isinstance(event, Refused):
            if event.text not in self.result.refused.values():  # on many machines there may be thousands alike
                self.display.say(f"{job.items[event.run].run} is left out: {event.text}")
            self.result.refused[event.run] = event.text
            self._leaves(event.run)
        elif isinstance(event, Stopped) and event.run in job.begun:
            self._ended(event.run, None)
        else:  # stopped before it had begun
            self._leaves(event.run)
        return None

    def _lost(self, event: Lost) -> None:
        """What has begun has died with its job; what has not is submitted again, if the job was of any use."""
        begun, not_begun = ([run for run in runs if run in self.under_way] for runs in (event.begun, event.not_begun))
        if not_begun and not begun and not self.under_way[not_begun[0]].fruitful:
            begun, not_begun = not_begun, []
        for run in begun:
            self._ended(run, self._died(self.under_way[run].items[run].run, event.how))
        given_back = [self._leaves(run) for run in not_begun]
        if self.stop_code is None:
            self.waiting.extendleft(reversed(given_back))

    def _leaves(self, run: str) -> Planned:
        """Takes a run out of its job."""
        return self.under_way.pop(run).items.pop(run)

    def _ended(self, run: str, row: Row | None) -> None:
        self.under_way[run].fruitful = True
        ended = self._leaves(run).run
        if row is not None:
            row = self._kept(row, self.workplace) if self.workplace else signed(finite(row))
            self.estimates.learn(row)
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
            resumable.end(workplace.checkpoint(row["id"], row["device"], self.instructions), self.backend.forget)
        return row

    def _died(self, run: Run, how: str) -> Row:
        """The row of a run whose worker has died."""
        there = self.device == "cpu" or torch.cuda.is_available()  # a cluster has what this machine may lack
        origin = origin_of(run, torch.device(self.device if there else "cpu"), self.origin, self.threads, now())
        error = {"message": f"the worker {how}", "traceback": ""}
        return make_row(run, self.device, origin, error=error, status="died")

    def _announce(self) -> None:
        """Says once that the runs are asked to stop; not where the time is over, which is no surprise."""
        if self.stop_code != OUT_OF_TIME and not self.announced:
            self.announced = True
            what = "the runs save their checkpoints" if self.workplace else "nothing is kept"
            self.display.say(f"stopping: {what} (Ctrl-C once more: stop at once)")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Within it the signals of `STOPPING` ask the runs to save checkpoints and stop; a second Ctrl-C kills them.

        What is ignored, as SIGHUP below nohup, goes on being ignored.
        """

        def handle(number: int, frame: Any) -> None:
            if self.stop_code == INTERRUPTED and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.stop_code = 128 + number

        # below nohup SIGHUP is ignored; SIGINT is so in each background job of a script, where `kill -INT` is meant
        nohup = {getattr(signal, "SIGHUP", None)}
        heeded = [one for one in STOPPING if one not in nohup or signal.getsignal(one) != signal.SIG_IGN]
        before = {number: signal.signal(number, handle) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
