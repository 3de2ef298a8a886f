"""What a figure is drawn from: an experiment with the rows that count, and the models' looks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ...analysis.grid import Entry, collect, columns, edited_of, floor_of, of_device
from ...errors import UsageError
from ...experiments.config import Cell, Experiment
from ...experiments.runs import Run
from ...rows.store import Row
from ..tables.cells import DIRTY, EDITED, STALE, footnotes, marks
from .saving import digest
from .style import FILLS, Fill, Style, styles

WARNINGS = (DIRTY, STALE, EDITED)
"""The signs of what a reader of a figure must know, as tables have them."""


class NothingToDraw(UsageError):
    """The rows have nothing that this figure could show; the message says what it needs."""


class Look(NamedTuple):
    """The style of a model's architecture, and how its marks are filled."""

    style: Style
    fill: Fill


class Panel(NamedTuple):
    """One task: its cells with one Entry each, all in the same metric, and the labels of its models."""

    cells: Sequence[Cell]
    entries: Sequence[Entry]
    labels: Sequence[str]

    @property
    def own_labels(self) -> list[str]:
        """Labels that tell apart the models of this task alone: elsewhere a name may stand for several."""
        label_of = columns(self.entries)
        return [label_of[entry.task, entry.model] for entry in self.entries]

    @property
    def thresholds(self) -> dict[str, float]:
        """The scores to compare with, those that there are: `floor`, and from where on the task is `solved`."""
        solved_at = self.entries[0].metric.solved_at
        values = {"floor": floor_of(self.entries), "solved": math.nan if solved_at is None else solved_at}
        return {name: value for name, value in values.items() if math.isfinite(value)}


@dataclass(frozen=True)
class Evidence:
    """An experiment, and the newest row of each of its runs, by run id, all of one device class.

    digest: of all rows that were given (`saving.digest`). published: (task, model) -> the published number in the
    task's first metric; `model` is a cell's label (`Entry.model`) or its architecture's name. gradients: a file of
    `measurements`, where there is one.
    """

    experiment: Experiment
    rows: Mapping[str, Row]
    device: str | None
    digest: str
    published: Mapping[tuple[str, str], float] = field(default_factory=dict)
    gradients: Path | None = None

    @cached_property
    def sound(self) -> dict[str, Row]:
        """The rows that count, by run id: those that nobody has edited."""
        edited = edited_of(self.rows, self.experiment.folder)
        return {run_id: row for run_id, row in self.rows.items() if run_id not in edited}

    @cached_property
    def entries(self) -> list[Entry]:
        """One for each cell and metric, in the order of the experiment."""
        return collect(self.experiment, self.rows.values(), self.device)

    @cached_property
    def looks(self) -> dict[str, Look]:
        """Label of a model, as `panels` gives it -> its look."""
        label_of = columns(self.entries)
        return looks_of({label_of[entry.task, entry.model]: entry.model_name for entry in self.entries})

    def panels(self, pick: Callable[[Sequence[Entry]], Entry] = lambda entries: entries[0]) -> list[Panel]:
        """The tasks; `pick` chooses from a cell's entries, one a metric, the one that is shown."""
        label_of = columns(self.entries)
        of_cell: dict[tuple[str, str], list[Entry]] = {}
        for entry in self.entries:
            of_cell.setdefault((entry.task, entry.model), []).append(entry)
        of_task: dict[str, list[tuple[Cell, Entry]]] = {}
        for cell, group in zip(self.experiment.cells, of_cell.values(), strict=True):
            of_task.setdefault(cell.task, []).append((cell, pick(group)))
        panels = []
        for pairs in of_task.values():
            cells, entries = zip(*pairs, strict=True)
            panels.append(Panel(cells, entries, [label_of[entry.task, entry.model] for entry in entries]))
        return panels

    def runs_of(self, cell: Cell) -> Iterator[tuple[Run, Row]]:
        """The runs of a cell that have a row that counts."""
        return ((run, self.sound[run.id]) for run in cell.runs if run.id in self.sound)

    def published_for(self, entry: Entry) -> float | None:
        """The published number of a cell in the task's first metric; None where it is not known."""
        of_label = self.published.get((entry.task, entry.model))
        return self.published.get((entry.task, entry.model_name)) if of_label is None else of_label


def looks_of(names: Mapping[str, str]) -> dict[str, Look]:
    """Label of a model -> its look, from label -> name of its architecture."""
    style_of = styles(names.values())
    ranks: dict[str, int] = {}
    looks = {}
    for label, name in names.items():
        rank = ranks[name] = ranks.get(name, -1) + 1
        looks[label] = Look(style_of[name], FILLS[rank % len(FILLS)])
    return looks


def gather(
    experiment: Experiment,
    rows: Iterable[Row],
    device: str | None = None,
    published: Mapping[tuple[str, str], float] | None = None,
    gradients: Path | None = None,
) -> Evidence:
    """The evidence in these rows. Raises UsageError where they are of several device classes and none is chosen."""
    rows = list(rows)
    of_run, device = of_device(experiment, rows, device)
    return Evidence(experiment, of_run, device, digest(rows), published or {}, gradients)


def pooled(experiments: Sequence[Experiment]) -> Experiment:
    """Several experiments as one, so that one figure shows them all; a run that stands in two counts once.

    Raises UsageError where their presets differ: these are not numbers of one kind.
    """
    first, *others = experiments
    for other in others:
        if other.preset != first.preset:
            raise UsageError(
                f"{first.name} has preset {first.preset} and {other.name} has {other.preset}: their numbers are of "
                "different kinds and are not shown together"
            )
    cells = {tuple(run.id for run in cell.runs): cell for experiment in experiments for cell in experiment.cells}
    questions = dict.fromkeys(experiment.question for experiment in experiments)
    decides = dict.fromkeys(experiment.decides for experiment in experiments if experiment.decides)
    return Experiment(first.folder, " ".join(questions), first.preset, tuple(cells.values()), " ".join(decides))


def warning_marks(entry: Entry) -> str:
    """The signs of rows that are dirty, stale or edited, for beneath a model's name."""
    return "".join(sign for sign in marks(entry) if sign in WARNINGS)


def warnings(entries: Iterable[Entry]) -> list[str]:
    """What these signs mean, a sentence for each that stands somewhere."""
    return [f"{line}." for line in footnotes(entries) if line.startswith(WARNINGS)]
