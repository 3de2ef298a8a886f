"""Modules of a user's own that a run has loaded, though its hash does not cover them (`experiments.hidden_imports`).

They could be edited, and no row would be stale. So a row names them in its provenance as `unhashed`, and is dirty.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..experiments import hidden_imports
from ..experiments.runs import Run
from ..experiments.user_code import is_users
from . import repositories, sources

BEFORE = frozenset(sys.modules)
"""What this process had imported before it loaded any code of a user's."""


def of_run(run: Run, origin: Mapping[str, Any]) -> dict[str, Any]:
    """What a row's provenance says of them: nothing where there are none.

    origin: the provenance without it. Where the sources were clean, what differs are these modules alone.
    """
    modules = loaded(run)
    if not modules:
        return {}
    return {"unhashed": [*modules], "dirty": True, "diff": origin["diff"] or repositories.digest(modules)}


def loaded(run: Run) -> dict[str, bytes]:
    """The modules that code of a run has loaded here, though its hash does not cover them: name -> content.

    Only where one of its files loads by names made at run time: what else a process has imported is not the run's.
    """
    if not hidden_imports.calls(run):
        return {}
    covered = sources.files_of(run)
    found = {}
    for name in sorted(sys.modules.keys() - BEFORE):
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and is_users(file) and Path(file).resolve() not in covered:
            found[name] = repositories.content(Path(file)) or repositories.GONE
    return found
