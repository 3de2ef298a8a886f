"""The shape of a row: which keys it has, and what stands there. Whatever reads rows relies on it.

A sum proves that a row was not edited since it was signed, not that it was whole when it was signed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .provenance import COMPUTE, LATER, MAY_BE_NONE, REQUIRED

FINISHED = ("done", "diverged")
"""What is a result; `failed` and `died` are tried again by the next run."""
STATUSES = (*FINISHED, "failed", "died")
DEVICES = ("cpu", "cuda")
SAID_ELSEWHERE = ("provenance.source_files", "provenance.cpu")
"""What older rows lack without a loss: their commits have the hashes of files, and the processor has a name."""


@dataclass(frozen=True)
class Known:
    """A mapping with these keys at least; of a key that ends with `?` it may have none."""

    keys: Mapping[str, Any]


@dataclass(frozen=True)
class Each:
    """A mapping of any keys to values of one shape."""

    value: Any


@dataclass(frozen=True)
class Several:
    """A list of values of one shape."""

    value: Any


@dataclass(frozen=True)
class Pair:
    """A list of two values."""

    first: Any
    second: Any


WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", list: "a list", None: "null"}
"""What a plain shape is called."""
SCORE = (float, None)
"""Of a metric; null where it was not finite."""
SCORES = Each(SCORE)
SPEC = Known({"name": str, "options?": Each(object), "version": int})
POINT = Known(
    {
        "epoch": int,
        "steps": int,
        "seconds": float,
        "valid": SCORES,
        "test": SCORES,
        "learning_rate?": SCORE,
        "train_loss?": SCORE,
        "lengths?": Each(SCORES),
    }
)
"""Of a curve. At epoch 0 no step has been taken: it has neither learning rate nor training loss, and may have lengths.
Rows made before curves had an epoch 0 begin with epoch 1."""
RULES = Known({"best": Known({"epoch": int, "valid": SCORES, "test": SCORES}), "last": Known({"test": SCORES})})
ORIGIN = Known(
    {
        "commit": (str, None),
        "dirty": bool,
        "diff?": (str, None),
        "differing?": Several(str),
        "unhashed?": Several(str),
        "read?": Each(str),
        "repositories?": Each(Known({"commit": str, "dirty": bool, "diff": (str, None)})),
        "experiment?": str,
        "source": str,
        "source_files?": Each(str),
        "versions": Known(dict.fromkeys(("python", *COMPUTE), str)),
        "platform": str,
        "processor": str,
        "cpu?": str,
        "instructions?": (str, None),
        "device": str,
        "driver": (str, None),
        "threads": int,
        "data": Each((str, None)),
        "command?": (str, list),
        "started": str,
        "finished": str,
    }
)
ANY = Known(
    {
        "id": str,
        "label": str,
        "config": Known({"task": SPEC, "model": SPEC, "head?": object, "loop": int, "seed": int}),
        "parameters?": (int, None),
        "state_size?": (int, str, None),
        "receptive_field?": (int, str, None),
        "causal?": bool,
        "error?": object,
        "provenance": ORIGIN,
    }
)
"""Of every row."""
RESULT = Known(
    {
        "parameters": int,
        "error?": None,
        "lengths?": Each(SCORES),
        "curve": Several(POINT),
        "trace?": Several(Pair(float, SCORE)),
        "yardsticks?": Several(Known({"name": str, "scores": SCORES})),
        "seconds": Known({"training": float, "evaluation": float, "cpu": float}),
        "peak_memory_mb": float,
    }
)
"""Of a row that is a result. A run that diverged in its first epoch has no scores, one that is done has."""
FAILURE = Known({"error": Known({"message": str})})
"""Of a row that is none."""
SCORED = Known({"scores": RULES})
"""Of a row with scores."""


def misshapen(row: Any) -> list[str]:
    """What of a row is not as readers rely on: `key: what is wrong there`, each in words; nothing where all is well.

    >>> misshapen({"id": "7d9f5bf61bde", "status": "gone", "device": "cpu"})
    ["status: 'gone' is none of done, diverged, failed, died"]
    """
    if not isinstance(row, dict):
        return [f"{_shown(row)} is no mapping"]
    for key, known in (("status", STATUSES), ("device", DEVICES)):
        if row.get(key) not in known:
            found = f"{_shown(row[key])} is none of" if key in row else "is missing: one of"
            return [f"{key}: {found} {', '.join(known)}"]
    wanted = [ANY, RESULT if row["status"] in FINISHED else FAILURE]
    if row["status"] == "done" or row.get("scores"):
        wanted.append(SCORED)
    if all(_test_of(shape)(row) for shape in wanted):
        return []
    return [text for shape in wanted for text in unlike("", row, shape)]


def lacking(row: Mapping[str, Any], later: bool = True) -> list[str]:
    """What a row does not say of its origin, as paths: provenance, and of a result its seed, times and memory.

    later: also what is asked for only since rows were first published.

    >>> origin = dict.fromkeys(REQUIRED, "known") | {"versions": dict.fromkeys(COMPUTE, "1.0"), "data": None}
    >>> lacking({"status": "died", "provenance": origin})
    ['provenance.data']
    """
    wanted = [f"provenance.{key}" for key in REQUIRED if later or key not in LATER]
    if _at(row, "provenance.versions") is not _NOWHERE:
        wanted += [f"provenance.versions.{name}" for name in COMPUTE]
    if row.get("status") in FINISHED:
        wanted += ["config.seed", "seconds.training", "seconds.evaluation", "seconds.cpu", "peak_memory_mb"]
    may_be_none = {f"provenance.{key}" for key in MAY_BE_NONE}
    if _at(row, "provenance.dirty"):
        may_be_none.remove("provenance.diff")
    return [path for path in wanted if _at(row, path, path not in may_be_none) is _NOWHERE]


_NOWHERE = object()


def _at(row: Any, path: str, not_none: bool = True) -> Any:
    """What stands at a path of keys; _NOWHERE where nothing does, or None where that is not enough."""
    for key in path.split("."):
        if not isinstance(row, dict) or key not in row:
            return _NOWHERE
        row = row[key]
    return _NOWHERE if row is None and not_none else row


Test = Callable[[Any], bool]
_tests = dict[int, Test]()
"""Of the shapes above, by their ids."""


def _test_of(shape: Any) -> Test:
    """Whether a value is of a shape: what `unlike` finds in words, ten times as fast. Most rows have no fault."""
    if id(shape) not in _tests:
        _tests[id(shape)] = _made_test(shape)
    return _tests[id(shape)]


def _made_test(shape: Any) -> Test:
    if isinstance(shape, Known):
        tests = [(key.removesuffix("?"), _made_test(inner), key.endswith("?")) for key, inner in shape.keys.items()]
        return lambda value: (
            type(value) is dict and all(test(value[key]) if key in value else may for key, test, may in tests)
        )
    if isinstance(shape, Pair):
        first, second = _made_test(shape.first), _made_test(shape.second)
        return lambda value: type(value) is list and len(value) == 2 and first(value[0]) and second(value[1])
    if isinstance(shape, Each | Several):
        plain = _types_of(shape.value)
        if plain is not None and isinstance(shape, Each):  # without a call for each
            return lambda value: type(value) is dict and plain.issuperset(map(type, value.values()))
        if plain is not None:
            return lambda value: type(value) is list and plain.issuperset(map(type, value))
        inner = _made_test(shape.value)
        if isinstance(shape, Each):
            return lambda value: type(value) is dict and all(map(inner, value.values()))
        return lambda value: type(value) is list and all(map(inner, value))
    types = _types_of(shape)
    return (lambda value: True) if types is None else (lambda value: type(value) in types)


def _types_of(shape: Any) -> frozenset[type] | None:
    """The types of JSON's values that are of a plain shape; None for a shape that is not plain, or that all are of."""
    kinds = shape if isinstance(shape, tuple) else (shape,)
    if object in kinds or not all(kind is None or isinstance(kind, type) for kind in kinds):
        return None
    return frozenset(
        one for kind in kinds for one in ((int, float) if kind is float else (type(None) if kind is None else kind,))
    )


def unlike(path: str, value: Any, shape: Any) -> Iterator[str]:
    """Where a value is not of a shape, of it and of what lies beneath. path: where the value stands."""
    if isinstance(shape, Known | Each):
        if not isinstance(value, dict):
            yield f"{path}: {_shown(value)} is no mapping"
            return
        of_key = shape.keys if isinstance(shape, Known) else dict.fromkeys(value, shape.value)
        for key, inner in of_key.items():
            name = key.removesuffix("?") if isinstance(shape, Known) else key
            where = f"{path}.{name}" if path else name
            if name in value:
                yield from unlike(where, value[name], inner)
            elif name == key:
                yield f"{where}: is missing"
        return
    if isinstance(shape, Several | Pair):
        pair = isinstance(shape, Pair)
        if not isinstance(value, list) or (pair and len(value) != 2):
            yield f"{path}: {_shown(value)} is no {'pair' if pair else 'list'}"
            return
        inners = (shape.first, shape.second) if isinstance(shape, Pair) else [shape.value] * len(value)
        for place, (item, inner) in enumerate(zip(value, inners, strict=True)):
            yield from unlike(f"{path}[{place}]", item, inner)
        return
    kinds = shape if isinstance(shape, tuple) else (shape,)
    if not any(_is(value, kind) for kind in kinds):
        yield f"{path}: {_shown(value)} is not {' or '.join(WORDS[kind] for kind in kinds)}"


def _is(value: Any, kind: Any) -> bool:
    """Whether a value is of a plain kind; a whole number is a number too, and a truth value is neither.

    Numbers are of a size that a computer's have: JSON may have others, with which nothing can be computed.
    """
    if kind is object or kind is None:
        return kind is object or value is None
    if isinstance(value, list):
        return kind is list
    if isinstance(value, bool):
        return bool(kind is bool)
    if kind in (int, float):
        whole = isinstance(value, int) and abs(value) < 1 << 63
        return whole or (kind is float and isinstance(value, float) and math.isfinite(value))
    return isinstance(value, kind)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
