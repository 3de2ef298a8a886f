"""Kernels in a fresh checkout: each is compiled by one of the test processes, while the others wait for its code.

Without this all of them begin with the same minute of compiling. Numba looks into its cache once it is asked to
compile, so a process that has waited finds there what the other has written.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from numba.core.compiler_lock import global_compiler_lock
from numba.core.dispatcher import Dispatcher

COMPILE = Dispatcher.compile
"""As numba has it."""


def compile_in_turn(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """From here on no two processes compile a function at the same time. folder: of their locks."""
    folder.mkdir(exist_ok=True)

    def compile(self: Any, sig: Any) -> Any:
        name = f"{self.py_func.__module__}.{self.py_func.__qualname__}{sig}"
        file = folder / hashlib.sha256(name.encode()).hexdigest()[:16]
        # The lock of this process comes first: two of its threads would else wait for each other.
        with global_compiler_lock, FileLock(file):
            return COMPILE(self, sig)

    patch.setattr(Dispatcher, "compile", compile)
