"""The machine that is measured: what it is, what it can do at best, and whether others use it meanwhile."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from typing import Any

import psutil
import torch

from ..experiments import registry
from ..rows import provenance
from ..running.cores import cores
from . import micro_kernel

OTHERS = 0.1
"""Cores' share that others may use before a measurement counts as shared."""
PRODUCT, COPY = 2048, 1 << 26
"""Rows of the matrices of the product, and numbers of the copy: 256 MiB read and as much written."""
TRIES = 10


def facts(device: torch.device, threads: int, name: str) -> dict[str, Any]:
    """What a figure of speed has to name: machine, processor, cores, threads, device, dtype, versions, commit."""
    process, origin = provenance.of_process(device), provenance.of_sweep(registry.ROOT / "results" / "speed", [])
    return {
        "name": name,
        "processor": process["processor"],
        "cores": cores(),
        "threads": threads,
        "device": process["device"],
        "dtype": "float32",
        "instructions": process["instructions"],
        "platform": platform.platform(),
        **{key: process["versions"][key] for key in ("torch", "numba", "numpy", "python")},
        "commit": origin["commit"],
        "dirty": origin["dirty"],
    }


def rates(device: torch.device, threads: int) -> dict[str, float]:
    """The fastest of ten: a matrix product in GFLOP/s (2n³ operations), a copy in GB/s (bytes read and written).

    On a CPU our own kernel's product of small matrices as well (`micro_kernel`).
    """
    torch.set_num_threads(threads)
    one, other = (torch.rand(PRODUCT, PRODUCT, device=device) for _ in range(2))
    product = _fastest(lambda: torch.mm(one, other), device)
    source = torch.ones(COPY, device=device)
    target = torch.empty_like(source)
    copy = _fastest(lambda: target.copy_(source), device)
    own = {"micro_kernel_gflops": round(micro_kernel.product_gflops(threads), 1)} if device.type == "cpu" else {}
    return {
        **own,
        "matrix_product_gflops": round(2e-9 * PRODUCT**3 / product, 1),
        "memory_copy_gbps": round(2e-9 * COPY * source.element_size() / copy, 2),
    }


def _fastest(work: Any, device: torch.device) -> float:
    seconds = []
    for _ in range(TRIES):
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


class Watch:
    """Looks at what others do with the cores, from its beginning to `read`; this process and its children are not
    others, once the children have ended."""

    def __init__(self) -> None:
        self.load = self._load()
        self.before = self._busy()
        self.own = self._own()
        self.begin = time.monotonic()

    def read(self) -> dict[str, Any]:
        """Load average before and after, the share of the cores that others used, and whether that is too much."""
        seconds = time.monotonic() - self.begin
        others = max(0.0, self._busy() - self.before - (self._own() - self.own)) / max(seconds, 1e-9)
        share = others / (os.cpu_count() or 1)
        return {
            "load_before": self.load,
            "load_after": self._load(),
            "others": round(share, 3),
            "shared": share > OTHERS,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    @staticmethod
    def _load() -> float:
        return round(psutil.getloadavg()[0], 2)

    @staticmethod
    def _busy() -> float:
        """Seconds that all cores together have worked, or were kept from it by other machines."""
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted as user's already
        return sum(times) - idle - guest

    @staticmethod
    def _own() -> float:
        return sum(os.times()[:4])


def busy_now(seconds: float = 1.0) -> float:
    """The share of the cores that others use at this moment; looks for so many seconds, in which this process waits."""
    watch = Watch()
    time.sleep(seconds)
    return float(watch.read()["others"])
