"""Made-up rows to draw, and what a test reads back from a figure."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

from made_rows import origin
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from seqbench.bench.experiments import config
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows.store import Row, signed

FEW = """
question: Two tasks
seeds: 3
models: [rnn(width=4), lstm(width=4), gru(width=4), "tcn(width=4, kernel=2, levels=2)"]
training: {epochs: 1, learning_rate: 0.01}
rows:
- task: ["adding(length=20, train=22400)", "copy-memory(delay=5, train=20800)"]
"""
MANY = """
question: Eleven tasks, one of them with variants
seeds: 5
models: [rnn(width=4), lstm(width=4), gru(width=4), "tcn(width=4, kernel=2, levels=2)"]
training: {epochs: 1, learning_rate: 0.01}
rows:
- task: [adding(length=20), adding(length=40), "adding(length=60)", copy-memory(delay=5), copy-memory(delay=10)]
- task: [copy-memory(delay=20), "permuted-mnist(permutation=rs92916)", "sequential-mnist(view=rows)", jsb, nottingham]
- task: sequential-mnist
  models: ["tcn(width=4, kernel=2, levels=2)", "tcn(width=4, kernel=3, levels=2, dropout=0.05)", lstm(width=4)]
"""


def write(folder: Path, text: str) -> Experiment:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.yaml").write_text(text, encoding="utf-8")
    return config.load(folder)


def made(run: Run, place: int, status: str = "done", epochs: int = 1, **more: Any) -> Row:
    """A row whose loss falls over two decades; its score lies between the floor and a solved task."""
    part = 0.1 + 0.8 * (place * 0.61803 % 1)
    curve = [
        {
            "epoch": epoch,
            "steps": 100 * epoch,
            "valid": scores(run, part * epoch / epochs),
            "test": scores(run, part * epoch / epochs),
            "seconds": (3.0 + part) * epoch,
        }
        for epoch in range(1, epochs + 1)
    ]
    trace: list[list[float | None]] = [[5 * step, 2 * math.exp(-step / (30 + 20 * part))] for step in range(1, 205)]
    if status == "diverged":
        trace[50:] = [[255, None]]
    last = curve[-1]["test"]
    row = {
        "id": run.id,
        "status": status,
        "device": "cpu",
        "label": str(run),
        "config": run.config,
        "provenance": origin(run),
        "parameters": 105,
        "state_size": 8,
        "scores": {"best": {"epoch": epochs, "valid": last, "test": last}, "last": {"test": last}},
        "lengths": {},
        "seconds": {"training": 3.0, "evaluation": 1.0, "cpu": 3.5},
        "peak_memory_mb": 400.5,
        "error": None if status in ("done", "diverged") else {"message": "out of memory"},
        "curve": curve,
        "trace": trace,
    }
    return signed(row | more)


def scores(run: Run, part: float) -> dict[str, float]:
    """In every metric of the run's task a score that lies `part` of the way from the floor to the best."""
    found = {}
    for metric in run.make_task().metrics:
        best = metric.solved_at or (100.0 if metric.direction == "higher" else metric.floor / 10)
        found[metric.name] = metric.floor * (best / metric.floor) ** part if metric.floor else best * part
    return found


def scored(value: float) -> dict[str, Any]:
    """The scores of a row in whatever metric is asked for: for tasks of one metric."""
    return {"scores": {rule: {"test": {"mse": value, "nats": value}} for rule in ("best", "last")}}


def all_rows(experiment: Experiment, **options: Any) -> list[Row]:
    return [made(run, place, **options) for place, run in enumerate(experiment.runs)]


def marks(axes: Axes, marker: str | None = None) -> list[tuple[float, float]]:
    """Where marks stand that no line joins; of one kind, or of all that tell a score."""
    found = [line for line in axes.lines if line.get_linestyle() == "None"]
    if marker is not None:
        found = [line for line in found if line.get_marker() == marker]
    return [point for line in found for point in points(line)]


def points(line: Line2D) -> list[tuple[float, float]]:
    return list(zip(line.get_xdata(), line.get_ydata(), strict=True))  # type: ignore[arg-type]


def texts(figure: Figure) -> list[Text]:
    """All that is written; tick labels outside the limits of their axis are not drawn."""
    found = [*itertools.chain(*(legend.get_texts() for legend in figure.legends)), figure._supxlabel]  # type: ignore[attr-defined]
    for axes in figure.axes:
        found += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            low, high = sorted(limits)
            found += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in found if text is not None and text.get_text()]


def caption(figure: Figure) -> str:
    return figure._supxlabel.get_text().replace("\n", " ")  # type: ignore[attr-defined]


def assert_readable(figure: Figure) -> None:
    """No text covers another or leaves the page, none is smaller than 7 points, and the width is that of a paper."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    assert len(boxes) > 5
    for (one, box), (other, further) in itertools.combinations(boxes, 2):
        shared = box.intersection(box, further)
        touching = shared is not None and shared.width > 0.5 and shared.height > 0.5  # in dots
        assert not touching, f"{one!r} and {other!r}"
    page = figure.bbox
    for one, box in boxes:
        inside = page.x0 <= box.x0 and page.y0 <= box.y0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert inside, f"{one!r} leaves the page"
    assert figure.get_figwidth() in (3.3, 6.9)
    assert min(float(text.get_fontsize()) for text in texts(figure)) >= 7
    assert min(axes.get_window_extent().width for axes in figure.axes) > 0.8 * figure.dpi
