"""Rows of several machines come together: each run once, what differs is shown, what cannot be trusted stays out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import seqbench
from experiments import SMALL, clean, rows_of, sweep_in, write
from seqbench.bench.errors import UsageError
from seqbench.bench.evidence import merging
from seqbench.bench.experiments import config, runs
from seqbench.bench.rows.newest import latest
from seqbench.bench.rows.store import Row, RowFile, Workplace, signed

TWO_SEEDS = SMALL.replace("rows:", "seeds: 2\nrows:")
EARLY, LATE = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Clean rows of four runs, in the order of the grid; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SEQBENCH_RUNS", raising=False)
        folder = write(tmp_path_factory.mktemp("trained") / "results" / "small", TWO_SEEDS)
        assert sweep_in(folder).exit_code == 0
        by_id = {row["id"]: clean(row) for row in rows_of(folder)}
        return [by_id[run.id] for run in config.load(folder).runs]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    return write(tmp_path / "results" / "small", TWO_SEEDS)


def file_of(path: Path, rows: list[Row]) -> Path:
    """Another machine's file, with these rows as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    RowFile(path).replace(rows)
    return path


def working(folder: Path, rows: list[Row]) -> Workplace:
    """The rows in the folder's working area."""
    place = Workplace(folder)
    file_of(place.working.path, rows)
    return place


def again(row: Row, finished: str = LATE, **provenance: Any) -> Row:
    """The same result, made on another machine."""
    return clean(row, seconds=row["seconds"] | {"training": 77.0}, provenance={"finished": finished} | provenance)


def other(row: Row, finished: str = LATE) -> Row:
    """Another result of the same run."""
    copy = json.loads(json.dumps(again(row, finished)))
    copy["scores"]["best"]["test"]["mse"] += 0.001
    return clean(copy)


def test_machines_that_shared_the_work(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    place = working(folder, trained[:1])
    files = [file_of(tmp_path / name / "runs.jsonl", part) for name, part in [("b", trained[:3]), ("c", trained[2:])]]
    before = [file.read_bytes() for file in files]
    answer = seqbench("merge", folder, *files)
    assert (answer.code, answer.out, answer.err) == (0, "3 rows added, 2 were here already\n", "")
    assert place.working.read() == trained
    assert [file.read_bytes() for file in files] == before
    assert len(seqbench("publish", folder, "--json").json["published"]) == 4


def test_merging_twice_changes_nothing(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    file = file_of(tmp_path / "b.jsonl", trained)
    assert seqbench("merge", folder, file).out == "4 rows added, 0 were here already\n"
    content = Workplace(folder).working.path.read_bytes()
    assert seqbench("merge", folder, file).out == "0 rows added, 4 were here already\n"
    assert Workplace(folder).working.path.read_bytes() == content


def test_the_same_bits_from_two_machines_are_one_result(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    """That which is here stays, and published rows are here too."""
    place = working(folder, trained[:1])
    place.published.replace(trained[1:2])
    file = file_of(tmp_path / "b.jsonl", [again(row, processor="Another") for row in trained[:3]])
    merger = merging.merge(config.load(folder), [file])
    assert [row["id"] for row in merger.known] == [row["id"] for row in trained[:2]]
    assert [row["id"] for row in merger.added] == [trained[2]["id"]]
    assert place.working.read() == [trained[0], again(trained[2], processor="Another")]


def test_what_differs_is_shown_and_nothing_is_written(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    place = working(folder, trained[:1])
    before = place.working.path.read_bytes()
    file = file_of(tmp_path / "b.jsonl", [other(trained[0]), trained[1]])
    answer = seqbench("merge", folder, file)
    here, there = (row["scores"]["best"]["test"]["mse"] for row in (trained[0], other(trained[0])))
    assert (answer.code, answer.out) == (1, "0 rows added, 0 were here already\n")
    assert answer.err.splitlines() == [
        f"conflict: {trained[0]['id']} {trained[0]['label']} (cpu): "
        f"scores.best.test.mse: {here!r} here, {there!r} in {file}",
        "nothing is written; --prefer here, there or newer decides all conflicts",
    ]
    assert place.working.path.read_bytes() == before
    told = seqbench("merge", folder, file, "--json").json
    assert (told["written"], told["added"], len(told["conflicts"])) == (False, [], 1)
    assert told["conflicts"][0]["differences"] == [{"path": "scores.best.test.mse", "here": here, "there": there}]


@pytest.mark.parametrize(
    ("prefer", "finished", "wins"),
    [
        ("here", LATE, "here"),
        ("there", EARLY, "there"),
        ("newer", LATE, "there"),
        ("newer", EARLY, "here"),
    ],
)
def test_who_is_preferred(
    prefer: str, finished: str, wins: str, folder: Path, trained: list[Row], tmp_path: Path
) -> None:
    here = clean(trained[0], provenance={"finished": "2026-01-15T00:00:00+00:00"})
    there = other(trained[0], finished)
    place = working(folder, [here])
    answer = seqbench("merge", folder, file_of(tmp_path / "b.jsonl", [there, trained[1]]), "--prefer", prefer)
    assert answer.code == 0
    assert answer.err.count("conflict: ") == 1
    assert "nothing is written" not in answer.err
    kept = place.working.read()
    assert sorted(row["id"] for row in kept) == sorted(row["id"] for row in trained[:2]), "each run once"
    assert latest(kept)[here["id"], "cpu"] == (there if wins == "there" else here)


@pytest.mark.parametrize(("prefer", "wins"), [("here", 0), ("there", 2), ("newer", 1)])
def test_files_that_differ_from_each_other(
    prefer: merging.Prefer, wins: int, folder: Path, trained: list[Row], tmp_path: Path
) -> None:
    """Here the second file is the newest."""
    rows = [again(trained[0], EARLY), other(trained[0], LATE), other(other(trained[0]), EARLY)]
    files = [file_of(tmp_path / f"{number}.jsonl", [row]) for number, row in enumerate(rows)]
    assert not merging.merge(config.load(folder), files).written
    merger = merging.merge(config.load(folder), files, prefer)
    assert [conflict.file.name for conflict in merger.conflicts] == ["1.jsonl", "2.jsonl"]
    assert merger.added == [rows[wins]]
    assert Workplace(folder).working.read() == [rows[wins]]


def test_a_file_that_disagrees_with_itself(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    first, *_ = trained
    merged = merging.merge(config.load(folder), [file_of(tmp_path / "a.jsonl", [first, other(first)])])
    assert [conflict.here["id"] for conflict in merged.conflicts] == [first["id"]]
    assert not merged.written


def test_a_run_trained_again_by_newer_sources_is_no_conflict(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    first, *_ = trained
    older = other(first)
    older = signed({**older, "provenance": older["provenance"] | {"source": "0" * 16}})
    merged = merging.merge(config.load(folder), [file_of(tmp_path / "a.jsonl", [older, first])])
    assert not merged.conflicts
    assert [row["sum"] for row in merged.added] == [first["sum"]]


def test_a_preferred_row_goes_before_a_published_one(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    place = Workplace(folder)
    place.published.replace(trained[:1])
    file = file_of(tmp_path / "b.jsonl", [other(trained[0])])
    assert seqbench("merge", folder, file, "--prefer", "there").code == 0
    assert place.working.read() == [other(trained[0])]
    assert place.published.read() == trained[:1]


def test_rows_of_two_devices_are_two_results(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    place = working(folder, trained[:1])
    gpu = clean(other(trained[0]), device="cuda")
    assert seqbench("merge", folder, file_of(tmp_path / "b.jsonl", [gpu])).code == 0
    assert place.working.read() == [trained[0], gpu]


def test_rows_of_two_sets_of_instructions_are_two_results(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    place = working(folder, [clean(trained[0], provenance={"instructions": "AVX2"})])
    wider = clean(other(trained[0]), provenance={"instructions": "AVX512"})
    assert seqbench("merge", folder, file_of(tmp_path / "b.jsonl", [wider])).code == 0
    assert [row["provenance"]["instructions"] for row in place.working.read()] == ["AVX2", "AVX512"]


def test_rows_made_before_hashes_of_files_come_in(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    """They are compared by their commit."""
    place = working(folder, [])
    origin = {key: value for key, value in trained[0]["provenance"].items() if key not in ("source_files", "cpu")}
    before = signed(trained[0] | {"provenance": origin | {"source": "0123456789abcdef"}})
    assert seqbench("merge", folder, file_of(tmp_path / "b.jsonl", [before])).code == 0
    assert place.working.read() == [before]


def test_a_result_takes_the_place_of_a_failure(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    place = working(folder, [clean(trained[0], status="died", error={"message": "m", "traceback": ""})])
    assert seqbench("merge", folder, file_of(tmp_path / "b.jsonl", trained[:1])).code == 0
    assert place.working.read() == trained[:1]


def versioned(row: Row) -> Row:
    task = row["config"]["task"] | {"version": 9}
    return clean(row, config=row["config"] | {"task": task}, id="0" * 12)


def of_another_seed(row: Row) -> Row:
    run = runs.from_config(row["config"] | {"seed": 5})
    return clean(row, id=run.id, config=run.config)


REFUSED: dict[str, tuple[Callable[[Row], Row], str]] = {
    "edited": (lambda row: row | {"parameters": 1}, "checksum mismatch: its line is not as it was written"),
    "id": (lambda row: clean(row, id="0" * 12), "its id is not that of its configuration, "),
    "version": (versioned, "it is of a newer version of the suite: task 9 in the row, 1 here; update the suite"),
    "foreign": (of_another_seed, "not a run of this experiment as it is now"),
    "failed": (lambda row: clean(row, status="failed", error={"message": "x"}), "no result: it failed"),
    "origin": (lambda row: clean(row, provenance={"instructions": None}), "it lacks provenance.instructions"),
}
SHAPELESS: dict[str, tuple[Callable[[Row], Row], str]] = {
    "device": (lambda row: clean(row, device="tpu"), "device: invalid enum value 'tpu'"),
    "platform": (lambda row: clean(row, provenance={"platform": None}), "provenance.platform: expected `str`"),
    "time": (lambda row: clean(row, seconds={}), "seconds: object missing required field `training`"),
}


@pytest.mark.parametrize("how", SHAPELESS)
def test_a_line_that_has_not_the_shape_of_a_row_is_named(
    how: str, folder: Path, trained: list[Row], tmp_path: Path
) -> None:
    change, what = SHAPELESS[how]
    file = file_of(tmp_path / "b.jsonl", [change(trained[0]), trained[1]])
    answer = seqbench("merge", folder, file)
    assert (answer.code, answer.out) == (1, "1 rows added, 0 were here already\n")
    assert answer.err.startswith(f"refused: {file}:1: row {trained[0]['id']}: {what}")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize("how", REFUSED)
def test_what_may_not_come_in(how: str, folder: Path, trained: list[Row], tmp_path: Path) -> None:
    """It is named, and keeps nothing else out."""
    change, reason = REFUSED[how]
    row = change(trained[0])
    file = file_of(tmp_path / "b.jsonl", [row, trained[1]])
    answer = seqbench("merge", folder, file)
    assert (answer.code, answer.out) == (1, "1 rows added, 0 were here already\n")
    assert answer.err.startswith(f"refused: {file}: {row['id']} {row['label']}: {reason}")
    assert answer.err.count("\n") == 1
    assert Workplace(folder).working.read() == trained[1:2]


def test_a_torn_line_is_said(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    file = file_of(tmp_path / "b.jsonl", trained[:2])
    file.write_bytes(file.read_bytes()[:-30])
    answer = seqbench("merge", folder, file)
    assert (answer.code, answer.out) == (1, "1 rows added, 0 were here already\n")
    assert answer.err == f"refused: {file}: the last line is half-written; its row is not taken\n"


def test_what_is_mended_here_is_said_and_nothing_is_refused(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    """A line end that is missing in either file costs no row, and a half-written line here is set aside."""
    place = working(folder, trained[:1])
    with place.working.path.open("ab") as half:
        half.write(b'{"id": "c0')
    file = file_of(tmp_path / "b.jsonl", trained[1:3])
    file.write_bytes(file.read_bytes()[:-1])
    answer = seqbench("merge", folder, file)
    assert (answer.code, answer.out) == (0, "2 rows added, 0 were here already\n")
    assert answer.err.startswith(f"{place.working.path}: the last line was half-written (10 bytes)")
    assert place.working.read() == trained[:3]
    assert seqbench("merge", folder, file, "--json").json["refused"] == []


def test_mistakes(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    place = working(folder, trained[:1])
    for file, message in [
        (tmp_path / "none.jsonl", "no such file"),
        (tmp_path, f"a file of rows is needed, such as {tmp_path / 'runs.jsonl'}"),
        (place.working.path, "these are the experiment's own rows"),
    ]:
        answer = seqbench("merge", folder, file)
        assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
        assert message in answer.err
    assert place.working.read() == trained[:1]


def test_not_while_a_sweep_writes(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    file = file_of(tmp_path / "b.jsonl", trained)
    with Workplace(folder).held(), pytest.raises(UsageError, match="another process runs or publishes it"):
        merging.merge(config.load(folder), [file])
    assert not Workplace(folder).working.path.exists()


def test_rows_keep_their_sums(folder: Path, trained: list[Row], tmp_path: Path) -> None:
    merging.merge(config.load(folder), [file_of(tmp_path / "b.jsonl", trained)])
    for row in Workplace(folder).working.read():
        assert row == signed({key: value for key, value in row.items() if key != "sum"})
