"""What a trained language model writes: one symbol after the other, each drawn from what the model expects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from ..models.network import Network
from ..tasks.base import Task
from ..tasks.datasets import DataError
from . import seeding
from .errors import UsageError
from .experiments import naming
from .experiments.config import Experiment
from .experiments.runs import Run
from .trained_runs import trained as trained


def chosen(experiment: Experiment, text: str) -> Run:
    """The experiment's run on a text that `text` means (`chosen_among`), of those that predict what comes next."""
    runs = [run for run in experiment.runs if run.task_class.distribution and run.task_class.predicts_input]
    return chosen_among(experiment, runs, text, "on a text, and only such a one can write")


def chosen_among(experiment: Experiment, runs: Sequence[Run], text: str, kind: str) -> Run:
    """The one of these runs of an experiment that `text` means (`naming.means`).

    Of runs that differ in their seeds alone it is the first. kind: of what kind they are, in words. Raises UsageError,
    with what is there, where none or several match.
    """
    if not runs:
        raise UsageError(f"{experiment.name} has no run {kind}")
    found = [run for run in runs if naming.means(text, run.id, str(run))]
    if len({str(replace(run, seed=0)) for run in found}) != 1:
        there = naming.listed([(run.id, str(run)) for run in found or runs])
        raise UsageError(f"{text!r} means {'several runs' if found else 'no run'} of {experiment.name}: {there}")
    return min(found, key=lambda run: run.seed)


def next_symbols(network: Network, task: Task, prompt: str, count: int) -> list[tuple[str, float]]:
    """The `count` most probable symbols after a prompt, each with its probability in 0 … 1, the first first.

    Raises UsageError as `write` does.
    """
    ids = _ids(task, prompt)
    shown = ids if network.body.streamed else ids[-task.steps :]
    with torch.no_grad():
        distribution, _ = network(torch.tensor([shown]), None, 1)
    shares = distribution.log_probabilities()[0, 0].double().exp()  # (V,)
    best = torch.topk(shares, min(count, len(shares)))
    return [(task.decode([number]), share) for share, number in zip(*map(Tensor.tolist, best), strict=True)]


def write(
    network: Network, task: Task, prompt: str, symbols: int, temperature: float = 1.0, seed: int = 0
) -> Iterator[str]:
    """The prompt, then `symbols` more, piece by piece as they are drawn, streamed through the network's state.

    A network without a state reads a window again for each symbol: as many of the last ones as the task shows at once.

    temperature: the log-probabilities are divided by it before a symbol is drawn; 0 takes the most probable one. The
    same seed draws the same text. Raises UsageError for a prompt that the vocabulary cannot spell, or an empty one,
    and where the text's files cannot be had: they are its vocabulary.
    """
    ids = _ids(task, prompt)
    stream, state = seeding.generator("sample", seed), None
    spelled = lru_cache(maxsize=None)(lambda *ids: task.decode(ids))  # to decode is to look into a file
    shown: list[int] = []
    for _ in range(symbols + 1):
        yield spelled(*ids)
        shown = ids if network.body.streamed else [*shown, *ids][-task.steps :]
        with torch.no_grad():
            distribution, state = network(torch.tensor([shown]), state, 1)
        ids = [_drawn(distribution.log_probabilities()[0, 0], temperature, stream)]


def _ids(task: Task, prompt: str) -> list[int]:
    """A prompt in the symbols of the task. Raises UsageError where there are none, or the vocabulary lacks one."""
    try:
        ids = task.encode(prompt)
    except (ValueError, DataError) as error:
        raise UsageError(f"prompt: {error}") from error
    if not ids:
        raise UsageError("prompt: at least one symbol is needed")
    return ids


def _drawn(log_probabilities: Tensor, temperature: float, stream: torch.Generator) -> int:
    """One of V symbols, from (V,) log-probabilities."""
    if temperature == 0:
        return int(log_probabilities.argmax())
    # The largest first, so that dividing by a small temperature cannot leave the range of numbers.
    weights = ((log_probabilities - log_probabilities.max()) / temperature).double().exp()
    return int(torch.multinomial(weights, 1, generator=stream))
