"""Named random streams. Nothing in the suite draws from a global random state.

A stream's key is the SHA-256 of its name and seed, so that streams of one run are independent of each other and
adding a stream never shifts another. The streams of a run: `order` (of batches) depends on the run's seed only and
is shared by all models of a comparison, as is the generated data; `initialization` and `dropout` are the run's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


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


def order(seed: int, epoch: int, count: int) -> torch.Tensor:
    """The order of `count` examples in an epoch, (count,) int64 on the CPU: a pure function of its arguments."""
    return torch.randperm(count, generator=generator("order", seed, epoch))
