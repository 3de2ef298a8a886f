"""The experiment's grid filled from its rows: one Entry for each cell and metric, whatever is missing included."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from ...tasks.base import Metric, Task
from ..engine.evaluation import trained
from ..errors import UsageError
from ..experiments import registry
from ..experiments.config import Cell, Experiment, Preset
from ..experiments.describing import cost_of
from ..experiments.runs import Run
from ..rows.comparing import flaw
from ..rows.newest import by_place, latest
from ..rows.renewals import staleness
from ..rows.store import FINISHED, Row
from .cell_scores import BEST, LAST, counted, of_sets
from .remarks import remarks
from .samples import FEWEST, Summary, summary, summary_of_solved
from .statistics import Interval, wilson


@dataclass(frozen=True)
class Entry:
    """One metric of one cell.

    values: seed -> test score, of the runs that are done. diverged counts runs whose loss or score is not finite;
    failed those that ended in an error; missing those without a row; edited those whose row has not the sum that it was
    written with, or not the id of its configuration: nothing of such a row counts. So these five make up `expected`,
    the runs that the experiment asks for.
    dirty: rows made with uncommitted changes; stale: rows that are not current; changed: the files that
    make them so. not_causal: rows of a model that sees later inputs, though the task asks that it does not.
    assumed: settings that the source of the cell does not give. seconds: training and evaluation, median of runs;
    processor_seconds: what of it the processor worked, which other work on the machine does not lengthen.
    state_size, macs_per_step: what the network costs at each step (`describing.Cost`), of cells that have a row.
    yardsticks: scores of simple answers in this metric, by name, as the rows have them.
    steps: seed -> training steps to solve the task, of the runs that did. lengths: length -> seed -> test score at that
    length (NaN: not finite), of the runs that were tested at others than they were trained at. early: seed -> test
    score after the first of several epochs, of the runs that are done. epoch_seconds: for an epoch with its evaluation,
    of the processor on a CPU and of the clock on a GPU, median of runs. by_instructions: set of vector instructions ->
    seed -> score, of all rows that count; `values` has one of these of each seed. best_values: seed -> test score at
    the best epoch on validation, whatever the rule is. remarks: what a table of these rows has to say of them, one line
    each. decides: what the experiment concludes from which outcome. reference: the model of the same
    task that planned contrasts compare this one with; None without one. note: what the experiment says of this row's
    data and training. test_answers: of how many answers a share is the mean, see `Task.test_answers`. trials: from how
    many its settings were chosen; None where they were not searched for.
    """

    task: str
    metric: Metric
    model: str
    model_name: str
    preset: Preset
    rule: str
    device: str | None
    values: Mapping[int, float]
    seeds: tuple[int, ...]
    diverged: int
    failed: int
    missing: int
    dirty: int
    stale: int
    parameters: int | None
    budget: int | None
    assumed: tuple[str, ...]
    seconds: float | None
    processor_seconds: float | None
    commits: tuple[str, ...]
    yardsticks: Mapping[str, float]
    steps: Mapping[int, int] = field(default_factory=dict)
    lengths: Mapping[int, Mapping[int, float]] = field(default_factory=dict)
    early: Mapping[int, float] = field(default_factory=dict)
    epoch_seconds: float | None = None
    edited: int = 0
    not_causal: int = 0
    changed: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    decides: str = ""
    reference: str | None = None
    state_size: int | str | None = None
    macs_per_step: int | str | None = None
    note: str = ""
    by_instructions: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    best_values: Mapping[int, float] = field(default_factory=dict)
    trials: int | None = None
    test_answers: int | None = None

    @property
    def floor(self) -> float:
        """The score of the best answer that ignores the input: the task's own word, else the rows' first yardstick."""
        if math.isfinite(self.metric.floor):
            return self.metric.floor
        return next(iter(self.yardsticks.values()), math.nan)

    @property
    def expected(self) -> int:
        """The number of runs that the experiment asks for."""
        return len(self.seeds)

    @property
    def done(self) -> int:
        """The number of runs with a score."""
        return len(self.values)

    @property
    def solved(self) -> int | None:
        """The number of runs that solve the task; None where the metric has no such threshold."""
        if self.metric.solved_at is None:
            return None
        return sum(self.metric.solved(value) for value in self.values.values())

    @property
    def finished(self) -> int:
        """The number of runs with a result: a run that diverged is a run that did not solve the task."""
        return self.done + self.diverged

    @property
    def solved_share(self) -> Interval | None:
        """The interval of the share of runs that solve the task, in 0 … 1; None below three runs."""
        return None if self.solved is None or self.finished < FEWEST else wilson(self.solved, self.finished)

    @property
    def summary(self) -> Summary | None:
        """Mean and interval of all scores, by the rule of `samples`; None where there is no score."""
        return summary(self.metric, list(self.values.values()))

    @property
    def early_summary(self) -> Summary | None:
        """The same of the scores after the first of several epochs."""
        return summary(self.metric, list(self.early.values()))

    @property
    def summary_of_solved(self) -> Summary | None:
        """Mean and interval of the scores of the runs that solve the task; None where there are none."""
        return summary_of_solved(self.metric, list(self.values.values()))

    @property
    def steps_to_solve(self) -> float | None:
        """The median of the steps after which the runs that solve the task first did, None where none does.

        Runs are evaluated after each epoch, so they may have solved it up to an epoch before.
        """
        return median(self.steps.values()) if self.steps else None


def collect(experiment: Experiment, rows: Iterable[Row], device: str | None = None) -> list[Entry]:
    """An Entry for each cell of the experiment and each metric of its task, in the order of the YAML.

    device: cpu or cuda; None takes the one that the rows come from. Raises UsageError where they come from both.
    """
    rows = list(rows)
    rows_by_id, device = of_device(experiment, rows, device)
    edited = edited_of(rows_by_id, experiment.folder)
    sound = {run_id: row for run_id, row in rows_by_id.items() if run_id not in edited}
    tasks: dict[str, Task] = {}
    entries: list[Entry] = []
    sets = _by_instructions(experiment, rows, sound, device)
    said = remarks(experiment, rows, sound)
    labels = _labels(experiment.cells)
    label_of = {cell.runs[0].id: label for cell, label in zip(experiment.cells, labels, strict=True)}
    for cell, label in zip(experiment.cells, labels, strict=True):
        if cell.task not in tasks:
            tasks[cell.task] = cell.runs[0].make_task()
        common = _common(cell, experiment.preset, sound) | {"model": label, "device": device, "remarks": said}
        if common["parameters"] is not None:
            common |= cost_of(cell.runs[0], tasks[cell.task])._asdict()
        reference = label_of.get(cell.reference.id) if cell.reference is not None else None
        common |= {"decides": experiment.decides, "reference": reference, "note": cell.note}
        common |= {"trials": None if cell.plan is None or cell.trial is None else len(cell.plan.trials)}
        common |= {"edited": sum(run.id in edited for run in cell.runs), "test_answers": tasks[cell.task].test_answers}
        entries.extend(
            Entry(
                metric=metric,
                **common,
                **counted(cell, metric, common["rule"], sound, edited),
                by_instructions=of_sets(cell, metric, common["rule"], sets),
            )
            for metric in tasks[cell.task].metrics
        )
    return entries


def of_device(
    experiment: Experiment, rows: Iterable[Row], device: str | None = None
) -> tuple[dict[str, Row], str | None]:
    """The newest row of each of the experiment's runs by run id, all of one device class, and that class.

    Raises UsageError where device is None and rows of several classes are there: their numbers are not one sample.
    """
    ids = {run.id for run in experiment.runs}
    newest = {place: row for place, row in latest(rows).items() if place[0] in ids}
    present = sorted({device_class for _, device_class in newest})
    if device is None and len(present) > 1:
        raise UsageError(f"{experiment.name}: rows of {' and '.join(present)} are there: choose one with --device")
    chosen = device or (present[0] if present else None)
    return {run_id: row for (run_id, device_class), row in newest.items() if device_class == chosen}, chosen


def _by_instructions(
    experiment: Experiment, rows: Iterable[Row], shown: Mapping[str, Row], device: str | None
) -> dict[str, dict[str, Row]]:
    """Set of vector instructions -> run id -> its newest row, of all results that count, the shown ones among them.

    A row beside the shown one is clean, and current where that is current: else more than the set would differ.
    """
    runs = {run.id: run for run in experiment.runs}
    found: dict[str, dict[str, Row]] = {}
    for place, row in by_place(rows).items():
        if not place.instructions or place.device != device or place.id not in shown or row["status"] not in FINISHED:
            continue
        if row is not shown[place.id]:
            old = [staleness(one, runs[place.id]) is None for one in (row, shown[place.id])]
            if row["provenance"]["dirty"] or old[0] != old[1] or flaw(row, experiment.folder):
                continue
        found.setdefault(place.instructions, {})[place.id] = row
    return found


def edited_of(rows: Mapping[str, Row], folder: Path) -> frozenset[str]:
    """The run ids of those rows whose content has not the sum that they were written with, or means another run.

    folder: of the experiment.
    """
    return frozenset(run_id for run_id, row in rows.items() if flaw(row, folder))


def floor_of(entries: Iterable[Entry]) -> float:
    """The floor of a task's metric, from whichever of its entries knows it; NaN where none does."""
    return next((entry.floor for entry in entries if math.isfinite(entry.floor)), math.nan)


def columns(entries: Sequence[Entry]) -> dict[tuple[str, str], str]:
    """(task, model) -> the model's column: its plain name where no task has two models of that name, else its label.

    Of a label whose options all models of that name have, only the name is left, and what stands behind the options.
    """
    cells = dict.fromkeys((entry.task, entry.model, entry.model_name) for entry in entries)
    several = {name for (_, name), count in Counter((task, name) for task, _, name in cells).items() if count > 1}
    options: dict[str, set[str]] = {}
    for _, model, name in cells:
        options.setdefault(name, set()).add(model.partition("), ")[0])
    found = {}
    for task, model, name in cells:
        found[task, model] = name
        if name in several:
            behind = model.partition("), ")[2]
            found[task, model] = f"{name}, {behind}" if len(options[name]) == 1 else model
    return found


def rule_of(run: Run, preset: Preset) -> str:
    """Which test value is the number: the protocol's decision for a preset."""
    return LAST if preset == "published" and not run.task_class.published_validation else BEST


def _labels(cells: Sequence[Cell]) -> list[str]:
    """The cells' labels; cells of one task that differ only in settings without a label are numbered."""
    seen: Counter[tuple[str, str]] = Counter()
    labels = []
    for cell in cells:
        seen[cell.task, cell.model] += 1
        number = seen[cell.task, cell.model]
        labels.append(cell.model if number == 1 else f"{cell.model} #{number}")
    return labels


def _common(cell: Cell, preset: Preset, rows: Mapping[str, Row]) -> dict[str, Any]:
    """What the entries of a cell share."""
    present = [(run, rows[run.id]) for run in cell.runs if run.id in rows]
    origins = [row["provenance"] for _, row in present]
    old = [one for run, row in present if (one := staleness(row, run)) is not None]
    sizes = [row["parameters"] for _, row in present if "parameters" in row]
    done = [row for _, row in present if row["status"] == "done"]
    times = [row["seconds"] for row in done]
    epochs = [seconds_worked(row) / count for row in done if (count := len(trained(row.get("curve") or [])))]
    return {
        "task": cell.task,
        "model_name": registry.short(cell.runs[0].model.name),
        "preset": preset,
        "rule": rule_of(cell.runs[0], preset),
        "seeds": tuple(run.seed for run in cell.runs),
        "dirty": sum(bool(origin["dirty"]) for origin in origins),
        "stale": len(old),
        "not_causal": sum(row.get("causal") is False for _, row in present),
        "changed": tuple(sorted({name for one in old for name in one.changed})),
        "parameters": sizes[-1] if sizes else None,
        "budget": cell.budget,
        "assumed": cell.assumed,
        "seconds": median(time["training"] + time["evaluation"] for time in times) if times else None,
        "processor_seconds": median(time["cpu"] for time in times) if times else None,
        "epoch_seconds": median(epochs) if epochs else None,
        "commits": tuple(sorted({origin["commit"] for origin in origins if origin["commit"]})),
    }


def seconds_worked(row: Row) -> float:
    """Seconds that a run worked: of the processor on a CPU, else of the clock, as the processor waits for the card."""
    seconds: dict[str, float] = row["seconds"]
    return seconds["cpu"] if row["device"] == "cpu" else seconds["training"] + seconds["evaluation"]
