"""On a card: do executed steps repeat, are captured ones those that are executed, and packed runs those that are alone?

`python -m seqbench.bench.running.card` trains small runs in all these ways and prints, as it goes, by how much their
losses differ at most, in relation: of the training, and of validation and test after each epoch. What raises is a line,
and the others go on. Exit code 0 where all agree, 1 where they do not, 2 where there is no card.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import Any

import torch

from ...tasks.datasets import DataError
from .. import api
from ..engine.cuda import Cuda, CudaLane
from ..engine.lanes import Lane, Turns, finished
from ..engine.outcome import Outcome, never
from ..engine.repeatable import repeatable
from ..engine.training import Loop
from ..experiments.runs import Run
from .packing import Packing

ADDING = "adding(length=60, train=1250, valid=100, test=100)"
COPY = "copy-memory(delay=30, train=320, valid=50, test=50)"
MODELS = ("rnn(width=32)", "lstm(width=32)", "gru(width=32, layers=2, dropout=0.2)", "tcn(levels=4, dropout=0.1)")
SETTINGS: dict[str, Any] = {"epochs": 2, "batch": 32, "clip": 1.0, "schedule": "step(every=1, by=0.5)"}
CASES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *((task, model, {}) for task in (ADDING, COPY) for model in MODELS),
    (ADDING, MODELS[2], {"optimizer": "rmsprop", "momentum": 0.5}),
    (ADDING, MODELS[2], {"optimizer": "sgd", "momentum": 0.9}),
    (ADDING, MODELS[2], {"optimizer": "adagrad"}),
    (ADDING, MODELS[3], {"precision": "tf32"}),
    (ADDING, MODELS[3], {"precision": "bfloat16"}),
    ("jsb", MODELS[3], {"batch": 1}),  # of differing lengths, in buckets
    ("ptb-char(context=20, scored=20, train=20000, held=2000)", MODELS[1], {}),  # goes on where it was
)
"""Task, model, and settings beside SETTINGS. The last two need data, and are left out where these cannot be had."""
LANES = 40
"""Runs that are packed at the least: more than a card has streams (32), so that some share one."""
TOLERANCE = {"again": 0.0, "captured": 1e-3, "packed": 0.0}
"""Again: the same bits. Captured: the fused optimizer rounds elsewhere. Packed: the same graphs, so the same bits."""


class _Member:
    kind = "check"

    def __init__(self, run: Run, device: torch.device) -> None:
        self.run, self.device = run, device
        self.outcome: Outcome | None = None
        self.error: Exception | None = None

    def begin(self, lane: Lane) -> Turns:
        return Loop(self.run, self.device, lane).turns()

    def end(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def fail(self, error: Exception) -> None:
        self.error = error


def alone(run: Run, device: torch.device, captures: bool) -> Outcome:
    """One training with the card to itself."""
    with CudaLane(device, captures) as lane:
        outcome: Outcome = finished(Loop(run, device, lane).turns())
        lane.close()
    return outcome


def difference(run: Run, ours: Outcome, expected: Outcome) -> float:
    """The largest relative difference of two trainings' losses; infinite where not both went on to the end."""
    metric = run.make_task().metrics[0].name  # the loss, as it is evaluated
    mine, others = _losses(ours, metric), _losses(expected, metric)
    if len(mine) != len(others):  # one of them diverged
        return math.inf
    return max(_relative(one, other) for one, other in zip(mine, others, strict=True))


def _relative(one: float, other: float) -> float:
    if one == other:
        return 0.0
    found = abs(one - other) / abs(other) if other else math.inf
    return found if math.isfinite(found) else math.inf


def _losses(outcome: Outcome, metric: str) -> list[float]:
    points = [point[part][metric] for point in outcome.progress.curve for part in ("valid", "test")]
    return [loss for _, loss in outcome.progress.trace] + points


def main() -> int:
    """Checks the first card; returns the exit code."""
    if not torch.cuda.is_available():
        print("torch sees no CUDA device here, and there is nothing to check without one", file=sys.stderr)
        return 2
    return 0 if agree(torch.device("cuda")) else 1


def agree(device: torch.device) -> bool:
    """Prints one line a run for what it does alone, then one for what it does among others; whether all agree."""
    good, captured = True, dict[str, Outcome]()
    runs = _runs()
    with repeatable(device):
        for run in runs:
            try:
                first, again, captured[run.id] = (alone(run, device, captures) for captures in (False, False, True))
            except Exception as error:
                good = _say(run, {}, error)
                continue
            found = {"again": difference(run, again, first), "captured": difference(run, captured[run.id], first)}
            good = _say(run, found, remark=captured[run.id].uncaptured) and good
        fillers = [api.make_run(ADDING, MODELS[0], seed=seed, **SETTINGS) for seed in range(1, LANES + 1 - len(runs))]
        members = [_Member(run, device) for run in (*runs, *fillers)]
        Packing(Cuda(device), len(members)).run(members, never)
        for member in members[: len(runs)]:
            if member.outcome is None:
                good = _say(member.run, {}, member.error)
            elif member.run.id in captured:
                found = {"packed": difference(member.run, member.outcome, captured[member.run.id])}
                good = _say(member.run, found) and good
    return good


def _runs() -> list[Run]:
    runs = []
    for task, model, changes in CASES:
        settings = {**SETTINGS, **changes}
        precision = settings.pop("precision", "float32")
        run = replace(api.make_run(task, model, **settings), precision=precision)
        try:
            run.make_task().load(0)
        except DataError as error:
            print(f"{run}: left out: {error}", flush=True)
        else:
            runs.append(run)
    return runs


def _say(run: Run, found: dict[str, float], error: Exception | None = None, remark: str = "") -> bool:
    """One line; whether all in it is as it should be."""
    good = error is None and all(value <= TOLERANCE[how] for how, value in found.items())
    parts = [f"{how} {value:.1e}" for how, value in found.items()]
    parts += [f"{type(error).__name__}: {error}"] if error is not None else []
    parts += [f"not captured: {remark}"] if remark else []
    print(f"{'agrees' if good else 'DIFFERS'}: {run}: {', '.join(parts)}", flush=True)
    return good


if __name__ == "__main__":
    sys.exit(main())
