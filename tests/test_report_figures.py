"""Figures: every run is there, the files are the same each time, and no text covers another."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from seqbench.bench import config, provenance
from seqbench.bench.config import Experiment
from seqbench.bench.errors import UsageError
from seqbench.bench.report import figures, style
from seqbench.bench.runs import Run
from seqbench.tasks.base import Metric

FEW = """
question: Two tasks
seeds: 3
models: [rnn(width=4), lstm(width=4), gru(width=4), "tcn(width=4, kernel=2, levels=2)"]
training: {epochs: 1, learning_rate: 0.01}
rows:
- task: ["adding(length=20, train=22400)", "copy-memory(delay=5, train=20800)"]
"""
MANY = """
question: Six tasks, one of them with variants
seeds: 5
models: [rnn(width=4), lstm(width=4), gru(width=4), "tcn(width=4, kernel=2, levels=2)"]
training: {epochs: 1, learning_rate: 0.01}
rows:
- task: [adding(length=20), copy-memory(delay=5), "permuted-mnist(permutation=rs92916)", "copy-memory(delay=6)", jsb]
- task: sequential-mnist
  models: ["tcn(width=4, kernel=2, levels=2)", "tcn(width=4, kernel=3, levels=2, dropout=0.05)", lstm(width=4)]
"""


def write(folder: Path, text: str) -> Experiment:
    (folder / "experiment.yaml").write_text(text, encoding="utf-8")
    return config.load(folder)


def made(run: Run, place: int, status: str = "done") -> dict[str, Any]:
    """A row whose loss falls over two decades; its score lies between the floor and a solved task."""
    part = 0.1 + 0.8 * (place * 0.61803 % 1)
    test = {}
    for metric in run.make_task().metrics:
        best = metric.solved_at or (100.0 if metric.direction == "higher" else metric.floor / 10)
        test[metric.name] = metric.floor * (best / metric.floor) ** part
    trace: list[list[float | None]] = [[5 * step, 2 * math.exp(-step / (30 + 20 * part))] for step in range(1, 205)]
    if status == "diverged":
        trace[50:] = [[255, None]]
    return {
        "id": run.id,
        "status": status,
        "device": "cpu",
        "label": str(run),
        "provenance": {"commit": "c0ffee1234", "dirty": False, "source": provenance.source_hash(run)},
        "parameters": 105,
        "scores": {"best": {"test": test}, "last": {"test": test}},
        "seconds": {"training": 3.0, "evaluation": 1.0},
        "trace": trace,
    }


def all_rows(experiment: Experiment) -> list[dict[str, Any]]:
    return [made(run, place) for place, run in enumerate(experiment.runs)]


def marks(axes: Axes) -> int:
    return sum(len(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "None")  # type: ignore[arg-type]


def texts(figure: Figure) -> list[Text]:
    """All that is written; tick labels outside the limits of their axis are not drawn."""
    found = [*figure.legends[0].get_texts(), figure._supxlabel]  # type: ignore[attr-defined]
    for axes in figure.axes:
        found += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            low, high = sorted(limits)
            found += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in found if text is not None and text.get_text()]


@pytest.mark.parametrize("text", [FEW, MANY])
def test_no_text_covers_another_and_none_is_cut_off(tmp_path: Path, text: str) -> None:
    experiment = write(tmp_path, text)
    rows = all_rows(experiment)
    del rows[3]
    figure = figures.draw(experiment, rows)
    boxes = [(written.get_text(), written.get_window_extent()) for written in texts(figure)]
    assert len(boxes) > 20
    for (one, box), (other, further) in itertools.combinations(boxes, 2):
        shared = box.intersection(box, further)
        touching = shared is not None and shared.width > 0.5 and shared.height > 0.5  # in dots
        assert not touching, f"{one!r} and {other!r}"
    page = figure.bbox
    for one, box in boxes:
        inside = page.x0 <= box.x0 and page.y0 <= box.y0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert inside, f"{one!r} leaves the page"
    assert figure.get_figwidth() == 7
    assert min(float(written.get_fontsize()) for written in texts(figure)) >= 7


def test_every_run_is_drawn(tmp_path: Path) -> None:
    experiment = write(tmp_path, FEW)
    loss, score, *_ = figures.draw(experiment, all_rows(experiment)).axes
    assert len(loss.lines) == marks(score) == 4 * 3
    assert loss.get_yscale() == score.get_yscale() == "log"
    assert {len(line.get_xdata()) for line in loss.lines} == {51}  # type: ignore[arg-type]
    assert [label.get_text() for label in score.get_xticklabels()] == ["rnn", "lstm", "gru", "tcn"]
    assert {text.get_text() for text in score.texts} == {"floor", "solved"}


def test_the_score_shown_says_whether_the_task_is_solved(tmp_path: Path) -> None:
    experiment = write(tmp_path, FEW)
    labels = [axes.get_ylabel() for axes in figures.draw(experiment, all_rows(experiment)).axes[1::2]]
    assert labels == ["test mse ↓", "test recall ↑"]


def test_runs_without_a_score_show(tmp_path: Path) -> None:
    experiment = write(tmp_path, FEW)
    rows = [made(run, place, "diverged" if place == 0 else "done") for place, run in enumerate(experiment.runs)]
    loss, score, *_ = figures.draw(
        experiment, [row for row in rows if row["id"] != experiment.cells[1].runs[2].id]
    ).axes
    assert marks(score) == 12 - 2
    assert [label.get_text() for label in score.get_xticklabels()] == ["rnn\n2/3", "lstm\n2/3", "gru", "tcn"]
    crosses = [line for line in loss.lines if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[250]]  # type: ignore[arg-type]


def test_an_experiment_without_rows_has_a_figure(tmp_path: Path) -> None:
    experiment = write(tmp_path, FEW)
    score = figures.draw(experiment, []).axes[1]
    assert [label.get_text() for label in score.get_xticklabels()] == ["rnn\n0/3", "lstm\n0/3", "gru\n0/3", "tcn\n0/3"]


def test_files_are_the_same_each_time_and_settings_are_left_alone(tmp_path: Path) -> None:
    experiment = write(tmp_path, FEW)
    before = dict(matplotlib.rcParams)
    contents = []
    for folder in ("one", "two"):
        paths = figures.overview(experiment, all_rows(experiment), tmp_path / folder / "over.view")
        assert [path.name for path in paths] == ["over.view.png", "over.view.svg"]
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]
    assert contents[0][0].startswith(b"\x89PNG")
    assert b"<dc:date>" not in contents[0][1]
    assert dict(matplotlib.rcParams) == before


def test_devices_are_never_mixed(tmp_path: Path) -> None:
    experiment = write(tmp_path, FEW)
    rows = all_rows(experiment)
    rows[0]["device"] = "cuda"
    with pytest.raises(UsageError, match="--device"):
        figures.draw(experiment, rows)
    assert marks(figures.draw(experiment, rows, "cuda").axes[1]) == 1


def test_a_trace_is_thinned_by_weighted_means() -> None:
    trace: list[list[float | None]] = [[2 * step, float(step)] for step in range(1, 121)]
    trace.append([241, 500.0])
    steps, losses = figures.thinned(trace)
    assert len(steps) <= figures.POINTS
    assert (steps[0], losses[0]) == (6, 2.0)
    assert (steps[-1], losses[-1]) == (241, 500.0)
    assert figures.thinned([[2, 1.0], [4, None], [6, 1.0]]) == ([2], [1.0])
    assert figures.thinned([]) == ([], [])


def test_every_architecture_has_a_look_of_its_own() -> None:
    names = ["tcn", "zeta", "alpha", "rnn", "beta", "lstm", "gru"]
    looks = style.styles(names)
    assert len(set(looks.values())) == len(names)
    assert len({(look.marker, look.line, look.colour) for look in style.STYLE.values()}) == len(style.STYLE)
    assert style.styles(["zeta"])["zeta"] == style.styles(["lstm", "zeta"])["zeta"]
    assert looks == style.styles(reversed(names))
    assert len(style.styles([f"model{number}" for number in range(20)])) == 20


def test_names_of_close_thresholds_stand_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = write(tmp_path, FEW)
    rows = all_rows(experiment)  # spread over decades, so that the thresholds lie close
    task_class = experiment.cells[0].runs[0].task_class
    metric = Metric("mse", "", "lower", floor=0.17, solved_at=0.16)
    monkeypatch.setattr(task_class, "metrics", property(lambda task: (metric,)))
    solved, floor = figures.draw(experiment, rows).axes[1].texts
    assert (solved.get_text(), floor.get_text()) == ("solved", "floor")
    assert solved.get_window_extent().y1 <= floor.get_window_extent().y0 + 0.5
