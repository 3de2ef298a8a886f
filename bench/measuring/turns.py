"""Helper processes that take turns, so that a noisy moment of the machine falls on all variants alike.

Helpers are made, waited for and ended as workers are (`processes.Child`), but they are no jobs of a `Backend`. A job
runs to its end and answers when it likes. A helper waits until it is told to take a few steps, and while it takes them
all others must be idle: what is measured is a conversation, in which the parent says whose turn it is. Its process must
also be born with other settings than a worker's, with denormals not flushed for instance.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, get_args

from ..rows.instructions import chosen
from ..running.cores import cores
from ..running.processes import START_UP_LIMIT, Child, environment, threads_in_children
from . import floors, helper
from .helper import Order, Variant
from .shapes import Case

START_LIMIT = START_UP_LIMIT + 180.0
"""Seconds that a helper has to start and to get ready: its data are loaded, kernels compiled, the first steps taken."""
TURN_LIMIT = 300.0
"""Seconds for a turn; who takes longer is ended."""
BLOCK = 0.15
"""Seconds that a turn should take at least."""
REST = 0.02
"""Seconds between two turns, until the threads of the one before have stopped to spin."""
PEERS: tuple[Variant, ...] = ("compile", "jax")
"""What is measured beside the reference only where it is asked for."""
VARIANTS: tuple[Variant, ...] = tuple(name for name in get_args(Variant) if name not in PEERS)


class HelperFailed(Exception):
    """A helper ended, or gave no answer in time; the message says which and how."""


class Helper(Child):
    """A process that says when it is ready, and then does what it is told. Raises UsageError where none can start."""

    def __init__(self, name: str, target: Callable[..., None], *arguments: Any) -> None:
        self.name = name
        super().__init__(multiprocessing.get_context("spawn"), target, *arguments)

    def hear(self, kind: str, seconds: float) -> Any:
        """What the helper says next, which must be of that kind. Raises HelperFailed, and ends it, where it is not."""
        try:
            if not self.pipe.poll(seconds):
                raise HelperFailed(f"{self.name}: no answer within {seconds:.0f} s")
            said = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise HelperFailed(f"{self.name}: the process {self.how_it_ended()}") from error
        if said[0] != kind:
            raise HelperFailed(f"{self.name}: {said[1]}")
        return said[1]

    def tell(self, kind: str, what: Any) -> None:
        """Says something; to a helper that has ended, too: `hear` then says how it has."""
        with suppress(OSError):
            self.pipe.send((kind, what))

    def turn(self, kind: str, count: int) -> float:
        """Seconds of so many steps, or evaluations, which the helper now does."""
        return float(self._took(kind, count))

    def stream(self) -> float | None:
        """Seconds of one step of a sequence that the helper now reads step by step; None where it cannot."""
        return self._took("stream", 1)

    def _took(self, kind: str, count: int) -> Any:
        time.sleep(REST)
        self.tell(kind, count)
        return self.hear("took", TURN_LIMIT)

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self.kill()
        self.pipe.close()


def rates(device: str, threads: int) -> dict[str, float]:
    """The machine's rates, from a process of its own. Raises HelperFailed."""
    with threads_of_children(threads):
        one = Helper("the machine's rates", helper.measure_rates, device, threads)
    try:
        found: dict[str, float] = one.hear("ready", START_LIMIT)
        return found
    finally:
        one.end()


def start(name: Variant, case: Case, device: str, threads: int) -> Helper:
    """A process for one variant of a case, with as many threads a library as that has; it says when it is ready."""
    order = Order(name, case.run.config, case.folder, device, threads)
    with threads_in_children(threads, chosen(None)) if name == "ours" else threads_of_children(threads):
        return Helper(NAMES[name], helper.main, order)


class Trial:
    """The variants of one case: who still takes part, what each has said, its milliseconds a step."""

    def __init__(self, case: Case, device: str, threads: int, variants: tuple[Variant, ...]) -> None:
        self.helpers: dict[Variant, Helper] = {}
        self.facts: dict[Variant, dict[str, Any]] = {}
        self.times: dict[Variant, list[float]] = {name: [] for name in variants}
        self.evaluations: list[float] = []
        self.streamed: dict[Variant, list[float]] = {name: [] for name in variants}
        self.counts: dict[Variant, int] = {}
        self.evaluated = 1
        self.errors: list[str] = []
        try:
            for name in variants:
                self.helpers[name] = start(name, case, device, threads)
        except BaseException:
            self.end()
            raise

    def measure(self, repeat: int) -> None:
        """Gets all ready, then gives the turns, each round in another order."""
        for work in (self._get_ready, self._try_out):
            for name in list(self.helpers):
                self._attempt(name, work)
        names = [*self.times]
        for place in range(repeat):
            first = place % len(names)
            for name in names[first:] + names[:first]:
                self._attempt(name, self._turn)
        for _ in range(min(repeat, 5)):
            self._attempt("ours", self._evaluate)
            for name in names:
                self._attempt(name, self._stream)

    def end(self) -> None:
        """Ends all helpers."""
        for one in self.helpers.values():
            one.end()

    def _get_ready(self, name: Variant, one: Helper) -> None:
        self.facts[name] = one.hear("ready", START_LIMIT)

    def _try_out(self, name: Variant, one: Helper) -> None:
        """The first turn, which does not count, says how many steps the others should have."""
        cycle = self.facts[name]["cycle"]
        self.counts[name] = count_of(one.turn("go", cycle), cycle)
        if name == "ours":
            self.evaluated = count_of(one.turn("evaluate", 1), 1)

    def _turn(self, name: Variant, one: Helper) -> None:
        self.times[name].append(1000 * one.turn("go", self.counts[name]) / self.counts[name])

    def _evaluate(self, name: Variant, one: Helper) -> None:
        self.evaluations.append(1000 * one.turn("evaluate", self.evaluated) / self.evaluated)

    def _stream(self, name: Variant, one: Helper) -> None:
        seconds = one.stream()
        self.streamed[name] += [] if seconds is None else [1000 * seconds]

    def _attempt(self, name: Variant, work: Callable[[Variant, Helper], None]) -> None:
        """Does it with a helper that still takes part; one that fails no longer does, and the others go on."""
        if name not in self.helpers:
            return
        try:
            work(name, self.helpers[name])
        except HelperFailed as error:
            self.helpers.pop(name).end()
            self.times[name] = []
            self.errors.append(str(error))


NAMES = {
    "ours": "ours",
    "defaults": "reference",
    "flushed": "reference with denormals flushed",
    "compile": "reference by torch.compile",
    "jax": "JAX",
}
"""What the variants are called where one fails."""


def measure(
    case: Case,
    device: str,
    threads: int,
    repeat: int,
    speeds: dict[str, float],
    peers: Sequence[Variant] = (),
) -> dict[str, Any]:
    """The row of a case; where something failed its numbers are None, and `error` says what.

    speeds: as `rates` gives them. peers: of `PEERS`, measured as well. On a GPU there are no denormals to be flushed,
    and that variant is left out.
    """
    variants = (*(VARIANTS if device == "cpu" else VARIANTS[:2]), *peers)
    trial = Trial(case, device, threads, variants)
    try:
        trial.measure(repeat)
    finally:
        trial.end()
    return row_of(case, trial, speeds)


def row_of(case: Case, trial: Trial, speeds: dict[str, float]) -> dict[str, Any]:
    """What was measured of a case, as a row: medians, ratios, and the spread of ours (interquartile range / median)."""
    ours, reference, flushed = (_median(trial.times.get(name, [])) for name in VARIANTS)
    stream, reference_stream = (_median(trial.streamed.get(name, [])) for name in VARIANTS[:2])
    facts = trial.facts.get("ours", {})
    counts, sequence_steps = facts.get("counts"), facts.get("batch", 0) * facts.get("steps", 0)
    floor = floor_of(counts, speeds) if counts else None
    evaluation = _median(trial.evaluations)
    row = {
        "task": case.task,
        "model": case.model,
        "run": case.run.id,
        "parameters": facts.get("parameters"),
        "batch": facts.get("batch"),
        "steps": facts.get("steps"),
        "ours_ms": ours,
        "evaluation_ms": evaluation and evaluation * sequence_steps / facts["evaluated"],
        "reference_ms": reference,
        "flushed_ms": flushed,
        "ratio_defaults": _ratio(reference, ours),
        "ratio_flushed": _ratio(flushed, ours),
        "stream_ms": stream,
        "reference_stream_ms": reference_stream,
        "ratio_stream": _ratio(reference_stream, stream),
        "reference": trial.facts.get("defaults", {}).get("reference"),
        "run_hours": ours and evaluation and run_hours(ours, evaluation, facts),
        "steps_per_second": ours and 1000 * sequence_steps / ours,
        "floor_ms": floor,
        "ratio_floor": _ratio(ours, floor),
        "gflop": counts and 1e-9 * counts.operations,
        "peak_mb": facts.get("peak_mb"),
        "reference_peak_mb": trial.facts.get("defaults", {}).get("peak_mb"),
        "spread": spread(trial.times.get("ours", [])),
        "reference_spread": spread(trial.times.get("defaults", [])),
        "repeats": len(trial.times.get("ours", [])),
    }
    for name in PEERS:
        if name in trial.times:
            peer = _median(trial.times[name])
            row |= {f"{name}_ms": peer, f"ratio_{name}": _ratio(peer, ours)}
    rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()}
    return rounded | ({"error": "; ".join(trial.errors)} if trial.errors else {})


def floor_of(counts: floors.Counts, speeds: dict[str, float]) -> float:
    """Milliseconds that a step must take at least: at the faster of torch's product and our kernel's."""
    product = max(speeds["matrix_product_gflops"], speeds.get("micro_kernel_gflops", 0.0))
    return floors.floor_ms(counts, product, speeds["memory_copy_gbps"])


def run_hours(step: float, evaluation: float, facts: dict[str, Any]) -> float:
    """Hours that a whole run takes with its evaluations, at these milliseconds of a step and of an evaluated part.

    >>> run_hours(36.0, 18.0, {"run_steps": 50_000, "run_evaluated": 100_000, "evaluated": 1000})
    0.5005
    """
    return (step * facts["run_steps"] + evaluation * facts["run_evaluated"] / facts["evaluated"]) / 3.6e6


def spread(times: list[float]) -> float | None:
    """The interquartile range over the median; None of fewer than two.

    >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
    0.667
    """
    if len(times) < 2:
        return None
    lower, _, upper = statistics.quantiles(times, n=4, method="inclusive")
    return round((upper - lower) / statistics.median(times), 3)


def _median(times: list[float]) -> float | None:
    return statistics.median(times) if times else None


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None


def count_of(seconds: float, steps: int) -> int:
    """Steps of a turn that is long enough, in whole cycles of `steps`."""
    return steps * max(1, min(200, round(BLOCK / max(seconds, 1e-6))))


@contextmanager
def threads_of_children(threads: int) -> Iterator[None]:
    """Within it new processes start with so many threads a library; all cores are the default, and left alone."""
    if threads == cores():
        yield
        return
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    with environment(dict.fromkeys(names, str(threads))):
        yield
