"""Where code of a user's own loads what reading it does not find: by a name that is made at run time, or by a path.

Which files define a result is found by reading them (`imports`). What `import_module(name)` of a variable loads is not
found so: it could be edited, and no row would be stale.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from . import imports, registry
from .runs import Run
from .user_code import is_users

KINDS: tuple[registry.Kind, ...] = ("task", "model")
SHOWN = 60
"""So many signs of a call are shown."""


def calls(run: Run) -> list[str]:
    """The calls in a run's own files that load what no hash covers, such as `net.py:4: import_module(name)`."""
    found = []
    for file in sorted(own_files(run)):
        for line, text in imports.named_at_run_time(file.read_bytes()):
            found.append(f"{file.name}:{line}: {text if len(text) <= SHOWN else f'{text[:SHOWN]}…'}")
    return found


def remarks(runs: Iterable[Run]) -> list[str]:
    """What should be known of these runs before they are trained: a sentence for each such call."""
    return [
        f"{call}: what this loads is not part of a row's hash: an edit of it makes no row stale, and a row that has "
        "loaded a module so is not published; name the module in an import"
        for call in dict.fromkeys(call for run in _one_of_each(runs) for call in calls(run))
    ]


def _one_of_each(runs: Iterable[Run]) -> Iterable[Run]:
    """One run of each pair of task and model: seeds and options change no file."""
    return {(run.task.name, run.model.name, run.folder): run for run in runs}.values()


def own_files(run: Run) -> set[Path]:
    """The Python files of a user's own that define a run."""
    found = set[Path]()
    for kind in KINDS:
        origin = registry.origin(kind, getattr(run, kind).name, run.folder)
        for file in origin.files if origin.places else ():
            reached = imports.files_of(
                file, origin.places, registry.PACKAGE, imports.on_disk, imports.installed_elsewhere
            )
            found |= {Path(one) for one in reached if one.suffix == ".py" and is_users(str(one))}
    return found
