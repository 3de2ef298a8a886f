"""What the suites need of the project, found in whatever form a commit has it. There are no benchmarks here."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

MODELS = ("rnn", "lstm", "gru", "tcn")
FILES = ("sequential-mnist", "jsb", "ptb-word")
"""Tasks of this list need files, and are skipped where no mirror is named."""
ROOMS = ("", "experiments.", "engine.", "rows.", "running.")
"""Where a module of the project lies: beside the others in older commits, in one of these folders in newer ones."""


def module(name: str, *needed: str) -> Any:
    """The project's own module of this name, wherever a commit has it.

    Raises NotImplementedError where a commit has no such module, or where the module lacks one of the needed names.
    """
    for place in (f"seqbench.bench.{room}{name}" for room in ROOMS):
        try:
            found = importlib.import_module(place)
        except ImportError as error:
            if error.name is not None and place.startswith(error.name):
                continue  # it lies elsewhere
            raise NotImplementedError(f"{place}: {error}") from error
        if lacking := [one for one in needed if not hasattr(found, one)]:
            raise NotImplementedError(f"{place} has no {', '.join(lacking)}")
        return found
    raise NotImplementedError(f"this commit has no module {name}")


def one_thread() -> None:
    """As a run trains: one thread, denormals flushed."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def needs_files(task: str) -> None:
    """Skips a benchmark of a task whose files are not at hand; nothing is downloaded to measure speed."""
    if task.startswith(FILES) and not os.environ.get("SEQBENCH_MIRROR"):
        raise NotImplementedError(f"{task}: SEQBENCH_MIRROR names no mirror of its files")


@lru_cache(maxsize=1)  # setup is called before every sample, and must not build everything anew
def training_step(task: str, model: str, parameters: int, batch: int, **settings: Any) -> Callable[[], None]:
    """A call is one training step of the engine, always of the same batch and with a learning rate of zero.

    Raises NotImplementedError where a commit has no such task, model or loop.
    """
    needs_files(task)
    one_thread()
    seeding, make_run = module("seeding"), module("api", "make_run").make_run
    run = make_run(task, model, parameters=parameters, tolerance=0.05, batch=batch, **settings)
    try:
        TrainingStep = module("steps", "TrainingStep").TrainingStep
    except NotImplementedError:
        return _step_of_the_old_loop(run)
    made = run.make_task()
    split = made.load(0).train.in_streams(batch)
    network = run.make_network(made)
    network.seed_dropout(seeding.generator("dropout", 0))
    optimizer = run.training.make_optimizer(network.parameters())
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    step, index = TrainingStep(run, made, split, network, optimizer), torch.arange(batch)
    step.run(index)  # compiles, and fills the caches
    return lambda: step.run(index)


def _step_of_the_old_loop(run: Any) -> Callable[[], None]:
    """The step of the loop before steps were objects of their own."""
    make_loop = getattr(module("training"), "_Loop", None)
    if make_loop is None:
        raise NotImplementedError("neither a step nor the old loop is there")
    loop: Any = make_loop(run, torch.device("cpu"), None, lambda: False, lambda progress, steps: None)
    loop.network.train()
    for group in loop.optimizer.param_groups:
        group["lr"] = 0.0
    index = torch.arange(run.training.batch)
    loop._step(index)
    return lambda: loop._step(index)


@lru_cache(maxsize=1)
def evaluation(task: str, model: str, parameters: int) -> Callable[[], Any]:
    """A call evaluates the test examples of a task. Raises NotImplementedError as `training_step` does."""
    needs_files(task)
    one_thread()
    judged, make_run = module("evaluation"), module("api", "make_run").make_run
    run = make_run(task, model, parameters=parameters, tolerance=0.05)
    made = run.make_task()
    network, split = run.make_network(made), made.load(0).test
    judged.evaluate(network, made, split)
    return lambda: judged.evaluate(network, made, split)
