"""The values of an option, such as a width, whose parameter counts are nearest to a budget."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..errors import Refused, UsageError

LARGEST = 1 << 20
"""No value above it is tried."""
FIRST_TRIES = 512
"""So many values are tried before it is said that the model accepts none."""
FURTHEST = 8
"""So many times the widest value that is known is tried next at most."""
TRIES = 256
"""So many values are tried between two that the model accepts."""


@dataclass(frozen=True)
class Counted:
    """A value of the option, and the parameters of the network that has it."""

    value: int
    parameters: int


class Search:
    """The counts of an option's values, each counted once. What the model refuses is passed over.

    count: gives the parameters for a value; raises Refused. step: only its multiples are tried. Counts are taken to
    grow with the value. Most are quadratic in it, so a parabola through three of them tells where to look next. Where
    a model refuses values, the multiples of the greatest common divisor of those that it has accepted are tried first:
    so widths in eights, even ones, and those that heads divide are found with few networks.
    """

    def __init__(self, count: Callable[[int], int], step: int = 1) -> None:
        self.count, self.step = count, step
        self.refusal: Refused | None = None
        """Why the value tried last among those that were refused is none."""
        self._known: dict[int, Counted | None] = {}
        self._grid = 0

    def first(self) -> Counted:
        """The smallest value that the model accepts. Raises UsageError where none of the first few hundred is."""
        values = range(self.step, self.step * (FIRST_TRIES + 1), self.step)
        reasons = set()
        for value in values:
            if (found := self._counted(value)) is not None:
                return found
            reasons.add(str(self.refusal))
        if len(reasons) == 1:  # whatever the value: it is not to blame
            raise UsageError(reasons.pop()) from self.refusal
        raise UsageError(f"{self.refusal}; none of {values[0]} … {values[-1]} is accepted") from self.refusal

    def has_effect(self) -> bool:
        """Whether the count depends on the value: whether the two smallest give different counts."""
        first = self.first()
        second = self._any_of(range(first.value + self.step, first.value + self.step * (TRIES + 1), self.step))
        return second is not None and second.parameters != first.parameters

    def around(self, budget: int) -> tuple[Counted, Counted]:
        """The largest value whose count is not above the budget, and the smallest whose count is not below it.

        The same value twice where the budget lies outside of all counts. Where a width equals the embedding's a
        projection falls away, and the count dips there; a search by halves may then miss a size that is nearer, which
        the tolerance bounds. Raises UsageError as `first` does.
        """
        low = high = self.first()
        while high.parameters < budget and high.value < LARGEST:
            twice = 2 * high.value
            far = min(max(twice, self._guess(budget) or 0), FURTHEST * high.value) // self.step * self.step
            wider = self._any_of(self._tried_between(far - self.step, 2 * far, far))
            wider = wider or self._any_of(self._tried_between(high.value, twice, twice))
            if wider is None:  # what the model accepts ends here
                return high, high
            low, high = high, wider
        for halve in itertools.cycle((False, False, False, True)):  # where the parabola misleads, halves still end it
            middle = (low.value + high.value) // 2 if halve else self._guess(budget)
            between = self._between(low.value, high.value, middle)
            if between is None:
                return low, high
            low, high = (between, high) if between.parameters <= budget else (low, between)
        raise AssertionError("unreachable: the cycle has no end")

    def nearest(self, budget: int) -> Counted:
        """The value whose count is nearest to the budget; of two equally near the smaller."""
        return min(self.around(budget), key=lambda found: (abs(found.parameters - budget), found.value))

    def _between(self, low: int, high: int, middle: int | None) -> Counted | None:
        """The count of a value between two others, near `middle`, or halfway where that is None; None without one."""
        near = (low + high) // 2 if middle is None else max(low + self.step, min(middle, high - self.step))
        return self._any_of(self._tried_between(low, high, near // self.step * self.step))

    def _guess(self, budget: int) -> int | None:
        """Where a parabola through the three counts nearest to the budget reaches it, rounded down; None without one.

        >>> search = Search(lambda width: 3 * width * width + 5 * width)
        >>> [search.count(1), search.first().parameters, search.has_effect(), search._counted(4).parameters]
        [8, 8, True, 68]
        >>> search._guess(3 * 70 * 70)
        69
        """
        known = [found for found in self._known.values() if found is not None]
        points = {
            found.value: found.parameters for found in sorted(known, key=lambda one: abs(one.parameters - budget))
        }
        if len(points) < 3:
            return None
        (x0, y0), (x1, y1), (x2, y2) = itertools.islice(points.items(), 3)
        slope = (y1 - y0) / (x1 - x0)
        square = ((y2 - y1) / (x2 - x1) - slope) / (x2 - x0)
        linear = slope - square * (x0 + x1)
        constant = y0 - slope * x0 + square * x0 * x1 - budget
        if abs(square) < 1e-9:
            return int(-constant / linear) if linear > 0 else None
        inside = linear * linear - 4 * square * constant
        return int((math.sqrt(inside) - linear) / (2 * square)) if inside >= 0 else None

    def _tried_between(self, low: int, high: int, middle: int) -> Iterable[int]:
        """Multiples of the step that lie between, those near the middle first; but first of all those on the grid."""
        inside = range(low + self.step, high, self.step)
        if middle in inside:
            yield middle
        chosen = [value for value in inside if value % self._grid == 0] if self._grid > self.step else []
        for values in (chosen, inside):
            yield from sorted(values, key=lambda value: abs(value - middle))[:TRIES]

    def _any_of(self, values: Iterable[int]) -> Counted | None:
        """The first of these that the model accepts."""
        return next((found for value in values if (found := self._counted(value)) is not None), None)

    def _counted(self, value: int) -> Counted | None:
        if value not in self._known:
            try:
                self._known[value] = Counted(value, self.count(value))
                self._grid = math.gcd(self._grid, value)
            except Refused as refusal:
                self.refusal, self._known[value] = refusal, None
        return self._known[value]
