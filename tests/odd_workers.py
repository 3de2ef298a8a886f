"""Workers that do not do what they should, and one that looks around; nothing heavy is imported here."""

from __future__ import annotations

import os
import signal
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
    pipe.send("started")
    sys.exit(3)


def not_listen(pipe: Any, job: Any) -> None:
    """Does not stop when it is asked to; a file `deaf-ID` in the experiment's folder says that the process is there."""
    pipe.send("started")
    Path(job.folder, f"deaf-{os.getpid()}").touch()
    time.sleep(600)


def tell(pipe: Any, job: Any) -> None:
    """Says what its environment has."""
    from seqbench.bench.running.backend import RowMade

    for one in job.runs:
        pipe.send(RowMade(one.run, dict(os.environ)))


def die_after_a_row(pipe: Any, job: Any) -> None:
    """Is killed when its second run has begun, just after the row of the first."""
    from seqbench.bench.running.backend import Begun, RowMade

    first, second, *_ = (one.run for one in job.runs)
    for event in (Begun(first), Begun(second), RowMade(first, {})):
        pipe.send(event)
    os.kill(os.getpid(), signal.SIGKILL)


def obey(pipe: Any, job: Any) -> None:
    """Ends in order when it is asked to, without a word of the runs that it has not begun."""
    from seqbench.bench.running.backend import Begun, Stopped

    first = job.runs[0].run
    pipe.send(Begun(first))
    assert pipe.recv() == "stop"
    pipe.send(Stopped(first))


def linger(pipe: Any, job: Any) -> None:
    """Has no run left, and does not end."""
    from seqbench.bench.running.backend import RowMade

    for one in job.runs:
        pipe.send(RowMade(one.run, {}))
    time.sleep(60)


def wait_for_a_file(pipe: Any, job: Any) -> None:
    """Ends with a row when there is a file named `go` in the job's folder; without a parent it gives up in the end."""
    from seqbench.bench.running.backend import Begun, RowMade

    pipe.send(Begun(job.runs[0].run))
    give_up_at = time.monotonic() + 120
    while not (job.folder / "go").is_file() and time.monotonic() < give_up_at:
        time.sleep(0.01)
    pipe.send(RowMade(job.runs[0].run, {}))


def of_an_older_loop(pipe: Any, job: Any) -> None:
    """Works with a loop that was imported before its files changed."""
    from seqbench.bench.running import worker

    worker.LOADED = "0" * 16
    worker.main(pipe, job)
