"""What an experiment says before its runs: which model the others are compared with, and what an outcome decides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from drawing import all_rows
from seqbench.bench.analysis.grid import collect
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments.config import Experiment, load
from seqbench.bench.report.figures.panels import pooled
from seqbench.bench.report.page import page
from seqbench.bench.report.tables.experiment_table import table

DECIDES = "If the LSTM leads, the claim falls; else it stands."
TEXT = """\
question: Which?
decides: If the LSTM leads, the claim falls; else it stands.
reference: lstm
seeds: 2
rows:
- task: ["adding(length=20)", "adding(length=30)"]
  models: [rnn(width=4), lstm(width=4)]
- task: copy-memory(delay=5)
  reference: gru(layers=2)
  models: ["gru(width=4, layers=1)", "gru(width=4, layers=2)"]
"""


def loaded(folder: Path, text: str) -> Experiment:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.yaml").write_text(text, encoding="utf-8")
    return load(folder)


def test_each_cell_knows_its_reference(tmp_path: Path) -> None:
    experiment = loaded(tmp_path / "x", TEXT)
    assert experiment.decides == DECIDES
    for cell in experiment.cells:
        assert cell.reference is not None
        assert cell.reference.task_label == cell.task
        assert cell.reference.model_label == ("gru(layers=2)" if cell.task.startswith("copy") else "lstm")
        assert cell.reference.id in {one.runs[0].id for one in experiment.cells}


@pytest.mark.parametrize("written", ["gru(layers=2)", "gru(width=4, layers=2)", "gru(layers=2,width=4)"])
def test_a_reference_may_be_named_as_the_model_is_written(tmp_path: Path, written: str) -> None:
    """Though its label leaves out the width; a model without options needs none."""
    text = TEXT.replace("reference: gru(layers=2)", f"reference: {written}").replace(
        "reference: lstm\n", "reference: lstm(width=4)\n"
    )
    references = [cell.reference.model_label for cell in loaded(tmp_path / "x", text).cells if cell.reference]
    assert references == ["lstm"] * 4 + ["gru(layers=2)"] * 2


def test_of_two_rows_with_one_label_each_has_its_own(tmp_path: Path) -> None:
    row = "- {task: adding(length=20), training: {epochs: %d}, models: [rnn(width=4), lstm(width=4)]}\n"
    experiment = loaded(tmp_path / "x", f"question: Q\nreference: lstm\nrows:\n{row % 1}{row % 2}")
    references = [cell.reference.training.epochs for cell in experiment.cells if cell.reference is not None]
    assert references == [1, 1, 2, 2]
    entries = collect(experiment, [])
    assert [entry.reference for entry in entries] == ["lstm, epochs=1"] * 2 + ["lstm, epochs=2"] * 2


def test_it_stands_beneath_the_question_in_every_format(tmp_path: Path) -> None:
    experiment = loaded(tmp_path / "results" / "x", TEXT)
    rows = all_rows(experiment)
    entries = collect(experiment, rows)
    contrasts = (
        "Planned contrasts compare each model with: lstm on adding(length=20), adding(length=30); "
        "gru(layers=2) on copy-memory(delay=5)."
    )
    above = table(entries, "md", experiment.question).split("\n\n")[:3]
    assert above == ["Which?", f"What the outcome decides: {DECIDES}", contrasts]
    latex = table(entries, "latex", experiment.question)
    assert latex.index("Which?") < latex.index(DECIDES) < latex.index("Planned contrasts") < latex.index("Preset")
    records = [one for one in json.loads(table(entries, "json")) if one["kind"] == "cell"]
    assert {(one["task"][:4], one["reference"]) for one in records} == {("addi", "lstm"), ("copy", "gru(layers=2)")}
    assert {one["decides"] for one in records} == {DECIDES}
    section = page.section_of(experiment, rows, None, frozenset(), "x")
    assert section.above[:3] == above


def test_without_them_nothing_is_said(tmp_path: Path) -> None:
    text = "\n".join(line for line in TEXT.splitlines() if "decides" not in line and "reference" not in line)
    experiment = loaded(tmp_path / "x", text)
    entries = collect(experiment, all_rows(experiment))
    for form in ("md", "latex", "csv", "json"):
        said = table(entries, form, experiment.question)
        assert not [word for word in ("decides", "reference", "Planned contrasts") if word in said]
    assert table(entries, "md", "Which?").split("\n\n")[1].startswith("Preset ")


def test_experiments_that_are_drawn_together_keep_what_they_decide(tmp_path: Path) -> None:
    one = loaded(tmp_path / "x", TEXT)
    other = loaded(tmp_path / "y", "question: R\nrows:\n- {task: jsb, models: [rnn(width=4)]}\n")
    assert pooled([one, other]).decides == DECIDES


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("reference: lstm", "reference: lstn", "3: {on} adding(length=20) has no model 'lstn': did you mean 'lstm'?"),
        ("reference: gru(layers=2)", "reference: gru(layers=3)", "9: {on} copy-memory(delay=5) has no model"),
        ("reference: gru(layers=2)", "reference: lstm", "9: {on} copy-memory(delay=5) has no model 'lstm': known:"),
        ("decides: If", "decide: If", "2: unknown key 'decide': did you mean 'decides'?"),
    ],
)
def test_a_reference_that_the_row_lacks_is_refused_with_its_line(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in TEXT
    with pytest.raises(UsageError) as raised:
        loaded(tmp_path / "x", TEXT.replace(old, new))
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / 'x' / 'experiment.yaml'}:{said.replace('{on}', 'reference:')}")
    assert "\n" not in message


def test_a_name_of_several_models_is_refused(tmp_path: Path) -> None:
    text = 'question: Q\nreference: gru\nrows:\n- {task: adding, models: ["gru(layers=2)", "gru(layers=3)"]}\n'
    with pytest.raises(UsageError, match=r"yaml:2: reference: 'gru' names several models of adding\(length=\d+\): gru"):
        loaded(tmp_path / "x", text)
