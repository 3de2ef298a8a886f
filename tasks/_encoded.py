"""Encoded texts in the cache: built once, whole or not at all, and then mapped into memory.

A folder `encoded/<task>-v<version>-<key>` holds `vocabulary.json`, the symbols in the order of their ids, the names of
the files and the checksum of each text, and one `<text>.npy` each. The key is a hash of the payload sums, of the
options that alter the ids, and of the code that encodes. A process compares all checksums before it uses a folder for
the first time. What differs is made anew, so that no damage of the disk can reach a number.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import sys
import types
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from ._text import Encoded
from .datasets import cache_folder

_VOCABULARY = "vocabulary.json"
_APART = ("base", "datasets", "_downloads")
"""Modules that encode nothing: what they fetch is known by its checksum."""

_in_memory: dict[Path, Encoded] = {}
"""What could not be written, by the folder where it should be: else a process would encode it again and again."""


def folder_of(task: str, version: int, sums: Mapping[str, str], options: Mapping[str, Any], code: str = "") -> Path:
    """Where the texts of a task are kept.

    sums: filename -> payload sum. options: those that alter the ids. code: as of `code_of`.
    """
    facts = json.dumps([dict(sums), dict(options), code], sort_keys=True)
    key = hashlib.sha256(facts.encode()).hexdigest()[:16]
    return cache_folder() / "encoded" / f"{task}-v{version}-{key}"


@lru_cache
def code_of(task: type[Any]) -> str:
    """A checksum of the code that encodes the texts of a task: what another code has encoded is not used.

    It covers the files of its classes and, of this package, all that they import; comments do not count.
    """
    own = {base.__module__ for base in task.__mro__} - sys.stdlib_module_names
    waiting = [sys.modules[name] for name in own]
    found: dict[str, str] = {}
    while waiting:
        module = waiting.pop()
        room, _, name = module.__name__.rpartition(".")
        encodes = name not in _APART if room == __package__ else module.__name__ in own
        if not encodes or module.__name__ in found:
            continue
        file = getattr(module, "__file__", None)  # none of what is typed into an interpreter
        found[module.__name__] = ast.dump(ast.parse(Path(file).read_bytes())) if file else ""
        for value in vars(module).values():
            home = value if isinstance(value, types.ModuleType) else sys.modules.get(getattr(value, "__module__", ""))
            waiting += [home] if isinstance(home, types.ModuleType) else []
    return hashlib.sha256("\n".join(found[name] for name in sorted(found)).encode()).hexdigest()[:16]


def kept(folder: Path, build: Callable[[], Encoded]) -> Encoded:
    """What the folder holds, mapped into memory; where there is none, or it is damaged, it is built and put there.

    It is written beside its place, flushed to disk and renamed as a whole, and one process builds while others wait.
    Where the cache cannot be written it stays in memory. Whatever `build` raises leaves nothing behind.
    """
    if folder in _in_memory:
        return _in_memory[folder]
    if (found := _read(folder)) is not None:
        return found
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder.with_name(f"{folder.name}.lock"))
        lock.acquire()
    except (OSError, NotImplementedError):  # may not write there, no room, or no locks on that file system
        return _in_memory.setdefault(folder, build())
    try:
        if (found := _read(folder)) is not None:  # by another process, while this one waited
            return found
        built = build()
        found = _read(folder) if _write(folder, built) else None
        return found if found is not None else _in_memory.setdefault(folder, built)
    finally:
        lock.release()


def write_json(path: Path, content: Any) -> None:
    """Writes a small file with its checksum, whole or not at all. Raises OSError where it cannot be written."""
    unfinished = path.with_name(f".{uuid.uuid4().hex}.{path.name}")
    try:
        with unfinished.open("x", encoding="utf-8") as file:
            json.dump({"content": content, "checksum": _checksum(content)}, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """What `write_json` has written there, parsed once as long as it is the same file.

    Raises OSError where it cannot be read, and ValueError where it is not what was written.
    """
    there = path.stat()
    return _parsed(path, there.st_mtime_ns, there.st_ino)


@lru_cache(maxsize=8)
def _parsed(path: Path, modified: int, inode: int) -> Any:
    """A file of JSON, once: the vocabulary is asked for at each symbol that is shown."""
    written = json.loads(path.read_bytes())
    if not isinstance(written, dict) or written.get("checksum") != _checksum(written.get("content")):
        raise ValueError(f"{path}: its content has not the checksum that it was written with")
    return written["content"]


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _write(folder: Path, encoded: Encoded) -> bool:
    """Whether there was room, and leave, to put it there; the lock must be held. What is there already is damaged."""
    for abandoned in folder.parent.glob(f".*.{folder.name}"):  # by a process that was killed: we hold the lock
        shutil.rmtree(abandoned, ignore_errors=True)
    unfinished = folder.with_name(f".{uuid.uuid4().hex}.{folder.name}")
    try:
        unfinished.mkdir()
        checksums = {}
        for name, ids in encoded.texts.items():
            with (unfinished / f"{name}.npy").open("x+b") as file:
                np.save(file, ids, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
                file.seek(0)
                checksums[name] = hashlib.file_digest(file, "sha256").hexdigest()
        facts = {"symbols": encoded.symbols, "files": encoded.files, "checksums": checksums}
        write_json(unfinished / _VOCABULARY, facts)
        if folder.exists():
            folder.rename(folder.with_name(f".{uuid.uuid4().hex}.{folder.name}"))  # whoever has mapped it keeps it
        unfinished.rename(folder)
        for damaged in folder.parent.glob(f".*.{folder.name}"):
            shutil.rmtree(damaged, ignore_errors=True)
    except OSError:
        return False
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # gone already where all went well
    return True


def _read(folder: Path) -> Encoded | None:
    """What the folder holds; None where there is none, or a file of it is not what was written."""
    try:
        content = read_json(folder / _VOCABULARY)
        for name, checksum in content["checksums"].items():
            there = (folder / f"{name}.npy").stat()
            if _checksum_of(folder / f"{name}.npy", there.st_mtime_ns, there.st_ino, there.st_size) != checksum:
                return None
        # copy on write: a map that is read only makes torch warn that it could be written to
        texts = {name: np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in content["files"]}
        return Encoded(content["symbols"], texts, content["files"])
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None


@lru_cache(maxsize=64)
def _checksum_of(path: Path, modified: int, inode: int, size: int) -> str:
    """The checksum of a file, computed once in a process: 100 MB take a tenth of a second."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
