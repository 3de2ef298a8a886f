"""How a network is trained: the settings of the loop, and the learning-rate schedules of the protocol."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ...models.base import ParameterGroup
from ...tasks.base import Metric
from ..errors import UsageError, nearest
from .notation import Spec, parse
from .options import checked, options_of

FACTOR = "learning_rate_factor"
"""Under this key an optimizer's group keeps by what the run's learning rate is multiplied there; none for 1."""

OPTIMIZERS: dict[str, Any] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
}


@dataclass(frozen=True)
class Training:
    """Settings of the training loop, the same for every task and model.

    epochs: passes over the training split. batch: examples a step. clip: the largest gradient norm, applied after
    `backward`; none for no clipping. schedule: `constant`, `step(…)`, `plateau(…)` or `cosine(…)`, see below.
    patience: training ends early after so many epochs without a better score on validation; none for all epochs.
    until_solved: training ends after the first epoch whose validation scores count as solved (`Metric.solved_at`).
    test_lengths: lengths at which the trained network is evaluated besides its own, for tasks that can be stretched.
    On a text `batch` is the number of stretches that are read side by side.
    warmup: over so many optimizer steps the learning rate grows in proportion to the step; the last of them has all
    of it. accumulate: an optimizer step follows the mean gradient of so many batches, so that batch * accumulate
    examples count as one batch; at the end of an epoch that of the batches that are left. Batches are averaged, and a
    last batch with fewer examples counts as much as the others. Clipping acts on the mean.
    `adamw` is Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101).
    """

    epochs: int = 10
    batch: int = 32
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd", "adagrad"] = "adam"
    learning_rate: float = 2e-3
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip: float | None = None
    schedule: str = "constant"
    patience: int | None = None
    test_lengths: tuple[int, ...] = ()
    warmup: int = 0
    accumulate: int = 1
    until_solved: bool = False

    def __post_init__(self) -> None:
        least_of = {"epochs": 1, "batch": 1, "momentum": 0, "weight_decay": 0, "warmup": 0, "accumulate": 1}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise UsageError(f"training: {name}={getattr(self, name)}: at least {least} is needed")
        if self.learning_rate <= 0 or (self.clip is not None and self.clip <= 0):
            raise UsageError("training: learning_rate and clip must be positive (clip: none for no clipping)")
        if self.patience is not None and self.patience < 1:
            raise UsageError(f"training: patience={self.patience}: at least 1 is needed, or none")
        if self.momentum and self.optimizer not in ("sgd", "rmsprop"):
            raise UsageError(f"training: momentum is an option of sgd and rmsprop, not of {self.optimizer}")
        make_schedule(self.schedule)

    @property
    def rate_follows_steps(self) -> bool:
        """Whether the learning rate changes within an epoch."""
        return self.warmup > 0 or make_schedule(self.schedule).follows_steps

    def optimizer_steps(self, batches: int) -> int:
        """Optimizer steps of an epoch with so many batches."""
        return math.ceil(batches / self.accumulate)

    def place(self, batch: int, batches: int) -> tuple[int, int]:
        """Of a batch of an epoch, counted from 0: its place among those of its optimizer step, and how many they are.

        >>> [Training(accumulate=2).place(batch, 3) for batch in range(3)]
        [(0, 2), (1, 2), (0, 1)]
        """
        place = batch % self.accumulate
        return place, min(self.accumulate, batches - batch + place)

    @property
    def uncapturable(self) -> str:
        """Why the step of one batch cannot be captured once and repeated; empty where it can."""
        if self.accumulate > 1:  # a graph would be of one place only, and divide by one number of batches
            return f"accumulate={self.accumulate}: an optimizer step spans several batches"
        if self.rate_follows_steps and self.optimizer == "adagrad":
            return "adagrad's learning rate is a number in the graph, and it changes from step to step"
        return ""

    def rate(self, schedule: Constant, history: Sequence[float], step: int, all_steps: int) -> float:
        """The learning rate of optimizer step `step`, counted from 0, of `all_steps` of the whole run.

        schedule: made from these settings. history: as of `Constant.factor`.
        """
        rate = self.learning_rate * schedule.factor(history)
        if step < self.warmup:
            return rate * ((step + 1) / self.warmup)
        if schedule.follows_steps:
            rate *= schedule.factor_of_step(step - self.warmup, all_steps - self.warmup)
        return rate

    def make_optimizer(
        self,
        parameters: Iterable[nn.Parameter] | Sequence[ParameterGroup],
        in_graph: bool = False,
        fused: bool | None = True,
    ) -> torch.optim.Optimizer:
        """The optimizer with PyTorch's defaults where these settings are silent (RMSprop: alpha 0.99).

        parameters: all alike, or in groups, as `Network.parameter_groups` gives them. fused: one loop for all of an
        update, where PyTorch has one; None for what PyTorch takes by itself.

        in_graph: in the form that can be captured, with a learning rate that is a tensor beside the parameters.
        Adagrad has none: its rate is a number, which a graph takes in, and its count of steps is not used.
        """
        given = [*parameters]
        groups = [part for part in given if isinstance(part, ParameterGroup)]
        alike = [part for part in given if not isinstance(part, ParameterGroup)]
        if len(groups) == 1 and groups[0][1:] == ParameterGroup([])[1:]:  # in one group, all are trained as usual
            alike, groups = [*groups[0].parameters], []
        device = (alike or groups[0].parameters)[0].device
        in_tensor = in_graph and self.optimizer != "adagrad"
        options: dict[str, Any] = {"weight_decay": self.weight_decay}

        def rate(factor: float) -> float | Tensor:
            number = self.learning_rate * factor
            return torch.tensor(number, device=device) if in_tensor else number

        trained: Any = alike or [
            {
                "params": [*group.parameters],
                "lr": rate(group.learning_rate_factor),
                "weight_decay": self.weight_decay if group.decays else 0.0,
                FACTOR: group.learning_rate_factor,
            }
            for group in groups
        ]
        if self.optimizer in ("sgd", "rmsprop"):
            options["momentum"] = self.momentum
        if self.optimizer == "rmsprop":  # foreach: one by one it would ask the tensor for its number
            options |= {"foreach": True, "capturable": True} if in_graph else {}
        elif self.optimizer != "adagrad":
            options["fused"] = True if in_graph else fused
        if self.optimizer in ("adam", "adamw") and in_graph:
            options["capturable"] = True
        return OPTIMIZERS[self.optimizer](trained, lr=rate(1.0), **options)


@dataclass(frozen=True)
class Constant:
    """The learning rate stays as it is.

    follows_steps: whether it changes within an epoch too; else `factor_of_step` is not asked.
    """

    follows_steps: ClassVar[bool] = False

    def factor(self, history: Sequence[float]) -> float:
        """By what the first learning rate is multiplied in the epoch after `history`.

        history: the selecting metric on validation after each epoch so far, signed so that lower is better.
        """
        return 1.0

    def factor_of_step(self, step: int, steps: int) -> float:
        """By what it is multiplied besides, in step `step`, counted from 0, of the `steps` after the warm-up."""
        return 1.0


@dataclass(frozen=True)
class Step(Constant):
    """step(every=10, by=0.1): multiplied by `by` after every `every`-th epoch, as in the published MNIST script."""

    every: int = 10
    by: float = 0.1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UsageError(f"schedule step: every={self.every}: at least 1 is needed")

    def factor(self, history: Sequence[float]) -> float:
        return self.by ** (len(history) // self.every)


@dataclass(frozen=True)
class Plateau(Constant):
    """plateau(by=0.1, window=3, after=10): multiplied by `by` after an epoch later than `after` whose validation
    score is worse than the worst of the `window` epochs before it (`ties`: or equal to it).

    The published scripts' rule: `epoch > 10 and loss > max(last 3 losses)` for music (by 0.1), `epoch > 5 and
    loss >= max(last 5)` for words (by 0.5, ties).
    """

    by: float = 0.1
    window: int = 3
    after: int = 10
    ties: bool = False

    def __post_init__(self) -> None:
        if self.window < 1 or self.after < 0:
            raise UsageError("schedule plateau: a window of at least 1, and after of at least 0, are needed")

    def factor(self, history: Sequence[float]) -> float:
        factor = 1.0
        for epoch in range(self.after + 1, len(history) + 1):  # epochs are counted from 1
            before, now = history[max(0, epoch - 1 - self.window) : epoch - 1], history[epoch - 1]
            if before and (now > max(before) or (self.ties and now == max(before))):
                factor *= self.by
        return factor


@dataclass(frozen=True)
class Cosine(Constant):
    """cosine(floor=0.0): falls along half a cosine, from all of the rate at the end of the warm-up towards `floor` of
    it at the end of the last epoch (Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts).

    An end by `patience` or `until_solved` comes earlier and changes nothing of it.
    """

    floor: float = 0.0

    follows_steps: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1:
            raise UsageError(f"schedule cosine: floor={self.floor}: a share of the learning rate, 0 to 1, is needed")

    def factor_of_step(self, step: int, steps: int) -> float:
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * step / steps)) / 2


SCHEDULES = {"constant": Constant, "step": Step, "plateau": Plateau, "cosine": Cosine}


def make_schedule(text: str) -> Constant:
    """The schedule that `text` names, in the notation. Raises UsageError for an unknown one."""
    spec = parse(text)
    if spec.name not in SCHEDULES:
        raise UsageError(f"unknown schedule {spec.name!r}: {nearest(spec.name, SCHEDULES)}")
    cls = SCHEDULES[spec.name]
    return cls(**checked(f"schedule {spec.name}", options_of(cls), spec.options))


def check_warmup(training: Training, steps: int) -> None:
    """Raises UsageError where the warm-up leaves nothing of a run with so many optimizer steps."""
    if training.warmup >= steps:
        raise UsageError(f"training: warmup={training.warmup}: fewer than the run's {steps} optimizer steps are needed")


def check_until_solved(training: Training, metrics: Sequence[Metric]) -> None:
    """Raises UsageError where a run is to end as soon as its task is solved, and no metric says when that is."""
    if training.until_solved and all(metric.solved_at is None for metric in metrics):
        raise UsageError("training: until_solved=true: this task counts as solved at no score; use patience")


def canonical_schedule(text: str) -> str:
    """The schedule that `text` names with what differs from its defaults, so that two spellings are one thing.

    >>> canonical_schedule("step(by=0.5,every=10)"), canonical_schedule("constant")
    ('step(by=0.5)', 'constant')
    """
    schedule = make_schedule(text)
    values = {field.name: (getattr(schedule, field.name), field.default) for field in fields(schedule)}
    return str(Spec(parse(text).name, {name: value for name, (value, default) in values.items() if value != default}))
