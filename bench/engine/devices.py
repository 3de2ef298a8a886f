"""The devices that have the lanes of runs, and what runs that share a device need to know of its memory."""

from __future__ import annotations

from typing import Protocol

import psutil
import torch

from .cuda import Cuda
from .lanes import HostLane, Lane


class Device(Protocol):
    """What runs that share a device need to know of it."""

    def lane(self) -> Lane:
        """A lane for one more run."""

    def used(self) -> int:
        """Bytes of its memory that are taken, by whomever."""

    def free(self) -> int:
        """Bytes of its memory that may be taken."""

    def synchronise(self) -> None:
        """Waits for all work; raises where the device has been broken by it."""


class Host:
    """The CPU as a device whose memory runs share."""

    def lane(self) -> Lane:
        return HostLane()

    def used(self) -> int:
        return int(psutil.Process().memory_info().rss)

    def free(self) -> int:
        return int(psutil.virtual_memory().available)

    def synchronise(self) -> None:
        return


def device_of(device: torch.device) -> Device:
    """The device that a name means. Raises ValueError for one of a kind that is not known."""
    if device.type == "cpu":
        return Host()
    if device.type == "cuda":
        return Cuda(device)
    raise ValueError(f"device {device}: cpu or cuda is needed")
