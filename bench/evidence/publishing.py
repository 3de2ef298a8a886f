"""From the working area into the experiment's folder: rows and measurements that can be trusted, and what is made of
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import atomic
from ..analysis.grid import collect
from ..analysis.ledger import printed_scores
from ..analysis.published import read as published_numbers
from ..errors import UsageError
from ..experiments.config import Experiment
from ..experiments.runs import Run
from ..report.figures import drawing, ledger_figure
from ..report.figures.saving import FORMATS as ALL_FORMATS
from ..report.tables.experiment_table import table
from ..report.tables.ledger_table import write_ledger
from ..rows import commits, measurements, renewals, sources
from ..rows.newest import by_place, place_of
from ..rows.store import Row, Workplace
from . import moving, publishing_trials

TABLE, LEDGER = "table.md", "ledger.md"
FORMATS = ("png", "svg")
"""What figures in an experiment's folder are, for a screen and for print."""
OLD_MEASUREMENTS = "stale: the code of their runs has changed since"


@dataclass(frozen=True)
class Publication:
    """What was moved, what was left, with the reason for each, and which torn lines of files were set aside.

    written: the files of the folder that are new, among them the gradient norms (`measurements`) where they were moved.
    left_files: such a file where it was left.
    """

    moved: Sequence[Row]
    left: Sequence[tuple[Row, str]]
    written: Sequence[Path]
    repaired: Sequence[str]
    left_files: Sequence[tuple[Path, str]] = ()


def publish(experiment: Experiment, device: str | None = None) -> Publication:
    """Moves clean, finished rows and clean measurements of gradients into the folder, and makes its table and all its
    figures anew, and the ledger that judges it.

    Rows that are dirty, stale, unfinished, edited by hand or not of this experiment are left where they are, and so are
    measurements that are dirty, stale, edited or of other runs, are older than those in the folder, or would be alone
    there. Of measurements that were moved the figure in the working area is taken away.
    device: which rows the table shows, where there are those of a CPU and of a GPU.
    Raises OSError where the folder cannot be written; nothing is lost then. Raises UsageError while another process
    runs the experiment, and where the folder is its own working area.
    """
    workplace = Workplace(experiment.folder)
    if workplace.installed:
        raise UsageError(f"{experiment.folder} belongs to the installed package: copy the folder to publish in it")
    if workplace.area.resolve() == experiment.folder.resolve():  # what is moved would be taken away
        raise UsageError(f"{experiment.folder} is its own working area: SEQBENCH_RUNS must name another place")
    with workplace.held():
        begin(workplace)
        rows = _move(experiment, workplace)
        trials = publishing_trials.move(experiment)
        measured, left_files = _move_measurements(experiment, workplace)
        written = _write_all(experiment, workplace, device)
    return Publication(
        moved=[*trials.moved, *rows.moved],
        left=[*trials.left, *rows.left],
        written=[*measured, *written],
        repaired=[*trials.repaired, *rows.repaired],
        left_files=left_files,
    )


def begin(workplace: Workplace) -> None:
    """Notes that published rows, or what makes them current, are about to change; a command that is killed before
    table, figures and ledger have followed leaves the note, and the next one makes them.
    """
    atomic.write(workplace.unfinished, "publish or renew was cut short\n")


def finish(experiment: Experiment, device: str | None = None) -> list[Path]:
    """Makes table, figures and ledger of the published rows, if they have changed since these were made.

    device: as of `publish`. Raises UsageError while another process runs the experiment.
    """
    workplace = Workplace(experiment.folder)
    if not workplace.unfinished.exists():
        return []
    with workplace.held():
        return _write_all(experiment, workplace, device)


def _write_all(experiment: Experiment, workplace: Workplace, device: str | None) -> list[Path]:
    written = [*write_answers(experiment, device), *write_its_ledger(experiment)]
    written += publishing_trials.write(experiment, device)
    workplace.unfinished.unlink(missing_ok=True)
    return written


def _move(experiment: Experiment, workplace: Workplace) -> moving.Moved:
    runs = {run.id: run for run in experiment.runs}
    order = {run_id: place for place, run_id in enumerate(runs)}

    def publish_rows(moved: Sequence[Row]) -> None:
        together = sorted(
            by_place([*workplace.published.read(), *moved]).values(),
            key=lambda row: (order.get(row["id"], len(order)), place_of(row)),
        )
        workplace.published.replace(together)
        new = (renewals.rehashed(row, runs[row["id"]]) for row in moved)
        renewals.keep(experiment.folder, together, [record for record in new if record is not None])

    return moving.move(workplace, lambda row: _why_not(row, runs, experiment.folder), publish_rows)


def _why_not(row: Row, runs: dict[str, Run], folder: Path) -> str | None:
    if row["id"] not in runs:
        return "not a run of this experiment as it is now"
    return moving.why_unfit(row, folder) or _why_stale(row, runs[row["id"]])


def _why_stale(row: Row, run: Run) -> str | None:
    old = renewals.staleness(row, run)
    return None if old is None else str(old)


def _move_measurements(experiment: Experiment, workplace: Workplace) -> tuple[list[Path], list[tuple[Path, str]]]:
    """The file of measurements: in the folder, if it was moved there; in the working area with the reason, if not."""
    path, target = (place / measurements.FILE for place in (workplace.area, workplace.folder))
    if not path.is_file():
        return [], []
    reason = _why_not_measurements(experiment, workplace, path, target)
    if reason:
        return [], [(path, reason)]
    atomic.write(target, path.read_bytes())
    for old in (path, *(path.with_name(f"gradients.{format}") for format in ALL_FORMATS)):
        old.unlink(missing_ok=True)
    return [target], []


def _why_not_measurements(experiment: Experiment, workplace: Workplace, path: Path, target: Path) -> str | None:
    try:
        origin = measurements.read(path).origin
    except UsageError as error:
        return str(error).removeprefix(f"{path}: ")
    hashes = {run.id: sources.source_hash(run) for run in experiment.runs}
    if not set(origin["sources"]) <= set(hashes):
        return "not only of runs of this experiment as it is now"
    if unclean := commits.why_unclean(origin["provenance"]):
        return unclean
    if any(source != hashes[run_id] for run_id, source in origin["sources"].items()):
        return OLD_MEASUREMENTS
    if not workplace.published.read():
        return "the folder has no rows yet, beside which its figure could stand"
    if target.is_file() and _finished(target) > origin["provenance"]["finished"]:
        return f"older than {target}"
    return None


def _finished(path: Path) -> str:
    """When measurements were finished, as their origin has it; nothing where they cannot be read."""
    try:
        finished: str = measurements.read(path).origin["provenance"]["finished"]
    except UsageError:
        return ""
    return finished


def write_answers(experiment: Experiment, device: str | None = None) -> list[Path]:
    """Writes `table.md` and the figures of the published rows; none where there are no rows.

    A figure of before that these rows do not give any more is taken away.
    """
    rows = Workplace(experiment.folder).published.read()
    if not rows:
        return []
    path = experiment.folder / TABLE
    atomic.write(path, table(collect(experiment, rows, device), "md", experiment.question))
    drawn = write_figures(experiment, rows, experiment.folder, device)
    for name in (f"{name}.{format}" for name in drawing.FIGURES for format in FORMATS):
        if experiment.folder / name not in drawn:
            (experiment.folder / name).unlink(missing_ok=True)
    return [path, *drawn]


def write_its_ledger(experiment: Experiment) -> list[Path]:
    """The ledger beside the experiment's folder, where a published number is judged by this experiment."""
    judging = {Path(name).name for number in published_numbers() for name in number.experiments}
    if experiment.name not in judging:
        return []
    folder = experiment.folder if experiment.folder.name not in ("", "..") else experiment.folder.resolve()
    return write_ledger_and_figure(folder.parent)


def write_ledger_and_figure(results: Path) -> list[Path]:
    """The ledger of all experiments in a folder, and its figure; none where the ledger judges none of them."""
    written = write_ledger(results / LEDGER)
    return [written, *ledger_figure.write(written.with_suffix(""))] if written else []


def write_figures(
    experiment: Experiment, rows: Sequence[Row], place: Path, device: str | None = None, measured: Path | None = None
) -> list[Path]:
    """Draws all figures that these rows give, into `place`.

    measured: the file of measurements of gradients, else that in the experiment's folder, where there is one.
    Raises UsageError where it is not whole.
    """
    measured = measured or experiment.folder / measurements.FILE
    return drawing.write(
        experiment,
        rows,
        place,
        device,
        published=printed_scores(experiment),
        gradients=measured if measured.is_file() else None,
        formats=FORMATS,
    ).written
