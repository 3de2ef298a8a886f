"""The report page: experiments with tables, curves and runs, the ledger and speed in one HTML file that needs no other.

What is said comes from where the Markdown says it: the tables are those of `experiment_table` and `ledger_table`, word
by word. The files in `templates` only set it, and jinja2 escapes every text. The page loads nothing, and a content
security policy of its own forbids it to; the one script that may run is named there by its sum.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup, escape

from ... import atomic
from ...analysis.digits import number
from ...analysis.grid import Entry, collect, columns
from ...analysis.ledger import Line, canonical, lines
from ...analysis.published import Number
from ...analysis.published import read as published_numbers
from ...experiments import config
from ...experiments.config import Cell, Experiment
from ...experiments.places import own_folders
from ...rows.store import Row, Workplace
from ..figures.panels import Evidence, gather
from ..figures.speed_history import histories
from ..tables import ledger_table
from ..tables.cells import NOTHING, Text, cell_text, metric_title
from ..tables.experiment_table import blocks
from ..tables.speed_table import Speed, speeds
from ..tables.writers import Block, Table
from . import page_curves, page_study
from .colours import HALVES, MARKS, Palette, dashes
from .page_curves import Curves
from .pictures import Picture, of_history, pictures
from .run_facts import CellFacts, facts, place_of

TEMPLATES = Path(__file__).parent / "templates"
FIRST_SCORE = 3
"""The first column of a table of scores that is a model's: task, metric and floor stand before it."""


class Score(NamedTuple):
    """A place of the table of scores.

    text: as the Markdown has it. order: what it is sorted by, None where it has no score. seeds: seed and score, or why
    there is none. cell: its place among the cells of the experiment, None where the experiment does not ask for it.
    """

    text: Text
    bold: bool
    order: float | None = None
    seeds: Sequence[tuple[int, str]] = ()
    cell: int | None = None
    what: str = ""


class CellPart(NamedTuple):
    """A cell with all that is known of its runs; `text` is what it says in its first metric."""

    task: str
    model: str
    text: Text
    facts: CellFacts


@dataclass(frozen=True)
class Section:
    """An experiment on one device class.

    heading: the experiment's name, with the device where there are several. place: its folder, as a command names it.
    above: paragraphs above the scores. header, heads, scores: the table of scores, the first columns of a line apart.
    below: what stands below. pictures: the figures there, by behind how many parts of `below` they stand. present and
    expected count runs.
    """

    heading: str
    place: str
    above: Sequence[str]
    header: Sequence[str]
    heads: Sequence[Sequence[Text]]
    scores: Sequence[Sequence[Score]]
    below: Sequence[Block]
    pictures: Mapping[int, Sequence[Picture]]
    curves: Curves
    cells: Sequence[CellPart]
    present: int
    expected: int
    digest: str


def write(
    path: Path,
    folders: Sequence[Path] | None,
    source: str = "all",
    device: str | None = None,
    numbers: Iterable[Number] | None = None,
) -> Path:
    """Writes the page of some experiments, the same bytes for the same rows, and gives its path.

    folders: of the experiments; the ledger has the published numbers of their tasks then. None: all experiments of the
    suite, and all numbers. source: published, working, or all rows. device: cpu or cuda; None for a section of each
    class that there are rows of. numbers: published ones other than the suite's.
    Raises UsageError for what is wrong in an experiment, its rows or a file of speed; OSError where the file cannot be
    written.
    """
    numbers = [*(published_numbers() if numbers is None else numbers)]
    chosen = list(dict.fromkeys(own_folders() if folders is None else folders))
    experiments = [config.load(folder) for folder in chosen]
    sections = [section for experiment in experiments for section in sections_of(experiment, source, device)]
    if folders is None:
        found = lines(None, source, device, numbers)
    else:
        tasks = {cell.task for experiment in experiments for cell in experiment.cells}
        judged = [number for number in numbers if canonical(number.task) in tasks]
        found = lines(chosen, source, device, judged) if judged else []
    text = render(sections, found, speeds(chosen), [of_history(one) for one in histories(chosen)])
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, text)
    return path


def sections_of(experiment: Experiment, source: str = "all", device: str | None = None) -> list[Section]:
    """The sections of an experiment: one for each device class that there are rows of, or for the one chosen."""
    place = Workplace(experiment.folder)
    published = [*place.rows("published")]
    rows = published if source == "published" else [*place.rows(source)]
    sums = frozenset(row["sum"] for row in published if "sum" in row)
    ids = {run.id for run in experiment.runs}
    present = sorted({row["device"] for row in rows if row["id"] in ids})
    devices: Sequence[str | None] = [device] if device else present or [None]
    names = [f"{experiment.name} on {one}" if len(devices) > 1 else experiment.name for one in devices]
    return [
        section_of(experiment, rows, one, sums, name, page_study.study_of(experiment, source, one, name))
        for one, name in zip(devices, names, strict=True)
    ]


def section_of(
    experiment: Experiment,
    rows: Sequence[Row],
    device: str | None,
    published: frozenset[str],
    heading: str,
    study: page_study.Study = page_study.NONE,
) -> Section:
    """One section. published: the sums of the rows that are published. study: what stands behind all else."""
    evidence = gather(experiment, rows, device)
    entries = collect(experiment, rows, device)
    of_cell: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        of_cell.setdefault((entry.task, entry.model), []).append(entry)
    cells = [
        CellPart(
            group[0].task, group[0].model, cell_text(group[0]), facts(experiment, cell, group, evidence.rows, published)
        )
        for cell, group in zip(experiment.cells, of_cell.values(), strict=True)
    ]
    content = blocks(entries, experiment.question)
    first = next(place for place, block in enumerate(content) if isinstance(block, Table))
    table = content[first]
    assert isinstance(table, Table)
    return Section(
        heading,
        place_of(experiment.folder),
        [block for block in content[:first] if isinstance(block, str)],
        table.header,
        [line[:FIRST_SCORE] for line in table.lines],
        _scores(table, entries, evidence, experiment.cells),
        [*content[first + 1 :], *study.blocks],
        page_study.behind(pictures(content[first + 1 :], evidence, heading), len(content) - first - 1, study),
        page_curves.curves(evidence),
        cells,
        len(evidence.rows),
        len(experiment.runs),
        evidence.digest,
    )


def _scores(table: Table, entries: Sequence[Entry], evidence: Evidence, cells: Sequence[Cell]) -> list[list[Score]]:
    """The places of the table that are models', line by line, with what the page shows of each beyond its text."""
    column_of = columns(entries)
    places = {place: number for number, place in enumerate(dict.fromkeys((one.task, one.model) for one in entries))}
    grid: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in entries:
        grid.setdefault((entry.task, entry.metric.name), {})[column_of[entry.task, entry.model]] = entry
    found = []
    for line, (texts, of_model) in enumerate(zip(table.lines, grid.values(), strict=True)):
        scores = []
        for column, label in enumerate(table.header[FIRST_SCORE:], FIRST_SCORE):
            text, bold = texts[column], (line, column) in table.bold
            if label not in of_model:
                scores.append(Score(text, bold))
                continue
            one = of_model[label]
            place = places[one.task, one.model]
            seeds = _seeds(one, cells[place], evidence)
            what = f"{one.task}, {metric_title(one.metric)}, {one.model}"
            scores.append(Score(text, bold, _order(one), seeds, place, what))
        found.append(scores)
    return found


def _order(entry: Entry) -> float | None:
    """What a score is sorted by: the number that its text leads with, or of a solvable task the median."""
    if entry.solved is not None:
        return median(entry.values.values()) if entry.values else None
    return entry.summary.mean if entry.summary else None


def _seeds(entry: Entry, cell: Cell, evidence: Evidence) -> list[tuple[int, str]]:
    found = []
    for run in cell.runs:
        score = entry.values.get(run.seed)
        if score is not None:
            text = number(score, entry.metric.decimals)
            text += f", solved after {entry.steps[run.seed]} steps" if run.seed in entry.steps else ""
        elif run.id in evidence.sound:
            status = evidence.sound[run.id]["status"]
            text = "no score" if status == "done" else status
        elif run.id in evidence.rows:
            text = "edited by hand, does not count"
        else:
            text = "not run"
        found.append((run.seed, text))
    return found


def render(
    sections: Sequence[Section],
    ledger_lines: Sequence[Line] = (),
    measured: Sequence[Speed] = (),
    over_commits: Sequence[Picture] = (),
) -> str:
    """The page as a text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "curves": page_curves,
        "dashes": dashes,
        "shapes": MARKS,
        "halves": HALVES,
        "nothing": NOTHING,
    }
    environment.filters["breakable"] = _breakable
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    script_sum = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    values = {
        f"e{number}-d{place}": drawing.values
        for number, section in enumerate(sections)
        for place, drawing in enumerate(section.curves.drawings)
    }
    names = [section.heading for section in sections]
    context: dict[str, Any] = {
        "title": names[0] if len(names) == 1 else f"{len(names)} experiments",
        "sections": [*enumerate(sections)],
        "ledger": ledger_table.blocks(ledger_lines) if ledger_lines else [],
        "rules": ledger_table.RULES,
        "context": ledger_table.CONTEXT,
        "speeds": measured,
        "histories": over_commits,
        "palette": Palette([look for section in sections for look in section.curves.looks.values()]),
        "values": values,
        "style": Markup((TEMPLATES / "page.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_sum": script_sum,
    }
    return environment.get_template("page.html.jinja").render(context)


def _breakable(text: str) -> Markup:
    """The text, escaped, that a narrow column may break before the options of a task or a model."""
    return Markup(re.sub(r"(?<=\w)\(", "(<wbr>", escape(text)))
