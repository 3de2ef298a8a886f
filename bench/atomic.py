"""The one way to write a file: whole or not at all, whatever ends the process or the machine meanwhile."""

from __future__ import annotations

import os
import platform
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import psutil

MACHINE = re.sub(r"[^A-Za-z0-9]", "", platform.node())[:40]
"""How this machine is named in names of files."""
_TEMPORARY = re.compile(r"\.(.+)\.([A-Za-z0-9]*)-(\d{1,9})-[0-9a-f]{8}\.tmp")
"""The name of a file that is being written: that of its place, and the machine and the process that write it."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Within it a file is written that then stands at `path`; where an error leaves the block, all stays as it was.

    It is written under a hidden name beside its place, flushed to the disk and renamed, and the folder is flushed too:
    whoever reads `path` finds what was there before or all that is new. A link stays a link, and what is no plain
    file, such as /dev/stdout, is written as it is. Raises OSError where it cannot be written.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{MACHINE}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(target.parent)


def write(path: Path, content: bytes | str) -> None:
    """Writes a file of these bytes, or of this text in UTF-8, as `replacing` does.

    What UTF-8 has no bytes for, a lone surrogate in an error of a user's model, is spelled out.
    """
    with replacing(path) as file:
        file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


def remove_abandoned(folder: Path, name: str | None = None) -> None:
    """Removes what processes have left in a folder that were killed while they wrote.

    name: only what was to become the file of this name. What a process of this machine may still write stays, and so
    does what another machine writes into a shared folder.
    """
    for path in folder.glob(".*.tmp"):
        found = _TEMPORARY.fullmatch(path.name)
        if found is None or name not in (None, found[1]) or found[2] != MACHINE:
            continue
        if not psutil.pid_exists(int(found[3])):
            with suppress(OSError):
                path.unlink()


def flush_folder(folder: Path) -> None:
    """Sees to it that files which were made, renamed or removed in a folder are so after a loss of power, too."""
    if os.name == "nt":  # a folder cannot be opened there
        return
    with suppress(OSError):  # nor flushed on some file systems; the file itself is whole all the same
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
