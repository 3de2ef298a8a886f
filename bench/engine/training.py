"""The only training loop: the same for every task and model, repeatable to the bit, resumable anywhere."""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ...tasks.base import Splits
from .. import seeding
from ..errors import UsageError
from ..experiments.runs import Run
from ..experiments.settings import check_until_solved, check_warmup, make_schedule
from .checkpoint import Checkpoint, circumstances
from .devices import device_of
from .evaluation import Evaluation, Scores, best_of, ends_early, history, select
from .lanes import Lane, Moment, Turns, finished
from .outcome import Outcome, Progress, Stopped, copied, never, say_nothing
from .repeatable import check_precision, check_threads, drawing_globally, repeatable
from .steps import TrainingStep
from .trial import is_causal

ALONE = threading.Lock()
"""Held by the one training of this process that `train` has begun: global generators cannot be shared."""
TRACE_POINTS = 200
"""How finely the training loss is recorded over a whole run."""


def train(
    run: Run,
    device: torch.device | str = "cpu",
    checkpoint: Checkpoint | None = None,
    should_stop: Callable[[], bool] = never,
    report: Callable[[Progress, int], None] = say_nothing,
    threads: int = 1,
    say: Callable[[str], None] = warnings.warn,
) -> Outcome:
    """Trains a run, and evaluates it before the first epoch (epoch 0 of its curve) and after every epoch.

    checkpoint: saved as it falls due and after every epoch, and read at the start where there is one. One that was made
    in other circumstances (see `checkpoint`) is not gone on with: `say` is told why the run begins anew. should_stop is
    asked before every step and before every batch of an evaluation. A stop loses no step: an evaluation that was cut
    short is made again from its start, with the same scores. report: called now and then with the progress and the
    number of steps in all. threads: of a CPU; with several the bits are others, and they are the same each time in a
    new process.
    The global generators of Python, NumPy and torch are streams of the run's seed within, so that a model which draws
    from them gives the same curve each time; afterwards they are as they were.
    Raises Stopped after saving, where it was asked to stop; `datasets.DataError` where a file cannot be had;
    UsageError where the device cannot do the run's precision, and where another training goes on in this process.
    """
    device = torch.device(device)
    check_precision(run, device)
    if not ALONE.acquire(blocking=False):
        raise UsageError(
            "train: another training goes on in this process, and both would draw from the same global generators: "
            "train one after the other, or by `seqbench run`, which has a process for each"
        )
    try:
        with repeatable(device, threads), device_of(device).lane() as lane:
            try:
                loop = Loop(run, device, lane, checkpoint, should_stop, report, threads=threads, say=say)
                outcome: Outcome = finished(loop.turns())
            finally:
                lane.close()
    finally:
        ALONE.release()
    return outcome


class Loop:
    """One training, from its data to its outcome, in turns of one step each, so that several can take turns.

    All that it needs on the device is there once it is made, graphs included. lane: where its steps are launched; the
    loop is made and takes its turns within. load: gives the run's splits on the device. Other arguments and errors as
    of `train`.
    """

    def __init__(
        self,
        run: Run,
        device: torch.device,
        lane: Lane,
        checkpoint: Checkpoint | None = None,
        should_stop: Callable[[], bool] = never,
        report: Callable[[Progress, int], None] = say_nothing,
        load: Callable[[Run, torch.device], Splits] | None = None,
        threads: int = 1,
        say: Callable[[str], None] = warnings.warn,
    ) -> None:
        self.run, self.device, self.lane, self.checkpoint = run, device, lane, checkpoint
        self.should_stop, self.report, self.threads, self.say = should_stop, report, threads, say
        self.task = run.make_task()
        lane.generators.seed("data", run.seed)  # a stream of its own: runs that are packed share what one has loaded
        self.splits = (load or loaded)(run, device)
        self.yardsticks = self.task.yardsticks()  # first: a failure after the last epoch would lose the run
        stretched = {length: self.task.at_length(length) for length in run.training.test_lengths}
        others = {length: task.load(run.seed).test.to(device) for length, task in stretched.items()}
        self.causal = is_causal(run, self.task, device)
        lane.generators.seed(run.seed)
        self.network = drawing_globally(run.make_network(self.task)).to(device)
        self.dropout = seeding.generator("dropout", run.seed, device=device)
        self.network.seed_dropout(self.dropout)
        self.optimizer = run.training.make_optimizer(self.network.parameter_groups(), in_graph=lane.captures)
        self.schedule = make_schedule(run.training.schedule)
        self.progress = Progress()
        self.epoch_steps = math.ceil(len(self.splits.train) / run.training.batch)
        self.all_steps = self.epoch_steps * run.training.epochs
        self.optimizer_steps = run.training.optimizer_steps(self.epoch_steps)
        check_until_solved(run.training, self.task.metrics)
        check_warmup(run.training, self.optimizer_steps * run.training.epochs)
        self.trace_every = max(1, self.all_steps // TRACE_POINTS)
        self.step = TrainingStep(run, self.task, self.splits.train, self.network, self.optimizer, device, lane)
        self.evaluations = [
            Evaluation(self.network, self.task, split, lane) for split in (self.splits.valid, self.splits.test)
        ]
        self.at_lengths = {length: Evaluation(self.network, task, others[length]) for length, task in stretched.items()}
        self.rate = run.training.learning_rate
        self.best: dict[str, Tensor] = {}  # the parameters of the epoch that is best on validation
        self.over = False  # the last epoch is, and the network need not be that of the last step any more
        self.circumstances = circumstances(device, threads)
        self.held: dict[str, Any] = {}  # within an evaluation: what `_drawn` was before it
        self._restore()
        self.step.prepare_all()
        for evaluation in self.evaluations:
            evaluation.prepare_all()
        lane.generators.on_host = not lane.captures or bool(self.at_lengths or self._uncaptured())

    def turns(self) -> Turns:
        """The training, one step a turn; it returns the Outcome. Raises Stopped as `train` does."""
        self.wall, self.cpu = time.perf_counter(), self.lane.cpu_seconds()
        if not self.progress.curve:
            yield from self._evaluate_untrained()
            self.report(self.progress, self.all_steps)
        while self.progress.epoch < self.run.training.epochs and not self._ends_early():
            if not ((yield from self._epoch()) and (yield from self._finish_epoch())):
                return (yield from self._outcome("diverged"))
            self.report(self.progress, self.all_steps)
            self._save()
        return (yield from self._outcome("done"))

    def _epoch(self) -> Generator[Moment | None, None, bool]:
        """The steps of this epoch that are still to do; False as soon as the loss is not finite."""
        progress = self.progress
        check_threads(self.device, self.threads)
        self._set_rate(progress.step)
        self.step.begin(self._order(), fresh=progress.step == 0)
        self.network.train()
        for step in range(progress.step, self.epoch_steps):
            if step % self.run.training.accumulate == 0:  # a gradient that waits for more batches is not saved
                self._heed("training_seconds")
                if self.run.training.rate_follows_steps:
                    self._set_rate(step)
            count = self.step.take(step)
            progress.step, progress.total_steps = step + 1, progress.total_steps + 1
            progress.untraced += count
            if progress.total_steps % self.trace_every == 0 or progress.step == self.epoch_steps:
                if not (yield from self._trace()):
                    return False
                self.report(progress, self.all_steps)
            yield None
        self._lap("training_seconds")
        return True

    def _set_rate(self, step: int) -> None:
        """The learning rate of the optimizer step that batch `step` of this epoch belongs to."""
        training = self.run.training
        number = self.progress.epoch * self.optimizer_steps + step // training.accumulate
        all_steps = self.optimizer_steps * training.epochs
        self.rate = training.rate(self.schedule, self._history(), number, all_steps)
        self.step.set_rate(self.rate)

    def _order(self) -> Tensor:
        """In which order this epoch shows the examples (N,): a text as it stands, everything else shuffled."""
        count = len(self.splits.train)
        if self.splits.train.streams is not None:
            return torch.arange(count)
        return seeding.order(self.run.seed, self.progress.epoch, count)

    def _trace(self) -> Generator[Moment | None, None, bool]:
        """Records the loss since the last entry: only here is the device waited for."""
        progress, reading = self.progress, self.lane.read(self.step.loss_sum)
        while not reading.ready():
            yield reading
        (loss,) = reading.values()
        self.step.loss_sum.zero_()
        progress.trace.append([progress.total_steps, loss / progress.untraced])
        progress.epoch_loss += loss
        progress.untraced = 0
        return math.isfinite(loss)

    def _evaluate_untrained(self) -> Generator[Moment | None, None, None]:
        """Begins the curve with epoch 0. Scores that are not finite say nothing of the training that follows."""
        valid, test = yield from self._evaluated(self.evaluations)
        lengths = yield from self._evaluated_at_lengths()
        self._lap("evaluation_seconds")
        self.progress.add_point(valid, test, lengths=lengths)

    def _finish_epoch(self) -> Generator[Moment | None, None, bool]:
        """Evaluates and adds a point to the curve; False where the answers are not finite any more."""
        progress = self.progress
        valid, test = yield from self._evaluated(self.evaluations)
        self._lap("evaluation_seconds")
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.add_point(valid, test, self.rate, progress.epoch_loss / len(self.splits.train))
        progress.epoch_loss = 0.0
        if best_of(self.task, progress.curve)["epoch"] == progress.epoch:
            self.best = copied(self.network)
        return all(math.isfinite(score) for score in (*valid.values(), *test.values()))

    def _evaluated(self, evaluations: Iterable[Evaluation]) -> Generator[Moment | None, None, list[Scores]]:
        """The scores of each evaluation. It changes nothing that a checkpoint holds, so one may be saved within.

        A model may draw in evaluation, too: what it has drawn is given back, so that the training draws the same
        whether it was evaluated or not.
        """
        self.held, scores = self._drawn(), []
        for evaluation in evaluations:
            turns = evaluation.turns()
            while True:
                self._heed("evaluation_seconds")
                try:
                    moment = next(turns)
                except StopIteration as end:
                    scores.append(end.value)
                    break
                yield moment
        self._set_drawn(self.held)
        self.held = {}
        return scores

    def _evaluated_at_lengths(self) -> Generator[Moment | None, None, dict[str, Scores]]:
        """The scores of the network as it stands, by length."""
        scores = yield from self._evaluated(self.at_lengths.values())
        return {str(length): found for length, found in zip(self.at_lengths, scores, strict=True)}

    def _history(self) -> list[float]:
        """The selecting metric on validation after each epoch, signed so that lower is better."""
        return history(self.task, self.progress.curve)

    def _ends_early(self) -> bool:
        return ends_early(self.run.training, self.task, self.progress.curve)

    def _outcome(self, status: str) -> Generator[Moment | None, None, Outcome]:
        self.over = True
        if self.best:
            self.network.load_state_dict(self.best)
        lengths = {}
        if status == "done":
            lengths = yield from self._evaluated_at_lengths()
            self._lap("evaluation_seconds")
        scores, found = select(self.task, self.progress.curve), (self._uncaptured(), self.causal)
        return Outcome(status, self.progress, scores, lengths, self.yardsticks, self.network, *found, run=self.run)

    def _uncaptured(self) -> str:
        """Why a step is not captured where the lane captures; empty where all are."""
        steps = (self.step, *(evaluation.step for evaluation in self.evaluations))
        return next((step.uncaptured for step in steps if step.uncaptured), "")

    def _drawn(self) -> dict[str, Any]:
        """The states of the generators from which the run draws."""
        return {"dropout": self.dropout.get_state(), "generators": self.lane.generators.states()}

    def _set_drawn(self, states: dict[str, Any]) -> None:
        self.dropout.set_state(states["dropout"].cpu())
        self.lane.generators.set_states(states["generators"])

    def _heed(self, name: str) -> None:
        """Saves a checkpoint where that is due, and stops with one where that is asked for.

        name: what in the progress the time up to now belongs to.
        """
        stopping = self.should_stop()
        if stopping or (self.checkpoint is not None and self.checkpoint.due):
            self._lap(name)
            self._save()
        if stopping:
            raise Stopped(str(self.run))

    def _lap(self, name: str) -> None:
        """Adds the time since the last lap to the progress; saving does not count."""
        wall, cpu = time.perf_counter(), self.lane.cpu_seconds()
        setattr(self.progress, name, getattr(self.progress, name) + wall - self.wall)
        self.progress.cpu_seconds += cpu - self.cpu
        self.wall, self.cpu = wall, cpu

    def _save(self) -> None:
        if self.checkpoint is None or self.over:  # that of the last epoch is there, and has all that is needed
            return
        self.checkpoint.save(
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                **(self.held or self._drawn()),
                "loss_sum": self.step.loss_sum,
                "state": self.step.state,
                "best": self.best,
                "progress": asdict(self.progress),
                "circumstances": self.circumstances,
            }
        )
        self.wall, self.cpu = time.perf_counter(), self.lane.cpu_seconds()

    def _restore(self) -> None:
        if self.checkpoint is None:
            return
        saved = self.checkpoint.resumable(self.device, self.circumstances, self.say)
        if saved is None:
            return
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self._set_drawn(saved)
        self.step.loss_sum.copy_(saved["loss_sum"])
        self.step.state, self.best = saved["state"], saved["best"]
        self.progress = Progress(**saved["progress"])
        self.progress.resumed += 1


def loaded(run: Run, device: torch.device) -> Splits:
    """The splits of a run's task, on the device; a text in as many streams as the run trains on."""
    splits = run.make_task().load(run.seed)
    splits = splits._replace(train=splits.train.in_streams(run.training.batch))
    return Splits(*(split.to(device) for split in splits))
