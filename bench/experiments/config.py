"""From an experiment's YAML to its Runs: unknown keys refused, lists expanded into axes, widths found.

An experiment is a folder with an `experiment.yaml`:

    question: Which architecture remembers?     # what the experiment asks, printed above its table
    preset: suite                               # suite | published: which test value is the number
    decides: If the TCN leads, X; else Y.       # what is concluded from which outcome, printed beneath the question
    reference: lstm                             # the model of each row that planned contrasts compare the others with
    seeds: 2                                    # a count, or a list of seeds
    instructions: [avx2, avx512]                # sets of vector instructions, each run with each; else avx2 alone
    precision: float32                          # or, on a GPU only, tf32 or bfloat16 (mixed precision)
    training: {optimizer: adam}                 # settings for all rows; a row's and a model's own go before them
    rows:
    - task: copy-memory(delay=20)               # a list of tasks is an axis
      parameters: 6000                          # the budget that widths are fitted to
      tolerance: 0.025                          # how far a count may lie from it (default 0.01)
      head: linear(std=0.01)                    # the read-out, else the task's
      reference: tcn                            # goes before the experiment's
      note: No clipping, as in the code.        # what a reader must know of this row, printed beneath the table
      training: {epochs: 2, learning_rate: 2.0e-3}      # a list of values is an axis
      models:
      - tcn(kernel=8, levels=4)
      - {model: lstm, training: {clip: 1.0}, assumed: [clip]}   # settings of one model; which of them are assumed

A row or model of a task that shows symbols may name the `embedding` too, as `embedding(width=100, dropout=0.1)`.
A `tune:` block lets `seqbench tune` search for settings first (`tuning_block` explains it). Its winners stand in
`tuned.yaml` beside the file, and each run has the settings of its model's winner.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ...tasks.base import Task
from ..errors import UsageError, nearest
from . import axes, networks, registry, tuned, tuning_block
from .grid_cells import Cell as Cell
from .grid_cells import referring, told_apart
from .kept_sizes import KEPT
from .marked_yaml import CUT, Marked, Path_
from .notation import Spec, parse
from .options import Option, coerce, options_of
from .runs import PRECISIONS, Run, make_task
from .settings import Training, check_until_solved
from .space import Dimension
from .trials import Tuning, study_of

Preset = Literal["suite", "published"]
SETS = ("avx2", "avx512", "default")
"""Sets of vector instructions that a run can be asked for with; `default` is torch's name for plain code."""

EXPERIMENT_KEYS = {
    "question": Option("question", str, "", True),
    "decides": Option("decides", str, "", False),
    "reference": Option("reference", str | None, None, False),
    "preset": Option("preset", Preset, "suite", False),
    "seeds": Option("seeds", int | list[int], 1, False),
    "precision": Option("precision", Literal[PRECISIONS], "float32", False),
    "instructions": Option("instructions", list[str], [], False),
    "tune": Option("tune", dict | None, None, False),
    "training": Option("training", dict, {}, False),
    "models": Option("models", list[Any], [], False),
    "rows": Option("rows", list[Any], [], True),
}
ROW_KEYS = {
    "task": Option("task", str | list[str], None, True),
    "parameters": Option("parameters", int | None, None, False),
    "tolerance": Option("tolerance", float, 0.01, False),
    "head": Option("head", str | None, None, False),
    "embedding": Option("embedding", str | None, None, False),
    "reference": Option("reference", str | None, None, False),
    "note": Option("note", str, "", False),
    "space": Option("space", dict, {}, False),
    "training": Option("training", dict, {}, False),
    "models": Option("models", list[Any], [], False),
}
MODEL_KEYS = {
    "model": Option("model", str, None, True),
    "parameters": Option("parameters", int | None, None, False),
    "tolerance": Option("tolerance", float | None, None, False),
    "head": Option("head", str | None, None, False),
    "embedding": Option("embedding", str | None, None, False),
    "training": Option("training", dict, {}, False),
    "assumed": Option("assumed", list[str], [], False),
}


@dataclass(frozen=True)
class Experiment:
    """A question, and the grid of cells that answers it. decides: what is concluded from which outcome.

    instructions: the sets of vector instructions that each run is wanted with, in words of `SETS`; empty for one.
    tuning: its `tune:` block. record: the name of the file that has its rows, in the folder and in the working area.
    """

    folder: Path
    question: str
    preset: Preset
    cells: tuple[Cell, ...]
    decides: str = ""
    instructions: tuple[str, ...] = ()
    tuning: Tuning | None = None
    record: str = "runs.jsonl"

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def runs(self) -> list[Run]:
        """All runs, the first seed of every cell before the second of any."""
        by_seed = itertools.zip_longest(*(cell.runs for cell in self.cells))
        return [run for runs in by_seed for run in runs if run is not None]

    @property
    def study(self) -> str:
        """The name of its study (`trials.study_of`)."""
        return study_of([cell.plan for cell in self.cells if cell.plan is not None])

    @property
    def untuned(self) -> frozenset[str]:
        """The ids of the runs whose settings are still to be searched for."""
        waiting = (cell for cell in self.cells if cell.plan is not None and cell.trial is None)
        return frozenset(run.id for cell in waiting for run in cell.runs)


def load(folder: Path, seeds: list[int] | None = None, winners: bool = True) -> Experiment:
    """Reads `folder/experiment.yaml`; `seeds` in place of its own.

    winners: whether runs have the settings that `tuned.yaml` says, where there is one; else those of the file.
    Raises UsageError with file, line and the nearest valid key for whatever is wrong.
    """
    file = folder / "experiment.yaml"
    if not file.is_file():
        raise UsageError(f"{folder}: no experiment.yaml there")
    marked = Marked(file)
    top = _checked(marked, (), marked.content, EXPERIMENT_KEYS)
    chosen = seeds if seeds is not None else _seeds(marked, top["seeds"])
    sets = tuple(top["instructions"])
    if unknown := next((name for name in sets if name not in SETS or sets.count(name) > 1), None):
        raise marked.error(("instructions",), f"instructions: {unknown!r}: each of {', '.join(SETS)} once at most")
    if not top["rows"]:
        raise marked.error(("rows",), "at least one row is needed")
    tuning = tuning_block.tuning_of(marked, top["tune"], chosen)
    cells: list[Cell] = []
    contrasts: list[tuple[Path_, str | None, range]] = []
    seen: dict[str, Path_] = {}
    names: dict[str, str] = {}
    for number, content in enumerate(top["rows"]):
        path: Path_ = ("rows", number)
        row = _checked(marked, path, content, ROW_KEYS)
        own = bool(row["models"])
        models, where = (row["models"], (*path, "models")) if own else (top["models"], ("models",))
        if not models:
            raise marked.error(path, "the row has no models, and the experiment names none for all rows")
        first = len(cells)
        space = tuning_block.space_of(marked, (*path, "space"), row["space"])
        if space and tuning is None:
            raise marked.error((*path, "space"), "space: the experiment has no `tune:` block, so nothing is searched")
        for task in _tasks(marked, folder, (*path, "task"), row["task"]):
            for place, entry in enumerate(models):
                model = _checked(
                    marked, (*where, place), {"model": entry} if isinstance(entry, str) else entry, MODEL_KEYS
                )
                settings = {**top["training"], **row["training"], **model["training"]}
                at = (*where, place) if own else path  # models for all rows: the row says where it went wrong
                try:
                    made = list(_cells(folder, task, row, model, settings, chosen, top["precision"], tuning, space))
                    axes.check_count(len(seen) + len(made) * len(chosen))
                except UsageError as error:
                    where = tuning_block.place_of(error, path, space, tuning) or at
                    raise marked.error(where, f"{model['model']}: {error}") from error
                for cell in made:
                    _refuse_namesakes(marked, at, cell, names)
                    _refuse_twin(marked, at, cell, seen)
                cells.extend(made)
        named = path if row["reference"] is not None else ()
        wanted = row["reference"] if named else top["reference"]
        contrasts.append(((*named, "reference"), wanted, range(first, len(cells))))
    KEPT.save()
    plans = [cell.plan for cell in cells if cell.plan is not None]
    if tuning is not None and (family := tuning_block.unmet(tuning, plans)) is not None:
        there = {registry.short(plan.base.model.name) for plan in plans}
        raise marked.error(("tune", "additions", family), f"additions: no model {family!r}: {nearest(family, there)}")
    told = list(told_apart(cells))
    if tuning is not None and winners:
        told = tuned.with_winners(folder, told, study_of(plans))
    for path, wanted, places in contrasts:
        if wanted is not None:
            told[places.start : places.stop] = referring(marked, path, wanted, told[places.start : places.stop])
    question, decides = (top[key].strip() for key in ("question", "decides"))
    return Experiment(folder, question, top["preset"], tuple(told), decides, sets, tuning)


def _checked(marked: Marked, path: Path_, content: Any, known: Mapping[str, Option]) -> dict[str, Any]:
    """A mapping with all known keys, its training settings checked too."""
    owner = next((str(part) for part in reversed(path) if isinstance(part, str)), "experiment")
    values = marked.checked(path, content, known, owner)
    if "training" in values:
        _check_training(marked, (*path, "training"), values["training"])
    return values


def _check_training(marked: Marked, path: Path_, settings: Mapping[str, Any]) -> None:
    known = options_of(Training)
    for key, value in settings.items():
        if key not in known:
            raise marked.error((*path, key), f"unknown key {key!r}: {nearest(key, known)}")
        for one in value if axes.is_axis(known[key], value) else [value]:
            try:
                coerce("training", known[key], one)
            except UsageError as error:
                raise marked.error((*path, key), str(error)) from error


def _seeds(marked: Marked, seeds: int | list[int]) -> list[int]:
    chosen = range(seeds) if isinstance(seeds, int) else seeds
    if len(chosen) > axes.MOST_RUNS:
        raise marked.error(("seeds",), f"{len(chosen):,} seeds; an experiment has at most {axes.MOST_RUNS:,} runs")
    chosen = list(chosen)
    if not chosen or len(set(chosen)) != len(chosen) or min(chosen) < 0:
        raise marked.error(("seeds",), "a positive count, or a list of distinct seeds from 0 up, is needed")
    return chosen


def _tasks(marked: Marked, folder: Path, path: Path_, texts: str | list[str]) -> list[Spec]:
    """The tasks of a row, complete with all options."""
    specs = []
    for place, text in enumerate([texts] if isinstance(texts, str) else texts):
        try:
            spec = _parse(text, folder)
            for one in axes.specs(registry.find("task", spec.name, folder), spec):
                specs.append(Spec(one.name, make_task(one, folder).options()))
        except UsageError as error:
            raise marked.error((*path, place), str(error)) from error
    return specs


def _cells(
    folder: Path,
    task_spec: Spec,
    row: Mapping[str, Any],
    model: Mapping[str, Any],
    settings: Any,
    seeds: list[int],
    precision: str,
    tuning: Tuning | None,
    space: Mapping[str, Dimension],
) -> Iterator[Cell]:
    task = make_task(task_spec, folder)
    head = networks.head_for(task, row["head"] if model["head"] is None else model["head"])
    embedding = networks.embedding_for(task, row["embedding"] if model["embedding"] is None else model["embedding"])
    budget = row["parameters"] if model["parameters"] is None else model["parameters"]
    tolerance = row["tolerance"] if model["tolerance"] is None else model["tolerance"]
    spec = _parse(model["model"], folder)
    model_class = registry.find("model", spec.name, folder)
    can_be_assumed = {*options_of(Training), *options_of(model_class), "head", "embedding"}
    for name in model["assumed"]:
        if name not in can_be_assumed:
            raise UsageError(f"assumed: there is no setting {name!r}: {nearest(name, can_be_assumed)}")
    for one in axes.specs(model_class, spec):
        complete_model = KEPT.sized(task, task_spec, one, budget, tolerance, head, embedding, folder)
        for training, suffix in axes.trainings(settings):
            _check_lengths(task, training)
            check_until_solved(training, task.metrics)
            runs = tuple(
                Run(task_spec, complete_model, training, head, embedding, seed, precision, folder) for seed in seeds
            )
            label = ", ".join([runs[0].model_label, *suffix])
            note = " ".join(row["note"].split())
            plan = None
            if tuning is not None:
                first = replace(runs[0], seed=tuning.seeds[0])
                plan = tuning_block.plan_of(tuning, space, first, one, budget, tolerance, settings)
            yield Cell(runs[0].task_label, label, runs, budget, tuple(model["assumed"]), note=note, plan=plan)


def _check_lengths(task: Task, training: Training) -> None:
    for length in training.test_lengths:
        try:
            task.at_length(length)
        except ValueError as error:
            raise UsageError(f"test_lengths: {error}") from error


def _parse(text: str, folder: Path) -> Spec:
    """A spec; the path of a file within the experiment's folder as seen from there."""
    if text.count("(") != text.count(")"):
        raise UsageError(f"cannot read {text!r}: {CUT}")
    spec = parse(text)
    return Spec(registry.within(spec.name, folder), spec.options)


def _refuse_namesakes(marked: Marked, at: Path_, cell: Cell, names: dict[str, str]) -> None:
    for name in (cell.runs[0].task.name, cell.runs[0].model.name):
        short = registry.short(name)
        if names.setdefault(short, name) != name:
            raise marked.error(
                at,
                f"two files are called {short} ({names[short]} and {name}): ids and tables would not tell them apart; "
                "name them by paths within the experiment's folder",
            )


def _refuse_twin(marked: Marked, at: Path_, cell: Cell, seen: dict[str, Path_]) -> None:
    for run in cell.runs:
        if run.id in seen:
            raise marked.error(at, f"the same run as in line {marked.line(seen[run.id])}: {run}")
        seen[run.id] = at
