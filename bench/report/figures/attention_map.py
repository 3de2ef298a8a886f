"""The map of attention: the source from left to right, what was written from top to bottom, dark where it looked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .layout import in_house_style, sheet
from .style import SMALL

SIDE, LEAST = 0.17, 1.6
"""Inches: of a symbol's row, and of the smallest map."""
COLOURS = "Blues"
BLANK = "␣"
"""How a blank is shown."""
CAPTION = (
    "{title}. Columns: the source; rows: what the network wrote for it by itself. How dark a field is says how much of "
    "the attention lay on that symbol of the source when that symbol was written, from 0 (white) to {most:.2f}; each "
    "row adds up to 1."
)


@in_house_style
def draw(source: Sequence[str], target: Sequence[str], weights: NDArray[np.float64], title: str) -> Figure:
    """A field for each symbol of the target, T rows, and of the source, S columns: weights (T, S)."""
    page = sheet(1, max(LEAST, SIDE * len(target) + 0.5), wide=len(source) > 14)
    (axes,) = page.axes
    axes.pcolormesh(weights, cmap=COLOURS, vmin=0.0, vmax=max(float(weights.max()), 1e-12), linewidth=0)
    axes.invert_yaxis()  # the first symbol on top
    for ticks, symbols in ((axes.set_xticks, source), (axes.set_yticks, target)):
        ticks(np.arange(len(symbols)) + 0.5, [BLANK if symbol.isspace() else symbol for symbol in symbols])
    axes.tick_params(length=0, labelsize=SMALL)
    axes.xaxis.tick_top()
    axes.set_ylabel("written")
    axes.set_xlabel("source")
    axes.xaxis.set_label_position("top")
    for spine in axes.spines.values():
        spine.set_visible(False)
    return page.finish([], [CAPTION.format(title=title, most=weights.max())])


def said(source: Sequence[str], target: Sequence[str], weights: NDArray[np.float64]) -> str:
    """What the map shows, for those who cannot see it."""
    at = (f"{symbol!r} at {source[int(row.argmax())]!r}" for symbol, row in zip(target, weights, strict=True))
    return f"Where the network looked most as it wrote: {', '.join(at)}."
