"""Builds the network of a run: embedding, body and head for a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from ...models.base import ContractError, Model
from ...models.embeddings import Embedding
from ...models.heads import HEADS
from ...models.network import Network
from ...tasks.base import Continuous, Pair, Task
from .. import seeding
from ..errors import Refused, UsageError, nearest
from .notation import Spec, parse, written
from .options import checked, options_of
from .user_code import place_in

LINEAR = Spec("linear")
"""The read-out where neither a person nor the task names one."""
EMBEDDING = Spec("embedding")
"""The embedding of symbols, likewise."""
Made = TypeVar("Made")
_REFUSALS = (ValueError, AssertionError, RuntimeError, TypeError, ArithmeticError)
"""By which a model's constructor says that its options do not go together."""
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
    if isinstance(task.input, Pair) != model.pairs:
        shown = "a source and asks for a target" if isinstance(task.input, Pair) else "one sequence"
        reads = "a source and writes a target" if model.pairs else "one sequence"
        raise UsageError(f"{model.__module__.rpartition('.')[2]} reads {reads}, and this task shows {shown}")
    if isinstance(task.input, Pair) and embedding != EMBEDDING:
        raise UsageError(f"{embedding}: a model of pairs has embeddings of its own")
    try:
        front: Embedding | None = None
        if isinstance(task.input, Pair):
            body = _constructed(model, (task.input.source, task.input.target), options)
        elif isinstance(task.input, Continuous):
            body = _constructed(model, (task.input.channels,), options)
        else:
            front = Embedding(task.input.vocabulary, _features(model, options), **embedding.options)
            body = _constructed(model, (front.width,), options)
        matrix = front.weight if front is not None else None
        readout = make_head(body.features, task.outputs, matrix, **head.options)
        return Network(body, readout, task.reads, front)
    except (ValueError, RuntimeError, MemoryError) as error:
        raise UsageError(_in_words(error, model, options)) from error


def _constructed(model: type[Model], shown: tuple[int, ...], options: Mapping[str, Any]) -> Model:
    """The model itself, which is shown inputs of so many channels, or a source and a target of such vocabularies.

    Raises Refused where its constructor says that the options do not go together.
    Of a file of the user's own every other error of the constructor becomes a UsageError, which names its line.
    """
    try:
        made = model(*shown, **options)
    except ContractError as error:
        raise UsageError(str(error)) from error
    except Exception as error:
        if _is_too_large(error):
            raise UsageError(_in_words(error, model, options)) from error
        place = place_in(error)
        if isinstance(error, TypeError) and error.__traceback__ is not None and error.__traceback__.tb_next is None:
            expected = "its constructor takes the number of channels, and its options by keyword"
            raise UsageError(f"{model.__module__}.{model.__qualname__}: {expected}: {error}") from error
        if isinstance(error, _REFUSALS):
            raise Refused(place + _in_words(error, model, options)) from error
        if place:
            raise UsageError(f"{place}{type(error).__name__}: {error}") from error
        raise
    if not isinstance(getattr(made, "features", None), int):
        raise UsageError(f"{model.__module__}.{model.__qualname__}: its constructor sets no self.features, the width W")
    return made


def _is_too_large(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(part in str(error) for part in _TOO_LARGE)


def _in_words(error: Exception, model: type[Model], options: Mapping[str, Any]) -> str:
    """The first line of an error; what torch says of sizes that no memory has, as a person would say it."""
    if not _is_too_large(error):
        text = str(error).partition("\n")[0]
        return text if isinstance(error, ValueError | RuntimeError) and text else f"{type(error).__name__}: {text}"
    known = options_of(model)
    given = {key: value for key, value in options.items() if key not in known or value != known[key].default}
    named = ", ".join(f"{key}={written(value)}" for key, value in given.items()) or model.sized_by
    return f"{named}: such a network has more numbers than memory holds; a smaller {model.sized_by} is needed"


def _features(model: type[Model], options: Mapping[str, Any]) -> int:
    """W of a model with these options, whatever its input."""
    return _without_numbers(lambda: _constructed(model, (1,), options)).features


def _without_numbers(make: Callable[[], Made]) -> Made:
    """What `make` gives on torch's meta device; where a constructor refuses that, on the CPU, and no draw is left.

    A model may need numbers while it is made: it converts them to NumPy's, or asks for the value of one.
    """
    try:
        with torch.device("meta"), _NoNumbers():
            return make()
    except Refused:
        with torch.device("cpu"), seeding.undisturbed():
            return make()


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
    """The network without its numbers (torch's meta device): to count it costs no memory and no random draw.

    Of a model that cannot be made without numbers it is the network on the CPU. Raises Refused where the model's
    constructor does not accept the options, UsageError as `build` does.
    """
    return _without_numbers(lambda: build(task, model, options, head, embedding))


def size_options(model: type[Model]) -> tuple[str, ...]:
    """The options by which a model meets a budget of parameters."""
    return (model.sized_by,) if model.fine_option is None else (model.sized_by, model.fine_option)
