"""The plan of a study: which settings each trial has, drawn before any run and the same for every model of a row.

An experiment with a `tune:` block is a study. Of each model on each task it asks for so many trials, whose settings are
the points of a scrambled Sobol sequence of a fixed seed (Owen 1998, "Scrambling Sobol' and Niederreiter-Xing points",
by `scipy.stats.qmc`). All models of a row have the same points in the dimensions that they share; what a family adds
for itself takes further dimensions of the same sequence. The first 2, 4, 8, … trials fill the space evenly as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

from ..errors import UsageError, nearest
from . import networks, registry
from .kept_sizes import KEPT
from .notation import Spec
from .options import coerce, options_of
from .runs import Run
from .settings import Training
from .space import Dimension

ADDITIONS = 2
"""So many settings at most may a family of models have beside the space that all share."""
BUDGET = ("epochs", "patience", "until_solved", "test_lengths")
"""Settings of training that are part of the budget, which is the same for all: no space has them."""


class Unfit(UsageError):
    """A setting of the space does not fit a model. setting: its name; None where it is not about one."""

    def __init__(self, message: str, setting: str | None = None) -> None:
        super().__init__(message)
        self.setting = setting


@dataclass(frozen=True)
class Tuning:
    """The `tune:` block. trials: of each model on each task. seeds: of a trial, one run each. draw: seed of the plan.

    space: shared by all models of all rows, by name. additions: family of models, as its name -> what it has beside it.
    """

    trials: int
    seeds: tuple[int, ...]
    draw: int
    space: Mapping[str, Dimension]
    additions: Mapping[str, Mapping[str, Dimension]]


@dataclass(frozen=True)
class Plan:
    """The trials of one model on one task.

    base: the run with a tuning seed, in which a trial's settings take the place of its own. spec, budget, tolerance: as
    the file has the model and its size. shared, own: the dimensions of the space, and those that the family adds.
    """

    base: Run
    spec: Spec
    budget: int | None
    tolerance: float
    shared: tuple[Dimension, ...]
    own: tuple[Dimension, ...]
    tuning: Tuning = field(repr=False)

    @property
    def trials(self) -> range:
        """The numbers of the trials."""
        return range(self.tuning.trials)

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """All, those first that are shared."""
        return self.shared + self.own

    @property
    def place(self) -> tuple[str, ...]:
        """What of the budget is the same for all models of a row."""
        return tuple(f"{one.name}={one}" for one in self.shared)

    def settings(self, trial: int) -> dict[str, Any]:
        """The value of each dimension in a trial."""
        point = points(len(self.shared) + ADDITIONS, self.tuning.trials, self.tuning.draw)[trial]
        return {one.name: one.at(place) for one, place in zip(self.dimensions, point, strict=False)}

    def run(self, trial: int, seed: int) -> Run:
        """The run of a trial's settings with a seed. Raises UsageError where they do not go together."""
        settings = self.settings(trial)
        of_training = {name: value for name, value in settings.items() if name in options_of(Training)}
        of_model = {name: value for name, value in settings.items() if name not in of_training}
        training, known = options_of(Training), options_of(self.base.model_class)
        of_training = {name: coerce("training", training[name], value) for name, value in of_training.items()}
        of_model = {name: coerce(self.spec.name, known[name], value) for name, value in of_model.items()}
        return replace(
            self.base, model=self._model(of_model), training=replace(self.base.training, **of_training), seed=seed
        )

    @cached_property
    def identity(self) -> list[Any]:
        """What makes this plan another one: the run with its versions, the space, the trials and their seeds."""
        return [
            self.base.id,
            [f"{one.name}={one}" for one in self.dimensions],
            [self.tuning.trials, list(self.tuning.seeds), self.tuning.draw],
        ]

    def check(self) -> None:
        """Raises Unfit where the model lacks a setting of the space, or does not take the values at its ends."""
        for one in self.dimensions:
            try:
                self._check(one)
            except UsageError as error:
                raise Unfit(f"space: {one.name}: {error}", one.name) from error
        if len({repr(self.settings(trial)) for trial in self.trials}) < self.tuning.trials:
            raise Unfit(f"space: two of the {self.tuning.trials} trials have the same settings; a range is needed")

    def _check(self, one: Dimension) -> None:
        training, known = options_of(Training), options_of(self.base.model_class)
        named = registry.short(self.spec.name)
        if one.name in BUDGET:
            raise UsageError("it is a part of the budget, which is the same for all trials")
        if one.name in networks.size_options(self.base.model_class):
            raise UsageError("it is set by the budget of parameters, not tuned")
        if one.name not in training and one.name not in known:
            hint = nearest(one.name, {*training, *known})
            raise UsageError(f"neither a setting of training nor an option of {named}: {hint}")
        if one.name in self.spec.options:
            raise UsageError(f"it is tuned, but {named} is given with a value of it: take it out")
        for value in one.ends:
            if one.name in training:
                replace(self.base.training, **{one.name: coerce("training", training[one.name], value)})
            else:
                coerce(named, known[one.name], value)

    def try_models(self) -> None:
        """Makes the model with the values at the ends of the space. Raises Unfit where it does not take one."""
        known = options_of(self.base.model_class)
        for one in self._of_model:
            for value in one.ends:
                options = {**self.base.model.options, one.name: coerce("", known[one.name], value)}
                run = self.base
                try:
                    networks.on_paper(run.make_task(), run.model_class, options, run.head, run.embedding)
                except UsageError as error:
                    raise Unfit(f"space: {one.name}: {error}", one.name) from error

    @property
    def _of_model(self) -> list[Dimension]:
        """The dimensions that are options of the model."""
        return [one for one in self.dimensions if one.name not in options_of(Training)]

    def _model(self, settings: Mapping[str, Any]) -> Spec:
        """The model with a trial's options, and of the budget's size.

        A probability, a bias or another number with a point changes no size; other options may.
        """
        if self.budget is None or all(isinstance(value, float | None) for value in settings.values()):
            return Spec(self.base.model.name, {**self.base.model.options, **settings})
        spec, run = Spec(self.spec.name, {**self.spec.options, **settings}), self.base
        where = (self.budget, self.tolerance, run.head, run.embedding, run.folder)
        return KEPT.sized(run.make_task(), run.task, spec, *where)


@lru_cache
def points(dimensions: int, trials: int, draw: int) -> tuple[tuple[float, ...], ...]:
    """So many points of [0, 1)^dimensions, a power of two of them: a Sobol sequence, scrambled by the seed `draw`."""
    from scipy.stats import qmc  # here, because it takes 0.8 s, and nobody who has no study needs it

    sequence = qmc.Sobol(dimensions, scramble=True, rng=draw)
    return tuple(tuple(float(place) for place in point) for point in sequence.random_base2(trials.bit_length() - 1))


def study_of(plans: Sequence[Plan]) -> str:
    """12 hex digits that name a study: SHA-256 of the plans of all its models and tasks, in whatever order."""
    texts = sorted(json.dumps(plan.identity) for plan in plans)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
