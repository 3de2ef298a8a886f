"""Networks of a given size: builds embedding, body and head for a task, and finds the width that meets a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ...models.base import Model
from ...models.embeddings import Embedding
from ...models.heads import HEADS
from ...models.network import Network
from ...tasks.base import Continuous, Task
from ..errors import UsageError, nearest
from . import registry
from .notation import Spec, parse, written
from .options import checked, options_of

LARGEST_WIDTH = 1 << 20
LINEAR = Spec("linear")
"""The read-out where neither a person nor the task names one."""
EMBEDDING = Spec("embedding")
"""The embedding of symbols, likewise."""
_TOO_LARGE = ("allocate memory", "out of memory", "size calculation overflowed")
"""What torch says in its errors where a tensor is too large."""
_FILLS = {getattr(torch.Tensor, name) for name in ("uniform_", "normal_", "fill_", "zero_", "copy_", "__setitem__")}


def build(
    task: Task, model: type[Model], options: Mapping[str, Any], head: Spec = LINEAR, embedding: Spec = EMBEDDING
) -> Network:
    """The network for a task, initialised from torch's default generator (see `seeding.forked`).

    Raises UsageError where the task's input, the model's options, the head or the embedding do not go together.
    """
    head, embedding = canonical_head(head), canonical_embedding(embedding)
    make_head = HEADS[head.name]
    if make_head.gives_distribution != task.distribution:
        fitting = [name for name, other in HEADS.items() if other.gives_distribution == task.distribution]
        raise UsageError(f"head {head.name!r} does not answer what this task asks: {' or '.join(fitting)} is needed")
    if isinstance(task.input, Continuous) and embedding != EMBEDDING:
        raise UsageError(f"{embedding}: this task's input are numbers, an embedding is for symbols")
    try:
        if isinstance(task.input, Continuous):
            front, channels = None, task.input.channels
        else:
            front = Embedding(task.input.vocabulary, _features(model, options), **embedding.options)
            channels = front.width
        body = model(channels, **options)
        matrix = front.weight if front is not None else None
        readout = make_head(body.features, task.outputs, matrix, **head.options)
        return Network(body, readout, task.reads, front)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise UsageError(_in_words(error, model, options)) from error


def _in_words(error: Exception, model: type[Model], options: Mapping[str, Any]) -> str:
    """The first line of an error; what torch says of sizes that no memory has, as a person would say it."""
    text = str(error).partition("\n")[0]
    if not isinstance(error, MemoryError) and not any(part in text for part in _TOO_LARGE):
        return text
    known = options_of(model)
    given = {key: value for key, value in options.items() if key not in known or value != known[key].default}
    named = ", ".join(f"{key}={written(value)}" for key, value in given.items()) or model.sized_by
    return f"{named}: such a network has more numbers than memory holds; a smaller {model.sized_by} is needed"


def _features(model: type[Model], options: Mapping[str, Any]) -> int:
    """W of a model with these options, whatever its input."""
    with torch.device("meta"), _NoNumbers():
        return model(1, **options).features


class _NoNumbers(TorchFunctionMode):
    """Within it nothing is drawn or filled in: on torch's meta device there is nowhere to put it.

    Not for the draws' sake: there torch has them from `torch._dynamo`, which takes more than a second to import.
    """

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), named: Mapping[str, Any] | None = None
    ) -> Any:
        named = named or {}
        if function in _FILLS or getattr(function, "__module__", None) == torch.nn.init.__name__:
            return named["tensor"] if "tensor" in named else arguments[0]
        return function(*arguments, **named)


def head_for(task: Task | type[Task], text: str | None) -> Spec:
    """The read-out that `text` names, or else the task. Raises UsageError for an unknown one."""
    return canonical_head(parse(text or task.head))


def embedding_for(task: Task | type[Task], text: str | None) -> Spec:
    """The embedding that `text` names, or else the task. Raises UsageError for an unknown option."""
    return canonical_embedding(parse(text or task.embedding))


def canonical_embedding(embedding: Spec) -> Spec:
    """The embedding with what differs from its defaults, checked. Raises UsageError for what is not known."""
    if embedding.name != EMBEDDING.name:
        raise UsageError(f"unknown embedding {embedding.name!r}: {nearest(embedding.name, [EMBEDDING.name])}")
    return _canonical("embedding", Embedding, embedding)


def canonical_head(head: Spec) -> Spec:
    """The read-out with what differs from its defaults, checked. Raises UsageError for an unknown name or option."""
    if head.name not in HEADS:
        raise UsageError(f"unknown head {head.name!r}: {nearest(head.name, HEADS)}")
    return _canonical(f"head {head.name}", HEADS[head.name], head)


def _canonical(owner: str, cls: type[Any], spec: Spec) -> Spec:
    known = options_of(cls)
    given = checked(owner, known, spec.options)
    return Spec(spec.name, {key: given[key] for key in known if key in given and given[key] != known[key].default})


def on_paper(
    task: Task, model: type[Model], options: Mapping[str, Any], head: Spec = LINEAR, embedding: Spec = EMBEDDING
) -> Network:
    """The network without its numbers (torch's meta device): to count it costs no memory and no random draw."""
    with torch.device("meta"), _NoNumbers():
        return build(task, model, options, head, embedding)


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
    embedding: Spec = EMBEDDING,
) -> Size:
    """The width whose parameter count, all parts together, is nearest to `budget`; of two equally near the smaller.

    Only multiples of the model's width step are tried (see `Model.width_step_for`). Where another option gives all
    sizes (a TCN's `widths`), the width stays as it is, and so does the count.
    Raises UsageError beyond the tolerance (a fraction of the budget), with the nearest counts on both sides.
    """
    if tolerance < 0:
        raise UsageError(f"tolerance={tolerance}: at least 0 is needed")
    if budget < 1:
        raise UsageError(f"parameters={budget}: a budget of at least 1 is needed")

    def size(width: int) -> Size:
        network = on_paper(task, model, {**options, model.sized_by: width}, head, embedding)
        return Size(width, network.parameter_count)

    step = model.width_step_for(options)
    if size(step).parameters == size(2 * step).parameters:
        return size(options.get(model.sized_by, options_of(model)[model.sized_by].default))
    below, above = _around(size, budget, step)
    best = min((below, above), key=lambda found: (abs(found.parameters - budget), found.width))
    if abs(best.parameters - budget) > tolerance * budget:
        which = model.sized_by if step == 1 else f"{model.sized_by} that is a multiple of {step}"
        raise UsageError(
            f"no {which} comes within {tolerance:.1%} of {budget:,} parameters: {below.width} gives "
            f"{below.parameters:,} ({below.parameters / budget - 1:+.1%}), {above.width} gives {above.parameters:,} "
            f"({above.parameters / budget - 1:+.1%}); another budget or a wider tolerance is needed"
        )
    return best


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

    Its width is fitted to the budget, where there is one, unless the spec itself names the width.
    """
    published = task.sizes.get(registry.short(spec.name), {})
    cls, options = registry.resolve("model", Spec(spec.name, {**published, **spec.options}), folder)
    if budget is not None and cls.sized_by not in spec.options:
        options[cls.sized_by] = fit(task, cls, options, budget, tolerance, head, embedding).width
    else:
        on_paper(task, cls, options, head, embedding)
    return Spec(spec.name, options)


def _around(size: Callable[[int], Size], budget: int, step: int) -> tuple[Size, Size]:
    """The widest size not above the budget and the narrowest not below it, because counts grow with the width.

    Widths are multiples of `step`.

    Where a width equals the embedding's a projection falls away, and the count dips there; a search by halves may then
    miss a size that is nearer, which the tolerance bounds.
    """
    low = high = size(step)
    while high.parameters < budget and high.width < LARGEST_WIDTH:
        low, high = high, size(2 * high.width)
    while high.width - low.width > step:
        middle = size((low.width + high.width) // (2 * step) * step)
        low, high = (middle, high) if middle.parameters <= budget else (low, middle)
    return low, high
