"""The figures of an experiment, by name: which there are, and how they become files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from ...errors import UsageError, nearest
from ...experiments.config import Experiment
from ...rows.store import Row
from . import curves, gradients, length_scores, profile, rank_figure, score_cost, scores, tested_lengths
from . import overview as overviews
from .panels import Evidence, NothingToDraw, gather
from .saving import FORMATS, digest, digest_of, save

__all__ = ["FIGURES", "Drawn", "digest", "digest_of", "draw", "overview", "write"]

FIGURES: dict[str, Callable[[Evidence], Figure]] = {
    "overview": overviews.draw,
    "scores": scores.by_model,
    "score-parameters": partial(scores.by_size, against="parameters"),
    "score-state": partial(scores.by_size, against="state"),
    "score-cost": score_cost.draw,
    "learning-epochs": partial(curves.draw, against="epochs"),
    "learning-time": partial(curves.draw, against="time"),
    "profile": profile.draw,
    "ranks": rank_figure.draw,
    "lengths": length_scores.draw,
    "score-lengths": tested_lengths.draw,
    "gradients": gradients.draw,
}
"""Name of a figure, and of its files -> what draws it."""


class Drawn(NamedTuple):
    """The files that were written, and for each figure that was not drawn the reason."""

    written: list[Path]
    left_out: dict[str, str]


def write(
    experiment: Experiment,
    rows: Iterable[Row],
    folder: Path,
    device: str | None = None,
    only: Sequence[str] = (),
    published: Mapping[tuple[str, str], float] | None = None,
    gradients: Path | None = None,
    formats: Sequence[str] = FORMATS,
) -> Drawn:
    """Writes the figures that these rows give into `folder`, as NAME.png, NAME.svg and NAME.pdf.

    The same rows give the same bytes, and every file has the digest of the rows in it (`digest`, read back by
    `digest_of`). only: these figures alone; what they lack is then an error. published: (task, model) -> published
    number, see `Evidence`. gradients: the file of `measurements`.
    Raises UsageError for an unknown name, and where rows of several device classes are there and `device` does not
    choose; NothingToDraw, a UsageError, where a figure that was asked for by name has nothing to show.
    """
    for name in only:
        if name not in FIGURES:
            raise UsageError(f"there is no figure {name!r}: {nearest(name, FIGURES)}")
    evidence = gather(experiment, rows, device, published, gradients)
    drawn = Drawn([], {})
    for name in only or FIGURES:
        try:
            figure = FIGURES[name](evidence)
        except NothingToDraw as reason:
            if only:
                raise NothingToDraw(f"{name}: {reason}") from reason
            drawn.left_out[name] = str(reason)
            continue
        drawn.written.extend(save(figure, folder / name, evidence.digest, f"{experiment.name}: {name}", formats))
    return drawn


def overview(experiment: Experiment, rows: Iterable[Row], path_stem: Path, device: str | None = None) -> list[Path]:
    """Writes the figure of `draw` as PATH_STEM.png and PATH_STEM.svg, the same bytes for the same rows.

    Raises UsageError where rows of several device classes are there and `device` does not choose.
    """
    evidence = gather(experiment, rows, device)
    title = f"{experiment.name}: overview"
    return save(overviews.draw(evidence), path_stem, evidence.digest, title, ("png", "svg"))


def draw(experiment: Experiment, rows: Iterable[Row], device: str | None = None) -> Figure:
    """The overview: a column for each task, with the training loss above and the test score below."""
    return overviews.draw(gather(experiment, rows, device))
