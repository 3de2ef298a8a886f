"""The only training loop: the same for every task and model, repeatable to the bit, resumable anywhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..models.base import State
from ..models.network import Network
from ..tasks.base import Splits
from . import seeding
from .checkpoint import Checkpoint
from .evaluation import Scores, answer, best_of, evaluate, select
from .repeatable import check_precision, repeatable
from .runs import Run
from .settings import make_schedule

TRACE_POINTS = 200
"""How finely the training loss is recorded over a whole run."""


class Stopped(Exception):
    """The run was asked to stop and has saved its checkpoint."""


@dataclass
class Progress:
    """How far a run has come, and what it has measured so far; all of it goes into the checkpoint.

    curve: one entry an epoch: `epoch`, `steps`, `learning_rate`, `train_loss`, `valid` and `test` (metric -> value),
    `seconds` so far. trace: [steps, mean training loss since the entry before]. seconds: of training and evaluation.
    """

    epoch: int = 0
    step: int = 0
    total_steps: int = 0
    epoch_loss: float = 0.0
    untraced: int = 0
    training_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    cpu_seconds: float = 0.0
    resumed: int = 0
    curve: list[dict[str, Any]] = field(default_factory=list)
    trace: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What a training gave: `status` is `done`, or `diverged` where the loss was not finite any more.

    `network` has the parameters of the epoch that is best on validation; `lengths` are its scores at other lengths,
    `yardsticks` those of simple answers (see `Task.yardsticks`).
    """

    status: str
    progress: Progress
    scores: dict[str, Any]
    lengths: dict[str, Scores]
    yardsticks: dict[str, Scores]
    network: Network


def train(
    run: Run,
    device: torch.device | str = "cpu",
    checkpoint: Checkpoint | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    report: Callable[[Progress, int], None] = lambda progress, steps: None,
) -> Outcome:
    """Trains a run and evaluates it after every epoch.

    checkpoint: saved as it falls due and after every epoch, and read at the start where there is one. should_stop is
    asked before every step. report: called now and then with the progress and the number of steps in all.
    Raises Stopped after saving, where it was asked to stop; `datasets.DataError` where a file cannot be had;
    UsageError where the device cannot do the run's precision.
    """
    device = torch.device(device)
    check_precision(run, device)
    with repeatable(device):
        return _Loop(run, device, checkpoint, should_stop, report).run_through()


class _Loop:
    def __init__(
        self,
        run: Run,
        device: torch.device,
        checkpoint: Checkpoint | None,
        should_stop: Callable[[], bool],
        report: Callable[[Progress, int], None],
    ) -> None:
        self.run, self.device, self.checkpoint = run, device, checkpoint
        self.should_stop, self.report = should_stop, report
        self.task = run.make_task()
        splits = self.task.load(run.seed)
        splits = splits._replace(train=splits.train.in_streams(run.training.batch))
        self.splits = Splits(*(split.to(device) for split in splits))
        self.network = run.make_network(self.task).to(device)
        self.dropout = seeding.generator("dropout", run.seed, device=device)
        self.network.seed_dropout(self.dropout)
        self.optimizer = run.training.make_optimizer(self.network.parameters())
        self.schedule = make_schedule(run.training.schedule)
        self.progress = Progress()
        self.epoch_steps = math.ceil(len(self.splits.train) / run.training.batch)
        self.all_steps = self.epoch_steps * run.training.epochs
        self.trace_every = max(1, self.all_steps // TRACE_POINTS)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)  # since the last entry of the trace
        self.state: State = None  # of a text, where the model carries it over to the next step
        self.best: dict[str, Tensor] = {}  # the parameters of the epoch that is best on validation

    def run_through(self) -> Outcome:
        self._restore()
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        while self.progress.epoch < self.run.training.epochs and not self._out_of_patience():
            if not (self._train_epoch() and self._finish_epoch()):
                return self._outcome("diverged")
            self.report(self.progress, self.all_steps)
            self._save()
        return self._outcome("done")

    def _train_epoch(self) -> bool:
        """The steps of this epoch that are still to do; False as soon as the loss is not finite."""
        progress, settings = self.progress, self.run.training
        self._check_threads()
        rate = settings.learning_rate * self.schedule.factor(self._history())
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        order = self._order()
        if self.splits.train.lengths is None:  # else the host must know the lengths of a batch to lay it out
            order = order.to(self.device)
        if progress.step == 0:
            self.state = None
        self.network.train()
        for step in range(progress.step, self.epoch_steps):
            if self.should_stop():
                self._lap("training_seconds")
                self._save()
                raise Stopped(str(self.run))
            index = order[step * settings.batch : (step + 1) * settings.batch]
            self._step(index)
            progress.step, progress.total_steps = step + 1, progress.total_steps + 1
            progress.untraced += len(index)
            if progress.total_steps % self.trace_every == 0 or progress.step == self.epoch_steps:
                if not self._trace():
                    return False
                self.report(progress, self.all_steps)
            if self.checkpoint is not None and self.checkpoint.due:
                self._lap("training_seconds")
                self._save()
        self._lap("training_seconds")
        return True

    def _step(self, index: Tensor) -> None:
        batch = self.splits.train.batch(index)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.run.precision == "bfloat16"):
            outputs, self.state = answer(self.network, self.splits.train, batch, self.state)  # (B, R, O)
            loss = self.task.loss(outputs, batch)
        loss.backward()
        if self.run.training.clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.run.training.clip)
        self.optimizer.step()
        self.loss_sum += loss.detach().double() * len(index)

    def _order(self) -> Tensor:
        """In which order this epoch shows the examples (N,): a text as it stands, everything else shuffled."""
        count = len(self.splits.train)
        if self.splits.train.streams is not None:
            return torch.arange(count)
        return seeding.order(self.run.seed, self.progress.epoch, count)

    def _trace(self) -> bool:
        """Records the loss since the last entry: only here does the host wait for the device."""
        progress, loss = self.progress, self.loss_sum.item()
        self.loss_sum.zero_()
        progress.trace.append([progress.total_steps, loss / progress.untraced])
        progress.epoch_loss += loss
        progress.untraced = 0
        return math.isfinite(loss)

    def _finish_epoch(self) -> bool:
        """Evaluates and adds a point to the curve; False where the answers are not finite any more."""
        progress = self.progress
        valid = evaluate(self.network, self.task, self.splits.valid, self.device)
        test = evaluate(self.network, self.task, self.splits.test, self.device)
        self._lap("evaluation_seconds")
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.curve.append(
            {
                "epoch": progress.epoch,
                "steps": progress.total_steps,
                "learning_rate": self.optimizer.param_groups[0]["lr"],
                "train_loss": progress.epoch_loss / len(self.splits.train),
                "valid": valid,
                "test": test,
                "seconds": progress.training_seconds + progress.evaluation_seconds,
            }
        )
        progress.epoch_loss = 0.0
        if best_of(self.task, progress.curve)["epoch"] == progress.epoch:
            self.best = {name: part.detach().clone() for name, part in self.network.state_dict().items()}
        return all(math.isfinite(score) for score in (*valid.values(), *test.values()))

    def _history(self) -> list[float]:
        """The selecting metric on validation after each epoch, signed so that lower is better."""
        metric = self.task.metrics[0]
        sign = 1 if metric.direction == "lower" else -1
        return [sign * point["valid"][metric.name] for point in self.progress.curve]

    def _out_of_patience(self) -> bool:
        patience, curve = self.run.training.patience, self.progress.curve
        return patience is not None and bool(curve) and len(curve) - best_of(self.task, curve)["epoch"] >= patience

    def _outcome(self, status: str) -> Outcome:
        if self.best:
            self.network.load_state_dict(self.best)
        lengths = {}
        if status == "done":
            for length in self.run.training.test_lengths:
                task = self.task.at_length(length)
                split = task.load(self.run.seed).test.to(self.device)
                lengths[str(length)] = evaluate(self.network, task, split, self.device)
        scores = select(self.task, self.progress.curve)
        return Outcome(status, self.progress, scores, lengths, self.task.yardsticks(), self.network)

    def _check_threads(self) -> None:
        # A parallel Numba call silently gives torch all cores back (numba issue 9387), which changes gradients' bits.
        if self.device.type == "cpu" and torch.get_num_threads() != 1:
            raise RuntimeError(f"torch has {torch.get_num_threads()} threads where one was set; the bits would differ")

    def _lap(self, name: str) -> None:
        """Adds the time since the last lap to the progress; saving does not count."""
        wall, cpu = time.perf_counter(), time.process_time()
        setattr(self.progress, name, getattr(self.progress, name) + wall - self.wall)
        self.progress.cpu_seconds += cpu - self.cpu
        self.wall, self.cpu = wall, cpu

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        self.checkpoint.save(
            {
                "network": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "dropout": self.dropout.get_state(),
                "loss_sum": self.loss_sum,
                "state": self.state,
                "best": self.best,
                "progress": asdict(self.progress),
            }
        )
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def _restore(self) -> None:
        saved = self.checkpoint.load(self.device) if self.checkpoint is not None else None
        if saved is None:
            return
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.dropout.set_state(saved["dropout"].cpu())
        self.loss_sum.copy_(saved["loss_sum"])
        self.state, self.best = saved["state"], saved["best"]
        self.progress = Progress(**saved["progress"])
        self.progress.resumed += 1
