"""The front door: which model or task a name means, on what it is tried, and all items of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...tasks.base import Pair, Task
from ..errors import UsageError
from ..experiments import networks, registry, sizing
from ..experiments.notation import Spec, parse
from ..experiments.runs import Run, make_task
from . import plain_recurrence
from .items import Item
from .of_models import of_model
from .of_tasks import of_task

PLAIN = f"{plain_recurrence.__name__}:Net"
"""The model by which a task is tried."""
PLAIN_PAIRS = f"{plain_recurrence.__name__}:Pairs"
"""That by which a task is tried that shows a source and asks for a target."""


@dataclass(frozen=True)
class Subject:
    """A model on a task, or a task, and what was found of it."""

    kind: registry.Kind
    name: str
    task: str
    items: list[Item] = field(default_factory=list)

    @property
    def broken(self) -> int:
        """How many items are."""
        return sum(item.verdict == "broken" for item in self.items)

    def as_json(self) -> dict[str, Any]:
        """In plain types."""
        return {"kind": self.kind, "name": self.name, "task": self.task, "items": [asdict(item) for item in self.items]}


def check(text: str, tasks: Sequence[str] = (), speed: bool = True, folder: Path | None = None) -> Iterator[Subject]:
    """What `text` means, a model on each of the tasks or a task, and its items, one subject after the other.

    tasks: in the notation; none: one generated task for each kind of input that the model reads, at a small size.
    Raises UsageError for what is not known, and for a model that cannot be built there.
    """
    spec = parse(text)
    kinds = kinds_of(spec.name, folder)
    if "task" in kinds:
        yield _of_task(Spec(spec.name, spec.options if kinds == ["task"] else {}), folder)
    if "model" in kinds:
        pairs = registry.find("model", spec.name, folder).pairs
        chosen = [_small(parse(task), folder) for task in tasks] or list(_usual(pairs))
        for place, (task_spec, task) in enumerate(chosen):
            run = _run(task_spec, task, Spec(spec.name, spec.options if kinds == ["model"] else {}), folder)
            items = list(of_model(run, task, alone=place == 0, speed=speed and place == 0))
            yield Subject("model", run.model_label, run.task_label, items)


def kinds_of(name: str, folder: Path | None = None) -> list[registry.Kind]:
    """Whether a name means a model, a task, or, of a file that holds both, the two of them.

    Raises UsageError where it means neither.
    """
    kinds: tuple[registry.Kind, ...] = ("model", "task")
    if known := [kind for kind in kinds if name in registry.listing(kind)]:
        return known
    found, errors = [], []
    for kind in kinds:
        try:
            registry.find(kind, name, folder)
        except UsageError as error:
            errors.append(str(error))
        else:
            found.append(kind)
    if not found:
        both = "holds no class" in errors[0] and "holds no class" in errors[1]
        raise UsageError(errors[0] if not both else f"{errors[0]}; nor a task: {errors[1]}")
    return found


def _usual(pairs: bool = False) -> Iterator[tuple[Spec, Task]]:
    """For each kind of input the first generated task that asks causality, else the first.

    pairs: for a model that reads a source and writes a target; else for one of one sequence.
    """
    found: dict[type[Any], tuple[Spec, Task]] = {}
    for name in registry.listing("task"):
        cls = registry.find("task", name)
        if not cls.remotes:
            spec, task = _small(Spec(name, {}), None)
            if isinstance(task.input, Pair) != pairs:
                continue
            if (known := found.get(type(task.input))) is None or (task.asks_causality and not known[1].asks_causality):
                found[type(task.input)] = spec, task
    yield from found.values()


def _small(spec: Spec, folder: Path | None) -> tuple[Spec, Task]:
    """A task as small as its contract tests have it, but for the options that are named."""
    cls = registry.find("task", spec.name, folder)
    task = make_task(Spec(spec.name, {**cls.test_parameters, **spec.options}), folder)
    return Spec(spec.name, task.options()), task


def _run(task_spec: Spec, task: Task, model: Spec, folder: Path | None) -> Run:
    head, embedding = networks.head_for(task, None), networks.embedding_for(task, None)
    cls = registry.find("model", model.name, folder)
    given = {**cls.test_parameters, **model.options} if model.name in registry.listing("model") else model.options
    complete = sizing.sized(task, Spec(model.name, given), None, 0.01, head, embedding, folder)
    return Run(task_spec, complete, head=head, embedding=embedding, folder=folder)


def _of_task(spec: Spec, folder: Path | None) -> Subject:
    task_spec, task = _small(spec, folder)
    plain = PLAIN_PAIRS if isinstance(task.input, Pair) else PLAIN
    run = _run(task_spec, task, Spec(plain, {}), folder)
    return Subject("task", run.task_label, run.task_label, list(of_task(run, task)))
