"""The performance profile shows the shares that the aggregates give, and a band only where there are runs enough."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from drawing import assert_readable, caption, points
from made_rows import dirtied, of_scores, write
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from seqbench.bench.analysis import aggregates, overall
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.figures import drawing, profile
from seqbench.bench.report.figures.panels import Evidence, NothingToDraw, gather
from seqbench.bench.report.figures.style import STYLE
from seqbench.bench.rows.store import Row

TEXT = """
question: Which?
seeds: SEEDS
training: {epochs: 1, learning_rate: 0.01}
rows:
- task: [adding(length=20), copy-memory(delay=5), jsb]
  models: [rnn(width=4), gru(width=4), "tcn(width=4, kernel=2, levels=2)"]
"""
SCORES: dict[tuple[str, str], list[float | None]] = {
    ("adding", "rnn"): [0.16, 0.1, 0.05],
    ("adding", "gru"): [1e-3, 1e-4, 0.08],
    ("copy-memory", "rnn"): [0.2, 0.5, None],
    ("copy-memory", "gru"): [0.99, 0.995, 0.3],
    ("jsb", "rnn"): [10.0, 10.2, 9.9],
    ("jsb", "gru"): [9.0, 8.9, 9.1],
}


@pytest.fixture(autouse=True)
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three runs a task can be checked by hand; that five are needed is a test of its own."""
    monkeypatch.setattr(overall, "FEWEST_RUNS", 3)


def gathered(folder: Path, runs: int = 3, scores: dict[tuple[str, str], list[float | None]] | None = None) -> Evidence:
    """The evidence of an experiment of so many seeds in which the TCN has no run."""
    experiment: Experiment = write(folder, TEXT.replace("SEEDS", str(runs)))
    made = {place: values[:runs] for place, values in (scores or SCORES).items()}
    return gather(experiment, of_scores(experiment, made))


def lines(figure: Figure) -> dict[str, Line2D]:
    """The line of each colour that is drawn in steps."""
    (axes,) = figure.axes
    return {str(line.get_color()): line for line in axes.lines if line.get_drawstyle() == "steps-post"}


def height(line: Line2D, level: float) -> float:
    """How high a line drawn in steps is at a place."""
    return [y for x, y in points(line) if x <= level][-1]


def marks(axes: Axes, marker: str) -> list[tuple[float, float]]:
    (found,) = [line for line in axes.lines if line.get_marker() == marker]
    return points(found)


def test_lines_and_marks_are_the_shares_of_runs_above(tmp_path: Path) -> None:
    evidence = gathered(tmp_path)
    found = overall.normalised(evidence.entries)
    assert found is not None
    figure = profile.draw(evidence)
    drawn = lines(figure)
    assert set(drawn) == {STYLE["rnn"].colour, STYLE["gru"].colour}, "one for each model with runs"
    places: set[float] = set()
    for model, marker in (("rnn", "v"), ("gru", "^")):
        tasks = found.of(model)
        levels = [0.0, 0.123, 0.5, 0.9, 0.9999, 1.0, 1.003, *(score for task in tasks for score in task if score >= 0)]
        expected = aggregates.performance_profile(tasks, levels)
        assert [height(drawn[STYLE[model].colour], level) for level in levels] == pytest.approx(expected.tolist())
        marked = marks(figure.axes[0], marker)
        expected = aggregates.performance_profile(tasks, [x for x, _ in marked])
        assert [y for _, y in marked] == pytest.approx(expected.tolist())
        assert not places & {x for x, _ in marked}, "marks on lines that coincide do not hide each other"
        places |= {x for x, _ in marked}
    assert height(drawn[STYLE["gru"].colour], 0.9) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["rnn", "gru"]
    assert_readable(figure)


def test_a_run_that_diverged_counts_as_in_the_mean(tmp_path: Path) -> None:
    evidence = gathered(tmp_path)
    found = overall.normalised(evidence.entries)
    assert found is not None
    assert math.isnan(found.scores[1]["rnn"][2])
    assert found.of("rnn")[1][2] == 0.0
    assert height(lines(profile.draw(evidence))[STYLE["rnn"].colour], 0.0) == pytest.approx((1 + 2 / 3 + 1) / 3)


def test_the_caption_says_what_is_shown(tmp_path: Path) -> None:
    text = caption(profile.draw(gathered(tmp_path)))
    assert text.startswith(profile.HOW)
    assert profile.BAND in text
    assert "Over adding(length=20); copy-memory(delay=5); jsb; n=3 runs a task and model. Left out: tcn." in text
    assert "lie beyond the axis" not in text


def test_there_is_a_band_and_below_the_fewest_runs_no_profile(tmp_path: Path) -> None:
    evidence = gathered(tmp_path / "three")
    found = overall.normalised(evidence.entries)
    assert found is not None
    figure = profile.draw(evidence)
    band = figure.axes[0].collections[0]
    steps = [x for x, _ in points(lines(figure)[STYLE["rnn"].colour])]
    bounds = aggregates.profile_interval(found.of("rnn"), steps, "performance profile", "rnn")
    assert bounds is not None
    corners = band.get_paths()[0].vertices
    assert {*map(float, corners[:, 1])} == {*map(float, bounds[0]), *map(float, bounds[1])}  # type: ignore[index]
    assert len(figure.axes[0].collections) == 2
    with pytest.raises(NothingToDraw, match=r"have 5 runs of|have 3 runs of"):
        profile.draw(gathered(tmp_path / "two", runs=2))


def test_the_axis_goes_on_beyond_1_as_far_as_there_are_scores(tmp_path: Path) -> None:
    (axes,) = profile.draw(gathered(tmp_path / "a")).axes
    assert 1 < axes.get_xlim()[1] < 1.1
    far = profile.draw(gathered(tmp_path / "far", scores=SCORES | {("jsb", "gru"): [11.0, 6.0, 11.0]}))
    assert far.axes[0].get_xlim()[1] == profile.FARTHEST
    assert "Scores above 1.25 lie beyond the axis." in caption(far)
    below = {("adding", name): [0.15, 0.1, 0.05] for name in ("rnn", "gru")}
    below |= {("copy-memory", name): [0.5, 0.4, 0.3] for name in ("rnn", "gru")}
    alike: dict[tuple[str, str], list[float | None]] = {**below, ("jsb", "rnn"): [9.0] * 3, ("jsb", "gru"): [9.0] * 3}
    level = profile.draw(gathered(tmp_path / "b", scores=alike))
    assert level.axes[0].get_xlim() == (0, 1)
    assert "beyond the axis" not in caption(level), "the means are above 1 by rounding alone"


def test_two_tasks_or_one_model_are_nothing_to_draw(tmp_path: Path) -> None:
    for name, place in (("task", 0), ("model", 1)):
        scores = {key: values for key, values in SCORES.items() if key[place] not in ("jsb", "rnn")}
        with pytest.raises(NothingToDraw, match="3 tasks or more that 2 models or more"):
            profile.draw(gathered(tmp_path / name, scores=scores))


def test_rows_that_are_dirty_are_said(tmp_path: Path) -> None:
    evidence = gathered(tmp_path)
    rows: list[Row] = [*evidence.rows.values()]
    clean, dirty = (gather(evidence.experiment, found) for found in (rows, [dirtied(rows[0], dirty=True), *rows[1:]]))
    assert "*" not in caption(profile.draw(clean))
    assert "* " in caption(profile.draw(dirty))


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    evidence = gathered(tmp_path)
    written = [
        drawing.write(evidence.experiment, evidence.rows.values(), tmp_path / name, only=["profile"]).written
        for name in ("one", "two")
    ]
    assert [path.name for path in written[0]] == ["profile.png", "profile.svg", "profile.pdf"]
    assert [path.read_bytes() for path in written[0]] == [path.read_bytes() for path in written[1]]


def test_the_profile_in_words(tmp_path: Path) -> None:
    found = profile.found_in(gathered(tmp_path))
    assert profile.said(found) == (
        "Performance profile over 3 tasks: share of runs above 0, 0.5, 0.9: rnn 0.89, 0.33, 0.00; gru 1.00, 0.89, 0.78."
    )
