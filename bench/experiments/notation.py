"""The notation `name(key=value, …)` that names a task, a model or a schedule everywhere: CLI, YAML, tables, ids."""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError

WORDS: dict[str, Any] = {"true": True, "false": False, "none": None, "null": None}
BARE = re.compile(r"[A-Za-z_][\w.-]*")


@dataclass(frozen=True)
class Spec:
    """A name with options, as written: `Spec("adding", {"length": 600})` is `adding(length=600)`."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}({', '.join(f'{key}={written(value)}' for key, value in self.options.items())})"


def written(value: Any) -> str:
    """A value as the notation writes it; `parse` reads it back.

    >>> written((450, 450, 100)), written(None), written("one-hot"), written(0.001)
    ('[450,450,100]', 'none', 'one-hot', '0.001')
    """
    if isinstance(value, str):
        parts = re.split("[-.]", value)
        readable = all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)
        return value if readable and BARE.fullmatch(value) and value.lower() not in WORDS else repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(written(item) for item in value)}]"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def parse(text: str) -> Spec:
    """Reads `name` or `name(key=value, …)`.

    A value is a number, true, false, none, a bare word such as `one-hot`, a quoted string, or a list of those.
    Raises UsageError, which shows the text.

    >>> parse("tcn(kernel=8, widths=[450, 450, 100], dropout_kind=channel)").options
    {'kernel': 8, 'widths': [450, 450, 100], 'dropout_kind': 'channel'}
    """
    text = text.strip()
    match = re.fullmatch(r"([^()]*[^()\s])\s*(?:\((.*)\))?", text, re.DOTALL)
    if match is None:
        raise UsageError(f"cannot read {text!r}: the notation is name or name(key=value, …)")
    name, arguments = match[1], match[2] or ""
    source = f"f({arguments})"
    try:
        call = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        call = None
    plain = isinstance(call, ast.Call) and isinstance(call.func, ast.Name)  # not name(a=1)(b=2)
    if not isinstance(call, ast.Call) or not plain or call.args or any(part.arg is None for part in call.keywords):
        raise UsageError(f"cannot read {text!r}: the notation is name or name(key=value, …)")
    options: dict[str, Any] = {}
    for part in call.keywords:
        assert part.arg is not None
        if part.arg in options:
            raise UsageError(f"{text!r}: {part.arg} is given twice")
        options[part.arg] = _value(part.value, source, text)
    return Spec(name, options)


def _value(node: ast.expr, source: str, text: str) -> Any:
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item, source, text) for item in node.elts]
    segment = ast.get_source_segment(source, node) or ""
    if segment.lower() in WORDS:
        return WORDS[segment.lower()]
    if BARE.fullmatch(segment):
        return segment
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        value = None
    if not isinstance(value, int | float | str):
        raise UsageError(f"cannot read the value {segment!r} in {text!r}: put other text in quotes")
    return value
