"""The table that answers an experiment: for people (Markdown, LaTeX) and for programs (CSV, JSON)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from ...analysis.digits import number, seconds_text
from ...analysis.grid import Entry, columns, floor_of
from ...analysis.overall import Overall, overall
from ...analysis.standing import Standing
from . import cost_table, notes
from .cells import (
    NOTHING,
    Text,
    cell_text,
    early_text,
    footnotes,
    interval_text,
    length_text,
    metric_text,
    metric_title,
    yardsticks,
)
from .contrast_table import contrast_blocks
from .instruction_table import instruction_blocks
from .records import as_json, long_form, standings
from .sample_table import sample_blocks
from .writers import Block, Table, latex, markdown

Format = Literal["md", "csv", "latex", "json"]
FORMATS: tuple[Format, ...] = get_args(Format)


class Comparison(NamedTuple):
    """A cell of a run made here beside the same cell as committed."""

    task: str
    metric: str
    model: str
    here: str
    committed: str


def table(entries: Sequence[Entry], format: Format = "md", question: str = "") -> str:
    """The entries as a text that ends with a newline; `question` stands above the table for people.

    md and latex say the same word by word; csv and json hold one record an entry, with every seed's own score, and
    one for each number over all tasks.
    """
    match format:
        case "md":
            return markdown(blocks(entries, question))
        case "latex":
            return latex(blocks(entries, question))
        case "csv":
            return long_form(entries).to_csv(index=False, lineterminator="\n")
        case "json":
            return as_json(entries)


def compare(entries_here: Iterable[Entry], entries_committed: Iterable[Entry]) -> list[Comparison]:
    """Cell by cell, the models of a task and metric together; a dash where the committed ones have no such cell."""
    committed = {(entry.task, entry.metric.name, entry.model): entry for entry in entries_committed}
    lines: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries_here:
        lines.setdefault((entry.task, entry.metric.name), []).append(entry)
    comparisons = []
    for entry in (entry for line in lines.values() for entry in line):
        other = committed.get((entry.task, entry.metric.name, entry.model))
        texts = [", ".join(cell_text(one) if one else NOTHING) for one in (entry, other)]
        comparisons.append(Comparison(entry.task, metric_title(entry.metric), entry.model, *texts))
    return comparisons


def blocks(entries: Sequence[Entry], question: str = "") -> list[Block]:
    """The table for people as paragraphs and tables: the question, what its answer decides, where the rows come from,
    the scores, what is said of them, the numbers over all tasks, sizes and time, and what tells early whether a rerun
    goes as these runs did. The first table is that of the scores.
    """
    heading = [*([question] if question else []), *notes.plan(entries)]
    if not entries:
        return [*heading, "The experiment has no cells."]
    lines = standings(entries)
    found = overall(entries)
    below = [
        *notes.methods(entries),
        *notes.comparisons(lines, entries),
        *footnotes(entries),
        *notes.disclosures(entries),
        *notes.remarks(entries),
        *yardsticks(entries),
    ]
    over_tasks: list[Block] = [_overall(found), notes.of_overall(found)] if found else [*notes.no_overall(entries)]
    at_lengths = [*_at_lengths(entries)]
    return [
        *heading,
        _origin(entries),
        _scores(entries, lines),
        *below,
        *sample_blocks(entries),
        *contrast_blocks(lines, entries),
        *instruction_blocks(entries),
        *at_lengths,
        *over_tasks,
        *cost_table.blocks(entries),
        *_early(entries),
    ]


def _origin(entries: Sequence[Entry]) -> str:
    """Which numbers these are and where they come from, in one paragraph."""
    tasks_of: dict[str, list[str]] = {}
    for entry in entries:
        tasks = tasks_of.setdefault(entry.rule, [])
        if entry.task not in tasks:
            tasks.append(entry.task)
    if len(tasks_of) == 1:
        rules = next(iter(tasks_of))
    else:
        rules = "; ".join(f"{rule} ({', '.join(tasks)})" for rule, tasks in tasks_of.items())
    cells = {(entry.task, entry.model): entry for entry in entries}.values()
    expected = sum(cell.expected for cell in cells)
    present = expected - sum(cell.missing + cell.edited for cell in cells)
    commits = sorted({commit[:7] for entry in entries for commit in entry.commits})
    parts = [
        f"Preset {entries[0].preset}{_tuning(entries)}: the test score, {rules}",
        f"Device: {entries[0].device or 'none'}",
        f"Commit: {', '.join(commits) or 'none'}",
        f"Rows: {present} of {expected} runs" + ("" if present else " (there are none yet: seqbench run makes them)"),
    ]
    return ". ".join(parts) + "."


def _tuning(entries: Sequence[Entry]) -> str:
    """From how many trials settings were chosen, the same number for all models; published ones are the paper's."""
    if entries[0].preset == "published":
        return ""
    untuned = dict.fromkeys(entry.task for entry in entries if entry.trials is None)
    trials = {entry.trials for entry in entries if entry.trials is not None}
    if not trials:
        return " (untuned)"
    counts = " or ".join(map(str, sorted(trials)))
    rest = f"; untuned: {', '.join(untuned)}" if untuned else ""
    return f" (tuned: the best of {counts} trials on validation for each model and task{rest})"


def _scores(entries: Sequence[Entry], standing_of: Mapping[tuple[str, str], Standing]) -> Table:
    """One line for each task and metric, one column for each model."""
    column_of = columns(entries)
    models = list(dict.fromkeys(column_of.values()))
    lines: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in entries:
        lines.setdefault((entry.task, entry.metric.name), {})[column_of[entry.task, entry.model]] = entry
    texts: list[list[Text]] = []
    bold = set()
    for place, ((task, name), of_model) in enumerate(lines.items()):
        metric = next(iter(of_model.values())).metric
        scores = [cell_text(of_model[model]) if model in of_model else NOTHING for model in models]
        first = [_task_text(task), metric_text(metric), (number(floor_of(of_model.values()), metric.decimals),)]
        texts.append([*first, *scores])
        best = standing_of[task, name].bold
        bold |= {
            (place, len(first) + column)
            for column, model in enumerate(models)
            if model in of_model and of_model[model].model in best
        }
    header = ["Task", "Metric", "Floor", *models]
    return Table("", header, "llr" + "l" * len(models), texts, wide=True, bold=frozenset(bold))


def _at_lengths(entries: Sequence[Entry]) -> Iterator[Block]:
    """One line a cell and metric, one column a length; nothing where no run was tested at others than its own."""
    tested = [entry for entry in entries if entry.lengths]
    if not tested:
        return
    lengths = sorted({length for entry in tested for length in entry.lengths})
    texts: list[list[Text]] = [
        [
            _task_text(entry.task),
            (metric_title(entry.metric),),
            _task_text(entry.model),
            *[length_text(entry, length) for length in lengths],
        ]
        for entry in tested
    ]
    header = ["Task", "Metric", "Model", *(f"Length {length}" for length in lengths)]
    yield Table("Tested at other lengths", header, "lll" + "l" * len(lengths), texts, wide=True)
    yield "Each network as it was best on validation at its own length, tested without further training."


def _overall(found: Overall) -> Table:
    """One line a model."""
    texts: list[list[Text]] = []
    for line in found.lines:
        numbers = ((line.mean, line.interval), (line.better, line.better_interval))
        cells = [
            (f"{number(value)} {interval_text(interval)}" if interval else number(value),)
            for value, interval in numbers
        ]
        texts.append([(line.model,), (str(sum(line.runs)),), *cells])
    header = ["Model", "Runs", "Interquartile mean", f"Better than {found.first}"]
    return Table(f"Over {len(found.tasks)} tasks", header, "lrll", texts)


def _early(entries: Sequence[Entry]) -> Iterator[Block]:
    """One line a cell, in its task's first metric; nothing where no run has more than one epoch."""
    first = {entry.task: entry.metric.name for entry in reversed(entries)}
    shown = [entry for entry in entries if entry.early and entry.metric.name == first[entry.task]]
    if not shown:
        return
    texts: list[list[Text]] = [
        [
            _task_text(entry.task),
            (metric_title(entry.metric),),
            _task_text(entry.model),
            early_text(entry),
            (seconds_text(entry.epoch_seconds),),
        ]
        for entry in shown
    ]
    clock = "Processor seconds" if shown[0].device == "cpu" else "Seconds"
    header = ["Task", "Metric", "Model", "After epoch 1", f"{clock} per epoch"]
    yield Table("To check a rerun early", header, "lllrr", texts)


def _task_text(label: str) -> Text:
    """A label, to be broken between its options."""
    return tuple(label.split(", "))
