"""The figure of gradient flow: how much of the loss's gradient reaches how far back, before and after training."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from ...rows import measurements, sources
from ..tables.cells import DIRTY, STALE
from .layout import handle, in_house_style, mark_of, sheet
from .panels import Evidence, Look, NothingToDraw, looks_of
from .style import GRID_COLOUR

HEIGHT = 2.1
"""Inches: a panel with its title."""
MARKS = 8
"""About how many marks stand on a curve."""
LEAST = 1e-16
"""The lowest part of the largest norm that is shown."""
CAPTION = (
    "{task}: norm of the gradient that the loss of the last scored step T sends to the network's state k steps before "
    "(hidden states, cells, past inputs of convolutions); mean of {examples} test examples; {seeds}."
)
ONE_SEED, SEEDS = "one seed", "geometric mean of up to {count} seeds, band: minimum to maximum"
ENDS = "A line that ends with a bar: nothing at all reaches farther back."
DIVERGED = "Not shown, since training diverged: {runs}."


@in_house_style
def draw(evidence: Evidence) -> Figure:
    """Two panels, at initialisation and after a training, with a line and a band for each model.

    Raises NothingToDraw where there is no file of measurements, or none of a run of this experiment.
    """
    if evidence.gradients is None:
        raise NothingToDraw(f"nothing is measured yet; seqbench gradients {evidence.experiment.folder} does")
    origin, table = _measured(evidence, evidence.gradients)
    looks = looks_of(dict(zip(table["label"], table["model_name"], strict=True)))
    trained = table[table["moment"] == "trained"]
    steps = sorted(set(trained["steps"]))
    after = f"{steps[0]}" if len(steps) == 1 else f"{steps[0]} to {steps[-1]}"
    page = sheet(2, HEIGHT)
    norms = table["norm"][table["norm"] > 0]
    ends = (max(norms.min(), LEAST * norms.max()) / 2, norms.max() * 2) if len(norms) else (0.1, 1.0)
    ended = False
    for axes, (moment, name) in zip(
        page.axes,
        (("initialisation", "at initialisation"), ("trained", f"after {after} steps of training")),
        strict=True,
    ):
        axes.set_title(name)
        _scale(axes, ends)
        for label, part in table[table["moment"] == moment].groupby("label", sort=False):
            ended |= _draw_model(axes, part, looks[cast(str, label)])
    page.axes[0].set_ylabel("‖∂L / ∂state‖")
    count = int(table.groupby(["label", "moment"])["seed"].nunique().max())
    seeds = ONE_SEED if count == 1 else SEEDS.format(count=count)
    caption = [CAPTION.format(**origin, seeds=seeds), *([ENDS] if ended else [])]
    diverged = trained[trained["norm"].isna()]
    if len(diverged):
        runs = dict.fromkeys(f"{row.label} seed {row.seed}" for row in diverged.itertuples())
        caption.append(DIVERGED.format(runs=", ".join(runs)))
    handles = [handle(label, look) for label, look in looks.items()]
    return page.finish(handles, [*caption, *_warnings(evidence, origin)])


def _measured(evidence: Evidence, path: Path) -> measurements.Measurements:
    """The measurements of this experiment's runs, with the `label` that tells models apart."""
    origin, table = measurements.read(path)
    known = {run.id for run in evidence.experiment.runs}
    table = table[table["run"].isin(known)]
    if table.empty:
        raise NothingToDraw(f"{path} has no measurement of a run of this experiment; measure again")
    several = table.groupby("model_name")["model"].transform("nunique") > 1
    return measurements.Measurements(origin, table.assign(label=table["model"].where(several, table["model_name"])))


def _scale(axes: Axes, ends: tuple[float, float]) -> None:
    axes.set_yscale("log")
    axes.set_ylim(ends)
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("k, steps back from T")
    axes.grid(axis="y", color=GRID_COLOUR, linewidth=0.5)


def _draw_model(axes: Axes, part: pd.DataFrame, look: Look) -> bool:
    """The line and the band of a model at one moment; whether its gradient ends within what was measured."""
    by_seed = part.pivot(index="lag", columns="run", values="norm").dropna(axis=1).sort_index()  # (lags, seeds)
    if by_seed.empty:
        return False
    norms = by_seed.to_numpy()
    with np.errstate(divide="ignore"):  # the geometric mean with a zero is zero
        middle = np.exp(np.log(norms).mean(axis=1))
    lags = by_seed.index.to_numpy()
    reached = np.flatnonzero(middle > 0)
    if not len(reached):
        return True
    last = reached[-1] + 1
    style = look.style
    if norms.shape[1] > 1:
        band = norms[:last].min(axis=1), norms[:last].max(axis=1)
        axes.fill_between(lags[:last], *band, color=style.colour, alpha=0.18, linewidth=0)
    every = max(1, len(lags) // MARKS)
    axes.plot(lags[:last], middle[:last], linestyle=style.line, markersize=3.5, markevery=every, **mark_of(look))
    if last == len(lags):
        return False
    axes.plot(lags[last - 1 : last], middle[last - 1 : last], color=style.colour, marker="|", markersize=9)
    return True


def _warnings(evidence: Evidence, origin: dict[str, object]) -> list[str]:
    """What is not as it should be with these measurements."""
    lines = []
    if cast("dict[str, object]", origin["provenance"])["dirty"]:
        lines.append(f"{DIRTY} measured with uncommitted changes of the code or of the experiment.")
    measured = cast("dict[str, str]", origin["sources"])
    if any(measured[run.id] != sources.source_hash(run) for run in evidence.experiment.runs if run.id in measured):
        lines.append(f"{STALE} the code that defines the networks or their training has changed since.")
    return lines
