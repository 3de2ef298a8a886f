"""A row never chooses which code is imported: only what the suite has, and what the experiment itself names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_rows
import pytest
from command import seqbench
from seqbench.bench.analysis.grid import collect
from seqbench.bench.evidence import checking, merging, renewing, reproducing, verifying
from seqbench.bench.evidence.publishing import publish
from seqbench.bench.experiments import config, permitted
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.page import page
from seqbench.bench.rows.comparing import Cannot, run_of
from seqbench.bench.rows.store import Row, Workplace, signed
from test_own_files import net

pytestmark = pytest.mark.usefixtures("forgotten", "no_figure")

NAMING = """\
question: Mine?
models: [gru(width=4), "sub/../net.py(width=4)"]
rows:
- task: [adding(length=8), "tasks_of_mine:Task(length=3)"]
- task: adding(length=9)
  models:
  - {model: own/other.py:Net(width=3), assumed: [width]}
  - 7
"""
HARMFUL = "import sys\nsys.modules['harm_was_done'] = sys\nfrom seqbench.models.gru import Model\n"


def test_what_an_experiment_names(tmp_path: Path) -> None:
    """Whatever else is wrong with it, and without an import; the suite's own need not be named."""
    (tmp_path / "experiment.yaml").write_text(NAMING, encoding="utf-8")
    wanted = {
        ("model", "gru"): True,
        ("model", "tcn"): True,
        ("model", "net.py"): True,
        ("model", str(tmp_path / "net.py")): True,
        ("model", "own/other.py:Net"): True,
        ("task", "tasks_of_mine:Task"): True,
        ("task", "net.py"): False,
        ("model", "tasks_of_mine:Task"): False,
        ("model", "own/other.py"): False,
        ("model", "other.py:Net"): False,
        ("model", "../net.py"): False,
        ("model", "os:system"): False,
        ("model", None): False,
        ("model", 7): False,
    }
    assert {pair: permitted.is_permitted(*pair, tmp_path) for pair in wanted} == wanted
    assert not permitted.is_permitted("model", "net.py", None)
    assert not permitted.is_permitted("model", "net.py", tmp_path / "elsewhere")
    (tmp_path / "experiment.yaml").write_text("rows: [", encoding="utf-8")
    assert not permitted.is_permitted("model", "net.py", tmp_path)
    (tmp_path / "experiment.yaml").write_text("models: {a: b}\nrows: 3\n", encoding="utf-8")
    assert not permitted.is_permitted("model", "net.py", tmp_path)


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    """An experiment beside which harmful files lie; what they do is undone afterwards."""
    folder = tmp_path / "results" / "mine"
    made_rows.write(folder, made_rows.LONE)
    for name in ("harmful.py", "harmful_module.py"):
        (folder / name).write_text(HARMFUL, encoding="utf-8")
    return config.load(folder)


def harmful(experiment: Experiment, reference: str, kind: str, own_id: bool) -> Row:
    """A row, signed by whoever made it, whose task or model is another; with the id of a run of the grid, or not."""
    (run,) = experiment.runs
    row = made_rows.made(run)
    changed = {**row["config"], kind: {**row["config"][kind], "name": reference}}
    return signed({**row, "config": changed, "id": row["id"] if own_id else "0123456789ab"})


def _merge(experiment: Experiment, row: Row) -> None:
    place = Workplace(experiment.folder)
    place.published.path.rename(experiment.folder / "foreign.jsonl")
    merger = merging.merge(experiment, [experiment.folder / "foreign.jsonl"])
    assert merger.added == []
    assert "is neither the suite's nor named by the experiment" in merger.refused[0]


def _publish(experiment: Experiment, row: Row) -> None:
    place = Workplace(experiment.folder)
    place.area.mkdir(parents=True, exist_ok=True)
    place.working.replace([row])
    place.published.path.unlink()
    assert publish(experiment).moved == []


def _reproduce(experiment: Experiment, row: Row) -> None:
    assert reproducing.commands(reproducing.find(row["id"], experiment.folder))


def _check(experiment: Experiment, row: Row) -> None:
    assert any("neither the suite's nor named" in one.what for one in checking.check(experiment.folder).findings)


READERS: dict[str, Callable[[Experiment, Row], Any]] = {
    "merge": _merge,
    "publish": _publish,
    "verify --static": _check,
    "verify": lambda experiment, row: verifying.verify_against(experiment.folder, [row], [row]),
    "renew": lambda experiment, row: renewing._stale(row, experiment.folder, []),
    "rehash": lambda experiment, row: renewing.rehash(experiment.folder),
    "reproduce": _reproduce,
    "table": lambda experiment, row: collect(experiment, [row]),
    "report": lambda experiment, row: page.write(experiment.folder / "page.html", [experiment.folder]),
    "status": lambda experiment, row: seqbench("status", experiment.folder),
}


FOREIGN = [
    ("harmful.py", "model", True),
    ("harmful_module:Model", "task", False),
    ("FOLDER/harmful.py", "model", False),
]
"""A file, a module and an absolute path, in rows with the id of a run of the grid, and with another."""


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_of_rows_imports_what_a_row_names(
    reader: str, experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(experiment.folder)
    for reference, kind, own_id in FOREIGN:
        row = harmful(experiment, reference.replace("FOLDER", str(experiment.folder)), kind, own_id)
        place = Workplace(experiment.folder)
        place.published.replace([row])
        READERS[reader](experiment, row)
        for path in (place.working.path, place.published.path):
            path.unlink(missing_ok=True)
        with pytest.raises(Cannot, match="is neither the suite's nor named by the experiment"):
            run_of(row, experiment.folder)
    assert "harm_was_done" not in sys.modules


def test_what_the_experiment_names_is_a_run_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(net("KEEP = 1.0"), encoding="utf-8")
    experiment = made_rows.write(tmp_path, made_rows.LONE.replace("gru(", "net.py("))
    (run,) = experiment.runs
    assert run_of(made_rows.made(run), tmp_path) == run
