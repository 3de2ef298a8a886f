"""No test sees what the user has: the rows in the checkout's `runs/`, the data in a cache, variables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import made_rows
import pytest
from seqbench.bench.experiments import config, registry
from seqbench.bench.rows.store import Workplace

QUICK = registry.ROOT / "results" / "quick"
SEEN = ("SEQBENCH_RUNS", "SEQBENCH_MIRROR", "SEQBENCH_SOMETHING", "GIT_DIR", "GIT_INDEX_FILE", "COLUMNS", "FORCE_COLOR")


@pytest.mark.parametrize("turn", ["first", "second"])
def test_each_test_finds_the_working_area_empty(turn: str, tmp_path: Path) -> None:
    """Whatever the user, or another test, has run. What a test writes is there until its end."""
    place = Workplace(QUICK)
    assert not place.area.is_relative_to(registry.ROOT / "runs")
    assert place.working.read() == []
    place.working.append(made_rows.made(config.load(QUICK).runs[0]))
    assert len(Workplace(QUICK).working.read()) == 1
    assert Workplace(tmp_path / "results" / "x").area == tmp_path / "runs" / "x", "as for a user"


@pytest.fixture(scope="module")
def place_of_a_module() -> Workplace:
    return Workplace(QUICK)


def test_fixtures_of_a_module_have_an_area_too(place_of_a_module: Workplace) -> None:
    """They are made before the test is, whose area is another one."""
    assert not place_of_a_module.area.is_relative_to(registry.ROOT / "runs")
    assert place_of_a_module.area != Workplace(QUICK).area


def test_the_users_variables_are_hidden() -> None:
    assert [name for name in SEEN if name in os.environ] == []
    assert os.environ["SEQBENCH_DATA"] != "the user's"


def test_they_are_hidden_where_the_user_has_them(tmp_path: Path) -> None:
    """These tests, from another folder, with every one of the variables."""
    theirs = {**dict.fromkeys(SEEN, "the user's"), "SEQBENCH_DATA": "the user's"}
    others = ["-k", "not where_the_user_has_them", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "there")]
    command = [sys.executable, "-m", "pytest", "--rootdir", str(registry.ROOT), __file__, *others]
    ended = subprocess.run(command, cwd=tmp_path, env={**os.environ, **theirs}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout
    assert "4 passed" in ended.stdout
