"""How figures look: one colour, marker and line for an architecture, everywhere.

The hues are those of Okabe and Ito, which the colour-blind can tell apart (Color Universal Design, 2008), in shades
that lie well apart in lightness too, so that a grey print keeps them; markers and dashes say it once more. A model says
how it looks (`Model.look`); one that does not gets a further style. Several models of one architecture share its style
and differ in how their mark is filled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from itertools import product
from typing import Any, Literal, NamedTuple

import matplotlib.style

from ...experiments import registry

Fill = Literal["full", "none", "left", "bottom", "right", "top"]
LineStyle = Literal["solid"] | tuple[float, tuple[float, ...]]


class Style(NamedTuple):
    """Colour, marker and line of an architecture."""

    colour: str
    marker: str
    line: LineStyle


def _style(look: tuple[str, str, tuple[float, ...]]) -> Style:
    colour, marker, dashes = look
    return Style(colour, marker, (0, dashes) if dashes else "solid")


STYLE = {name: _style(entry.look) for name, entry in registry.listing("model").items() if entry.look}
"""The looks that models of the suite ask for (`Model.look`); nothing else depends on it."""

FURTHER_LINES: tuple[tuple[str, LineStyle], ...] = (("D", "solid"), ("P", (0, (2, 1))), ("X", (0, (6, 1, 1, 1))))
FURTHER_COLOURS = ("#D55E00", "#CC79A7", "#000000")
FURTHER = [Style(colour, marker, line) for (marker, line), colour in product(FURTHER_LINES, FURTHER_COLOURS)]

FILLS: tuple[Fill, ...] = ("full", "none", "left", "bottom", "right", "top")
"""How the marks of several models of one architecture are filled, in the order in which they stand."""

THRESHOLD_COLOUR, GRID_COLOUR, CAPTION_COLOUR = "#666666", "#E5E5E5", "#444444"

WIDTH, COLUMN = 6.9, 3.3
"""Inches: the text of a two-column paper, and one of its columns."""

SMALL = 7.0
"""Points: the smallest letters."""

RC: Any = {  # matplotlib's own type of it differs between its versions
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that a figure is the same on every machine
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 0.9,
    "lines.markersize": 4,
    "savefig.dpi": 200,
    "svg.hashsalt": "seqbench",  # element ids are random otherwise
    "pdf.fonttype": 42,  # publishers refuse fonts of type 3
}


def settings() -> AbstractContextManager[None]:
    """Within it figures are drawn by these settings and matplotlib's own defaults, whatever a user's matplotlibrc says.

    The backend stays as it is.
    """
    return matplotlib.style.context(["default", RC])


def styles(names: Iterable[str]) -> dict[str, Style]:
    """The style of each name: its own, or one that follows from the name unless another name here has taken it."""
    names = list(dict.fromkeys(names))
    chosen = {name: STYLE[name] for name in names if name in STYLE}
    taken: set[int] = set()
    for name in sorted(set(names) - set(STYLE)):
        first = int(hashlib.sha256(name.encode()).hexdigest(), 16)
        places = [(first + step) % len(FURTHER) for step in range(len(FURTHER))]
        place = next((place for place in places if place not in taken), places[0])
        taken.add(place)
        chosen[name] = FURTHER[place]
    return chosen
