"""What a table has to say of the rows that it was given: those that it leaves out, and how those shown differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Any

from ..errors import UsageError
from ..experiments import permitted, registry
from ..experiments.config import Experiment
from ..experiments.runs import LOOP_VERSION, Run
from ..rows.comparing import differences, elsewhere
from ..rows.newest import Place, by_place, latest
from ..rows.store import FINISHED, Row

NAMED = 3
"""So many of the things that are left out are named; of the others there is a count."""


def remarks(experiment: Experiment, rows: Iterable[Row], shown: Mapping[str, Row]) -> tuple[str, ...]:
    """One line for each thing that a reader of the table must know, none where all is as it should be.

    rows: all that were given. shown: those that the table shows, by run id.
    """
    runs = {run.id: run for run in experiment.runs}
    rows = list(rows)
    strangers = [row for (run_id, _), row in latest(rows).items() if run_id not in runs]
    places = {(run_id, row["device"]) for run_id, row in shown.items()}
    return (
        *_left_out(experiment, strangers),
        *_several(row for row in rows if (row["id"], row["device"]) in places),
        *_unknown_metrics(runs, shown),
        *_versions(shown.values()),
        *_sets(experiment, rows),
    )


def _left_out(experiment: Experiment, strangers: Iterable[Row]) -> Iterator[str]:
    """Rows of no run of the experiment: made by another version of a contract, or of another variant or settings."""
    older: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for row in strangers:
        differences = list(_differences(experiment, row.get("config", {})))
        if differences:
            older[" and ".join(differences)] += 1
        else:
            others[str(row.get("label", row["id"])).partition(" seed ")[0]] += 1
    for difference, count in older.items():
        yield f"Left out: {_rows(count)} made by another version, {difference}."
    if others:
        named = ", ".join([*others][:NAMED]) + (", …" if len(others) > NAMED else "")
        yield f"Left out: {_rows(others.total())} of no run of this experiment ({named})."


def _differences(experiment: Experiment, config: Mapping[str, Any]) -> Iterator[str]:
    """How the versions of a row's contracts differ from those of now, in words."""
    kinds: tuple[registry.Kind, ...] = ("task", "model")
    for kind in kinds:
        spec = config.get(kind, {})
        if not permitted.is_permitted(kind, spec.get("name"), experiment.folder):
            continue
        try:
            now = registry.find(kind, spec["name"], experiment.folder).version
        except UsageError:
            continue  # of a name that is not known any more: then it is of another run
        if (then := spec.get("version", now)) != now:
            yield f"{kind} {registry.short(spec['name'])} {then} (now {now})"
    if (loop := config.get("loop", LOOP_VERSION)) != LOOP_VERSION:
        yield f"training loop {loop} (now {LOOP_VERSION})"


def _several(rows: Iterable[Row]) -> Iterator[str]:
    """Runs of which rows disagree that must have the same bits: one of them cannot be right."""
    of_run: dict[str, list[Row]] = {}
    for row in rows:
        if row["status"] in FINISHED:
            of_run.setdefault(row["id"], []).append(row)
    disagreeing = [found for found in of_run.values() if any(_disagree(*pair) for pair in combinations(found, 2))]
    if disagreeing:
        named = ", ".join(str(found[0].get("label", found[0]["id"])) for found in disagreeing[:NAMED])
        more = ", …" if len(disagreeing) > NAMED else ""
        yield f"Rows of the same run disagree that must have the same bits; the last of them is shown: {named}{more}."


def _disagree(one: Row, other: Row) -> bool:
    same_code = one["provenance"]["source"] == other["provenance"]["source"]
    return same_code and not elsewhere(one, other) and bool(differences(one, other))


def _unknown_metrics(runs: Mapping[str, Run], shown: Mapping[str, Row]) -> Iterator[str]:
    """Scores of a metric that the task does not have."""
    known: dict[str, set[str]] = {}
    unknown: dict[str, None] = {}
    for run_id, row in shown.items():
        run, task = runs[run_id], runs[run_id].task_label
        if task not in known:
            known[task] = {metric.name for metric in run.make_task().metrics}
        names = {name: None for part in row.get("scores", {}).values() for name in part["test"]}
        unknown |= {f"{name} of {task}": None for name in names if name not in known[task]}
    if unknown:
        yield f"Not shown, because the task has no such metric: {', '.join(unknown)}."


def _versions(rows: Iterable[Row]) -> Iterator[str]:
    """Packages that the rows were made with in several versions: they need not be one sample."""
    versions: dict[str, set[str]] = {}
    for row in rows:
        for name, version in row["provenance"].get("versions", {}).items():
            versions.setdefault(name, set()).add(str(version))
    differing = [f"{name} {', '.join(sorted(found))}" for name, found in versions.items() if len(found) > 1]
    if differing:
        yield f"Rows were made with different versions: {'; '.join(differing)}."


def _sets(experiment: Experiment, rows: Iterable[Row]) -> Iterator[str]:
    """Sets of vector instructions that the experiment asks for and runs have no result of."""
    there = by_place(rows)
    for name in experiment.instructions:
        lacking = sum(
            (row := there.get(Place(run.id, "cpu", name.upper()))) is None or row["status"] not in FINISHED
            for run in experiment.runs
        )
        if lacking:
            yield f"Asked for with {name}: {lacking} of {len(experiment.runs)} runs have no row of it yet."


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"
