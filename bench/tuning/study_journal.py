"""The study as Optuna knows it: a journal in the working area, for its dashboard and its plots.

Each task and model is a study of its own. The trials are ours, drawn beforehand: each is enqueued, asked for and told
when its rows are there. The rows are the record; the journal follows them, and can be deleted at any time.

    optuna-dashboard runs/NAME/optuna.log
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..experiments.space import Dimension
from .selection import Searched, Trial

FILE = "optuna.log"
NUMBER = "trial"
"""Under this name a trial of Optuna keeps its number in our plan."""


def available() -> bool:
    """Whether Optuna is installed (the extra `tune`)."""
    return importlib.util.find_spec("optuna") is not None


def follow(found: Sequence[Searched], area: Path) -> Path:
    """Brings the journal in a working area up to the trials that have come to their end; its path.

    A trial that an interrupted process has begun there and not told is marked as failed, and told afresh.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    area.mkdir(parents=True, exist_ok=True)
    path = area / FILE
    storage = JournalStorage(JournalFileBackend(str(path)))
    for one in found:
        plan = one.cell.plan
        if plan is None or not one.trials:
            continue
        study = optuna.create_study(
            storage=storage,
            study_name=f"{one.cell.task} {one.cell.model}",
            direction="minimize" if one.metric.direction == "lower" else "maximize",
            load_if_exists=True,
        )
        told = set()
        for known in study.get_trials(deepcopy=False):
            if known.state in (TrialState.RUNNING, TrialState.WAITING):
                study.tell(known.number, state=TrialState.FAIL)
            elif known.state.is_finished() and known.state != TrialState.FAIL:
                told.add(_key(known.user_attrs.get(NUMBER), known.params))
        for trial in one.trials:
            if _key(trial.number, _plain(trial)) not in told:
                _tell(study, trial, plan.dimensions, one)
    return path


def _tell(study: Any, trial: Trial, dimensions: Sequence[Dimension], one: Searched) -> None:
    from optuna.trial import TrialState

    study.enqueue_trial(_plain(trial), user_attrs={NUMBER: trial.number, "runs": [row["id"] for row in trial.rows]})
    asked = study.ask({dimension.name: _distribution(dimension) for dimension in dimensions})
    worst = math.inf if one.metric.direction == "lower" else -math.inf
    study.tell(asked, worst if trial.diverged else trial.score, state=TrialState.COMPLETE)


def _plain(trial: Trial) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int | float | str) else repr(value) for name, value in trial.settings.items()
    }


def _key(number: Any, settings: Any) -> tuple[Any, ...]:
    return number, tuple(sorted((name, repr(value)) for name, value in settings.items()))


def _distribution(dimension: Dimension) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if dimension.values:
        values = [value if isinstance(value, int | float | str) else repr(value) for value in dimension.values]
        return CategoricalDistribution(values)
    if dimension.scale == "whole":
        return IntDistribution(int(dimension.low), int(dimension.high))
    return FloatDistribution(dimension.low, dimension.high, log=dimension.scale == "log")
