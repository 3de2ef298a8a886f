"""An experiment that asks for several sets of vector instructions: the same runs, planned and trained with each.

What another set changes is measured that way (`analysis.instruction_sets`). A set that this processor lacks is left
out and named; its rows are made on another machine and merged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ..experiments.config import Experiment
from ..rows.instructions import chosen, lacks
from ..rows.store import Workplace
from . import planning, sweep
from .planning import Planned

Plans = Mapping[str | None, Callable[[], Sequence[Planned]]]
"""Set, in the words of a command -> what makes the plan of it once the working area is held, as `sweep.run` has it;
None: the set that runs usually have."""


def wanted(experiment: Experiment, asked: str | None, device: str) -> list[str | None]:
    """The sets that runs are trained with. asked: what the command says, which goes before the experiment.

    A GPU has none to choose.
    """
    if asked is not None or device != "cpu" or not experiment.instructions:
        return [asked]
    return [*experiment.instructions]


def available(experiment: Experiment, asked: str | None, device: str) -> tuple[list[str | None], list[str]]:
    """The sets that runs are trained with here, and which are left out, in a sentence each. The words as of `wanted`.

    What the command asks for is not left out, whatever this processor has: `plan` refuses it.
    """
    names, left_out = [], []
    for name in wanted(experiment, asked, device):
        if asked is None and name is not None and (reason := lacks(name.upper())):
            left_out.append(f"{name} is left out: it {reason}")
        else:
            names.append(name)
    return names, left_out


def plan(
    experiment: Experiment,
    workplace: Workplace,
    device: str,
    name: str | None,
    afresh: bool = False,
    stale: bool = False,
) -> list[Planned]:
    """What is planned with one set, in the words of a command. Raises UsageError for one that this processor lacks."""
    there = chosen(name) if name is not None else None
    return planning.plan(experiment, workplace, device, afresh, stale, there)


def run(
    experiment: Experiment,
    plans: Plans,
    display: Callable[[], AbstractContextManager[sweep.Display]],
    device: str,
    jobs: int | None,
    minutes: float | None,
    **options: Any,
) -> int:
    """A sweep a set, one after the other; the exit code of the one that was cut short, else the largest.

    display: makes what shows a sweep. minutes: for all of them together. options: further ones of `sweep.run`.
    """
    code, start = 0, time.monotonic()
    for name, planned in plans.items():
        left = None if minutes is None else max(0.0, minutes - (time.monotonic() - start) / 60)
        with display() as live:
            result = sweep.run(experiment, planned, live, device, jobs, left, instructions=name, **options)
        if result.exit_code in sweep.CUT_SHORT:
            return result.exit_code
        code = max(code, result.exit_code)
    return code
