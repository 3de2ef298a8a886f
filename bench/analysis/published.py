"""The numbers that papers print for our tasks, each with its source: `results/published.yaml`, read and checked.

The file says what a row and a value hold. Which of our rows stand beside a number, and what the verdict is, is
`ledger` and `verdicts`.

Two thresholds of a number decide its verdict, and each stands in the file with its reason. The *smallest effect of
interest* is the smallest difference that would matter to a reader. The *margin* is how precise our runs must be before
a number counts as reproduced: the larger of the smallest effect and of half of the gap to the nearest other number of
its row, among those that are further away than the smallest effect. Of a task that is solved or not, only numbers of
the same kind count there: solved and unsolved scores lie decades apart, and half of that gap would allow anything. The
reader computes every margin again and refuses a file whose margins are others.

Both thresholds are on the scale of the verdict. Where lower is better that is the log scale, and 0.01 means a hundredth
of the score; else they are in the metric's unit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ..errors import UsageError, nearest
from ..experiments import registry
from ..experiments.marked_yaml import Marked, Path_
from ..experiments.notation import parse
from ..experiments.options import Option

FILE = registry.ROOT / "results" / "published.yaml"
"""The data file of the suite: in a checkout, and in an installed package."""

TOP_KEYS = {
    "sources": Option("sources", dict, None, True),
    "rows": Option("rows", list[Any], None, True),
}
ROW_KEYS = {
    "source": Option("source", str, None, True),
    "table": Option("table", str, "", False),
    "row": Option("row", str, "", False),
    "family": Option("family", str, "", False),
    "task": Option("task", str, None, True),
    "metric": Option("metric", str, None, True),
    "direction": Option("direction", Literal["lower", "higher"], None, True),
    "experiment": Option("experiment", str | None, None, False),
    "size": Option("size", str, "", False),
    "note": Option("note", str, "", False),
    "smallest_effect": Option("smallest_effect", float | None, None, False),
    "effect_reason": Option("effect_reason", str, "", False),
    "values": Option("values", list[Any], None, True),
}
VALUE_KEYS = {
    "name": Option("name", str, None, True),
    "model": Option("model", str | None, None, False),
    "value": Option("value", str, None, True),
    "size": Option("size", str, "", False),
    "parameters": Option("parameters", int | None, None, False),
    "solved": Option("solved", bool | None, None, False),
    "sampling_error": Option("sampling_error", float, 0.0, False),
    "experiment": Option("experiment", str | None, None, False),
    "variants": Option("variants", list[Any], [], False),
    "cannot": Option("cannot", str, "", False),
    "note": Option("note", str, "", False),
    "smallest_effect": Option("smallest_effect", float | None, None, False),
    "effect_reason": Option("effect_reason", str, "", False),
    "margin": Option("margin", float | None, None, False),
    "margin_reason": Option("margin_reason", str, "", False),
}
MARGIN_DIGITS = 0.005
"""How far a margin in the file may lie from the one that the rule gives, relatively: it has three digits."""


@dataclass(frozen=True)
class Number:
    """One number as a paper prints it.

    source, table, row, name: where it stands, in the source's words. task: in our notation. model: ours of the same
    kind, None where we have none. printed: the number as printed; direction: whether lower or higher is better. size:
    the number of parameters as printed; parameters: what the published settings count, where that is known. experiment:
    the folder whose rows are judged, None for a number that is context only. variants: further folders, whose rows are
    judged on lines of their own: of other settings or sizes. solved: whether the published run solved the task, None
    where that is no question. sampling_error: standard error of the score that the draw of the published run's own test
    examples makes, 0 where all runs have the same. cannot: why no verdict is possible, empty where one is. note and
    row_note: what else a reader should know, of the number and of its row. smallest_effect and margin: see this module;
    0 of a number that is context only. effect_reason and margin_reason: why they are what they are. family: the tasks
    of one kind, which tables and figures show together.
    """

    source: str
    table: str
    row: str
    name: str
    model: str | None
    task: str
    metric: str
    direction: Literal["lower", "higher"]
    printed: str
    size: str
    parameters: int | None
    experiment: str | None
    solved: bool | None
    sampling_error: float
    cannot: str
    note: str
    row_note: str
    variants: tuple[str, ...] = ()
    smallest_effect: float = 0.0
    effect_reason: str = ""
    margin: float = 0.0
    margin_reason: str = ""
    family: str = ""

    @property
    def experiments(self) -> tuple[str, ...]:
        """All folders whose rows are judged, the variants last."""
        return () if self.experiment is None else (self.experiment, *self.variants)

    @property
    def score(self) -> float:
        """The number."""
        return float(self.printed)

    @property
    def digit(self) -> float:
        """The place value of the last digit that is printed: 0.01 of 78.93, 1e-6 of 5.3e-5."""
        exponent = Decimal(self.printed).as_tuple().exponent
        assert isinstance(exponent, int)  # checked when it was read
        return float(Decimal(10) ** exponent)

    @property
    def judged(self) -> bool:
        """Whether the number gets a verdict; the others stand there for context."""
        return self.experiment is not None

    @property
    def cited(self) -> str:
        """The source and the table in it."""
        return f"{self.source}, {self.table}" if self.table else self.source


@lru_cache
def read(file: Path = FILE) -> tuple[Number, ...]:
    """All numbers of a data file, in its order.

    Raises UsageError with file, line and the nearest valid key for whatever is wrong in it.
    """
    marked = Marked(file)
    top = _checked(marked, (), marked.content, TOP_KEYS)
    for key, text in top["sources"].items():
        if not isinstance(text, str) or not text.strip():
            raise marked.error(("sources", key), f"the source {key!r} needs a text that says what it is")
    numbers: list[Number] = []
    seen: dict[tuple[str, ...], Path_] = {}
    for place, content in enumerate(top["rows"]):
        of_row = [*_numbers(marked, ("rows", place), content, top["sources"])]
        for path, number in of_row:
            _check_thresholds(marked, path, number, [other for _, other in of_row if other is not number])
            key = (number.source, number.table, number.task, number.metric, number.name)
            if key in seen:
                raise marked.error(path, f"the same number as in line {marked.line(seen[key])}: {', '.join(key)}")
            seen[key] = path
            numbers.append(number)
    return tuple(numbers)


def find(task: str, metric: str, model: str | None = None) -> list[Number]:
    """The numbers of a task (as tables name it) and metric, those of one of our models where it is named."""
    return [
        number for number in read() if (number.task, number.metric) == (task, metric) and model in (None, number.model)
    ]


def _numbers(marked: Marked, path: Path_, given: Any, sources: Mapping[str, str]) -> Iterator[tuple[Path_, Number]]:
    row = _checked(marked, path, given, ROW_KEYS)
    if row["source"] not in sources:
        raise marked.error((*path, "source"), f"unknown source {row['source']!r}: {nearest(row['source'], sources)}")
    _check_name(marked, (*path, "task"), "task", row["task"])
    if not row["values"]:
        raise marked.error((*path, "values"), "at least one value is needed")
    for place, item in enumerate(row["values"]):
        at = (*path, "values", place)
        value = _checked(marked, at, item, VALUE_KEYS)
        _check_number(marked, (*at, "value"), value["value"])
        if value["model"] is not None:
            _check_name(marked, (*at, "model"), "model", value["model"])
        elif row["experiment"] is not None or value["experiment"] is not None:
            raise marked.error(at, f"{value['name']}: a number that is judged needs the model that is judged by it")
        if value["sampling_error"] < 0 or (value["sampling_error"] and value["solved"]):
            raise marked.error((*at, "sampling_error"), "0 or more is needed, and 0 of a run that solved the task")
        judging = value["experiment"] or row["experiment"]
        if value["variants"] and (judging is None or not all(isinstance(name, str) for name in value["variants"])):
            raise marked.error((*at, "variants"), "names of folders are needed, beside the experiment that is judged")
        own = value["smallest_effect"] is not None
        effect = value if own else row
        words = {"cannot": value["cannot"], "note": value["note"], "row_note": row["note"]}
        words |= {"effect_reason": effect["effect_reason"], "margin_reason": value["margin_reason"]}
        content: dict[str, Any] = {
            **{key: row[key] for key in ("table", "row", "family", "task", "metric", "direction")},
            **{key: value[key] for key in ("name", "model", "parameters", "solved", "sampling_error")},
            **{key: " ".join(text.split()) for key, text in words.items()},
            "source": sources[row["source"]],
            "printed": value["value"],
            "size": value["size"] or row["size"],
            "experiment": judging,
            "variants": tuple(value["variants"]),
            "smallest_effect": effect["smallest_effect"] or 0.0,
            "margin": value["margin"] or 0.0,
        }
        yield at, Number(**content)


def margin_by_rule(number: Number, others: Iterable[Number]) -> float:
    """The margin of a number beside the other numbers of its row: see this module."""
    logarithmic = number.direction == "lower"
    effect = math.log1p(number.smallest_effect) if logarithmic else number.smallest_effect
    alike = [other.score for other in others if other.solved == number.solved]
    gaps = [abs(math.log(score / number.score) if logarithmic else score - number.score) for score in alike]
    margin = max([effect, *[gap / 2 for gap in sorted(gaps) if gap > effect][:1]])
    return math.expm1(margin) if logarithmic else margin


def _check_thresholds(marked: Marked, path: Path_, number: Number, others: Iterable[Number]) -> None:
    """Raises UsageError where a judged number lacks a threshold or its reason, or the margin is not the rule's."""
    if not number.judged:
        return
    if number.smallest_effect <= 0 or not number.effect_reason:
        raise marked.error(path, f"{number.name}: a smallest_effect above 0 and its effect_reason are needed")
    by_rule = margin_by_rule(number, others)
    if not number.margin_reason:
        raise marked.error(path, f"{number.name}: the margin_reason is needed, beside a margin of {by_rule:.3g}")
    if not math.isclose(number.margin, by_rule, rel_tol=MARGIN_DIGITS):
        raise marked.error((*path, "margin"), f"{number.name}: margin {number.margin:g}: the rule gives {by_rule:.3g}")


def _check_name(marked: Marked, path: Path_, kind: registry.Kind, text: str) -> None:
    try:
        name = parse(text).name
    except UsageError as error:
        raise marked.error(path, str(error)) from error
    known = registry.listing(kind)
    if name not in known:
        raise marked.error(path, f"unknown {kind} {name!r}: {nearest(name, known)}")


def _check_number(marked: Marked, path: Path_, text: str) -> None:
    try:
        finite = Decimal(text).is_finite()
    except InvalidOperation:
        finite = False
    if not finite:
        raise marked.error(path, f"value {text!r}: a number as printed is needed, such as 78.93 or 5.3e-5")


def _checked(marked: Marked, path: Path_, content: Any, known: Mapping[str, Option]) -> dict[str, Any]:
    """A mapping with all known keys; its value must be text, whose digits YAML has not rounded."""
    if isinstance(content, dict) and "value" in known and not isinstance(content.get("value", ""), str):
        message = f"value: {content['value']}: put quotes around it, to keep its digits"
        raise marked.error((*path, "value"), message)
    return marked.checked(path, content, known, "the ledger")
