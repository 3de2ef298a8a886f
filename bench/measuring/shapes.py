"""Which shapes are measured: the rows of the experiments that re-run the paper's table, a run for each model.

Where several experiments have a task (another size, another dropout) it is the one that compares most models on it.
Or every model of the suite, all of one size, at two shapes (`suite`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError, nearest
from ..experiments import config, networks, registry, runs, sizing
from ..experiments.naming import means
from ..experiments.notation import Spec, parse
from ..experiments.places import own_folders
from ..experiments.registry import short
from ..experiments.runs import Run
from ..experiments.settings import Training

PREFIX = "bai2018-"
"""The experiments whose rows are measured."""
LARGEST = 20_000_000
"""Parameters of the largest networks that are measured unasked."""

SUITE = (("copy-memory(delay=764)", 64), ("copy-memory(delay=108)", 32))
"""Task, scored at every step, and batch B at which all models are measured: T = 784, B = 64 and T = 128, B = 32."""
PARAMETERS = 70_000
"""Of these networks."""


@dataclass(frozen=True)
class Case:
    """A run of an experiment, whose training step is measured."""

    run: Run
    folder: Path
    large: bool

    @property
    def task(self) -> str:
        """The task as tables name it."""
        return self.run.task_label

    @property
    def model(self) -> str:
        """The model's short name: an experiment has each once a task."""
        return short(self.run.model.name)


def cases(tasks: Sequence[str] = (), models: Sequence[str] = (), folders: Sequence[Path] | None = None) -> list[Case]:
    """The cases whose task has one of `tasks` in its label, and whose model one of `models`; a run's id fits too.

    Without `tasks`: no very large networks, and of a task at several lengths the default one. folders: of the
    experiments, in place of all that re-run the paper. Raises UsageError, with the nearest known one, for a text that
    fits nothing.
    """
    found = list(_all(folders))
    if not found:
        raise UsageError(f"there is no experiment results/{PREFIX}* whose rows could be measured")
    names = {"task": {case.task for case in found}, "model": {case.model for case in found}}
    for option, texts in (("task", tasks), ("model", models)):
        for text in texts:
            if not any(means(text, case.run.id, getattr(case, option)) for case in found):
                hint = nearest(text, names[option])
                raise UsageError(
                    f"--{option} {text}: no row of results/{PREFIX}* has that in its {option} or id; {hint}"
                )
    usual = [case for case in found if not case.large and _stands_for_its_family(case, found)]
    chosen = [
        case
        for case in (found if tasks else usual)
        if (not tasks or any(means(text, case.run.id, case.task) for text in tasks))
        and (not models or any(means(text, case.run.id, case.model) for text in models))
    ]
    if not chosen:
        raise UsageError(f"--task {' '.join(tasks)} --model {' '.join(models)}: no row has both")
    return chosen


def suite(models: Sequence[str] = ()) -> tuple[list[Case], list[dict[str, str]]]:
    """Every model of the suite at the shapes of `SUITE`, and which are left out: task, model, reason.

    models: only those whose name has one of these in it. Raises UsageError for a text that fits none.
    """
    names = list(registry.listing("model"))
    for text in models:
        if not any(text in name for name in names):
            raise UsageError(f"--model {text}: no model of the suite has that in its name; {nearest(text, names)}")
    found, left_out = [], []
    for text, batch in SUITE:
        task = runs.make_task(parse(text))
        ends = networks.head_for(task, None), networks.embedding_for(task, None)
        for name in names:
            if models and not any(text in name for text in models):
                continue
            try:
                model = sizing.sized(task, parse(name), PARAMETERS, 0.05, *ends)
            except UsageError as error:
                left_out.append({"task": text, "model": name, "reason": str(error)})
                continue
            run = Run(Spec(parse(text).name, task.options()), model, Training(batch=batch), *ends, 0)
            found.append(Case(run, Path(), large=False))
    return found, left_out


def _stands_for_its_family(case: Case, found: Sequence[Case]) -> bool:
    """Whether its task is the only one of its name, or has the default options."""
    family = {other.task for other in found if other.run.task.name == case.run.task.name}
    return len(family) == 1 or case.run.make_task() == case.run.task_class()


def _all(folders: Sequence[Path] | None) -> Iterator[Case]:
    chosen = [folder for folder in own_folders() if folder.name.startswith(PREFIX)] if folders is None else folders
    found: dict[str, list[list[Case]]] = {}
    for folder in chosen:
        of_folder: dict[str, list[Case]] = {}
        for cell in config.load(folder, [0]).cells:
            case = Case(cell.runs[0], folder, (cell.budget or 0) > LARGEST)
            of_folder.setdefault(case.task, []).append(case)
        for task, cases_of_task in of_folder.items():
            found.setdefault(task, []).append(cases_of_task)
    for of_task in found.values():
        # The first where several compare as many models. An experiment on settings has a model more than once.
        yield from max(of_task, key=lambda cases: len({case.model for case in cases}))
