"""`--on ray` on two nodes: the same bits as on one machine, whatever is killed; each run has one row in the end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from backends import FOUR, Scripted, ids, jobs_of, statuses
from experiments import (
    Recorder,
    alive,
    descendants,
    finish,
    in_session,
    measured,
    measured_here,
    rows_of,
    start,
    sweep_in,
    wait_for,
    write,
    write_held,
)
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config
from seqbench.bench.rows.store import Workplace
from seqbench.bench.running.backend import Event, Job, Refused
from seqbench.bench.running.cluster import Cluster, Needs
from seqbench.bench.running.ray_connection import bounded
from seqbench.bench.running.ray_engine import Pool, Ray
from seqbench.bench.running.storage import Storage
from seqbench.bench.running.supervision import Ticket
from seqbench.bench.running.sweep import OUT_OF_TIME

pytestmark = pytest.mark.usefixtures("forgotten")

TINY = """\
question: How many?
seeds: 1000
training: {epochs: 1, batch: 8}
rows:
- task: adding(length=10, train=32, valid=8, test=8)
  models: [gru(width=4)]
"""
"""A thousand runs of four steps."""


@pytest.fixture
def on_ray(two_nodes: Any) -> Iterator[Callable[..., Cluster]]:
    """Makes backends on the cluster, which are closed with the test."""
    made: list[Cluster] = []

    def make(storage: str | None = None, **options: Any) -> Cluster:
        place = Storage(storage) if storage else None
        made.append(Cluster(Ray(None, storage), storage=place, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def check_bits(folder: Path) -> None:
    """Each run has one row, which is that of a training in this process."""
    assert statuses(folder) == dict.fromkeys(ids(folder), "done")
    rows = {row["id"]: row for row in rows_of(folder)}
    for run in config.load(folder).runs:
        assert measured(rows[run.id]) == measured_here(run)


def test_rows_are_those_of_one_machine_and_say_where_they_come_from(
    on_ray: Callable[..., Cluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, seen = write(tmp_path / "four", FOUR), list[int]()
    display, backend = Recorder(on_progress=lambda run, steps: seen.append(len(task_processes("four")))), on_ray()
    monkeypatch.setattr(display, "end", lambda run, row: seen.append(len(task_processes("four"))))
    assert sweep_in(folder, display, backend=backend).exit_code == 0
    check_bits(folder)
    assert display.said == []
    assert max(seen) <= 2, "each node has one processor, and so one run at a time"
    for row in rows_of(folder):
        assert row["provenance"]["cluster"]["engine"] == f"ray {ray.__version__}"
        assert row["provenance"]["cluster"]["node"]
    assert sweep_in(folder, backend=backend, afresh=True).exit_code == 0, "one backend serves a sweep after the other"


def task_processes(experiment: str) -> list[psutil.Process]:
    """The workers, of any cluster of this machine, that have a task of the experiment of this name."""
    title = f"ray::seqbench {experiment} "
    return alive(
        [one for one in psutil.process_iter(["cmdline"]) if " ".join(one.info["cmdline"] or ()).startswith(title)]
    )


def kill_once(folder: Path, kill: Callable[[], None], storage: Path | None = None) -> Recorder:
    """A display for a held run: it kills as soon as there is a checkpoint, and then lets the run go on.

    The run stays held until the processes that had it are gone. Were it let go before, it might end before the kill.
    """
    place = Workplace(folder).area if storage is None else storage
    done = list[bool]()

    def on_progress(run: object, steps: int) -> None:
        if not done and [*place.glob("checkpoints/**/*.pt")]:
            done.append(True)
            workers = task_processes(folder.name)
            trained_it = [*workers, *(one for worker in workers for one in descendants(worker.pid))]
            kill()
            wait_for(lambda: not alive(trained_it), "the end of the processes that had the run")
            (folder / "hold").unlink()

    return Recorder(on_progress=on_progress)


def test_a_killed_worker_goes_on_from_its_checkpoint(on_ray: Callable[..., Cluster], tmp_path: Path) -> None:
    folder = write_held(tmp_path / "long")

    def kill() -> None:
        for process in task_processes("long"):
            process.kill()

    display = kill_once(folder, kill)
    assert sweep_in(folder, display, backend=on_ray(), checkpoint_every=0.0).exit_code == 0
    assert any("begins again elsewhere" in text for text in display.said)
    check_bits(folder)
    assert rows_of(folder)[0]["resumed"] == 1


@pytest.mark.smallest
def test_a_killed_node_is_survived_by_what_the_storage_has(
    two_nodes: Any, node: dict[str, Any], on_ray: Callable[..., Cluster], tmp_path: Path
) -> None:
    """The run is on the second node, because the first has no place; after the kill a third takes its place."""
    folder, shared = write_held(tmp_path / "long"), tmp_path / "shared"
    (second,) = [one for one in two_nodes.list_all_nodes() if not one.head]

    @ray.remote(num_cpus=1)
    def occupy(until: str) -> None:
        import time
        from pathlib import Path

        while not Path(until).exists():
            time.sleep(0.1)

    head = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(two_nodes.head_node.node_id, soft=False)
    busy = occupy.options(scheduling_strategy=head).remote(str(tmp_path / "free"))
    try:

        def kill() -> None:
            two_nodes.remove_node(second, allow_graceful=False)
            (tmp_path / "free").touch()

        display = kill_once(folder, kill, shared)
        assert sweep_in(folder, display, backend=on_ray(str(shared)), checkpoint_every=0.0).exit_code == 0
    finally:
        (tmp_path / "free").touch()
        ray.get(busy)
        two_nodes.add_node(**node)
    assert any("begins again elsewhere" in text for text in display.said)
    check_bits(folder)
    assert rows_of(folder)[0]["resumed"] == 1
    assert [*shared.glob("checkpoints/**/*.pt")] == [], "of a finished run nothing is kept"
    assert not Workplace(folder).checkpoint(ids(folder)[0], "cpu").exists(), "nodes write nothing here"


def test_a_driver_that_is_killed_goes_on_when_it_is_started_again(two_nodes: Any, tmp_path: Path) -> None:
    folder, shared = write_held(tmp_path / "results" / "long"), tmp_path / "shared"
    words = ("--on", "ray", "--storage", str(shared))
    first = start(folder, *words, RAY_ADDRESS=two_nodes.address)
    try:
        wait_for(lambda: [*shared.glob("checkpoints/**/*.pt")], "a checkpoint in the storage")
        workers = task_processes("long")
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
        wait_for(lambda: not alive(workers), "the end of its workers")
        (folder / "hold").unlink()
        code, output = finish(start(folder, *words, RAY_ADDRESS=two_nodes.address))
    finally:
        for one in in_session(first.pid):
            one.kill()
    assert code == 0, output
    check_bits(folder)
    assert rows_of(folder)[0]["resumed"] == 1


@contextmanager
def own_head(place: Path, port: int, door: int) -> Iterator[None]:
    """Within it there is a cluster of one node, with its files in `place`; at the end all of it is killed.

    port: of the cluster itself; door: for Ray's client.
    """
    words = ["start", "--head", "--block", "--num-cpus=1", "--include-dashboard=false", f"--temp-dir={place}"]
    words += [f"--port={port}", f"--ray-client-server-port={door}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: listens(door), "the door for Ray's client")
        yield
    finally:
        for one in in_session(process.pid):
            one.kill()
        process.wait()


def listens(port: int) -> bool:
    """Whether something of this machine takes connections there."""
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def test_a_head_that_is_restarted_ends_its_driver_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """Through Ray's client, which knows within half a minute that its cluster is no more."""
    folder, shared = write_held(tmp_path / "results" / "long"), tmp_path / "shared"
    with ExitStack() as held:
        port, door = (held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(2))
    words = ("--on", f"ray://127.0.0.1:{door}", "--storage", str(shared))
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as place:  # sockets need a short path
        with own_head(Path(place), port, door):
            first = start(folder, *words)
            wait_for(lambda: [*shared.glob("checkpoints/**/*.pt")], "a checkpoint in the storage")
        (folder / "hold").unlink()
        with own_head(Path(place), port, door):
            code, output = finish(first)
            assert code == OUT_OF_TIME, output
            assert "the cluster is gone" in output
            for _ in range(3):
                code, output = finish(start(folder, *words))
                if "no cluster can be used" not in output:  # the server for the client does not always start
                    break
    assert code == 0, output
    check_bits(folder)
    assert rows_of(folder)[0]["resumed"] == 1


@pytest.mark.smallest
def test_what_no_node_has_is_refused_at_once(two_nodes: Any) -> None:
    with pytest.raises(UsageError, match="no node of the cluster has 1 processors and 1 GPU"):
        Cluster(Ray(), "cuda")
    with pytest.raises(UsageError, match="no node of the cluster has 64 processors"):
        Cluster(Ray(), threads=64)


def test_a_node_with_other_sources_makes_no_row(on_ray: Callable[..., Cluster], tmp_path: Path) -> None:
    scripted, backend = Scripted(), on_ray()
    folder = write(tmp_path / "four", FOUR)
    sweep_in(folder, backend=scripted)
    (job, *_), found = scripted.submitted, list[Event]()
    backend.submit(replace(job, runs=tuple(replace(one, source="2:another") for one in job.runs)))

    def ended() -> bool:
        found.extend(backend.events(0.2))
        return any(isinstance(event, Refused) for event in found)

    wait_for(ended, "the refusal")
    assert jobs_of(scripted)[0] == [event.run for event in found if isinstance(event, Refused)]


def test_a_storage_that_takes_nothing_is_said_once_and_the_runs_go_on(
    on_ray: Callable[..., Cluster], tmp_path: Path
) -> None:
    folder, shared, display = write(tmp_path / "four", FOUR), tmp_path / "shared", Recorder()
    shared.mkdir()
    (shared / "checkpoints").touch()  # where the folder of this name should be
    assert sweep_in(folder, display, backend=on_ray(str(shared)), checkpoint_every=0.0).exit_code == 0
    ends = ["checkpoints that are needed no more stay", "the run goes on, its checkpoint is on its node alone"]
    said = sorted(text.partition("; ")[2] for text in display.said)
    assert said in (ends, ends[:1]), "a run may end before its node has tried; test_storage has that it is said"
    check_bits(folder)


def test_of_a_thousand_tiny_runs_each_has_one_row_though_a_worker_is_killed(
    on_ray: Callable[..., Cluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, backend, display = write(tmp_path / "tiny", TINY), on_ray(), Recorder()
    started, killed, start_task = list[int](), list[int](), backend.engine.start

    def counted(ticket: Ticket, job: Job, needs: Needs) -> None:
        started.append(len(job.runs))
        start_task(ticket, job, needs)

    def kill_in_the_middle(run: object, row: object) -> None:
        if len(display.ended) >= 500 and not killed and (workers := task_processes("tiny")):
            killed.append(workers[0].pid)
            workers[0].kill()

    monkeypatch.setattr(backend.engine, "start", counted)
    monkeypatch.setattr(
        display, "end", lambda run, row: (Recorder.end(display, run, row), kill_in_the_middle(run, row))
    )
    assert sweep_in(folder, display, backend=backend).exit_code == 0
    assert killed
    assert any("again elsewhere" in text for text in display.said)
    assert statuses(folder) == dict.fromkeys(ids(folder), "done")
    assert len(started) <= 200, "short runs share a task"
    rows = {row["id"]: row for row in rows_of(folder)}
    for run in config.load(folder).runs[::100]:
        assert measured(rows[run.id]) == measured_here(run)


def test_a_connection_that_never_comes_is_given_up() -> None:
    """As Ray's client waits when its server did not start: for a thread that never ends."""
    with pytest.raises(TimeoutError, match="no connection within"), bounded(0.1):
        threading.Event().wait()
    with bounded(600.0):
        pass


def test_functions_are_called_on_nodes(two_nodes: Any) -> None:
    """As `renew` does it."""
    assert [one.result() for one in [Pool().submit(divmod, number, 3) for number in (7, 8)]] == [(2, 1), (2, 2)]
    with pytest.raises(ZeroDivisionError):
        Pool().submit(divmod, 1, 0).result()
