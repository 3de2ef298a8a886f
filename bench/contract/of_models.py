"""What the contract of a model asks (`models.base.Model`), tried on a task at a small size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...models.base import UNKNOWN
from ...models.network import Network
from ...tasks.base import Task
from .. import seeding
from ..engine import trial
from ..engine.steps import tensors_of
from ..experiments import hidden_imports, sizing
from ..experiments.options import options_of
from ..experiments.runs import Run
from . import small_runs
from .items import Answer, Broken, Item, items_of
from .of_pairs import of_pairs
from .of_training import of_training, speed_beside
from .small_runs import CPU

STEPS = 24
"""T of what is shown to a model alone."""
CLOSE = 1e-4
"""How far features of pieces may lie from those of the whole, as a share of the largest."""


def of_model(run: Run, task: Task, alone: bool = True, speed: bool = True) -> Iterator[Item]:
    """The items of a run's model on its task; those that no task is needed for where `alone`."""
    it = _Trial(run, task)
    if alone:
        yield from items_of(("imports", it.imports), ("sizes", it.sizes))
    if alone and run.model_class.pairs:
        yield from of_pairs(run, task)
    elif alone:
        yield from items_of(
            ("shapes", it.shapes),
            ("examples", it.examples),
            ("causality", it.causality),
            ("pieces", it.pieces),
            ("state", it.state),
            ("reach", it.reach),
        )
    yield from of_training(run, task, it.place)
    if speed:
        yield from items_of(("speed", lambda: speed_beside(small_runs.short(run), task)))


class _Trial:
    """A model on a task; each method is an item."""

    def __init__(self, run: Run, task: Task) -> None:
        self.run, self.task = small_runs.short(run), task
        self.place = trial.place_of(run.model_class)

    def network(self) -> Network:
        network = self.run.make_network(self.task)
        network.seed_dropout(seeding.generator("dropout", 0))
        return network

    def shown(self, network: Network, batch: int = 2, steps: int = STEPS, seed: int = 0) -> Tensor:
        """Normal numbers (B, T, C) in the place of what the body is shown."""
        channels = trial.trial_inputs(network, self.task, 1, CPU).shape[2]
        return torch.randn(batch, steps, channels, generator=torch.Generator().manual_seed(seed))

    def imports(self) -> Answer:
        """Whether a row's hash covers all code that the model loads."""
        if not (calls := hidden_imports.calls(self.run)):
            return "all that its files load is named in their imports"
        return "remark", f"{', '.join(calls)} loads what no hash covers", "name the module in an import"

    def sizes(self) -> Answer:
        """Whether budgets of parameters are met, by widths that the model accepts."""
        model = self.run.model_class
        count = self.network().parameter_count
        if model.sized_by not in options_of(model):
            return (
                "remark",
                f"{count:,} parameters, and no option that sets the width",
                "name one `width`, or say `sized_by = …` in the class, so that a budget of parameters can be met",
            )
        met = []
        for budget in (count, 2 * count, 8 * count):
            ends = self.run.head, self.run.embedding
            found = sizing.fit(self.task, model, self.run.model.options, budget, 1e9, *ends, fine=True)
            met.append((found, found.parameters / budget - 1))
        texts = [f"{model.sized_by}={size.width} has {size.parameters:,} ({off:+.1%})" for size, off in met]
        return f"budgets are met: {', '.join(texts)}"

    def shapes(self) -> Answer:
        network = self.network().eval()
        for batch, steps in ((2, STEPS), (1, 1), (3, 2), (2, self.task.steps)):
            trial.check_shapes(network.body, self.shown(network, batch, steps), self.task.reads)
        with torch.no_grad():
            features, _ = network.body(self.shown(network))
        return f"features {tuple(features.shape)} of inputs {tuple(self.shown(network).shape)}"

    def examples(self) -> Answer:
        network = self.network().eval()
        inputs = self.shown(network, 3)
        with torch.no_grad():
            together, _ = self._quiet(network, inputs)
            alone = torch.cat([self._quiet(network, one[None])[0] for one in inputs])
        if (off := _apart(alone, together)) > CLOSE:
            raise Broken(
                f"{self.place}: an example alone has other features than among others (apart by {off:.1e})",
                "nothing may be computed over the batch in evaluation; batch norm must use its running averages",
            )
        return "no example depends on the others of its batch"

    def causality(self) -> Answer:
        network = self.network().eval()
        declared = network.body.causal
        inputs = self.shown(network)
        seen = trial.sees_later_inputs(network.body, inputs) or self._changed()
        if seen and declared:
            raise Broken(
                f"{self.place}: {seen}, though nothing says that the model is not causal",
                "pad a convolution on its left alone, mask attention; or say `causal = False` in the class, and the "
                "model is named so in tables and not trained where a task predicts its input",
            )
        if not declared:
            return (
                "remark",
                "not causal, as it says",
                "it is named so in tables, and not trained where a task predicts its own input",
            )
        return "no feature depends on a later input, by gradient and by changing them"

    def _changed(self) -> str:
        """How features change with later inputs alone; this also sees what has no gradient."""
        network = self.network().eval()
        inputs = self.shown(network)
        with torch.no_grad():
            before, _ = self._quiet(network, inputs)
            for cut in (1, STEPS // 2, STEPS - 1):
                other = torch.cat([inputs[:, :cut], self.shown(network, seed=1)[:, cut:]], 1)
                after, _ = self._quiet(network, other)
                if (off := _apart(after[:, :cut], before[:, :cut])) > CLOSE:
                    return f"features of steps up to {cut} change with inputs after it (by {off:.1e})"
        return ""

    def pieces(self) -> Answer:
        network = self.network().eval()
        if not network.body.streamed or not network.body.causal:
            return (
                "not asked",
                "it keeps no state, so it cannot be fed in pieces",
                "" if network.body.causal else "a model that is not causal cannot",
            )
        inputs = self.shown(network)
        with torch.no_grad():
            whole, _ = self._quiet(network, inputs)
            for cuts in ([1], [STEPS // 2], [*range(1, STEPS)]):
                state, parts = None, []
                for start, end in zip([0, *cuts], [*cuts, STEPS], strict=True):
                    features, state = self._quiet(network, inputs[:, start:end], state)
                    parts.append(features)
                if (off := _apart(torch.cat(parts, 1), whole)) > CLOSE:
                    raise Broken(
                        f"{self.place}: fed in pieces cut at {cuts[:3]} it gives other features than fed whole "
                        f"(apart by {off:.1e})",
                        "forward must go on from the state that it is given; a class whose forward has none says "
                        "`streamed = False`",
                    )
        return "fed in pieces it gives what it gives fed whole"

    def state(self) -> Answer:
        network = self.network().eval()
        body = network.body
        with torch.no_grad():
            _, state = self._quiet(network, self.shown(network, 2))
        kept = sum(part.numel() for part in tensors_of(state)) // 2
        told = body.state_size_after(STEPS)
        if told == UNKNOWN:
            return (
                "remark",
                f"the size of its state is unknown; forward gave {kept} numbers for each sequence",
                "set self.state_size in the constructor, and tables can say it",
            )
        if body.streamed and told != kept:
            raise Broken(
                f"{self.place}: state_size is {told}, and forward gave {kept} numbers for each sequence",
                "self.state_size counts the numbers that are kept for one sequence between two steps",
            )
        return f"{told} numbers for each sequence"

    def reach(self) -> Answer:
        network = self.network().eval()
        field = network.body.receptive_field
        if field == UNKNOWN:
            return (
                "remark",
                "its receptive field and multiply-adds are unknown",
                "set self.receptive_field (None: the memory has no fixed end) and self.macs_per_step",
            )
        if field is None:
            return "its memory has no fixed end"
        inputs = self.shown(network, 2, field + 8).requires_grad_()
        features, _ = network.body(inputs)
        (gradient,) = torch.autograd.grad(features[:, -1].square().sum(), inputs)
        touched = gradient.abs().amax((0, 2)).nonzero()
        reached = field + 8 - int(touched.min()) if len(touched) else 0
        if reached > field:
            raise Broken(
                f"{self.place}: receptive_field is {field}, and a gradient reaches back {reached} steps",
                "self.receptive_field is how many steps of input can reach one feature",
            )
        return f"{field} steps, and a gradient reaches back {reached}"

    def _quiet(self, network: Network, inputs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """What the body gives; a model that draws in evaluation too draws the same each time."""
        with seeding.forked("check", 0):
            features, state = network.body(inputs, state) if state is not None else network.body(inputs)
        return features, state


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest number."""
    if one.shape != other.shape:
        return torch.inf
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-12))
