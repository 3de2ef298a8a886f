"""Lists of values in an experiment: each stands for one run a value, and several lists for all combinations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import UsageError
from .notation import Spec, written
from .options import Option, coerce, options_of
from .settings import Training

MOST_RUNS = 100_000
"""Of an experiment: more would fill memory before the first of them is trained."""


def is_axis(option: Option, value: Any) -> bool:
    """Whether a list stands for several values, and is not itself the value of an option that takes one."""
    return isinstance(value, list) and value != [] and not option.takes_list


def check_count(runs: int) -> None:
    """Raises UsageError for more runs than an experiment may have."""
    if runs > MOST_RUNS:
        raise UsageError(f"{runs:,} runs; an experiment has at most {MOST_RUNS:,}")


def specs(cls: type[Any], spec: Spec) -> Iterator[Spec]:
    """The specs that a spec with lists for values stands for; a list is a value where the option takes one."""
    known = options_of(cls)
    values = [value if key in known and is_axis(known[key], value) else [value] for key, value in spec.options.items()]
    check_count(math.prod(map(len, values)))
    for combination in itertools.product(*values):
        yield Spec(spec.name, dict(zip(spec.options, combination, strict=True)))


def trainings(settings: Mapping[str, Any]) -> Iterator[tuple[Training, list[str]]]:
    """The settings that settings with lists for values stand for, each with what sets it apart, as `clip=0.5`."""
    known = options_of(Training)
    axes = [key for key, value in settings.items() if is_axis(known[key], value)]
    check_count(math.prod(len(settings[key]) for key in axes))
    for combination in itertools.product(*(settings[key] for key in axes)):
        chosen = {**settings, **dict(zip(axes, combination, strict=True))}
        values = {key: coerce("training", known[key], value) for key, value in chosen.items()}
        yield Training(**values), [f"{key}={written(value)}" for key, value in zip(axes, combination, strict=True)]
