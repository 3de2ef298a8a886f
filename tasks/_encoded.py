"""Encoded texts in the cache: built once, whole or not at all, and then mapped into memory.

A folder `encoded/<task>-v<version>-<key>` holds `vocabulary.json`, the symbols in the order of their ids and the names
of the files, and one `<text>.npy` each. The key is a hash of the payload sums and of the options that alter the ids.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from ._text import Encoded
from .datasets import DataError, cache_folder

_VOCABULARY = "vocabulary.json"

_in_memory: dict[Path, Encoded] = {}
"""What could not be written, by the folder where it should be: else a process would encode it again and again."""


def folder_of(task: str, version: int, sums: Mapping[str, str], options: Mapping[str, Any]) -> Path:
    """Where the texts of a task are kept: filename -> payload sum, and the options that alter the ids."""
    facts = json.dumps([dict(sums), dict(options)], sort_keys=True)
    key = hashlib.sha256(facts.encode()).hexdigest()[:16]
    return cache_folder() / "encoded" / f"{task}-v{version}-{key}"


def kept(folder: Path, build: Callable[[], Encoded]) -> Encoded:
    """What the folder holds, mapped into memory; where there is none, it is built and put there.

    It is written beside its place, flushed to disk and renamed as a whole, and one process builds while others wait.
    Where the cache cannot be written it stays in memory. Whatever `build` raises leaves nothing behind.

    Raises DataError where the folder is there and cannot be read.
    """
    if folder in _in_memory:
        return _in_memory[folder]
    if not folder.is_dir():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(folder.with_name(f"{folder.name}.lock"))
            lock.acquire()
        except (OSError, NotImplementedError):  # may not write there, no room, or no locks on that file system
            return _in_memory.setdefault(folder, build())
        try:
            if not folder.is_dir() and not _write(folder, encoded := build()):
                return _in_memory.setdefault(folder, encoded)
        finally:
            lock.release()
    return _read(folder)


def write_json(path: Path, content: Any) -> None:
    """Writes a small file whole or not at all. Raises OSError where it cannot be written."""
    unfinished = path.with_name(f".{uuid.uuid4().hex}.{path.name}")
    try:
        with unfinished.open("x", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _write(folder: Path, encoded: Encoded) -> bool:
    """Whether there was room, and leave, to put it there; the lock must be held."""
    for abandoned in folder.parent.glob(f".*.{folder.name}"):  # by a process that was killed: we hold the lock
        shutil.rmtree(abandoned, ignore_errors=True)
    unfinished = folder.with_name(f".{uuid.uuid4().hex}.{folder.name}")
    try:
        unfinished.mkdir()
        write_json(unfinished / _VOCABULARY, {"symbols": encoded.symbols, "files": encoded.files})
        for name, ids in encoded.texts.items():
            with (unfinished / f"{name}.npy").open("xb") as file:
                np.save(file, ids, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        unfinished.rename(folder)
    except OSError:
        return False
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # gone already where all went well
    return True


def _read(folder: Path) -> Encoded:
    try:
        there = (folder / _VOCABULARY).stat()
        content = _parsed(folder / _VOCABULARY, there.st_mtime_ns, there.st_ino)
        # copy on write: a map that is read only makes torch warn that it could be written to
        texts = {name: np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in content["files"]}
        return Encoded(content["symbols"], texts, content["files"])
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is damaged ({error}): delete it") from error


@lru_cache(maxsize=8)
def _parsed(path: Path, modified: int, inode: int) -> Any:
    """A file of JSON, parsed once as long as it is the same file: the vocabulary is asked for at each symbol shown."""
    return json.loads(path.read_text(encoding="utf-8"))
