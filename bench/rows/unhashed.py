"""Modules of a user's own that a run has loaded, though its hash does not cover them (`experiments.hidden_imports`).

They could be edited, and no row would be stale. So a row names them in its provenance as `unhashed`, and is dirty.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..experiments import hidden_imports
from ..experiments.runs import Run
from ..experiments.user_code import is_users
from . import sources

BEFORE = frozenset(sys.modules)
"""What this process had imported before it loaded any code of a user's."""


def loaded(run: Run) -> list[str]:
    """The names of the modules that code of a run has loaded here, though its hash does not cover them.

    Only where one of its files loads by names made at run time: what else a process has imported is not the run's.
    """
    if not hidden_imports.calls(run):
        return []
    covered = sources.files_of(run)
    found = []
    for name in sorted(sys.modules.keys() - BEFORE):
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and is_users(file) and Path(file).resolve() not in covered:
            found.append(name)
    return found
