"""Words as points in the plane in which their vectors differ most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from .layout import in_house_style, sheet
from .style import GRID_COLOUR, SMALL

HEIGHT = 3.4
"""Inches."""
POINT, NAME = "#1B2F7F", "#222222"
CAPTION = (
    "{title}. The plane in which the vectors of these {count} words differ most (principal components, each axis with "
    "its own scale), which shows {share:.0f} % of their variance; what lies near in it need not be near in all {width} "
    "dimensions."
)
Side = Literal["left", "center", "right"]
BESIDE: tuple[tuple[tuple[int, int], Side], ...] = (
    ((4, 0), "left"),
    ((-4, 0), "right"),
    ((0, 6), "center"),
    ((0, -6), "center"),
    ((6, 6), "left"),
    ((6, -6), "left"),
)
"""Where a name may stand: points from its dot, and how it is aligned there; the first that is free is taken."""


@in_house_style
def draw(words: Sequence[str], points: NDArray[np.float64], share: float, width: int, title: str) -> Figure:
    """Named words at points (n, 2). share: of the variance, in 0 … 1; width: of the vectors."""
    page = sheet(1, HEIGHT, wide=True)
    (axes,) = page.axes
    axes.axhline(0, color=GRID_COLOUR, linewidth=0.5, zorder=0)
    axes.axvline(0, color=GRID_COLOUR, linewidth=0.5, zorder=0)
    axes.scatter(points[:, 0], points[:, 1], s=8, color=POINT, linewidths=0)
    axes.margins(0.1)
    axes.set_xlabel("first component")
    axes.set_ylabel("second component")
    caption = CAPTION.format(title=title, count=len(words), share=100 * share, width=width)
    figure = page.finish([], [caption])
    taken: list[Bbox] = []
    for word, (x, y) in zip(words, points, strict=True):
        taken.append(_named(axes.annotate(
            word, (x, y), xytext=(0, 0), textcoords="offset points", va="center", fontsize=SMALL, color=NAME,
            annotation_clip=False,
        ), taken))  # fmt: skip
    return figure


def _named(name: Annotation, taken: Sequence[Bbox]) -> Bbox:
    """Puts a name beside its dot where no other name stands, or else right of it; the place that it takes."""
    for offset, side in (*BESIDE, BESIDE[0]):
        name.set_position(offset)
        name.set_horizontalalignment(side)
        place = name.get_window_extent()
        if not any(place.overlaps(other) for other in taken):
            break
    return place
