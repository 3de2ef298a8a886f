"""Publishing measurements of gradients: clean ones go into the folder with their figure, others stay and are named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from command import seqbench
from made_rows import made, write
from seqbench.bench.errors import UsageError
from seqbench.bench.evidence import checking
from seqbench.bench.evidence.publishing import publish
from seqbench.bench.experiments import config
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.measuring import gradient_flow
from seqbench.bench.rows import measurements
from seqbench.bench.rows.measurements import Flow
from seqbench.bench.rows.store import Workplace

TEXT = """
question: Which one?
seeds: 2
rows:
- task: adding(length=20)
  models: [rnn(width=4), gru(width=4)]
"""
CLEAN = {"commit": "c0ffee1234", "dirty": False, "diff": None}
DRAWN = ("gradients.png", "gradients.svg", "gradients.pdf")


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return write(tmp_path / "results" / "small", TEXT)


def lay_out(experiment: Experiment, rows: bool = True) -> Workplace:
    """The working area with a row of each run, if rows are wanted."""
    place = Workplace(experiment.folder)
    place.area.mkdir(parents=True, exist_ok=True)
    if rows:
        place.working.replace([made(run) for run in experiment.runs])
    return place


def measured(experiment: Experiment, folder: Path, norm: float = 0.5, **changes: Any) -> bytes:
    """The content of a file of clean measurements with these changes of its origin; figures stand beside it."""
    cells = gradient_flow.cells_of(experiment)
    flows = [
        Flow(run, cell.model, moment, 0 if moment == "initialisation" else 10, [1.0, norm])
        for cell in cells
        for run in cell.runs
        for moment in ("initialisation", "trained")
    ]
    found = gradient_flow.origin_of(experiment, cells, datetime.now(UTC), 32)
    found["provenance"] |= CLEAN | changes.pop("provenance", {})
    file = folder / measurements.FILE
    measurements.write(file, found | changes, flows)
    for name in DRAWN:
        (folder / name).write_text("of the working area", encoding="utf-8")
    return file.read_bytes()


def test_clean_measurements_move_and_their_figure_is_drawn_in_the_folder(experiment: Experiment) -> None:
    place = lay_out(experiment)
    content = measured(experiment, place.area)
    publication = publish(experiment)
    assert (len(publication.moved), publication.left_files) == (4, [])
    assert publication.written[0] == experiment.folder / "gradients.csv"
    assert (experiment.folder / "gradients.csv").read_bytes() == content
    assert {"gradients.png", "gradients.svg"} <= {path.name for path in publication.written}
    assert (experiment.folder / "gradients.png").read_bytes().startswith(b"\x89PNG")
    assert not [path for path in place.area.iterdir() if path.name.startswith("gradients")]
    assert not [*experiment.folder.glob("*.tmp")]
    again = publish(experiment)
    assert (again.moved, again.left_files) == ([], [])
    assert (experiment.folder / "gradients.csv").read_bytes() == content


def dirty(experiment: Experiment, area: Path) -> None:
    measured(experiment, area, provenance={"dirty": True, "differing": ["tasks/adding.py"]})


def of_no_commit(experiment: Experiment, area: Path) -> None:
    measured(experiment, area, provenance={"commit": None})


def stale(experiment: Experiment, area: Path) -> None:
    runs = gradient_flow.cells_of(experiment)[0].runs
    sources = gradient_flow.origin_of(experiment, gradient_flow.cells_of(experiment), datetime.now(UTC), 32)["sources"]
    measured(experiment, area, sources=sources | {runs[0].id: "0" * 16})


def of_other_seeds(experiment: Experiment, area: Path) -> None:
    measured(config.load(experiment.folder, [1, 2]), area)


def edited(experiment: Experiment, area: Path) -> None:
    (area / "gradients.csv").write_bytes(measured(experiment, area).replace(b",0.5\n", b",0.9\n"))


def no_measurements(experiment: Experiment, area: Path) -> None:
    (area / "gradients.csv").write_text("run,norm\n", encoding="utf-8")


REASONS: list[tuple[Callable[[Experiment, Path], None], str]] = [
    (dirty, "dirty: the sources differed from the commit when it was made (tasks/adding.py)"),
    (of_no_commit, "of no commit: neither the suite nor the experiment was in a git repository when it was made"),
    (stale, "stale: the code of their runs has changed since"),
    (of_other_seeds, "not only of runs of this experiment as it is now"),
    (edited, "its content has not the sum that it was written with; measure again"),
    (no_measurements, "its first line does not say where the measurements come from"),
]


@pytest.mark.usefixtures("no_figure")
@pytest.mark.parametrize(("lay", "reason"), REASONS, ids=lambda value: getattr(value, "__name__", ""))
def test_what_cannot_be_trusted_stays(experiment: Experiment, lay: Callable[..., None], reason: str) -> None:
    place = lay_out(experiment)
    lay(experiment, place.area)
    file = place.area / "gradients.csv"
    content = file.read_bytes()
    publication = publish(experiment)
    assert publication.left_files == [(file, reason)]
    assert len(publication.moved) == 4, "the rows go all the same"
    assert file.read_bytes() == content
    assert not (experiment.folder / "gradients.csv").exists()
    if lay is not no_measurements:
        assert {path.name for path in place.area.glob("gradients.*")} == {"gradients.csv", *DRAWN}


@pytest.mark.usefixtures("no_figure")
def test_newer_measurements_take_the_place_of_older_ones_and_not_the_other_way(experiment: Experiment) -> None:
    place = lay_out(experiment)
    older, newer = ({"finished": f"2026-11-0{day}T10:00:00+00:00"} for day in (1, 2))
    measured(experiment, place.area, provenance=older)
    publish(experiment)
    content = measured(experiment, place.area, 0.25, provenance=newer)
    assert publish(experiment).left_files == []
    assert (experiment.folder / "gradients.csv").read_bytes() == content
    measured(experiment, place.area, provenance=older)
    target = experiment.folder / "gradients.csv"
    assert publish(experiment).left_files == [(place.area / "gradients.csv", f"older than {target}")]
    assert target.read_bytes() == content
    target.write_text("damaged", encoding="utf-8")
    assert publish(experiment).left_files == [], "what cannot be read is no reason to keep it"


def test_measurements_alone_wait_for_rows(experiment: Experiment) -> None:
    """A figure in a folder without rows would be one of which nobody could say what it was made of."""
    place = lay_out(experiment, rows=False)
    measured(experiment, place.area)
    publication = publish(experiment)
    ((path, reason),) = publication.left_files
    assert (path, reason.startswith("the folder has no rows yet")) == (place.area / "gradients.csv", True)
    assert publication.written == []


@pytest.mark.usefixtures("no_figure")
def test_the_command_says_what_is_left_and_ends_with_1(experiment: Experiment) -> None:
    place = lay_out(experiment)
    dirty(experiment, place.area)
    file = place.area / "gradients.csv"
    answer = seqbench("publish", experiment.folder)
    assert (answer.code, answer.err) == (1, f"left: {file}: {REASONS[0][1]}\n")
    told = seqbench("publish", experiment.folder, "--json").json
    assert told["left"] == [{"file": str(file), "reason": REASONS[0][1]}]
    measured(experiment, place.area)
    assert f"wrote {experiment.folder / 'gradients.csv'}" in seqbench("publish", experiment.folder).out


@pytest.mark.usefixtures("no_figure")
def test_a_folder_that_is_its_own_working_area_is_refused(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are moved are taken out of the working area: here they would be lost."""
    monkeypatch.setenv("SEQBENCH_RUNS", str(experiment.folder.parent))
    place = lay_out(experiment)
    with pytest.raises(UsageError, match="is its own working area"):
        publish(experiment)
    assert len(place.working.read()) == 4


def test_a_file_in_the_folder_that_is_not_whole_is_an_error_of_the_static_check(experiment: Experiment) -> None:
    lay_out(experiment)
    publish(experiment)
    (experiment.folder / measurements.FILE).write_text("edited,by,hand\n", encoding="utf-8")
    errors = [finding.what for finding in checking.check(experiment.folder).findings if finding.kind == "error"]
    assert any(measurements.FILE in error for error in errors)
