"""Planned contrasts: differences with intervals, both p, Holm over the row, and the power of a table."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_rows import of_scores, write
from scipy import stats
from seqbench.bench.analysis import grid, power, statistics
from seqbench.bench.analysis.contrasts import contrasts, share_difference
from seqbench.bench.analysis.standing import Standing, standing
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.tables import experiment_table

CHORALES = {
    "tcn": [8.2518, 8.4204, 8.268, 8.2464, 8.2875],
    "lstm": [8.5675, 8.5144, 8.6617, 8.3733, 8.4211],
    "gru": [8.3362, 8.3465, 8.4735, 8.4023, 8.3786],
    "rnn": [8.5325, 8.5391, 8.8318, 8.527, 8.4751],
}
"""Nats of five seeds each: the rows of results/bai2018-jsb as of 30 November 2026."""
TEXT = """
question: Which?
seeds: 5
reference: tcn
training: {epochs: 1, learning_rate: 0.01}
rows:
- {task: adding(length=20), models: MODELS}
- {task: jsb, models: MODELS}
"""
MODELS = '[rnn(width=4), lstm(width=4), gru(width=4), "tcn(width=4, kernel=2, levels=2)"]'


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return write(tmp_path, TEXT.replace("MODELS", MODELS))


def line_of(experiment: Experiment, scores: dict[tuple[str, str], list[float | None]], task: str) -> list[grid.Entry]:
    entries = grid.collect(experiment, of_scores(experiment, scores))
    return [entry for entry in entries if entry.task.startswith(task)]


def on_chorales() -> dict[tuple[str, str], list[float | None]]:
    return {("jsb", model): [*scores] for model, scores in CHORALES.items()}


def test_differences_in_nats_by_an_independent_computation() -> None:
    """Three contrasts: LSTM and RNN are found at 0.022, the GRU's interval holds 0."""
    lstm, gru, rnn = contrasts(CHORALES, "tcn")
    assert lstm.difference == pytest.approx(0.213, abs=5e-4)
    assert lstm.interval is not None
    assert lstm.interval[:2] == pytest.approx((0.068, 0.357), abs=1e-3)
    assert (rnn.difference, gru.difference) == pytest.approx((0.286, 0.093), abs=5e-4)
    assert gru.interval is not None
    assert gru.interval[:2] == pytest.approx((-0.002, 0.187), abs=1e-3)
    assert [one.adjusted for one in (lstm, gru, rnn)] == pytest.approx([0.022, 0.054, 0.022], abs=5e-4)
    assert [one.found for one in (lstm, gru, rnn)] == [True, False, True]
    assert lstm.welch == pytest.approx(stats.ttest_ind(CHORALES["lstm"], CHORALES["tcn"], equal_var=False).pvalue)
    exact = stats.permutation_test(
        (CHORALES["lstm"], CHORALES["tcn"]), lambda a, b, axis: a.mean(axis) - b.mean(axis), n_resamples=np.inf,
        vectorized=True,
    )  # fmt: skip
    assert lstm.permutation == pytest.approx(exact.pvalue)


def test_welchs_interval_by_hand() -> None:
    """Means 2 and 5, variances 1 and 4, n = 3: standard error √(5/3), freedom (5/3)² / ((1/9 + 16/9) / 2)."""
    found = statistics.welch_interval([1.0, 2.0, 3.0], [3.0, 5.0, 7.0])
    assert found is not None
    freedom = (5 / 3) ** 2 / ((1 / 9 + 16 / 9) / 2)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(5 / 3)
    assert found[:2] == pytest.approx((-3 - half, -3 + half))
    assert statistics.welch_interval([1.0], [1.0, 2.0]) is None
    assert statistics.welch_interval([2.0, 2.0], [1.0, 1.0]) == (1.0, 1.0, "Welch")


def test_on_the_log_scale_a_difference_is_a_ratio() -> None:
    logs = {"a": [math.log(x) for x in (1.0, 2.0, 4.0)], "b": [math.log(x) for x in (2.0, 4.0, 8.0)]}
    (one,) = contrasts(logs, "a", logarithmic=True)
    assert (one.kind, one.difference) == ("ratio", pytest.approx(1.0))
    plain = statistics.welch_interval(logs["b"], logs["a"])
    assert plain is not None
    assert one.interval is not None
    assert one.interval[:2] == pytest.approx((math.expm1(plain.low), math.expm1(plain.high)))


def test_shares_of_solved_runs_have_newcombes_interval_and_fishers_p() -> None:
    """Newcombe's own example: 56 of 70 against 48 of 80 is +0.2 with 0.0524 to 0.3339."""
    assert share_difference(56, 70, 48, 80)[:2] == pytest.approx((0.0524, 0.3339), abs=1e-4)
    (one,) = contrasts({"a": [0.0] * 5, "b": [1.0] * 5}, "a", shares=True)
    assert (one.kind, one.difference, one.welch, one.found) == ("share", 1.0, None, True)
    assert one.permutation == pytest.approx(stats.fisher_exact([[5, 0], [0, 5]]).pvalue)


def test_three_runs_in_two_modes_are_no_difference() -> None:
    """Welch's test alone would find one, the permutation test of 3 + 3 cannot go below 0.1."""
    (one,) = contrasts({"a": [1.0, 1.01, 1.02], "b": [2.0, 2.01, 2.02]}, "a")
    assert one.welch is not None
    assert one.welch < 0.001
    assert (one.permutation, one.found) == (pytest.approx(0.1), False)


def test_models_without_a_score_and_a_reference_without_one() -> None:
    assert [one.model for one in contrasts({"a": [1.0, 2.0], "b": [], "c": [3.0, 4.0]}, "a")] == ["c"]
    assert contrasts({"a": [], "b": [1.0, 2.0]}, "a") == []


def test_bold_is_what_is_not_found_worse_than_the_reference(experiment: Experiment) -> None:
    found = standing(line_of(experiment, on_chorales(), "jsb"))
    assert (found.planned, found.best, found.sizes) == (True, "tcn(kernel=2, levels=2)", (5, 5, 5, 5))
    assert found.bold == {"tcn(kernel=2, levels=2)", "gru"}
    assert {one.model: one.found for one in found.contrasts} == {"rnn": True, "lstm": True, "gru": False}


def test_bold_is_what_is_found_better_where_something_is(experiment: Experiment) -> None:
    scores = on_chorales() | {("jsb", "gru"): [7.0, 7.1, 7.2, 7.05, 7.15]}
    found = standing(line_of(experiment, scores, "jsb"))
    assert (found.best, found.bold) == ("gru", {"gru"})


def test_a_cell_that_cannot_be_compared_is_named_and_a_reference_that_cannot_leaves_nothing(
    experiment: Experiment,
) -> None:
    found = standing(line_of(experiment, on_chorales() | {("jsb", "gru"): [8.3, None]}, "jsb"))
    assert found.left_out == {"gru": "diverged runs"}
    assert [one.model for one in found.contrasts] == ["rnn", "lstm"]
    found = standing(line_of(experiment, on_chorales() | {("jsb", "tcn"): [8.3, None]}, "jsb"))
    assert (found.contrasts, found.bold) == ((), frozenset())
    assert found.left_out["rnn"] == "its reference tcn(kernel=2, levels=2) cannot be compared"


def test_samples_that_cannot_have_a_difference_say_so(experiment: Experiment) -> None:
    scores = {place: values[:3] for place, values in on_chorales().items()}
    found: Standing = standing(line_of(experiment, scores, "jsb"))
    assert found.why == "with 3 runs a model and 3 planned contrasts no difference can be found"
    assert len(found.contrasts) == 3, "the intervals stand all the same"
    assert not found.bold


def test_solved_runs_are_compared_with_the_references(experiment: Experiment) -> None:
    solved: list[float | None] = [1e-4] * 5
    scores = {("adding", "tcn"): solved, ("adding", "gru"): solved, ("adding", "rnn"): [0.16] * 5}
    found = standing(line_of(experiment, scores, "adding"))
    assert {one.model: (one.difference, one.found) for one in found.contrasts} == {
        "rnn": (-1.0, True), "gru": (0.0, False),
    }  # fmt: skip
    assert found.bold == {"tcn(kernel=2, levels=2)", "gru"}


def test_every_format_has_the_contrasts_and_the_note_its_power(experiment: Experiment) -> None:
    entries = grid.collect(experiment, of_scores(experiment, on_chorales()))
    markdown, latex = experiment_table.table(entries), experiment_table.table(entries, "latex")
    lines = [line for line in markdown.splitlines() if "lstm against tcn" in line]
    assert len(lines) == 1
    assert [part.strip() for part in lines[0].strip("|").split("|")][3:] == [
        "+2.56 % [+0.83 to +4.32]", "0.0101", "0.0159", "0.0202", "found",
    ]  # fmt: skip
    said = "with 4 models of 5 runs a difference of 1, 2 and 3 standard deviations is found in "
    shares = [round(100 * power.of_contrasts(5, (5, 5, 5), shift)) for shift in (1.0, 2.0, 3.0)]
    assert f"{said}{shares[0]}, {shares[1]} and {shares[2]} of 100 such tables" in markdown
    for text in (markdown, latex):
        assert "Planned contrasts" in text
        assert "corrected for the row" in text
        assert "not found" in text
    record = next(
        one for one in json.loads(experiment_table.table(entries, "json")) if one["model"] == "lstm" and one["done"]
    )
    assert (record["contrast_with"], record["planned"], record["found"]) == ("tcn(kernel=2, levels=2)", True, True)
    assert record["difference"] == pytest.approx(0.0256, abs=1e-4)
    csv = pd.read_csv(io.StringIO(experiment_table.table(entries, "csv")))
    assert csv["holm_p"].dropna().tolist() == pytest.approx([0.0192, 0.0202, 0.0531], abs=2e-4)


def test_without_a_reference_the_differences_from_the_best_stand_with_their_intervals(tmp_path: Path) -> None:
    experiment = write(tmp_path, TEXT.replace("MODELS", MODELS).replace("reference: tcn\n", ""))
    text = experiment_table.table(grid.collect(experiment, of_scores(experiment, on_chorales())))
    assert "Differences from the best of the row" in text
    assert "+2.56 % [+0.83 to +4.32]" in text
    assert "No reference was named beforehand" in text
    assert "is found in 5, 33 and 74 of 100 such tables" in text


@pytest.mark.parametrize(("count", "expected"), [(5, (0.12, 0.53, 0.90)), (10, (0.36, 0.96, 1.0))], ids=["five", "ten"])
def test_the_power_of_three_contrasts(count: int, expected: tuple[float, ...]) -> None:
    found = [power.of_contrasts(count, (count,) * 3, shift) for shift in power.SHIFTS]
    assert found == pytest.approx(expected, abs=0.03)


def test_the_power_of_six_pairs() -> None:
    """None at three and four runs: no p of the permutation test passes a correction for six."""
    assert [power.of_pairs((count,) * 4, 3.0) for count in (3, 4)] == [0.0, 0.0]
    assert [power.of_pairs((5,) * 4, shift) for shift in power.SHIFTS] == pytest.approx([0.05, 0.32, 0.71], abs=0.04)


def test_very_large_samples_find_a_standard_deviation_always(monkeypatch: pytest.MonkeyPatch) -> None:
    assert power.of_contrasts(1000, (1000,) * 3, 1.0) == power.of_pairs((1000,) * 4, 1.0) == 1.0
    monkeypatch.setattr(power, "ALWAYS", 1_000_000)
    assert power.of_pairs.__wrapped__((100,) * 10, 1.0) > 0.999


def test_one_contrast_has_the_power_of_welchs_test() -> None:
    """Of two samples of 10 one standard deviation apart: noncentral t with 18 degrees of freedom."""
    away, end = stats.nct(18, math.sqrt(10 / 2)), stats.t.ppf(0.975, 18)
    assert power.of_contrasts(10, (10,), 1.0) == pytest.approx(1 - away.cdf(end) + away.cdf(-end), abs=0.03)


@pytest.mark.parametrize("sizes", [(5, (5, 5, 5)), (4, (4, 4)), (10, (10,) * 9)])
def test_alike_models_are_seldom_told_apart(sizes: tuple[int, tuple[int, ...]]) -> None:
    assert power.of_contrasts(*sizes, 0.0) <= 0.05


def test_many_families_are_corrected_as_one_is() -> None:
    p_values = np.random.default_rng(0).random((50, 4))
    assert power.holm(p_values).tolist() == pytest.approx(np.array([statistics.holm(row) for row in p_values.tolist()]))


def test_the_permutation_test_of_many_samples_is_that_of_one() -> None:
    random = np.random.default_rng(0)
    ours, theirs = random.normal(size=(20, 4)), random.normal(size=(20, 5))
    one_by_one = [statistics.permutation(a, b) for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)]
    assert power._permutation(ours, theirs) == pytest.approx(one_by_one)
