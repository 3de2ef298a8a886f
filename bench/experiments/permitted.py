"""Which tasks and models a row may have imported: read from the experiment without importing any of them.

A row may come from anywhere, and importing a module runs it. So a row's classes are resolved only where they are the
suite's own, or those of files and modules that the experiment itself names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import UsageError
from . import registry
from .marked_yaml import Marked
from .notation import parse

KINDS: tuple[registry.Kind, ...] = ("task", "model")


def check(config: Mapping[str, Any], folder: Path | None) -> None:
    """Raises UsageError where a row's configuration has a task or a model that may not be imported.

    folder: of the experiment; without one the suite's own may be, and no others.
    """
    for kind in KINDS:
        if not is_permitted(kind, config[kind]["name"], folder):
            raise UsageError(f"its {kind} {config[kind]['name']} is neither the suite's nor named by the experiment")


def is_permitted(kind: registry.Kind, name: Any, folder: Path | None) -> bool:
    """Whether a name can only mean what the suite has, or is that of a task or model which the experiment names."""
    if not isinstance(name, str):
        return False
    if ":" not in name and not name.endswith(".py"):  # a name of the suite, or of nothing: no module is imported for it
        return True
    return folder is not None and (kind, registry.within(name, folder)) in _names(folder)


def _names(folder: Path) -> frozenset[tuple[registry.Kind, str]]:
    file = (folder / "experiment.yaml").resolve()
    if not file.is_file():
        return frozenset()
    there = file.stat()
    return _read(file, there.st_mtime_ns, there.st_ino, there.st_size)


@lru_cache(maxsize=256)
def _read(file: Path, modified: int, inode: int, size: int) -> frozenset[tuple[registry.Kind, str]]:
    try:
        content = Marked(file).content
    except UsageError:  # what is wrong with it is said to those who load it
        return frozenset()
    found = set()
    for kind, text in _texts(content if isinstance(content, dict) else {}):
        try:
            found.add((kind, registry.within(parse(text).name, file.parent)))
        except UsageError:
            continue
    return frozenset(found)


def _texts(content: Mapping[str, Any]) -> Iterator[tuple[registry.Kind, str]]:
    """Every text that names a task or a model."""
    listed = content.get("rows")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    for row in rows:
        tasks = row.get("task")
        yield from (("task", text) for text in (tasks if isinstance(tasks, list) else [tasks]) if isinstance(text, str))
    for place in (content, *rows):
        models = place.get("models")
        for entry in models if isinstance(models, list) else []:
            text = entry.get("model") if isinstance(entry, dict) else entry
            if isinstance(text, str):
                yield "model", text
