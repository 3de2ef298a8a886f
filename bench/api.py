"""The suite from Python: a task's data, a network of a given size, one training, the rows as a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ..models.network import Network
from ..tasks.base import Task
from . import notebook, seeding
from .engine import training
from .engine.outcome import Outcome
from .experiments import networks, runs, sizing
from .experiments.notation import Spec, parse
from .experiments.options import checked, options_of
from .experiments.places import experiment_folder
from .experiments.runs import Run
from .experiments.settings import Training
from .rows.newest import latest
from .rows.store import Workplace
from .trained_runs import load_run, predictions

__all__ = ["load_run", "make_network", "make_run", "make_task", "predictions", "read_rows", "train"]


def make_task(task: str) -> Task:
    """The task that a text such as `adding(length=200)` names; `.load(seed)` gives its data.

    Raises errors.UsageError for an unknown name or option, with the nearest known.
    """
    return runs.make_task(parse(task))


def make_run(
    task: str,
    model: str,
    *,
    parameters: int | None = None,
    tolerance: float = 0.01,
    head: str | None = None,
    embedding: str | None = None,
    seed: int = 0,
    **training: Any,
) -> Run:
    """A run, ready for `train`: the model's width fitted to the budget of parameters, where one is given.

    head, embedding: in the notation, else the task's own. training: settings by name, see `settings.Training`.
    Raises errors.UsageError for whatever is not known, and where no width comes within the tolerance of the budget.
    """
    made = make_task(task)
    settings = Training(**checked("training", options_of(Training), training))
    ends = networks.head_for(made, head), networks.embedding_for(made, embedding)
    model_spec = sizing.sized(made, parse(model), parameters, tolerance, *ends)
    return Run(Spec(parse(task).name, made.options()), model_spec, settings, *ends, seed)


def train(run: Run, *arguments: Any, **options: Any) -> Outcome:
    """Trains a run; all arguments and errors are those of `engine.training.train`.

    In a notebook a line says how far it is, unless a `report` is given.
    """
    if "report" not in options and len(arguments) < 4 and notebook.shell() is not None:
        options["report"] = notebook.Line(run)
    return training.train(run, *arguments, **options)


def make_network(task: str, model: str, *, parameters: int | None = None, seed: int = 0, **options: Any) -> Network:
    """The network for a task, of a given size, initialised from the seed's own stream; options as of `make_run`.

    Its call gives the head's outputs (B, R, O) for inputs (B, T, C), and the state; for a text (B, T) a distribution
    over its symbols (`tasks.base.Distribution`). Its dropout draws from the
    seed's stream too.
    """
    run = make_run(task, model, parameters=parameters, seed=seed, **options)
    network = run.make_network(run.make_task())
    network.seed_dropout(seeding.generator("dropout", seed))
    return network


def read_rows(folder: str | Path, source: str = "all") -> pd.DataFrame:
    """The rows of an experiment, one line a run and device class, the newest row of each.

    The test scores of both reporting rules are in `best_…` and `last_…`, those at other lengths (`test_lengths`) in
    `length_LENGTH_…`.
    source: `published` (in the folder), `working` (not yet published) or `all`.
    """
    rows = []
    for row in latest(Workplace(experiment_folder(folder)).rows(source)).values():
        line = {key: row.get(key) for key in ("id", "status", "device", "label", "parameters", "state_size")}
        task, model = (Spec(row["config"][kind]["name"], row["config"][kind]["options"]) for kind in ("task", "model"))
        line |= {"task": str(task), "model": str(model), "seed": row["config"]["seed"]}
        for rule in ("best", "last"):
            scores = row.get("scores", {}).get(rule, {})
            line |= {f"{rule}_{name}": value for name, value in scores.get("test", {}).items()}
        for length, at_length in row.get("lengths", {}).items():
            line |= {f"length_{length}_{name}": value for name, value in at_length.items()}
        line["seconds"] = sum(row.get("seconds", {}).get(part, 0) for part in ("training", "evaluation"))
        line |= {key: row["provenance"][key] for key in ("commit", "dirty", "source")}
        rows.append(line)
    return pd.DataFrame(rows)
