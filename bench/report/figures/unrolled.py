"""The unrolled graph of models: which inputs reach the feature of which step, and how strongly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .layout import in_house_style, sheet
from .style import SMALL

HEIGHT = 1.75
"""Inches: a panel with its title."""
LEAST = 1e-4
"""The part of a panel's strongest line below which none is drawn."""
LINE, NODE = "#1B2F7F", "#333333"
CAPTION = (
    "Each model at initialisation, unrolled over {steps} steps: below the inputs x, above the features y, and a line "
    "from x to y where the gradient of y reaches x, the darker the larger it is (log scale, four decades). All steps "
    "share the parameters that stand in the title: a longer sequence has a larger graph and not one number more."
)


class Reach(Protocol):
    """What `measuring.reach` finds of a model."""

    @property
    def label(self) -> str:
        """Its name in the notation."""

    @property
    def norms(self) -> NDArray[np.float64]:
        """norms[t, s]: the norm of ∂y_t / ∂x_s, (T, T)."""

    @property
    def parameters(self) -> int:
        """Of the model."""


@in_house_style
def draw(models: Sequence[Reach]) -> Figure:
    """A panel for each model."""
    page = sheet(len(models), HEIGHT, wide=True)
    for axes, model in zip(page.axes, models, strict=True):
        axes.set_title(f"{model.label}: {model.parameters:,} parameters")
        _draw(axes, model)
    return page.finish([], [CAPTION.format(steps=len(models[0].norms))])


def _draw(axes: Axes, model: Reach) -> None:
    steps, largest = len(model.norms), model.norms.max()
    with np.errstate(divide="ignore"):
        shades = 1 - np.log10(model.norms / largest) / np.log10(LEAST)  # 1 the strongest, 0 at LEAST
    for step in range(steps):
        for source in range(steps):
            if shades[step, source] > 0:
                alpha = float(0.08 + 0.92 * shades[step, source])
                axes.plot([source, step], [0, 1], color=LINE, alpha=alpha, linewidth=0.9, zorder=alpha)
    for height, letter in ((0, "x"), (1, "y")):
        axes.scatter(range(steps), [height] * steps, s=14, color=NODE, zorder=3, linewidths=0)
        for step in range(steps):
            axes.annotate(
                f"{letter}{step + 1}", (step, height), xytext=(0, 9 if height else -9), textcoords="offset points",
                ha="center", va="center", fontsize=SMALL, annotation_clip=False,
            )  # fmt: skip
    axes.set_ylim(-0.25, 1.25)
    axes.set_axis_off()
