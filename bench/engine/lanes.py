"""Where the steps of a run are launched: its lane. `devices` says which device has the lanes.

On a CPU a lane is no more than a clock. On a GPU it is a stream and a memory pool of its own (`cuda.py`).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor


class Uncapturable(Exception):
    """Why a step cannot be captured: it makes the host wait for the device."""


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
    that were in work at the same time, itself among them; `packing` sets both.
    """

    captures = False
    memory = 0
    beside = 1

    def __init__(self) -> None:
        self._busy = 0.0
        self._entered = 0.0

    def __enter__(self) -> Lane:
        self._entered = time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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


def finished(turns: Turns) -> Any:
    """What a run returns, all its turns taken one after the other; within its lane."""
    while True:
        try:
            moment = next(turns)
        except StopIteration as end:
            return end.value
        if moment is not None:
            moment.wait()
