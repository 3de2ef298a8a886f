"""The colours of architectures on the page: those of the figures on white, lighter ones of the same hue on black."""

from __future__ import annotations

from collections.abc import Iterable

from ..figures.panels import Look

DARK_PAPER = "#15181d"
"""The background of the dark page."""
CONTRAST = 4.5
"""The least contrast of a line or mark on it (WCAG 2.2 asks for 3 of graphics, and for 4.5 of text)."""
STEP = 0.02
PLUS = "M-1.3-4h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7v-2.6h2.7z"
MARKS = {
    "o": "M-3.3 0a3.3 3.3 0 1 0 6.6 0a3.3 3.3 0 1 0-6.6 0z",
    "s": "M-3-3h6v6h-6z",
    "^": "M0-4l3.8 6.8h-7.6z",
    "v": "M0 4l3.8-6.8h-7.6z",
    "D": "M0-4.2l4.2 4.2-4.2 4.2-4.2-4.2z",
    "P": PLUS,
    "X": "M-2.8-4.6l2.8 2.8 2.8-2.8 1.8 1.8-2.8 2.8 2.8 2.8-1.8 1.8-2.8-2.8-2.8 2.8-1.8-1.8 2.8-2.8-2.8-2.8z",
}
"""matplotlib's name of a marker -> an SVG path around 0, some 7 pixels wide."""
HALVES = {"left": (0, 0, 1, 0), "right": (1, 0, 0, 0), "top": (0, 0, 0, 1), "bottom": (0, 1, 0, 0)}
"""The side of a mark that is filled -> the direction of a gradient whose first half has the colour: x1, y1, x2, y2."""


class Palette:
    """The looks of a page, with a CSS variable for each of their colours."""

    def __init__(self, looks: Iterable[Look]) -> None:
        self.looks = list(dict.fromkeys(looks))
        self.colours = list(dict.fromkeys(look.style.colour for look in self.looks))

    def variables(self, dark: bool = False) -> list[tuple[str, str]]:
        """Name and colour of each variable."""
        colours = [on_dark(colour) if dark else colour for colour in self.colours]
        return [(f"--colour-{place}", colour) for place, colour in enumerate(colours)]

    def colour(self, look: Look) -> str:
        """The variable of a look's colour."""
        return f"--colour-{self.colours.index(look.style.colour)}"

    def place(self, look: Look) -> int:
        """The number of a look, for the names of what belongs to it."""
        return self.looks.index(look)


def dashes(look: Look, width: float) -> str:
    """The dashes of a look's line as SVG has them, `none` for a solid one; width: of the line, in pixels."""
    line = look.style.line
    return "none" if isinstance(line, str) else " ".join(f"{part * width:g}" for part in line[1])


def on_dark(colour: str) -> str:
    """The colour with as much white as it needs to be seen on the dark page.

    >>> on_dark("#5DB7EA"), on_dark("#1B2F7F")
    ('#5DB7EA', '#727EB0')
    """
    share = 0.0
    while contrast(mixed(colour, share), DARK_PAPER) < CONTRAST:
        share += STEP
    return mixed(colour, share)


def mixed(colour: str, share: float) -> str:
    """The colour with a share of white."""
    return "#" + "".join(f"{round(channel + share * (255 - channel)):02X}" for channel in _channels(colour))


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, 1 … 21 (WCAG 2.2, relative luminance).

    >>> round(contrast("#FFFFFF", "#000000"), 6)
    21.0
    """
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def _luminance(colour: str) -> float:
    shares = [channel / 255 for channel in _channels(colour)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
