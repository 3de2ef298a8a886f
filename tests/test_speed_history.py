"""Speed over commits: what asv has written is read, drawn, and stands in the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import seqbench
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments.registry import ROOT
from seqbench.bench.report.figures import speed_history
from seqbench.bench.report.figures.speed_history import BENCHMARK, Point

COLUMNS = ["result", "params", "version", "stats_q_25", "stats_q_75"]
PARAMETERS = [["'short'", "'long'"], ["'gru'", "'tcn'"]]


def written(place: Path, commit: str, date: int, *values: Any) -> Path:
    """A file as asv writes it. values: of (short, gru), (short, tcn), (long, gru), (long, tcn)."""
    place.mkdir(parents=True, exist_ok=True)
    low, high = ([None if one is None else factor * one for one in values] for factor in (0.5, 2.0))
    results = {BENCHMARK: [[*values], PARAMETERS, "1", low, high], "start_up.Commands.time_help": [[0.2], [], "1"]}
    content = {"commit_hash": commit, "date": date, "result_columns": COLUMNS, "results": results}
    file = place / f"{commit[:8]}-virtualenv-py3.11.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    place = tmp_path / "asv" / "a-machine"
    written(place, "b" * 40, 2000, 0.002, 0.004, None, 0.04)
    written(place, "a" * 40, 1000, 0.004, 0.008, 0.01, float("nan"))
    (place / "machine.json").write_text('{"cpu": "A processor", "machine": "a-machine"}', encoding="utf-8")
    return place


def test_commits_stand_in_their_order_and_holes_stay_holes(machine: Path) -> None:
    (history,) = speed_history.histories([machine.parents[1] / "an-experiment"])
    assert (history.name, history.processor) == ("a-machine", "A processor")
    assert history.commits == ["a" * 7, "b" * 7]
    assert history.lines["short"]["gru"] == [Point(0, 4.0, 2.0, 8.0), Point(1, 2.0, 1.0, 4.0)]
    assert history.lines["long"] == {"gru": [Point(0, 10.0, 5.0, 20.0)], "tcn": [Point(1, 40.0, 20.0, 80.0)]}


def test_the_figure_has_a_panel_a_shape_and_a_tick_a_commit(machine: Path) -> None:
    figure = speed_history.draw(speed_history.read(machine))
    assert [axes.get_title() for axes in figure.axes] == ["short", "long"]
    for axes in figure.axes:
        assert [label.get_text() for label in axes.get_xticklabels()] == ["a" * 7, "b" * 7]
    (line, *_) = figure.axes[0].lines
    assert list(line.get_ydata()) == [4.0, 2.0]


@pytest.mark.parametrize(
    "change", [lambda text: "[" * 100_000, lambda text: text.replace("2000", '"new"'), lambda _: "7"]
)
def test_a_damaged_file_is_named(change: Callable[[str], str], machine: Path) -> None:
    file = machine / "bbbbbbbb-virtualenv-py3.11.json"
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(UsageError, match=f"{file.name}: not .*; make speed-history writes such files"):
        speed_history.read(machine)


def test_the_command_writes_it_beside_the_folder(machine: Path) -> None:
    answer = seqbench("speed", "--history", machine)
    assert answer.code == 0, answer.err
    assert {path.name for path in machine.parent.iterdir()} == {
        "a-machine",
        "a-machine-steps.png",
        "a-machine-steps.svg",
    }
    answer = seqbench("speed", "--history", machine / "nothing")
    assert (answer.code, answer.err.count("\n")) == (2, 1)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"commit_hash": "a", "results": {BENCHMARK: [1]}})])
def test_a_file_that_asv_has_not_written_is_named(content: str, machine: Path) -> None:
    (machine / "bad.json").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"bad\.json: not"):
        speed_history.read(machine)


def test_a_machine_without_steps_is_no_history(tmp_path: Path) -> None:
    written(tmp_path / "asv" / "empty", "a" * 40, 1000, None, None, None, None)
    assert speed_history.histories([tmp_path / "an-experiment"]) == []
    with pytest.raises(UsageError, match="no training step was measured"):
        speed_history.draw(speed_history.read(tmp_path / "asv" / "empty"))


def test_the_figure_of_the_suite_is_of_what_was_measured() -> None:
    from seqbench.bench.report.figures.saving import digest_of

    (history,) = speed_history.histories([ROOT / "results" / "quick"])
    assert digest_of(ROOT / "results" / "asv" / f"{history.name}-steps.svg") == history.digest
    assert speed_history.said(history).startswith(f"Training steps from commit {history.commits[0]} to ")
