"""What a user's file loads by a name made at run time is in no hash: that is said, and such rows are not published."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiments import Recorder, rows_of, sweep_in, write
from made_rows import misshapen
from seqbench.bench.experiments import config, imports
from seqbench.bench.experiments.hidden_imports import calls, remarks
from seqbench.bench.rows.commits import why_unclean
from test_own_files import CELLS, ONE, net
from test_provenance import git

pytestmark = pytest.mark.usefixtures("forgotten")
HIDDEN = "import importlib\nname = 'cells_at_run_' + 'time'\nKEEP = importlib.import_module(name).KEEP"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("importlib.import_module('lab.cells')", []),
        ("importlib.import_module(name)", ["importlib.import_module(name)"]),
        ("importlib.import_module(f'lab.{name}')", ["importlib.import_module(f'lab.{name}')"]),
        ("__import__(name=other)", ["__import__(name=other)"]),
        ("runpy.run_path('cells.py')", ["runpy.run_path('cells.py')"]),
        ("exec(open('cells.py').read())", ["exec(open('cells.py').read())"]),
        ("spec_from_file_location('x', path)", ["spec_from_file_location('x', path)"]),
        ("self.exec(1); model.eval(); import_module", []),
        ("this is no Python", []),
    ],
)
def test_what_hides(text: str, found: list[str]) -> None:
    assert [call.text for call in imports.named_at_run_time(text.encode())] == found


def test_a_module_that_no_hash_covers_is_said_and_its_rows_are_not_published(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", ONE, net=net(HIDDEN), cells_at_run_time=CELLS)
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all of it"]):
        git(folder, *words)
    display = Recorder()
    sweep_in(folder, display)
    assert [text for text in display.said if "net.py:5: importlib.import_module(name): what this loads" in text]
    (row,) = rows_of(folder)
    assert row["status"] == "done"
    assert row["provenance"]["unhashed"] == ["cells_at_run_time"]
    assert row["provenance"]["dirty"]
    assert row["provenance"]["diff"]
    assert misshapen(row) == ""
    assert "does not cover cells_at_run_time" in (why_unclean(row["provenance"] | {"commit": "c0ffee"}) or "")


def test_what_is_installed_may_be_loaded_by_any_name(tmp_path: Path) -> None:
    """It is known by its version; the call is said, and the row stays as clean as others."""
    text = "import importlib\nname = 'js' + 'on'\nKEEP = 0.5 if importlib.import_module(name) else 0.0"
    folder = write(tmp_path / "mine", ONE, net=net(text))
    sweep_in(folder)
    assert "unhashed" not in rows_of(folder)[0]["provenance"]
    assert len(remarks(config.load(folder).runs)) == 1


def test_a_neighbour_that_hides_something_is_named_too(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", ONE, net=net("from cells import KEEP"), cells=CELLS + "exec('x = 1')\n")
    assert calls(config.load(folder).runs[0]) == ["cells.py:2: exec('x = 1')"]
