"""Aggregates over tasks: worked by hand, the same from the same call, and what their intervals cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from seqbench.bench.analysis import aggregates

TASKS = [[0.0, 0.2], [0.5, 0.6], [0.9, 1.0], [0.4, 30.0]]


def test_scores_are_normalised_in_either_direction() -> None:
    assert aggregates.normalised(0.3, floor=0.1, reference=0.5) == pytest.approx(0.5)
    assert aggregates.normalised(75.0, floor=100.0, reference=50.0) == pytest.approx(0.5)
    assert aggregates.normalised(25.0, floor=100.0, reference=50.0) == pytest.approx(1.5), "not cut off"
    for floor, reference in ((1.0, 1.0), (math.nan, 1.0), (1.0, math.inf)):
        with pytest.raises(ValueError, match="a scale from"):
            aggregates.normalised(0.5, floor, reference)


def test_the_interquartile_mean_by_hand() -> None:
    """Of eight runs two fall at each end: 0 and 0.2, 1 and 30; of six one does, because one and a half is rounded."""
    runs = [score for scores in TASKS for score in scores]
    assert float(aggregates.interquartile_mean(runs)) == pytest.approx((0.4 + 0.5 + 0.6 + 0.9) / 4)
    assert float(aggregates.interquartile_mean([9.0, 1.0, 2.0, 3.0, 4.0, -9.0])) == pytest.approx(2.5)
    assert aggregates.interquartile_mean([[0, 1, 2, 300], [1, 1, 1, 1]]).tolist() == [1.5, 1.0]


def test_the_performance_profile_by_hand() -> None:
    """Tasks count alike, however many runs they have."""
    profile = aggregates.performance_profile([[0.1, 0.9], [0.5, 0.6, 0.7, 0.8]], [0.0, 0.5, 0.75, 0.9])
    assert profile.tolist() == pytest.approx([1.0, (0.5 + 0.75) / 2, (0.5 + 0.25) / 2, 0.0])


def test_the_probability_of_improvement_by_hand() -> None:
    """Of the first task's four pairs ours wins three and ties in one; of the second's two it wins one."""
    ours, theirs = [[2.0, 3.0], [5.0]], [[1.0, 2.0], [4.0, 6.0]]
    assert aggregates.probability_of_improvement(ours, theirs) == pytest.approx((3.5 / 4 + 0.5) / 2)
    assert aggregates.probability_of_improvement(theirs, ours) == pytest.approx(1 - (3.5 / 4 + 0.5) / 2)
    u = stats.mannwhitneyu([1.0, 4.0, 6.0], [0.0, 4.0, 5.0, 9.0]).statistic
    found = aggregates.probability_of_improvement([[1.0, 4.0, 6.0]], [[0.0, 4.0, 5.0, 9.0]])
    assert found == pytest.approx(u / 12)


@pytest.mark.parametrize("tasks", [[], [[1.0], []]])
def test_a_task_without_a_run_is_refused(tasks: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="a run of each"):
        aggregates.interquartile_mean_interval(tasks)
    with pytest.raises(ValueError, match="a run of each"):
        aggregates.probability_of_improvement(tasks, tasks)


def test_the_same_call_gives_the_same_interval_and_another_stream_another_one() -> None:
    state = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    tasks = np.random.default_rng(4).normal(size=(4, 6)).tolist()
    first = aggregates.interquartile_mean_interval(tasks, "gru")
    assert first == aggregates.interquartile_mean_interval(tasks, "gru")
    assert first != aggregates.interquartile_mean_interval(tasks, "tcn")
    assert np.array_equal(state, np.random.get_state()[1]), "the global random state is not touched"
    improvement = aggregates.improvement_interval(tasks, tasks[::-1], "gru", "tcn")
    assert improvement == aggregates.improvement_interval(tasks, tasks[::-1], "gru", "tcn")
    assert improvement is not None
    assert 0 <= improvement.low < aggregates.probability_of_improvement(tasks, tasks[::-1]) < improvement.high <= 1


def test_fewer_than_three_runs_of_a_task_have_no_interval() -> None:
    assert aggregates.interquartile_mean_interval([[1.0, 2.0, 3.0], [1.0, 2.0]]) is None
    assert aggregates.interquartile_mean_interval([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]) is not None
    assert aggregates.improvement_interval([[1.0, 2.0]], [[1.0]]) is None
    assert aggregates.profile_interval([[1.0]], [0.5]) is None


def test_runs_are_drawn_within_their_task() -> None:
    """Drawn over all tasks, the mean of tasks a hundred apart would vary by tens; within them it cannot."""
    tasks = [[0.0, 0.0, 1.0, 1.0], [100.0, 100.0, 101.0, 101.0], [200.0, 200.0, 201.0, 201.0]]
    found = aggregates.bootstrap(lambda drawn: np.mean(np.concatenate(drawn, axis=1), axis=1), tasks, "strata")
    assert found is not None
    assert 100 <= found.low < 100.5 < found.high <= 101


def test_the_interval_of_a_mean_is_the_known_one() -> None:
    """One stratum of 400: its bootstrap is mean ± 1.96 s/√n, and close to scipy's."""
    values = np.random.default_rng(5).normal(3.0, 2.0, 400)
    found = aggregates.bootstrap(lambda drawn: drawn[0].mean(axis=1), [values.tolist()], "known")
    assert found is not None
    half = 1.96 * values.std() / 20
    assert (found.low, found.high) == (
        pytest.approx(values.mean() - half, abs=0.02),
        pytest.approx(values.mean() + half, abs=0.02),
    )
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=9999, random_state=1
    ).confidence_interval
    assert (found.low, found.high) == (pytest.approx(theirs.low, abs=0.02), pytest.approx(theirs.high, abs=0.02))


def test_the_band_of_a_profile_is_about_it() -> None:
    tasks = np.random.default_rng(6).normal(size=(5, 8)).tolist()
    thresholds = [-1.0, 0.0, 1.0]
    band = aggregates.profile_interval(tasks, thresholds, "profile")
    assert band is not None
    profile = aggregates.performance_profile(tasks, thresholds)
    assert all(band[0] <= profile)
    assert all(profile <= band[1])
    assert all(band[1] - band[0] < 0.5)


@pytest.mark.parametrize(("runs", "least", "most"), [(3, 0.80, 0.91), (5, 0.86, 0.95), (10, 0.89, 0.98)])
def test_what_the_interval_of_six_tasks_covers(runs: int, least: float, most: float) -> None:
    """With few runs a task it is too narrow, as its docstring says: 0.87, 0.92 and 0.93 in place of 0.95."""
    random = np.random.default_rng(2021)
    hits = []
    for number in range(400):
        found = aggregates.interquartile_mean_interval(
            random.normal(size=(6, runs)).tolist(), "coverage", number, resamples=500
        )
        assert found is not None
        hits.append(found.low <= 0 <= found.high)
    assert least < sum(hits) / len(hits) < most
