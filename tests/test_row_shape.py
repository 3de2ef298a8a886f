"""The shape of rows: real ones have it, and whatever lacks a part of it is refused in one line that names the part."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_rows
import pytest
from command import seqbench
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.experiments.registry import ROOT
from seqbench.bench.rows.store import Row, RowFile, Workplace, signed


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    (tmp_path / "results").mkdir()
    return made_rows.write(tmp_path / "results" / "x", made_rows.LONE)


def without(path: str) -> Callable[[Row], None]:
    """Takes what stands at a path out of a row."""
    *above, last = path.split(".")

    def change(row: Row) -> None:
        for key in above:
            row = row[key]
        del row[last]

    return change


def changed(path: str, value: Any) -> Callable[[Row], None]:
    """Puts something else there."""
    *above, last = path.split(".")

    def change(row: Row) -> None:
        for key in above:
            row = row[int(key) if key.isdigit() else key]
        row[last] = value

    return change


MISSING = "object missing required field"
WRONG = {
    "no provenance": (without("provenance"), f"{MISSING} `provenance`"),
    "no commit": (without("provenance.commit"), f"provenance: {MISSING} `commit`"),
    "versions are a list": (changed("provenance.versions", []), "provenance.versions: expected `object`, got `array`"),
    "no torch": (without("provenance.versions.torch"), f"provenance.versions: {MISSING} `torch`"),
    "no scores": (without("scores"), f"{MISSING} `scores`"),
    "no test": (without("scores.best.test"), f"scores.best: {MISSING} `test`"),
    "score in words": (
        changed("scores.last.test.mse", "good"),
        "scores.last.test[...]: expected `int | float | null`, got `str`",
    ),
    "a result with an error": (changed("error", "none at all"), "error: expected `null`, got `str`"),
    "a truth value": (
        changed("scores.last.test.mse", True),
        "scores.last.test[...]: expected `int | float | null`, got `bool`",
    ),
    "no curve": (without("curve"), f"{MISSING} `curve`"),
    "curve of numbers": (changed("curve", [0.1]), "curve[0]: expected `object`, got `float`"),
    "a point without steps": (changed("curve", [{}]), f"curve[0]: {MISSING} `epoch`"),
    "trace of threes": (changed("trace", [[1, 2, 3]]), "trace[0]: expected `array` of length <= 2"),
    "lengths": (changed("lengths", {"80": 0.1}), "lengths[...]: expected `object`, got `float`"),
    "yardsticks": (changed("yardsticks", [{"name": "x"}]), f"yardsticks[0]: {MISSING} `scores`"),
    "seconds": (changed("seconds", 3.0), "seconds: expected `object`, got `float`"),
    "seed": (changed("config.seed", "0"), "config.seed: expected `int`, got `str`"),
    "a seed beyond 64 bits": (changed("config.seed", 2**63), "config.seed: expected `int` <= 9223372036854775807"),
    "config": (changed("config", None), "config: expected `object`, got `null`"),
    "status": (changed("status", "gone"), "status: invalid enum value 'gone'"),
    "a status of a line": (changed("status", "a\nb" * 500), r"status: invalid enum value 'a\nba\nb"),
    "device": (without("device"), f"{MISSING} `device`"),
    "failed without a word": (changed("status", "failed"), "error: expected `object`, got `null`"),
    "an id like a book": (changed("id", "x" * 10_000), "id: expected `str` of length <= 80"),
}


def test_rows_that_were_made_have_the_shape(experiment: Experiment, tmp_path: Path) -> None:
    run = experiment.runs[0]
    for status in ("done", "diverged", "failed", "died"):
        assert made_rows.misshapen(made_rows.made(run, status=status)) == ""
    early = made_rows.made(run, status="diverged", scores={}, curve=[])  # in its first epoch
    assert made_rows.misshapen(early) == ""
    files = [*ROOT.glob("results/*/runs.jsonl")]
    assert files
    for file in files:
        assert {line.flaw for line in RowFile(file).lines()} == {""}, file
        lines = file.read_bytes().splitlines()
        assert RowFile(file).read() == [json.loads(line) for line in lines], "no key of them is passed over"
        RowFile(tmp_path / "copy").replace(RowFile(file).read())
        assert (tmp_path / "copy").read_bytes() == file.read_bytes()


@pytest.mark.parametrize(("change", "complaint"), WRONG.values(), ids=WRONG)
def test_a_row_of_another_shape_is_refused_with_file_line_and_key(
    experiment: Experiment, change: Callable[[Row], None], complaint: str
) -> None:
    row = copy.deepcopy(made_rows.made(experiment.runs[0]))
    change(row)
    file = RowFile(experiment.folder / "runs.jsonl")
    file.replace([made_rows.made(experiment.runs[0]), signed(row)])
    with pytest.raises(UsageError) as caught:
        file.read()
    words = str(caught.value).removeprefix(f"{file.path}:2: ").removeprefix(f"row {row['id']}: ")
    assert words.startswith(complaint)
    assert words.endswith("; take the line out, and seqbench run makes the row again")
    assert "\n" not in words
    assert len(words) < 250
    assert [line.row is None for line in file.lines()] == [False, True]


def test_numbers_that_json_does_not_know_are_refused(experiment: Experiment) -> None:
    text = json.dumps(made_rows.made(experiment.runs[0]) | {"scores": float("nan")})
    file = experiment.folder / "runs.jsonl"
    file.write_text(text + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"runs\.jsonl:1: not a row: JSON is malformed: invalid character"):
        RowFile(file).read()


@pytest.mark.parametrize(
    "words",
    [["table"], ["status"], ["report", "--out", "x.html"], ["plot", "--out", "x"], ["publish"], ["verify"], ["run"]],
    ids=lambda words: words[0],
)
def test_every_verb_says_it_in_one_line(experiment: Experiment, words: list[str], tmp_path: Path) -> None:
    row = made_rows.made(experiment.runs[0])
    del row["provenance"]["versions"]
    RowFile(experiment.folder / "runs.jsonl").replace([signed(row)])
    verb, *options = words
    where = [str(tmp_path / word) if word.startswith("x") else word for word in options]
    result = seqbench(verb, str(experiment.folder), *where)
    assert (result.code, result.out) == (2, "")
    assert f"runs.jsonl:1: row {row['id']}: provenance: {MISSING} `versions`" in " ".join(result.err.split())
    assert len(result.err.splitlines()) == 1


def test_a_row_without_the_key_error_is_none_that_failed(experiment: Experiment) -> None:
    """`status` says so."""
    row = made_rows.made(experiment.runs[0])
    del row["error"]
    Workplace(experiment.folder).published.replace([signed(row)])
    assert '"error": null' in seqbench("status", experiment.folder, "--json").out


BAD_LINES = {
    "50 MB in one word": b'{"id": "' + b"x" * 50_000_000 + b'"}',
    "50 MB of brackets": b"[" * 50_000_000,
    "nesting of ten thousand": b'{"id": "a", "status": "done", "config": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "a number of 400 digits": b'{"id": "a", "status": "done", "parameters": ' + b"9" * 400 + b"}",
    "a number of 5,000 digits": b'{"id": "a", "status": "done", "parameters": ' + b"9" * 5000 + b"}",
    "a number beyond all numbers": b'{"id": "a", "status": "done", "peak_memory_mb": 1e400}',
    "NUL bytes": b'{"id": "a\0", "status": "done"}',
    "nothing but NUL": b"\0" * 1000,
    "another encoding": '{"id": "a", "status": "done"}'.encode("utf-16"),
    "no UTF-8": b'{"id": "\xff\xfe"}',
}  # fmt: skip


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_a_line_that_is_none_is_one_line_with_file_and_number(line: bytes, experiment: Experiment) -> None:
    file = experiment.folder / "runs.jsonl"
    RowFile(file).replace([made_rows.made(experiment.runs[0])])
    file.write_bytes(file.read_bytes() + line + b"\n")
    for words in (["status", experiment.folder], ["verify", experiment.folder, "--static"]):
        answer = seqbench(*words)
        (said,) = (answer.err or answer.out).splitlines()[:1]
        assert ":2: " in said, said[:200]
        assert len(said) < 400
        assert answer.code in (1, 2)


@pytest.mark.parametrize("more", [{}, {"provenance": None}, {"provenance": [1], "device": "cpu", "config": 3}])
def test_rows_that_lack_nearly_all_are_findings_of_verify(more: Row, experiment: Experiment) -> None:
    line = json.dumps({"id": "a", "status": "done", **more})
    (experiment.folder / "runs.jsonl").write_text(f"{line}\n", encoding="utf-8")
    answer = seqbench("verify", experiment.folder, "--static")
    assert answer.code == 1
    assert "runs.jsonl:1: row a: " in answer.out


def test_a_byte_order_mark_and_windows_line_ends_are_no_fault(experiment: Experiment) -> None:
    file = RowFile(experiment.folder / "runs.jsonl")
    rows = [made_rows.made(experiment.runs[0]), made_rows.made(experiment.runs[0], 0.25)]
    file.replace(rows)
    file.path.write_bytes(b"\xef\xbb\xbf" + file.path.read_bytes().replace(b"\n", b"\r\n"))
    assert file.read() == rows


def test_to_append_does_not_read_what_is_there(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RowFile(experiment.folder / "runs.jsonl")
    file.replace([made_rows.made(experiment.runs[0])])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda self: pytest.fail(f"{self} was read"))
        file.append(made_rows.made(experiment.runs[0], 0.25))
    assert len(file.read()) == 2
