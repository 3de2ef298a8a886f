"""Packing: who is admitted, who takes turns, what becomes of the others; and real runs, the same as alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from experiments import measured_of
from recording import CPU, Late, RecordingLane, train_in
from seqbench.bench import api
from seqbench.bench.engine.checkpoint import Checkpoint
from seqbench.bench.engine.devices import Host
from seqbench.bench.engine.lanes import HostLane, Lane, Moment, Turns
from seqbench.bench.engine.repeatable import repeatable
from seqbench.bench.engine.training import Loop, Outcome, Stopped, loaded, never, train
from seqbench.bench.experiments.runs import Run
from seqbench.bench.running import packing
from seqbench.bench.running.packing import SAFETY, Packing, Shelf
from seqbench.models._compiling import plain


class Card:
    """A device with so much memory, of which `taken` is in use. broken: it raises when it is waited for."""

    def __init__(self, total: int = 100, make: Callable[[], Lane] = HostLane) -> None:
        self.total, self.taken, self.make, self.broken = total, 0, make, False

    def lane(self) -> Lane:
        return self.make()

    def used(self) -> int:
        return self.taken

    def free(self) -> int:
        return self.total - self.taken

    def synchronise(self) -> None:
        if self.broken:
            raise RuntimeError("an illegal memory access was encountered")

    def take(self, need: int) -> None:
        if need > self.free():
            raise torch.OutOfMemoryError(f"tried to allocate {need} of {self.free()}")
        self.taken += need


class Stub:
    """A run of so many steps that takes `need`; what happens is written into `log`."""

    def __init__(self, name: str, card: Card, log: list[str], need: int, steps: int = 20, **more: Any) -> None:
        self.name, self.card, self.log, self.need, self.steps = name, card, log, need, steps
        self.kind, self.fails, self.moment = more.get("kind", name[0]), more.get("fails"), more.get("moment")
        self.failures: list[str] = []

    def begin(self, lane: Lane) -> Turns:
        self.log.append(f"begin {self.name}")
        if self.fails == "library" and self.need > self.card.free():
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        try:
            self.card.take(self.need)
        except torch.OutOfMemoryError as error:
            if self.fails == "captured":  # what torch says when memory is short within a capture
                raise RuntimeError("capture was invalidated") from error
            raise
        self.lane = lane
        return self.turns()

    def turns(self) -> Turns:
        try:
            for step in range(self.steps):
                if self.fails == step:
                    raise ArithmeticError("too hard")
                self.log.append(self.name)
                yield self.moment() if self.moment else None
        finally:
            self.card.taken -= self.need
        return self.name

    def end(self, outcome: Any) -> None:
        assert outcome == self.name
        self.log.append(f"end {self.name}")

    def fail(self, error: Exception) -> None:
        self.log.append(f"fail {self.name}")
        self.failures.append(str(error))


def events(log: list[str]) -> list[str]:
    return [entry for entry in log if " " in entry]


def test_steps_are_taken_in_turn() -> None:
    card, log = Card(), list[str]()
    Packing(card).run([Stub(name, card, log, need=1, steps=2 * packing.STEPS) for name in "abc"], never)
    steps = [entry for entry in log if " " not in entry]
    assert steps == 2 * [name for name in "abc" for _ in range(packing.STEPS)]
    assert events(log)[3:] == ["end a", "end b", "end c"]
    assert card.taken == 0


def test_at_most_so_many_at_a_time() -> None:
    card, log = Card(), list[str]()
    runs = [Stub(name, card, log, need=1) for name in "abcd"]
    Packing(card, most=2).run(runs, never)
    assert events(log) == ["begin a", "begin b", "end a", "end b", "begin c", "begin d", "end c", "end d"]
    assert [run.lane.beside for run in runs] == [2, 2, 2, 2]


def test_the_first_of_a_kind_is_measured_and_its_like_wait_for_their_room() -> None:
    """30 each, and of what is free 0.9 is given away: three fit into 100, the fourth is not even tried."""
    card, log = Card(), list[str]()
    runs = [Stub(f"a{number}", card, log, need=30) for number in range(4)]
    Packing(card).run(runs, never)
    assert events(log)[:4] == ["begin a0", "begin a1", "begin a2", "end a0"]
    assert [run.lane.memory for run in runs] == [30] * 4
    assert not any(run.failures for run in runs)
    assert SAFETY * 40 > 30 > SAFETY * 10


def test_a_smaller_run_goes_before_one_that_must_wait() -> None:
    card, log = Card(), list[str]()
    runs = [Stub("a0", card, log, 60), Stub("a1", card, log, 60), Stub("b0", card, log, 10)]
    Packing(card).run(runs, never)
    assert events(log)[:2] == ["begin a0", "begin b0"]
    assert events(log)[-2:] == ["begin a1", "end a1"]


@pytest.mark.parametrize("how", [None, "captured", "library"])
def test_an_unknown_kind_that_does_not_fit_waits_and_is_tried_again(how: str | None) -> None:
    card, log = Card(), list[str]()
    Packing(card).run([Stub("a", card, log, 60), Stub("b", card, log, 60, fails=how)], never)
    assert events(log) == ["begin a", "begin b", "end a", "begin b", "end b"]


def test_a_run_that_is_too_large_alone_fails_and_the_others_go_on() -> None:
    card, log = Card(), list[str]()
    large = Stub("b", card, log, 101)
    Packing(card).run([Stub("a", card, log, 60), large, Stub("c", card, log, 60)], never)
    assert large.failures == ["tried to allocate 101 of 100"]
    assert [entry for entry in events(log) if "end" in entry] == ["end a", "end c"]


def test_a_kind_that_was_measured_too_large_may_still_try_alone() -> None:
    card, log = Card(), list[str]()
    Packing(card).run([Stub("a0", card, log, 95), Stub("a1", card, log, 95)], never)
    assert events(log) == ["begin a0", "end a0", "begin a1", "end a1"]


def test_a_failure_in_the_middle_is_its_own() -> None:
    card, log = Card(), list[str]()
    broken = Stub("b", card, log, 1, fails=11)
    Packing(card).run([Stub("a", card, log, 1), broken, Stub("c", card, log, 1)], never)
    assert broken.failures == ["too hard"]
    assert log.count("b") == 11
    assert (log.count("a"), log.count("c"), card.taken) == (20, 20, 0)


def test_a_run_that_breaks_the_device_ends_all() -> None:
    card, log = Card(), list[str]()
    card.broken = True
    with pytest.raises(RuntimeError, match="an illegal memory access"):
        Packing(card).run([Stub("a", card, log, 1), Stub("b", card, log, 1, fails=3)], never)
    assert "end a" not in log


def test_who_waits_for_the_device_holds_up_no_one() -> None:
    """One waits for a number after each step, and needs to be asked for it often."""
    card, log = Card(), list[str]()
    slow = Stub("a", card, log, 1, steps=10, moment=lambda: Late([], 5))
    Packing(card).run([slow, Stub("b", card, log, 1, steps=30)], never)
    assert log.index("end b") < log.index("end a")
    assert log.count("a") == 10


def test_no_lane_runs_far_ahead() -> None:
    """A device that has done nothing yet gets so many turns of a lane, and no more, until it is waited for."""
    card, log, waited = Card(), list[str](), list[int]()

    class Endless(Late):
        def wait(self) -> None:
            waited.append(log.count("a"))
            super().wait()

    class Ahead(HostLane):
        def mark(self) -> Moment:
            return Endless([], 1_000_000)

    card.make = Ahead
    Packing(card).run([Stub("a", card, log, 1, steps=64)], never)
    ahead = packing.STEPS * packing.UNDER_WAY
    assert waited == [*range(ahead, 64 + 1, packing.STEPS)]


# Real runs.

TASK = "adding(length=12, train=90, valid=32, test=40)"
MODELS = ["gru(width=4, layers=2, dropout=0.3)", "tcn(width=4, kernel=2, levels=2, dropout=0.2)", "lstm(width=3)"]


def runs_of(**settings: Any) -> list[Run]:
    choice = {"epochs": 2, "batch": 16, **settings}
    return [api.make_run(TASK, model, seed=seed, **choice) for model in MODELS for seed in (0, 1)]


class Real:
    """A run as it is trained, with its checkpoint where there is a folder."""

    def __init__(
        self, run: Run, folder: Path | None = None, stop: Callable[[], bool] = never, load: Any = None
    ) -> None:
        self.run, self.folder, self.stop, self.load, self.kind = run, folder, stop, load, run.model.name
        self.outcome: Outcome | None = None
        self.error: Exception | None = None

    def begin(self, lane: Lane) -> Turns:
        self.kept = Checkpoint(self.folder / f"{self.run.id}.pt").__enter__() if self.folder else None
        return Loop(self.run, CPU, lane, self.kept, self.stop, load=self.load).turns()

    def end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._release()

    def fail(self, error: Exception) -> None:
        self.error = error
        self._release()

    def _release(self) -> None:
        if self.kept is not None:
            self.kept.__exit__(None, None, None)


def pack(members: list[Real], device: Any = None, most: int = 4) -> None:
    with repeatable(CPU):
        Packing(device or Host(), most).run(members, never)


def test_packed_runs_are_lone_ones_to_the_bit() -> None:
    members = [Real(run) for run in runs_of()]
    pack(members)
    for member in members:
        assert member.outcome is not None
        assert measured_of(member.outcome) == measured_of(train(member.run))


def test_captured_and_packed_runs_are_captured_ones_to_the_bit() -> None:
    """With readings that come late."""
    members = [Real(run) for run in runs_of()[:4]]
    with plain():
        pack(members, Card(make=lambda: RecordingLane(late=3)))
    for member in members:
        assert member.outcome is not None
        assert measured_of(member.outcome) == measured_of(train_in(RecordingLane(), member.run))


def test_a_run_that_diverges_is_a_result_beside_others() -> None:
    hot = api.make_run(TASK, MODELS[0], epochs=2, batch=16, optimizer="sgd", learning_rate=1e30)
    members = [Real(runs_of()[0]), Real(hot), Real(runs_of()[2])]
    pack(members)
    assert [member.outcome.status for member in members if member.outcome] == ["done", "diverged", "done"]
    for member in members:
        assert member.outcome is not None
        assert measured_of(member.outcome)["weights"] == measured_of(train(member.run))["weights"]


def test_all_stop_with_a_checkpoint_and_go_on(tmp_path: Path) -> None:
    asked = iter(range(10_000))
    members = [Real(run, tmp_path, lambda: next(asked) > 25) for run in runs_of()]
    pack(members)
    stopped = [member for member in members if isinstance(member.error, Stopped)]
    assert len(stopped) >= 4
    assert not any(member.outcome for member in stopped)
    again = [Real(run, tmp_path) for run in runs_of()]
    pack(again)
    assert sum(member.outcome.progress.resumed for member in again if member.outcome) == len(members)
    for member in again:
        assert member.outcome is not None
        assert measured_of(member.outcome) == measured_of(train(member.run))


def test_runs_with_the_same_data_share_them() -> None:
    asked: list[int] = []

    def load(run: Run, device: torch.device) -> Any:
        asked.append(run.seed)
        return loaded(run, device)

    shared = Shelf(load)
    members = [Real(run, load=shared) for run in runs_of()]
    pack(members, most=len(members))
    assert sorted(asked) == [0, 1], "one loading for each seed"
    for member in members:
        assert member.outcome is not None
        assert measured_of(member.outcome) == measured_of(train(member.run))
