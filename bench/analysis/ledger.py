"""The reproduction ledger: every published number with our rows beside it, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ...tasks.base import Metric
from ..errors import UsageError
from ..experiments import config
from ..experiments.config import Cell, Experiment
from ..experiments.networks import on_paper
from ..experiments.notation import Spec, parse
from ..experiments.places import experiment_folder
from ..experiments.registry import short
from ..experiments.runs import label, make_task
from ..rows.commits import of_no_commit
from ..rows.comparing import flaw
from ..rows.newest import latest
from ..rows.store import Row, Workplace
from .grid import Entry, collect
from .one_more_run import any_false
from .published import Number, read
from .verdicts import BEST_OF, Judgement, Verdict, judge, same_size


@dataclass(frozen=True)
class Line:
    """A published number beside one of our cells, or beside none.

    folder: the experiment that the cell is of, by its name. entry: the cell in the number's metric, None where there
    is no such cell. solving: the same cell in the metric that says whether the task is solved. unpublished: how many
    of its rows are not published yet. variant: whether the cell is of a variant of the number's own experiment.
    """

    number: Number
    folder: str | None
    entry: Entry | None
    solving: Entry | None
    unpublished: int
    judgement: Judgement
    variant: bool = False

    @property
    def device(self) -> str | None:
        """The class of device that our rows are of; None without rows."""
        return None if self.entry is None else self.entry.device

    @property
    def solved(self) -> int | None:
        """How many of our runs solve the task; None where the task is not of that kind, or there is no cell."""
        return None if self.solving is None else self.solving.solved


@dataclass(frozen=True)
class _Found:
    """An experiment with its rows; `unpublished` holds the Python ids of those that are not published."""

    experiment: Experiment
    rows: tuple[Row, ...]
    unpublished: frozenset[int]


def lines(
    folders: Sequence[Path] | None = None,
    source: str = "all",
    device: str | None = None,
    numbers: Iterable[Number] | None = None,
) -> list[Line]:
    """A line for each number, in the order of the data file, and where several cells fit it, for each of them.

    folders: the experiments that are looked at, and then only the numbers of their tasks; None for those that the data
    file names, and then all numbers. source: published, working, or all rows. device: cpu or cuda; None for a line of
    each class that there are rows of: their numbers are not one sample. numbers: others than the data file's.
    Raises UsageError where no number is of a task of the folders.
    """
    numbers = [*(read() if numbers is None else numbers)]
    if folders is None:
        own = dict.fromkeys(name for number in numbers for name in number.experiments)
        by_name = {name: _found(folder, source) for name in own if (folder := _folder(name)) is not None}
        return [*_lines(numbers, by_name, device)]
    found = [_found(folder, source) for folder in folders]
    tasks = {cell.task for one in found for cell in one.experiment.cells}
    numbers = [number for number in numbers if canonical(number.task) in tasks]
    if not numbers:
        named = ", ".join(map(str, folders))
        raise UsageError(f"{named}: no published number is of these tasks; seqbench table --ledger shows them all")
    return [line for number in numbers for line in _of_number(number, found, device)]


def of_results(results: Path, device: str | None = None) -> list[Line]:
    """All numbers beside the published rows of the experiments in one folder, such as `results`."""
    numbers = [*read()]
    own = dict.fromkeys(name for number in numbers for name in number.experiments)
    folders = {name: results / Path(name).name for name in own}
    found = {
        name: _found(folder, "published") for name, folder in folders.items() if (folder / "experiment.yaml").is_file()
    }
    return [*_lines(numbers, found, device)]


@lru_cache
def canonical(text: str) -> str:
    """A task as tables name it: its variant, and the options that are not at their defaults.

    >>> canonical("adding"), canonical("adding(train=50000, length=200)")
    ('adding(length=600)', 'adding(length=200)')
    """
    spec = parse(text)
    task = make_task(spec)
    return label(Spec(spec.name, task.options()), type(task), task.variant)


def printed_scores(experiment: Experiment) -> dict[tuple[str, str], float]:
    """(task, model) -> the number that a paper prints for it and that is judged, in the task's first metric.

    Only what compares: none for an experiment of another preset than published, or a model of another size.
    """
    if experiment.preset != "published":
        return {}
    numbers = {(canonical(number.task), number.metric, number.model): number for number in read() if number.judged}
    found: dict[tuple[str, str], float] = {}
    for cell in experiment.cells:
        run = cell.runs[0]
        task = run.make_task()
        number = numbers.get((cell.task, task.metrics[0].name, short(run.model.name)))
        if number is None:
            continue
        network = on_paper(task, run.model_class, run.model.options, run.head, run.embedding)
        if same_size(number.parameters, network.parameter_count):
            found[cell.task, cell.model] = number.score
    return found


def smallest_effects(experiment: Experiment) -> dict[str, float]:
    """Task -> the smallest effect of interest in its first metric, where its published numbers have one; else nothing.

    None for an experiment of another preset than published: no number is compared with it.
    """
    if experiment.preset != "published":
        return {}
    firsts = {cell.task: cell.runs[0].make_task().metrics[0].name for cell in experiment.cells}
    sizes: dict[str, set[float]] = {}
    for number in read():
        task = canonical(number.task)
        if number.judged and firsts.get(task) == number.metric:
            sizes.setdefault(task, set()).add(number.smallest_effect)
    return {task: size for task, (size, *others) in sizes.items() if not others}


def metric_of(number: Number) -> Metric | None:
    """The metric of our task that a number is in; None where the task has no such metric."""
    return next((metric for metric in make_task(parse(number.task)).metrics if metric.name == number.metric), None)


def summary(found: Sequence[Line]) -> str:
    """The verdicts counted, in one sentence."""
    judged = [line for line in found if line.number.judged and not line.variant]
    words = [verdict for verdict in Verdict if verdict != Verdict.CONTEXT]
    distinct = len({id(line.number) for line in judged})
    many = f"{distinct} published number{'' if distinct == 1 else 's'}"
    if len(judged) != distinct:
        many = f"{len(judged)} lines on {many}"
    found_of = Counter(line.judgement.verdict for line in judged)
    text = f"{many}: {', '.join(f'{found_of[word]} {word}' for word in words)}."
    of_variants = Counter(line.judgement.verdict for line in found if line.variant)
    if of_variants:
        listed = ", ".join(f"{of_variants[word]} {word}" for word in words if of_variants[word])
        text += f" Beside them {of_variants.total()} of other settings or sizes: {listed}."
    return text


def doubts(found: Sequence[Line]) -> list[str]:
    """How far the verdicts by an interval can be believed, together: the family error, and if numbers are the best of
    several runs. Nothing where no interval made a verdict.
    """
    judged = [line for line in found if line.number.judged and not line.variant and line.judgement.if_best is not None]
    if not judged:
        return []
    count = len(judged)
    one = f"{count} number{'' if count == 1 else 's'} {'is' if count == 1 else 'are'} judged by an interval of 95 %"
    family = (
        f"{one}. Were each published run one like ours, {100 * any_false(count):.0f} of 100 such ledgers would have a "
        "number outside of its interval by luck. A verdict of better or worse takes the smallest effect more, so fewer "
        "have a false one."
    )
    changed = [
        f"{line.number.task} {line.number.name} from {line.judgement.verdict} to {line.judgement.if_best}"
        for line in judged
        if line.judgement.if_best != line.judgement.verdict
    ]
    best = (
        f"If each published number is the best of {BEST_OF} runs and not one run, these verdicts change: "
        f"{'; '.join(changed) or 'none'}."
    )
    return [family, best]


def _lines(numbers: Sequence[Number], found: dict[str, _Found], device: str | None) -> Iterator[Line]:
    """Numbers that are judged beside their own experiment, then beside variants with rows; the others beside all
    that have rows of them, else on a line of their own."""
    for number in numbers:
        own = [found[number.experiment]] if number.experiment in found else [] if number.judged else [*found.values()]
        lines = [*_of_number(number, own, device)]
        run = [line for line in lines if line.entry is not None and line.entry.missing < line.entry.expected]
        yield from lines if number.judged else run or lines[:1]
        for name in number.variants:
            for line in _of_number(number, [found[name]] if name in found else [], device):
                if line.entry is not None and line.entry.missing < line.entry.expected:
                    yield replace(line, variant=True)


def _of_number(number: Number, found: Sequence[_Found], device: str | None) -> Iterator[Line]:
    beside = [
        line
        for one in found
        for cell in one.experiment.cells
        if number.model == short(cell.runs[0].model.name) and cell.task == canonical(number.task)
        for line in _of_cell(number, one, cell, device)
    ]
    yield from beside or [Line(number, None, None, None, 0, judge(number, None))]


def _of_cell(number: Number, found: _Found, cell: Cell, device: str | None) -> Iterator[Line]:
    """A line for each device class that there are rows of; one without rows where there are none."""
    ids = {run.id for run in cell.runs}
    newest = {place: row for place, row in latest(found.rows).items() if place[0] in ids}
    devices: Sequence[str | None] = [device] if device else sorted({place[1] for place in newest}) or [None]
    for one in devices:
        rows = [row for place, row in newest.items() if place[1] == one]
        every = [row for row in found.rows if row["id"] in ids and row["device"] == one]  # of other instructions too
        entries = collect(replace(found.experiment, cells=(cell,)), every, one)
        entry = next((entry for entry in entries if entry.metric.name == number.metric), None)
        solving = next((entry for entry in entries if entry.metric.solved_at is not None), None)
        sound = (row for row in rows if flaw(row, found.experiment.folder) is None)
        flaws = {"of no commit": sum(of_no_commit(row["provenance"]) for row in sound)}
        unpublished = sum(id(row) in found.unpublished for row in rows)
        judgement = judge(number, entry, solving, flaws)
        yield Line(number, found.experiment.name, entry, solving, unpublished, judgement)


def _found(folder: Path, source: str) -> _Found:
    experiment = config.load(folder)
    place = Workplace(experiment.folder)
    published = [*place.rows("published")] if source != "working" else []
    working = [*place.rows("working")] if source != "published" else []
    return _Found(experiment, (*published, *working), frozenset(map(id, working)))


def _folder(name: str) -> Path | None:
    """The folder of an experiment that the data file names; None where it is neither here nor in the package."""
    try:
        return experiment_folder(name)
    except UsageError:
        return None
