"""What the contract asks of a model of pairs, which reads a source and writes a target (`Model.answer`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...models.base import UNKNOWN
from ...models.encoder_decoder import END, PAD, START, EncoderDecoder
from ...models.network import Network
from ...tasks.base import Batch, Pair, Task
from .. import seeding
from ..engine import trial
from ..experiments.runs import Run
from . import small_runs
from .items import Answer, Broken, Item, items_of

STEPS = 7
"""S and T of what is shown."""
CLOSE = 1e-4
"""How far ln P may differ between two ways to the same."""


def of_pairs(run: Run, task: Task) -> Iterator[Item]:
    """The items of a run's model of pairs on its task, beside its sizes and its training."""
    it = _Trial(run, task)
    yield from items_of(
        ("shapes", it.shapes),
        ("examples", it.examples),
        ("padding", it.padding),
        ("causality", it.causality),
        ("pieces", it.pieces),
        ("decoding", it.decoding),
        ("state", it.state),
    )


class _Trial:
    """A model of pairs on a task; each method is an item."""

    def __init__(self, run: Run, task: Task) -> None:
        self.run, self.task = small_runs.short(run), task
        self.place = trial.place_of(run.model_class)
        assert isinstance(task.input, Pair)
        self.input = task.input

    def network(self) -> Network:
        network = self.run.make_network(self.task)
        network.seed_dropout(seeding.generator("dropout", 0))
        return network.eval()

    def shown(self, seed: int = 0, steps: int = STEPS) -> Batch:
        """Two sources and two targets of symbols that are drawn, the first source shorter by two."""
        draw = torch.Generator().manual_seed(seed)
        source = torch.randint(1, self.input.source, (2, steps), generator=draw)
        targets = torch.randint(3, self.input.target, (2, steps), generator=draw)
        inputs = torch.cat([torch.full((2, 1), START), targets[:, :-1]], 1)
        return Batch(inputs, targets, source=source, lengths=torch.tensor([max(1, steps - 2), steps]))

    def expected(self, network: Network, batch: Batch) -> Tensor:
        """ln P of every symbol, (B, T, V); a model that draws in evaluation too draws the same each time."""
        with torch.no_grad(), seeding.forked("check", 0):
            found: Tensor = network.read(batch.inputs, None, batch.lengths, batch.source).log_probabilities()
        return found

    def shapes(self) -> Answer:
        network = self.network()
        for steps in (STEPS, 1, self.task.steps):
            found, wanted = self.expected(network, self.shown(0, steps)), (2, steps, self.task.outputs)
            if tuple(found.shape) != wanted:
                raise Broken(
                    f"{self.place}: log_probabilities() has the shape {tuple(found.shape)} for targets (2, {steps})",
                    f"(B, T, V) = {wanted} is needed: `answer` gives what the head makes of features (B, T, W)",
                )
        return f"ln P {tuple(self.expected(network, self.shown()).shape)} of targets (2, {STEPS})"

    def examples(self) -> Answer:
        network, batch = self.network(), self.shown()
        together = self.expected(network, batch)
        alone = torch.cat([self.expected(network, _of_one(batch, row)) for row in range(2)])
        if (off := _apart(alone, together)) > CLOSE:
            raise Broken(
                f"{self.place}: a pair alone has another answer than among others (ln P apart by {off:.1e})",
                "nothing may be computed over the batch in evaluation",
            )
        return "no answer depends on the other pairs of its batch"

    def padding(self) -> Answer:
        network, batch = self.network(), self.shown()
        assert batch.source is not None
        before, other = self.expected(network, batch), batch.source.clone()
        other[0, STEPS - 2 :] = PAD
        if (off := _apart(self.expected(network, batch._replace(source=other)), before)) > CLOSE:
            raise Broken(
                f"{self.place}: the answer changes with what pads the source (ln P apart by {off:.1e})",
                "`lengths` (B,) says how many symbols of each source count: begin a backward direction at each end, "
                "mask attention",
            )
        return "what pads a source does not matter"

    def causality(self) -> Answer:
        network, batch = self.network(), self.shown()
        before = self.expected(network, batch)
        for cut in range(1, STEPS):
            other = torch.cat([batch.inputs[:, :cut], self.shown(1).inputs[:, cut:]], 1)
            after = self.expected(network, batch._replace(inputs=other))
            if (off := _apart(after[:, :cut], before[:, :cut])) > CLOSE:
                raise Broken(
                    f"{self.place}: what is expected up to step {cut} of the target changes with symbols behind it "
                    f"(ln P apart by {off:.1e})",
                    "the decoder may see the symbols that were written before, and no later ones",
                )
        return "no answer depends on a later symbol of the target"

    def pieces(self) -> Answer:
        network, batch = self.network(), self.shown()
        body: Any = network.body
        if not isinstance(body, EncoderDecoder):
            return "not asked", "it has no `decode`: it is no models.encoder_decoder.EncoderDecoder", ""
        assert batch.source is not None
        assert batch.lengths is not None
        with torch.no_grad(), seeding.forked("check", 0):
            memory = body.encode(batch.source, batch.lengths)
            whole, state, parts = body.decode(memory, batch.inputs).features, None, []
            for symbol in batch.inputs.split(1, 1):
                features, state, _ = body.decode(memory, symbol, state)
                parts.append(features)
        if (off := _apart(torch.cat(parts, 1), whole)) > CLOSE:
            raise Broken(
                f"{self.place}: symbol by symbol the decoder gives other features than read at once ({off:.1e})",
                "decode must go on from the state that it is given",
            )
        return "symbol by symbol the decoder gives what it gives read at once"

    def decoding(self) -> Answer:
        network, batch = self.network(), self.shown()
        answer = network.read(batch.inputs, None, batch.lengths, batch.source)
        if not hasattr(answer, "decoded"):
            return (
                "remark",
                "its answers have no `decoded(longest, beam)`, by which tasks judge what it writes by itself",
                "derive from models.encoder_decoder.EncoderDecoder, whose `answer` has it",
            )
        written = answer.decoded(STEPS)
        ends = (written == END).cumsum(1) - (written == END).long()  # how many ends stand before
        if written.shape != (2, STEPS) or bool(((written == PAD) != (ends > 0)).any()):
            raise Broken(
                f"{self.place}: decoded({STEPS}) gave {written.tolist()}",
                f"symbols (B, {STEPS}) are needed, {END} at the end, {PAD} behind it and nowhere else",
            )
        return f"it writes up to {STEPS} symbols by itself, and stops at the end symbol"

    def state(self) -> Answer:
        told = self.network().body.state_size_after(self.task.steps)
        if told == UNKNOWN:
            return "remark", "the size of its state is unknown", "set self.state_size in the constructor"
        return f"{told} numbers for each sequence of {self.task.steps} steps"


def _of_one(batch: Batch, row: int) -> Batch:
    """A pair of a batch alone, its source without padding."""
    assert batch.source is not None
    assert batch.lengths is not None
    length = int(batch.lengths[row])
    own = batch._replace(inputs=batch.inputs[row : row + 1], source=batch.source[row : row + 1, :length])
    return own._replace(lengths=batch.lengths[row : row + 1])


def _apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max()) if one.shape == other.shape else torch.inf
