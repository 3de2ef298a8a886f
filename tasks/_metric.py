"""One number by which answers are judged, and how such a number behaves: its bounds, its scale, its digits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal["error", "likelihood", "share", "count"]

TOLERANCE: dict[Kind, float] = {"error": 0.75, "likelihood": 0.02, "share": 0.05, "count": 0.05}
"""How far the same run may score apart on two machines: absolutely for a share (of 1), relatively for all others.

`bench/rows/comparing.py` says what was measured. A metric whose scores are known to differ by more sets its own
tolerance.
"""
PERPLEXITY_TOLERANCE = 0.05
"""The same for the exponential of a likelihood: of some 5 nats, which differ by 1 %."""


@dataclass(frozen=True)
class Metric:
    """One number by which answers are judged.

    `floor` is the score of the best answer that ignores the input, NaN where no one has the data to compute it from
    but the run itself (see `Task.yardsticks`); `solved_at` is the score from which on a
    solvable task counts as solved; `scale` turns the mean over scored positions into what is printed.

    `kind` says how scores behave when they are averaged, drawn and compared:

    - error: such as a squared error. Not below 0, lower is better, differs by factors: averaged on the log scale.
    - likelihood: nats, bits, perplexity or cross-entropy. Like an error, but two machines agree more closely.
    - share: a part of 1, or of 100 where `unit` is "%". Bounded on both sides: averaged as it is.
    - count: any other number, such as a reward in points. No bounds are known: averaged as it is.

    Where a task names no kind, lower is better means an error. If higher is better, it is a share where `unit` is "%"
    or where there is no unit and the floor lies in 0 … 1, and a count otherwise.

    `tolerance` is how far two machines may be apart with the same run: absolute for a share, in its unit, relative for
    other kinds. None takes the value of the kind. `unit` is for printing, and tells a percentage from a part of 1.
    Raises ValueError for an unknown kind, and for an error or a likelihood of which higher is better.
    """

    name: str
    unit: str
    direction: Literal["lower", "higher"]
    floor: float
    solved_at: float | None = None
    scale: Literal["mean", "exp", "bits"] = "mean"
    kind: Kind | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if self.kind is None:
            object.__setattr__(self, "kind", self._kind_by_direction())
        if self.kind not in TOLERANCE:
            raise ValueError(f"metric {self.name}: kind={self.kind!r}: one of {', '.join(TOLERANCE)} is needed")
        if self.logarithmic and self.direction == "higher":
            raise ValueError(f"metric {self.name}: of kind {self.kind} lower is better; use 'share' or 'count'")

    def _kind_by_direction(self) -> Kind:
        if self.direction == "lower":
            return "error"
        return "share" if self.unit == "%" or (not self.unit and 0 <= self.floor <= 1) else "count"

    @property
    def logarithmic(self) -> bool:
        """Whether scores differ by factors, so that means, intervals and axes belong on the log scale."""
        return self.kind in ("error", "likelihood")

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest score that is possible; infinite where there is no end."""
        if self.kind == "share":
            return 0.0, self._whole
        return (0.0 if self.logarithmic else -math.inf), math.inf

    @property
    def decimals(self) -> int | None:
        """How many decimals are printed: two of a percentage; None for three significant digits."""
        return 2 if self.unit == "%" else None

    @property
    def largest_difference(self) -> float:
        """How far two machines may be apart with the same run: absolute for a share, else relative."""
        if self.tolerance is not None:
            return self.tolerance
        if self.kind == "likelihood" and self.scale == "exp":
            return PERPLEXITY_TOLERANCE
        assert self.kind is not None  # set in __post_init__
        return TOLERANCE[self.kind] * (self._whole if self.kind == "share" else 1.0)

    @property
    def _whole(self) -> float:
        return 100.0 if self.unit == "%" else 1.0

    def value(self, total: float, count: float) -> float:
        """The metric from a sum over scored positions and their number; NaN where nothing was scored."""
        if count == 0:
            return math.nan
        mean = total / count
        if self.scale == "exp":
            return math.exp(mean) if mean < 700 else math.inf
        return mean / math.log(2) if self.scale == "bits" else mean

    def better(self, score: float, than: float) -> bool:
        """Whether `score` is strictly better than `than`; NaN is never better and always worse."""
        if math.isnan(score) or math.isnan(than):
            return math.isnan(than) and not math.isnan(score)
        return score < than if self.direction == "lower" else score > than

    def solved(self, score: float) -> bool:
        """Whether `score` reaches `solved_at` (False where the task is not of the solvable kind)."""
        return self.solved_at is not None and not self.better(self.solved_at, score) and not math.isnan(score)
