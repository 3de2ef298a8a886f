"""The reproduction ledger as a table: for people (Markdown, LaTeX) and for programs (CSV, JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from ... import atomic
from ...analysis.cell_scores import LAST
from ...analysis.grid import Entry
from ...analysis.ledger import Line, doubts, metric_of, of_results, summary
from ...analysis.published import Number
from ...analysis.samples import FEWEST
from .cells import NOTHING, WITHOUT, Text, footnotes, marks, metric_title, scores_text, share_text, summary_text
from .ledger_records import long_form, mean_of, mean_of_best, scores_of
from .writers import Block, Table, latex, markdown

RULES = (
    "A published number is one run of somebody else's. It is held against the interval in which one more run like ours "
    "would fall (95 %: mean plus or minus t times s times sqrt(1 + 1/n), and half of the number's last digit). At the "
    "floor: neither the number nor our mean is better than the floor by the smallest effect of interest, which says "
    "nothing of the architecture. Better, worse: the number lies outside of the interval by more than the smallest "
    "effect. Reproduced: it does not, and half of the interval is below the margin. Inconclusive: our runs are too few "
    "or too far apart to tell. Not judged: fewer than three runs, a run that diverged, rows that are dirty, stale, "
    "failed, of no commit or edited, another preset than published, or a count of parameters that differs by more than "
    "a tenth from that of the published settings. Where a task is solved or not, runs are compared with a published "
    "run that did the same. The smallest effect and the margin of each number stand with reasons in published.yaml. "
    "Ours: mean [95 % interval of the mean], number of runs; of a task that is solved or not first how many solved it "
    "[95 % interval of their share], then the mean of the runs that are compared. "
    "Means and intervals, those that verdicts stand on too, are of errors on the log scale, else as the scores are."
)
"""What the words of the table mean."""
BEST_TITLE, SIZE_TITLE = "Best on validation", "Parameters (published)"
CONTEXT = "For context: other numbers on these tasks, of other settings and sizes, which get no verdict"
"""The title of the table of those."""


PICTURE = "![Each published number with our runs beside it, on the scale of its margin, and the verdict](ledger.png)"
"""The figure, `report.figures.ledger_figure`, which lies beside the page."""


def ledger(lines: Sequence[Line], format: str = "md") -> str:
    """The lines as a text that ends with a newline, in md, latex, csv or json.

    md and latex say the same word by word; csv and json hold one record a line, with all that is known of it.
    """
    match format:
        case "md":
            return markdown(blocks(lines))
        case "latex":
            return latex(blocks(lines))
        case "csv":
            return long_form(lines).to_csv(index=False, lineterminator="\n")
        case "json":
            frame = long_form(lines)
            records = frame.astype(object).where(frame.notna(), None).to_dict("records")
            return json.dumps(records, indent=1, ensure_ascii=False) + "\n"
        case _:
            raise ValueError(f"format {format}: md, latex, csv or json is needed")


def write_ledger(path: Path, device: str | None = None) -> Path | None:
    """Writes the ledger of the published rows in the folder of `path` (`results/ledger.md`) as Markdown.

    Gives the path; None, and nothing is written, where that folder holds none of the experiments that the ledger
    judges. device: cpu or cuda; None for a line of each class that there are rows of.
    """
    lines = of_results(path.parent, device)
    if all(line.folder is None for line in lines):
        return None
    atomic.write(path, ledger_page(lines))
    return path


def ledger_page(lines: Sequence[Line]) -> str:
    """What `results/ledger.md` holds: the ledger in Markdown, with its figure beneath the first paragraph."""
    first, *others = blocks(lines)
    return f"{markdown([first])}\n{PICTURE}\n\n{markdown(others)}"


def blocks(lines: Sequence[Line]) -> list[Block]:
    """The ledger as paragraphs and tables: the verdicts first, then the numbers for context."""
    judged = [line for line in lines if line.number.judged]
    context = [line for line in lines if not line.number.judged]
    found: list[Block] = []
    if judged:
        sources = dict.fromkeys(line.number.cited for line in judged)
        found += [f"{'; '.join(sources)}. {summary(judged)}", RULES, *doubts(judged)]
        found += [*_verdicts(judged), *_rules_compared(judged)]
        found += footnotes([line.entry for line in judged if line.entry is not None])
        notes = dict.fromkeys((line.number.task, line.number.row_note) for line in judged if line.number.row_note)
        found += [f"{task}: {note}" for task, note in notes]
    if context:
        found.append(_context(context))
    return found


def ours(line: Line) -> Text:
    """What our runs give: how many solved the task, their mean with its interval, and the sample."""
    entry = line.entry
    if entry is None or entry.missing == entry.expected:
        return NOTHING
    parts = []
    if line.solving is not None and line.solving.finished:
        share = line.solving.solved_share
        parts.append(f"{line.solved}/{line.solving.finished} solved" + (f" {share_text(share)}" if share else ""))
    scores, found = scores_of(line), mean_of(line)
    if found is not None:
        few = len(scores) < FEWEST
        text = scores_text(scores, entry.metric) if few else summary_text(found, entry.metric)
        parts.append(f"{text} (no interval)" if few else text)
    parts.append(_sample(entry))
    counts = {word: getattr(entry, word) for word in WITHOUT} | {"unpublished": line.unpublished}
    parts += [f"{count} {word}" for word, count in counts.items() if count]
    parts[-1] += marks(entry)
    return tuple(parts)


def _best(line: Line) -> Text:
    found = mean_of_best(line)
    return NOTHING if found is None or line.entry is None else (summary_text(found, line.entry.metric),)


def _sample(entry: Entry) -> str:
    return f"n={entry.done}" if entry.done == entry.expected else f"n={entry.done} of {entry.expected}"


def _verdicts(lines: Sequence[Line]) -> Iterator[Table]:
    """A table for each family of tasks, narrow enough for a page of a browser; one line for each number and cell."""
    several = {line.number for line in lines if sum(other.number is line.number for other in lines) > 1}
    families: dict[str, list[Line]] = {}
    for line in lines:
        families.setdefault(line.number.family, []).append(line)
    for family, members in families.items():
        late = any(line.entry is not None and line.entry.rule == LAST for line in members)
        header = ["Task", "Model", "Published", "Ours", *([BEST_TITLE] if late else []), SIZE_TITLE, "Verdict", "Why"]
        texts = [_verdict(line, line.number in several, late) for line in members]
        yield Table(family, header, "llrl" + "l" * late + "rll", texts, wide=True)


def _verdict(line: Line, several: bool, late: bool) -> list[Text]:
    """The line of a number and a cell. several: whether the number has others, so that the cell is named."""
    entry, published = line.entry, line.number
    name = published.name
    if several and entry is not None:  # which cell, on which device
        name = f"{name}: {entry.model}" + (f" on {entry.device}" if entry.device else "")
        name += f", {line.folder}" if line.variant else ""
    return [
        (*_clauses(published.task), *_metric(published)),
        _clauses(name),
        (published.printed,),
        ours(line),
        *([_best(line)] if late else []),
        _parameters(line),
        (line.judgement.verdict.value,),
        _clauses(line.judgement.reason),
    ]


def _rules_compared(lines: Sequence[Line]) -> list[str]:
    """Which test value of a run is compared, by task."""
    tasks: dict[str, dict[str, None]] = {}
    for line in lines:
        if line.entry is not None:
            tasks.setdefault(line.entry.rule, {})[line.number.task] = None
    texts = [f"{rule} ({', '.join(named)})" for rule, named in tasks.items()]
    beside = ", and beside it the score of the same runs at their best epoch on validation" if LAST in tasks else ""
    return [f"The test score of a run: {'; '.join(texts)}{beside}."] if texts else []


def _clauses(text: str) -> Text:
    """A text, to be broken after its commas where it is too wide."""
    return tuple(text.split(", ")) if text else NOTHING


def _metric(published: Number) -> Text:
    metric = metric_of(published)
    if metric is not None:
        return (metric_title(metric),)
    return (f"{published.metric} {'↓' if published.direction == 'lower' else '↑'}",)


def _parameters(line: Line) -> Text:
    """Ours, and the published ones as counted, else as printed."""
    published = f"{line.number.parameters}" if line.number.parameters is not None else line.number.size
    mine = NOTHING[0] if line.entry is None or line.entry.parameters is None else f"{line.entry.parameters}"
    return (f"{mine} ({published})",) if published else (mine,)


def _context(lines: Sequence[Line]) -> Table:
    """The numbers that get no verdict."""
    texts: list[list[Text]] = [
        [
            (*_clauses(line.number.task), *_metric(line.number)),
            (line.number.name,),
            (line.number.printed,),
            (line.number.size,) if line.number.size else NOTHING,
            ours(line),
            (*_clauses(line.number.cited), *(_clauses(line.judgement.reason) if line.judgement.reason else ())),
        ]
        for line in lines
    ]
    header = ["Task", "Model", "Published", "Size", "Ours", "Source and note"]
    return Table(CONTEXT, header, "llrlll", texts, wide=True)
