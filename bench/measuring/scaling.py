"""What a step costs against the length T of its sequences, and against their number B: both should be lines."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from statistics import linear_regression, median
from typing import Any

from ..errors import UsageError
from ..experiments.notation import Spec
from ..experiments.runs import Run
from . import helper
from .shapes import Case
from .turns import START_LIMIT, Helper, HelperFailed, count_of, spread, threads_of_children

LENGTHS = (100, 300, 1000, 3000, 10_000)
BATCHES = (8, 16, 32, 64, 128, 256)


def measure(
    cases: Sequence[Case], device: str, threads: int, repeat: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Ours, one model after the other, over the lengths at the run's own batch, then over batches at its own length.

    cases: of one task, every model once. Returns the task, `points` (model, steps T, batch B, ms, spread, peak_mb;
    `error` in place of numbers where a helper failed) and `exponents` (model, those fitted against T and B).
    """
    points = []
    for case in cases:
        for point in _of_model(case, device, threads, repeat):
            points.append({"model": case.model, **point})
            told = f"{point['ms']:.4g} ms" if point["ms"] else point["error"]
            say(f"{case.task} {case.model}, T = {point['steps']}, B = {point['batch']}: {told}")
    run = cases[0].run
    exponents = [
        {
            "model": case.model,
            "steps": exponent(points, case.model, "steps", "batch", run.training.batch),
            "batch": exponent(points, case.model, "batch", "steps", run.make_task().steps),
        }
        for case in cases
    ]
    return {"task": cases[0].task, "points": points, "exponents": exponents}


def stretchable(cases: Sequence[Case], asked: bool) -> list[Case]:
    """The cases of one task whose sequences can be of any length; unasked of one that is scored at every step, so that
    no model may leave steps out. Raises UsageError where there is none, or where several tasks were asked for.
    """
    found = [case for case in cases if _offset(case.run) is not None]
    if not asked:
        found = [case for case in found if case.run.make_task().reads is None]
    if not found:
        raise UsageError("--lengths: the length of these sequences is given by the data; try --task copy-memory")
    tasks = list(dict.fromkeys(case.task for case in found))
    if asked and len(tasks) > 1:
        raise UsageError(f"--lengths: one task is needed, and these fit: {', '.join(tasks)}")
    return [case for case in found if case.task == tasks[0]]


def at(run: Run, steps: int, batch: int) -> Run:
    """The run with sequences of `steps` steps, `batch` of them a step, and no more examples than a few steps need."""
    offset = _offset(run)
    assert offset is not None
    options = run.make_task().at_length(steps - offset).options()
    few = {"train": 2 * batch, "valid": 1, "test": 1}
    options |= {name: count for name, count in few.items() if name in options}
    training = dataclasses.replace(run.training, batch=batch)
    return dataclasses.replace(run, task=Spec(run.task.name, options), training=training)


def exponent(points: Sequence[dict[str, Any]], model: str, against: str, fixed: str, value: float) -> float | None:
    """The slope of log(ms) over log(T or B) by least squares: 1 where the cost grows in proportion; None of one point.

    >>> line = [{"model": "x", "steps": steps, "batch": 8, "ms": 0.5 * steps} for steps in (100, 300, 1000)]
    >>> exponent(line, "x", "steps", "batch", 8)
    1.0
    """
    chosen = [point for point in points if (point["model"], point[fixed]) == (model, value) and point["ms"]]
    if len({point[against] for point in chosen}) < 2:
        return None
    slope = linear_regression(*([math.log(point[key]) for point in chosen] for key in (against, "ms"))).slope
    return round(slope, 3)


def _offset(run: Run) -> int | None:
    """By how many steps the task's sequences are longer than its length; None where it has no length."""
    task = run.make_task()
    return None if task.length_option is None else task.at_length(1000).steps - 1000


def _of_model(case: Case, device: str, threads: int, repeat: int) -> Iterator[dict[str, Any]]:
    run, own = case.run, case.run.make_task().steps
    shapes = [(steps, run.training.batch) for steps in LENGTHS] + [(own, batch) for batch in BATCHES]
    one: Helper | None = None
    try:
        for steps, batch in dict.fromkeys(shapes):
            config = at(run, steps, batch).config
            if one is None:
                order = helper.Order("ours", config, case.folder, device, threads)
                with threads_of_children(threads):
                    one = Helper("ours", helper.main, order)
            else:
                one.tell("another", config)
            try:
                peak = one.hear("ready", START_LIMIT)["peak_mb"]
                count = count_of(one.turn("go", 1), 1)
                times = [1000 * one.turn("go", count) / count for _ in range(repeat)]
                found = {"ms": float(f"{median(times):.4g}"), "spread": spread(times), "peak_mb": peak}
            except HelperFailed as error:
                found = {"ms": None, "error": str(error)}
                one.end()
                one = None
            yield {"steps": steps, "batch": batch, **found}
    finally:
        if one is not None:
            one.end()
