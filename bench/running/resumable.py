"""Which checkpoints runs go on from, and which are only what a kill has left beside the row of a finished run.

A row is appended before its checkpoint is removed, so that both may be there. The run is finished then, and is not made
again. Where a result is to be replaced (`--afresh`, `--stale`), a file beside the checkpoint has its checksum: as long
as this is the newest result the run goes on from the checkpoint; once its new row is there, it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .. import atomic


def replaced_by(checkpoint: Path) -> Path:
    """The file that has the checksum of the result which the run of this checkpoint is to replace."""
    return checkpoint.with_suffix(".replaces")


def goes_on(checkpoint: Path, result: str | None) -> bool:
    """Whether a run goes on from its checkpoint. result: the checksum of its newest result; None where it has none."""
    if result is None or not checkpoint.is_file():
        return checkpoint.is_file()
    mark = replaced_by(checkpoint)
    return mark.is_file() and mark.read_bytes() == result.encode()


def begin_anew(checkpoint: Path, result: str | None, forget: Callable[[Path], None]) -> None:
    """Before a run is made again: no checkpoint is there, and the next one replaces this result.

    forget: removes a checkpoint (`Backend.forget`). Raises OSError where that or the file cannot be written.
    """
    forget(checkpoint)
    replaced_by(checkpoint).unlink(missing_ok=True)
    if result is not None:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(replaced_by(checkpoint), result)


def has_left(checkpoint: Path) -> bool:
    """Whether a run that is finished has left something on this machine, as after a kill."""
    return checkpoint.is_file() or replaced_by(checkpoint).is_file()


def end(checkpoint: Path, forget: Callable[[Path], None]) -> None:
    """Removes all that a finished run has left, here and wherever the backend keeps checkpoints.

    What cannot be removed here is so by the next sweep: the row counts.
    """
    with suppress(OSError):
        forget(checkpoint)
        replaced_by(checkpoint).unlink(missing_ok=True)
