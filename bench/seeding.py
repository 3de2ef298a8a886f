"""Named random streams. Nothing in the suite draws from a global generator; a user's model or task may.

A stream's key is the SHA-256 of its name and seed, so that streams of one run are independent of each other and
adding a stream never shifts another. The streams of a run: `order` (of batches) depends on the run's seed only and
is shared by all models of a comparison, as is the generated data; `initialization` and `dropout` are the run's own.
`global/python`, `global/numpy`, `global/torch` and `global/cuda` are what the global generators of these libraries are
while the run trains (`GlobalGenerators`).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def key(*names: str | int) -> int:
    """A 63-bit key for a stream.

    >>> key("order", 0) == key("order", 0), key("order", 0) == key("order", 1)
    (True, False)
    """
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator for a named stream, on a device."""
    return torch.Generator(device).manual_seed(key(*names))


@contextmanager
def forked(*names: str | int) -> Iterator[None]:
    """Within it torch's default CPU generator is the named stream; after it, what it was before."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(key(*names))
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """After it the global generators of Python, NumPy and torch's CPU are what they were before, whatever it draws."""
    cpu = torch.device("cpu")
    before = states((*of_host(cpu), *of_device(cpu)), cpu)
    try:
        yield
    finally:
        set_states(before, cpu)


def order(seed: int, epoch: int, count: int) -> torch.Tensor:
    """The order of `count` examples in an epoch, (count,) int64 on the CPU: a pure function of its arguments."""
    return torch.randperm(count, generator=generator("order", seed, epoch))


States = dict[str, Any]
"""The states of global generators by name, of types that a checkpoint holds: `python`, `numpy`, `torch`, `cuda`."""


def of_host(device: torch.device) -> tuple[str, ...]:
    """The global generators that a captured step cannot draw from: a graph would repeat what was drawn once."""
    return ("python", "numpy") if device.type == "cpu" else ("python", "numpy", "torch")


def of_device(device: torch.device) -> tuple[str, ...]:
    """Those that it can: its own device's."""
    return ("torch",) if device.type == "cpu" else ("cuda",)


def states(names: Iterable[str], device: torch.device) -> States:
    """The states of these global generators as they are now."""
    return {name: _state(name, device) for name in names}


def set_states(wanted: States, device: torch.device) -> None:
    """Gives global generators these states."""
    for name, state in wanted.items():
        if name == "python":
            random.setstate(state)
        elif name == "numpy":
            key = state["key"].cpu().numpy().astype(np.uint32)
            np.random.set_state(("MT19937", key, state["pos"], state["has_gauss"], state["gauss"]))
        else:
            _of_torch(name, device).set_state(state.cpu())


def same(one: Any, other: Any) -> bool:
    """Whether two states are the same, of one generator or of several."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return torch.equal(one, other) if isinstance(one, Tensor) else bool(one == other)


def _state(name: str, device: torch.device) -> Any:
    if name == "python":
        return random.getstate()
    if name == "numpy":
        state: Any = np.random.get_state(legacy=False)
        key = torch.from_numpy(state["state"]["key"].astype(np.int64))
        return {"key": key, "pos": state["state"]["pos"], "has_gauss": state["has_gauss"], "gauss": state["gauss"]}
    return _of_torch(name, device).get_state()


def _of_torch(name: str, device: torch.device) -> torch.Generator:
    if name == "torch":
        return torch.default_generator
    torch.cuda.init()
    return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]


class GlobalGenerators:
    """The global generators of Python, NumPy and torch as one run has them, while several runs take turns.

    Between `enter` and `leave` they are the run's own, outside they are as the program has them. Nothing is exchanged
    before `seed` was called. The exchange takes about 0.7 ms a turn, nearly all of it NumPy's, and some microseconds
    where `on_host` is False.

    on_host: whether the run may draw on the host too (`of_host`). A run whose steps are all captured cannot.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.on_host = device, True
        self._own: States = {}  # of those that are not the present ones
        self._outer: States = {}  # the program's, of those that are the run's own now

    def seed(self, *names: str | int) -> None:
        """From now on they are streams of these names, until `leave`, and again after each `enter`."""
        if not self._outer:
            self._outer = states(self._names(), self.device)
        for name in self._outer:
            number = key("global", name, *names)
            if name == "python":
                random.seed(number)
            elif name == "numpy":
                np.random.seed([number % 2**32, number >> 32])
            else:
                _of_torch(name, self.device).manual_seed(number)

    def enter(self) -> None:
        """Makes the global generators the run's own."""
        if self._own:
            wanted = {name: self._own.pop(name) for name in self._names()}
            self._outer = states(wanted, self.device)
            set_states(wanted, self.device)

    def leave(self) -> None:
        """Gives the program its own back."""
        self._own |= states(self._outer, self.device)
        set_states(self._outer, self.device)
        self._outer = {}

    def states(self) -> States:
        """The run's own, to be kept in a checkpoint."""
        return self._own | states(self._outer, self.device)

    def set_states(self, wanted: States) -> None:
        """Makes these the run's own."""
        set_states({name: state for name, state in wanted.items() if name in self._outer}, self.device)
        self._own |= {name: state for name, state in wanted.items() if name not in self._outer}

    def _names(self) -> tuple[str, ...]:
        return (*(of_host(self.device) if self.on_host else ()), *of_device(self.device))
