"""What a sweep does where jobs are lost, or it is cut short itself; there are no processes here."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from backends import FOUR, Scripted, all_done, ids, jobs_of, row_of, statuses
from experiments import Recorder, reasons, rows_of, sweep_in, write
from seqbench.bench.experiments.runs import Run
from seqbench.bench.running import sweep
from seqbench.bench.running.backend import Begun, Event, Job, Lost, Progressed, Said, Stopped

pytestmark = pytest.mark.usefixtures("forgotten")

Asked = Callable[[], bool]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An experiment of four runs."""
    return write(tmp_path / "four", FOUR)


def test_what_has_begun_dies_with_its_job_and_the_rest_is_given_back(folder: Path) -> None:
    first, second, third, fourth = ids(folder)

    def dying(job: Job, asked: Asked) -> Iterator[Event]:
        yield Begun(first)
        yield Lost("was killed by SIGKILL", (first,), (second, third, fourth))

    backend, display = Scripted(dying, all_done), Recorder()
    assert sweep_in(folder, display, backend=backend, packed=True, jobs=2).exit_code == 1
    assert jobs_of(backend) == [[first, second, third, fourth], [second, third, fourth]]
    died = rows_of(folder)[0]
    assert (died["id"], died["status"]) == (first, "died")
    assert died["error"]["message"] == "the worker was killed by SIGKILL"
    assert statuses(folder) == {first: "died", second: "done", third: "done", fourth: "done"}
    assert display.ended[0] == (first, "died")


def test_a_job_that_has_done_something_gives_the_rest_back(folder: Path) -> None:
    first, *rest = ids(folder)

    def dying(job: Job, asked: Asked) -> Iterator[Event]:
        yield Begun(first)
        yield row_of(job, first)
        yield Lost("was killed by SIGKILL", (), tuple(rest))

    backend = Scripted(dying, all_done)
    assert sweep_in(folder, backend=backend, packed=True, jobs=2).exit_code == 0
    assert jobs_of(backend) == [[first, *rest], rest]
    assert set(statuses(folder).values()) == {"done"}


def test_a_job_that_has_done_nothing_is_not_submitted_again(folder: Path) -> None:
    """The next one would be lost in the same way, for ever."""

    def dying(job: Job, asked: Asked) -> Iterator[Event]:
        yield Lost("did not start in time", (), tuple(one.run for one in job.runs))

    backend = Scripted(dying)
    assert sweep_in(folder, backend=backend).exit_code == 1
    assert jobs_of(backend) == [[run] for run in ids(folder)]
    assert statuses(folder) == dict.fromkeys(ids(folder), "died")
    assert reasons(folder) == ["tried again"] * 4


def test_what_is_given_back_goes_first(folder: Path) -> None:
    first, second, third, fourth = ids(folder)

    def losing(job: Job, asked: Asked) -> Iterator[Event]:
        yield Begun(first)
        yield Lost("was killed by SIGKILL", (first,), (second,))

    def quiet(job: Job, asked: Asked) -> Iterator[Event]:
        yield Said(None, "busy")
        yield from all_done(job, asked)

    class Halves(Scripted):
        """As if one more place than there is were free: two of four runs go to the first job."""

        @property
        def free(self) -> int:
            return 2 if not self.submitted else self.slots - len(self._jobs)

    backend = Halves(losing, quiet)
    sweep_in(folder, backend=backend, packed=True, jobs=2)
    assert jobs_of(backend) == [[first, second], [second, third, fourth]]


def until_asked(job: Job, asked: Asked) -> Iterator[Event]:
    """A run that goes on until it is asked to stop."""
    run = job.runs[0].run
    yield Begun(run)
    while not asked():
        yield Progressed(run, 1, 2, 0, {})
    yield Stopped(run)


def till_the_row(job: Job, asked: Asked) -> Iterator[Event]:
    """A run whose row is made just when it is asked to stop."""
    run = job.runs[0].run
    yield Begun(run)
    while not asked():
        yield Progressed(run, 1, 2, 0, {})
    yield row_of(job, run)


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (None, 75)])
def test_a_sweep_that_is_cut_short(
    sent: signal.Signals | None, code: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends meanwhile counts, what waits is not begun, and the handlers of before are there again.

    Without a signal it is the clock that cuts it short: it jumps beyond the minute that the sweep has.
    """
    first, second, *_ = ids(folder)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    seconds = 0.0
    monkeypatch.setattr(sweep, "time", SimpleNamespace(monotonic=lambda: seconds))

    def cut_short(run: Run, steps: int) -> None:
        nonlocal seconds
        if sent is not None and seconds == 0:
            signal.raise_signal(sent)
        seconds = 61.0 if sent is None else 1.0

    backend, display = Scripted(until_asked, till_the_row, slots=2), Recorder(on_progress=cut_short)
    assert sweep_in(folder, display, backend=backend, minutes=1.0).exit_code == code
    assert sorted(display.ended) == sorted([(first, None), (second, "done")])
    assert statuses(folder) == {second: "done"}
    assert len(backend.submitted) == 2
    assert not backend.killed
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_without_time_nothing_is_submitted(folder: Path) -> None:
    backend = Scripted()
    assert sweep_in(folder, backend=backend, minutes=-1.0).exit_code == 75
    assert backend.submitted == []


def test_what_is_lost_while_stopping_is_not_submitted_again(folder: Path) -> None:
    first, *rest = ids(folder)

    def dying(job: Job, asked: Asked) -> Iterator[Event]:
        yield Begun(first)
        while not asked():
            yield Progressed(first, 1, 2, 0, {})
        yield Lost("did not stop when asked to", (first,), tuple(rest))

    display = Recorder(on_progress=lambda run, steps: signal.raise_signal(signal.SIGTERM))
    backend = Scripted(dying)
    assert sweep_in(folder, display, backend=backend, packed=True, jobs=2).exit_code == 143
    assert statuses(folder) == {first: "died"}
    assert len(backend.submitted) == 1


def test_a_second_ctrl_c_kills(folder: Path) -> None:
    def deaf(job: Job, asked: Asked) -> Iterator[Event]:
        yield Begun(job.runs[0].run)
        while True:
            yield Progressed(job.runs[0].run, 1, 2, 0, {})

    display = Recorder(on_progress=lambda run, steps: signal.raise_signal(signal.SIGINT))
    backend = Scripted(deaf)
    assert sweep_in(folder, display, backend=backend).exit_code == 130
    assert backend.killed
    assert display.said[1] == "stopped at once: the next run goes on from the last checkpoints"
    assert rows_of(folder) == []
