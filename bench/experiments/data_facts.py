"""Where the data of each task come from, and on which terms: `tasks/data.yaml`, with the files that the tasks name.

The YAML holds what the code cannot know: licences, who may hand the data on, how they were split and prepared. The
rest is read from the tasks, so it is written once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from ...tasks.datasets import Remote
from . import registry

FILE = "data.yaml"


class Sizes(NamedTuple):
    """How many examples, pieces or tokens the three parts have."""

    train: int
    valid: int
    test: int


@dataclass(frozen=True)
class Collection:
    """Data that several tasks may share. spdx: of generated data, which are ours, the licence's name in SPDX."""

    title: str
    origin: str
    licence: str
    redistribution: str
    spdx: str | None = None


@dataclass(frozen=True)
class TaskData:
    """The data of one task.

    sizes: what is counted -> how many. version, source and files are the task's own; a task without files is generated.
    """

    task: str
    line: str
    collection: Collection
    sizes: Mapping[str, Sizes]
    split: str
    preprocessing: str
    version: int
    source: str
    variants: tuple[str, ...]
    files: tuple[Remote, ...]

    @property
    def generated(self) -> bool:
        """Whether the suite makes the data itself."""
        return not self.files


def task_data() -> list[TaskData]:
    """The data of every task, collection by collection, in the order of the file. Imports the tasks, and so torch."""
    content = _content()
    listed = registry.listing("task")
    found = []
    for described in content["collections"]:
        collection = Collection(**{key: value for key, value in described.items() if key != "tasks"})
        for name, facts in described["tasks"].items():
            task, entry = registry.find("task", name), listed[name]
            sizes = {counted: Sizes(*counts) for counted, counts in facts["sizes"].items()}
            found.append(
                TaskData(
                    name, entry.line, collection, sizes, facts["split"].strip(), facts["preprocessing"].strip(),
                    task.version, entry.source, entry.variants, tuple(task.remotes),
                )
            )  # fmt: skip
    return found


def versions() -> str:
    """How versions of tasks are kept, in words."""
    text: str = _content()["versions"]
    return text.strip()


def _content() -> dict[str, Any]:
    path: Path = registry.ROOT / "tasks" / FILE
    content: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return content
