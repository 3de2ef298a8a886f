"""The mean of a cell made again is held against the interval that its rows give: single runs may differ by more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

import pytest
from command import seqbench
from made_rows import dirtied, made, write
from scipy import stats
from seqbench.bench.evidence.verifying import Verification, verify_against
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.rows.store import Row, RowFile, signed

TEXT = """
question: Which?
seeds: 5
rows:
- {task: jsb, models: [gru(width=4)]}
"""
ROWS = (8.20, 8.26, 8.30, 8.34, 8.40)


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    return write(tmp_path / "results" / "x", TEXT)


def elsewhere(row: Row) -> Row:
    """The row as of another version of torch, signed again."""
    versions = row["provenance"]["versions"] | {"torch": "2.14.0"}
    return signed({**row, "provenance": row["provenance"] | {"versions": versions}})


def rows_of(experiment: Experiment, scores: Sequence[float]) -> list[Row]:
    return [made(run, score) for run, score in zip(experiment.runs, scores, strict=False)]


def verified(experiment: Experiment, scores: Sequence[float], rows: Sequence[float] = ROWS) -> Verification:
    published = rows_of(experiment, rows)
    RowFile(experiment.folder / "runs.jsonl").replace(published)
    here = [elsewhere(row) for row in rows_of(experiment, scores)]
    return verify_against(experiment.folder, published, here)


def test_each_run_is_within_its_tolerance_and_their_mean_is_not(experiment: Experiment) -> None:
    """All 1.8 % lower: less than the 2 % that one run may differ by, more than a mean of five may."""
    found = verified(experiment, [0.982 * score for score in ROWS])
    assert {verdict.outcome for verdict in found.verdicts} == {"within tolerance"}
    (cell,) = found.cells
    assert not cell.good
    assert not found.good
    logs = [math.log(score) for score in ROWS]
    half = stats.t.ppf(0.975, 4) * stdev(logs) * math.sqrt(2 / 5)
    assert (cell.interval.low, cell.interval.high) == pytest.approx(
        (math.exp(fmean(logs) - half), math.exp(fmean(logs) + half))
    )
    assert cell.here == pytest.approx(0.982 * cell.there)
    assert str(cell) == (
        "cell jsb gru: its mean does not hold: 8.15 nats/frame over 5 runs here, 8.3 in the rows, whose spread "
        "allows 8.167 to 8.435"
    )


def test_runs_that_move_each_its_own_way_keep_their_mean(experiment: Experiment) -> None:
    found = verified(experiment, [1.012 * ROWS[0], 0.99 * ROWS[1], 1.01 * ROWS[2], 0.99 * ROWS[3], 0.99 * ROWS[4]])
    (cell,) = found.cells
    assert cell.good
    assert found.good


def test_below_three_runs_and_of_the_same_bits_there_is_no_verdict(experiment: Experiment) -> None:
    assert not verified(experiment, [0.982 * score for score in ROWS[:2]]).cells
    assert not verified(experiment, ROWS).cells


def test_runs_without_spread_may_differ_by_a_tenth_of_what_one_may(experiment: Experiment) -> None:
    same = (8.3,) * 5
    assert verified(experiment, [8.3 * 1.0015] * 5, same).cells[0].good
    assert not verified(experiment, [8.3 * 1.003] * 5, same).cells[0].good


def test_what_lies_between_sets_of_instructions_widens_the_interval(experiment: Experiment) -> None:
    """The second set moves all runs by 1.8 %: known from rows of both, it is no surprise of this machine."""
    moved = [0.982 * score for score in ROWS]
    published = rows_of(experiment, ROWS)
    here = [dirtied(row, instructions="AVX512") for row in rows_of(experiment, moved)]
    RowFile(experiment.folder / "runs.jsonl").replace(published)
    assert not verify_against(experiment.folder, published, here).cells[0].good
    RowFile(experiment.folder / "runs.jsonl").replace([*published, *here])
    assert verify_against(experiment.folder, published, here).cells[0].good


def test_the_command_says_it(experiment: Experiment, tmp_path: Path) -> None:
    RowFile(experiment.folder / "runs.jsonl").replace(rows_of(experiment, ROWS))
    made_again = tmp_path / "again.jsonl"
    RowFile(made_again).replace([elsewhere(row) for row in rows_of(experiment, [0.982 * score for score in ROWS])])
    answer = seqbench("verify", experiment.folder, "--rows", made_again)
    assert answer.code == 1
    *_, cell, luck, last = answer.out.splitlines()
    assert cell.startswith("cell jsb gru: its mean does not hold")
    assert luck == "by luck alone a mean is outside in 5 of 100 such verifications"
    assert last == "5 rows: 5 within tolerance"
    record = seqbench("verify", experiment.folder, "--rows", made_again, "--json").json["cells"][0]
    assert (record["runs"], record["rule"], record["good"]) == (5, "best on validation", False)
