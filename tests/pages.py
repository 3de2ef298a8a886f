"""A made-up experiment whose page has everything: solved tasks, runs that diverged or failed, marks, curves, and texts
that try to be more than text; and what a test reads back from a page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import made_rows
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows.store import Row, Workplace, signed

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&amp;"
"""What must be seen as it stands here, and do nothing."""
MODEL = "x<img src=x onerror=alert`3`>.py"
"""The file of a user's own model, whose name stands in tables, curves and the JSON of the page."""
TEXT = """
question: >
  Which one remembers? {hostile}
seeds: 5
training: {{epochs: 1, learning_rate: 0.01}}
rows:
- task: adding(length=50)
  models: [rnn(width=4), lstm(width=4), {{model: gru(width=4), assumed: [learning_rate]}}, "{model}"]
- task: ["copy-memory(delay=20)", jsb]
  models: [rnn(width=4), lstm(width=4), gru(width=4), "tcn(width=4, kernel=2, levels=2)"]
"""
SPEED = {
    "machine": {"processor": f"two cores {HOSTILE}", "torch": "2.13.0"},
    "rows": [
        {"task": "adding(length=600)", "model": "tcn", "parameters": 70369, "ours_ms": 12.5, "reference_ms": 20.25}
        | {"flushed_ms": 19.0, "ratio_defaults": 1.62, "ratio_flushed": 1.52, "floor_ms": 8.0, "peak_mb": 410.2}
        | {"spread": 0.03},
        {"task": "jsb", "model": "gru", "parameters": 42000, "ours_ms": 9.5, "reference_ms": 7.0}
        | {"flushed_ms": None, "ratio_defaults": 0.737, "ratio_flushed": None, "floor_ms": 2.0, "peak_mb": 390.0}
        | {"spread": 0.3},
    ],
}
ORIGIN = {
    "diff": None,
    "versions": {"python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6", "numba": "0.68.1", "scipy": "1.17.1"},
    "processor": "two cores",
    "platform": f"Linux {HOSTILE}",
    "instructions": "AVX2",
    "device": "cpu",
    "driver": None,
    "threads": 1,
    "data": {"jsb.mat": "ab" * 32},
    "command": ["run", "results/x", "--only", "adding(length=50)"],
    "finished": "2026-11-24T11:16:06+00:00",
}
SOLVED = {"gru": 5, "lstm": 2}
"""How many runs of a model solve a task."""

PLAIN = """
question: Which one?
rows:
- task: adding(length=20)
  models: [gru(width=4)]
"""


def write(folder: Path) -> Experiment:
    """The experiment in a folder of its own, with the user's model."""
    folder.mkdir(parents=True)
    (folder / MODEL).write_text("from seqbench.models import gru\n\n\nclass Model(gru.Model):\n    pass\n")
    return made_rows.write(folder, TEXT.format(hostile=HOSTILE, model=MODEL))


def rows(experiment: Experiment) -> list[Row]:
    """Rows of most of its runs: the last cell lacks two, one run diverged and one failed, one row is dirty."""
    found = []
    for place, cell in enumerate(experiment.cells):
        for run in cell.runs[: 3 if cell is experiment.cells[-1] else 5]:
            status = {(1, 3): "diverged", (2, 4): "failed"}.get((place, run.seed), "done")
            found.append(row(run, status, place))
    found[0] = made_rows.dirtied(found[0], dirty=True, diff="d1" * 32)
    return found


def row(run: Run, status: str = "done", place: int = 0, epochs: int = 12, **changes: Any) -> Row:
    """A row with a curve that falls to the run's score, and all that a page shows of its origin."""
    solved = run.seed < SOLVED.get(run.model.name, 0)
    score = (3e-4 if solved else 0.05) * (1 + 0.05 * run.seed + 0.02 * place)
    if run.task.name == "jsb":
        score = 8.2 + 0.2 * place + 0.01 * run.seed
    names = [metric.name for metric in run.make_task().metrics]
    made = made_rows.made(run, None if status == "diverged" else score, status)
    made["provenance"] |= ORIGIN
    if status in ("failed", "died"):
        made["error"] = {"message": f"RuntimeError: {HOSTILE}", "traceback": "…"}
    else:
        length = 4 if status == "diverged" else epochs
        curve = [score * (1 + 3 * 0.6**epoch) for epoch in range(1, length + 1)]
        made["curve"] = [
            {"epoch": epoch, "steps": 100 * epoch, "seconds": (1.5 + place) * epoch}
            | {"valid": dict.fromkeys(names, value), "test": dict.fromkeys(names, value)}
            for epoch, value in enumerate(curve, 1)
        ]
        made |= {
            "state_size": 4,
            "peak_memory_mb": 412.3,
            "seconds": {"training": 30.0, "evaluation": 2.0, "cpu": 31.5},
        }
    return signed(made | changes)


def published(folder: Path, speed: bool = True) -> Experiment:
    """The experiment with its rows published, and a file of speed beside it."""
    experiment = write(folder)
    Workplace(folder).published.replace(rows(experiment))
    if speed:
        (folder.parent / "speed").mkdir()
        (folder.parent / "speed" / "laptop.json").write_text(json.dumps(SPEED), encoding="utf-8")
    return experiment


class Element:
    """A tag with its attributes, and what is in it."""

    def __init__(self, tag: str, attributes: dict[str, str | None]) -> None:
        self.tag, self.attributes = tag, attributes
        self.inside: list[Element | str] = []

    def __getitem__(self, name: str) -> str:
        value = self.attributes[name]
        assert value is not None
        return value

    @property
    def classes(self) -> set[str]:
        return set((self.attributes.get("class") or "").split())

    @property
    def text(self) -> str:
        """All text in it, as written."""
        return "".join(part if isinstance(part, str) else part.text for part in self.inside)

    @property
    def line(self) -> str:
        """All text in it, on one line."""
        return " ".join(self.text.split())

    def all(self, tag: str = "", of_class: str = "") -> Iterator[Element]:
        """The elements in it, at any depth."""
        for part in self.inside:
            if isinstance(part, Element):
                if tag in ("", part.tag) and (not of_class or of_class in part.classes):
                    yield part
                yield from part.all(tag, of_class)

    def one(self, tag: str = "", of_class: str = "") -> Element:
        """The first of them."""
        return next(self.all(tag, of_class))


class _Reader(HTMLParser):
    EMPTY = ("meta", "link", "input", "wbr", "br", "img")

    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attributes))
        self.open[-1].inside.append(element)
        if tag not in self.EMPTY:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Element(tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        element = self.open.pop()
        assert element.tag == tag, f"<{element.tag}> ends with </{tag}>"

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def read(path: Path) -> Element:
    """The page as a tree. Fails where a tag is not closed by its own end."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> has no end"
    return reader.open[0]


def cells_of(row: Element) -> list[Element]:
    """The cells of a table's row, its heading among them."""
    return [one for one in row.all() if one.tag in ("th", "td")]


def lines_of(table: Element) -> list[dict[str, str]]:
    """The lines of a table: column -> text."""
    header, *rows = ([cell.line for cell in cells_of(row)] for row in table.all("tr"))
    return [dict(zip(header, row, strict=True)) for row in rows]
