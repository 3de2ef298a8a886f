"""What a run needs to go on after a kill: one file a run, replaced atomically, owned by one process at a time.

A run goes on to the same bits only where nothing that alters them has changed: the source, which is the file's stamp,
and the circumstances, which the loop keeps in it. Else the run begins anew, and says why.
"""

from __future__ import annotations

import importlib.metadata
import io
import platform
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from filelock import Timeout

from .. import atomic, locks

OWNER_PATIENCE = 10.0
"""Seconds to wait for the owner of a checkpoint to die (it does so within two, once its parent is gone)."""


COMPUTE = ("torch", "numpy", "numba", "scipy")
"""The packages whose versions alter bits."""


class Owned(Exception):
    """Another process holds this checkpoint."""


def circumstances(device: torch.device, threads: int) -> dict[str, str]:
    """What alters the bits of a training beside its source, by name. threads: of a CPU; on a GPU they alter nothing."""
    found = {"device": device.type, "processor": processor_name()}
    found["instructions"] = torch.backends.cpu.get_cpu_capability()
    found["Python"] = platform.python_version()
    found |= {name: importlib.metadata.version(name) for name in COMPUTE}
    if device.type == "cpu":
        return found | {"threads": str(threads)}
    card = torch.cuda.get_device_name(device)
    return found | {"GPU": card, "CUDA": str(torch.version.cuda), "cuDNN": str(torch.backends.cudnn.version())}


def what_differs(then: Any, now: Mapping[str, str]) -> str:
    """In what circumstances a checkpoint was made that are others now, in words; empty where all are the same.

    >>> what_differs({"torch": "2.12.0", "threads": "1"}, {"torch": "2.13.0", "threads": "2"})
    'the checkpoint was made with torch 2.12.0, here it is 2.13.0; with threads 1, here it is 2'
    """
    if not isinstance(then, Mapping):
        return "the checkpoint does not say with which versions and on which machine it was made"
    names = [name for name in {**now, **then} if then.get(name) != now.get(name)]
    parts = [f"with {name} {then.get(name, 'unknown')}, here it is {now.get(name, 'unknown')}" for name in names]
    return f"the checkpoint was made {'; '.join(parts)}" if parts else ""


@lru_cache
def processor_name() -> str:
    """The processor's name, as the system has it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


class Checkpoint:
    """The file `path`, held by this process from `with` on, and due `every` seconds after it was saved last.

    What takes long to save (a large network's is a gigabyte) is due more seldom, so that no more than a twentieth of
    the time goes into saving; with `every` 0 it is always due.

    stamp: the hash of the source that trains; what another source has saved is not gone on with. refused: why the last
    `load` gave nothing though there was a file; empty where there was none.
    Only tensors, numbers, strings, lists and dicts go in, so that it is read with `weights_only`, which runs no code.
    Raises Owned on entry where another process holds it for longer than `OWNER_PATIENCE`.
    """

    def __init__(self, path: Path, stamp: str = "", every: float = 60.0) -> None:
        self.path = path
        self.stamp = stamp
        self.every = every
        self.refused = ""
        self._held = ExitStack()
        self._saved_at = time.monotonic()
        self._took = 0.0

    def __enter__(self) -> Checkpoint:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._held.enter_context(locks.held(self.path.with_name(f"{self.path.name}.lock"), OWNER_PATIENCE))
        except Timeout as error:
            raise Owned(f"{self.path}: another process trains this run") from error
        atomic.remove_abandoned(self.path.parent, self.path.name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    @property
    def due(self) -> bool:
        """Whether enough time has gone by since the last saving."""
        return time.monotonic() - self._saved_at >= (max(self.every, 20 * self._took) if self.every else 0)

    def save(self, content: dict[str, Any]) -> None:
        """Writes `content` to the disk; a file that is there is replaced by the whole of it."""
        started = time.monotonic()
        whole = io.BytesIO()  # torch's own writer hides why a disk refuses
        torch.save({**content, "stamp": self.stamp}, whole)
        with atomic.replacing(self.path) as file:
            file.write(whole.getbuffer())
        self._saved_at = time.monotonic()
        self._took = self._saved_at - started

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The content, tensors on `device`; None where there is none for this stamp. A damaged file is set aside."""
        self.refused = ""
        if not self.path.is_file():
            return None
        try:
            with zipfile.ZipFile(self.path) as file:
                if file.testzip() is not None:  # torch.load does not look at the sums
                    raise zipfile.BadZipFile
            content = torch.load(self.path, map_location=device, weights_only=True)
        except Exception:  # torch.load raises IndexError, KeyError, struct.error and more for damaged files
            damaged = self.path.with_suffix(".damaged")
            self.path.replace(damaged)
            self.refused = f"the checkpoint is damaged; it is kept as {damaged}"
            return None
        if content.pop("stamp", None) != self.stamp:
            self.refused = "the source has changed since the checkpoint was made"
            return None
        return dict(content)

    def resumable(
        self, device: torch.device, now: Mapping[str, str], say: Callable[[str], None]
    ) -> dict[str, Any] | None:
        """The content that a run can go on from to the same bits, tensors on `device`; else None.

        now: its present `circumstances`. say: told why a file that is there is not gone on with.
        """
        content = self.load(device)
        reason = self.refused
        if content is not None:
            reason = what_differs(content.get("circumstances"), now)
        if reason:
            say(f"begun anew: {reason}")
        return None if reason else content
