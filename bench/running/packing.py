"""Many runs on one device in one process: each in a lane of its own, a few steps in turn.

A run is admitted where its memory fits. The first run of a kind (all but the seed) is measured when everything that it
needs stands on the device; from then on its like are admitted as far as the free memory goes. A kind that is not known
yet is tried, and waits where it does not fit beside the others. So the order of the runs is kept as far as memory lets.

Each lane has at most a few turns under way, so that the host waits for none of them and all go on at one pace.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from ...tasks.base import Split, Splits
from ..engine.devices import Device
from ..engine.lanes import Lane, Moment, Turns
from ..experiments.runs import Run

MOST = 32
"""Runs in work at the same time where no number is asked for. Not measured on a card yet."""
STEPS = 8
"""Steps of a turn."""
UNDER_WAY = 2
"""Turns of a lane that are launched and not done."""
SAFETY = 0.9
"""The share of the free memory that is given away: a checkpoint and the best parameters need some too."""
SHORTAGES = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "out of memory")
"""What cuBLAS, cuDNN and the driver say where memory is short."""


class Member(Protocol):
    """A run, as packing sees it. Runs of the same `kind` take the same memory."""

    kind: str

    def begin(self, lane: Lane) -> Turns:
        """Puts all that the run needs on the device, within its lane. May be asked again where it did not fit."""

    def end(self, outcome: Any) -> None:
        """The run is done, within its lane no more."""

    def fail(self, error: Exception) -> None:
        """The run has raised."""


@dataclass
class _Active:
    member: Member
    lane: Lane
    turns: Turns
    needs: Moment | None = None
    under_way: deque[Moment] = field(default_factory=deque)

    def held_up_by(self) -> Moment | None:
        """What must come first, before the next turn; None where it can begin."""
        if self.needs is not None and not self.needs.ready():
            return self.needs
        while self.under_way and self.under_way[0].ready():
            self.under_way.popleft()
        return self.under_way[0] if len(self.under_way) >= UNDER_WAY else None


class Packing:
    """Runs that share a device, at most `most` at a time."""

    def __init__(self, device: Device, most: int = MOST) -> None:
        self.device, self.most = device, most
        self.waiting: deque[Member] = deque()
        self.active: list[_Active] = []
        self.memory: dict[str, int] = {}  # bytes, by kind, as measured
        self._full = False  # nothing that waits fits beside those in work

    def run(self, members: Iterable[Member], stopping: Callable[[], bool]) -> None:
        """Takes all runs to their end. stopping: once it says so no run is begun any more; those in work must stop
        by themselves. Raises what `Device.synchronise` raises where a run has broken the device for all.
        """
        self.waiting.extend(members)
        while self.waiting or self.active:
            while not stopping() and self._admit():
                continue
            if not self.active:
                return
            held_up = [self._turn(one) for one in list(self.active)]
            if held_up and all(moment is not None for moment in held_up):
                held_up[0].wait()  # type: ignore[union-attr]  # mypy does not see through `all`

    def _admit(self) -> bool:
        """Begins one run, or finds that it cannot be; False where none can begin now."""
        if not self.waiting or self._full or len(self.active) >= self.most:
            return False
        free = SAFETY * self.device.free()
        fitting = (member for member in self.waiting if self.memory.get(member.kind, 0) <= free)
        member = next(fitting, None if self.active else self.waiting[0])  # alone it may try, whatever was measured
        if member is None:
            self._full = True
            return False
        self.waiting.remove(member)
        return self._begin(member)

    def _begin(self, member: Member) -> bool:
        before, lane = self.device.used(), self.device.lane()
        try:
            with lane:
                turns = member.begin(lane)
        except Exception as error:
            lane.close()
            if self.active and _of_memory(error):
                self.waiting.appendleft(member)
                self._full = True
                return False
            member.fail(error)
            self.device.synchronise()
            return True
        lane.memory = max(self.device.used() - before, self.memory.get(member.kind, 0))
        self.memory[member.kind] = lane.memory
        self.active.append(_Active(member, lane, turns))
        for one in self.active:
            one.lane.beside = max(one.lane.beside, len(self.active))
        return True

    def _turn(self, one: _Active) -> Moment | None:
        """A few steps of one run; or nothing, and what it waits for."""
        if (moment := one.held_up_by()) is not None:
            return moment
        try:
            with one.lane:
                for _ in range(STEPS):
                    one.needs = next(one.turns)
                    if one.needs is not None:
                        break
                one.under_way.append(one.lane.mark())
        except StopIteration as end:
            self._leave(one)
            one.member.end(end.value)
        except Exception as error:
            self._leave(one)
            one.member.fail(error)
            self.device.synchronise()
        return None

    def _leave(self, one: _Active) -> None:
        self.active.remove(one)
        one.lane.close()
        self._full = False


class Shelf:
    """Splits on the device, shared by the runs that are in work and have the same ones."""

    def __init__(self, load: Callable[[Run, torch.device], Splits]) -> None:
        self._load = load
        self._there: dict[tuple[str, int, int], list[weakref.ref[Split]]] = {}

    def __call__(self, run: Run, device: torch.device) -> Splits:
        key = str(run.task), run.seed, run.training.batch
        parts = [part() for part in self._there.get(key, [])]
        found = [part for part in parts if part is not None]
        if len(found) == len(Splits._fields):
            return Splits(*found)
        splits = self._load(run, device)
        if device.type == "cuda":  # it was copied on this run's stream, and others will read it on theirs
            torch.cuda.synchronize(device)
        self._there[key] = [weakref.ref(split) for split in splits]
        return splits


def _of_memory(error: BaseException | None) -> bool:
    """Whether memory was short: a capture that fails for it says something else, and has the reason behind it.

    Libraries beside torch's own allocator say so in words alone.
    """
    while error is not None:
        said = str(error)
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in said for words in SHORTAGES):
            return True
        error = error.__cause__ or error.__context__
    return False
