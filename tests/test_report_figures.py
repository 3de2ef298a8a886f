"""The overview: every run is there; and the looks of models, for all figures."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from drawing import FEW, MANY, all_rows, assert_readable, caption, made, marks, write
from matplotlib.colors import to_rgb
from seqbench.bench.errors import UsageError
from seqbench.bench.report.figures import drawing, overview, style
from seqbench.bench.report.figures.panels import looks_of
from seqbench.bench.rows.store import signed
from seqbench.tasks.base import Metric


@pytest.mark.parametrize("text", [FEW, MANY])
def test_no_text_covers_another_and_none_is_cut_off(tmp_path: Path, text: str) -> None:
    experiment = write(tmp_path, text)
    rows = all_rows(experiment)
    del rows[3]
    assert_readable(drawing.draw(experiment, rows))


def test_every_run_is_drawn(tmp_path: Path) -> None:
    experiment = write(tmp_path, FEW)
    loss, score, *_ = drawing.draw(experiment, all_rows(experiment)).axes
    assert len(loss.lines) == len(marks(score)) == 4 * 3
    assert loss.get_yscale() == score.get_yscale() == "log"
    assert {len(line.get_xdata()) for line in loss.lines} == {51}  # type: ignore[arg-type]
    assert [label.get_text() for label in score.get_xticklabels()] == ["rnn", "lstm", "gru", "tcn"]
    assert {text.get_text() for text in score.texts} == {"floor", "solved"}


def test_the_score_shown_says_whether_the_task_is_solved(tmp_path: Path) -> None:
    experiment = write(tmp_path, FEW)
    labels = [axes.get_ylabel() for axes in drawing.draw(experiment, all_rows(experiment)).axes[1::2]]
    assert labels == ["test mse ↓", "test recall ↑"]


def test_runs_without_a_score_show(tmp_path: Path) -> None:
    experiment = write(tmp_path, FEW)
    rows = [made(run, place, "diverged" if place == 0 else "done") for place, run in enumerate(experiment.runs)]
    figure = drawing.draw(experiment, [row for row in rows if row["id"] != experiment.cells[1].runs[2].id])
    loss, score, *_ = figure.axes
    assert len(marks(score)) == 12 - 2
    assert [label.get_text() for label in score.get_xticklabels()] == ["rnn\n2/3", "lstm\n2/3", "gru", "tcn"]
    crosses = [line for line in loss.lines if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[250]]  # type: ignore[arg-type]
    assert "a count beneath a model" in caption(figure)


def test_rows_that_are_dirty_stale_or_edited_are_marked(tmp_path: Path) -> None:
    experiment = write(tmp_path, FEW)
    rows = all_rows(experiment)
    assert not {"*", "†", "§"} & {*caption(drawing.draw(experiment, rows))}
    rows[0] = signed(rows[0] | {"provenance": rows[0]["provenance"] | {"dirty": True, "source": "old"}})
    rows[1]["parameters"] = 106
    figure = drawing.draw(experiment, rows)
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ["rnn\n*†", "lstm\n2/3§", "gru", "tcn"]
    for words in ("* run with uncommitted changes", "† stale: made by other code", "§ edited by hand"):
        assert words in caption(figure)
    assert_readable(figure)


def test_an_experiment_without_rows_has_a_figure(tmp_path: Path) -> None:
    experiment = write(tmp_path, FEW)
    score = drawing.draw(experiment, []).axes[1]
    assert [label.get_text() for label in score.get_xticklabels()] == ["rnn\n0/3", "lstm\n0/3", "gru\n0/3", "tcn\n0/3"]


def test_devices_are_never_mixed(tmp_path: Path) -> None:
    experiment = write(tmp_path, FEW)
    rows = all_rows(experiment)
    rows[0] = signed(rows[0] | {"device": "cuda"})
    with pytest.raises(UsageError, match="--device"):
        drawing.draw(experiment, rows)
    assert len(marks(drawing.draw(experiment, rows, "cuda").axes[1])) == 1


def test_a_trace_is_thinned_by_weighted_means() -> None:
    trace: list[list[float | None]] = [[2 * step, float(step)] for step in range(1, 121)]
    trace.append([241, 500.0])
    steps, losses = overview.thinned(trace)
    assert len(steps) <= overview.POINTS
    assert (steps[0], losses[0]) == (6, 2.0)
    assert (steps[-1], losses[-1]) == (241, 500.0)
    assert overview.thinned([[2, 1.0], [4, None], [6, 1.0]]) == ([2], [1.0])
    assert overview.thinned([]) == ([], [])


def test_every_architecture_has_a_look_of_its_own() -> None:
    names = ["tcn", "zeta", "alpha", "rnn", "beta", "lstm", "gru"]
    looks = style.styles(names)
    assert len(set(looks.values())) == len(names)
    assert style.styles(["zeta"])["zeta"] == style.styles(["lstm", "zeta"])["zeta"]
    assert looks == style.styles(reversed(names))
    assert len(style.styles([f"model{number}" for number in range(20)])) == 20


def test_models_of_one_architecture_share_its_colour_and_differ_in_their_fill() -> None:
    looks = looks_of({"tcn(levels=2)": "tcn", "gru": "gru", "tcn(levels=3)": "tcn"})
    assert looks["tcn(levels=2)"].style == looks["tcn(levels=3)"].style == style.STYLE["tcn"]
    assert [looks[label].fill for label in looks] == ["full", "full", "none"]


TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
SEEN = {
    "by most": np.eye(3),
    "without red": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "without green": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "without blue": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
"""Linear RGB as seen with each kind of cone missing: Machado, Oliveira & Fernandes 2009, IEEE TVCG 15, severity 1."""


def lab(colour: str, seen: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as somebody sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(np.clip(TO_XYZ @ np.clip(seen @ linear, 0, 1), 1e-4, None) / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_the_colours_of_the_classics_can_be_told_apart_in_grey_and_by_the_colour_blind() -> None:
    looks = [style.STYLE[name] for name in ("tcn", "lstm", "gru", "rnn")]
    assert len({look.marker for look in looks}) == len({look.line for look in looks}) == len(looks)
    lightness = sorted(lab(look.colour, SEEN["by most"])[0] for look in looks)
    assert min(after - before for before, after in itertools.pairwise(lightness)) > 10
    assert lightness[-1] < 75  # on white paper
    for seen in SEEN.values():
        assert least_distance(looks, seen) > 20


def test_any_two_models_differ_in_marker_or_line_and_in_colour() -> None:
    """Of so many no colours are left that everybody tells apart; what shares a marker has another line."""
    looks = [*style.STYLE.values()]
    assert len({look.line for look in looks}) == len(looks)
    assert len({(look.marker, look.line) for look in looks}) == len(looks)
    assert least_distance(looks, SEEN["by most"]) > 10
    assert max(lab(look.colour, SEEN["by most"])[0] for look in looks) < 75


def least_distance(looks: list[style.Style], seen: np.ndarray) -> float:
    """Between the colours of any two, as somebody sees them."""
    pairs = itertools.combinations((lab(look.colour, seen) for look in looks), 2)
    return min(float(np.linalg.norm(one - other)) for one, other in pairs)


def test_names_of_close_thresholds_stand_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = write(tmp_path, FEW)
    rows = all_rows(experiment)  # spread over decades, so that the thresholds lie close
    task_class = experiment.cells[0].runs[0].task_class
    metric = Metric("mse", "", "lower", floor=0.17, solved_at=0.16)
    monkeypatch.setattr(task_class, "metrics", property(lambda task: (metric,)))
    solved, floor = drawing.draw(experiment, rows).axes[1].texts
    assert (solved.get_text(), floor.get_text()) == ("solved", "floor")
    assert solved.get_window_extent().y1 <= floor.get_window_extent().y0 + 0.5
