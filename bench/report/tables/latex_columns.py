"""Columns of a table in LaTeX that fit the page: their widths, the size of the type, and which way up the page is.

Up to about a dozen models fit, and words that a line has room for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil

from .cells import Text
from .latex_text import width, words

GAP = 0.75
"""Between two columns, in em: twice 3pt."""
BOLD = 1.17
"""How much wider bold type is."""
WORD_SPACE = 0.34
STEP = 0.5
"""By how many em a column is widened in trying."""
SLACK = 1e-6
"""For sums of widths."""


@dataclass(frozen=True)
class Setting:
    """A way to set a table, and the room that a page of the article class, at its narrowest, leaves it."""

    landscape: bool
    size: str
    room: float
    """In em: 345 pt of width, 550 pt of a page that is turned."""


PORTRAIT = (Setting(False, "", 40.5), Setting(False, r"\scriptsize", 43.2))
LANDSCAPE = (Setting(True, "", 64.6), Setting(True, r"\scriptsize", 68.9))


@dataclass(frozen=True)
class Columns:
    """How a table is set: its columns as a tabular declares them, and the rest."""

    declared: str
    setting: Setting
    rooms: Sequence[float]
    """The width of each column in em, where its texts are broken into lines; else nothing."""
    stacked: Collection[int]
    """The columns in which the parts of a text stand one below the other."""
    heights: Sequence[int]
    """About how many lines of type each line of the table takes, the header's first."""


def columns(lines: Sequence[Sequence[Text]], alignment: str, bold: Collection[tuple[int, int]], wide: bool) -> Columns:
    """The columns for lines, of which the first is the header.

    bold: (line, column) of the texts whose first part is bold. wide: too wide, unless scores, which are known by the
    brackets of their intervals, stand in several lines each.
    """
    count = len(alignment)
    scores = {column for line in lines for column in range(count) if any("[" in part for part in line[column])}
    stacked = scores if wide else set()
    cells = [[hard_lines(line[column], column in stacked) for column in range(count)] for line in lines]
    scales = [[BOLD if (place, column) in bold else 1.0 for column in range(count)] for place in range(len(lines))]
    natural, whole, broken = (_longest(cells, scales, split) for split in (_lines, _words, _pieces))
    gaps = GAP * (count - 1)
    if sum(natural) + gaps <= PORTRAIT[0].room and not stacked:
        return Columns(alignment, PORTRAIT[0], (), (), [1] * len(lines))
    tries = [(whole, setting) for setting in PORTRAIT] + [(broken, PORTRAIT[-1])]
    tries += [(whole, setting) for setting in LANDSCAPE] + [(broken, LANDSCAPE[-1])]
    least, setting = next(((least, one) for least, one in tries if sum(least) + gaps <= one.room), tries[-1])
    room = setting.room - gaps
    # Where intervals have to be broken, as many as can stay whole; else what makes the table lowest.
    start = _shared(broken, whole, room) if least is broken else _grown(cells, whole, natural, room)
    rooms = _shared(start, natural, room)
    sides = {"l": r"\raggedright", "r": r"\raggedleft"}
    declared = [
        f">{{{sides[side]}\\arraybackslash}}p{{{room / setting.room:.3f}\\linewidth}}"
        for side, room in zip(alignment, rooms, strict=True)
    ]
    heights = [
        max(sum(_height(text, room) for text in texts) for texts, room in zip(line, rooms, strict=True))
        for line in cells
    ]
    return Columns("@{}" + "\n".join(declared) + "@{}", setting, rooms, stacked, heights)


def hard_lines(text: Text, stacked: bool) -> list[str]:
    """The lines that a text has where its column is wide enough."""
    parts = [part + ("," if place < len(text) - 1 else "") for place, part in enumerate(text)]
    return parts if stacked else [" ".join(parts)]


def _lines(text: str) -> list[str]:
    return [text]


def _words(text: str) -> list[str]:
    """What stays whole where there is room: an interval too."""
    return [piece for word in words(text) for piece in word]


def _pieces(text: str) -> list[str]:
    """What always stays whole: an interval may be broken after its dash."""
    return [part for piece in _words(text) for part in re.split("(?<=–)", piece)]


def _longest(
    cells: Sequence[Sequence[Sequence[str]]], scales: Sequence[Sequence[float]], split: Callable[[str], list[str]]
) -> list[float]:
    return [
        max(
            (
                scale[column] * width(part)
                for line, scale in zip(cells, scales, strict=True)
                for text in line[column]
                for part in split(text)
            ),
            default=0.0,
        )
        for column in range(len(cells[0]))
    ]


def _grown(
    cells: Sequence[Sequence[Sequence[str]]], least: Sequence[float], most: Sequence[float], room: float
) -> list[float]:
    """The columns from their least widths on, always the one widened that takes most height away for its width."""
    widths = list(least)
    counts = [Counter(tuple(line[column]) for line in cells) for column in range(len(widths))]

    @cache
    def cost(column: int, wide: float) -> float:
        """Tall texts cost more than their height: they alone make a line of the table tall."""
        heights = ((sum(_height(text, wide) for text in texts), count) for texts, count in counts[column].items())
        return sum(count * height**2 for height, count in heights)

    while True:
        best, gain, chosen = 0.0, 0.0, -1
        for column, wide in enumerate(widths):
            free = min(room - sum(widths), most[column] - wide)
            for grown in [wide + STEP * (step + 1) for step in range(int(free / STEP))] + [wide + free]:
                saved = cost(column, wide) - cost(column, grown)
                if grown > wide and saved / (grown - wide) > gain:
                    best, gain, chosen = grown, saved / (grown - wide), column
        if chosen < 0:
            return widths
        widths[chosen] = best


def _shared(least: Sequence[float], most: Sequence[float], room: float) -> list[float]:
    """The room shared among columns: the narrow ones grow first, none beyond what it can use.

    Where even the least is too much, each gives way in proportion.
    """
    if sum(least) >= room:
        return [need * room / sum(least) for need in least]
    low, high = 0.0, room
    for _ in range(20):  # bisects the width up to which columns grow
        level = (low + high) / 2
        low, high = (level, high) if sum(_grown_to(level, least, most)) <= room else (low, level)
    return _grown_to(low, least, most)


def _grown_to(level: float, least: Sequence[float], most: Sequence[float]) -> list[float]:
    return [max(need, min(wanted, level)) for need, wanted in zip(least, most, strict=True)]


def _height(text: str, room: float) -> int:
    """About how many lines a text has in a column; a piece that must be broken itself counts once more."""
    height, used = 1, 0.0
    for word in words(text):
        for place, piece in enumerate(word):
            needed = width(piece)
            space = 0.0 if place or not used else WORD_SPACE
            if used and used + space + needed > room + SLACK:
                height, used, space = height + 1, 0.0, 0.0
            height += ceil(needed / room) if needed > room + SLACK else 0
            used += space + needed
    return height
