"""The backend of this machine: what it makes of processes that end, hang or never start."""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import odd_workers
import pytest
from experiments import wait_for
from seqbench.bench.errors import UsageError
from seqbench.bench.rows import instructions
from seqbench.bench.running import local, processes, worker
from seqbench.bench.running.backend import Assignment, Begun, Event, Job, Lost, RowMade, Said, Stopped
from seqbench.bench.running.local import Local

Odd = Callable[[Any, Any], None]
needs_a_fork_server = pytest.mark.skipif(
    processes.worker_context("cpu").get_start_method() != "forkserver", reason="this system has no fork server"
)


@pytest.fixture(scope="module", autouse=True)
def light_fork_server() -> Iterator[None]:
    """Odd workers need nothing that takes long to import, so the fork server of these tests imports nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "PRELOAD", [])
        processes._end_fork_server()
        yield
    processes._end_fork_server()


@pytest.fixture
def with_odd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Local]]:
    """Makes backends whose workers do something odd; they are closed with the test."""
    made: list[Local] = []

    def make(odd: Odd, **options: Any) -> Local:
        monkeypatch.setattr(worker, "main", odd)
        made.append(Local(jobs=1, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def job_of(*names: str, folder: Path = Path()) -> Job:
    """A job that odd workers understand: its runs are names only."""
    runs = tuple(Assignment(name, {}, "", None, None) for name in names)
    return Job(runs, folder, "cpu", 60.0, {}, instructions=instructions.chosen(None))


def events_of(backend: Local, enough: Callable[[list[Event]], bool]) -> list[Event]:
    """All events until they are enough."""
    found: list[Event] = []

    def more() -> bool:
        found.extend(backend.events(0.05))
        return enough(found)

    wait_for(more, "the events")
    return found


def until_it_is_free(backend: Local) -> list[Event]:
    return events_of(backend, lambda found: backend.free == 1)


def test_what_was_sent_before_a_death_is_delivered_first(with_odd: Callable[..., Local]) -> None:
    backend = with_odd(odd_workers.die_after_a_row)
    backend.submit(job_of("one", "two", "three"))
    assert backend.free == 0
    lost = Lost("was killed by SIGKILL (out of memory, perhaps)", ("two",), ("three",))
    assert until_it_is_free(backend) == [Begun("one"), Begun("two"), RowMade("one", {}), lost]


def test_an_event_that_was_not_taken_comes_with_the_next_call(with_odd: Callable[..., Local]) -> None:
    backend = with_odd(odd_workers.die_after_a_row)
    backend.submit(job_of("one", "two"))
    taken: list[Event] = []

    def one_more() -> bool:
        taken.extend(itertools.islice(backend.events(0.05), 1))
        return backend.free == 1 and len(taken) == 4

    wait_for(one_more, "all four events, one a call")
    assert [type(event) for event in taken] == [Begun, Begun, RowMade, Lost]


def test_a_process_that_ends_in_order_when_asked_to_has_lost_nothing(with_odd: Callable[..., Local]) -> None:
    backend = with_odd(odd_workers.obey)
    backend.submit(job_of("one", "two"))
    events_of(backend, lambda found: Begun("one") in found)
    backend.stop()
    backend.stop()
    assert until_it_is_free(backend) == [Stopped("one"), Stopped("two")]


def test_a_process_that_never_says_a_word_is_lost(with_odd: Callable[..., Local]) -> None:
    backend = with_odd(odd_workers.hang, start_up_limit=0.2)
    backend.submit(job_of("one"))
    assert until_it_is_free(backend) == [Lost("did not start in time", (), ("one",))]


def test_a_process_that_does_not_end_after_its_last_run_is_ended(with_odd: Callable[..., Local]) -> None:
    backend = with_odd(odd_workers.linger, grace=0.2)
    backend.submit(job_of("one"))
    assert until_it_is_free(backend) == [RowMade("one", {})]


def test_after_a_kill_nothing_comes_any_more(with_odd: Callable[..., Local]) -> None:
    backend = with_odd(odd_workers.not_listen)
    backend.submit(job_of("one"))
    (process,) = [one.child.process for one in backend._workers]
    backend.kill()
    assert not process.is_alive()
    assert list(backend.events(0.0)) == []
    assert backend.free == 1, "and another job can come"
    backend.submit(job_of("one"))
    backend.close()
    backend.close()
    assert backend.free == 0
    with pytest.raises(RuntimeError, match="closed"):
        backend.submit(job_of("one"))


def test_more_runs_than_cores_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "cores", lambda: 2)
    assert list(Local(jobs=2).events(0.0)) == []
    said = Said(None, "2 runs at a time with 2 threads each share 2 cores")
    assert list(Local(jobs=2, threads=2).events(0.0)) == [said]


def test_processes_have_the_variables_that_are_asked_for(with_odd: Callable[..., Local]) -> None:
    """Those of a fork server, too, which was started with others."""
    for value in ("1", "2"):
        backend = with_odd(odd_workers.tell, environment={"SEQBENCH_TEST": value})
        backend.submit(job_of("one"))
        (event,) = until_it_is_free(backend)
        assert isinstance(event, RowMade)
        assert (event.row["SEQBENCH_TEST"], event.row["OMP_NUM_THREADS"]) == (value, "1")
        backend.close()
    assert "SEQBENCH_TEST" not in os.environ


def server() -> int:
    """The process id of the fork server."""
    found: int = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    return found


@needs_a_fork_server
def test_a_fork_server_that_dies_while_a_worker_starts_is_replaced(with_odd: Callable[..., Local]) -> None:
    """It is stopped first, so that it cannot have started the worker when it is killed."""
    processes.start_ahead("cpu")
    before = server()
    os.kill(before, signal.SIGSTOP)
    timer = threading.Timer(0.3, os.kill, (before, signal.SIGKILL))
    timer.start()
    backend = with_odd(odd_workers.tell)
    backend.submit(job_of("one"))
    timer.join()
    assert server() != before
    assert [type(event) for event in until_it_is_free(backend)] == [RowMade]


@needs_a_fork_server
def test_a_worker_outlives_its_fork_server(with_odd: Callable[..., Local], tmp_path: Path) -> None:
    """To `multiprocessing` it seems to have ended, with exit code 255."""
    backend = with_odd(odd_workers.wait_for_a_file)
    backend.submit(job_of("one", folder=tmp_path))
    events_of(backend, lambda found: Begun("one") in found)
    (child,) = [one.child for one in backend._workers]
    os.kill(server(), signal.SIGKILL)
    wait_for(lambda: child.process.exitcode == processes.SERVER_IS_GONE, what="the end of the fork server")
    assert list(backend.events(0.1)) == []
    (tmp_path / "go").touch()
    assert until_it_is_free(backend) == [RowMade("one", {})]


@needs_a_fork_server
def test_a_worker_whose_fork_server_has_died_can_be_killed(with_odd: Callable[..., Local], tmp_path: Path) -> None:
    backend = with_odd(odd_workers.wait_for_a_file)
    backend.submit(job_of("one", folder=tmp_path))
    events_of(backend, lambda found: Begun("one") in found)
    (child,) = [one.child for one in backend._workers]
    os.kill(server(), signal.SIGKILL)
    wait_for(lambda: child.process.exitcode == processes.SERVER_IS_GONE, what="the end of the fork server")
    assert child.alive
    backend.kill()
    assert not child.alive


def test_where_no_process_can_be_started_that_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    class Broken(type(processes.worker_context("cpu").Process())):  # type: ignore[misc]
        def start(self) -> None:
            tried.append(1)
            raise EOFError

    context = processes.worker_context("cpu")
    monkeypatch.setattr(type(context), "Process", Broken)
    with Local(jobs=1) as backend, pytest.raises(UsageError) as raised:
        backend.submit(job_of("one"))
    assert len(tried) == processes.STARTS == 3
    assert "\n" not in str(raised.value)
    assert "--jobs" in str(raised.value)


@pytest.mark.parametrize("name", processes.PRELOAD)
def test_what_the_fork_server_imports_exists(name: str) -> None:
    """It passes over what it cannot import without a word."""
    assert importlib.import_module(name).__name__ == name
