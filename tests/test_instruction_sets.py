"""What another set of vector instructions changes, on numbers that can be checked by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ledgers import made, write
from scipy import stats
from seqbench.bench.analysis import grid
from seqbench.bench.analysis.grid import Entry
from seqbench.bench.analysis.instruction_sets import between, component, differences, largest_difference, pairs


def entry_of(folder: Path, **scores: tuple[float, ...]) -> Entry:
    """A GRU on JSB whose seeds have these scores with each set."""
    experiment = write(folder)
    cell = experiment.cells[0]
    rows = [
        made(run, score, provenance={"instructions": name})
        for name, values in scores.items()
        for run, score in zip(cell.runs, values, strict=False)
    ]
    return grid.collect(replace(experiment, cells=(cell,)), rows)[0]


def test_rows_of_both_sets_are_kept_and_the_pinned_one_is_shown(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, AVX512=(8.4, 8.6, 8.8), AVX2=(8.0, 8.2))
    assert entry.by_instructions == {"AVX512": {0: 8.4, 1: 8.6, 2: 8.8}, "AVX2": {0: 8.0, 1: 8.2}}
    assert entry.values == {0: 8.0, 1: 8.2, 2: 8.8}
    assert pairs(entry) == [("AVX2", "AVX512")]


def test_the_component_is_what_the_mean_differs_by_beyond_its_own_error() -> None:
    """Differences 0.1, 0.2, 0.3: mean 0.2, variance 0.01, of the mean 0.01 / 3; (0.04 - 0.01 / 3) / 2."""
    assert component([0.1, 0.2, 0.3]) == pytest.approx((0.04 - 0.01 / 3) / 2)
    assert component([-0.3, 0.3]) == 0.0


def test_the_component_is_unbiased_where_it_is_large() -> None:
    random = np.random.default_rng(0)
    classes = random.normal(0.0, 1.0, (4000, 2, 1))
    scores = classes + random.normal(0.0, 0.3, (4000, 2, 5))
    found = np.mean([component((two - one).tolist()) for one, two in scores])
    assert found == pytest.approx(1.0, abs=0.06)


def test_the_component_of_a_cell_is_on_the_scale_of_its_metric(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, AVX2=(8.0, 8.2, 8.4), AVX512=(8.08, 8.282, 8.484))
    assert between(entry) == pytest.approx(math.log(1.01) / math.sqrt(2))
    assert between(entry, seeds=[0]) is None, "one difference has no spread"
    assert between(entry_of(tmp_path / "one", AVX2=(8.0, 8.2))) is None


def test_scores_that_have_no_logarithm_are_left_out() -> None:
    assert differences({0: 0.0, 1: 1.0}, {0: 1.0, 1: math.e}, logarithmic=True) == [1.0]


def test_the_largest_difference_holds_99_of_100_further_ones() -> None:
    random = np.random.default_rng(0)
    draws = random.normal(0.0, 1.0, (4000, 6))
    held = [abs(further) <= largest_difference(five.tolist()) for *_, further in draws for five in [np.array(_)]]
    assert np.mean(held) == pytest.approx(0.99, abs=0.006)
    assert largest_difference([0.1, 0.1]) == pytest.approx(0.1 * stats.t.ppf(0.995, 2))
