"""Stale rows that the present code reproduces bit for bit: they count as current.

A verdict must be of the code that stands beside it, and training everything again after every change would take days.
What is asked instead: the code by which a row was current last and the present code, run side by side on this machine
with the row's instructions, give the same bits at the run's beginning (`beginning.facts_of`: sizes, yardsticks, weights
and losses of the first steps, scores of the network that they give); and what the present code decides from the row's
own curve (rates, best epoch, last three) is what stands in the row. Because two codes are compared with each other, and
not with the row, any processor can renew any row whose instructions it has.

What a beginning cannot show is what happens later: rates that change, the order of a second epoch. So where anything
but `models/` has changed, both codes also train one witness of the folder: a row whose rate changes, whole, where there
is such, else the quickest through its second epoch.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from ..engine.evaluation import history, select, trained
from ..errors import UsageError
from ..experiments import registry
from ..experiments.runs import Run
from ..experiments.settings import make_schedule
from ..rows import comparing, provenance, renewals, sources
from ..rows.comparing import Cannot, flaw
from ..rows.newest import place_of
from ..rows.store import FINISHED, Row, Workplace
from ..running import processes
from ..running.cores import cores
from ..running.sweep import Display
from . import beginning, publishing
from .verifying import trainable

AT_A_TIME = 4
"""Rows of one job: after each job what came out is kept."""


class Rehashed(NamedTuple):
    """What `rehash` found: the new records, and the rows without one, with the reason for each."""

    records: list[renewals.Record]
    failed: list[tuple[Row, str]]


def rehash(folder: Path) -> Rehashed:
    """Keeps a record for each published row whose hash is of older rules: the hash of its code by the present rules.

    folder: the experiment's. Raises UsageError while another process runs the experiment, and where the folder belongs
    to the installed package.
    """
    workplace = _workplace(folder, "rehash")
    found = Rehashed([], [])
    with workplace.held():
        rows = workplace.published.read()
        for row in rows:
            try:
                record = renewals.rehashed(row, comparing.run_of(row, folder))
            except (Cannot, UsageError) as reason:
                found.failed.append((row, str(reason)))
                continue
            if record is not None:
                found.records.append(record)
        if found.records:
            renewals.keep(folder, rows, found.records)
    return found


@dataclass(frozen=True)
class Renewal:
    """What became of one stale row.

    changed: the files that made it stale. reason: why it is still stale; else empty.
    """

    row: Row
    changed: tuple[str, ...]
    reason: str = ""


@dataclass
class _Stale:
    """A stale row, its run, and the commit of the code by which it was current last."""

    row: Row
    run: Run
    changed: tuple[str, ...]
    commit: str


@dataclass
class Renewals:
    """What became of all stale rows.

    witness: the label of the row that was trained for longer, where one was needed.
    """

    found: list[Renewal] = field(default_factory=list)
    witness: str = ""


def renew(
    folder: Path, rows: Sequence[Row], display: Display, jobs: int | None = None, pool: Executor | None = None
) -> Renewals:
    """Compares the code of each stale row with the present code; rows that both reproduce alike get a record.

    folder: the experiment's. rows: of its published ones and of its working area; current ones are passed over. jobs:
    processes at a time. pool: who compares the codes, on machines with this checkout; None: processes of this machine.
    Raises UsageError where the sources differ from their commit, of which a record must speak;
    while another process runs the experiment; and where the folder belongs to the installed package.
    """
    workplace, result = _workplace(folder, "renew"), Renewals()
    stale = [
        one for row in rows if row["status"] in FINISHED and (one := _stale(row, folder, result.found)) is not None
    ]
    if not stale:
        return result
    origin = provenance.of_sweep(folder, [one.run for one in stale])
    if origin["dirty"] or origin["commit"] is None:
        raise UsageError("renew: the sources differ from the commit that the rows would be renewed by; commit first")
    with workplace.held(), nullcontext(pool) if pool else ThreadPoolExecutor(jobs or cores()) as comparing_pool:
        if any(not name.startswith("models/") for one in stale for name in one.changed):
            witness = _witness(stale)
            result.witness = witness.row["label"]
            display.say(f"trains {result.witness} by the code of {witness.commit[:10]} and by the present code")
            sought = _expected([witness]), [witness], folder, _epochs_of_a_witness(witness)
            if reason := comparing_pool.submit(_compared_here, *sought).result()[0]:
                result.found += [
                    Renewal(one.row, one.changed, f"the witness {result.witness}: {reason}") for one in stale
                ]
                return result
        waiting = {comparing_pool.submit(_compared_here, _expected(job), job, folder): job for job in _jobs(stale)}
        for future in as_completed(waiting):
            pairs = zip(waiting[future], future.result(), strict=True)
            ended = [(one, Renewal(one.row, one.changed, reason)) for one, reason in pairs]
            _keep(workplace, ended, origin["commit"], result.witness)
            for _, renewal in ended:
                result.found.append(renewal)
                display.say(f"{renewal.row['label']}: {renewal.reason or 'the same to the bit'}")
    return result


def _workplace(folder: Path, verb: str) -> Workplace:
    workplace = Workplace(folder)
    if workplace.installed:
        raise UsageError(f"{folder} belongs to the installed package: {verb} its rows in a checkout")
    return workplace


def _stale(row: Row, folder: Path, found: list[Renewal]) -> _Stale | None:
    """A row that is stale and may be renewed; None where it is current, or cannot be: then `found` has the reason."""
    changed: tuple[str, ...] = ()
    try:
        run = trainable(row, folder)
        old = renewals.staleness(row, run)
        if old is None:
            return None
        changed = old.changed
        record = renewals.latest_record(row, folder)
        commit = record["commit"] if record is not None else row["provenance"]["commit"]
        if why := flaw(row, folder):
            raise Cannot(str(why))
        if commit is None or row["provenance"]["dirty"]:
            raise Cannot("it was made by no commit, or by changed sources; train it again")
        if own := [name for name in changed if name.partition("/")[0] not in sources.ROOMS]:
            raise Cannot(
                f"files of the experiment's own have changed ({', '.join(own)}), and only of the suite's code an older "
                f"commit can be run: seqbench run {shlex.quote(str(folder))} --stale trains it again"
            )
        sources.at_commit(commit, run)
        if reason := _other_decisions(row, run):
            raise Cannot(reason)
    except (Cannot, UsageError) as error:
        found.append(Renewal(row, changed, str(error)))
        return None
    return _Stale(row, run, changed, commit)


def _other_decisions(row: Row, run: Run) -> str:
    """Where the present code would decide otherwise from the row's own curve; empty where nowhere."""
    curve = trained(row["curve"])
    task, schedule = run.make_task(), make_schedule(run.training.schedule)
    if row["status"] == "done" and select(task, curve) != row["scores"]:
        return "the best epoch or the mean of the last three would be another by the present code"
    scores = history(task, curve)
    all_steps = curve[0]["steps"] * run.training.epochs if curve else 0
    for number, point in enumerate(curve):
        rate = run.training.rate(schedule, scores[:number], point["steps"] - 1, all_steps)
        if point.get("learning_rate") not in (None, rate):
            return f"the rate of epoch {point['epoch']} would be {rate}, not {point['learning_rate']}"
    return ""


def _witness(stale: Sequence[_Stale]) -> _Stale:
    """The row that is trained for longer: one whose rate changes where there is such, and of these the quickest."""

    def order(one: _Stale) -> tuple[bool, float]:
        rates = {point.get("learning_rate") for point in trained(one.row["curve"])}
        return len(rates) < 2, one.row["seconds"]["cpu"]

    return min(stale, key=order)


def _epochs_of_a_witness(witness: _Stale) -> int:
    """All where its rate changes. Else two, for the second has an order of its own, and a third brings nothing new."""
    training = witness.run.training
    return training.epochs if training.schedule != "constant" or training.warmup else min(2, training.epochs)


def _jobs(stale: Sequence[_Stale]) -> Iterator[list[_Stale]]:
    """The rows in jobs of few, all of one commit, class of device, instructions and number of threads."""
    alike: dict[Any, list[_Stale]] = {}
    for one in stale:
        alike.setdefault(_circumstances(one), []).append(one)
    for group in alike.values():
        yield from (group[start : start + AT_A_TIME] for start in range(0, len(group), AT_A_TIME))


def _circumstances(one: _Stale) -> tuple[str, str, str, int]:
    place = place_of(one.row)
    return one.commit, place.device, place.instructions, one.row["provenance"].get("threads", 1)


def _compared(job: Sequence[_Stale], folder: Path, epochs: int = 0) -> list[str]:
    """For each row of a job, in what the code of its commit and the present code differ; empty where in nothing."""
    commit, device, named, threads = _circumstances(job[0])
    task = {"runs": [one.row["config"] for one in job], "folder": str(folder.resolve()), "epochs": epochs}
    task |= {"device": device, "threads": threads}
    answers = [_answers(code, task, named or None, threads) for code in (_code_of(commit), registry.ROOT)]
    return [_difference(before, now) for before, now in zip(*answers, strict=True)]


def _expected(job: list[_Stale]) -> list[str]:
    """The present code of each row of a job, as a hash."""
    return [sources.source_hash(one.run) for one in job]


def _compared_here(expected: list[str], job: list[_Stale], folder: Path, epochs: int = 0) -> list[str]:
    """`_compared`, on whatever machine; where another has other sources, that is the reason for each row."""
    if _expected(job) != expected:
        return [f"{platform.node()} has other sources"] * len(job)
    return _compared(job, folder, epochs)


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """In words, where two codes give something else."""
    for whose, answer in (("the code of its commit", before), ("the present code", now)):
        if "error" in answer:
            return f"{whose} fails here: {answer['error']}"
    there, here = before["facts"], now["facts"]
    names = [name for name in there if there[name] != here.get(name)]
    return f"other {', '.join(names)} than by the code of its commit" if names else ""


def _answers(code: Path, task: Mapping[str, Any], named: str | None, threads: int) -> list[dict[str, Any]]:
    """What a code answers to a task of `beginning`, for each run."""
    variables = {**os.environ, **processes.variables(threads, named), "PYTHONPATH": str(_folder_to_import(code))}
    program = [sys.executable, "-P", str(Path(beginning.__file__))]
    ended = subprocess.run(program, input=json.dumps(task), env=variables, capture_output=True, text=True)
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    failed = {"error": (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]}
    return answers + [failed] * (len(task["runs"]) - len(answers))


def _folder_to_import(code: Path) -> Path:
    """A folder in which a code has the package's name.

    It is the same one each time: compiled kernels are kept by the path of their source.
    """
    place = registry.ROOT / ".cache" / "packages" / hashlib.sha256(str(code.resolve()).encode()).hexdigest()[:12]
    place.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        (place / registry.PACKAGE).symlink_to(code.resolve(), target_is_directory=True)
    return place


def _code_of(commit: str) -> Path:
    """The code of a commit, unpacked in the checkout's own cache, where its compiled kernels stay for the next time."""
    place = registry.ROOT / ".cache" / "commits" / commit[:12]
    if not place.is_dir():
        command = ["git", "-C", str(registry.ROOT), "archive", "--format=tar", commit, "bench", "tasks", "models"]
        packed = subprocess.run(command, capture_output=True, check=True).stdout
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as aside, tarfile.open(fileobj=BytesIO(packed)) as archive:
            archive.extractall(Path(aside) / "code", filter="data")
            try:
                (Path(aside) / "code").rename(place)
            except OSError:  # another job was quicker
                if not place.is_dir():
                    raise
    return place


def _keep(workplace: Workplace, ended: Sequence[tuple[_Stale, Renewal]], commit: str, witness: str) -> None:
    """Writes the records of those rows of a job that came out the same."""
    facts = {**provenance.of_machine(), "witness": witness or None}
    new = [
        renewals.record_of(one.row, sources.file_hashes(one.run), commit, "renewed", compared_with=one.commit, **facts)
        for one, renewal in ended
        if not renewal.reason
    ]
    if new:
        publishing.begin(workplace)
        renewals.keep(workplace.folder, [*workplace.rows()], new)
