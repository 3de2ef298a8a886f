"""One step of training, and one of evaluation: from the numbers of the examples to the sums that are kept.

A step works on tensors that stay where they are: the parameters, the optimizer's state, the sums, what a model
remembers of a text, and an index buffer. So it can be captured (see `lanes.Lane`): for each layout of a batch one
graph, made when the layout is first met, which is replayed from then on. On a CPU it is executed as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...models.base import Dropout, State, detached
from ...models.network import Network
from ...tasks.base import Batch, Split, Task
from ..experiments.runs import Run
from ..experiments.settings import FACTOR
from .buckets import Buckets
from .devices import device_of
from .lanes import Lane, Uncapturable, rehearsing
from .repeatable import products_in


def answer(network: Network, split: Split, batch: Batch, state: State = None) -> tuple[Any, State]:
    """The head's answer for a batch of a split, and the state that goes into the batch after it.

    On a text a model that carries its state goes on from where the windows before have left it, and reads only what
    they have not shown. Everywhere else each example starts anew: the state is None.
    """
    if split.streams is None or not network.body.carries:
        return network.read(batch.inputs, batch.reads, batch.lengths, batch.source), None
    inputs = batch.inputs if state is None else batch.inputs[:, split.context :]
    outputs, state = network(inputs, state, batch.reads)
    return outputs, detached(state)


class _Graph(NamedTuple):
    """A captured step, and the buffer (B,) from which it takes its index."""

    shown: Tensor
    replay: Callable[[], None]


class _Step:
    """What both kinds of step share: how a batch is shown, what a model remembers, and the graphs.

    uncaptured: why steps are executed as they stand where the lane captures; empty where they are captured.
    """

    def __init__(self, task: Task, split: Split, network: Network, lane: Lane) -> None:
        self.task, self.split, self.network, self.lane = task, split, network, lane
        self.device = next(network.parameters()).device
        self.generator: torch.Generator | None = None  # from which a step draws
        self.carries = split.streams is not None and network.body.carries
        self.laid_out = lane.captures and type(split).laid_out is not Split.laid_out
        self.uncaptured = ""
        if lane.captures and not self.laid_out:
            self.uncaptured = f"{type(split).__name__} does not lay batches out on the device"
        self._memory: State = None
        self._fresh = True  # nothing goes before the next batch
        self._graphs: dict[tuple[int, int | None, bool], _Graph] = {}

    @property
    def state(self) -> State:
        """What the model remembers of the batch before; None before the first, and where it carries nothing."""
        return None if self._fresh else self._memory

    @state.setter
    def state(self, state: State) -> None:
        self._memory, self._fresh = state, state is None

    def run(self, index: Tensor, extent: int | None = None) -> None:
        """One step with the examples at `index`, (B,) int64 on the CPU or on the split's device.

        extent: where steps are captured, that of `extent`, if the host knows it already: then it waits for nothing.
        """
        if not self.lane.captures:
            self._do(self.split.batch(index))
        else:
            extent = self.extent(index) if extent is None else extent
            graph = self._graph(index, extent)
            if graph is None:
                self._do(self.split.laid_out(index, extent) if self.laid_out else self.split.batch(index))
            else:
                graph.shown.copy_(index)
                graph.replay()
        self._fresh = False

    def extent(self, index: Tensor) -> int | None:
        """How the host must lay out the batch of `index`: see `Split.extent`."""
        return self.split.extent(index)

    def prepare(self, size: int, extent: int | None, fresh: bool = True) -> None:
        """Captures the step for a layout that will come; nothing else changes."""
        if self.lane.captures:
            before, self._fresh = self._fresh, fresh
            self._graph(torch.zeros(size, dtype=torch.int64, device=self.device), extent)
            self._fresh = before

    def _graph(self, index: Tensor, extent: int | None) -> _Graph | None:
        """The graph of a layout, made now where it is the first of its kind; None where it cannot be had."""
        key = len(index), extent, self._fresh and self.carries
        if key in self._graphs or self.uncaptured:
            return self._graphs.get(key)
        buffer = index.to(self.device, copy=True)
        try:
            with self._unchanged(), rehearsing(self.device):
                replay = self.lane.capture(lambda: self._do(self.split.laid_out(buffer, extent)), self.generator)
        except Uncapturable as reason:
            self.uncaptured = str(reason)
            return None
        self._graphs[key] = _Graph(buffer, replay)
        return self._graphs[key]

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """After it all that a step changes is as before; what it has made for itself is zero, as it starts."""
        before = [(tensor, tensor.clone()) for tensor in self._tensors()]
        drawn = self.generator.get_state() if self.generator is not None else None
        try:
            yield
        finally:
            known = {id(tensor) for tensor, _ in before}
            with torch.no_grad():
                for tensor, value in before:
                    tensor.copy_(value)
                for tensor in self._tensors():
                    if id(tensor) not in known:
                        tensor.zero_()
            if self.generator is not None and drawn is not None:
                self.generator.set_state(drawn)
            self.network.zero_grad(set_to_none=True)

    def _tensors(self) -> Iterator[Tensor]:
        """All that a step changes; the same objects each time."""
        yield from tensors_of(self._memory)

    def _remember(self, state: State) -> None:
        if not self.lane.captures or self._memory is None:
            self._memory = state if not self.lane.captures else _copied(state)
        else:
            for kept, new in zip(tensors_of(self._memory), tensors_of(state), strict=True):
                kept.copy_(new)

    def _do(self, batch: Batch) -> None:
        raise NotImplementedError


class TrainingStep(_Step):
    """A step of training: gather, forward, loss, backward, clip, optimizer, sum of the losses.

    split: on `device`, in as many streams as a batch has examples. optimizer: made with `in_graph` where the lane
    captures. lane: where steps are launched; without one a lane of its own. Dropout must have its stream before.
    loss_sum: float64 on the device, the sum over examples of the losses so far. updated: False while a gradient waits
    for further batches (`accumulate`).
    """

    def __init__(
        self,
        run: Run,
        task: Task,
        split: Split,
        network: Network,
        optimizer: torch.optim.Optimizer,
        device: torch.device | str = "cpu",
        lane: Lane | None = None,
    ) -> None:
        super().__init__(task, split, network, lane or device_of(torch.device(device)).lane())
        self.optimizer, self.precision, self.clip = optimizer, run.precision, run.training.clip
        self.batch, self.training = run.training.batch, run.training
        self.updated = True
        self._place = 0, 1  # of a batch among those whose gradients are averaged, and how many they are
        if self.lane.captures:  # the steps before a capture run without one, of which torch would warn
            vars(optimizer)["_warned_capturable_if_run_uncaptured"] = True
            self.uncaptured = self.uncaptured or run.training.uncapturable
        self.parameters = list(network.parameters())
        drawing = (part.generator for part in network.modules() if isinstance(part, Dropout))
        self.generator = next((generator for generator in drawing if generator is not None), None)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.device)
        lengths = split.lengths if self.laid_out else None
        self.buckets = None if lengths is None else Buckets(lengths)
        self._order = torch.empty(0, dtype=torch.int64)
        self._extents: list[int | None] = []

    def set_rate(self, rate: float) -> None:
        """The learning rate of all steps from now on; a group of parameters may have its own factor of it."""
        for group in self.optimizer.param_groups:
            own = rate * group.get(FACTOR, 1.0)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(own)
            elif group["lr"] != own:  # a graph has the rate in it
                group["lr"] = own
                self._graphs.clear()

    def begin(self, order: Tensor, fresh: bool = True) -> None:
        """Begins an epoch. order: in which it shows the examples, (N,) int64 on the CPU.

        fresh: False where the state that was set goes on.
        """
        self._order = order
        if self.lane.captures:
            batches = order.split(self.batch)
            ragged = self.split.lengths is not None
            self._extents = [self.extent(index) for index in batches] if ragged else [None] * len(batches)
            self._order = order.to(self.device)
        self._fresh = self._fresh or fresh

    def take(self, number: int) -> int:
        """The step `number` of the epoch, counted from 0; returns how many examples it has shown."""
        index = self._order[number * self.batch : (number + 1) * self.batch]
        self._place = self.training.place(number, -(-len(self._order) // self.batch))
        self.run(index, self._extents[number] if self._extents else None)
        return len(index)

    def extent(self, index: Tensor) -> int | None:
        extent = self.split.extent(index)
        return self.buckets.of(extent) if self.buckets is not None and extent is not None else extent

    def prepare_all(self) -> None:
        """Captures the step for every layout of an epoch."""
        if not self.lane.captures:
            return
        whole, rest = divmod(len(self.split), self.batch)
        sizes = [self.batch] * (whole > 0) + [rest] * (rest > 0)
        for size in sizes:
            for extent in self.buckets.edges if self.buckets is not None else (None,):
                self.prepare(size, extent)
                if self.carries:
                    self.prepare(size, extent, fresh=False)

    def _do(self, batch: Batch) -> None:
        if not self.network.training:
            self.network.train()
        with products_in("tf32") if self.precision == "tf32" else nullcontext():
            self._train(batch)

    def _train(self, batch: Batch) -> None:
        place, together = self._place
        self.updated = place == together - 1
        if place == 0:
            self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, torch.bfloat16) if self.precision == "bfloat16" else nullcontext():
            loss, state = self._loss(batch)
        (loss if together == 1 else loss / together).backward()
        if self.updated:
            if self.clip is not None:
                nn.utils.clip_grad_norm_(self.parameters, self.clip)
            self.optimizer.step()
        self.loss_sum += loss.detach().double() * len(batch.inputs)
        self._remember(state)  # last: the backward pass has needed what is overwritten now

    def _loss(self, batch: Batch) -> tuple[Tensor, State]:
        outputs, state = answer(self.network, self.split, batch, self.state)  # (B, R, O)
        return self.task.loss(outputs, batch), state

    def _tensors(self) -> Iterator[Tensor]:
        yield from (*self.parameters, *self.network.buffers(), self.loss_sum)
        yield from super()._tensors()
        for state in self.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))


class EvaluationStep(_Step):
    """A step of evaluation: gather, forward, metrics, in evaluation mode and float32; their sums on the device.

    sums: metric -> (2,) float64, the sum over the scored positions so far and their number.
    """

    def __init__(
        self,
        task: Task,
        split: Split,
        network: Network,
        device: torch.device | str = "cpu",
        lane: Lane | None = None,
    ) -> None:
        super().__init__(task, split, network, lane or device_of(torch.device(device)).lane())
        self.sums: dict[str, Tensor] = {}

    def begin(self) -> None:
        """Begins a pass: nothing is summed up or remembered yet."""
        self._fresh = True
        if self.lane.captures:
            for pair in self.sums.values():
                pair.zero_()
        else:
            self.sums = {}

    def _do(self, batch: Batch) -> None:
        if self.network.training:
            self.network.eval()
        with torch.no_grad():
            outputs, state = answer(self.network, self.split, batch, self.state)
            for name, (total, count) in self.task.totals(outputs, batch).items():
                pair = torch.stack([_double(part, batch.inputs.device) for part in (total, count)])
                if name in self.sums:
                    self.sums[name] += pair
                else:
                    self.sums[name] = pair
            self._remember(state)

    def _tensors(self) -> Iterator[Tensor]:
        yield from super()._tensors()
        yield from self.sums.values()


def tensors_of(state: State) -> Iterator[Tensor]:
    """The tensors of a model's state, in their order."""
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, list | tuple):
        for part in state:
            yield from tensors_of(part)


def _copied(state: State) -> State:
    if isinstance(state, Tensor):
        return state.clone()
    return type(state)(_copied(part) for part in state) if isinstance(state, list | tuple) else state


def _double(number: Tensor | int, device: torch.device) -> Tensor:
    """A float64 on the device; from the host by a fill, for which it does not wait."""
    if isinstance(number, Tensor):
        return number.double()
    return torch.full((), number, dtype=torch.float64, device=device)
