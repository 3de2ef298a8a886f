"""What the contract of a model asks (`models.base.Model`), tried on a task at a small size."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from ...models.base import UNKNOWN
from ...models.network import Network
from ...tasks.base import Task
from .. import seeding
from ..engine import trial
from ..engine.checkpoint import Checkpoint
from ..engine.outcome import Stopped
from ..engine.repeatable import repeatable
from ..errors import UsageError
from ..experiments import registry, sizing
from ..experiments.notation import Spec
from ..experiments.options import options_of
from ..experiments.runs import Run
from . import small_runs
from .items import Answer, Broken, Item, items_of
from .small_runs import CPU

STEPS = 24
"""T of what is shown to a model alone."""
CLOSE = 1e-4
"""How far features of pieces may lie from those of the whole, as a share of the largest."""
RATES = (1e-2, 1e-3)
REPEATS = 60
"""Steps on one batch, at each of these learning rates, within which the loss must fall to FALLEN of the first."""
FALLEN = 0.8
TIMED = 5
LEARNING_STEPS = 10
"""Within so many steps every parameter must have had a gradient: some have none at first, behind a zero."""


def of_model(run: Run, task: Task, alone: bool = True, speed: bool = True) -> Iterator[Item]:
    """The items of a run's model on its task; those that no task is needed for where `alone`."""
    it = _Trial(run, task)
    if alone:
        yield from items_of(
            ("sizes", it.sizes),
            ("shapes", it.shapes),
            ("examples", it.examples),
            ("causality", it.causality),
            ("pieces", it.pieces),
            ("state", it.state),
            ("reach", it.reach),
        )
    yield from items_of(
        ("same bits twice", it.twice),
        ("same bits after a stop", it.resumed),
        ("gradients", it.gradients),
        ("learning", it.learning),
    )
    if speed:
        yield from items_of(("speed", it.speed))


class _Trial:
    """A model on a task; each method is an item."""

    def __init__(self, run: Run, task: Task) -> None:
        self.run, self.task = small_runs.short(run), task
        self.place = trial.place_of(run.model_class)

    @cached_property
    def whole(self) -> list[Any]:
        """What a short training in one piece gives."""
        return small_runs.measured(small_runs.trained(self.run))

    def network(self) -> Network:
        network = self.run.make_network(self.task)
        network.seed_dropout(seeding.generator("dropout", 0))
        return network

    def shown(self, network: Network, batch: int = 2, steps: int = STEPS, seed: int = 0) -> Tensor:
        """Normal numbers (B, T, C) in the place of what the body is shown."""
        channels = trial.trial_inputs(network, self.task, 1, CPU).shape[2]
        return torch.randn(batch, steps, channels, generator=torch.Generator().manual_seed(seed))

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
        kept = sum(part.numel() for part in _tensors(state)) // 2
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

    def twice(self) -> Answer:
        if small_runs.measured(small_runs.trained(self.run)) != self.whole:
            raise Broken(
                f"{self.place}: two trainings of one run differ",
                "what is drawn must come from Python's, NumPy's or torch's global generators or from `Dropout` of "
                "models.base; nothing may be kept outside of the module, or depend on time, or on an order of sets",
            )
        return "two trainings of one run are the same to the bit"

    def resumed(self) -> Answer:
        with tempfile.TemporaryDirectory() as folder, Checkpoint(Path(folder) / "run.pt") as kept:
            for asked in (4, 9):  # in the first epoch, then in the second
                calls = iter(range(asked))
                try:
                    small_runs.trained(self.run, kept, lambda calls=calls: next(calls, None) is None)  # type: ignore[misc]
                except Stopped:
                    continue
            resumed = small_runs.measured(small_runs.trained(self.run, kept))
        if resumed != self.whole:
            raise Broken(
                f"{self.place}: a training that was stopped and gone on with differs from one in one piece",
                "what a step leaves behind must be in parameters and buffers, which checkpoints hold",
            )
        return "a training that was stopped twice is the same to the bit"

    def gradients(self) -> Answer:
        network, batch = self.network(), small_runs.first_batch(self.task, self.run)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        waiting = {name for name, parameter in network.body.named_parameters() if parameter.requires_grad}
        count = len(waiting)
        with self._drawn():
            for _ in range(LEARNING_STEPS):
                optimizer.zero_grad()
                self.task.loss(network.read(batch.inputs, batch.reads), batch).backward()
                for name, parameter in network.body.named_parameters():
                    if parameter.grad is not None and not parameter.grad.isfinite().all():
                        raise Broken(f"{self.place}: the gradient of {name} is not finite", "see how it is computed")
                    if parameter.grad is not None and parameter.grad.any():
                        waiting.discard(name)
                optimizer.step()
        if waiting:
            named = ", ".join(sorted(waiting)[:3]) + (", …" if len(waiting) > 3 else "")
            raise Broken(
                f"{self.place}: {len(waiting)} of {count} parameters get no gradient: {named}",
                "they count as parameters and learn nothing; use them in forward, or leave them out",
            )
        return f"each of {count} parameter tensors gets one"

    def learning(self) -> Answer:
        batch = small_runs.first_batch(self.task, self.run)
        lowest = []
        for rate in RATES:
            network = self.network().train()
            optimizer = torch.optim.Adam(network.parameters(), lr=rate)
            losses: list[float] = []
            with self._drawn():
                while len(losses) < REPEATS and not (losses and min(losses) <= FALLEN * losses[0]):
                    optimizer.zero_grad()
                    loss = self.task.loss(network.read(batch.inputs, batch.reads), batch)
                    loss.backward()
                    optimizer.step()
                    losses.append(loss.item())
            if min(losses) <= FALLEN * losses[0]:
                fall = f"from {losses[0]:.3g} to {min(losses):.3g}"
                return f"the loss on a repeated batch falls {fall} in {len(losses)} steps"
            lowest.append(f"from {losses[0]:.3g} to {min(losses):.3g} at a rate of {rate:g}")
        raise Broken(
            f"{self.place}: the loss on a repeated batch does not fall in {REPEATS} steps ({', '.join(lowest)})",
            "see whether features depend on the inputs, and whether a gradient reaches all parameters",
        )

    def speed(self) -> Answer:
        own, parameters = _milliseconds(self.run, self.task), self.network().parameter_count
        beside = {}
        for name in registry.listing("model"):
            try:
                spec = sizing.sized(self.task, Spec(name, {}), parameters, 0.5, self.run.head, self.run.embedding)
                other = Run(self.run.task, spec, self.run.training, self.run.head, self.run.embedding)
                beside[name] = _milliseconds(other, self.task)
            except UsageError:  # of so few parameters there is none
                continue
        listed = ", ".join(f"{name} {time:.1f}" for name, time in sorted(beside.items(), key=lambda pair: pair[1]))
        return (
            "remark",
            f"a training step of {parameters:,} parameters takes {own:.1f} ms; of the suite's: {listed}",
            "",
        )

    def _quiet(self, network: Network, inputs: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """What the body gives; a model that draws in evaluation too draws the same each time."""
        with seeding.forked("check", 0):
            features, state = network.body(inputs, state) if state is not None else network.body(inputs)
        return features, state

    def _drawn(self) -> Any:
        return seeding.forked("check", 0)


def _milliseconds(run: Run, task: Task) -> float:
    """Of a training step: the median of a few, after two that compile and allocate."""
    network = run.make_network(task).train()
    network.seed_dropout(seeding.generator("dropout", 0))
    batch = small_runs.first_batch(task, run)
    optimizer = torch.optim.Adam(network.parameters())
    times = []
    with repeatable(CPU), seeding.forked("check", 0):
        for _ in range(TIMED + 2):
            started = time.perf_counter()
            optimizer.zero_grad()
            task.loss(network.read(batch.inputs, batch.reads), batch).backward()
            optimizer.step()
            times.append(time.perf_counter() - started)
    return 1e3 * median(times[2:])


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest number."""
    if one.shape != other.shape:
        return torch.inf
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-12))


def _tensors(state: Any) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, list | tuple):
        for part in state:
            yield from _tensors(part)
