"""The winners of a study written to `tuned.yaml`, and whether what stands there is what the trials give."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from .. import atomic
from ..experiments.config import Experiment
from ..experiments.tuned import FILE
from ..rows.store import Row
from .selection import Searched, by_task
from .study import trials_of

HEADING = """\
# The winners of the study in {record}, chosen on validation. Written by seqbench tune; seqbench verify --static holds
# it to the trials. A task is here when all trials of all of its models have come to their end.
"""


def text_of(experiment: Experiment, found: Sequence[Searched]) -> str:
    """What `tuned.yaml` says of these trials; empty where no task has winners yet.

    A model of which all trials have diverged has trial 0, which is no worse than the others.
    """
    winners = [
        _winner(one) for of_task in by_task(found).values() if all(one.complete for one in of_task) for one in of_task
    ]
    if not winners:
        return ""
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 120
    yaml.dump({"study": experiment.study, "winners": winners}, stream)
    return HEADING.format(record=trials_of(experiment).record) + stream.getvalue()


def write(experiment: Experiment, found: Sequence[Searched]) -> Path | None:
    """Writes `tuned.yaml` into the experiment's folder, if it says something else now; its path, or None.

    Where no task has winners a file of before stays. Raises OSError where the folder cannot be written.
    """
    file, text = experiment.folder / FILE, text_of(experiment, found)
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    if not text or text == before:
        return None
    atomic.write(file, text)
    return file


def faults(
    experiment: Experiment, rows: Sequence[Row], found: Sequence[Searched], reported: bool
) -> Iterator[tuple[str, str]]:
    """What is wrong with published trials and winners, each a place and a sentence.

    rows: the published trials. reported: whether the experiment has published rows, which rest on the winners.
    """
    ids = {run.id for run in trials_of(experiment).runs}
    for row in rows:
        if row["id"] not in ids:
            yield f"{row['id']} {row['label']}", "a trial of another space, seed or version: it is not in the plan"
    file = experiment.folder / FILE
    shown = file.read_text(encoding="utf-8") if file.is_file() else ""
    if not rows and not shown and not reported:
        return
    for task, of_task in by_task(found).items():
        counts = {one.cell.model: len(one.trials) for one in of_task}
        if len({*counts.values()}) > 1 and (rows or reported):
            listed = ", ".join(f"{model} {count}" for model, count in counts.items())
            yield task, f"unequal budgets: trials of each model: {listed}"
        for one in of_task:
            sizes = {row["parameters"] for trial in one.trials for row in trial.rows}
            budget, most = one.cell.budget, one.cell.plan.tolerance if one.cell.plan is not None else 0.0
            if budget is not None and any(abs(size - budget) > most * budget for size in sizes):
                yield (
                    f"{task} {one.label}",
                    f"trials of {min(sizes):,} to {max(sizes):,} parameters; {budget:,} are asked for",
                )
    if text_of(experiment, found) != shown:
        what = "not what the trials give" if shown else "not there, though trials and rows are"
        yield FILE, f"{what}; seqbench tune {experiment.folder} makes it anew"


def _winner(one: Searched) -> dict[str, Any]:
    winner = one.winner
    number = winner.number if winner is not None else 0
    settings = one.trials[number].settings
    valid = {} if winner is None else {name: float(f"{score:.6g}") for name, score in winner.valid.items()}
    return {
        "task": one.cell.task,
        "model": one.cell.model,
        "trial": number,
        "settings": {name: "none" if value is None else value for name, value in settings.items()},
        "valid": valid,
        "edges": one.edges,
    }
