"""Dates: each form has one reading, lengths are met exactly, and the calendar is the true one."""

from __future__ import annotations

import datetime
import re

from pair_texts import texts
from seqbench.tasks import date


def readings(text: str) -> set[datetime.date]:
    """Every day that a text may mean: of numbers alone, whichever of the first two is the day."""
    numbers = [int(one) for one in re.findall(r"\d+", text)]
    names = [place for place, name in enumerate(date.MONTHS, 1) if re.search(rf"\b{name[:3]}[a-z]*\b", text)]
    if names:
        day, year = sorted(numbers)
        return {datetime.date(year, names[0], day)}
    orders = [numbers] if numbers[0] > 31 else [[numbers[2], numbers[1], numbers[0]], [numbers[2], *numbers[:2]]]
    found = set()
    for year, month, day in orders:
        try:
            found.add(datetime.date(year, month, day))
        except ValueError:
            continue
    return found


def test_a_date_has_one_reading() -> None:
    task, forms = date.Task(longest=38), set()
    for source, target in texts(task, 7, "train", 0, 6000):
        (day,) = readings(source)
        assert day.isoformat() == target
        for weekday in re.findall("[a-z]*day|mon|tue|wed|thu|fri|sat|sun", source):
            if weekday in {*date.WEEKDAYS, *(name[:3] for name in date.WEEKDAYS)}:
                assert day.strftime("%A").lower().startswith(weekday)
        ordinal = re.search(r"(\d+)(st|nd|rd|th)", source)
        assert ordinal is None or ordinal[2] == {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}.get(
            int(ordinal[1]), "th"
        )
        forms.add(re.sub("[a-z]+", "a", re.sub(r"\d+", "0", source)))
    assert len(forms) > 15
    assert "03/05/2019" not in {source for source, _ in texts(task, 7, "train", 0, 6000)}


def test_days_are_those_of_the_calendar() -> None:
    days = date._days()
    assert len(days) == (datetime.date(2100, 1, 1) - datetime.date(1900, 1, 1)).days
    for place in (0, 58, 59, 36_584, 36_585, 50_000, len(days) - 1):
        assert datetime.date(*days[place]) == datetime.date(1900, 1, 1) + datetime.timedelta(place)
        assert date.WEEKDAYS[place % 7] == datetime.date(*days[place]).strftime("%A").lower()
    assert [date.leap(year) for year in (1900, 1996, 2000, 2019, 2100)] == [False, True, True, False, False]


def test_lengths_of_dates_are_those_of_their_texts() -> None:
    sizes = date._lengths().reshape(len(date.FORMS + date.NUMERIC), -1)
    for form, text in enumerate(date.FORMS + date.NUMERIC):
        for place in range(17, len(date._days()), 4999):
            ambiguous = form >= len(date.FORMS) and date._days()[place][2] < date.UNAMBIGUOUS_FROM
            assert sizes[form, place] == (0 if ambiguous else len(text.format(**date._parts(place))))
    assert (sizes[sizes > 0].min(), sizes.max()) == (8, 38)


def test_every_length_of_a_date_is_met_exactly() -> None:
    for length in (8, 17, 24, 30, 38):
        assert {len(source) for source, _ in texts(date.Task().at_length(length), 0, "test", 0, 40)} == {length}
    assert {len(source) for source, _ in texts(date.Task(), 0, "train", 0, 3000)} == set(range(8, 25))
