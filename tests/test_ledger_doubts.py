"""What the ledger says of its verdicts together, and the score that stands beside ours."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from ledgers import JSB, SCORES, gru_rows, lay_out, made, number, write
from seqbench.bench.analysis.ledger import Line, doubts, lines
from seqbench.bench.analysis.published import Number
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.tables.ledger_table import ledger, ours
from seqbench.bench.rows.store import Row, signed


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    return write(tmp_path / "results" / "x", JSB)


def found(experiment: Experiment, numbers: Sequence[Number]) -> list[Line]:
    return lines([experiment.folder], numbers=numbers)


def test_how_far_the_verdicts_can_be_believed_together(experiment: Experiment) -> None:
    """Of three runs around 8.10 the number 8.40 is one more, and too high for the best of ten."""
    lay_out(experiment, gru_rows(experiment))
    family, best = doubts(found(experiment, [number("8.10", name="a"), number("8.40", name="b")]))
    assert family.startswith(
        "2 numbers are judged by an interval of 95 %. Were each published run one like ours, 10 of"
    )
    assert best == (
        "If each published number is the best of 10 runs and not one run, these verdicts change: "
        "jsb b from reproduced to better."
    )
    assert doubts(found(experiment, [number("8.1", parameters=1000)])) == []


def test_the_best_epoch_on_validation_stands_beside_the_mean_of_the_last_three(experiment: Experiment) -> None:
    cell = experiment.cells[2]
    rows = []
    for run, score in zip(cell.runs, (1e-4, 2e-4, 4e-4), strict=True):
        row = made(run, score)
        row["scores"]["best"]["test"] = dict.fromkeys(row["scores"]["best"]["test"], score / 2)
        rows.append(signed(row))
    lay_out(experiment, rows)
    (line,) = found(experiment, [number("2e-4", task="adding(length=20)", metric="mse", solved=True)])
    text = ledger([line])
    assert "Best on validation" in text
    assert ours(line)[1].startswith("2.00e-4 [")
    (record,) = json.loads(ledger([line], "json"))
    assert (record["mean"], record["best_on_validation"]) == pytest.approx((2e-4, 1e-4))
    assert "1.00e-4 [" in text
    assert "at their best epoch on validation" in text


def test_rows_of_a_second_set_of_instructions_widen_the_interval_of_a_verdict(experiment: Experiment) -> None:
    """Each run scores 2 % more with AVX-512; the shown rows, their number and the mean stay."""
    (plain,) = found_with(experiment, gru_rows(experiment))
    wide = [
        made(run, 1.02 * score, provenance={"instructions": "AVX512"})
        for run, score in zip(experiment.cells[0].runs, SCORES, strict=True)
    ]
    (line,) = found_with(experiment, [*gru_rows(experiment), *wide])
    assert ours(line) == ours(plain) == ("8.10 [7.85–8.35]", "n=3")
    assert plain.judgement.between is None
    assert line.judgement.between == pytest.approx(math.log(1.02) / math.sqrt(2))
    assert line.judgement.half is not None
    assert plain.judgement.half is not None
    assert line.judgement.half > plain.judgement.half
    stale = [signed(row | {"provenance": row["provenance"] | {"source": "old", "source_files": {}}}) for row in wide]
    dirty = [signed(row | {"provenance": row["provenance"] | {"dirty": True}}) for row in wide]
    for other in (stale, dirty):
        (line,) = found_with(experiment, [*gru_rows(experiment), *other])
        assert line.judgement.between is None, "more than the set differs"


def found_with(experiment: Experiment, rows: Sequence[Row]) -> list[Line]:
    lay_out(experiment, rows)
    return found(experiment, [number("8.10")])
