"""A device for tests that captures as a GPU does: a step's operations are recorded, and repeated on the same tensors.

Whatever the host decides in between (a number, a branch, a new tensor in an old one's place) is lost on a replay, as it
is on a GPU, and what makes the host wait for the device is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from seqbench.bench.engine.lanes import Arrived, HostLane, Lane, Moment, Reading, Uncapturable
from seqbench.bench.engine.repeatable import repeatable
from seqbench.bench.engine.training import Loop, Outcome, finished
from seqbench.bench.experiments.runs import Run
from seqbench.models._compiling import plain
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

aten = torch.ops.aten
WAITS = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten._unique2, aten.equal, aten.bincount}
"""Operations for whose result, or its size, the host waits."""
CPU = torch.device("cpu")


class _Recorder(TorchDispatchMode):
    """Remembers each operation with its arguments and results."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, bool, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        chosen_by_truth = func.overloadpacket in (aten.index, aten.index_put_, aten.index_put) and any(
            isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if func.overloadpacket in WAITS or chosen_by_truth:
            raise Uncapturable(f"{func} makes the host wait")
        result = func(*args, **kwargs)
        if torch.Tag.inplace_view not in func.tags:  # that changes a tensor's shape, and `_kept` has each one's of then
            self.calls.append((func, torch.is_grad_enabled(), _kept(args), _kept(kwargs), _kept(result)))
        return result

    def replay(self) -> None:
        """Does it again: what is written is written where it was."""
        for func, with_grad, args, kwargs, result in self.calls:
            returns = func._schema.returns
            if returns and all(one.alias_info is not None and not one.alias_info.is_write for one in returns):
                continue  # a view of what is there
            with torch.set_grad_enabled(with_grad):
                again = func(*args, **kwargs)
            if any(one.alias_info is not None for one in returns):
                continue  # it wrote into its arguments
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, Tensor):
                    old.copy_(new)


def _kept(values: Any) -> Any:
    """The same memory with the shape of now, without a gradient."""
    return tree_map_only(Tensor, lambda tensor: tensor.detach(), values)


class Late(Arrived):
    """Numbers that are there when they have been asked for often enough."""

    def __init__(self, values: list[float], asked: int) -> None:
        super().__init__(values)
        self.asked = asked

    def ready(self) -> bool:
        self.asked -= 1
        return self.asked < 0

    def wait(self) -> None:
        self.asked = 0


class RecordingLane(HostLane):
    """late: how often a reading must be asked for. graphs: how many were captured."""

    captures = True

    def __init__(self, late: int = 0) -> None:
        super().__init__()
        self.late, self.graphs, self.replays = late, 0, 0

    def capture(self, work: Callable[[], None], generator: torch.Generator | None) -> Callable[[], None]:
        for _ in range(2):
            work()
        with _Recorder() as recorder:
            work()
        self.graphs += 1

        def replay() -> None:
            self.replays += 1
            recorder.replay()

        return replay

    def read(self, numbers: Tensor) -> Reading:
        return Late(numbers.flatten().tolist(), self.late)

    def mark(self) -> Moment:
        return Late([], self.late)


def train_in(lane: Lane, run: Run, **options: Any) -> Outcome:
    """One training in a lane, by torch's own operations, which alone are recorded."""
    with repeatable(CPU), plain(), lane:
        outcome: Outcome = finished(Loop(run, CPU, lane, **options).turns())
    return outcome
