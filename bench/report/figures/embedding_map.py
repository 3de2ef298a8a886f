"""Words as points in the plane in which their vectors differ most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .layout import in_house_style, sheet
from .style import GRID_COLOUR, SMALL

HEIGHT = 4.2
"""Inches."""
POINT, NAME = "#1B2F7F", "#222222"
CAPTION = (
    "{title}. The plane in which the vectors of these {count} words differ most (principal components), which shows "
    "{share:.0%} of their variance; what lies near in it need not be near in all {width} dimensions."
)


@in_house_style
def draw(words: Sequence[str], points: NDArray[np.float64], share: float, width: int, title: str) -> Figure:
    """Named words at points (n, 2), both axes on one scale. share: of the variance, 0 … 1; width: of the vectors."""
    page = sheet(1, HEIGHT, wide=True)
    (axes,) = page.axes
    axes.axhline(0, color=GRID_COLOUR, linewidth=0.5, zorder=0)
    axes.axvline(0, color=GRID_COLOUR, linewidth=0.5, zorder=0)
    axes.scatter(points[:, 0], points[:, 1], s=8, color=POINT, linewidths=0)
    for word, (x, y) in zip(words, points, strict=True):
        axes.annotate(
            word, (x, y), xytext=(3, 0), textcoords="offset points", va="center", fontsize=SMALL, color=NAME,
            annotation_clip=False,
        )  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.set_xlabel("first component")
    axes.set_ylabel("second component")
    return page.finish([], [CAPTION.format(title=title, count=len(words), share=share, width=width)])
