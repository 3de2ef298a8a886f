"""Commands in processes of their own: started as a person starts them, or forked from one that has imported the suite.

To import torch and all else takes seconds of a processor, and much longer where others use it too; so most trials fork.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from experiments import in_session
from seqbench.bench import cli
from seqbench.bench.running import local, processes, sweep

MOST_PROCESSOR_SECONDS = 300.0
"""What a command with all its processes may use; one that never ends uses more."""
IDLE_SECONDS = 240
"""How long it may do nothing; the suite's own waits are shorter (`processes.START_UP_LIMIT`)."""
IMPORTED = (*processes.PRELOAD, "campaign", "matplotlib.pyplot", "rich.live", "seqbench.bench.report.page.page")
"""What no command that is forked has to import."""


@dataclass
class Command:
    """A command that was started, in a session of its own. words: the command line. output: where it writes."""

    words: str
    process: subprocess.Popen[bytes] | BaseProcess
    output: Path

    @property
    def pid(self) -> int:
        """The process, and the session."""
        assert self.process.pid is not None
        return self.process.pid

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs; of a signal, its number below zero."""
        return self.process.poll() if isinstance(self.process, subprocess.Popen) else self.process.exitcode

    def kill(self) -> None:
        """Ends every process of the session, and waits for the end."""
        while left := in_session(self.pid):
            for one in left:
                with suppress(psutil.Error):
                    one.kill()
            time.sleep(0.01)
        if self.code is None:
            self.process.kill()
        if isinstance(self.process, subprocess.Popen):
            self.process.wait()
        else:
            self.process.join()

    @property
    def text(self) -> str:
        """All that it has written."""
        return self.output.read_text(encoding="utf-8", errors="replace") if self.output.exists() else ""


def start(arguments: Sequence[str], environment: Mapping[str, str], output: Path) -> Command:
    """`python -m seqbench ARGUMENTS`."""
    with output.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "seqbench", *arguments],
            env={**os.environ, **environment},
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return Command(" ".join(arguments), process, output)


def fork(arguments: Sequence[str], environment: Mapping[str, str], output: Path) -> Command:
    """The same, forked; its workers are forked too, where they would come from a fork server.

    They save checkpoints every tenth of a second, so that what cuts them short often meets one.
    """
    context: Any = multiprocessing.get_context("forkserver")
    process = context.Process(target=_perform, args=(list(arguments), dict(environment), output))
    process.start()
    return Command(" ".join(arguments), process, output)


def prepare(library: str) -> None:
    """Starts what commands are forked from, with this library before the C library ("": with none)."""
    more = {"PYTHONPATH": os.pathsep.join(sys.path[:3])} | ({"LD_PRELOAD": library} if library else {})
    with mock.patch.dict(os.environ, more):
        multiprocessing.set_forkserver_preload([*IMPORTED])
        forkserver.ensure_running()


def _perform(arguments: list[str], environment: dict[str, str], output: Path) -> None:
    os.setsid()
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    os.environ.update(environment)
    sys.argv = ["seqbench", *arguments]
    forked = multiprocessing.get_context("fork")
    for module in (local, processes):
        module.worker_context = lambda device: forked
    sweep.run = partial(sweep.run, checkpoint_every=0.1)
    cli.main()


@dataclass
class Watch:
    """Tells a session of processes that hangs from one that only waits for a slow machine.

    It hangs where it has used `MOST_PROCESSOR_SECONDS`, or where for `IDLE_SECONDS` it used next to nothing though it
    did not wait for a processor or a disk: in most looks, one a second, none of its processes wanted to run.
    """

    session: int
    looked_at: float = 0.0
    wanting: list[bool] = field(default_factory=list)
    before: float = 0.0

    def hangs(self) -> bool:
        """To be asked often; looks once a second."""
        if time.monotonic() - self.looked_at < 1:
            return False
        self.looked_at, used, wants = time.monotonic(), 0.0, False
        for process in in_session(self.session):
            with suppress(psutil.Error):
                used += sum(process.cpu_times()[:2])
                wants |= process.status() in (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP)
        self.wanting.append(wants)
        if len(self.wanting) < IDLE_SECONDS:
            return used > MOST_PROCESSOR_SECONDS
        idle = sum(self.wanting) < IDLE_SECONDS / 2 and abs(used - self.before) < 2
        self.wanting, self.before = [], used
        return idle or used > MOST_PROCESSOR_SECONDS
