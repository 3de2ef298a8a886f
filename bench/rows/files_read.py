"""Files of numbers that code of a user's own reads: weights, tables, lists of words. They decide a result as code does.

Python tells of each file that is opened (its audit event `open`, PEP 578). Where a line of a user's file stands among
the callers, the file belongs to every run of which that user's file is a part. A row keeps its checksum as `read` in
its provenance, and is stale once the file has another content.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections import defaultdict
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

from ...tasks.datasets import cache_folder
from ..experiments import hidden_imports, imports
from ..experiments.runs import Run
from ..experiments.user_code import is_users
from . import repositories

CODE = (*imports.SUFFIXES, ".pyc", ".nbi", ".nbc")
"""What imports open: code, which a row's hash covers, and what Python and Numba keep of it."""
OF_THE_SYSTEM = tuple(map(Path, ("/proc", "/sys", "/dev", "/etc")))

_opened: dict[str, set[str]] = defaultdict(set)
"""A file that was opened for reading -> the user's files among the callers."""


@cache
def watch() -> None:
    """From here on, opened files are noted in this process. It cannot be ended; a second call does nothing."""
    sys.addaudithook(_note)


def of_run(run: Run) -> dict[str, Any]:
    """What a row's provenance says of the files that its run has read in this process: nothing where there are none.

    A path begins with `./` or `../` where the file lies in the experiment's folder or in its repository: it is relative
    to that folder. Elsewhere it is absolute.
    """
    if not _opened:
        return {}
    own = {str(file) for file in hidden_imports.own_files(run)}
    opened = {Path(name).resolve() for name, callers in _opened.items() if own & callers}
    files = [file for file in opened if file.is_file() and _counts(file)]
    if not files:
        return {}
    folder = run.folder.resolve() if run.folder is not None else None
    top = None if folder is None else repositories.top_of(folder) or folder
    found = {_name(file, folder, top): checksum(file) for file in files}
    return {"read": dict(sorted(found.items()))}


def changed(origin: Mapping[str, Any], folder: Path | None) -> list[str]:
    """The names of the files that a row's run has read and that have another content now.

    origin: the row's provenance. A file that is not here tells nothing: the row may be of another machine.
    """
    files = {name: (folder or Path()) / name for name in origin.get("read") or {}}
    return [name for name, file in files.items() if file.is_file() and checksum(file) != origin["read"][name]]


def checksum(file: Path) -> str:
    """The SHA-256 of a file's content; computed again only where its time or length has changed."""
    status = file.stat()
    return _checksum(file, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=512)
def _checksum(file: Path, changed_at: int, length: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _name(file: Path, folder: Path | None, top: Path | None) -> str:
    """top: of the folder's repository, or the folder itself."""
    if folder is None or top is None or not file.is_relative_to(top):
        return file.as_posix()
    path = Path(os.path.relpath(file, folder)).as_posix()
    return path if path.startswith("../") else f"./{path}"


def _counts(file: Path) -> bool:
    """Whether a file is a user's own numbers: no code, nothing installed, none of the verified data of a task."""
    elsewhere = (*OF_THE_SYSTEM, cache_folder())
    return file.suffix not in CODE and imports.counts(file) and not any(file.is_relative_to(one) for one in elsewhere)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook. Whatever it raised would reach the code that opens the file."""
    if event != "open" or not _is_read(arguments):
        return
    callers = _users_callers()
    if callers:
        _opened[os.path.abspath(os.fsdecode(arguments[0]))] |= callers


def _is_read(arguments: tuple[Any, ...]) -> bool:
    """Whether a path is opened for reading: `open` names a mode, `os.open` flags alone."""
    path, mode, flags = arguments
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    return not set(mode) & set("wax") if isinstance(mode, str) else not flags & (os.O_WRONLY | os.O_CREAT)


def _users_callers() -> set[str]:
    found = set[str]()
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if _is_users(frame.f_code.co_filename):
            found.add(str(Path(frame.f_code.co_filename).resolve()))
        frame = frame.f_back
    return found


_is_users = lru_cache(maxsize=4096)(is_users)
