"""The figure of gradient flow shows what the file of measurements has, and says what is wrong with it."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from drawing import assert_readable, caption, points, write
from matplotlib.axes import Axes
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.measuring import gradient_flow
from seqbench.bench.report.figures import gradients
from seqbench.bench.report.figures.panels import NothingToDraw, gather
from seqbench.bench.report.figures.style import STYLE
from seqbench.bench.rows import measurements
from seqbench.bench.rows.measurements import Flow

TWO = """
question: Two models
seeds: 2
models: [rnn(width=4), "tcn(width=4, kernel=2, levels=2)"]
rows:
- task: adding(length=20)
"""


def measured(experiment: Experiment, *norms: list[float], **origin: Any) -> Path:
    """A file with these norms at both moments, those of one run after those of the other; `norms` at a tenth before."""
    flows = []
    cells = gradient_flow.cells_of(experiment)
    runs = [(cell, run) for cell in cells for run in cell.runs]
    for (cell, run), of_run in zip(runs, norms, strict=True):
        flows.append(Flow(run, cell.model, "initialisation", 0, [norm / 10 for norm in of_run]))
        flows.append(Flow(run, cell.model, "trained", 800, of_run))
    found = gradient_flow.origin_of(experiment, cells, datetime.now(UTC), 32)
    found["provenance"]["dirty"] = False
    file = experiment.folder / "gradients.csv"
    measurements.write(file, found | origin, flows)
    return file


def lines(axes: Axes, marker: str) -> list[list[tuple[float, float]]]:
    return [points(line) for line in axes.lines if line.get_marker() == marker]


def test_lines_are_the_geometric_means_and_bands_the_seeds(tmp_path: Path) -> None:
    experiment = write(tmp_path, TWO)
    file = measured(experiment, [1.0, 0.1], [1.0, 0.001], [2.0, 2.0], [8.0, 8.0])
    figure = gradients.draw(gather(experiment, [], gradients=file))
    before, after = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["at initialisation", "after 800 steps of training"]
    assert lines(after, "v") == [[(1, pytest.approx(1.0)), (2, pytest.approx(0.01))]]
    assert lines(after, "o") == [[(1, pytest.approx(4.0)), (2, pytest.approx(4.0))]]
    assert lines(before, "o") == [[(1, pytest.approx(0.4)), (2, pytest.approx(0.4))]]
    corners = {(float(x), float(y)) for x, y in after.collections[0].get_paths()[0].vertices}  # type: ignore[union-attr]
    assert corners == {(1, 1.0), (2, 0.1), (2, 0.001)}
    assert before.get_ylim() == after.get_ylim()
    assert after.get_yscale() == "log"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["rnn", "tcn"]
    assert {line.get_color() for line in after.lines} == {STYLE["rnn"].colour, STYLE["tcn"].colour}
    assert caption(figure).startswith("adding(length=20): norm of the gradient")
    assert "32 test examples" in caption(figure)
    assert gradients.ENDS not in caption(figure)
    assert_readable(figure)


def test_a_line_ends_where_nothing_flows_any_more(tmp_path: Path) -> None:
    experiment = write(tmp_path, TWO)
    file = measured(experiment, [1.0, 1e-3, 1e-6], [1.0, 1e-3, 1e-6], [2.0, 1.0, 0.0], [2.0, 1.0, 0.0])
    figure = gradients.draw(gather(experiment, [], gradients=file))
    _, after = figure.axes
    assert [len(line) for line in lines(after, "o")] == [2]
    assert lines(after, "|") == [[(2, pytest.approx(1.0))]]
    assert gradients.ENDS in caption(figure)
    nothing = measured(experiment, *[[0.0, 0.0]] * 4)
    assert not gradients.draw(gather(experiment, [], gradients=nothing)).axes[0].lines


def test_norms_too_small_to_matter_do_not_stretch_the_axis(tmp_path: Path) -> None:
    experiment = write(tmp_path, TWO)
    file = measured(experiment, *[[1.0, 1e-3, 1e-300]] * 4)
    figure = gradients.draw(gather(experiment, [], gradients=file))
    assert figure.axes[0].get_ylim()[0] == pytest.approx(gradients.LEAST / 2)
    assert_readable(figure)


def test_a_training_that_diverged_is_named(tmp_path: Path) -> None:
    experiment = write(tmp_path, TWO)
    file = measured(experiment, [1.0, 0.1], [math.nan, math.nan], [2.0, 2.0], [2.0, 2.0])
    figure = gradients.draw(gather(experiment, [], gradients=file))
    assert "Not shown, since training diverged: rnn seed 1." in caption(figure)
    assert lines(figure.axes[1], "v") == [[(1, 1.0), (2, pytest.approx(0.1))]]


def test_what_is_dirty_or_stale_is_marked(tmp_path: Path) -> None:
    experiment = write(tmp_path, TWO)
    clean = measured(experiment, *[[1.0, 0.1]] * 4)
    assert not {"*", "†"} & {*caption(gradients.draw(gather(experiment, [], gradients=clean)))}
    origin = gradient_flow.origin_of(experiment, gradient_flow.cells_of(experiment), datetime.now(UTC), 32)
    origin["provenance"]["dirty"] = True
    file = measured(
        experiment, *[[1.0, 0.1]] * 4, provenance=origin["provenance"], sources=dict.fromkeys(origin["sources"], "old")
    )
    text = caption(gradients.draw(gather(experiment, [], gradients=file)))
    assert "* measured with uncommitted changes" in text
    assert "† the code that defines" in text


def test_measurements_of_other_runs_are_not_drawn(tmp_path: Path) -> None:
    experiment = write(tmp_path / "one", TWO)
    file = measured(experiment, *[[1.0, 0.1]] * 4)
    other = write(tmp_path / "other", TWO.replace("length=20", "length=30"))
    with pytest.raises(NothingToDraw, match="no measurement of a run of this experiment; measure again"):
        gradients.draw(gather(other, [], gradients=file))
    with pytest.raises(NothingToDraw, match="nothing is measured yet; seqbench gradients"):
        gradients.draw(gather(experiment, []))
