"""What reads rows costs so much a row and so much a cell: counted, because seconds depend on what else is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command import seqbench
from seqbench.bench.experiments import registry, runs
from seqbench.bench.experiments.config import Experiment, load
from seqbench.bench.rows import comparing, sources
from seqbench.bench.rows.store import RowFile
from seqbench.bench.speed import many_rows

FEW, MANY = 20, 60
"""Seeds of the one cell."""


@pytest.fixture(scope="module", params=(FEW, MANY))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows") / "many"
    many_rows.write(folder, request.param)
    return folder


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often something is done that costs too much to be done for every row."""
    count = Counter[str]()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counter(*arguments: Any, **named: Any) -> Any:
            count[name] += 1
            return function(*arguments, **named)

        return counter

    for place, name in (
        (RowFile, "read"),
        (runs, "from_config"),
        (sources, "_hashed"),
        (registry, "resolve"),
    ):
        monkeypatch.setattr(place, name, counting(name, getattr(place, name)))
    comparing._first_of_cell.cache_clear()
    yield count
    comparing._first_of_cell.cache_clear()


@pytest.mark.parametrize("verb", ["status", "dry-run", "table"])
def test_a_row_more_costs_no_configuration_more(verb: str, folder: Path, counted: Counter[str]) -> None:
    answer = seqbench(*(word.format(folder=folder) for word in many_rows.VERBS[verb]))
    assert answer.code == 0, answer.err
    assert counted["read"] == 2, "published rows and those of the working area are read once each"
    assert counted["from_config"] <= 1
    assert counted["_hashed"] <= 1
    assert counted["resolve"] < FEW


def test_the_made_up_rows_count(folder: Path) -> None:
    experiment: Experiment = load(folder)
    rows = RowFile(folder / "runs.jsonl").read()
    assert [row["id"] for row in rows] == [run.id for run in experiment.runs]
    assert not any(comparing.flaw(row, folder) for row in rows)
    table = seqbench("table", folder).out
    assert f"n={len(rows)}" in table
    assert "†" not in table, "they are current"
