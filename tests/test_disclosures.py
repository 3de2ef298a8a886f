"""What a table says beside its numbers: assumed settings of every model, and the notes of the experiment's rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_rows import made, write
from seqbench.bench.analysis import grid
from seqbench.bench.experiments import config, places
from seqbench.bench.experiments.config import Cell
from seqbench.bench.report.tables import experiment_table, notes, records

TEXT = """
question: Which one?
seeds: 3
training: {epochs: 1}
rows:
- task: [adding(length=20), adding(length=30)]
  note: >
    Half of the examples, in one order.
    No clipping.
  models:
  - {model: gru(width=4), assumed: [epochs, batch]}
  - {model: "tcn(width=4, kernel=2, levels=2)", assumed: [batch, epochs]}
  - {model: lstm(width=4), assumed: [clip]}
- task: jsb
  models: [gru(width=4)]
"""
SETTINGS = {"epochs", "batch"}
"""What the paper of Bai et al. 2018 gives for no model of any row."""
PAPERS = [folder for folder in places.own_folders() if folder.name.startswith("bai2018-")]


def test_the_note_of_a_row_stands_beneath_the_table_once(tmp_path: Path) -> None:
    experiment = write(tmp_path, TEXT)
    entries = grid.collect(experiment, [made(run, 0.1) for run in experiment.runs])
    line = "adding(length=20), adding(length=30): Half of the examples, in one order. No clipping."
    assert notes.disclosures(entries) == [line]
    assert [block for block in experiment_table.blocks(entries) if block == line] == [line]
    frame = records.long_form(entries)
    assert frame[frame["task"] == "jsb"]["note"].eq("").all()
    assert (
        frame[frame["task"] == "adding(length=20)"]["note"].eq("Half of the examples, in one order. No clipping.").all()
    )


def test_assumed_settings_stand_with_the_models_that_have_them(tmp_path: Path) -> None:
    experiment = write(tmp_path, TEXT)
    entries = grid.collect(experiment, [made(run, 0.1) for run in experiment.runs])
    (line,) = [one for one in experiment_table.blocks(entries) if isinstance(one, str) and one.startswith("‡")]
    assert line == "‡ with settings that the paper does not give: gru, tcn: batch, epochs; lstm: clip"


@pytest.mark.parametrize("folder", PAPERS, ids=lambda folder: folder.name)
def test_every_model_of_the_paper_has_its_assumptions_marked(folder: Path) -> None:
    """The TCN's epochs and batch are the released code's: not even its settings are all in the paper."""
    for cell in config.load(folder).cells:
        assert set(cell.assumed) >= SETTINGS, f"{cell.task} {cell.model}"


def cells_of(task: str) -> list[Cell]:
    return [cell for folder in places.own_folders() for cell in config.load(folder).cells if cell.task.startswith(task)]


def test_what_differs_from_the_published_training_is_disclosed() -> None:
    """The images and their order on MNIST; on JSB and copy memory the clip that has no effect in the released code."""
    pixels = [cell for cell in [*cells_of("sequential-mnist(view=pixels"), *cells_of("permuted-mnist")] if cell.assumed]
    assert len(pixels) >= 10
    assert all("55,000 of the 60,000" in cell.note and "in the order of the file" in cell.note for cell in pixels)
    for folder in PAPERS:
        for cell in config.load(folder).cells:
            if "clip" in cell.assumed and cell.runs[0].training.clip is None:
                assert "No gradient is clipped" in cell.note, f"{folder.name}: {cell.task}"
