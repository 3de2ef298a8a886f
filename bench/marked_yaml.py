"""YAML with the line of every value, so that an error can say where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .errors import UsageError

Path_ = tuple[str | int, ...]


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
