"""What a person waits for before anything happens: commands, imports, a worker that is ready."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from .history import module

TINY = """
question: How long until it is done?
rows:
- task: adding(length=10, train=32, valid=8, test=8)
  training: {epochs: 1, batch: 8}
  models: [gru(width=4)]
"""


def run(*words: str, **environment: str) -> None:
    """A Python process, from its start to its end. Raises NotImplementedError where it fails: nothing to be timed."""
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, env={**os.environ, **environment})
    if ended.returncode:
        raise NotImplementedError(f"{' '.join(words)}: {ended.stderr[-500:]}")


class Commands:
    """The command line, its interpreter's start in it."""

    version = "1"
    number, rounds, repeat, warmup_time, timeout = 1, 1, (3, 5, 6.0), 0.0, 120

    def setup(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        experiment = Path(self.folder.name) / "tiny"
        experiment.mkdir()
        (experiment / "experiment.yaml").write_text(TINY, encoding="utf-8")

    def teardown(self) -> None:
        self.folder.cleanup()

    def time_list(self) -> None:
        run("-m", "seqbench.bench.cli", "list")

    def time_help(self) -> None:
        run("-m", "seqbench.bench.cli", "--help")

    def time_import(self) -> None:
        run("-c", "import seqbench.bench.api")

    def time_run_of_four_steps(self) -> None:
        folder = self.folder.name
        run("-m", "seqbench.bench.cli", "run", f"{folder}/tiny", "--afresh", SEQBENCH_RUNS=f"{folder}/runs")


class Workers:
    """A worker that does nothing, from its start to its end, after the server that makes them is there."""

    version = "1"
    number, rounds, repeat, warmup_time, timeout = 1, 1, (3, 5, 4.0), 0.0, 120

    def setup(self) -> None:
        processes = module("processes")
        self.context: Any = processes.worker_context("cpu")
        older = getattr(processes, "one_thread_in_children", nullcontext)  # the name before runs had threads
        self.children: Any = getattr(processes, "threads_in_children", older)
        self.time_ready()

    def time_ready(self) -> None:
        process = self.context.Process(target=os.getpid)
        with self.children():  # as a sweep starts them, and with them the server, which passes it on to all later ones
            process.start()
        process.join(60)
        if process.exitcode != 0:
            raise RuntimeError(f"the worker ended with exit code {process.exitcode}")
