"""Two rows of one run compared: to the bit where machine and versions are the same, else within a tolerance.

Elsewhere the bits differ, because another library, processor or driver sums in another order; and training multiplies
what was 1e-7 at first. How much, was measured: the 40 runs of `results/quick` (two seeds of four models on five tasks,
300 to 1,400 steps) on one machine with torch's AVX-512 kernels, and again with its AVX2 and its plain ones. Of these
80 pairs of runs the largest differences were: mean loss of the first 1 to 6 steps 2e-7; any later point of a training
loss 94 % of itself (a plateau is left some steps sooner or later); at the end accuracy 3.0 points, recall 0.005, nats a
frame 0.7 %, bits a character 0.3 %, mean squared error 25 %, cross-entropy of a task that is being solved just then
54 %. Hence `BEGINNING` and the tolerances of metrics
(`Metric.largest_difference`), with some room, and hence only the end of a curve is compared elsewhere.

What this finds: other data, other sizes, other settings, a number of another order. What it cannot find: a number that
was bettered by less than rounding alone may change it; only the same machine and versions can tell.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ...tasks.base import Metric
from ..engine.evaluation import trained
from ..errors import UsageError
from ..experiments import permitted, registry, runs
from ..experiments.runs import LOOP_VERSION, Run
from .provenance import COMPUTE
from .sources import VERSION
from .store import Row, untouched

EXACT = ("status", "parameters", "state_size", "receptive_field", "causal")
"""What must be equal on every machine."""
MEASURED = (*EXACT, "scores", "lengths", "curve", "trace", "yardsticks")
"""What of a row depends on the run alone; its times and its memory do not."""


class Tolerance(NamedTuple):
    """How far a score may lie from the row's on another machine."""

    kind: Literal["relative", "absolute"]
    value: float

    def allows(self, here: float, there: float) -> bool:
        """Whether the two lie close enough.

        >>> Tolerance("relative", 0.5).allows(1.0, 1.9), Tolerance("absolute", 5.0).allows(90.0, 96.0)
        (True, False)
        """
        scale = max(abs(here), abs(there)) if self.kind == "relative" else 1.0
        return abs(here - there) <= self.value * scale


UNKNOWN = Tolerance("relative", 0.75)
"""For a score in a metric that the task does not have any more: as of an error, a factor of four."""
COUNTED = Tolerance("relative", 1e-6)
"""Yardsticks come from counts: no training multiplies their rounding."""


class Difference(NamedTuple):
    """One place in which two rows are not the same; None where one of them has nothing there."""

    path: str
    here: Any
    there: Any

    def __str__(self) -> str:
        here, there = ("nothing" if value is None else _shown(value) for value in (self.here, self.there))
        return f"{self.path}: {here} here, {there} in the row"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


BEGINNING, BEGINNING_STEPS = Tolerance("relative", 1e-3), 10
"""How far the mean loss of the first steps may differ elsewhere, where it covers so many steps at most.
Float32 sums differ by 1e-7; a GPU that multiplies in TF32, which has 10 bits of mantissa, by up to 1e-3."""


def tolerance_of(metric: Metric) -> Tolerance:
    """How far a score in this metric may lie from the row's on another machine."""
    return Tolerance("absolute" if metric.kind == "share" else "relative", metric.largest_difference)


def maker(origin: Mapping[str, Any]) -> str:
    """Who made the processor: for matrices MKL, and so torch, has other code for each maker.

    >>> maker({"processor": "AMD EPYC, 2 cores"}), maker({"cpu": "GenuineIntel family 6 model 207"})
    ('AMD', 'Intel')
    """
    text = f"{origin.get('cpu', '')} {origin.get('processor', '')}"
    return next((name for name in ("AMD", "Intel") if name in text), str(origin.get("processor", "unknown")))


def system(origin: Mapping[str, Any]) -> str:
    """The operating system, kind of machine and C library of a platform, without the release of its kernel.

    >>> system({"platform": "Linux-6.1.0-13-amd64-x86_64-with-glibc2.36"})
    'Linux x86_64 glibc2.36'
    """
    platform = str(origin.get("platform", ""))
    kind, library = re.findall(r"x86_64|AMD64|aarch64|arm64", platform), re.findall(r"with-(.+)$", platform)
    return " ".join([platform.partition("-")[0], *kind[:1], *library])


def elsewhere(here: Row, there: Row) -> list[str]:
    """Why the circumstances of two rows let their bits differ; nothing where the same code must give the same.

    What one of them does not say counts as the same: rows of before say less.
    """
    ours, theirs = here["provenance"], there["provenance"]
    libraries = (*COMPUTE, "cuda", "cudnn")
    pairs = [(name, ours["versions"].get(name), theirs["versions"].get(name)) for name in libraries]
    pairs += [(name, of(ours), of(theirs)) for name, of in (("processors of", maker), ("system", system))]
    named = ("instructions", "device", "driver", "threads")
    pairs += [(name, ours.get(name), theirs.get(name)) for name in named]
    return [
        f"{name} {value} here, {other} there"
        for name, value, other in pairs
        if value != other and value is not None and other is not None
    ]


def differences(here: Row, there: Row) -> list[Difference]:
    """Every place in which what the rows measured is not the same to the bit, and every file of other content.

    A part that the row there has not at all, because rows had it later, is not compared.
    """
    found = list[Difference]()
    for key in (key for key in MEASURED if key in there):
        ours, theirs = here.get(key), there[key]
        if key == "curve" and isinstance(ours, list) and isinstance(theirs, list):
            found += _of_curves(ours, theirs)
        else:
            found += _walk(key, ours, theirs)
    return [*found, *_other_data(here, there)]


class Cannot(Exception):
    """Why a row cannot be told as a run of here."""


class OtherVersion(Cannot):
    """It is of older contracts."""


class Flaw(NamedTuple):
    """Why nothing of a row counts, in words. stale: it is as it was made, but by older contracts than those of now."""

    words: str
    stale: bool = False

    def __str__(self) -> str:
        return self.words


def flaw(row: Row, folder: Path | None) -> Flaw | None:
    """Why nothing of a row counts; None where its line is as it was written, and of the run that its id names.

    folder: of the experiment.
    """
    if not untouched(row):
        return Flaw("checksum mismatch: its line is not as it was written")
    try:
        run_of(row, folder)
    except Cannot as reason:
        return Flaw(str(reason), isinstance(reason, OtherVersion))
    return None


def run_of(row: Row, folder: Path | None) -> Run:
    """The run of a row, from its configuration alone. Raises Cannot where there is none, or it is another one.

    folder: of the experiment. A task or a model that it does not name is not imported.
    """
    try:
        run = configured(row, folder)
        other, newer = other_versions(row, run), newer_version(row, run)
    except UsageError as error:
        raise Cannot(f"its configuration is not known here: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise Cannot(f"its configuration is not whole: {type(error).__name__}: {error}") from error
    if newer:
        raise Cannot(f"it is of a newer version of the suite: {newer}; update the suite")
    if other:
        raise OtherVersion(f"it is of another version: {other}; check out its commit")
    if run.id != row.get("id"):
        raise Cannot(f"its id is not that of its configuration, {run.id}")
    return run


def configured(row: Row, folder: Path | None) -> Run:
    """What a row's configuration means here, whatever its id and its versions are.

    Raises UsageError where its task or model is neither the suite's nor named by the experiment of the folder, and for
    what is not known here; KeyError, TypeError, AttributeError, ValueError or OverflowError where the configuration is
    not whole.
    """
    permitted.check(row["config"], folder)
    config = row["config"]
    of_the_suite = all(config[kind]["name"] in registry.listing(kind) for kind in permitted.KINDS)
    if not of_the_suite or type(config["seed"]) is not int:  # a file of a user's own may change, or be gone
        return runs.from_config(config, folder)
    cell = json.dumps({**config, "seed": 0}, sort_keys=True)
    return replace(_first_of_cell(cell, folder), seed=config["seed"])


@lru_cache(maxsize=256)
def _first_of_cell(config: str, folder: Path | None) -> Run:
    """The run of seed 0 of a cell: a thousand seeds mean one configuration, which is checked once."""
    return runs.from_config(json.loads(config), folder)


def other_versions(row: Row, run: Run) -> str:
    """The contracts whose version has changed since the row was made; empty where none has."""
    return _in_words([pair for pair in _versions(row, run) if pair[1] != pair[2]])


def newer_version(row: Row, run: Run) -> str:
    """What of a row is of a version that this suite does not know yet, of contracts or of hashes; else empty.

    run: what the row's configuration means here.
    """
    pairs = _versions(row, run)
    rules, colon, _ = str(row["provenance"].get("source")).partition(":")
    if colon and rules.isdecimal():
        pairs.append(("rules of the hash", int(rules), int(VERSION.rstrip(":"))))
    return _in_words([pair for pair in pairs if pair[1] > pair[2]])


def _versions(row: Row, run: Run) -> list[tuple[str, int, int]]:
    """Each contract's name, its version in the row, and its version here."""
    config = row["config"]
    return [
        ("task", config["task"]["version"], run.task_class.version),
        ("model", config["model"]["version"], run.model_class.version),
        ("loop", config["loop"], LOOP_VERSION),
    ]


def _in_words(pairs: Iterable[tuple[str, int, int]]) -> str:
    return ", ".join(f"{name} {then} in the row, {now} here" for name, then, now in pairs)


def large_differences(
    here: Row, there: Row, run: Run, measured: Mapping[str, Tolerance] | None = None
) -> list[Difference]:
    """The differences that another machine does not explain: see above.

    measured: metric -> tolerance in place of the metric's own, where it was measured for this run.
    """
    found = [Difference(key, here.get(key), there.get(key)) for key in EXACT if key in there]
    found = [difference for difference in found if difference.here != difference.there]
    found += _at_the_beginning(here, there)
    metrics = {metric.name: tolerance_of(metric) for metric in run.make_task().metrics} | dict(measured or {})
    for path, ours, theirs in _scores(here, there):
        for name in sorted({*ours, *theirs}):
            value, other = ours.get(name), theirs.get(name)
            close = value == other or (
                value is not None and other is not None and metrics.get(name, UNKNOWN).allows(value, other)
            )
            if not close:
                found.append(Difference(f"{path}.{name}", value, other))
    return [*found, *_other_data(here, there)]


def _scores(here: Row, there: Row) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """The scores at which a training ends, by path, of both rows."""
    for rule, part in (("best", "valid"), ("best", "test"), ("last", "test")):
        ours, theirs = (row.get("scores", {}).get(rule, {}).get(part, {}) for row in (here, there))
        yield f"scores.{rule}.{part}", ours, theirs
    ours, theirs = here.get("lengths", {}), there.get("lengths", {})
    for length in sorted({*ours, *theirs}, key=int):
        yield f"lengths.{length}", ours.get(length, {}), theirs.get(length, {})


def _at_the_beginning(here: Row, there: Row) -> Iterator[Difference]:
    """The data, the first weights and the first steps, before anything has multiplied a rounding."""
    ours, theirs = ((row.get("trace") or [[math.inf, None]])[0] for row in (here, there))
    path = "trace[0]"
    if ours[0] != theirs[0]:
        yield Difference(f"{path}[0]", *(None if math.isinf(one[0]) else one[0] for one in (ours, theirs)))
    elif ours[0] <= BEGINNING_STEPS and not (
        ours[1] == theirs[1] or (None not in (ours[1], theirs[1]) and BEGINNING.allows(ours[1], theirs[1]))
    ):
        yield Difference(f"{path}[1]", ours[1], theirs[1])


def _other_data(here: Row, there: Row) -> Iterator[Difference]:
    ours, theirs = here["provenance"], there["provenance"]
    yield from _walk("provenance.data", ours["data"], theirs["data"])
    read = [sorted((origin.get("read") or {}).values()) for origin in (ours, theirs)]  # paths may differ
    yield from _walk("provenance.read", *read)


def _of_curves(here: list[dict[str, Any]], there: list[dict[str, Any]]) -> Iterator[Difference]:
    """The places in which two curves differ, epoch by epoch; when they were measured does not count.

    Rows made before curves had an epoch 0 begin with epoch 1: that one of two curves lacks epoch 0 is no difference.
    """
    ours, theirs = (
        {point["epoch"]: {key: value for key, value in point.items() if key != "seconds"} for point in curve}
        for curve in (here, there)
    )
    if len(trained(here)) != len(trained(there)):
        yield Difference("curve (number of epochs)", len(trained(here)), len(trained(there)))
    for epoch in sorted(ours.keys() & theirs.keys()):
        yield from _walk(f"curve[epoch {epoch}]", ours[epoch], theirs[epoch])


def _walk(path: str, here: Any, there: Any) -> Iterator[Difference]:
    """The places beneath `path` in which two values of JSON are not equal."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key in [*there, *(key for key in here if key not in there)]:
            yield from _walk(f"{path}.{key}" if path else key, here.get(key), there.get(key))
    elif isinstance(here, list) and isinstance(there, list):
        if len(here) != len(there):
            yield Difference(f"{path} (number of entries)", len(here), len(there))
        for place, (value, other) in enumerate(zip(here, there, strict=False)):
            yield from _walk(f"{path}[{place}]", value, other)
    elif here != there:
        yield Difference(path, here, there)
