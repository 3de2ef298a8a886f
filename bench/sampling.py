"""What a trained language model writes: one symbol after the other, each drawn from what the model expects."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..models.network import Network
from ..tasks.base import Task
from . import provenance, seeding
from .checkpoint import Checkpoint
from .config import Experiment
from .errors import UsageError
from .runs import Run
from .store import Workplace

DEVICES = ("cpu", "cuda")


def chosen(experiment: Experiment, text: str) -> Run:
    """The experiment's run whose id begins with `text`, or whose label has it in it.

    Raises UsageError where none or several do, with what is there, and where it is no run on a text.
    """
    runs = {run.id: run for run in experiment.runs}
    found = [run for run_id, run in runs.items() if run_id.startswith(text) or text in str(run)]
    if len(found) != 1:
        there = "; ".join(f"{run.id} {run}" for run in found or runs.values())
        raise UsageError(f"{'several runs' if found else 'no run'} of {experiment.name} match {text!r}: {there}")
    if not found[0].task_class.distribution:
        raise UsageError(f"{found[0]}: only a run on a text can write one")
    return found[0]


def trained(experiment: Experiment, run: Run) -> Network:
    """The network with what it has learned, in evaluation mode on the CPU: from a run that is done, or a checkpoint.

    Raises UsageError where neither is there: rows that come from elsewhere bring no parameters.
    """
    workplace = Workplace(experiment.folder)
    places = [(workplace.trained(run.id, device), "") for device in DEVICES]
    places += [(workplace.checkpoint(run.id, device), provenance.source_hash(run)) for device in DEVICES]
    for path, stamp in places:
        saved = Checkpoint(path, stamp).load(torch.device("cpu"))
        if saved is not None:
            network = run.make_network(run.make_task())
            try:
                network.load_state_dict(saved.get("best") or saved["network"])
            except RuntimeError as error:
                raise UsageError(f"{path} does not fit {run}: {error}; train it again with --afresh") from error
            return network.eval()
    raise UsageError(
        f"{run.id} {run}: what it has learned is not here (rows keep scores, not parameters): "
        f"seqbench run {experiment.folder} --only {run.id} --afresh trains it"
    )


def write(
    network: Network, task: Task, prompt: str, symbols: int, temperature: float = 1.0, seed: int = 0
) -> Iterator[str]:
    """The prompt, then `symbols` more, piece by piece as they are drawn, streamed through the network's state.

    temperature: the log-probabilities are divided by it before a symbol is drawn; 0 takes the most probable one. The
    same seed draws the same text. Raises UsageError for a prompt that the vocabulary cannot spell, or an empty one.
    """
    try:
        ids = task.encode(prompt)
    except ValueError as error:
        raise UsageError(f"prompt: {error}") from error
    if not ids:
        raise UsageError("prompt: at least one symbol is needed")
    stream, state = seeding.generator("sample", seed), None
    for _ in range(symbols + 1):
        yield task.decode(ids)
        with torch.no_grad():
            distribution, state = network(torch.tensor([ids]), state, 1)
        ids = [_drawn(distribution.log_probabilities()[0, 0], temperature, stream)]


def _drawn(log_probabilities: Tensor, temperature: float, stream: torch.Generator) -> int:
    """One of V symbols, from (V,) log-probabilities."""
    if temperature == 0:
        return int(log_probabilities.argmax())
    # The largest first, so that dividing by a small temperature cannot leave the range of numbers.
    weights = ((log_probabilities - log_probabilities.max()) / temperature).double().exp()
    return int(torch.multinomial(weights, 1, generator=stream))
