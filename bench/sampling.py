"""What a trained language model writes: one symbol after the other, each drawn from what the model expects."""

from __future__ import annotations

from collections.abc import Iterator
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
    """The experiment's run on a text that `text` means (`naming.means`).

    Of runs that differ in their seeds alone it is the first. Raises UsageError, with what is there, where none or
    several match.
    """
    runs = [run for run in experiment.runs if run.task_class.distribution and not run.model_class.pairs]
    if not runs:
        raise UsageError(f"{experiment.name} has no run on a text, and only such a one can write")
    found = [run for run in runs if naming.means(text, run.id, str(run))]
    if len({str(replace(run, seed=0)) for run in found}) != 1:
        there = naming.listed([(run.id, str(run)) for run in found or runs])
        raise UsageError(f"{text!r} means {'several runs' if found else 'no run'} of {experiment.name}: {there}")
    return min(found, key=lambda run: run.seed)


def write(
    network: Network, task: Task, prompt: str, symbols: int, temperature: float = 1.0, seed: int = 0
) -> Iterator[str]:
    """The prompt, then `symbols` more, piece by piece as they are drawn, streamed through the network's state.

    A network without a state reads a window again for each symbol: as many of the last ones as the task shows at once.

    temperature: the log-probabilities are divided by it before a symbol is drawn; 0 takes the most probable one. The
    same seed draws the same text. Raises UsageError for a prompt that the vocabulary cannot spell, or an empty one,
    and where the text's files cannot be had: they are its vocabulary.
    """
    try:
        ids = task.encode(prompt)
    except (ValueError, DataError) as error:
        raise UsageError(f"prompt: {error}") from error
    if not ids:
        raise UsageError("prompt: at least one symbol is needed")
    stream, state = seeding.generator("sample", seed), None
    spelled = lru_cache(maxsize=None)(lambda *ids: task.decode(ids))  # to decode is to look into a file
    shown: list[int] = []
    for _ in range(symbols + 1):
        yield spelled(*ids)
        shown = ids if network.body.streamed else [*shown, *ids][-task.steps :]
        with torch.no_grad():
            distribution, state = network(torch.tensor([shown]), state, 1)
        ids = [_drawn(distribution.log_probabilities()[0, 0], temperature, stream)]


def _drawn(log_probabilities: Tensor, temperature: float, stream: torch.Generator) -> int:
    """One of V symbols, from (V,) log-probabilities."""
    if temperature == 0:
        return int(log_probabilities.argmax())
    # The largest first, so that dividing by a small temperature cannot leave the range of numbers.
    weights = ((log_probabilities - log_probabilities.max()) / temperature).double().exp()
    return int(torch.multinomial(weights, 1, generator=stream))
