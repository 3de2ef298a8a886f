"""What a sweep makes of the events of a backend; there are no processes here."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from backends import FOUR, Scripted, all_done, ids, jobs_of, row_of, statuses, trained
from experiments import (
    Recorder,
    checkpoints,
    measured,
    measured_here,
    reasons,
    rows_of,
    sweep_in,
    write,
)
from made_rows import made
from seqbench.bench.errors import UsageError
from seqbench.bench.evidence import verifying
from seqbench.bench.experiments import config, runs
from seqbench.bench.rows.store import RowFile, Workplace
from seqbench.bench.running import planning, resumable, sweep
from seqbench.bench.running.backend import Begun, Event, Job, Lost, Progressed, RowMade, Said, Stopped
from seqbench.bench.running.planning import Planned

pytestmark = pytest.mark.usefixtures("forgotten")

Asked = Callable[[], bool]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An experiment of four runs."""
    return write(tmp_path / "four", FOUR)


def test_jobs_are_submitted_in_order_as_they_are_taken(folder: Path) -> None:
    backend, display = Scripted(slots=2), Recorder()
    assert sweep_in(folder, display, backend=backend).exit_code == 0
    assert jobs_of(backend) == [[run] for run in ids(folder)]
    assert backend.most_at_once == 2
    assert statuses(folder) == dict.fromkeys(ids(folder), "done")
    assert (display.planned, display.ended) == (4, [(run, "done") for run in ids(folder)])
    assert not backend.closed, "whoever has made it may go on with it"
    assert not backend.killed


def test_a_job_says_all_that_a_worker_needs(folder: Path) -> None:
    backend = Scripted()
    sweep_in(folder, backend=backend, checkpoint_every=7.0, threads=2, keep_weights=True)
    job, run = backend.submitted[0], config.load(folder).runs[0]
    (one,) = job.runs
    assert (job.folder, job.device, job.checkpoint_every, job.threads, job.most) == (folder, "cpu", 7.0, 2, 1)
    assert runs.from_config(one.config, job.folder).id == one.run == run.id
    assert one.checkpoint == Workplace(folder).checkpoint(run.id, "cpu")
    assert one.trained == Workplace(folder).trained(run.id, "cpu")
    backend = Scripted()
    sweep_in(folder, backend=backend)
    assert {one.trained for job in backend.submitted for one in job.runs} <= {None}


def test_a_backend_without_a_free_place_is_waited_for(folder: Path) -> None:
    class Full(Scripted):
        def events(self, timeout: float) -> Iterator[Event]:
            self.slots = 1 if self._idle == 3 else self.slots
            return super().events(timeout)

    backend = Full(slots=0)
    assert sweep_in(folder, backend=backend).exit_code == 0
    assert set(statuses(folder).values()) == {"done"}


def test_packed_runs_are_shared_out_evenly(folder: Path) -> None:
    backend = Scripted(slots=2)
    assert sweep_in(folder, backend=backend, packed=True, jobs=3).exit_code == 0
    assert jobs_of(backend) == [ids(folder)[:2], ids(folder)[2:]]
    assert [job.most for job in backend.submitted] == [3, 3]


def test_training_as_a_worker_does_it_gives_the_same_rows(folder: Path) -> None:
    assert sweep_in(folder, backend=Scripted(trained), packed=True, jobs=3).exit_code == 0
    rows = {row["id"]: row for row in rows_of(folder)}
    for run in config.load(folder).runs:
        assert measured(rows[run.id]) == measured_here(run)


def test_a_worker_that_is_asked_to_stop_brings_every_run_to_its_end(folder: Path) -> None:
    """Three runs are in work after 20 questions, the fourth has not begun."""
    events: list[Event] = []

    def stopped(job: Job, asked: Asked) -> Iterable[Event]:
        questions = iter(range(20))
        events.extend(trained(job, lambda: next(questions, None) is None))
        return events

    display = Recorder()
    sweep_in(folder, display, backend=Scripted(stopped), packed=True, jobs=3)
    stops = [event.run for event in events if isinstance(event, Stopped)]
    assert sorted(stops) == sorted(ids(folder))
    assert sorted(display.ended) == sorted((run, None) for run in ids(folder)[:3]), "the fourth had not begun"
    assert len(checkpoints(folder)) == 3
    assert rows_of(folder) == []


def test_events_that_come_twice_make_one_row(folder: Path) -> None:
    def twice(job: Job, asked: Asked) -> Iterator[Event]:
        run = job.runs[0].run
        yield from (Begun(run), Begun(run), Progressed(run, 1, 2, 0, {}), row_of(job, run))
        yield from (row_of(job, run), Stopped(run), Progressed(run, 2, 2, 1, {}), Lost("ended", (run,)))
        yield from (Lost("ended", (), (run,)), Begun(run), row_of(job, run))

    backend, display = Scripted(twice, slots=2), Recorder()
    assert sweep_in(folder, display, backend=backend).exit_code == 0
    assert statuses(folder) == dict.fromkeys(ids(folder), "done")
    assert display.ended == [(run, "done") for run in ids(folder)]
    assert len(backend.submitted) == 4


def test_a_run_that_is_planned_twice_is_trained_once(folder: Path) -> None:
    """As where two rows that differ in their epochs are renewed by the same first one."""
    experiment, backend, display = config.load(folder), Scripted(slots=4), Recorder()
    planned = [Planned(run, "afresh") for run in experiment.runs[:2] * 2]
    assert sweep.run(experiment, planned, display, backend=backend).exit_code == 0
    assert jobs_of(backend) == [[run] for run in ids(folder)[:2]]
    assert display.planned == 2


def test_lines_of_a_backend_are_said(folder: Path) -> None:
    run = config.load(folder).runs[0]

    def saying(job: Job, asked: Asked) -> Iterator[Event]:
        yield Said(None, "a node is gone")
        yield Said(job.runs[0].run, "its checkpoint was damaged")
        yield from all_done(job, asked)
        yield Said(job.runs[0].run, "done already")

    display = Recorder()
    sweep_in(folder, display, backend=Scripted(saying, all_done))
    assert display.said == ["a node is gone", f"{run}: its checkpoint was damaged", "done already"]


def test_a_row_that_cannot_be_written_ends_the_sweep_and_keeps_the_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: RowFile, row: dict[str, object]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = Workplace(folder).checkpoint(ids(folder)[0], "cpu")
    file.parent.mkdir(parents=True)
    file.touch()
    monkeypatch.setattr(RowFile, "append", full)
    backend = Scripted(slots=2)
    with pytest.raises(UsageError, match="No space left on device"):
        sweep_in(folder, backend=backend)
    assert backend.killed
    assert file.is_file()


@pytest.mark.parametrize(("afresh", "there"), [(True, False), (False, True)])
def test_a_checkpoint_is_gone_on_from_unless_all_is_made_afresh(afresh: bool, there: bool, folder: Path) -> None:
    file = Workplace(folder).checkpoint(ids(folder)[0], "cpu")
    file.parent.mkdir(parents=True)
    file.touch()
    seen: list[bool] = []

    def looking(job: Job, asked: Asked) -> Iterator[Event]:
        seen.append(file.is_file())
        yield from all_done(job, asked)

    assert sweep_in(folder, backend=Scripted(looking, all_done), afresh=afresh).exit_code == 0
    assert seen == [there]
    assert not file.is_file(), "of a finished run nothing is kept"


def test_what_a_kill_left_beside_a_row_is_no_run_to_go_on_with(folder: Path) -> None:
    """The row is there before the checkpoint is removed; a run whose row is there is not made again."""
    sweep_in(folder, backend=Scripted())
    rows, file = rows_of(folder), Workplace(folder).checkpoint(ids(folder)[0], "cpu")
    file.parent.mkdir()
    file.touch()
    backend = Scripted()
    assert set(reasons(folder)) == {"finished"}
    assert sweep_in(folder, backend=backend).exit_code == 0
    assert backend.submitted == []
    assert rows_of(folder) == rows
    assert not file.exists()


def test_a_result_that_is_made_again_is_gone_on_with_until_the_new_one_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_in(folder, backend=Scripted())
    first, count = ids(folder)[0], len(rows_of(folder))
    file = Workplace(folder).checkpoint(first, "cpu")

    def cut_short(job: Job, asked: Asked) -> Iterator[Event]:
        for one in job.runs:
            assert one.checkpoint is not None
            one.checkpoint.touch()
            yield Stopped(one.run)

    def better(job: Job, asked: Asked) -> Iterator[Event]:
        for one in job.runs:
            yield RowMade(one.run, made(runs.from_config(one.config, job.folder), 0.25))

    sweep_in(folder, afresh=True, backend=Scripted(*[cut_short] * count))
    assert len(rows_of(folder)) == count
    assert set(reasons(folder)) == {"resumes"}
    with monkeypatch.context() as patch:
        patch.setattr(resumable, "end", lambda *arguments: None)  # killed between the row and the end
        assert sweep_in(folder, backend=Scripted(*[better] * count)).exit_code == 0
    assert len(rows_of(folder)) == 2 * count
    assert file.is_file()
    assert set(reasons(folder)) == {"finished"}
    assert sweep_in(folder, backend=Scripted()).exit_code == 0
    assert len(rows_of(folder)) == 2 * count
    assert [*file.parent.iterdir()] == []


def test_nothing_is_kept_where_that_is_asked_for(folder: Path) -> None:
    experiment, backend = config.load(folder), Scripted()
    planned = planning.plan(experiment, Workplace(folder), "cpu")
    result = sweep.run(experiment, planned, Recorder(), keep=False, backend=backend)
    assert [row["id"] for row in result.rows] == ids(folder)
    assert {one.checkpoint for job in backend.submitted for one in job.runs} == {None}
    assert not Workplace(folder).area.exists()


def test_verify_comes_in_by_the_same_door(folder: Path) -> None:
    """One backend serves a sweep after the other: here one for each number of threads."""
    rows = [made(run) for run in config.load(folder).runs]
    for row in rows[2:]:
        row["provenance"]["threads"] = 2
    backend = Scripted(slots=2)
    found = verifying.verify(folder, rows[:2], Recorder(), backend=backend)
    assert [verdict.outcome for verdict in found.verdicts] == ["the same", "the same"]
    assert verifying.verify(folder, rows, Recorder(), backend=backend).exit_code is None
    assert [job.threads for job in backend.submitted] == [1, 1, 1, 1, 2, 2]
