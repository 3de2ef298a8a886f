"""Which vector instructions torch computes with: they decide the order of sums, and so the bits of every result.

torch chooses the widest that a processor has, so the same run gives other bits on another processor. Rows that may be
published are therefore made with one set that nearly all have, AVX2, and a row is made again with its own.

Two processors with the same set gave the same bits where both are AMD's (Zen 3, Zen 4). Intel's gave others for most
runs: MKL, which multiplies torch's matrices, has code of its own for each maker, and none of its settings takes Intel's
processors to the code that it has for AMD's (MKL_CBWR, MKL_ENABLE_INSTRUCTIONS: tried).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ..errors import UsageError

VARIABLE = "ATEN_CPU_CAPABILITY"
PINNED = "AVX2"
"""The set with which rows are made, unless another is asked for."""
ORDER = ("DEFAULT", "AVX2", "AVX512")
"""From the narrowest to the widest, as torch names them on x86-64 processors."""
NEEDS = {"AVX2": {"avx2", "fma"}, "AVX512": {"avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl", "fma"}}
"""What Linux must say that the processor has."""
CHOICES = ("avx2", "avx512", "default", "native")


def environment(instructions: str | None) -> Mapping[str, str]:
    """The variables that new processes need to compute with a set, named as torch does; None leaves it to torch.

    On processors of other kinds than x86-64 there is nothing to choose.
    """
    return {VARIABLE: instructions.lower()} if instructions in ORDER and widest() in ORDER else {}


def chosen(choice: str | None) -> str | None:
    """The set that a choice of a user means: `avx2`, `avx512`, or None for what torch takes (`native`).

    `default` is torch's name for plain code without vectors. Without a choice it is the one that `ATEN_CPU_CAPABILITY`
    names, else the pinned set, or what torch takes where the processor lacks that. Raises UsageError for an unknown
    choice, and for a set that this processor lacks.
    """
    if choice is None and os.environ.get(VARIABLE, "").upper() in ORDER:
        return os.environ[VARIABLE].upper()
    if choice is None:
        return PINNED if lacks(PINNED) is None else None
    if choice not in CHOICES:
        raise UsageError(f"--instructions {choice}: one of {', '.join(CHOICES)} is needed")
    if choice == "native":
        return None
    if reason := lacks(choice.upper()):
        raise UsageError(f"--instructions {choice}: {reason}")
    return choice.upper()


def lacks(instructions: str | None) -> str | None:
    """Why this processor cannot make a row of these instructions again, such as `needs AVX512`; None where it can."""
    if instructions is None or instructions == widest():
        return None
    if instructions in ORDER and widest() in ORDER and ORDER.index(instructions) <= ORDER.index(widest()):
        return None
    return f"needs {instructions}, and this processor has {widest()}"


@lru_cache
def widest() -> str:
    """The widest set of this processor, as torch names it, whatever the environment chooses for this process."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text(encoding="utf-8", errors="replace") if cpuinfo.exists() else ""
    flags = next((line.partition(":")[2].split() for line in text.splitlines() if line.startswith("flags")), None)
    if flags is None:
        import torch  # takes seconds, and most questions are answered without it

        return str(torch.backends.cpu.get_cpu_capability())
    return next(name for name in reversed(ORDER) if NEEDS.get(name, set()) <= set(flags))
