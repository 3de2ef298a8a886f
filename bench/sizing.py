"""Networks of a given size: builds body and head for a task, counts, and finds the width that meets a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..models.base import Model
from ..models.heads import HEADS
from ..models.network import Network
from ..tasks.base import Continuous, Task
from .errors import UsageError, nearest
from .notation import Spec
from .options import checked, options_of

LARGEST_WIDTH = 1 << 20
LINEAR = Spec("linear")
"""The read-out where none is named."""


def build(task: Task, model: type[Model], options: Mapping[str, Any], head: Spec = LINEAR) -> Network:
    """The network for a task, initialised from torch's default generator (see `seeding.forked`).

    Raises UsageError where the task's input, the model's options or the head do not go together.
    """
    if not isinstance(task.input, Continuous):
        raise UsageError(f"{type(task).__name__}: networks for {task.input} are not there yet")
    head = canonical_head(head)
    try:
        body = model(task.input.channels, **options)
        return Network(body, HEADS[head.name](body.features, task.outputs, **head.options), task.reads)
    except (ValueError, RuntimeError) as error:  # torch's word for sizes that no memory has
        raise UsageError(str(error).partition("\n")[0]) from error


def canonical_head(head: Spec) -> Spec:
    """The read-out with what differs from its defaults, checked. Raises UsageError for an unknown name or option."""
    if head.name not in HEADS:
        raise UsageError(f"unknown head {head.name!r}: {nearest(head.name, HEADS)}")
    known = options_of(HEADS[head.name])
    given = checked(f"head {head.name}", known, head.options)
    return Spec(head.name, {key: given[key] for key in known if key in given and given[key] != known[key].default})


def on_paper(task: Task, model: type[Model], options: Mapping[str, Any], head: Spec = LINEAR) -> Network:
    """The network without its numbers (torch's meta device): to count it costs no memory and no random draw."""
    with torch.device("meta"):
        return build(task, model, options, head)


@dataclass(frozen=True)
class Size:
    """A width and the trainable parameters of the network that has it."""

    width: int
    parameters: int


def fit(
    task: Task,
    model: type[Model],
    options: Mapping[str, Any],
    budget: int,
    tolerance: float = 0.01,
    head: Spec = LINEAR,
) -> Size:
    """The width whose parameter count, body and head, is nearest to `budget`; of two equally near the smaller.

    Where another option gives all sizes (a TCN's `widths`), the width stays as it is, and so does the count.
    Raises UsageError beyond the tolerance (a fraction of the budget), with the nearest counts on both sides.
    """
    if tolerance < 0:
        raise UsageError(f"tolerance={tolerance}: at least 0 is needed")
    if budget < 1:
        raise UsageError(f"parameters={budget}: a budget of at least 1 is needed")

    def size(width: int) -> Size:
        network = on_paper(task, model, {**options, model.sized_by: width}, head)
        return Size(width, network.parameter_count)

    if size(1).parameters == size(2).parameters:
        return size(options.get(model.sized_by, options_of(model)[model.sized_by].default))
    below, above = _around(size, budget)
    best = min((below, above), key=lambda found: (abs(found.parameters - budget), found.width))
    if abs(best.parameters - budget) > tolerance * budget:
        raise UsageError(
            f"no {model.sized_by} comes within {tolerance:.1%} of {budget:,} parameters: {below.width} gives "
            f"{below.parameters:,} ({below.parameters / budget - 1:+.1%}), {above.width} gives {above.parameters:,} "
            f"({above.parameters / budget - 1:+.1%}); another budget or a wider tolerance is needed"
        )
    return best


def _around(size: Callable[[int], Size], budget: int) -> tuple[Size, Size]:
    """The widest size not above the budget and the narrowest not below it: counts grow with the width."""
    low = high = size(1)
    while high.parameters < budget and high.width < LARGEST_WIDTH:
        low, high = high, size(2 * high.width)
    while high.width - low.width > 1:
        middle = size((low.width + high.width) // 2)
        low, high = (middle, high) if middle.parameters <= budget else (low, middle)
    return low, high
