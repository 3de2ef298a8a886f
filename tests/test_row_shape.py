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
from seqbench.bench.rows.row_shape import misshapen
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


WRONG = {
    "no provenance": (without("provenance"), "provenance: is missing"),
    "no commit": (without("provenance.commit"), "provenance.commit: is missing"),
    "no source": (without("provenance.source"), "provenance.source: is missing"),
    "versions are a list": (changed("provenance.versions", []), "provenance.versions: [] is no mapping"),
    "no torch": (without("provenance.versions.torch"), "provenance.versions.torch: is missing"),
    "no scores": (without("scores"), "scores: is missing"),
    "no test": (without("scores.best.test"), "scores.best.test: is missing"),
    "score in words": (changed("scores.last.test.mse", "good"), "scores.last.test.mse: 'good' is not a number or null"),
    "a result with an error": (changed("error", "none at all"), "error: 'none at all' is not null"),
    "an error in numbers": (changed("error", 7), "error: 7 is not null"),
    "a truth value": (changed("scores.last.test.mse", True), "scores.last.test.mse: True is not a number or null"),
    "no curve": (without("curve"), "curve: is missing"),
    "curve of numbers": (changed("curve", [0.1]), "curve[0]: 0.1 is no mapping"),
    "a point without steps": (changed("curve", [{}]), "curve[0].epoch: is missing"),
    "trace of threes": (changed("trace", [[1, 2, 3]]), "trace[0]: [1, 2, 3] is no pair"),
    "lengths": (changed("lengths", {"80": 0.1}), "lengths.80: 0.1 is no mapping"),
    "yardsticks": (changed("yardsticks", [{"name": "x"}]), "yardsticks[0].scores: is missing"),
    "seconds": (changed("seconds", 3.0), "seconds: 3.0 is no mapping"),
    "no label": (without("label"), "label: is missing"),
    "seed": (changed("config.seed", "0"), "config.seed: '0' is not a whole number"),
    "config": (changed("config", None), "config: None is no mapping"),
    "status": (changed("status", "gone"), "status: 'gone' is none of done, diverged, failed, died"),
    "device": (without("device"), "device: is missing: one of cpu, cuda"),
    "failed without a word": (changed("status", "failed"), "error: None is no mapping"),
}


def test_rows_that_were_made_have_the_shape(experiment: Experiment) -> None:
    run = experiment.runs[0]
    for status in ("done", "diverged", "failed", "died"):
        assert misshapen(made_rows.made(run, status=status)) == []
    early = made_rows.made(run, status="diverged", scores={}, curve=[])  # in its first epoch
    assert misshapen(early | {"curve": []}) == []
    files = [*ROOT.glob("results/*/runs.jsonl")]
    assert files
    for file in files:
        for row in RowFile(file).read(whole=False):
            assert misshapen(row) == [], file


@pytest.mark.parametrize(("change", "complaint"), WRONG.values(), ids=WRONG)
def test_a_row_of_another_shape_is_refused_with_file_line_and_key(
    experiment: Experiment, change: Callable[[Row], None], complaint: str
) -> None:
    row = copy.deepcopy(made_rows.made(experiment.runs[0]))
    change(row)
    file = RowFile(experiment.folder / "runs.jsonl")
    file.replace([made_rows.made(experiment.runs[0]), signed(row)])
    assert misshapen(row)[0] == complaint
    with pytest.raises(UsageError) as caught:
        file.read()
    assert str(caught.value).startswith(f"{file.path}:2: row {row['id']}: {complaint}")
    assert "seqbench run makes the row again" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(file.read(whole=False)) == 2


def test_numbers_that_json_does_not_know_are_refused(experiment: Experiment) -> None:
    text = json.dumps(made_rows.made(experiment.runs[0]) | {"scores": float("nan")})
    file = experiment.folder / "runs.jsonl"
    file.write_text(text + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"runs\.jsonl:1: not a row: NaN is no number of JSON"):
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
    assert f"runs.jsonl:1: row {row['id']}: provenance.versions: is missing" in " ".join(result.err.split())
    assert len(result.err.splitlines()) == 1


def test_the_static_check_names_all_that_is_wrong(experiment: Experiment) -> None:
    row = copy.deepcopy(made_rows.made(experiment.runs[0]))
    for key in ("scores.last.test.mse", "scores.best.test.mse", "scores.best.valid.mse", "curve"):
        changed(key, "x")(row)
    RowFile(experiment.folder / "runs.jsonl").replace([signed(row)])
    result = seqbench("verify", "--static", str(experiment.folder))
    assert result.code == 1
    assert "not as rows are: curve: 'x' is no list; scores.best.valid.mse: 'x' is not a number or null; " in result.out
    assert "; and 1 more" in result.out


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
        assert f"{file}:2: " in said, said[:200]
        assert len(said) < 400
        assert answer.code in (1, 2)


@pytest.mark.parametrize("more", [{}, {"provenance": None}, {"provenance": [1], "device": "cpu", "config": 3}])
def test_rows_that_lack_nearly_all_are_findings_of_verify(more: Row, experiment: Experiment) -> None:
    line = json.dumps({"id": "a", "status": "done", **more})
    (experiment.folder / "runs.jsonl").write_text(f"{line}\n", encoding="utf-8")
    answer = seqbench("verify", experiment.folder, "--static")
    assert answer.code == 1
    assert ": a: " in answer.out
    assert "not as rows are" in answer.out or "does not say where it comes from" in answer.out


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
