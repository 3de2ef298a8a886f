"""The `tune:` block of an experiment.yaml, and the `space:` of its rows, read and checked.

tune:
  trials: 8                                # of each model on each task: a power of two
  seeds: [1000]                            # of a trial, one run each; never those of the report
  draw: 0                                  # the seed of the plan: another one, other trials (default 0)
  space:                                   # for all models of all rows; bench/experiments/space.py says how
    learning_rate: log(low=3e-4, high=3e-2)
    clip: [0.25, 1.0, none]
  additions:                               # at most two more for a family, named by its model
    lstm: {forget_bias: [0.0, 1.0]}
rows:
- task: jsb
  space:                                   # for all models of this row, beside the experiment's
    dropout: uniform(low=0.0, high=0.5)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import UsageError
from . import registry
from .marked_yaml import CUT, Marked, Path_
from .notation import Spec
from .options import Option
from .runs import Run
from .space import Dimension, read
from .trials import ADDITIONS, Plan, Tuning, Unfit

MOST_TRIALS = 1024
KEYS = {
    "trials": Option("trials", int, None, True),
    "seeds": Option("seeds", int | list[int], None, True),
    "draw": Option("draw", int, 0, False),
    "space": Option("space", dict, None, True),
    "additions": Option("additions", dict, {}, False),
}


def tuning_of(marked: Marked, content: Any, report: Sequence[int]) -> Tuning | None:
    """The `tune:` block; None where there is none. report: the seeds of the experiment.

    Raises UsageError with the line of what is wrong in it.
    """
    if content is None:
        return None
    block = marked.checked(("tune",), content, KEYS, "tune")
    trials = block["trials"]
    if not 2 <= trials <= MOST_TRIALS or trials & (trials - 1):
        raise marked.error(("tune", "trials"), f"trials={trials}: a power of two from 2 to {MOST_TRIALS} is needed")
    seeds = block["seeds"] if isinstance(block["seeds"], list) else [block["seeds"]]
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise marked.error(("tune", "seeds"), "seeds: a list of distinct seeds from 0 up is needed, such as [1000]")
    if both := sorted({*seeds} & {*report}):
        raise marked.error(
            ("tune", "seeds"),
            f"seeds: {both[0]} is a seed of the report too; settings must not be chosen on what is reported",
        )
    if block["draw"] < 0:
        raise marked.error(("tune", "draw"), f"draw={block['draw']}: a seed from 0 up is needed")
    space = space_of(marked, ("tune", "space"), block["space"])
    if not space:
        raise marked.error(("tune", "space"), "space: at least one setting is needed")
    additions = {}
    for family, given in block["additions"].items():
        path: Path_ = ("tune", "additions", family)
        own = space_of(marked, path, given)
        if len(own) > ADDITIONS:
            raise marked.error(path, f"{family}: {len(own)} settings beside the space; at most {ADDITIONS} are fair")
        if shared := [name for name in own if name in space]:
            raise marked.error((*path, shared[0]), f"{family}: {shared[0]} is in the space of all models already")
        additions[family] = own
    return Tuning(trials, tuple(seeds), block["draw"], space, additions)


def space_of(marked: Marked, path: Path_, content: Any) -> dict[str, Dimension]:
    """A mapping of settings to values, as dimensions. Raises UsageError with the line of what is wrong in it."""
    if not isinstance(content, dict):
        raise marked.error(path, "space: a mapping is needed, such as learning_rate: log(low=1e-4, high=1e-2)")
    found = {}
    for name, values in content.items():
        if ")" in name or (isinstance(values, str) and values.count("(") > values.count(")")):
            raise marked.error((*path, name), f"space: cannot read {name!r}: {CUT}")
        try:
            found[name] = read(name, values)
        except UsageError as error:
            raise marked.error((*path, name), str(error)) from error
    return found


def plan_of(
    tuning: Tuning,
    row: Mapping[str, Dimension],
    run: Run,
    spec: Spec,
    budget: int | None,
    tolerance: float,
    given: Mapping[str, Any],
) -> Plan:
    """The trials of a model on a task.

    row: the space of the row beside the experiment's. run, spec, budget, tolerance: as of `Plan`. given: the settings
    of training that the file has. Raises UsageError where the space does not fit the model.
    """
    shared = {**tuning.space, **row}
    own = tuning.additions.get(registry.short(run.model.name), {})
    plan = Plan(run, spec, budget, tolerance, tuple(shared.values()), tuple(own.values()), tuning)
    plan.check()
    for one in plan.dimensions:
        if one.name in given:
            raise Unfit(f"training: {one.name} is tuned, so no value of it can be given: take it out")
    return plan


def place_of(error: UsageError, row: Path_, space: Mapping[str, Dimension], tuning: Tuning | None) -> Path_ | None:
    """Where the file has the setting that an error is about; None where it is about none.

    row, space: the path of the row of the table, and its own space.
    """
    name = error.setting if isinstance(error, Unfit) else None
    if name is None or tuning is None:
        return None
    if name in space:
        return (*row, "space", name)
    family = next((family for family, own in tuning.additions.items() if name in own), None)
    return ("tune", "space", name) if family is None else ("tune", "additions", family, name)


def unmet(tuning: Tuning, plans: Sequence[Plan]) -> str | None:
    """The first family with additions that no model of the experiment belongs to."""
    there = {registry.short(plan.base.model.name) for plan in plans}
    return next((family for family in tuning.additions if family not in there), None)
