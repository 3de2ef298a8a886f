"""Errors in one line, with where in a file of the user's own they were raised."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

from ..errors import UsageError

OURS = Path(__file__).resolve().parents[2]
OTHERS = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
"""Where Python's own modules lie."""


def place_in(error: BaseException) -> str:
    """The innermost line of the user's own code that an error has passed, such as `net.py:12: `; else nothing."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_users(frame.filename):
            return f"{Path(frame.filename).name}:{frame.lineno}: "
    return ""


def described(error: BaseException) -> str:
    """An error in one line: the user's own line that raised it, its type, and the first line of its text."""
    text = str(error).partition("\n")[0]
    return text if isinstance(error, UsageError) else f"{place_in(error)}{type(error).__name__}: {text}"


def is_users(filename: str) -> bool:
    """Whether a file is neither of the suite, nor of Python, nor of an installed package."""
    if filename.startswith("<"):
        return False
    path = Path(filename).resolve()
    ours = any(path.is_relative_to(OURS / room) for room in ("bench", "tasks", "models"))
    installed = {"site-packages", "dist-packages"} & {*path.parts}
    return not ours and not installed and not any(path.is_relative_to(folder) for folder in OTHERS)
