"""One measurement from beginning to end: the machine, then the parts that were asked for, each kept as it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ...tasks.datasets import DataError, fetch
from ..errors import UsageError
from ..running.cores import cores
from . import machine, peaks, record, scaling, throughput, turns
from .helper import Variant
from .shapes import Case

Say = Callable[[str], None]


class Session:
    """Measures on a device with so many threads; `content` is what has been measured so far.

    name: what the machine is called. out: a file that has all of it after every step, None for no file. say: told
    what happens. Raises UsageError where `out` holds what does not belong together with this.
    """

    def __init__(self, device: str, threads: int, name: str, out: Path | None, say: Say) -> None:
        if not 1 <= threads <= cores():
            raise UsageError(f"--threads {threads}: this machine has {cores()} cores to use")
        self.device, self.threads, self.out, self.say = device, threads, out, say
        self.facts = machine.facts(torch.device(device), threads, name)
        self.before: dict[str, Any] = {}
        if out is not None:
            record.check(out, self.facts)
            self.before = record.read(out)
        self.new: dict[str, Any] = {"rows": [], "left_out": []}
        busy = machine.busy_now()
        if busy > machine.OTHERS:
            say(f"WARNING: others use {busy:.0%} of the cores now; the figures will say that they were shared")
        try:
            self.rates = turns.rates(device, threads)
        except turns.HelperFailed as error:
            raise UsageError(str(error)) from error
        self.watch = machine.Watch()
        self._keep()

    @property
    def content(self) -> dict[str, Any]:
        """What the file says now: the machine, what was measured, and what stood there before."""
        block = {**self.facts, **self.rates, **self.watch.read()}
        return record.merged(self.before, {"machine": block, **self.new})

    def measure_rows(self, cases: Sequence[Case], repeat: int, peers: Sequence[Variant] = ()) -> None:
        """A row for each case; one whose data cannot be had is left out, with the reason. peers: as of `turns`."""
        for case in cases:
            try:
                for remote in case.run.task_class.remotes:
                    fetch(remote)
            except DataError as error:
                reason = f"{remote.filename} cannot be had"  # the places where it was looked for are this machine's
                self.new["left_out"].append({"task": case.task, "model": case.model, "reason": reason})
                self.say(f"left out: {case.task} {case.model}: {str(error).partition(chr(10))[0]}")
                continue
            row = turns.measure(case, self.device, self.threads, repeat, self.rates, peers)
            self.new["rows"].append(row)
            self.say(told(row))
            self._keep()
            self.new["rows"][-1] = peaks.over_processes(case, self.device, self.threads, row)
            self._keep()

    def measure_sweep(self) -> None:
        """Runs per hour, side by side and in turn."""
        self.new["sweep"] = throughput.measure(self.threads, self.device, self.say)
        self._keep()

    def measure_lengths(self, cases: Sequence[Case], repeat: int) -> None:
        """A step against T and against B, for cases of one task."""
        self.new["lengths"] = scaling.measure(cases, self.device, self.threads, repeat, self.say)
        self._keep()

    def finish(self) -> dict[str, Any]:
        """The content; says it loudly where others used the cores meanwhile."""
        content = self.content
        block = content["machine"]
        if block["shared"]:
            self.say(
                f"WARNING: others used {block['others']:.0%} of the cores (load average {block['load_after']}); "
                "these figures are marked `shared` and are no measure of speed: measure again on a quiet machine"
            )
        return content

    def _keep(self) -> None:
        if self.out is not None and (self.new["rows"] or self.new.keys() & {"sweep", "lengths"}):
            record.write(self.out, self.content)


TOLD = {
    "ratio_defaults": "the reference",
    "ratio_flushed": "the reference, flushed",
    "ratio_compile": "the reference by torch.compile",
    "ratio_jax": "JAX",
}


def told(row: dict[str, Any]) -> str:
    """A row in a line, for those who wait."""
    parts = []
    if row["ours_ms"] is not None:
        parts.append(f"{row['ours_ms']:.4g} ms a step")
    for key, name in TOLD.items():
        if row.get(key) is not None:
            parts.append(f"{row[key]:.2f} x {name}")
    if "error" in row:
        parts.append(f"error: {row['error']}")
    return f"{row['task']} {row['model']}: {', '.join(parts)}"
