"""The size of a network: finds the width, and where a model has one the finer option, that meet a parameter budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...models.base import Model
from ...tasks.base import Task
from ..errors import UsageError
from . import registry
from .networks import EMBEDDING, LINEAR, on_paper
from .notation import Spec
from .options import options_of
from .size_search import Counted, Search


@dataclass(frozen=True)
class Size:
    """A width and the trainable parameters of the network that has it.

    fine: the value of the model's `fine_option`; None where that stays as it is.
    """

    width: int
    parameters: int
    fine: int | None = None


def fit(
    task: Task,
    model: type[Model],
    options: Mapping[str, Any],
    budget: int,
    tolerance: float = 0.01,
    head: Spec = LINEAR,
    embedding: Spec = EMBEDDING,
    fine: bool = False,
) -> Size:
    """The width whose parameter count, all parts together, is nearest to `budget`; of two equally near the smaller.

    Only multiples of the model's width step are tried (see `Model.width_step_for`), and a width that its constructor
    refuses is passed over. Where another option gives all sizes (a TCN's `widths`), the width stays as it is, and so
    does the count. fine: whether the model's `fine_option` is adjusted too, once the width is found; where it only adds
    to what is enough already, as an MLP does that a model has not by itself, at the next smaller width.
    Raises UsageError beyond the tolerance (a fraction of the budget), with the nearest counts on both sides.
    """
    if tolerance < 0:
        raise UsageError(f"tolerance={tolerance}: at least 0 is needed")
    if budget < 1:
        raise UsageError(f"parameters={budget}: a budget of at least 1 is needed")

    def count(**chosen: int) -> int:
        return on_paper(task, model, {**options, **chosen}, head, embedding).parameter_count

    def finer_count(width: int, value: int) -> int:
        return count(**{model.sized_by: width, str(model.fine_option): value})

    if model.sized_by not in options_of(model):
        raise UsageError(
            f"{model.__qualname__} has no option that sets its width: a budget of parameters needs one, named `width` "
            "or as the class's `sized_by` says"
        )
    step = model.width_step_for(options)
    widths = Search(lambda width: count(**{model.sized_by: width}), step)
    if not widths.has_effect():
        width = options.get(model.sized_by, options_of(model)[model.sized_by].default)
        return Size(width, count(**{model.sized_by: width}))
    best = widths.nearest(budget)
    found, nearest_sizes, which = Size(best.value, best.parameters), widths.around(budget), model.sized_by
    if fine and model.fine_option is not None:
        for size in dict.fromkeys((best, *nearest_sizes)):  # a narrower one where finer values only add
            values = Search(partial(finer_count, size.value))
            finer = values.nearest(budget) if values.has_effect() else size
            if abs(finer.parameters - budget) < abs(found.parameters - budget):
                found, nearest_sizes = Size(size.value, finer.parameters, finer.value), values.around(budget)
                which = f"{model.fine_option} at {model.sized_by}={size.value}"
            if abs(found.parameters - budget) <= tolerance * budget:
                break
    elif step > 1:
        which += f" that is a multiple of {step}"
    elif widths.refusal is not None:
        which += " that the model accepts"
    if abs(found.parameters - budget) > tolerance * budget:
        counts = ", ".join(_counted(size, budget) for size in dict.fromkeys(nearest_sizes))
        raise UsageError(
            f"no {which} comes within {tolerance:.1%} of {budget:,} parameters: {counts}; "
            "another budget or a wider tolerance is needed"
        )
    return found


def _counted(size: Counted, budget: int) -> str:
    return f"{size.value} gives {size.parameters:,} ({size.parameters / budget - 1:+.1%})"


def sized(
    task: Task,
    spec: Spec,
    budget: int | None,
    tolerance: float = 0.01,
    head: Spec = LINEAR,
    embedding: Spec = EMBEDDING,
    folder: Path | None = None,
) -> Spec:
    """The model with all its options: those of the spec, those that give it the published size on this task, defaults.

    Its width is fitted to the budget, where there is one, unless the spec itself names the width; then its
    `fine_option` too, unless the spec names that.
    """
    given = {**task.sizes.get(registry.short(spec.name), {}), **spec.options}
    width = options_of(found := registry.find("model", spec.name, folder)).get(found.sized_by)
    if budget is not None and width is not None and width.required:
        given.setdefault(width.name, 1)  # in the place of that which is sought
    cls, options = registry.resolve("model", Spec(spec.name, given), folder)
    if budget is not None and cls.sized_by not in spec.options:
        fine = cls.fine_option not in spec.options
        size = fit(task, cls, options, budget, tolerance, head, embedding, fine)
        options[cls.sized_by] = size.width
        if size.fine is not None:
            options[str(cls.fine_option)] = size.fine
    else:
        on_paper(task, cls, options, head, embedding)
    return Spec(spec.name, options)
