"""On a card: are captured steps those that are executed, and packed runs those that are alone?

`python -m seqbench.bench.engine.check` trains small runs in all three ways and prints by how much their losses differ
at most, in relation. Exit code 0 where all agree, 1 where they do not, 2 where there is no card.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import torch

from .. import api
from ..repeatable import repeatable
from ..runs import Run
from ..training import Loop, Outcome, never
from .cuda import Cuda, CudaLane
from .lanes import Lane, Turns, finished
from .packing import Packing

TASKS = ("adding(length=60, train=1250, valid=100, test=100)", "copy-memory(delay=30, train=320, valid=50, test=50)")
MODELS = ("rnn(width=32)", "lstm(width=32)", "gru(width=32, layers=2, dropout=0.2)", "tcn(levels=4, dropout=0.1)")
SETTINGS: dict[str, Any] = {"epochs": 2, "batch": 32, "clip": 1.0, "schedule": "step(every=1, by=0.5)"}
TOLERANCE = {"captured": 1e-3, "packed": 0.0}
"""Captured: the fused optimizer rounds elsewhere. Packed: the same graphs, so the same bits."""


class _Member:
    kind = "check"

    def __init__(self, run: Run, device: torch.device) -> None:
        self.run, self.device = run, device
        self.outcome: Outcome | None = None

    def begin(self, lane: Lane) -> Turns:
        return Loop(self.run, self.device, lane).turns()

    def end(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def fail(self, error: Exception) -> None:
        raise error


def alone(run: Run, device: torch.device, captures: bool) -> Outcome:
    """One training with the card to itself."""
    with CudaLane(device, captures) as lane:
        outcome: Outcome = finished(Loop(run, device, lane).turns())
        lane.close()
    return outcome


def difference(ours: Outcome, expected: Outcome) -> float:
    """The largest relative difference of two trainings' losses; infinite where not both went on to the end."""
    traces = ours.progress.trace, expected.progress.trace
    if len(traces[0]) != len(traces[1]):  # one of them diverged
        return math.inf
    return max(abs(mine - other) / abs(other) for (_, mine), (_, other) in zip(*traces, strict=True))


def main() -> int:
    """Checks the first card; returns the exit code."""
    if not torch.cuda.is_available():
        print("torch sees no CUDA device here, and there is nothing to check without one", file=sys.stderr)
        return 2
    return 0 if agree(torch.device("cuda")) else 1


def agree(device: torch.device) -> bool:
    """Prints one line a run; whether all agree."""
    good = True
    runs = [api.make_run(task, model, **SETTINGS) for task in TASKS for model in MODELS]
    with repeatable(device):
        members = [_Member(run, device) for run in runs]
        Packing(Cuda(device)).run(members, never)
        for member in members:
            executed, captured = (alone(member.run, device, captures) for captures in (False, True))
            assert member.outcome is not None
            found = {"captured": difference(captured, executed), "packed": difference(member.outcome, captured)}
            good = good and all(found[how] <= TOLERANCE[how] for how in found)
            why = f"; not captured: {captured.uncaptured}" if captured.uncaptured else ""
            print(f"{member.run}: " + ", ".join(f"{how} {value:.1e}" for how, value in found.items()) + why)
    return good


if __name__ == "__main__":
    sys.exit(main())
