"""The campaign of faults: `make faults`, with MINUTES, KIND and SEED.

Each trial has a seed of its own, which repeats it: `make faults KIND=kills SEED=123`. What kills and concurrent
commands do depends on time as well, so a seed repeats their choices, and not always their outcome.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")  # as workers have it: torch reads it when it is imported
sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

import command_lines
import commands
import corruption
import disk
import kills
import pairs
import servers
from experiments import measured
from trials import TROUBLES, Trial, lines_of

KINDS: dict[str, tuple[Callable[[Trial], None], float]] = {
    "kills": (kills.trial, 3),
    "disk": (disk.trial, 3),
    "corruption": (corruption.trial, 1),
    "servers": (servers.trial, 1),
    "pairs": (pairs.trial, 2),
    "command_lines": (command_lines.trial, 1),
}
"""Kind -> a trial of it, and its share of the time: more where a trial waits for commands."""
ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "results" / "faults.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the campaign, prints its figures; 1 where it has found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--seed", type=int, help="with one --kind: only the trial of this seed")
    parser.add_argument("--record", action="store_true", help=f"write the figures to {RECORD.relative_to(ROOT)}")
    asked = parser.parse_args(arguments)
    for name in [*os.environ]:
        if name.startswith("SEQBENCH_"):
            del os.environ[name]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    kinds = asked.kind or [*KINDS]
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        given = _undisturbed(Path(folder))
        if asked.seed is not None:
            one = _attempt(Path(folder), kinds[0], asked.seed, given)
            print("\n".join(one.findings) or "nothing found", dict(one.counts), sep="\n")
            return 1 if one.findings else 0
        counts, findings, minutes = _campaign(Path(folder), kinds, asked.minutes, given)
    text = _figures(counts, findings, minutes)
    print(text)
    if asked.record and not asked.kind:
        RECORD.write_text(text, encoding="utf-8")
    return 1 if findings else 0


def _undisturbed(folder: Path) -> dict[str, Any]:
    """What trials compare with: the rows of an experiment that nothing disturbs, and measurements of its gradients."""
    library, seconds, references = disk.library(folder), [0.0, 0.0], list[dict[str, Any]]()
    commands.prepare(library)
    for forked in (False, True):
        one = Trial(0, folder / f"undisturbed-{forked}")
        one.room.mkdir()
        experiment, begin = one.experiment(), time.monotonic()
        with closing(one):
            one.finish(one.start("run", experiment, "--device", "cpu", forked=forked), 0)
        seconds[forked] = time.monotonic() - begin
        area = one.room / "runs" / "small"
        references.append({row["id"]: measured(row) for row in lines_of(area / "runs.jsonl")})
        if len(references[-1]) != 2 or one.findings or references[0] != references[-1]:
            raise SystemExit("\n".join(["the experiment fails when nothing disturbs it", *one.findings]))
    one.call("gradients", experiment, "--steps", "2", "--examples", "4")
    return {
        "reference": references[0],
        "seconds": tuple(seconds),
        "library": library,
        "rows": area / "runs.jsonl",
        "gradients": area / "gradients.csv",
    }


def _attempt(folder: Path, kind: str, seed: int, given: dict[str, Any]) -> Trial:
    one = Trial(seed, Path(tempfile.mkdtemp(dir=folder)), **given)
    try:
        with closing(one):
            KINDS[kind][0](one)
    finally:
        shutil.rmtree(one.room, ignore_errors=True)
    return one


def _campaign(
    folder: Path, kinds: Sequence[str], minutes: float, given: dict[str, Any]
) -> tuple[dict[str, Counter[str]], list[str], float]:
    """The counts of each kind, the findings, and the minutes that it took; each kind gets its share of the time."""
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    findings, spent, begin = list[str](), defaultdict[str, float](float), time.monotonic()
    seeds = Random(SystemRandom().getrandbits(64))
    with suppress(KeyboardInterrupt):  # what is done by then counts
        while time.monotonic() - begin < 60 * minutes:
            kind = min(kinds, key=lambda one: spent[one] / KINDS[one][1])
            seed, started = seeds.getrandbits(32), time.monotonic()
            one = _attempt(folder, kind, seed, given)
            spent[kind] += time.monotonic() - started
            counts[kind] += one.counts
            counts[kind]["trials"] += 1
            for text in one.findings:
                findings.append(f"make faults KIND={kind} SEED={seed}: {text}")
                print(findings[-1], flush=True)
    return counts, findings, (time.monotonic() - begin) / 60


def _figures(counts: dict[str, Counter[str]], findings: Sequence[str], minutes: float) -> str:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout
    lines = [
        "# The last campaign of faults",
        "",
        f"Commit {commit.strip()}, {time.strftime('%Y-%m-%d', time.gmtime())}, {minutes:.0f} minutes, "
        f"Python {platform.python_version()}, {platform.system()}. `make faults` makes another; tests/faults has the "
        "kinds.",
        "",
        f"| kind | tried | {' | '.join(TROUBLES)} | of them |",
        f"| --- | ---: |{' ---: |' * len(TROUBLES)} --- |",
    ]
    for kind, found in counts.items():
        more = ", ".join(f"{found[name]} {name}" for name in sorted(found) if name not in (*TROUBLES, "trials"))
        lines.append(f"| {kind} | {found['trials']} | {' | '.join(str(found[one]) for one in TROUBLES)} | {more} |")
    lines += ["", f"{len(findings)} findings{':' if findings else '.'}", "", *(f"- {text}" for text in findings)]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
