"""Where a row comes from: commit, source, versions, machine, data. `row_shape.Provenance` has its types.

Keys of a row's `provenance`: `commit` (of the suite; None where it is an installed package, whose version stands among
`versions`), `dirty`, `diff` (SHA-256 of what differed from the commits, None where nothing did), `differing` (some of
the files that did), `unhashed` (modules that were loaded and that no hash covers), `read` (files of numbers that
code of the user's own has read -> SHA-256), `repositories` (the user's own, that
hold the experiment or files which define the result: name -> `commit`, `dirty`, `diff`), `experiment` (which of them
holds the experiment), `source` (hash of the code that defines the result), `source_files` (the hash of each of its
files), `command`, `versions`, `platform`, `processor` (its name), `cpu` (maker, family and model), `instructions` (the
vector instructions that torch uses: they decide the order of sums), `device`, `driver` (of a GPU), `threads`, `data`
(file -> SHA-256 of its payload), `started`, `finished` (UTC).
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
import torch

from ..engine.checkpoint import COMPUTE as COMPUTE
from ..engine.checkpoint import processor_name
from ..experiments import registry
from ..experiments.runs import Run
from . import commits, repositories, sources

VERSIONS_OF = (*COMPUTE, "seqbench")


def of_sweep(folder: Path, runs: Iterable[Run]) -> dict[str, Any]:
    """What is judged once, when a sweep starts: the commits, and whether sources or experiment differ from them."""
    files = {file for run in runs for file in sources.files_of(run)}
    return {**commits.judged(folder, files), "command": sys.argv[1:]}


def remote() -> str | None:
    """The address that the checkout was cloned from; None outside a checkout, or where there is none."""
    top = repositories.top_of(registry.ROOT)
    answer = repositories.ask(top, "remote", "get-url", "origin") if top == registry.ROOT else None
    return None if answer is None or answer.trouble else answer.output.decode(errors="replace").strip()


def of_sources(run: Run) -> dict[str, Any]:
    """The code that defines a run's result: its hash, and that of each of its files."""
    return {"source": sources.source_hash(run), "source_files": sources.file_hashes(run)}


def of_process(device: torch.device) -> dict[str, Any]:
    """What is judged in the worker: versions, machine, device, threads."""
    return {
        "versions": versions(device),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu": _cpu(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "driver": _driver() if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
    }


MACHINE = ("versions", "platform", "processor", "cpu")


def of_machine() -> dict[str, Any]:
    """Versions, platform and processor, as `of_process` has them."""
    process = of_process(torch.device("cpu"))
    return {key: process[key] for key in MACHINE}


def versions(device: torch.device) -> dict[str, str | None]:
    """Of Python and the packages that compute; on a GPU also of the CUDA and cuDNN that torch was built with."""
    found = {"python": platform.python_version()} | {name: _version(name) for name in VERSIONS_OF}
    if device.type == "cuda":
        found |= {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())}
    return found


def _driver() -> str:
    """The version of the GPU's driver, as its own tool says it; `unknown` where that is not there."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    except (OSError, subprocess.SubprocessError):
        answer = []
    return answer[0] if answer else "unknown"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    return f"{processor_name()}, {os.cpu_count()} cores"


def _cpu() -> str:
    """Maker, family and model, such as `AuthenticAMD family 25 model 17`; elsewhere than on Linux what Python knows."""
    facts = _cpuinfo()
    if "vendor_id" in facts:
        return f"{facts['vendor_id']} family {facts.get('cpu family')} model {facts.get('model')}"
    return platform.processor() or platform.machine() or "unknown"


@lru_cache
def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first processor; nothing elsewhere."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return {}
    first = file.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def peak_memory_mb(device: torch.device) -> float:
    """The most memory that this process, or on a GPU its tensors, have held, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 2**20
    import resource  # there is none on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
