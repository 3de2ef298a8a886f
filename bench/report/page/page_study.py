"""The search for settings within the page: its tables and figures, behind all else of an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...experiments.config import Experiment
from ...rows.store import Workplace
from ...tuning.selection import searched
from ...tuning.study import FILE
from ..figures import tuning_figures
from ..figures.panels import NothingToDraw
from ..figures.saving import digest
from ..figures.style import COLUMN
from ..tables.tuning_tables import blocks
from ..tables.writers import Block
from .pictures import Picture, image

ALT = {
    "tuning-budgets": "Expected best validation score of each model against the number of trials, a panel a task",
    "tuning-ranks": "Mean rank of each model against the number of trials",
    "tuning-settings": "Validation score of each trial against its settings, a panel for each task and setting",
}
"""Name of a figure -> what it shows, for those who cannot see it; the tables above have the numbers."""
CAPTIONS = {
    "tuning-budgets": tuning_figures.BUDGETS,
    "tuning-ranks": tuning_figures.RANKS,
    "tuning-settings": tuning_figures.SETTINGS,
}


class Study(NamedTuple):
    """Paragraphs and tables, and the figures behind them."""

    blocks: Sequence[Block]
    pictures: Sequence[Picture]


NONE = Study((), ())
"""Of an experiment that searches for nothing, or has no trials yet."""


def study_of(experiment: Experiment, source: str, device: str | None, heading: str) -> Study:
    """The study of an experiment by the trials of `source` (published, working or all)."""
    if experiment.tuning is None:
        return NONE
    rows = [*Workplace(experiment.folder, record=FILE).rows(source)]
    found = searched(experiment, rows, device)
    pictures = []
    for name, draw in tuning_figures.FIGURES.items():
        try:
            figure = draw(found, explained=False)
        except NothingToDraw:
            continue
        drawn = image(figure, digest(rows), f"{heading}: {name}")
        pictures.append(Picture(drawn, ALT[name], CAPTIONS[name], wide=figure.get_figwidth() > COLUMN))
    return Study(blocks(experiment, found), pictures)


def behind(pictures: Mapping[int, Sequence[Picture]], before: int, study: Study) -> dict[int, Sequence[Picture]]:
    """The pictures of a section with those of its study; `before`: parts of the section that stand before the study."""
    found = dict(pictures)
    place = before + len(study.blocks)
    return found | {place: [*found.get(place, ()), *study.pictures]}
