"""Dates: from the forms in which people write them to one form."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from . import _pairs, _random

MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
DAYS_OF_MONTH = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FIRST_YEAR, LAST_YEAR = 1900, 2099  # 1 January 1900 was a Monday

FORMS = (
    *("{y}/{mm}/{dd}", "{y}.{mm}.{dd}", "{y}-{m}-{d}", "{y} {mon} {d}", "{y} {month} {d}", "{y}, {month} {o}"),
    *("{d} {mon} {y}", "{dd} {mon} {y}", "{d}-{mon}-{y}", "{mon} {d}, {y}", "{mon} {o} {y}", "{wd} {d} {mon} {y}"),
    *("{d} {month} {y}", "{o} {month} {y}", "{o} of {month} {y}", "{o} of {month}, {y}", "{month} {d}, {y}"),
    *("{month} {o}, {y}", "{month} the {o}, {y}", "the {o} of {month} {y}", "{wd}, {month} {d}, {y}"),
    *("{weekday} {d} {mon} {y}", "{weekday} {d} {month} {y}", "{weekday}, {month} {o}, {y}"),
    *("{weekday} the {o} of {month} {y}", "{weekday}, the {o} of {month}, {y}"),
)
"""Forms that say which number is the day, whatever it is."""
NUMERIC = ("{d}/{m}/{y}", "{dd}.{mm}.{y}", "{dd}-{mm}-{y}", "{m}/{d}/{y}", "{mm}-{dd}-{y}")
"""Forms that do so where the day is above 12. Others are never shown."""
UNAMBIGUOUS_FROM = 13


@dataclass(frozen=True)
class Task(_pairs.PairTask):
    """Write a date, given in one of many forms, as year-month-day.

    The exercise with which courses show attention in translation: the map says from which part of the source each digit
    comes. Dates are the days of 1900 to 2099, forms those of `FORMS` and `NUMERIC`, in small letters and English.

        source    t h e   5 t h   o f   m a r c h   2 0 1 9
        target    2 0 1 9 - 0 3 - 0 5 END

    Only what has one reading is shown. Where day and month are both numbers and the year comes last, either may stand
    first, so such a form is used for days above 12 alone. Years have four digits.

    A length counts characters. Training sources have `shortest` to `longest`, those of validation and test `length`; of
    all pairs of a day and a form that have such a length each is as likely. So longer sources have other forms and
    longer names of months and weekdays, of words that training has shown. There are sources of 8 to 38 characters.

    Shapes: source (B, S) int64, S the longest of the batch; targets (B, 11). The metrics are explained at
    `_pairs.PairTask`.

    >>> task = Task(length=20)
    >>> sources, targets = task.examples(seed=1, split="test", start=0, count=1)
    >>> "".join(task.symbols()[one] for one in sources[0]), task.decode(targets[0])
    ('2013, september 20th', '2013-09-20')
    """

    name: ClassVar[str] = "date"
    version: ClassVar[int] = 1
    variants: ClassVar[tuple[str, ...]] = ("date(length=24)",)
    source: ClassVar[str] = "after Bahdanau, Cho & Bengio 2015"
    test_parameters: ClassVar[dict[str, Any]] = {
        **{"longest": 12, "length": 12},
        **{"train": 64, "valid": 32, "test": 32},
    }

    shortest: int = 8
    longest: int = 24
    length: int = 24

    def __post_init__(self) -> None:
        self.require_options()
        for option, low, high in (
            ("longest", self.shortest, self.longest),
            ("length", self.length, self.length),
        ):
            if not len(_of_length(low, high)):
                least, most = int(_lengths()[_lengths() > 0].min()), int(_lengths().max())
                raise ValueError(
                    f"date: {option}={high}: no form of a date has so many characters; they have from {least} to {most}"
                )

    @cached_property
    def source_symbols(self) -> tuple[str, ...]:
        return (*" ,-./", *string.digits, *string.ascii_lowercase)

    @cached_property
    def target_symbols(self) -> tuple[str, ...]:
        return ("-", *string.digits)

    def most_symbols(self, length: int) -> tuple[int, int]:
        return length, 11

    def encode(self, text: str) -> list[int]:
        """As `PairTask.encode`; capital letters are read as small ones."""
        return super().encode(text.lower())

    def examples(self, seed: int, split: str, start: int, count: int, threads: int = 1) -> _pairs.Made:
        low, high = (self.shortest, self.longest) if split == "train" else (self.length, self.length)
        allowed = _of_length(low, high)
        key = _random.split_stream(self.name, split, "dates", seed)
        chosen = allowed[_random.integers(key, start, count, 1, 0, len(allowed), threads)[:, 0]]
        forms, days = np.divmod(chosen, len(_days()))
        parts = [_parts(day) for day in days.tolist()]
        texts = [(FORMS + NUMERIC)[form].format(**part) for form, part in zip(forms.tolist(), parts, strict=True)]
        answers = ["{y}-{mm}-{dd}".format(**part) for part in parts]
        targets = _pairs.spelled(answers, self.target_symbols, _pairs.SPECIAL)
        return _pairs.spelled(texts, self.source_symbols, 1), _pairs.with_end(targets, np.full(count, 10))


def leap(year: int) -> bool:
    """Whether a year has a 29 February, by the Gregorian rule."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


@lru_cache(maxsize=1)
def _days() -> tuple[tuple[int, int, int], ...]:
    """Year, month and day of every day from the first year to the last."""
    return tuple(
        (year, month, day)
        for year in range(FIRST_YEAR, LAST_YEAR + 1)
        for month, days in enumerate(DAYS_OF_MONTH, 1)
        for day in range(1, days + 1 + (month == 2 and leap(year)))
    )


def _parts(place: int) -> dict[str, str]:
    """What stands for each name in a form, of the day at a place of `_days`."""
    year, month, day = _days()[place]
    name, weekday = MONTHS[month - 1], WEEKDAYS[place % 7]
    return {
        **{"y": f"{year}", "m": f"{month}", "mm": f"{month:02}", "d": f"{day}", "dd": f"{day:02}"},
        **{"o": f"{day}{_ending(day)}", "mon": name[:3], "month": name, "wd": weekday[:3], "weekday": weekday},
    }


def _ending(day: int) -> str:
    return "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


@lru_cache(maxsize=1)
def _lengths() -> NDArray[np.uint8]:
    """Characters of each form of each day, (forms x days,), form by form; 0 of a form that would be ambiguous."""
    _, month, day = np.array(_days()).T
    weekday = np.arange(len(day)) % 7

    def of(names: Sequence[str], places: NDArray[Any]) -> NDArray[Any]:
        return np.array([len(name) for name in names])[places]

    one_or_two = {"d": 1 + (day > 9), "m": 1 + (month > 9), "o": 3 + (day > 9)}
    named = {"month": of(MONTHS, month - 1), "weekday": of(WEEKDAYS, weekday)}
    sizes: dict[str, Any] = {"y": 4, "mm": 2, "dd": 2, "mon": 3, "wd": 3, **one_or_two, **named}
    found = np.zeros((len(FORMS + NUMERIC), len(day)), np.uint8)
    for row, form in zip(found, FORMS + NUMERIC, strict=True):
        fields = [field for _, field, _, _ in string.Formatter().parse(form) if field is not None]
        signs = sum(len(text) for text, _, _, _ in string.Formatter().parse(form))
        row += np.uint8(signs)
        for field in fields:
            row += np.broadcast_to(np.asarray(sizes[field], np.uint8), row.shape)
    found[len(FORMS) :, day < UNAMBIGUOUS_FROM] = 0
    return found.ravel()


@lru_cache(maxsize=32)
def _of_length(low: int, high: int) -> NDArray[np.int32]:
    """Places in `_lengths` of what has from `low` to `high` characters."""
    found: NDArray[np.int32] = np.flatnonzero((_lengths() >= max(low, 1)) & (_lengths() <= high)).astype(np.int32)
    return found
