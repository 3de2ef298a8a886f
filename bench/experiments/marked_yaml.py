"""YAML with the line of every value, so that an error can say where it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ..errors import UsageError, nearest
from .options import Option, coerce

Path_ = tuple[str | int, ...]

CUT = "a comma has cut it: write it on a line of its own, or put quotes around it"
"""YAML reads `[rnn, tcn(kernel=5, levels=4)]` as three items."""


class Marked:
    """The content of a YAML file, and the line of every key and item in it.

    Raises UsageError for a file that cannot be read, is not YAML, or gives a key twice.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lines: dict[Path_, int] = {}
        try:
            text = file.read_text(encoding="utf-8")
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{file}: {error}") from error
        except yaml.YAMLError as error:
            raise self._not_yaml(error) from error
        self._loader = yaml.SafeLoader("")
        try:
            self.content = self._construct(node, ()) if node is not None else None
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # an unknown tag, the 30th of February, a loop
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

    def _construct(self, node: yaml.Node, path: Path_) -> Any:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            mapping: dict[str, Any] = {}
            for key_node, value_node in node.value:
                key = str(key_node.value)  # as it is written: `yes` stays a word
                self._lines[(*path, key)] = key_node.start_mark.line + 1
                if key in mapping:
                    raise self.error((*path, key), f"{key!r} is given twice")
                mapping[key] = self._construct(value_node, (*path, key))
            return mapping
        if isinstance(node, yaml.SequenceNode):
            return [self._construct(item, (*path, number)) for number, item in enumerate(node.value)]
        return self._loader.construct_object(node)
