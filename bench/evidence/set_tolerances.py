"""How far a score may lie from its row's with another set of instructions: measured, where rows of both sets are there.

The tolerances of metrics were measured once, on small runs, and are too narrow for some rows and too wide for others.
Where three seeds or more of a run have rows of two sets, what these differ by says it better (`instruction_sets`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from ...tasks.base import Metric
from ..analysis.instruction_sets import component, differences, largest_difference
from ..analysis.samples import FEWEST
from ..errors import UsageError
from ..experiments import runs
from ..rows.comparing import Tolerance
from ..rows.newest import by_place
from ..rows.store import Row, untouched

Tolerances = Mapping[str, Mapping[str, Tolerance]]
"""Run without its seed (`key_of`) -> metric -> tolerance."""
Between = Mapping[str, Mapping[str, float]]
"""Run without its seed -> metric -> standard deviation between sets, on the metric's scale."""


def tolerances(rows: Iterable[Row]) -> Tolerances:
    """The tolerances that rows of several sets give, of runs that at least three seeds have with both."""
    found = {key: dict(_of_metrics(sets)) for key, sets in _of_several_sets(rows).items()}
    return {key: of_metric for key, of_metric in found.items() if of_metric}


def between_sets(rows: Iterable[Row]) -> Between:
    """What lies between sets in all runs of a cell alike (`instruction_sets.component`), where both are there."""
    return {
        key: {metric.name: math.sqrt(component(found)) for metric, found in _differing(sets) if len(found) >= FEWEST}
        for key, sets in _of_several_sets(rows).items()
    }


def _of_several_sets(rows: Iterable[Row]) -> dict[str, dict[str, dict[int, Row]]]:
    """Run without its seed -> set -> seed -> row, of the runs that have rows of more than one set."""
    of_run: dict[str, dict[str, dict[int, Row]]] = {}
    for place, row in by_place(rows).items():
        if row["status"] == "done" and place.device == "cpu" and place.instructions and untouched(row):
            sets = of_run.setdefault(key_of(row), {})
            sets.setdefault(place.instructions, {})[row["config"]["seed"]] = row
    return {key: sets for key, sets in of_run.items() if len(sets) > 1}


def key_of(row: Row) -> str:
    """The run of a row without its seed."""
    return json.dumps({name: value for name, value in row["config"].items() if name != "seed"}, sort_keys=True)


def _of_metrics(sets: Mapping[str, Mapping[int, Row]]) -> Iterator[tuple[str, Tolerance]]:
    for metric, differing in _differing(sets):
        if len(differing) >= FEWEST:
            most = largest_difference(differing)
            fraction = -math.expm1(-most)  # of the larger score
            yield metric.name, Tolerance("relative", fraction) if metric.logarithmic else Tolerance("absolute", most)


def _differing(sets: Mapping[str, Mapping[int, Row]]) -> Iterator[tuple[Metric, list[float]]]:
    """For each metric what two sets differ by, seed by seed: of the pair of sets and the rule that differ most."""
    some = next(iter(next(iter(sets.values())).values()))
    try:
        metrics = runs.from_config(some["config"]).make_task().metrics
    except UsageError:  # of a user's file elsewhere
        return
    for metric in metrics:
        differing: list[float] = []
        for first, second in combinations(sets.values(), 2):
            for rule in ("best", "last"):
                one, other = (_scores(of_seed, rule, metric.name) for of_seed in (first, second))
                found = differences(one, other, metric.logarithmic)
                differing = max(differing, found, key=lambda values: largest_difference(values) if values else -1.0)
        yield metric, differing


def _scores(of_seed: Mapping[int, Row], rule: str, name: str) -> dict[int, float]:
    scores = {seed: row["scores"][rule]["test"].get(name) for seed, row in of_seed.items()}
    return {seed: score for seed, score in scores.items() if score is not None}
