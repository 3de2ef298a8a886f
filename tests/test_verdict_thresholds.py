"""Verdicts by smallest effect, margin and floor, and what widens an interval, on made-up rows."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ledgers import ADDING, THREE, made, number, verdict, write
from seqbench.bench.analysis import grid
from seqbench.bench.analysis.verdicts import Verdict, judge

UNSOLVED = (0.166, 0.167, 0.168)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results" / "x"


CLOSE = (8.099, 8.1, 8.101)
"""Of logarithms s is 1.2346e-4, so half of the interval for one more run is 6.13e-4, which is 0.005 nats."""


@pytest.mark.parametrize(
    ("scores", "published", "thresholds", "expected"),
    [
        (THREE, "8.10", {"margin": 0.07}, Verdict.REPRODUCED),  # half of the interval is ln 8.611973 - ln 8.099588
        (THREE, "8.10", {"margin": 0.06}, Verdict.INCONCLUSIVE),
        (THREE, "8.70", {"margin": 0.06}, Verdict.BETTER),  # outside, however wide the interval is
        (THREE, "8.70", {"margin": 0.06, "smallest_effect": 0.02}, Verdict.INCONCLUSIVE),  # by less than matters
        (THREE, "8.70", {"margin": 0.07, "smallest_effect": 0.02}, Verdict.REPRODUCED),
        (THREE, "8.80", {"margin": 0.06, "smallest_effect": 0.02}, Verdict.BETTER),  # 8.612 · 1.02 = 8.784
        (CLOSE, "8.12", {"margin": 0.02, "smallest_effect": 0.0}, Verdict.BETTER),
        (CLOSE, "8.12", {"margin": 0.02, "smallest_effect": 0.01}, Verdict.REPRODUCED),
        (CLOSE, "8.05", {"margin": 0.02, "smallest_effect": 0.01}, Verdict.REPRODUCED),
        (CLOSE, "8.00", {"margin": 0.02, "smallest_effect": 0.01}, Verdict.WORSE),
    ],
)
def test_what_matters_and_how_precise_a_sample_must_be(
    folder: Path, scores: Any, published: str, thresholds: dict[str, float], expected: Verdict
) -> None:
    assert verdict(folder, scores, published, **thresholds).verdict == expected


def test_why_a_sample_reproduces_nothing(folder: Path) -> None:
    judgement = verdict(folder, THREE, "8.10", margin=0.06)
    assert judgement.reason == "one more run: 7.61 to 8.62, half of it is 6.33 % (margin 6 %)"
    assert judgement.half == pytest.approx(math.log(8.611973 / 8.099588), rel=1e-5)
    wide = verdict(folder, (1e-6, 4e-5, 8e-4), "5.3e-5", **ADDING, solved=True, margin=2.16)
    assert wide.reason.endswith("(margin a factor of 3.16)")


@pytest.mark.parametrize(
    ("scores", "published", "expected"),
    [
        (UNSOLVED, "0.164", Verdict.AT_THE_FLOOR),  # 1/6 is the floor
        (UNSOLVED, "0.177", Verdict.AT_THE_FLOOR),
        (UNSOLVED, "0.150", Verdict.WORSE),  # it has begun to learn
        ((0.14, 0.141, 0.142), "0.164", Verdict.BETTER),  # ours have
        ((*UNSOLVED, 2e-5), "0.167", Verdict.REPRODUCED),  # one of ours has learned, so it says something
    ],
)
def test_two_networks_that_learn_nothing_agree_and_that_says_nothing(
    folder: Path, scores: Any, published: str, expected: Verdict
) -> None:
    judgement = verdict(folder, scores, published, **ADDING, solved=False, smallest_effect=0.05)
    assert judgement.verdict == expected
    if expected == Verdict.AT_THE_FLOOR:
        assert judgement.reason.endswith("by 0 % here, of which 5 % would matter")


def test_a_number_that_may_be_the_best_of_ten(folder: Path) -> None:
    """Of ten runs like ours the best lies below the mean, so a number that is as low says less."""
    low = verdict(folder, THREE, "7.55")
    assert (low.verdict, low.if_best) == (Verdict.WORSE, Verdict.REPRODUCED)
    high = verdict(folder, THREE, "8.40")
    assert (high.verdict, high.if_best) == (Verdict.REPRODUCED, Verdict.BETTER)
    assert verdict(folder, THREE[:2], "8.40").if_best is None


def test_what_another_set_of_instructions_changes_widens_the_interval(folder: Path) -> None:
    """Each of three runs scores 2 % more with AVX-512: a standard deviation between sets of ln(1.02) / √2."""
    plain = verdict(folder, THREE, "8.10")
    rows = [*THREE, *({"score": 1.02 * score, "provenance": {"instructions": "AVX512"}} for score in THREE)]
    experiment = write(folder)
    cell = experiment.cells[0]
    made_rows = [made(run, score) for run, score in zip(cell.runs, THREE, strict=False)]
    made_rows += [
        made(run, row["score"], provenance=row["provenance"])
        for run, row in zip(cell.runs, rows[3:], strict=False)
        if isinstance(row, dict)
    ]
    entry = grid.collect(replace(experiment, cells=(cell,)), made_rows)[0]
    assert entry.values == dict(enumerate(THREE)), "the pinned instructions are shown"
    judgement = judge(number("8.10"), entry)
    assert judgement.between == pytest.approx(math.log(1.02) / math.sqrt(2))
    assert plain.half is not None
    assert judgement.half == pytest.approx(math.hypot(plain.half, 1.959964 * math.log(1.02)))
