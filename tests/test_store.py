"""Rows survive: a torn line, a full disk, a hand that edits; and which of several rows of a run counts."""

from __future__ import annotations

import copy
import errno
import json
import math
import os
import re
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_rows
import pytest
from seqbench.bench.errors import UsageError
from seqbench.bench.rows import store
from seqbench.bench.rows.newest import latest
from seqbench.bench.rows.provenance import COMPUTE
from seqbench.bench.rows.row_shape import LATER, lacking
from seqbench.bench.rows.store import RowFile, Workplace, finite, signed, untouched

ORIGIN = dict.fromkeys(made_rows.REQUIRED, "known") | {
    "versions": dict.fromkeys(("python", *COMPUTE), "1.0"),
    "dirty": True,
    "data": {},
    "source_files": {},
    "threads": 1,
}
CONTRACT = {"name": "any", "version": 1}
CONFIG = {"task": CONTRACT, "model": CONTRACT, "loop": 1, "seed": 0}
RULES = {"best": {"epoch": 1, "valid": {"mse": 0.01}, "test": {"mse": 0.01}}, "last": {"test": {"mse": 0.01}}}
MEASURED: dict[str, Any] = {
    "label": "any",
    "config": CONFIG,
    "parameters": 105,
    "curve": [],
    "scores": RULES,
    "seconds": {"training": 1.0, "evaluation": 0.5, "cpu": 1.5},
    "peak_memory_mb": 300.0,
}
FAILED = {"label": "any", "config": CONFIG, "error": {"message": "too hard"}}


def row(number: int = 0, **changes: Any) -> dict[str, Any]:
    return {"id": f"{number:012x}", "status": "done", "device": "cpu", "provenance": ORIGIN} | MEASURED | changes


def scored(**scores: float | None) -> dict[str, Any]:
    return {**RULES, "last": {"test": scores}}


@pytest.fixture
def file(tmp_path: Path) -> RowFile:
    return RowFile(tmp_path / "runs" / "quick" / "runs.jsonl")


@pytest.fixture
def small_disk() -> Iterator[Any]:
    """Lets files of this process grow to a number of bytes only, until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_there_and_back(file: RowFile) -> None:
    assert file.read() == []
    scores = scored(third=1 / 3, tiny=5e-324, big=1.7976931348623157e308, small=1e-05, whole=1)
    written = [file.append(row(1, scores=scores, label="ß\n\u2028")), file.append(row(2))]
    assert file.read() == written
    assert file.read()[0]["scores"] == scores, "to the bit"
    assert type(file.read()[0]["scores"]["last"]["test"]["whole"]) is int
    assert file.path.read_bytes().count(b"\n") == 2
    assert all(untouched(one) for one in file.read())


def test_what_json_cannot_say_is_null(file: RowFile) -> None:
    odd = {"a": math.nan, "b": [math.inf, 1.0], "c": (-math.inf, {"d": math.nan}), "e": True, "f": None}
    assert finite(odd) == {"a": None, "b": [None, 1.0], "c": [None, {"d": None}], "e": True, "f": None}
    file.append(row(scores=scored(mse=math.nan)))
    assert "NaN" not in file.path.read_text(encoding="utf-8")
    assert untouched(file.read()[0])


@pytest.mark.parametrize("change", [{"status": "diverged"}, {"scores": scored(mse=0.02)}, {"more": 1}])
def test_a_row_edited_by_hand_is_found_out(change: dict[str, Any], file: RowFile) -> None:
    file.append(row())
    edited = file.read()[0] | change
    assert not untouched(edited)
    assert untouched(signed(edited))
    del edited["sum"]
    assert not untouched(edited)


def without(path: str) -> dict[str, Any]:
    """A row without what stands at the path."""
    changed: dict[str, Any] = copy.deepcopy(row())
    *parents, last = path.split(".")
    inner = changed
    for key in parents:
        inner = inner[key]
    del inner[last]
    return changed


ASKED = [
    *(f"provenance.{key}" for key in sorted(made_rows.REQUIRED)),
    *(f"provenance.versions.{name}" for name in COMPUTE),
    *("config.seed", "seconds.training", "seconds.evaluation", "seconds.cpu", "peak_memory_mb"),
]


@pytest.mark.parametrize("path", ASKED)
def test_a_result_of_unknown_origin_is_refused(path: str, file: RowFile) -> None:
    where, _, key = path.rpartition(".")
    words = (
        f"lacks {path}"
        if path in {f"provenance.{name}" for name in LATER}
        else f"{where}: object missing"
        if where
        else "object missing"
    )
    with pytest.raises(ValueError, match=rf"^row 0+:? {words}") as caught:
        file.append(without(path))
    assert key in str(caught.value)
    assert not file.path.exists()


def test_what_failed_has_measured_nothing(file: RowFile) -> None:
    file.append({"id": "x", "status": "failed", "device": "cpu", "provenance": ORIGIN, **FAILED})
    assert [one["id"] for one in file.read()] == ["x"]


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"commit": None, "dirty": False, "diff": None, "driver": None}, []),
        ({"dirty": True, "diff": None}, ["diff"]),
        ({"instructions": None}, ["instructions"]),
    ],
)
def test_what_may_be_none(changes: dict[str, Any], missing: list[str]) -> None:
    changed = row(provenance=ORIGIN | {"dirty": False} | changes)
    assert lacking(changed) == missing
    assert made_rows.misshapen(changed) == ""


def test_rows_of_before_are_read_and_can_be_told() -> None:
    old = row(provenance={key: value for key, value in ORIGIN.items() if key not in LATER} | {"dirty": False})
    assert lacking(old) == [*LATER]
    assert made_rows.misshapen(old) == ""


@pytest.mark.parametrize("left", [1, 40])
def test_a_half_written_last_line_is_set_aside(left: int, file: RowFile) -> None:
    kept = [file.append(row(1)), file.append(row(2))]
    whole = file.path.read_bytes()
    torn = whole.splitlines(keepends=True)[0][:left]
    file.path.write_bytes(whole + torn)
    assert file.read() == kept, "reading passes over it"
    said = file.repair()
    assert said == f"{file.path}: the last line was half-written ({left} bytes); it is now in runs.jsonl.damaged"
    assert file.path.read_bytes() == whole
    assert file.path.with_name("runs.jsonl.damaged").read_bytes() == torn + b"\n"
    assert file.repair() is None


def test_a_row_is_never_appended_to_a_torn_line(file: RowFile) -> None:
    file.append(row(1))
    with file.path.open("ab") as torn:
        torn.write(b'{"id":"2","sta')
    file.append(row(3))
    assert [one["id"] for one in file.read()] == [row(1)["id"], row(3)["id"]]


def test_a_lost_line_end_is_put_back(file: RowFile) -> None:
    file.append(row(1))
    whole = file.path.read_bytes()
    file.path.write_bytes(whole.rstrip(b"\n"))
    assert len(file.read()) == 1
    assert file.repair() == f"{file.path}: the end of the last line was missing; it is there now"
    assert file.path.read_bytes() == whole


@pytest.mark.parametrize("line", ['{"id": "a", "status"', "[1, 2]", '{"id": "only"}', "\\xff\\xfe", "null"])
def test_a_damaged_line_in_the_middle_is_named(line: str, file: RowFile) -> None:
    file.append(row(1))
    with file.path.open("ab") as middle:
        middle.write(line.encode().decode("unicode_escape").encode("latin-1") + b"\n")
    with pytest.raises(UsageError, match=r"runs\.jsonl:2: .+; take the line out"):
        file.read()
    file.append(row(2))
    with pytest.raises(UsageError, match=r"runs\.jsonl:2: .+; take the line out"):
        file.read()


@pytest.mark.parametrize("room", [0, 1, 100, 5_000])
def test_a_full_disk_leaves_the_file_whole(room: int, file: RowFile, small_disk: Any) -> None:
    """A real limit, which lets a part of the line through, as a full disk does."""
    kept = file.append(row(1))
    whole = file.path.read_bytes()
    small_disk(len(whole) + room)
    with pytest.raises(OSError, match="File too large"):
        file.append(row(2, trace=[[step, 0.5] for step in range(10_000)]))
    assert file.path.read_bytes() == whole
    small_disk(resource.RLIM_INFINITY)
    assert file.read() == [kept]
    file.append(row(3))
    assert len(file.read()) == 2


def test_what_does_not_reach_the_disk_is_taken_back(file: RowFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file.append(row(1))
    whole = file.path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(store.os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            file.append(row(2))
        with pytest.raises(OSError, match="No space left"):
            file.replace([row(3)])
    assert file.path.read_bytes() == whole
    assert list(file.path.parent.iterdir()) == [file.path]


def test_replace(file: RowFile) -> None:
    file.append(row(1))
    two = file.append(row(2))
    file.replace([two])
    assert file.read() == [two]
    file.replace([])
    assert file.read() == []


def test_the_latest_row_of_a_run_counts() -> None:
    rows = [
        row(1, status="failed", n=0),
        row(1, status="died", n=1),
        row(2, status="failed", n=2),
        row(2, status="done", n=3),
        row(3, status="done", n=4),
        row(3, status="failed", n=5),  # never hides a result
        row(4, status="done", n=6),
        row(4, status="diverged", n=7),  # which is a result
        row(4, device="cuda", status="failed", n=8),
    ]
    chosen = {place: one["n"] for place, one in latest(rows).items()}
    ids = [row(number)["id"] for number in range(5)]
    assert chosen == {
        (ids[1], "cpu"): 1,
        (ids[2], "cpu"): 3,
        (ids[3], "cpu"): 4,
        (ids[4], "cpu"): 7,
        (ids[4], "cuda"): 8,
    }


def test_where_rows_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    assert Workplace(tmp_path / "results" / "quick").area == tmp_path / "runs" / "quick"
    assert Workplace(tmp_path / "mine").area == tmp_path / "runs" / "mine"
    monkeypatch.chdir(tmp_path)
    assert Workplace(Path("mine")).area == tmp_path / "runs" / "mine"
    monkeypatch.setenv("SEQBENCH_RUNS", str(tmp_path / "elsewhere"))
    place = Workplace(tmp_path / "results" / "quick")
    assert place.area == tmp_path / "elsewhere" / "quick"
    assert place.checkpoint("c0ffee", "cuda") == place.area / "checkpoints" / "c0ffee-cuda.pt"


def test_published_rows_come_before_newer_ones(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "quick"
    run = made_rows.write(folder, "question: Which?\nrows: [{task: adding(length=20), models: [gru(width=4)]}]").runs[0]
    place = Workplace(folder)
    place.working.append(made_rows.made(run, label="new"))
    place.published.append(made_rows.made(run, label="old"))
    assert [one["label"] for one in place.rows()] == ["old", "new"]
    assert [one["label"] for one in place.rows("published")] == ["old"]
    assert [one["label"] for one in place.rows("working")] == ["new"]


def test_one_process_changes_the_working_area(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "results" / "quick")
    other = Workplace(place.folder)
    with place.held(), pytest.raises(UsageError, match="another process runs or publishes it"), other.held():
        pass
    with pytest.raises(ZeroDivisionError) as kept, place.held():
        raise ZeroDivisionError
    with Workplace(place.folder).held():  # although the exception, with all its frames, is still there
        assert kept.value is not None


@pytest.mark.parametrize("runs", ["/proc/nonexistent", "a file"])
def test_a_working_area_that_cannot_be_written(runs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if runs == "a file":
        (tmp_path / runs).touch()
        runs = str(tmp_path / runs)
    monkeypatch.setenv("SEQBENCH_RUNS", runs)
    expected = rf"cannot write to {re.escape(runs)}.quick: .+; SEQBENCH_RUNS names another place"
    with pytest.raises(UsageError, match=expected), Workplace(tmp_path / "results" / "quick").held():
        pass


def test_a_row_is_one_line_of_sorted_json(file: RowFile) -> None:
    """So that rows of two machines can be merged, and a difference be read."""
    written = file.append(row(1, config={**CONFIG, "seed": 1}))
    line = file.path.read_text(encoding="utf-8")
    assert line == json.dumps(written, sort_keys=True, separators=(",", ":")) + "\n"
