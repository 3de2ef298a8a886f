"""Models that draw from the global generators: the same curve each time, and the program's generators as they were."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import noisy
import numpy as np
import pytest
import torch
from experiments import after, in_pieces, measured, measured_here, measured_of, rows_of, sweep_in, write
from recording import RecordingLane, train_in
from seqbench.bench import api, seeding
from seqbench.bench.engine import training
from seqbench.bench.engine.checkpoint import Checkpoint
from seqbench.bench.engine.lanes import HostLane
from seqbench.bench.engine.outcome import Outcome
from seqbench.bench.engine.training import Stopped, train
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config
from seqbench.bench.experiments.runs import Run
from seqbench.bench.running import packing
from seqbench.models._compiling import plain
from test_packing import Card, Real, pack

CPU = torch.device("cpu")
ALL = ("python", "numpy", "torch")
TASK = "adding(length=6, train=40, valid=8, test=8)"
each_kind = pytest.mark.parametrize("kind", noisy.KINDS)


def make_run(kind: str, task: str = TASK, **settings: Any) -> Run:
    return api.make_run(task, f"noisy:{kind}", **{"epochs": 2, "batch": 8, **settings})


def elsewhere(seed: int) -> None:
    """Has the program use its generators; NumPy and Python keep a number of a normal distribution for later."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    random.gauss(0.0, 1.0)
    np.random.standard_normal()
    torch.rand(3)


# The same curve.


@each_kind
def test_the_same_curve_whatever_the_program_has_drawn(kind: str) -> None:
    outcomes = []
    for seed in (1, 2):
        elsewhere(seed)
        outcomes.append(measured_of(train(make_run(kind))))
    assert outcomes[0] == outcomes[1]
    assert measured_of(train(make_run(kind, seed=1)))["trace"] != outcomes[0]["trace"]


@pytest.mark.parametrize("kind", [kind for kind in noisy.KINDS if kind != "First"])
def test_they_do_draw_and_each_step_anew(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nothing here would be tested: without noise, or with the same in each step, the losses are others."""
    noise = measured_of(train(make_run(kind)))["trace"]
    whole = getattr(noisy, kind).forward

    def seeded(self: noisy.Noisy, *arguments: Any) -> Any:
        elsewhere(0)
        return whole(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(getattr(noisy, kind), "forward", seeded)
        assert measured_of(train(make_run(kind)))["trace"] != noise


@each_kind
def test_stopped_and_killed_anywhere_is_uninterrupted(kind: str, tmp_path: Path) -> None:
    """Between two numbers of a pair, in an evaluation, at the end of an epoch."""
    run = make_run(kind)
    whole = measured_of(train(run))
    elsewhere(3)
    assert measured_of(in_pieces(run, tmp_path / "stopped.pt", [0, 1, 2, 2, 4])) == whole
    with Checkpoint(tmp_path / "asked.pt") as kept:
        for asked in (1, 3, 5, 7, 3, 6, 6):
            with pytest.raises(Stopped):
                train(run, checkpoint=kept, should_stop=after(asked))
            elsewhere(asked)
        assert measured_of(train(run, checkpoint=kept)) == whole


@each_kind
def test_killed_between_two_checkpoints(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on from the last one, and draws the same numbers again."""
    run, step = make_run(kind), torch.optim.Adam.step
    whole = measured_of(train(run))
    with Checkpoint(tmp_path / "run.pt", every=0.0) as kept, monkeypatch.context() as patch:
        steps = iter(range(7))

        def killed(*arguments: Any) -> Any:
            if next(steps, None) is None:
                raise KeyboardInterrupt
            return step(*arguments)

        patch.setattr(torch.optim.Adam, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            train(run, checkpoint=kept)
    with Checkpoint(tmp_path / "run.pt") as kept:
        outcome = train(run, checkpoint=kept)
    assert outcome.progress.resumed == 1
    assert measured_of(outcome) == whole


def test_what_an_evaluation_draws_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the training is the same with more of them; here epoch 0 is evaluated at other lengths, too."""
    task = "copy-memory(delay=3, train=16, valid=8, test=8)"
    one, more = (train(make_run("Always", task, test_lengths=lengths)) for lengths in ((), (3, 5)))
    assert one.progress.trace == more.progress.trace


def test_a_task_that_draws_has_the_same_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether they are loaded for it or are there for another run; and what the model draws does not depend on it."""
    task = type(api.make_task(TASK))
    load = task.load

    def drawing(self: Any, seed: int) -> Any:
        return load(self, np.random.randint(1000))

    monkeypatch.setattr(task, "load", drawing)
    elsewhere(1)
    run = make_run("NumPy")
    whole = measured_of(train(run))
    elsewhere(2)
    assert measured_of(train(run)) == whole
    members = [Real(run, load=shared) for shared in [packing.Shelf(training.loaded)] for _ in range(2)]
    pack(members)
    assert [measured_of(member.outcome) for member in members if member.outcome] == [whole] * 2


# In other processes, and in turn.

EXPERIMENT = f"""\
question: The same everywhere?
rows:
- task: {TASK}
  training: {{epochs: 2, batch: 8}}
  models: [{", ".join(f"'noisy:{kind}(width=3)'" for kind in noisy.KINDS)}]
"""


@pytest.mark.parametrize("packed", [False, True])
def test_the_same_in_another_process(packed: bool, tmp_path: Path) -> None:
    """Each in a process of its own, and four in turn in one."""
    folder = write(tmp_path / "noisy", EXPERIMENT)
    assert sweep_in(folder, packed=packed, jobs=4 if packed else 2).exit_code == 0
    rows = {row["id"]: row for row in rows_of(folder)}
    runs = config.load(folder).runs
    assert len(rows) == len(runs) == len(noisy.KINDS)
    for run in runs:
        assert measured(rows[run.id]) == measured_here(run), str(run)


@pytest.mark.parametrize("steps", [1, 8], ids=["a step a turn", "eight"])
def test_packed_runs_are_lone_ones(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of each kind, all in turn; the program's generators are as before."""
    monkeypatch.setattr(packing, "STEPS", steps)
    runs = [make_run(kind, seed=seed) for kind in noisy.KINDS for seed in (0, 1)]
    elsewhere(5)
    before = seeding.states(ALL, CPU)
    members = [Real(run) for run in runs]
    pack(members, most=len(members))
    assert seeding.same(seeding.states(ALL, CPU), before)
    for member in members:
        assert member.outcome is not None, member.error
        assert measured_of(member.outcome) == measured_of(train(member.run))


def test_packed_runs_stop_and_go_on(tmp_path: Path) -> None:
    runs = [make_run(kind) for kind in noisy.KINDS]
    asked = iter(range(10_000))
    members = [Real(run, tmp_path, lambda: next(asked) > 60) for run in runs]
    pack(members)
    assert sum(isinstance(member.error, Stopped) for member in members) >= 4
    again = [Real(run, tmp_path) for run in runs]
    pack(again)
    for member in again:
        assert member.outcome is not None, member.error
        assert measured_of(member.outcome) == measured_of(train(member.run))


# Where steps are captured.


@each_kind
def test_captured_is_executed_or_said_not_to_be(kind: str) -> None:
    """A device's generator draws anew at each replay; what the host draws would be the same number each time."""
    run, lane = make_run(kind), RecordingLane()
    ours, expected = train_in(lane, run), train_in(HostLane(), run)
    for (step, mine), (other_step, other) in zip(ours.progress.trace, expected.progress.trace, strict=True):
        assert step == other_step
        assert mine == pytest.approx(other, rel=1e-3)
    if kind in noisy.ON_HOST:
        name = "numpy" if kind == "NumPy" else "python"
        assert ours.uncaptured == f"a step draws from the global generator of {name} on the host"
    else:
        assert ours.uncaptured == ""
        assert not lane.generators.on_host, "and nothing of the host needs to be exchanged"


def test_captured_and_packed_runs_are_captured_ones() -> None:
    """Those whose steps draw on the device, and those whose steps are executed."""
    runs = [make_run(kind) for kind in ("Module", "Torch", "Python", "NumPy", "Always")]
    members = [Real(run) for run in runs]
    with plain():
        pack(members, Card(make=RecordingLane), most=len(members))
    for member in members:
        assert member.outcome is not None, member.error
        assert measured_of(member.outcome) == measured_of(train_in(RecordingLane(), member.run))


# The program's generators, and its threads.


@pytest.mark.parametrize("ending", ["done", "stopped", "failed", "killed"])
def test_the_programs_generators_are_given_back(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("Always")
    elsewhere(7)
    before = seeding.states(ALL, CPU)
    if ending == "done":
        train(run)
    elif ending == "stopped":
        with pytest.raises(Stopped):
            train(run, should_stop=after(9))
    else:
        error: type[BaseException] = ArithmeticError if ending == "failed" else KeyboardInterrupt

        def broken(*_: Any) -> None:
            random.random()
            raise error

        monkeypatch.setattr(torch.optim.Adam, "step", broken)
        with pytest.raises(error):
            train(run)
    assert seeding.same(seeding.states(ALL, CPU), before)
    numbers = [random.gauss(0.0, 1.0), np.random.standard_normal(), torch.rand(1).item()]
    elsewhere(7)
    assert numbers == [random.gauss(0.0, 1.0), np.random.standard_normal(), torch.rand(1).item()]


def test_a_second_training_in_another_thread_is_refused_and_does_no_harm() -> None:
    run = make_run("Python")
    whole = measured_of(train(run))
    errors: list[BaseException] = []
    outcomes: list[Outcome] = []
    tried = iter([True])

    def second() -> None:
        try:
            train(make_run("Python", seed=1))
        except UsageError as error:
            errors.append(error)

    def meanwhile(*_: Any) -> None:
        if next(tried, False):
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()

    outcomes.append(train(run, report=meanwhile))
    (error,) = errors
    assert str(error).startswith("train: another training goes on in this process")
    assert "\n" not in str(error)
    assert measured_of(outcomes[0]) == whole
    assert measured_of(train(run)) == whole, "and afterwards one may train again"


def test_after_a_failure_one_may_train_again() -> None:
    with pytest.raises(Stopped):
        train(make_run("Module"), should_stop=after(0))
    assert train(make_run("Module")).status == "done"


# The streams.


def test_streams_of_the_run_have_names() -> None:
    generators = seeding.GlobalGenerators(CPU)
    generators.seed(3)
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    generators.leave()
    assert drawn[0] == random.Random(seeding.key("global/python", 3)).random()
    number = seeding.key("global/numpy", 3)
    assert drawn[1] == np.random.RandomState([number % 2**32, number >> 32]).rand()
    assert drawn[2] == torch.rand(1, generator=seeding.generator("global/torch", 3)).item()


def test_states_of_several_runs_do_not_mix() -> None:
    """Also not a number of a normal distribution that was kept for later."""
    elsewhere(1)
    before = seeding.states(ALL, CPU)
    one, other = seeding.GlobalGenerators(CPU), seeding.GlobalGenerators(CPU)
    drawn: dict[int, list[float]] = {0: [], 1: []}
    for turn in range(6):
        for place, generators in enumerate((one, other)):
            if turn == 0:
                generators.seed(place)
            else:
                generators.enter()
            drawn[place] += [random.gauss(0.0, 1.0), np.random.standard_normal(), torch.rand(1).item()]
            kept = generators.states()
            generators.leave()
            assert seeding.same(generators.states(), kept)
    assert seeding.same(seeding.states(ALL, CPU), before)
    for place in (0, 1):
        alone = seeding.GlobalGenerators(CPU)
        alone.seed(place)
        expected = [
            number
            for _ in range(6)
            for number in (random.gauss(0.0, 1.0), np.random.standard_normal(), torch.rand(1).item())
        ]
        alone.leave()
        assert drawn[place] == expected
