"""Where a trained model of pairs looks: how much it weighs each symbol of a source for each that it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.encoder_decoder import END, PAD, START, EncoderDecoder
from ..models.network import Network
from ..tasks.base import Pair, Task
from .errors import UsageError
from .experiments.runs import Run

END_SHOWN = "end"
"""How a target's last symbol is called."""


@dataclass(frozen=True)
class Map:
    """What was written for a source, and where the model looked.

    source: S symbols. target: T symbols that the model has written by itself, the end among them where it came.
    answer: the same as a text. weights: (T, S), each row a distribution over the source.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    answer: str
    weights: NDArray[np.float64]


def runs_of_pairs(runs: Sequence[Run]) -> list[Run]:
    """Those of the runs whose model reads a source and writes a target."""
    return [run for run in runs if run.model_class.pairs]


def require_attention(run: Run) -> None:
    """Raises UsageError where a run's model has no attention, so that nothing need be trained to say so."""
    task = run.make_task()
    network = run.make_network(task).eval()
    body = network.body
    if not isinstance(body, EncoderDecoder):
        raise UsageError(f"{run.model_label}: its decoder tells no weights; see models.encoder_decoder.EncoderDecoder")
    with torch.no_grad():
        memory = body.encode(torch.ones((1, 1), dtype=torch.int64), torch.ones(1, dtype=torch.int64))
        if body.decode(memory, torch.full((1, 1), START)).weights is None:
            raise UsageError(
                f"{run.model_label} has no attention: it keeps a source in one vector, so there is no map; "
                "name a run whose model has"
            )


def ids_of(task: Task, text: str) -> list[int]:
    """The symbols of a source that a person wrote. Raises UsageError, in the task's words, where it cannot be read."""
    try:
        return task.encode(text)
    except (ValueError, NotImplementedError) as error:
        raise UsageError(f"source: {error}") from error


def look(network: Network, task: Task, text: str, beam: int = 1) -> Map:
    """What a trained network writes for a source, and where it looks as it does so.

    text: the source, as the task spells it. A source may be longer than those of training: then more is written, too.
    beam: of the decoding, 1 for greedy. Raises UsageError for a source that the task cannot read.
    """
    ids, kind = ids_of(task, text), task.input
    assert isinstance(kind, Pair)
    source, shown = torch.tensor([ids]), torch.full((1, 1), START)
    longest = max(kind.longest, len(ids) + 2)
    with torch.no_grad():
        answer: Any = network.read(shown, None, None, source)
        written = [one for one in answer.decoded(longest, beam)[0].tolist() if one != PAD]
        shown = torch.tensor([[START, *written[:-1]]])
        weights = network.read(shown, None, None, source).weights[0]  # (T, S)
    symbols = task.symbols() or [str(one) for one in range(kind.source)]
    target = tuple(END_SHOWN if one == END else task.decode([one]) for one in written)
    return Map(tuple(symbols[one] for one in ids), target, task.decode(written), weights.double().numpy())
