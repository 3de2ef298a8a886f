"""Options of tasks, models and training: read from constructors' annotations, and values checked against them."""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union
from weakref import WeakKeyDictionary

from ..errors import UsageError, nearest
from .notation import written

LARGEST = 2**63 - 1
"""What 64 bits hold."""
LONG = 60
"""Signs of a value that an error shows."""


@dataclass(frozen=True)
class Option:
    """One option of a constructor."""

    name: str
    annotation: Any
    default: Any
    required: bool

    @property
    def takes_list(self) -> bool:
        """Whether a list is a value of this option (and not an axis of several values)."""
        return any(typing.get_origin(part) in (tuple, list) for part in _parts(self.annotation))


_read: WeakKeyDictionary[type[Any], Mapping[str, Option]] = WeakKeyDictionary()
"""Of each class once: to resolve annotations is slow, and every run of an experiment asks for them."""


def options_of(cls: type[Any]) -> Mapping[str, Option]:
    """The options of a class: a dataclass's fields, or the keyword-only arguments of a constructor.

    Raises UsageError where an annotation names what the module does not know.
    """
    if cls in _read:
        return _read[cls]
    fields = getattr(cls, "__dataclass_fields__", {})
    try:
        # Of a dataclass each field is read in the module that declares it: a user's task may derive from one of ours.
        hints = typing.get_type_hints(cls if fields else cls.__init__)
    except NameError as error:
        raise UsageError(f"{cls.__module__}.{cls.__name__}: the annotations of its options: {error}") from error
    options = {}
    for parameter in inspect.signature(cls).parameters.values():
        is_field = parameter.name in fields
        if parameter.kind is parameter.KEYWORD_ONLY or is_field:
            required = parameter.default is parameter.empty
            default = None if required else parameter.default
            options[parameter.name] = Option(parameter.name, hints.get(parameter.name, Any), default, required)
    _read[cls] = types.MappingProxyType(options)
    return _read[cls]


def coerce(owner: str, option: Option, value: Any) -> Any:
    """`value` as the option's type (an integer where a float is meant, a list where a tuple is).

    Raises UsageError naming the owner, the option, what was given and what is allowed.
    """
    parts = _parts(option.annotation)
    if value == "none" and type(None) in parts:
        return None  # a YAML file may write it as the notation does
    for part in parts:
        fits, converted = _fit(part, value)
        if fits:
            return converted
    words = [word for part in parts if typing.get_origin(part) is Literal for word in typing.get_args(part)]
    if words:
        hint = nearest(str(value), map(str, words))
    else:
        hint = f"{' or '.join(_named(part) for part in parts)} is needed"
        if isinstance(value, int | float) and not abs(value) <= LARGEST:
            hint += f", of at most {LARGEST:.0e}"
    given = written(value)
    raise UsageError(f"{owner}: {option.name}={given if len(given) < LONG else given[:LONG] + '…'}: {hint}")


def checked(owner: str, known: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """The given values, each as its option's type. Raises UsageError for an unknown option, with the nearest."""
    for key in given:
        if key not in known:
            raise UsageError(f"{owner} has no option {key!r}: {nearest(key, known)}")
    return {key: coerce(owner, known[key], value) for key, value in given.items()}


def _parts(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _named(part: Any) -> str:
    if part is type(None):
        return "none"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", dict: "a mapping"}
    return names.get(part, "a list" if typing.get_origin(part) in (tuple, list) else str(part))


def _fit(part: Any, value: Any) -> tuple[bool, Any]:
    origin = typing.get_origin(part)
    if part is Any:
        return True, value
    if part is type(None):
        return value is None, None
    if origin is Literal:
        words = typing.get_args(part)
        value = "none" if value is None and "none" in words else value  # the notation reads that word as a value
        return value in words, words[words.index(value)] if value in words else value  # 14 where 14.0 was said
    if origin in (tuple, list):
        items = [_fit(typing.get_args(part)[0], item) for item in value] if isinstance(value, list | tuple) else []
        return isinstance(value, list | tuple) and all(fits for fits, _ in items), origin(item for _, item in items)
    if part is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        number = number and (abs(value) <= LARGEST if isinstance(value, int) else math.isfinite(value))
        return number, float(value) if number else value
    if part is int:
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST
        return whole, value
    return isinstance(part, type) and isinstance(value, part), value
