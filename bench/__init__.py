"""The engine: it knows no task and no model by name.

Each folder is a room, which says in its `__init__.py` what it is for and which rooms it may import; a test
(`tests/test_floors.py`) holds it to that. The Python interface, imported when it is first used:

`make_task`, `make_network`, `make_run`, `train`, `load_run`, `predictions`, `read_rows`; see `api.py`.
"""

from typing import Any

__all__ = ["load_run", "make_network", "make_run", "make_task", "predictions", "read_rows", "train"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # lazily: `seqbench list` must not wait for torch
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
