"""What a run needs to go on after a kill: one file a run, replaced atomically, owned by one process at a time."""

from __future__ import annotations

import io
import os
import time
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from filelock import FileLock, Timeout

OWNER_PATIENCE = 10.0
"""Seconds to wait for the owner of a checkpoint to die (it does so within two, once its parent is gone)."""


class Owned(Exception):
    """Another process holds this checkpoint."""


class Checkpoint:
    """The file `path`, held by this process from `with` on, and due `every` seconds after it was saved last.

    What takes long to save (a large network's is a gigabyte) is due more seldom, so that no more than a twentieth of
    the time goes into saving; with `every` 0 it is always due.

    stamp: the hash of the source that trains; what another source has saved is not gone on with.
    Only tensors, numbers, strings, lists and dicts go in, so that it is read with `weights_only`, which runs no code.
    Raises Owned on entry where another process holds it for longer than `OWNER_PATIENCE`.
    """

    def __init__(self, path: Path, stamp: str = "", every: float = 60.0) -> None:
        self.path = path
        self.stamp = stamp
        self.every = every
        self._lock = FileLock(f"{path}.lock")
        self._saved_at = time.monotonic()
        self._took = 0.0

    def __enter__(self) -> Checkpoint:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=OWNER_PATIENCE)
        except Timeout as error:
            raise Owned(f"{self.path}: another process trains this run") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    @property
    def due(self) -> bool:
        """Whether enough time has gone by since the last saving."""
        return time.monotonic() - self._saved_at >= (max(self.every, 20 * self._took) if self.every else 0)

    def save(self, content: dict[str, Any]) -> None:
        """Writes `content` under a temporary name, to the disk, and then under the final one."""
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        started = time.monotonic()
        try:
            whole = io.BytesIO()  # torch's own writer hides why a disk refuses
            torch.save({**content, "stamp": self.stamp}, whole)
            with temporary.open("wb") as file:
                file.write(whole.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)
        self._saved_at = time.monotonic()
        self._took = self._saved_at - started

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The content, tensors on `device`; None where there is none for this stamp. A damaged file is set aside."""
        if not self.path.is_file():
            return None
        try:
            with zipfile.ZipFile(self.path) as file:
                if file.testzip() is not None:  # torch.load does not look at the sums
                    raise zipfile.BadZipFile
            content = torch.load(self.path, map_location=device, weights_only=True)
        except Exception:  # torch.load raises IndexError, KeyError, struct.error and more for damaged files
            self.path.replace(self.path.with_suffix(".damaged"))
            return None
        return content if content.pop("stamp", None) == self.stamp else None
