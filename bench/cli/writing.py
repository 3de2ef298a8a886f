"""Files that the user names: what keeps one from being written is said in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UsageError


@contextmanager
def writing(out: Path, folder: bool = False) -> Iterator[None]:
    """Within it the file `out` is written, or files in the folder `out`; folders above it are made.

    Raises UsageError, with a remedy, where that cannot be.
    """
    try:
        (out if folder else out.parent).mkdir(parents=True, exist_ok=True)
        if not folder and out.is_dir():
            raise UsageError(f"--out {out}: that is a folder; name a file in it")
        yield
    except OSError as error:
        what = error.strerror or str(error)
        raise UsageError(f"--out {out}: cannot be written: {what}; name another place, or mend that one") from error
