"""A folder's evidence checked without training: rows, table and figures must be of one piece."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...tasks.datasets import sums
from ..analysis.grid import collect
from ..analysis.ledger import of_results
from ..errors import UsageError
from ..experiments import config
from ..experiments.config import Experiment
from ..experiments.runs import Run
from ..report.figures import ledger_figure
from ..report.figures.saving import alike, digest, digest_of, drawn_by
from ..report.tables.cells import STALE
from ..report.tables.experiment_table import table
from ..report.tables.ledger_table import ledger_page
from ..rows import commits, renewals, sources
from ..rows.comparing import flaw, run_of
from ..rows.newest import place_of
from ..rows.row_shape import SAID_ELSEWHERE, lacking
from ..rows.store import FINISHED, Row, Workplace
from . import plans, publishing, publishing_trials

DRAWN = ("*.png", "*.svg", "*.pdf")
Kind = Literal["error", "stale", "remark"]


@dataclass(frozen=True)
class Finding:
    """Something to be known of a row or a file.

    kind: an `error` is an edit or a mismatch; `stale` says that the code has changed since; a `remark` is neither.
    """

    where: str
    what: str
    kind: Kind = "error"

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass
class Report:
    """What was found in one folder, and how many rows it has."""

    folder: Path
    rows: int = 0
    findings: list[Finding] = field(default_factory=list)

    def count(self, kind: Kind) -> int:
        """How many of the findings are of a kind."""
        return sum(finding.kind == kind for finding in self.findings)


def check(folder: Path) -> Report:
    """Looks at an experiment's published rows and at what was made of them; nothing is written, nothing trained."""
    report = Report(folder)
    try:
        experiment = config.load(folder)
        lines = Workplace(folder).published.lines()
    except UsageError as error:
        report.findings.append(Finding("experiment", str(error)))
        return report
    rows = [line.row for line in lines if line.row is not None]
    report.rows = len(lines)
    file = Workplace(folder).published.path
    report.findings += [Finding(f"{file.name}:{line.number}", line.flaw) for line in lines if line.row is None]
    if Workplace(folder).unfinished.exists():
        what = "publish or renew was cut short before it was made; seqbench publish makes it"
        report.findings.append(Finding(publishing.TABLE, what))
    report.findings += _torn(folder / "runs.jsonl")
    grid = {run.id for run in experiment.runs}
    report.findings += [finding for row in rows for finding in _of_row(row, folder, grid)]
    report.findings += _of_renewals(folder, rows)
    trials = [line.row for line in Workplace(folder, record=publishing_trials.FILE).published.lines() if line.row]
    report.findings += [Finding(plans.FILE, what, "remark") for what in plans.changed_since(folder, [*rows, *trials])]
    if experiment.tuning is not None:
        report.findings += _of_study(experiment, bool(rows))
    places = Counter(place_of(row) for row in rows)
    for place, count in places.items():
        if count > 1:
            report.findings.append(Finding(place.id, f"{count} rows of this run on {' '.join(place[1:]).strip()}"))
    if not lines:
        answers = [path.name for path in _answers(folder)]
        report.findings += [Finding(name, "there are no rows that it could be made of") for name in answers]
    elif not report.count("error"):  # of rows that are not in order no table can be made
        report.findings += _of_answers(experiment, rows, stale=bool(report.count("stale")))
    return report


def _of_study(experiment: Experiment, reported: bool) -> Iterator[Finding]:
    """What is to be known of its trials, of the winners, and of what is drawn of them."""
    yield from _torn(experiment.folder / publishing_trials.FILE)
    try:
        for where, what, remark in publishing_trials.faults(experiment, reported):
            yield Finding(where, what, "remark" if remark else "error")
    except UsageError as error:
        yield Finding(publishing_trials.FILE, str(error))


def _torn(path: Path) -> Iterator[Finding]:
    if path.is_file() and not path.read_bytes().endswith(b"\n"):
        yield Finding(path.name, "its last line has no end: it was cut short, or written by hand")


def _of_row(row: Row, folder: Path, grid: set[str]) -> Iterator[Finding]:
    where = f"{row['id']} {row['label']}".strip()
    yield from (Finding(where, what, kind) for what, kind in _of_origin(row))
    if found := flaw(row, folder):
        yield Finding(where, f"stale: {found}", "stale") if found.stale else Finding(where, str(found))
    else:
        yield from (Finding(where, what, kind) for what, kind in _of_run(row, run_of(row, folder), grid))


def _of_origin(row: Row) -> Iterator[tuple[str, Kind]]:
    """What is to be known of a row whatever it is of, and of which kind it is."""
    if later := [name for name in lacking(row) if name not in SAID_ELSEWHERE]:
        yield f"made before rows had provenance.{', provenance.'.join(later)}", "remark"
    if row["status"] not in FINISHED:
        yield f"published, though no result: {row['status']}", "error"
    if unclean := commits.why_unclean(row["provenance"]):
        yield f"published, though {unclean}", "error"


def _of_run(row: Row, run: Run, grid: set[str]) -> Iterator[tuple[str, Kind]]:
    """What is to be known of a row that is of this run."""
    if run.id not in grid:
        yield "not a run of the experiment as it is now: no table shows it", "remark"
    # Older sources may have written the label of the same configuration in another way.
    if row["label"] != str(run) and row["provenance"]["source"] == sources.source_hash(run):
        yield f"its label is not that of its configuration, {run}", "error"
    wanted, found = sums(run.task_class.remotes), row["provenance"]["data"]
    for name in sorted({*wanted, *found}):
        if wanted.get(name) != found.get(name):
            ours, theirs = (str(one.get(name, "none"))[:12] for one in (wanted, found))
            yield f"made with other data: {name} has sha256 {theirs}… in the row, {ours}… in the task", "error"
    if old := renewals.staleness(row, run):
        yield str(old), "stale"


def _of_renewals(folder: Path, rows: Sequence[Row]) -> Iterator[Finding]:
    """Lines that say of a row that is not there, or that nobody but a person can have written."""
    sums_of_rows = {row.get("sum") for row in rows}
    for number, line in renewals.lines(folder):
        where = f"{renewals.FILE}:{number}"
        if line is None:
            yield Finding(where, "checksum mismatch: its line is not as it was written")
        elif line["row"] not in sums_of_rows:
            yield Finding(where, f"of a row that is not there: {line['label']}")


def _answers(folder: Path) -> list[Path]:
    """The table and the figures that are there."""
    figures = {path for pattern in DRAWN for path in folder.glob(pattern)} - {*publishing_trials.drawn(folder)}
    return sorted(figures | set(folder.glob(publishing.TABLE)))


def _of_answers(experiment: Experiment, rows: Sequence[Row], stale: bool) -> Iterator[Finding]:
    devices = sorted({row["device"] for row in rows})
    choices: list[str | None] = [None] if len(devices) == 1 else [*devices]
    path = experiment.folder / publishing.TABLE
    shown = path.read_text(encoding="utf-8") if path.is_file() else None
    texts = {device: table(collect(experiment, rows, device), "md", experiment.question) for device in choices}
    device = next((device for device in choices if texts[device] == shown), choices[0])
    if shown is None:
        yield Finding(path.name, "not there, though there are rows; seqbench publish makes it")
    elif texts[device] != shown:
        if stale and any(_unmarked(text) == _unmarked(shown) for text in texts.values()):
            yield Finding(path.name, f"rows have grown stale since; seqbench publish marks them with {STALE}", "stale")
        else:
            yield Finding(path.name, f"not what the rows give: {_first_difference(shown, texts[device])}")
    yield from _of_figures(experiment, rows, device, stale)


def _unmarked(text: str) -> str:
    """A table without the marks of stale rows, whatever room they take."""
    lines = [line for line in text.splitlines() if line and not line.startswith(STALE)]
    return re.sub(r"-{3,}", "---", re.sub(r" +", " ", "\n".join(lines).replace(STALE, "")))


def _first_difference(shown: str, wanted: str) -> str:
    pairs = enumerate(zip([*shown.splitlines(), None], [*wanted.splitlines(), None], strict=False), 1)
    number = next((number for number, (line, other) in pairs if line != other), None)
    return "its line ends" if number is None else f"line {number} is another"


def _of_figures(experiment: Experiment, rows: Sequence[Row], device: str | None, stale: bool) -> Iterator[Finding]:
    """All figures that the rows give must be there, and say that they are made of these rows.

    They must look as these rows make them look; no error where another version of matplotlib has drawn them. Where
    rows are stale figures mark it, and look otherwise in any case.
    """
    folder, made_of = experiment.folder, digest(rows)
    for path in _answers(folder):
        found = digest_of(path) if path.name != publishing.TABLE else made_of
        if found != made_of:
            what = "does not say of which rows it was made" if found is None else "made of other rows"
            yield Finding(path.name, f"{what}; seqbench publish draws it anew")
    with tempfile.TemporaryDirectory() as place:
        try:
            drawn = publishing.write_figures(experiment, rows, Path(place), device)
        except UsageError as error:  # the measurements are not whole; all other figures can be drawn
            yield Finding("gradients", str(error))
            drawn = publishing.write_figures(experiment, rows, Path(place), device, measured=Path(place) / "none")
        for path in drawn:
            shown = folder / path.name
            if not shown.is_file():
                yield Finding(path.name, "not there, though there are rows; seqbench publish draws it")
            elif not stale and digest_of(shown) == made_of and not alike(path, shown):
                yield Finding(path.name, *_looks_otherwise(path, shown))


def _looks_otherwise(drawn: Path, shown: Path) -> tuple[str, Kind]:
    here, there = drawn_by(drawn), drawn_by(shown)
    if here == there:
        return "not what the rows give: an edit, or older code has drawn it; seqbench publish draws it anew", "error"
    return f"looks otherwise when matplotlib {here} draws it here, not {there or 'an unknown version'}", "remark"


def summary(report: Report) -> list[str]:
    """A report in lines: each error; what is no error is said once for all rows of which it is true; what was found."""
    where = shown(report.folder)
    lines = [f"{where}: {finding}" for finding in report.findings if finding.kind == "error"]
    others: dict[str, list[str]] = {}
    for finding in report.findings:
        if finding.kind != "error":
            others.setdefault(finding.what, []).append(finding.where)
    for what, places in others.items():
        many = "files" if all(re.fullmatch(r"\S+\.\w+", place) for place in places) else "rows"
        lines.append(f"{where}: {places[0] if len(places) == 1 else f'{len(places)} {many}'}: {what}")
    words: dict[Kind, tuple[str, str]] = {
        "error": ("error", "errors"),
        "stale": ("stale", "stale"),
        "remark": ("remark", "remarks"),
    }
    counts = [(report.count(kind), of_one, of_several) for kind, (of_one, of_several) in words.items()]
    found = ", ".join(
        f"{count} {of_one if count == 1 else of_several}" for count, of_one, of_several in counts if count
    )
    if not report.rows:
        return [*lines, f"{where}: no rows yet{', ' if found else ''}{found}"]
    rows = f"{report.rows} row{'' if report.rows == 1 else 's'}"
    return [*lines, f"{where}: {rows}, {found or 'all of one piece'}"]


def shown(path: Path) -> str:
    """A path as a person here would write it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def record(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """The reports for programs."""
    return [
        {
            "folder": str(report.folder),
            "rows": report.rows,
            "findings": [vars(finding) for finding in report.findings],
        }
        for report in reports
    ]


def check_ledger(results: Path) -> list[Report]:
    """The ledger of the published rows of all experiments in a folder: is it there, and what the rows give?

    Nothing where it need not be there: no experiment of the folder is judged by a published number.
    """
    path = results / publishing.LEDGER
    lines = of_results(results)
    if all(line.folder is None for line in lines) and not path.is_file():
        return []
    report = Report(path)
    report.rows = sum(line.entry.done for line in lines if line.entry is not None and line.number.judged)
    if not path.is_file():
        report.findings.append(Finding(path.name, "not there; seqbench publish writes it"))
    else:
        stale = any(line.entry is not None and line.entry.stale for line in lines)
        kind: Kind = "stale" if stale else "error"
        what = "not what the rows give; seqbench publish writes it anew"
        if ledger_page(lines) != path.read_text(encoding="utf-8"):
            report.findings.append(Finding(path.name, what, kind))
        drawn = ledger_figure.digest(lines)
        for picture in (path.with_suffix(f".{format}") for format in ledger_figure.FORMATS):
            if not picture.is_file():
                report.findings.append(Finding(picture.name, "not there; seqbench publish draws it"))
            elif digest_of(picture) != drawn:
                report.findings.append(Finding(picture.name, what, kind))
    return [report]
