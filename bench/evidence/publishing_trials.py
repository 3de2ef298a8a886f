"""The trials of a study from the working area into the experiment's folder, and what is made of them.

A trial says how settings were chosen, and no number of the table rests on its bits: stale trials are moved too, and
`verify --static` says how many there are. What is dirty or edited stays, as of all rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from .. import atomic
from ..experiments.config import Experiment
from ..report.figures import tuning_figures
from ..report.figures.saving import alike, digest, digest_of, drawn_by
from ..report.tables.tuning_tables import blocks
from ..report.tables.writers import markdown
from ..rows import renewals
from ..rows.newest import by_place, place_of
from ..rows.store import Row, Workplace
from ..tuning import winners
from ..tuning.selection import searched
from ..tuning.study import FILE as FILE
from ..tuning.study import trials_of
from . import moving

TABLE = "tuning.md"
FORMATS = ("png", "svg")


def move(experiment: Experiment) -> moving.Moved:
    """Moves the clean, finished trials of an experiment's study; its working area is held.

    Trials of another space, seed or version are left, and no word is lost on those that the study has of before.
    """
    if experiment.tuning is None:
        return moving.Moved()
    study = trials_of(experiment)
    workplace = Workplace(experiment.folder, record=FILE)
    order = {run.id: place for place, run in enumerate(study.runs)}

    def publish(moved: Sequence[Row]) -> None:
        rows = by_place([*(row for row in workplace.published.read() if row["id"] in order), *moved]).values()
        workplace.published.replace(sorted(rows, key=lambda row: (order[row["id"]], place_of(row))))

    return moving.move(workplace, lambda row: _why_not(row, order, experiment.folder), publish)


def _why_not(row: Row, order: Container[str], folder: Path) -> str | None:
    return moving.why_unfit(row, folder) if row["id"] in order else "a trial of another space, seed or version"


def write(experiment: Experiment, device: str | None = None) -> list[Path]:
    """Writes `tuning.md` and the figures of the published trials into the folder; what they give no more goes."""
    folder = experiment.folder
    rows = Workplace(folder, record=FILE).published.read() if experiment.tuning is not None else []
    written = []
    if rows and (text := text_of(experiment, rows, device)):
        atomic.write(folder / TABLE, text)
        written = [folder / TABLE, *tuning_figures.write(experiment, rows, folder, device, FORMATS)]
    for path in drawn(folder):
        if path not in written:
            path.unlink()
    return written


def text_of(experiment: Experiment, rows: Sequence[Row], device: str | None = None) -> str:
    """The text of `tuning.md`; empty where no trial of the study has come to its end."""
    made = blocks(experiment, searched(experiment, rows, device))
    return markdown([experiment.question, *made]) if made else ""


def drawn(folder: Path) -> list[Path]:
    """What of a study is drawn or written beside the experiment, and is there."""
    named = [f"{name}.{format}" for name in tuning_figures.FIGURES for format in (*FORMATS, "pdf")]
    return [path for name in (TABLE, *named) if (path := folder / name).is_file()]


def faults(experiment: Experiment, reported: bool) -> Iterator[tuple[str, str, bool]]:
    """What is wrong with the published study: where, a sentence, and whether it is a remark alone.

    reported: whether the experiment has published rows.
    """
    rows = Workplace(experiment.folder, record=FILE).published.read()
    for where, what in winners.faults(experiment, rows, searched(experiment, rows), reported):
        yield where, what, not rows and not reported
    runs = {run.id: run for run in trials_of(experiment).runs}
    known = [row for row in rows if row["id"] in runs]
    for row in known:
        if (reason := _why_not(row, runs, experiment.folder)) is not None:
            yield f"{row['id']} {row['label']}", f"published, though {reason}", False
    if old := sum(renewals.staleness(row, runs[row["id"]]) is not None for row in known):
        yield FILE, f"{old} of {len(rows)} trials were made by other code; the winners were chosen by it", True
    with tempfile.TemporaryDirectory() as place:
        yield from _of_drawn(experiment, rows, Path(place))


def _of_drawn(experiment: Experiment, rows: Sequence[Row], place: Path) -> Iterator[tuple[str, str, bool]]:
    folder = experiment.folder
    text = text_of(experiment, rows) if rows else ""
    shown = (folder / TABLE).read_text(encoding="utf-8") if (folder / TABLE).is_file() else ""
    if text != shown:
        yield TABLE, f"{'not what the trials give' if shown else 'not there'}; seqbench publish makes it", False
    wanted = tuning_figures.write(experiment, rows, place, formats=FORMATS) if rows else []
    for path in wanted:
        there = folder / path.name
        if not there.is_file() or digest_of(there) != digest(rows):
            yield path.name, "not there, or made of other trials; seqbench publish draws it anew", False
        elif not alike(path, there) and drawn_by(path) == drawn_by(there):
            yield path.name, "not what the trials give; seqbench publish draws it anew", False
    for path in drawn(folder):
        if path.name != TABLE and path.name not in {one.name for one in wanted}:
            yield path.name, "there are no trials that it could be made of", False
