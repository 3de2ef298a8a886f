"""The numbers of one cell in one metric, taken from its rows: scores by seed, by instructions, at other lengths."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ...tasks.base import Metric
from ..engine.evaluation import trained
from ..experiments.config import Cell
from ..rows.store import FINISHED, Row
from .samples import steps_to_solve

BEST, LAST = "best on validation", "mean of last 3 epochs"
"""The two rules for which test value is the number."""


def scored(row: Row, rule: str, metric: Metric) -> float | None:
    """The test score of a result by a rule; None where there is none, or it is not finite."""
    if row["status"] != "done":
        return None
    score: float | None = row["scores"]["best" if rule == BEST else "last"]["test"].get(metric.name)
    return score if score is not None and math.isfinite(score) else None


def of_sets(
    cell: Cell, metric: Metric, rule: str, sets: Mapping[str, Mapping[str, Row]]
) -> dict[str, dict[int, float]]:
    """Set of vector instructions -> seed -> score, of the sets that the cell has scores of."""
    found = {
        name: {
            run.seed: score
            for run in cell.runs
            if run.id in rows and (score := scored(rows[run.id], rule, metric)) is not None
        }
        for name, rows in sets.items()
    }
    return {name: scores for name, scores in found.items() if scores}


def counted(cell: Cell, metric: Metric, rule: str, rows: Mapping[str, Row], edited: frozenset[str]) -> dict[str, Any]:
    """The scores of a cell in one metric, and the number of runs without one."""
    values: dict[int, float] = {}
    without: Counter[str] = Counter()
    for run in cell.runs:
        row = rows.get(run.id)
        if run.id in edited:
            continue
        if row is None:
            without["missing"] += 1
        elif row["status"] not in FINISHED:
            without["failed"] += 1
        elif row["status"] == "diverged":
            without["diverged"] += 1
        else:
            scores = row["scores"]["best" if rule == BEST else "last"]["test"]
            if metric.name not in scores:  # the task has got this metric since
                without["missing"] += 1
            elif (score := scores[metric.name]) is None or not math.isfinite(score):  # stored as None
                without["diverged"] += 1
            else:
                values[run.seed] = score
    yardsticks = {
        yardstick["name"]: math.nan if score is None else score  # stored as None
        for run in cell.runs
        for yardstick in rows.get(run.id, {}).get("yardsticks", [])
        for name, score in yardstick["scores"].items()
        if name == metric.name
    }
    solving = [run for run in cell.runs if run.seed in values and metric.solved(values[run.seed])]
    steps = {run.seed: count for run in solving if (count := steps_to_solve(metric, rows[run.id])) is not None}
    curves = {run.seed: trained(rows[run.id].get("curve") or []) for run in cell.runs if run.seed in values}
    firsts = {seed: (curve[0].get("test") or {}).get(metric.name) for seed, curve in curves.items() if len(curve) > 1}
    early = {seed: score for seed, score in firsts.items() if score is not None}
    ended = {reason: without[reason] for reason in ("missing", "failed", "diverged")}
    lengths = _at_lengths(cell, metric, {run.seed: rows[run.id] for run in cell.runs if run.id in rows})
    of_best = {run.seed: scored(rows[run.id], BEST, metric) for run in cell.runs if run.seed in values}
    best = {seed: score for seed, score in of_best.items() if score is not None}
    found = {"values": values, "yardsticks": yardsticks, "steps": steps, "lengths": lengths, "early": early}
    return found | {"best_values": best} | ended


def _at_lengths(cell: Cell, metric: Metric, row_of: Mapping[int, Row]) -> dict[int, dict[int, float]]:
    """Length -> seed -> test score there (NaN: not finite), of the lengths that the experiment asks for."""
    found: dict[int, dict[int, float]] = {}
    for length in sorted(cell.runs[0].training.test_lengths):
        scores = {seed: row.get("lengths", {}).get(str(length), {}) for seed, row in row_of.items()}
        there = {seed: of[metric.name] for seed, of in scores.items() if metric.name in of}
        if there:
            found[length] = {seed: math.nan if score is None else score for seed, score in there.items()}
    return found
