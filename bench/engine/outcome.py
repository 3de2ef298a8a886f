"""How far a training has come, how it is reported and stopped, and what it has given in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ...models.network import Network
from ...tasks.base import Task
from ..experiments.runs import Run
from .evaluation import Scores


@dataclass
class Progress:
    """How far a run has come, and what it has measured so far; all of it goes into the checkpoint.

    curve: one point an epoch: `epoch`, `steps`, `learning_rate`, `train_loss`, `valid` and `test` (metric -> value),
    `seconds` so far. It begins with epoch 0, the untrained network: its `steps` are 0, its `learning_rate` and
    `train_loss` are None, as no step has been taken; where the run has test lengths, `lengths` are its scores there.
    trace: [steps, mean training loss since the entry before]. seconds: of training and evaluation.
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

    def add_point(
        self,
        valid: Scores,
        test: Scores,
        rate: float | None = None,
        train_loss: float | None = None,
        lengths: dict[str, Scores] | None = None,
    ) -> None:
        """Adds the present epoch's point to the curve; `lengths` where there are any."""
        point = {
            "epoch": self.epoch,
            "steps": self.total_steps,
            "learning_rate": rate,
            "train_loss": train_loss,
            "valid": valid,
            "test": test,
            "seconds": self.training_seconds + self.evaluation_seconds,
        }
        self.curve.append(point | ({"lengths": lengths} if lengths else {}))


class Stopped(Exception):
    """The run was asked to stop and has saved its checkpoint."""


def never() -> bool:
    """Says that a run need not stop."""
    return False


def say_nothing(progress: Progress, steps: int) -> None:
    """Reports to no one."""


@dataclass(frozen=True)
class Outcome:
    """What a training gave: `status` is `done`, or `diverged` where the loss was not finite any more.

    `network` has the parameters of the epoch that is best on validation; `lengths` are its scores at other lengths,
    `yardsticks` those of simple answers (see `Task.yardsticks`). uncaptured: why its steps were not captured, on a
    GPU; empty where they were. causal: whether the model sees no later input, where the task asks that. run: what was
    trained.
    """

    status: str
    progress: Progress
    scores: dict[str, Any]
    lengths: dict[str, Scores]
    yardsticks: dict[str, Scores]
    network: Network
    uncaptured: str = ""
    causal: bool = True
    run: Run = field(kw_only=True)

    @property
    def task(self) -> Task:
        """The task that it was trained on."""
        return self.run.make_task()


def copied(network: Network) -> dict[str, Tensor]:
    """A copy of the network's parameters, by name; a matrix that two parts share is copied once."""
    copies: dict[int, Tensor] = {}
    for part in network.state_dict().values():
        if part.data_ptr() not in copies:
            copies[part.data_ptr()] = part.detach().clone()
    return {name: copies[part.data_ptr()] for name, part in network.state_dict().items()}
