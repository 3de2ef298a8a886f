"""Files that one process at a time may hold, and that go when nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def held(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Within it no other process holds the lock `path`; afterwards the file is gone.

    patience: seconds to wait for another holder. Raises `filelock.Timeout` where that is not enough, OSError where the
    file cannot be made.
    """
    lock = FileLock(path)
    lock.acquire(timeout=patience)
    try:
        yield
    finally:
        # removed while it is held: who waits for it sees that it has no name any more, and makes another
        with suppress(OSError):  # Windows removes no open file
            path.unlink()
        lock.release()


def remove_unheld(folder: Path) -> None:
    """Removes the lock files in a folder that killed processes have left."""
    for path in folder.glob("*.lock"):
        with suppress(OSError, Timeout), held(path):
            pass
