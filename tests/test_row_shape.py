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
from seqbench.bench.rows.store import Row, RowFile, Workplace, signed, untouched


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
    "more than a number can be": (
        changed("parameters", 10**400),
        f"parameters: 1{'0' * 36}… is not a whole number or null",
    ),
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
    """`status` says so; a number that no computer has makes the checksum wrong."""
    row = made_rows.made(experiment.runs[0])
    del row["error"]
    Workplace(experiment.folder).published.replace([signed(row)])
    assert '"error": null' in seqbench("status", experiment.folder, "--json").out
    assert not untouched({**row, "peak_memory_mb": float("inf")})
