"""Verdicts on made-up rows: each of them, at the edge of the interval, and all that forbids one."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledgers import ADDING, TEXT, THREE, made, number, verdict, write
from seqbench.bench.analysis import grid
from seqbench.bench.analysis.one_more_run import one_more_run
from seqbench.bench.analysis.verdicts import Verdict, chance, judge

COPYING = {"task": "copy-memory(delay=5)", "metric": "loss"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results" / "x"


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ("8.10", Verdict.REPRODUCED),
        ("8.59", Verdict.REPRODUCED),
        ("8.70", Verdict.BETTER),
        ("7.50", Verdict.WORSE),
    ],
)
def test_inside_is_reproduced_and_outside_is_better_or_worse(folder: Path, published: str, expected: Verdict) -> None:
    judgement = verdict(folder, THREE, published)
    assert judgement.verdict == expected
    assert judgement.expected is not None
    assert judgement.compared == THREE
    assert judgement.reason == "one more run: 7.61 to 8.62"


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ("7.62", Verdict.REPRODUCED),
        ("7.61", Verdict.WORSE),  # the interval ends at 7.6177, half a digit more reaches 7.6127
        ("7.6", Verdict.REPRODUCED),  # the same number with one digit fewer may have been 7.65
        ("7.617", Verdict.WORSE),
        ("7.618", Verdict.REPRODUCED),
        ("8.61", Verdict.REPRODUCED),
        ("8.62", Verdict.BETTER),
        ("8", Verdict.REPRODUCED),
        ("9", Verdict.REPRODUCED),  # it may have been 8.5
        ("9.0", Verdict.BETTER),
    ],
)
def test_the_interval_is_widened_by_half_of_the_last_printed_digit(
    folder: Path, published: str, expected: Verdict
) -> None:
    assert verdict(folder, THREE, published).verdict == expected


def test_the_interval_is_that_of_one_more_run() -> None:
    interval = one_more_run(THREE)
    assert interval is not None
    half = 4.302653 * 0.1 * math.sqrt(4 / 3)
    assert (interval.low, interval.high) == pytest.approx((8.1 - half, 8.1 + half), abs=1e-6)
    wider = one_more_run(THREE, digit=0.01)
    assert wider is not None
    assert (wider.low, wider.high) == pytest.approx((8.1 - half - 0.005, 8.1 + half + 0.005), abs=1e-6)
    assert one_more_run(THREE[:2]) is None


@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("count", [3, 5])
def test_it_holds_95_of_100_further_runs(count: int, logarithmic: bool) -> None:
    random = np.random.default_rng(0)
    hits, trials = 0, 2000
    for sample in random.normal(-10.0, 1.0, (trials, count + 1)):
        values = np.exp(sample) if logarithmic else sample
        interval = one_more_run(values[:-1].tolist(), logarithmic=logarithmic)
        assert interval is not None
        hits += interval.low <= values[-1] <= interval.high
    assert hits / trials == pytest.approx(0.95, abs=0.015)


def test_it_holds_further_runs_on_test_examples_of_their_own() -> None:
    """Ours share one draw of test examples, the published run has another."""
    random = np.random.default_rng(0)
    hits, trials = 0, 2000
    for _ in range(trials):
        ours = random.normal(0.0, 1.0) + random.normal(0.0, 0.05, 5)
        interval = one_more_run(ours.tolist(), sampling_error=1.0)
        assert interval is not None
        hits += interval.low <= random.normal(0.0, 1.0) + random.normal(0.0, 0.05) <= interval.high
    assert hits / trials == pytest.approx(0.95, abs=0.015)


def test_equal_runs_leave_the_last_digit_only(folder: Path) -> None:
    assert verdict(folder, [8.1] * 3, "8.10").verdict == Verdict.REPRODUCED
    assert verdict(folder, [8.1] * 3, "8.11").verdict == Verdict.BETTER


@pytest.mark.parametrize(
    ("scores", "options", "reason"),
    [
        ((8.0, 8.1), {}, "n=2, 3 are needed"),
        ((8.0,), {}, "n=1, 3 are needed"),
        ((*THREE, None), {}, "1 of 4 diverged, every run must have a score"),
        ((8.0, 8.1, {"provenance": {"dirty": True}}), {}, "1 of 3 dirty"),
        ((8.0, 8.1, {"provenance": {"source": "old"}}), {}, "1 of 3 stale"),
        ((*THREE, {"status": "failed"}), {}, "1 of 4 failed"),
        (THREE, {"text": TEXT.replace("preset: published", "preset: suite")}, "preset suite"),
        (THREE, {"parameters": 117}, "10 % fewer parameters than published (117)"),
        (THREE, {"parameters": 90}, "17 % more parameters than published (90)"),
        (THREE, {"flaws": {"of no commit": 2, "of no name": 0}}, "2 of 3 of no commit"),
        (
            (8.0, {"provenance": {"dirty": True, "source": "old"}}),
            {},
            "1 of 2 dirty, 1 of 2 stale, n=2, 3 are needed",
        ),
    ],
)
def test_what_is_not_judged_and_why(folder: Path, scores: Any, options: dict[str, Any], reason: str) -> None:
    judgement = verdict(folder, scores, "8.10", **options)
    assert (judgement.verdict, judgement.reason) == (Verdict.NOT_JUDGED, reason)


def test_missing_runs_do_no_harm_and_close_sizes_neither(folder: Path) -> None:
    assert verdict(folder, THREE, "8.10", parameters=116).verdict == Verdict.REPRODUCED  # 105: 9.5 % fewer
    assert verdict(folder, THREE, "8.10").verdict == Verdict.REPRODUCED  # of ten


def test_without_rows_nothing_is_run_and_without_a_claim_nothing_is_judged(folder: Path) -> None:
    assert judge(number("8.10"), None).verdict == Verdict.NOT_RUN
    assert verdict(folder, (), "8.10").verdict == Verdict.NOT_RUN
    cannot = verdict(folder, THREE, "8.10", cannot="its settings are not stated")
    assert (cannot.verdict, cannot.reason) == (Verdict.CANNOT, "its settings are not stated")
    context = verdict(folder, THREE, "8.10", experiment=None, note="context only: tuned")
    assert (context.verdict, context.reason) == (Verdict.CONTEXT, "context only: tuned")


SOLVED = (2e-5, 4e-5, 8e-5)
UNSOLVED = (0.166, 0.167, 0.168)


@pytest.mark.parametrize(
    ("scores", "published", "expected", "reason"),
    [
        (SOLVED, "5.3e-5", Verdict.REPRODUCED, "one more run: "),
        (SOLVED, "9e-7", Verdict.WORSE, "one more run: "),
        ((2.0e-5, 2.1e-5, 2.2e-5), "5.3e-5", Verdict.BETTER, "one more run: "),
        (UNSOLVED, "0.164", Verdict.REPRODUCED, "one more run: "),
        (UNSOLVED, "0.177", Verdict.AT_THE_FLOOR, "better than the floor (0.167) by 0 % published and by 0 % here"),
        ((0.08, 0.081, 0.082), "0.164", Verdict.BETTER, "one more run: "),  # not solved, and yet better
        ((*SOLVED, 0.167), "5.3e-5", Verdict.REPRODUCED, "3/4 solved, the published run solved it, one more run: "),
        ((*UNSOLVED, 2e-5), "0.167", Verdict.REPRODUCED, "1/4 solved, the published run did not, one more run: "),
        (
            (*SOLVED[:2], 0.167),
            "5.3e-5",
            Verdict.NOT_JUDGED,
            "2/3 solved, the published run solved it: 3 like it are needed",
        ),
        ((*SOLVED, 0.167), "9e-7", Verdict.WORSE, "3/4 solved"),
        (
            (2.0e-5, 2.1e-5, 2.2e-5, 0.167),
            "5.3e-5",
            Verdict.NOT_JUDGED,
            "3/4 solved, the published run solved it, one more run: 1.61e-5 to 2.71e-5, the published number lies "
            "between the two kinds",
        ),
        ((*UNSOLVED, 2e-5), "0.08", Verdict.NOT_JUDGED, "1/4 solved"),
        (UNSOLVED * 2, "5.3e-5", Verdict.NOT_JUDGED, "0/6 solved, the published run solved it: 7 runs unlike it"),
        ((*UNSOLVED * 2, 0.165), "5.3e-5", Verdict.WORSE, "0/7 solved, the published run solved it"),
        (SOLVED * 2, "0.164", Verdict.NOT_JUDGED, "6/6 solved, the published run did not: 7 runs unlike it"),
        ((*SOLVED * 2, 1e-5), "0.164", Verdict.BETTER, "7/7 solved, the published run did not"),
        ((*SOLVED, None), "5.3e-5", Verdict.NOT_JUDGED, "1 of 4 diverged"),
        ((*SOLVED[:2], 0.0), "5.3e-5", Verdict.NOT_JUDGED, "a score of 0 has no logarithm"),
    ],
)
def test_solved_and_unsolved_runs_are_two_kinds(
    folder: Path, scores: Any, published: str, expected: Verdict, reason: str
) -> None:
    judgement = verdict(folder, scores, published, **ADDING, solved=float(published) <= 1e-3)
    assert judgement.verdict == expected
    assert judgement.reason.startswith(reason)


def test_a_mean_and_its_verdict_are_on_one_scale(folder: Path) -> None:
    """Errors spread by factors: 40 lies beyond the plain interval of these, which begins below zero."""
    scores = (2.0, 4.0, 8.0)
    judgement = verdict(folder, scores, "40")
    assert (judgement.verdict, judgement.logarithmic) == (Verdict.REPRODUCED, True)
    plain, logarithmic = (one_more_run(scores, logarithmic=scale) for scale in (False, True))
    assert plain is not None
    assert logarithmic is not None
    assert plain.low < 0 < logarithmic.low
    assert plain.high < 40 < logarithmic.high


def test_a_score_of_which_more_is_better_is_judged_as_it_is_and_within_its_bounds(tmp_path: Path) -> None:
    experiment = write(tmp_path, TEXT.replace("jsb", "sequential-mnist(view=rows)"))
    rows = [made(run, score) for run, score in zip(experiment.cells[0].runs, (98.0, 99.0, 100.0), strict=False)]
    entry = grid.collect(replace(experiment, cells=experiment.cells[:1]), rows)[0]
    options = {"task": "sequential-mnist(view=rows)", "metric": "accuracy", "direction": "higher"}
    judgement = judge(number("99.0", **options), entry)
    assert (judgement.verdict, judgement.logarithmic) == (Verdict.REPRODUCED, False)
    assert judgement.reason == "one more run: 93.98 to 100.00"
    assert judge(number("93.0", **options), entry).verdict == Verdict.BETTER
    assert judge(number("93.0", **options, smallest_effect=2.0), entry).verdict == Verdict.REPRODUCED  # within 2 of it
    wide = judge(number("99.0", **options, margin=2.0), entry)
    assert (wide.verdict, wide.reason) == (
        Verdict.INCONCLUSIVE, "one more run: 93.98 to 100.00, half of it is 4.97 (margin 2.00)",
    )  # fmt: skip
    floor = [made(run, score) for run, score in zip(experiment.cells[0].runs, (11.3, 11.35, 11.4), strict=False)]
    entry = grid.collect(replace(experiment, cells=experiment.cells[:1]), floor)[0]
    assert judge(number("11.5", **options, smallest_effect=0.5), entry).verdict == Verdict.AT_THE_FLOOR
    assert judge(number("12.5", **options, smallest_effect=0.5), entry).verdict == Verdict.WORSE


def test_no_bound_of_an_error_is_below_zero(folder: Path) -> None:
    judgement = verdict(folder, (1e-6, 4e-5, 8e-4), "5.3e-5", **ADDING, solved=True)
    assert judgement.expected is not None
    assert judgement.logarithmic
    assert judgement.expected.low == 0.0  # half of the last digit, 5e-7, reaches beyond it
    linear, logarithmic = (one_more_run((1e-6, 4e-5, 8e-4), logarithmic=scale) for scale in (False, True))
    assert linear is not None
    assert logarithmic is not None
    assert linear.low < 0 < logarithmic.low


def test_a_draw_of_test_examples_is_no_difference(folder: Path) -> None:
    floor = (0.1665, 0.1666, 0.1667)
    assert verdict(folder, floor, "0.177", **ADDING, solved=False).verdict == Verdict.BETTER
    with_draw = verdict(folder, floor, "0.177", **ADDING, solved=False, sampling_error=0.0062)
    assert with_draw.verdict == Verdict.REPRODUCED
    assert verdict(folder, floor, "0.20", **ADDING, solved=False, sampling_error=0.0062).verdict == Verdict.BETTER


def test_another_metric_may_say_whether_the_task_is_solved(folder: Path) -> None:
    """Of copy-memory the paper prints the loss, and the recall says who has solved it."""
    judgement = verdict(folder, (3e-5, 4e-5, 5e-5, 0.5), "3.5e-5", **COPYING, solved=True)
    assert (judgement.verdict, judgement.compared) == (Verdict.REPRODUCED, (3e-5, 4e-5, 5e-5))
    assert judgement.reason.startswith("3/4 solved")


def test_what_is_not_said_is_not_judged(folder: Path) -> None:
    judgement = verdict(folder, SOLVED, "5.3e-5", **ADDING)
    assert judgement.verdict == Verdict.NOT_JUDGED
    assert judgement.reason == "whether the published run solved the task is not said"


def test_seven_runs_unlike_it_leave_little_to_luck() -> None:
    """The chance that one run alone has what n others lack, at the probability that makes it largest."""
    for count in (3, 5, 7):
        probabilities = np.linspace(0, 1, 100_001)
        assert chance(count) == pytest.approx((probabilities * (1 - probabilities) ** count).max(), rel=1e-6)
    assert chance(6) > 0.05 >= chance(7)
