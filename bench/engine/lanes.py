"""Where the steps of a run are launched: its lane. `devices` says which device has the lanes.

On a CPU a lane is no more than a clock. On a GPU it is a stream and a memory pool of its own (`cuda.py`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor

from .. import seeding


class Uncapturable(Exception):
    """Why a step cannot be captured: it makes the host wait for the device, or it draws random numbers on the host."""


class Moment(Protocol):
    """A point in the work of a lane."""

    def ready(self) -> bool:
        """Whether the device has come there; the host does not wait."""

    def wait(self) -> None:
        """Returns when the device has come there."""


class Reading(Moment, Protocol):
    """Numbers that were asked for, once they have arrived."""

    def values(self) -> list[float]:
        """The numbers; waits for them."""


Turns = Generator[Moment | None, None, Any]
"""A run as a generator. After each step it gives None, or, where it cannot go on before, the moment that it needs."""


class Lane(ABC):
    """Where one run's steps are launched. Within `with` it is the present one; all work of the run goes on within.

    captures: whether steps are captured and replayed. memory: bytes that the run takes, and beside: the most runs
    that were in work at the same time, itself among them; `packing` sets both. generators: the global generators,
    which are the run's own within, so that no run draws what is another's; the run seeds them.
    """

    device = torch.device("cpu")
    captures = False
    memory = 0
    beside = 1

    def __init__(self) -> None:
        self._busy = 0.0
        self._entered = 0.0
        self.generators = seeding.GlobalGenerators(self.device)

    def __enter__(self) -> Lane:
        self._entered = time.process_time()
        self.generators.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.generators.leave()
        self._busy += time.process_time() - self._entered

    def cpu_seconds(self) -> float:
        """The processor's time spent within this lane, up to now; to be asked within."""
        return self._busy + time.process_time() - self._entered

    @abstractmethod
    def capture(self, work: Callable[[], None], generator: torch.Generator | None) -> Callable[[], None]:
        """What does the same as `work` when it is called, from the same tensors, without the host.

        Runs `work` a few times first. generator: that from which `work` draws. Raises Uncapturable.
        """

    @abstractmethod
    def read(self, numbers: Tensor) -> Reading:
        """Asks for numbers that lie on the device, as they are after all that was launched so far."""

    @abstractmethod
    def mark(self) -> Moment:
        """The moment at which all that was launched so far is done."""

    def close(self) -> None:
        """Waits for the work, and gives the memory back."""
        return


class Arrived:
    """Numbers of a CPU, which are there at once."""

    def __init__(self, values: list[float]) -> None:
        self._values = values

    def ready(self) -> bool:
        return True

    def wait(self) -> None:
        return

    def values(self) -> list[float]:
        return self._values


NOW = Arrived([])
"""A moment that has come."""


class HostLane(Lane):
    """A lane of a CPU: every step is done when it has been launched, and nothing is captured."""

    def capture(self, work: Callable[[], None], generator: torch.Generator | None) -> Callable[[], None]:
        raise Uncapturable("a CPU captures nothing")

    def read(self, numbers: Tensor) -> Reading:
        return Arrived(numbers.flatten().tolist())

    def mark(self) -> Moment:
        return NOW


@contextmanager
def rehearsing(device: torch.device) -> Iterator[None]:
    """Within it a step is tried and captured; what that draws from the global generators is taken back.

    Raises Uncapturable where the step draws on the host: each replay would have the numbers of the capture.
    """
    before = seeding.states((*seeding.of_host(device), *seeding.of_device(device)), device)
    try:
        yield
        drawn = [
            name
            for name, state in seeding.states(seeding.of_host(device), device).items()
            if not seeding.same(state, before[name])
        ]
    finally:
        seeding.set_states(before, device)
    if drawn:
        raise Uncapturable(f"a step draws from the global generator of {' and of '.join(drawn)} on the host")


def finished(turns: Turns) -> Any:
    """What a run returns, all its turns taken one after the other; within its lane."""
    while True:
        try:
            moment = next(turns)
        except StopIteration as end:
            return end.value
        if moment is not None:
            moment.wait()
