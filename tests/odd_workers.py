"""Workers that do not do what they should, and one that looks around; nothing heavy is imported here."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any


def look_around(pipe: Any, job: Any) -> None:
    """Sends what it was born with: `torch` and the rest are there only if the fork server has imported them."""
    modules = set(sys.modules)
    pipe.send({"modules": modules, "environment": dict(os.environ)})


def hang(pipe: Any, job: Any) -> None:
    """Never says that it has started, as a worker of a broken fork server."""
    time.sleep(600)


def leave(pipe: Any, job: Any) -> None:
    """Ends without a row."""
    pipe.send(("started", os.getpid()))
    sys.exit(3)


def not_listen(pipe: Any, job: Any) -> None:
    """Does not stop when it is asked to; a file `deaf-ID` in the experiment's folder says that the process is there."""
    pipe.send(("started", os.getpid()))
    Path(job.folder, f"deaf-{os.getpid()}").touch()
    time.sleep(600)


def of_an_older_loop(pipe: Any, job: Any) -> None:
    """Works with a loop that was imported before its files changed."""
    from seqbench.bench import worker

    worker.LOADED = "0" * 16
    worker.main(pipe, job)
