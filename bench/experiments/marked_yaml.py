"""YAML 1.2 with the line of every value, so that an error can say where it is.

By YAML 1.2 `1e-3` is a number, `010` is ten, and `12:30`, `yes` and `none` are words. Merge keys (`<<: *base`) work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, MappingNode, Node, SequenceNode
from ruamel.yaml.error import YAMLError

from ..errors import UsageError, nearest
from .options import Option, coerce

Path_ = tuple[str | int, ...]

CUT = "a comma has cut it: write it on a line of its own, or put quotes around it"
"""YAML reads `[rnn, tcn(kernel=5, levels=4)]` as three items."""
LARGEST, DEEPEST, MOST = 1 << 20, 50, 100_000
"""Of a file: bytes, brackets within brackets, and values. Ours have 22 kB, 4 and 1,200."""
MERGE = "tag:yaml.org,2002:merge"


class Marked:
    """The content of a YAML file, and the line of every key and item in it.

    Raises UsageError for a file that cannot be read, is not YAML, gives a key twice, or is larger than the limits
    above, as one that repeats itself by aliases can be.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lines: dict[Path_, int] = {}
        self._values = 0
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{file}: {error}") from error
        if len(text) > LARGEST:
            raise UsageError(f"{file}: {len(text):,} characters; an experiment has at most {LARGEST:,}")
        if _depth(text) > DEEPEST:
            raise UsageError(f"{file}: brackets within brackets, {_depth(text):,} deep; {DEEPEST} are allowed")
        try:
            yaml = YAML(typ="safe", pure=True)
            node, self._scalars = yaml.compose(text), yaml.constructor
            self.content = self._construct(node, ()) if node is not None else None
        except RecursionError as error:  # a loop of aliases, or lists within lists
            raise UsageError(f"{file}: not YAML: it contains itself, or is nested too deep") from error
        except (YAMLError, ValueError) as error:  # an unknown tag, the 30th of February, a number of 5,000 digits
            raise self._not_yaml(error) from error

    def error(self, path: Path_, message: str) -> UsageError:
        """An error at the nearest known place above `path`."""
        return UsageError(f"{self.file}:{self.line(path)}: {message}")

    def line(self, path: Path_) -> int:
        """The line of the nearest known place above `path`."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def checked(self, path: Path_, content: Any, known: Mapping[str, Option], owner: str) -> dict[str, Any]:
        """The content at `path`, a mapping, with all known keys: defaults filled in, values of the right types.

        owner: whose values an error speaks of. Raises UsageError with the line for whatever is wrong.
        """
        if not isinstance(content, dict):
            raise self.error(path, f"a mapping with the keys {', '.join(known)} is needed")
        for key in content:
            if key not in known:
                hint = CUT if ")" in key else nearest(key, known)
                raise self.error((*path, key), f"unknown key {key!r}: {hint}")
        values = {}
        for name, option in known.items():
            if name in content:
                try:
                    values[name] = coerce(owner, option, content[name])
                except UsageError as error:
                    raise self.error((*path, name), str(error)) from error
            elif option.required:
                raise self.error(path, f"the key {name!r} is missing")
            else:
                values[name] = option.default
        return values

    def _not_yaml(self, error: Exception) -> UsageError:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or error
        place = f"{self.file}:{mark.line + 1}" if mark is not None else str(self.file)
        return UsageError(f"{place}: not YAML: {' '.join(str(problem).split())}")

    def _construct(self, node: Node, path: Path_) -> Any:
        self._values += 1
        if self._values > MOST:
            raise self.error(path, f"more than {MOST:,} values; does an alias repeat itself?")
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            mapping: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(key_node.value)  # as it is written: `1` and `true` are words
                self._lines[(*path, key)] = key_node.start_mark.line + 1
                if key in mapping:
                    raise self.error((*path, key), f"{key!r} is given twice")
                if key_node.tag != MERGE:
                    mapping[key] = self._construct(value_node, (*path, key))
            for merged in self._merged(node, path):
                mapping = {**merged, **mapping}
            return mapping
        if isinstance(node, SequenceNode):
            return [self._construct(item, (*path, number)) for number, item in enumerate(node.value)]
        value = self._scalars.construct_object(node)
        if isinstance(value, str) and (half := _SURROGATE.search(value)):
            raise self.error(path, f"{half[0]!r} is half a character, which no file can have: give the whole, or none")
        return value

    def _merged(self, node: MappingNode, path: Path_) -> Iterator[dict[str, Any]]:
        """What a mapping takes in by `<<`: its own keys go before these, and earlier ones before later ones."""
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                for one in value_node.value if isinstance(value_node, SequenceNode) else [value_node]:
                    if not isinstance(one, MappingNode):
                        raise self.error((*path, key_node.value), "<<: a mapping, or a list of mappings, is needed")
                    yield self._construct(one, path)


_SURROGATE = re.compile("[\ud800-\udfff]")


def _depth(text: str) -> int:
    """How deep brackets are nested, at most; counted, because YAML's reader takes a second for each 10,000 of them."""
    steps = ((sign in "[{") - (sign in "]}") for sign in text if sign in "[]{}")
    return max(accumulate(steps), default=0)
