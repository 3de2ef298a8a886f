"""The space that a study searches: for each setting the values that it may take, and which point of it is which value.

A setting's values are a list, such as `[0.25, 1.0, none]`, of which each is as likely, or a range in the notation:

    log(low=3e-4, high=3e-2)        uniform on the log scale
    uniform(low=0.0, high=0.5)      uniform
    whole(low=1, high=4)            whole numbers, both ends included
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import UsageError, nearest
from .notation import parse, written

Scale = Literal["log", "uniform", "whole", "list"]
RANGES: tuple[Scale, ...] = ("log", "uniform", "whole")
DIGITS = 3
"""Significant digits of a value, so that all machines, and a person who copies it, have the same one."""


@dataclass(frozen=True)
class Dimension:
    """One setting of a space. low, high: the ends of a range. values: of a list; empty for a range."""

    name: str
    scale: Scale
    low: float = 0.0
    high: float = 0.0
    values: tuple[Any, ...] = ()

    def at(self, place: float) -> Any:
        """The value at a place in [0, 1) of the dimension.

        >>> read("learning_rate", "log(low=1e-4, high=1e-2)").at(0.5), read("clip", [0.25, 1.0, None]).at(0.99)
        (0.001, None)
        """
        if self.values:
            return self.values[int(place * len(self.values))]
        if self.scale == "whole":
            return int(self.low) + int(place * (self.high - self.low + 1))
        if self.scale == "log":
            value = math.exp(math.log(self.low) + place * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + place * (self.high - self.low)
        return float(f"{value:.{DIGITS}g}")

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values between which, or of which, all others are: to try whether a model takes them."""
        if self.values:
            return self.values
        return (int(self.low), int(self.high)) if self.scale == "whole" else (self.low, self.high)

    @property
    def most(self) -> float:
        """How many different values there are."""
        if self.values:
            return len(self.values)
        return self.high - self.low + 1 if self.scale == "whole" else math.inf

    def __str__(self) -> str:
        if self.values:
            return written(self.values)
        ends = [written(int(end) if self.scale == "whole" else end) for end in (self.low, self.high)]
        return f"{self.scale}(low={ends[0]}, high={ends[1]})"


def read(name: str, text: Any) -> Dimension:
    """The dimension that a list of values, or a range in the notation, describes. Raises UsageError for another."""
    if isinstance(text, list):
        values = tuple(None if value == "none" else value for value in text)
        if len(values) < 2 or len({repr(value) for value in values}) < len(values):
            raise UsageError(f"space: {name}: a list of at least two different values is needed")
        return Dimension(name, "list", values=values)
    if not isinstance(text, str):
        raise UsageError(f"space: {name}: a list of values, or a range such as log(low=1e-4, high=1e-2), is needed")
    spec = parse(text)
    if spec.name not in RANGES:
        raise UsageError(f"space: {name}: there is no range {spec.name!r}: {nearest(spec.name, RANGES)}")
    low, high = (spec.options.get(end) for end in ("low", "high"))
    kinds = int if spec.name == "whole" else (int, float)
    if set(spec.options) != {"low", "high"} or not isinstance(low, kinds) or not isinstance(high, kinds):
        numbers = "whole numbers" if spec.name == "whole" else "numbers"
        raise UsageError(f"space: {name}: {text}: low=… and high=…, both {numbers}, are needed")
    if not low < high or (spec.name == "log" and low <= 0):
        raise UsageError(f"space: {name}: {text}: low below high{', both above 0,' * (spec.name == 'log')} is needed")
    return Dimension(name, spec.name, float(low), float(high))
