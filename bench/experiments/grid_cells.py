"""The cells of an experiment, how they are told apart in tables, and which of them is the reference of a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from ..errors import UsageError, nearest
from . import networks, registry
from .marked_yaml import Marked, Path_
from .notation import Spec, parse, written
from .runs import Run
from .trials import Plan


@dataclass(frozen=True)
class Cell:
    """One place of the table: a task, a model, its settings, and one Run a seed.

    reference: the first run of the cell of this row and task that planned contrasts compare this one with; None where
    the experiment names none. note: what a reader must know of the row's data and training. plan: the trials from which
    the settings of its runs are chosen; None where nothing is tuned. trial: the number of that which was chosen; None
    before.
    """

    task: str
    model: str
    runs: tuple[Run, ...]
    budget: int | None
    assumed: tuple[str, ...]
    reference: Run | None = None
    note: str = ""
    plan: Plan | None = None
    trial: int | None = None


def told_apart(cells: list[Cell]) -> Iterator[Cell]:
    """The cells; those of one task with the same label have in it what differs: size, head, embedding, training."""
    alike: dict[tuple[str, str], list[list[str]]] = {}
    texts = [_distinguished(cell) for cell in cells]
    for cell, own in zip(cells, texts, strict=True):
        alike.setdefault((cell.task, cell.model), []).append(own)
    shown = {place: _shown(others) for place, others in alike.items()}
    for cell, own in zip(cells, texts, strict=True):
        of_label = shown[cell.task, cell.model]
        yield replace(cell, model=", ".join([cell.model, *(of_label[text] for text in own if text in of_label)]))


def _shown(cells: list[list[str]]) -> dict[str, str]:
    """Of the texts of some cells those that not all have -> how a label shows them.

    That is without brackets, such as a schedule's options, where no other text becomes the same by it.
    """
    sets = [set(texts) for texts in cells]
    every, common = set.union(*sets), set.intersection(*sets)
    met = Counter(text.partition("(")[0] for text in every)
    return {text: short if met[short := text.partition("(")[0]] == 1 else text for text in every - common}


def referring(marked: Marked, path: Path_, wanted: str, cells: list[Cell]) -> Iterator[Cell]:
    """The cells of a row with their reference, which `wanted` names by its label, or as a model is written.

    So `gru`, or with some of its options, `gru(width=4)`, though they may not stand in the label.
    """
    by_task: dict[str, list[Cell]] = {}
    for cell in cells:
        by_task.setdefault(cell.task, []).append(cell)
    found: dict[str, Run] = {}
    for task, others in by_task.items():
        named = [other for other in others if other.model == wanted]
        named = named or [other for other in others if _is_written(other.runs[0].model, wanted)]
        if not named:
            known = {name for one in others for name in (one.model, registry.short(one.runs[0].model.name))}
            raise marked.error(path, f"reference: {task} has no model {wanted!r}: {nearest(wanted, known)}")
        if len(named) > 1:
            labels = "; ".join(other.model for other in named)
            raise marked.error(path, f"reference: {wanted!r} names several models of {task}: {labels}")
        found[task] = named[0].runs[0]
    return (replace(cell, reference=found[cell.task]) for cell in cells)


def _is_written(model: Spec, wanted: str) -> bool:
    """Whether a text names this model, and no option that it has otherwise."""
    try:
        named = parse(wanted)
    except UsageError:
        return False
    options = {name: written(value) for name, value in model.options.items()}
    asked = {name: written(value) for name, value in named.options.items()}
    return registry.short(model.name) == registry.short(named.name) and asked.items() <= options.items()


def _distinguished(cell: Cell) -> list[str]:
    """What a cell's label has only where it is needed."""
    run = cell.runs[0]
    size = [f"{name}={run.model.options.get(name)}" for name in networks.size_options(run.model_class)]
    settings = asdict(run.training).items()
    training = [f"{name}={value if isinstance(value, str) else written(value)}" for name, value in settings]
    return [*size, f"head={run.head}", str(run.embedding), *training]
