"""A hash of data, first weights, outputs and gradients of tasks with models, here or in another process.

`python fingerprints.py FOLDER` prints them as JSON, on the miniature files of that folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import miniature
import torch
from seqbench.bench.experiments import networks, registry
from seqbench.bench.experiments.notation import Spec
from seqbench.bench.experiments.runs import Run, make_task
from seqbench.models.network import Network
from seqbench.tasks.base import Batch, Pair, Split, Splits, Task
from torch import Tensor

TASKS, MODELS = (sorted(registry.listing(kind)) for kind in ("task", "model"))


@lru_cache
def run_of(task: str, model: str, seed: int = 0) -> Run:
    """A task with a model, both with their test parameters, and with the task's own head and embedding."""
    specs = []
    for kind, name in (("task", task), ("model", model)):
        cls = registry.find(kind, name)
        _, options = registry.resolve(kind, Spec(name, dict(cls.test_parameters)))
        specs.append(Spec(name, options))
    made = make_task(specs[0])
    head, embedding = networks.head_for(made, None), networks.embedding_for(made, None)
    return Run(specs[0], specs[1], head=head, embedding=embedding, seed=seed)


@lru_cache
def small(task: str) -> Task:
    """A task with its test parameters."""
    return run_of(task, MODELS[0]).make_task()


def kind_of(task: str) -> tuple[str, bool, bool]:
    """What tells tasks apart for a model: numbers or symbols, a distribution or numbers out, which steps are read."""
    made = small(task)
    return type(made.input).__name__, made.distribution, made.reads is None


def fits(task: str, model: str) -> bool:
    """Whether a model is offered to a task.

    A task that shows pairs asks for a model that reads them, and one that asks for its own input for a causal one.
    """
    made, found = small(task), registry.find("model", model)
    return isinstance(made.input, Pair) == found.pairs and (found.causal is True or not made.predicts_input)


def covering() -> list[tuple[str, str]]:
    """Pairs of a task and a model: each model with a task of each kind that it fits, each task with two models or more.

    So their number grows with models plus tasks. ALL_PAIRS=1 in the environment asks for every task with every model.
    """
    if os.environ.get("ALL_PAIRS"):
        return [(task, model) for task in TASKS for model in MODELS if fits(task, model)]
    kinds: dict[tuple[str, bool, bool], list[str]] = {}
    for task in TASKS:
        kinds.setdefault(kind_of(task), []).append(task)
    fitting = [
        (i, model, [task for task in alike if fits(task, model)])
        for i, model in enumerate(MODELS)
        for alike in kinds.values()
    ]
    pairs = {(alike[i % len(alike)], model) for i, model, alike in fitting if alike}
    for i, task in enumerate(TASKS):
        lacking = 2 - sum(task == met for met, _ in pairs)
        others = [model for model in MODELS[i % len(MODELS) :] + MODELS if fits(task, model)]
        free = [model for model in others if (task, model) not in pairs]
        pairs |= {(task, model) for model in [*dict.fromkeys(free)][: max(lacking, 0)]}
    return sorted(pairs)


def each_once() -> list[tuple[str, str]]:
    """Of these pairs so few that each task and each model is still among them; ALL_PAIRS=1 asks for all here, too."""
    if os.environ.get("ALL_PAIRS"):
        return covering()
    met: set[str] = set()
    pairs = []
    for fewest in (2, 1):  # first those that bring a task and a model at once
        for task, model in covering():
            if len({f"task {task}", f"model {model}"} - met) >= fewest:
                met |= {f"task {task}", f"model {model}"}
                pairs.append((task, model))
    return pairs


@lru_cache
def splits(task: str, seed: int = 0) -> Splits:
    """Its data; the miniature files must be installed."""
    return small(task).load(seed)


def some(split: Split, count: int = 4) -> Batch:
    """The first examples of a split."""
    return split.batch(torch.arange(min(count, len(split))))


def built(task: str, model: str, seed: int = 0) -> Network:
    """The network with its first weights."""
    return run_of(task, model, seed).make_network(small(task))


def read(network: Network, batch: Batch) -> Any:
    """The network's answer for a batch, as the engine asks for it."""
    return network.read(batch.inputs, batch.reads, batch.lengths, batch.source)


def numbers(outputs: Any) -> Tensor:
    """A head's answer (B, R, O); of a distribution the log-probability of every symbol."""
    return outputs if isinstance(outputs, Tensor) else outputs.log_probabilities()


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it torch computes in one thread, as a run does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def of_tensors(parts: Iterable[Tensor | int | None]) -> str:
    """A hash of the bytes of tensors and numbers, of their shapes and of their types."""
    digest = hashlib.sha256()
    for part in parts:
        if part is not None:
            tensor = torch.as_tensor(part)
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def of_data(task: str, seed: int = 0) -> dict[str, str]:
    """A hash of every batch that each split shows."""
    parts = splits(task, seed)._asdict().items()
    return {name: of_tensors(split.batch(torch.arange(len(split)))) for name, split in parts}


def of_pair(task: str, model: str) -> dict[str, str]:
    """Hashes of first weights, outputs and gradients on the first examples, in training mode."""
    network, batch = built(task, model), some(splits(task).train)
    weights = of_tensors(network.state_dict().values())
    outputs = read(network, batch)
    small(task).loss(outputs, batch).backward()
    gradients = of_tensors(parameter.grad for parameter in network.parameters())
    return {"weights": weights, "outputs": of_tensors([numbers(outputs)]), "gradients": gradients}


def of_all() -> dict[str, dict[str, str]]:
    """Everything, under one thread."""
    with one_thread():
        pairs = {f"{task} {model}": of_pair(task, model) for task, model in covering()}
        return {task: of_data(task) for task in TASKS} | pairs


if __name__ == "__main__":
    miniature.install(Path(sys.argv[1]))
    print(json.dumps(of_all()))
