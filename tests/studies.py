"""A small study, and made-up trials of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import write
from made_rows import made
from seqbench.bench.experiments import config
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.rows.store import Row, Workplace
from seqbench.bench.tuning.study import FILE, trials_of

STUDY = """\
question: Which one?
seeds: 2
tune:
  trials: 4
  seeds: [1000]
  space:
    learning_rate: log(low=1e-3, high=1e-1)
    clip: [0.25, none]
training: {epochs: 1, batch: 16}
rows:
- task: adding(length=12, train=32, valid=32, test=32)
  models: ["gru(width=4)", "lstm(width=4)"]
- task: parity(longest=8, length=12, train=32, valid=32, test=32)
  models: ["gru(width=4)", "lstm(width=4)"]
"""
"""Two models on two tasks, four trials each; of the first task lower is better, of the second higher."""


def study_in(folder: Path, text: str = STUDY) -> Experiment:
    """The experiment in a folder, with the settings of its own file."""
    return config.load(write(folder, text), winners=False)


def by_rate(rate: float) -> float:
    """A score that is best (least) at a rate of 0.01."""
    return 1e-4 + abs(math.log10(rate) + 2)


def trial_rows(
    experiment: Experiment, score: Callable[[float], float | None] = by_rate, tasks: int = 2, **changes: Any
) -> list[Row]:
    """A row for each trial of the first tasks; its score follows from its rate. None: it diverged."""
    chosen = list(dict.fromkeys(cell.task for cell in experiment.cells))[:tasks]
    rows = []
    for cell in trials_of(experiment).cells:
        if cell.task in chosen:
            for run in cell.runs:
                value = score(run.training.learning_rate)
                rows.append(made(run, value, "diverged" if value is None else "done", **changes))
    return rows


def publish_trials(experiment: Experiment, rows: list[Row]) -> None:
    """Puts them where published trials stand."""
    Workplace(experiment.folder, record=FILE).published.replace(rows)
