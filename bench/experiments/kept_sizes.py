"""Sizes that were fitted once and are kept for later processes.

To meet a budget of parameters some twenty networks are counted for each cell of an experiment. For a grid of sixty
cells this takes longer than to read all its rows. So the options that were found are kept in the user's cache folder.
They are valid for the same sources of models, tasks and experiments and the same torch; a file of each such state has
its hash as its name. Models and tasks of a user's own are fitted each time, because their files may change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import torch

from ...tasks.base import Task
from ...tasks.datasets import DataError, cache_folder
from .. import atomic
from . import networks, registry, sizing
from .notation import Spec

Sizes = dict[str, int | None]
"""The options that a budget decides on, by name; None where one stays as it is."""
ROOMS = ("models", "tasks", "bench/experiments")
"""The folders whose sources decide on a size."""
STATES = 8
"""So many states of the sources are kept; the oldest goes first."""


def place() -> Path:
    """The folder of the files. Raises DataError where the user has no home folder."""
    return cache_folder() / "sizes"


class KeptSizes:
    """The sizes of one state of the sources: read when the first is asked for, written by `save`."""

    def __init__(self) -> None:
        self._found: dict[str, Sizes] | None = None
        self._new: dict[str, Sizes] = {}

    def sized(
        self,
        task: Task,
        named: Spec,
        spec: Spec,
        budget: int | None,
        tolerance: float,
        head: Spec,
        embedding: Spec,
        folder: Path | None,
    ) -> Spec:
        """What `sizing.sized` gives, from the file where it is there. named: the task with all its options.

        Raises UsageError as `sizing.sized` does; what is refused is not kept.
        """
        if budget is None or not (_of_the_suite("task", named.name) and _of_the_suite("model", spec.name)):
            return sizing.sized(task, spec, budget, tolerance, head, embedding, folder)
        key = _key(task, named, spec, budget, tolerance, head, embedding)
        if self._found is None:
            self._found = _read()
        if key in self._found:
            return _with(self._found[key], task, spec, folder)
        made = sizing.sized(task, spec, budget, tolerance, head, embedding, folder)
        size = {name: made.options[name] for name in networks.size_options(registry.find("model", spec.name, folder))}
        if _with(size, task, spec, folder).options == made.options:
            self._found[key] = self._new[key] = size
        return made

    def save(self) -> None:
        """Writes what is new. A folder that cannot be written costs time and nothing else."""
        if not self._new:
            return
        with suppress(OSError, DataError):
            file = _file()
            file.parent.mkdir(parents=True, exist_ok=True)
            sizes = {**_read(), **self._new}
            atomic.write(file, json.dumps({"checksum": _checksum(sizes), "sizes": sizes}, indent=0, sort_keys=True))
            states = sorted(file.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for old in states[:-STATES]:
                old.unlink(missing_ok=True)
        self._new.clear()


def _of_the_suite(kind: registry.Kind, name: str) -> bool:
    return name in registry.listing(kind)


def _key(task: Task, named: Spec, spec: Spec, budget: int, tolerance: float, head: Spec, embedding: Spec) -> str:
    """Of all that a size depends on beside the sources; the task's input and outputs may hang on a file of data."""
    specs = [[one.name, sorted(one.options.items())] for one in (named, spec, head, embedding)]
    parts = [specs, repr(task.input), task.outputs, budget, tolerance]
    return hashlib.sha256(json.dumps(parts, default=repr).encode()).hexdigest()[:24]


def _with(size: Mapping[str, int | None], task: Task, spec: Spec, folder: Path | None) -> Spec:
    """The model with the options of this size, and all the others as `sizing.sized` chooses them."""
    chosen = {name: value for name, value in size.items() if value is not None}
    given = {**task.sizes.get(registry.short(spec.name), {}), **spec.options, **chosen}
    _, options = registry.resolve("model", Spec(spec.name, given), folder)
    return Spec(spec.name, options)


def _read() -> dict[str, Sizes]:
    """What the file holds; nothing where there is none, or one with other sizes than were written."""
    with suppress(OSError, ValueError, RecursionError, DataError):
        content = json.loads(_file().read_text(encoding="utf-8"))
        sizes = content.get("sizes") if isinstance(content, dict) else None
        if isinstance(sizes, dict) and content.get("checksum") == _checksum(sizes):
            return sizes
    return {}


def _checksum(sizes: Mapping[str, Sizes]) -> str:
    return hashlib.sha256(json.dumps(sizes, sort_keys=True).encode()).hexdigest()[:16]


def _file() -> Path:
    return place() / f"{_state(registry.ROOT)}.json"


@lru_cache(maxsize=1)
def _state(root: Path) -> str:
    """A hash of all sources that decide on a size, and of torch's version."""
    state = hashlib.sha256(torch.__version__.encode())
    for room in ROOMS:
        for path in sorted((root / room).glob("*.py")):
            state.update(path.name.encode() + path.read_bytes())
    return state.hexdigest()[:16]


KEPT = KeptSizes()
"""Those of this process."""
