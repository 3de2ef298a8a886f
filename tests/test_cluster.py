"""The backend on many machines, on an engine without machines: attempts, their faults, the window, the end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from backends import FOUR, Scripted, ids, jobs_of, row_of, statuses
from command import seqbench
from engines import FakeEngine, done, failing, letters
from experiments import Clock, Recorder, rows_of, sweep_in, write
from made_rows import made
from seqbench.bench.errors import UsageError
from seqbench.bench.evidence import renewing
from seqbench.bench.experiments import config
from seqbench.bench.rows.store import Workplace
from seqbench.bench.running import cluster, sweep
from seqbench.bench.running.backend import Begun, Gone, Job, Lost, Progressed, Refused, Said, Stopped
from seqbench.bench.running.cluster import Cluster, Ended, Failed, News, Told
from seqbench.bench.running.estimates import Estimates
from seqbench.bench.running.storage import Storage
from seqbench.bench.running.supervision import Letter, Outbox, Ticket

pytestmark = pytest.mark.usefixtures("forgotten")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An experiment of four runs."""
    return write(tmp_path / "four", FOUR)


def begun(job: Job) -> list[Letter]:
    """The first run has begun."""
    return letters(Begun(job.runs[0].run))


def test_each_run_gets_its_row(folder: Path) -> None:
    engine = FakeEngine()
    with Cluster(engine) as backend:
        assert sweep_in(folder, backend=backend).exit_code == 0
        assert not engine.closed, "it may serve another sweep"
    assert engine.closed
    assert statuses(folder) == dict.fromkeys(ids(folder), "done")


@pytest.mark.parametrize("cause", ["node", "worker", "memory"])
def test_what_a_machine_has_lost_is_begun_again(cause: cluster.Cause, folder: Path) -> None:
    engine, display = FakeEngine(script=failing(cause, 2, begun)), Recorder()
    with Cluster(engine) as backend:
        assert sweep_in(folder, display, backend=backend).exit_code == 0
    assert statuses(folder) == dict.fromkeys(ids(folder), "done")
    assert len(engine.started) == 12
    asked = [needs.memory for ticket, _, needs in engine.started if ticket.job == 1]
    assert [one / asked[0] for one in asked] == ([1, 2, 4] if cause == "memory" else [1, 1, 1])
    assert sum("begins again elsewhere" in text for text in display.said) == 8


def test_what_always_kills_its_worker_is_a_row_in_the_end(folder: Path) -> None:
    engine = FakeEngine(script=failing("worker", 99, begun))
    with Cluster(engine) as backend:
        assert sweep_in(folder, backend=backend).exit_code == 1
    assert statuses(folder) == dict.fromkeys(ids(folder), "died")
    assert len(engine.started) == 4 * (1 + cluster.WORKERS_LOST)


def test_only_what_is_open_is_begun_again_and_no_row_comes_twice(folder: Path) -> None:
    """Two runs share a job; the row of the first came before its node was lost, and comes once more afterwards."""
    late: list[Told] = []

    def script(ticket: Ticket, job: Job) -> list[News]:
        if len(job.runs) == 2:
            first = letters(Begun(job.runs[0].run), row_of(job, job.runs[0].run), Begun(job.runs[1].run))
            late.append(Told(ticket, first))
            return [Told(ticket, first), Failed(ticket, "node", "was lost with its node")]
        return [*late, Ended(ticket, done(job))]

    engine = FakeEngine(script=script)
    with Cluster(engine, jobs=2) as backend:
        assert sweep_in(folder, backend=backend, packed=True, jobs=2).exit_code == 0
    assert statuses(folder) == dict.fromkeys(ids(folder), "done"), "each has one row"
    again = [[one.run for one in job.runs] for ticket, job, _ in engine.started if ticket.attempt == 2]
    assert again == [[ids(folder)[1]], [ids(folder)[3]]]


def test_letters_that_were_lost_come_with_the_end(folder: Path) -> None:
    display = Recorder()

    def script(ticket: Ticket, job: Job) -> list[News]:
        told = letters(Begun(job.runs[0].run), Said(job.runs[0].run, "hello"))
        told += letters(Said(None, "this node is odd"), first=4)
        rest = letters(row_of(job, job.runs[0].run), first=3)
        return [Told(ticket, told), Ended(ticket, [*told, *rest])]

    with Cluster(FakeEngine(script=script)) as backend:
        assert sweep_in(folder, display, backend=backend).exit_code == 0
    assert sum(text.endswith("hello") for text in display.said) == 4, "each letter once, though it came twice"
    assert display.said.count("this node is odd") == 1, "of a node once, not with each job"


def test_a_process_that_dies_on_its_node_is_the_runs_end(folder: Path) -> None:
    """As on one machine: the task goes on and says so, so no machine has failed."""

    def script(ticket: Ticket, job: Job) -> list[News]:
        run = job.runs[0].run
        return [Ended(ticket, letters(Begun(run), Lost("was killed by SIGKILL", (run,))))]

    engine = FakeEngine(script=script)
    with Cluster(engine) as backend:
        assert sweep_in(folder, backend=backend).exit_code == 1
    assert {row["error"]["message"] for row in rows_of(folder)} == {"the worker was killed by SIGKILL"}
    assert len(engine.started) == 4


def test_a_storage_that_is_full_costs_no_row_and_is_said_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    place, display = Storage(str(tmp_path / "shared")), Recorder()

    def full(self: Storage, name: object) -> None:
        raise OSError(28, "No space left on device", f"{name}")

    for action in ("keep_data", "remove"):
        monkeypatch.setattr(Storage, action, full)
    with Cluster(FakeEngine(), storage=place) as backend:
        assert sweep_in(folder, display, backend=backend).exit_code == 0
    assert statuses(folder) == dict.fromkeys(ids(folder), "done")
    ends = ["nodes look for the data elsewhere", "checkpoints that are needed no more stay"]
    assert display.said == [f"{place.url}: No space left on device; {end}" for end in ends]


def test_a_node_with_other_sources_makes_no_row(folder: Path) -> None:
    display = Recorder()

    def script(ticket: Ticket, job: Job) -> list[News]:
        return [Ended(ticket, letters(Refused(job.runs[0].run, "its source here is another")))]

    with Cluster(FakeEngine(script=script)) as backend:
        result = sweep_in(folder, display, backend=backend)
    assert (result.exit_code, rows_of(folder)) == (1, [])
    assert [*result.refused] == ids(folder)
    assert len(display.said) == 1, "what is the matter with all of them is said once"


def test_what_no_node_has_is_refused_at_once() -> None:
    with pytest.raises(UsageError, match="no node of the cluster has 1 processors and 1 GPU"):
        Cluster(FakeEngine(), "cuda")
    assert Cluster(FakeEngine(gpus=1), "cuda").free > 0


@pytest.mark.parametrize(("places", "jobs", "window"), [(0, None, 16), (2, None, 16), (50, None, 100), (50, 3, 3)])
def test_the_window_follows_the_cluster(places: int, jobs: int | None, window: int, folder: Path) -> None:
    engine = FakeEngine(places=places, script=lambda ticket, job: None)
    backend = Cluster(engine, jobs=jobs)
    assert (backend.window, backend.free) == (window, window)
    scripted = Scripted()
    sweep_in(folder, backend=scripted)
    backend.submit(scripted.submitted[0])
    assert backend.free == window - 1


def test_memory_is_asked_for_as_it_was_measured(folder: Path) -> None:
    """What is not known yet has the usual share; what is, its own, with a margin; never more than a node has."""
    rows = [made(run) for run in config.load(folder).runs]
    Workplace(folder).working.append({**rows[0], "peak_memory_mb": 5000.0})
    engine = FakeEngine(most=6000.0)
    with Cluster(engine) as backend:
        sweep_in(folder, backend=backend)
    asked = {job.runs[0].run: needs.memory for _, job, needs in engine.started}
    assert asked[ids(folder)[1]] == 6000.0
    estimates = Estimates("cpu")
    assert estimates.memory([rows[0]["config"]]) is None
    estimates.learn({**rows[0], "peak_memory_mb": 100.0})
    estimates.learn({**rows[1], "peak_memory_mb": 300.0, "status": "failed"})
    assert estimates.memory([{**rows[0]["config"], "seed": 99}]) == 100.0
    assert Estimates("cuda", rows).memory([rows[0]["config"]]) is None


def test_short_runs_share_a_job(folder: Path) -> None:
    """Nothing is known of the first; it takes two seconds, and so two others fill the five of a job."""
    backend = Scripted(job_seconds=5.0)
    rows = [made(run) for run in config.load(folder).runs]
    seconds = {"training": 1.5, "evaluation": 0.5, "cpu": 2.0}
    Workplace(folder).working.append({**rows[0], "seconds": seconds})
    sweep_in(folder, backend=backend)
    assert jobs_of(backend) == [ids(folder)[1:3], ids(folder)[3:]]
    assert [job.most for job in backend.submitted] == [1, 1], "one after the other"
    backend = Scripted(job_seconds=5.0, slots=4)
    sweep_in(folder, backend=backend, afresh=True)
    assert len(backend.submitted) == 4, "where there is a place for each, none waits for another"


def out_of_time_once_all_are_there(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute passes, a second a look, after four attempts have been started."""
    monkeypatch.setattr(sweep, "time", Clock(lambda: len(engine.started) == 4))


def test_stopping_takes_back_what_has_not_begun(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is alive and saves its checkpoint when it hears of it, three wait for a place."""
    alive: list[tuple[Ticket, Job]] = []

    class Hearing(FakeEngine):
        def news(self, timeout: float, stopping: bool) -> list[News]:
            if stopping and alive:
                ticket, job = alive.pop()
                return [Ended(ticket, letters(Begun(job.runs[0].run), Stopped(job.runs[0].run)))]
            return super().news(timeout, stopping)

    def script(ticket: Ticket, job: Job) -> list[News] | None:
        """Only the first is begun."""
        if ticket.job == 1:
            alive.append((ticket, job))
            return [Told(ticket, begun(job))]
        return None

    engine = Hearing(script=script)
    with Cluster(engine) as backend:
        display = Recorder()
        out_of_time_once_all_are_there(engine, monkeypatch)
        result = sweep_in(folder, display, backend=backend, minutes=0.5)
    assert (result.exit_code, rows_of(folder)) == (sweep.OUT_OF_TIME, [])
    assert [ticket.job for ticket, at_once in engine.cancelled] == [2, 3, 4]
    assert display.ended == [(ids(folder)[0], None)]


def test_what_does_not_stop_is_ended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(script=lambda ticket, job: [Told(ticket, begun(job))])
    with Cluster(engine, grace=5.0, clock=lambda: engine.now) as backend:
        out_of_time_once_all_are_there(engine, monkeypatch)
        assert sweep_in(folder, backend=backend, minutes=0.5).exit_code == sweep.OUT_OF_TIME
    assert {row["error"]["message"] for row in rows_of(folder)} == {"the worker did not stop when asked to"}
    assert {at_once for _, at_once in engine.cancelled} == {True}


def test_a_cluster_that_is_gone_ends_the_sweep_and_keeps_the_rows(folder: Path) -> None:
    class Ending(FakeEngine):
        def news(self, timeout: float, stopping: bool) -> list[News]:
            if len(self.stopping) == 1:
                raise Gone("the cluster is gone")
            return super().news(timeout, stopping)[:1]

    display = Recorder()
    with Cluster(Ending()) as backend:
        assert sweep_in(folder, display, backend=backend).exit_code == sweep.OUT_OF_TIME
    assert statuses(folder) == {ids(folder)[0]: "done"}
    assert display.said == ["the cluster is gone: all rows so far are kept"]
    with Cluster(FakeEngine()) as backend:
        assert sweep_in(folder, backend=backend).exit_code == 0
    assert statuses(folder) == dict.fromkeys(ids(folder), "done")


def test_after_a_kill_nothing_comes_any_more_and_new_jobs_are_taken(folder: Path) -> None:
    scripted = Scripted()
    sweep_in(folder, backend=scripted)
    engine = FakeEngine()
    backend = Cluster(engine)
    backend.submit(scripted.submitted[0])
    backend.kill()
    assert list(backend.events(0.0)) == []
    backend.submit(scripted.submitted[0])
    assert len(list(backend.events(0.0))) == 2
    backend.close()
    backend.close()
    assert backend.free == 0


class OneAtATime:
    """A line whose last message is on its way until `arrived` is set."""

    def __init__(self) -> None:
        self.sent: list[list[Letter]] = []
        self.arrived = True

    def send(self, letters: list[Letter]) -> bool:
        if self.arrived:
            self.sent.append(letters)
        return self.arrived

    def stopping(self) -> bool:
        return False


def test_of_progress_only_the_latest_is_sent_and_ends_at_once() -> None:
    line = OneAtATime()
    outbox = Outbox(line, every=3600.0)
    outbox.tend()
    assert line.sent == [[]], "a first message says that the task is there"
    for steps in (1, 2, 3):
        outbox.add(Progressed("a", steps, 10, 0, {}))
        outbox.tend()
    assert len(line.sent) == 1, "the next is due in an hour"
    line.arrived = False
    outbox.add(Stopped("a"))
    outbox.tend()
    line.arrived = True
    outbox.tend()
    assert [letter.event for letter in line.sent[1]] == [Progressed("a", 3, 10, 0, {}), Stopped("a")]
    assert [letter.event for letter in outbox.kept] == [Stopped("a")]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--on", "dask"], "--on dask"),
        (["--on", "ray://"], "--on ray://"),
        (["--storage", "/shared"], "--storage goes with --on"),
        (["--on", "ray", "--device", "cpu"], "pip install 'seqbench[ray]'"),
    ],
)
def test_what_cannot_be_is_one_line(words: list[str], part: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as where it is not installed
    monkeypatch.delitem(sys.modules, "seqbench.bench.running.ray_engine", raising=False)
    answer = seqbench("run", folder, *words)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert part in answer.err


def test_a_node_with_other_sources_renews_nothing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(renewing, "_expected", lambda job: ["2:here" for _ in job])
    monkeypatch.setattr(renewing, "_compared", lambda job, folder, epochs: ["" for _ in job])
    job: list[Any] = [object(), object()]
    assert renewing._compared_here(["2:here"] * 2, job, folder) == ["", ""]
    assert all("has other sources" in reason for reason in renewing._compared_here(["2:here", "2:there"], job, folder))
