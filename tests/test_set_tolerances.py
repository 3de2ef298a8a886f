"""Rows of two sets of vector instructions: shown side by side, and the tolerance that they give `verify`."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from made_rows import dirtied, made, write
from scipy import stats
from seqbench.bench.analysis import grid
from seqbench.bench.evidence.set_tolerances import key_of, tolerances
from seqbench.bench.evidence.verifying import judged, verify_against
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.tables import experiment_table, instruction_table
from seqbench.bench.rows.store import Row, RowFile, signed

TEXT = """
question: Which?
seeds: 4
rows:
- {task: jsb, models: [gru(width=4), lstm(width=4)]}
"""
NARROW, WIDE = (8.0, 8.2, 8.4, 8.6), (8.08, 8.282, 8.484, 8.686)
"""Each seed scores 1 % more with the second set."""


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    return write(tmp_path / "results" / "x", TEXT)


def of_both(experiment: Experiment, count: int = 4) -> list[Row]:
    """Rows of the GRU's first seeds with both sets, and of the LSTM's with one."""
    gru, lstm = (cell.runs for cell in experiment.cells)
    rows = [made(run, score) for run, score in zip(gru, NARROW, strict=True)]
    rows += [dirtied(made(run, score), instructions="AVX512") for run, score in zip(gru[:count], WIDE, strict=False)]
    return rows + [made(run, 9.0) for run in lstm]


def test_rows_of_both_sets_stand_side_by_side(experiment: Experiment) -> None:
    entries = grid.collect(experiment, of_both(experiment))
    text = experiment_table.table(entries)
    (line,) = [line for line in text.splitlines() if "AVX2 and AVX512" in line]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:5] == ["jsb", "nats (nats/frame) ↓", "gru", "AVX2 and AVX512", "4"]
    assert cells[7:] == ["+1.00 % [+1.00 to +1.00]", "0.706 %"]  # ln(1.01) / √2
    assert experiment_table.table(entries, "latex").count("AVX2 and AVX512") == 1
    record = json.loads(experiment_table.table(entries, "json"))[0]
    assert json.loads(record["by_instructions"])["AVX512"]["1"] == 8.282
    assert record["between_instructions"] == pytest.approx(math.log(1.01) / math.sqrt(2))


def test_of_two_seeds_both_scores_stand_and_there_is_no_interval(experiment: Experiment) -> None:
    entries = grid.collect(experiment, of_both(experiment, 2))
    (line,) = [line for line in experiment_table.table(entries).splitlines() if "AVX2 and AVX512" in line]
    assert "8.00 and 8.20" in line
    assert "8.08 and 8.28" in line
    assert "+1.00 % –" in line


def test_without_a_second_set_there_is_no_such_table(experiment: Experiment) -> None:
    entries = grid.collect(experiment, [made(run, 8.0) for run in experiment.runs])
    assert instruction_table.TITLE not in experiment_table.table(entries)


def test_a_set_that_was_asked_for_and_is_not_there_is_said(tmp_path: Path) -> None:
    asked = write(tmp_path / "results" / "x", TEXT + "instructions: [avx2, avx512]\n")
    text = experiment_table.table(grid.collect(asked, of_both(asked, 3)))
    assert "Asked for with avx512: 5 of 8 runs have no row of it yet." in text
    assert "Asked for with avx2" not in text


def test_the_tolerance_is_of_the_runs_that_have_both_sets(experiment: Experiment) -> None:
    """Four differences of ln(1.01): their root mean square times t of four degrees of freedom, of 99 in 100."""
    gru, lstm = (made(cell.runs[0]) for cell in experiment.cells)
    found = tolerances(of_both(experiment))
    assert key_of(lstm) not in found
    tolerance = found[key_of(gru)]["nats"]
    assert tolerance.kind == "relative"
    assert tolerance.value == pytest.approx(1 - 1.01 ** -stats.t.ppf(0.995, 4))
    assert tolerances(of_both(experiment, 2)) == {}, "two pairs are too few"


def test_verify_takes_it_where_the_sets_differ_and_only_there(experiment: Experiment) -> None:
    """A score 3 % away: more than the metric allows (2 %), less than the measured 4.5 %; 6 % are too many."""
    run = experiment.cells[0].runs[0]
    row, known = made(run, 8.0), tolerances(of_both(experiment))
    near, far = (dirtied(made(run, score), instructions="AVX512") for score in (8.24, 8.5))
    assert judged(near, row, run).outcome == "differs"
    assert judged(near, row, run, known).outcome == "within tolerance"
    assert judged(far, row, run, known).outcome == "differs"
    same_set = made(run, 8.24)
    versions = same_set["provenance"]["versions"] | {"torch": "2.14.0"}
    same_set = signed({**same_set, "provenance": same_set["provenance"] | {"versions": versions}})
    assert judged(same_set, row, run, known).outcome == "differs"


def test_verify_finds_the_pairs_in_the_folder(experiment: Experiment) -> None:
    rows = of_both(experiment)
    RowFile(experiment.folder / "runs.jsonl").replace(rows)
    here = dirtied(made(experiment.cells[0].runs[0], 8.24), instructions="DEFAULT")
    (verdict,) = verify_against(experiment.folder, rows[:1], [here]).verdicts
    assert verdict.outcome == "within tolerance"
