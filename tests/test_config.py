"""From an experiment's YAML to its runs: axes, widths, order, and an error with its line for whatever is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from seqbench.bench import make_run
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config
from seqbench.bench.experiments.config import Cell, Experiment, load

GOOD = """\
question: >
  Which of them
  remembers?
preset: published
seeds: 2
training: {epochs: 3, clip: 1.0, batch: 16}
rows:
- task: copy-memory(delay=20)
  parameters: 6000
  tolerance: 0.025
  head: linear(std=0.01)
  training: {epochs: 2, learning_rate: 2.0e-3, clip: 0.75}
  models:
  - tcn(kernel=8, levels=4)
  - {model: lstm, training: {clip: 0.5}, assumed: [clip]}
  - {model: gru, parameters: 3000, tolerance: 0.05, head: linear}
- task: adding(length=50)
  models: [rnn]
"""


def loaded(folder: Path, text: str, seeds: list[int] | None = None) -> Experiment:
    (folder / "experiment.yaml").write_text(text, encoding="utf-8")
    return load(folder, seeds)


def refusal(folder: Path, text: str) -> str:
    """The message for a text that is refused, without the folder: `LINE: what is wrong`."""
    with pytest.raises(UsageError) as raised:
        loaded(folder, text)
    message = str(raised.value)
    assert message.startswith(f"{folder / 'experiment.yaml'}:")
    assert "\n" not in message
    return message.removeprefix(f"{folder / 'experiment.yaml'}:")


def row(task: str = "adding(length=20)", models: str = "[rnn]", **keys: str) -> str:
    """An experiment of one row: task in line 3, models in line 4, further keys from line 5 on."""
    lines = ["question: Q", "rows:", f"- task: {task}", f"  models: {models}"]
    return "\n".join(lines + [f"  {key}: {value}" for key, value in keys.items()]) + "\n"


def names(cells: tuple[Cell, ...]) -> list[tuple[str, str]]:
    return [(cell.task, cell.model) for cell in cells]


def test_a_good_file(tmp_path: Path) -> None:
    experiment = loaded(tmp_path, GOOD)
    assert (experiment.name, experiment.preset) == (tmp_path.name, "published")
    assert experiment.question == "Which of them remembers?"
    tcn, lstm, gru, rnn = experiment.cells
    assert names((tcn, lstm, gru, rnn)) == [
        ("copy-memory(delay=20)", "tcn(kernel=8, levels=4)"),
        *(("copy-memory(delay=20)", "lstm"), ("copy-memory(delay=20)", "gru"), ("adding(length=50)", "rnn")),
    ]
    assert [cell.budget for cell in experiment.cells] == [6000, 6000, 3000, None]
    assert [cell.assumed for cell in experiment.cells] == [(), ("clip",), (), ()]
    assert [str(cell.runs[0].head) for cell in experiment.cells] == ["linear(std=0.01)"] * 2 + ["linear"] * 2
    for cell in experiment.cells[:2]:  # a row's settings go before the experiment's, a model's before both
        training = cell.runs[0].training
        assert (training.epochs, training.learning_rate, training.batch) == (2, 0.002, 16)
    assert [cell.runs[0].training.clip for cell in experiment.cells] == [0.75, 0.5, 0.75, 1.0]
    assert (rnn.runs[0].training.epochs, rnn.runs[0].training.learning_rate) == (3, 0.002)
    for cell, budget, tolerance in ((tcn, 6000, 0.025), (lstm, 6000, 0.025), (gru, 3000, 0.05)):
        run = cell.runs[0]
        assert abs(run.make_network(run.make_task()).parameter_count / budget - 1) <= tolerance
    run = make_run("copy-memory(delay=20)", "lstm", parameters=6000, tolerance=0.025, head="linear(std=0.01)",
                   epochs=2, learning_rate=2e-3, batch=16, clip=0.5, seed=1)  # fmt: skip
    assert lstm.runs[1].id == run.id


def test_the_first_seed_of_every_cell_comes_first(tmp_path: Path) -> None:
    experiment = loaded(tmp_path, GOOD)
    assert [run.seed for run in experiment.runs] == [0] * 4 + [1] * 4
    assert [run.model.name for run in experiment.runs] == ["tcn", "lstm", "gru", "rnn"] * 2


@pytest.mark.parametrize(("seeds", "expected"), [("1", [0]), ("3", [0, 1, 2]), ("[4, 1]", [4, 1])])
def test_seeds(tmp_path: Path, seeds: str, expected: list[int]) -> None:
    text = f"seeds: {seeds}\n{row()}"
    assert [run.seed for run in loaded(tmp_path, text).runs] == expected
    assert [run.seed for run in loaded(tmp_path, text, seeds=[7, 8]).runs] == [7, 8]


@pytest.mark.parametrize("seeds", ["0", "-1", "[]", "[1, 1]", "[-1]", "true", "two", "1.5", "[a]"])
def test_seeds_that_are_refused(tmp_path: Path, seeds: str) -> None:
    assert refusal(tmp_path, f"{row()}seeds: {seeds}\n").startswith("5: ")


def test_lists_are_axes(tmp_path: Path) -> None:
    text = row("['adding(length=[20, 30])', 'copy-memory(delay=5)']", "['lstm(layers=[1, 2], width=8)', gru]",
               training="{learning_rate: [0.001, 0.01], clip: [null, 1.0]}")  # fmt: skip
    experiment = loaded(tmp_path, text)
    rates = [f"learning_rate={rate}, clip={clip}" for rate in (0.001, 0.01) for clip in ("none", "1.0")]
    assert names(experiment.cells) == [
        (task, f"{model}, {rate}")
        for task in ("adding(length=20)", "adding(length=30)", "copy-memory(delay=5)")
        for model in ("lstm", "lstm(layers=2)", "gru")
        for rate in rates
    ]
    assert len({run.id for run in experiment.runs}) == len(experiment.cells)


def test_a_list_is_a_value_where_the_option_takes_one(tmp_path: Path) -> None:
    text = row(models='["tcn(widths=[4, 5], levels=[2, 3])"]', training="{test_lengths: [30, 40]}")
    cells = loaded(tmp_path, text).cells
    assert [cell.runs[0].model.options["widths"] for cell in cells] == [(4, 5), (4, 5)]
    assert [cell.runs[0].model.options["levels"] for cell in cells] == [2, 3]
    assert cells[0].runs[0].training.test_lengths == (30, 40)


def test_an_explicit_width_beats_the_budget(tmp_path: Path) -> None:
    text = row(models="['rnn(width=5)', gru, 'tcn(widths=[4, 5])']", parameters="2000", tolerance="0.1")
    widths = [cell.runs[0].model.options["width"] for cell in loaded(tmp_path, text).cells]
    assert widths[0] == 5
    assert widths[1] not in (5, 128)
    assert widths[2] == 25  # its default: `widths` gives all sizes


def test_a_models_own_tolerance_may_be_nothing(tmp_path: Path) -> None:
    text = row(models="[{model: rnn, tolerance: 0}]", parameters="2000", tolerance="0.5")
    assert "no width comes within 0.0% of 2,000 parameters" in refusal(tmp_path, text)


def test_models_for_all_rows(tmp_path: Path) -> None:
    text = "question: Q\nmodels: [rnn, gru]\nrows:\n- task: adding(length=20)\n- {task: adding, models: [lstm]}\n"
    assert names(loaded(tmp_path, text).cells) == [
        *(("adding(length=20)", "rnn"), ("adding(length=20)", "gru"), ("adding(length=600)", "lstm"))
    ]


def test_a_users_model_beside_the_experiment(tmp_path: Path) -> None:
    source = 'from seqbench.models import gru\n\n\nclass Model(gru.Model):\n    """Mine."""\n'
    (tmp_path / "my_model.py").write_text(source, encoding="utf-8")
    (cell,) = loaded(tmp_path, row(models="[my_model.py]", parameters="900", tolerance="0.1")).cells
    assert cell.model == "my_model.py"
    assert cell.runs[0].make_network(cell.runs[0].make_task()).parameter_count == pytest.approx(900, rel=0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "1: a mapping with the keys question, decides, reference, preset, seeds, precision, instructions, ",
        ),
        ("- a\n", "1: a mapping with the keys"),
        ("question: Q\n", "1: the key 'rows' is missing"),
        ("question: Q\nrows: []\n", "2: at least one row is needed"),
        ("question: Q\nrows: 5\n", "2: experiment: rows=5: a list is needed"),
        ("question: Q\nrows:\n- adding\n", "3: a mapping with the keys task, parameters"),
        ("rows:\n- {task: adding, models: [rnn]}\n", "1: the key 'question' is missing"),
        ("question: Q\nrows:\n- {models: [rnn]}\n", "3: the key 'task' is missing"),
        ("question: Q\nrows:\n- {task: adding}\n", "3: the row has no models"),
        (f"{row()}preset: publishd\n", "5: experiment: preset=publishd: did you mean 'published'?"),
        (f"{row()}row: 5\n", "5: unknown key 'row': did you mean 'rows'?"),
        (f"{row()}trainings: 5\n", "5: unknown key 'trainings': did you mean 'training'?"),
        (row(model="5"), "5: unknown key 'model': did you mean 'models'?"),
        (row(models="[{model: rnn, traning: {}}]"), "4: unknown key 'traning': did you mean 'training'?"),
        (row(training="{learning_rat: 0.1}"), "5: unknown key 'learning_rat': did you mean 'learning_rate'?"),
        (row(training="\n    batch: 3\n    epoch: 2"), "7: unknown key 'epoch': did you mean 'epochs'?"),
        (row(models="\n  - rnn\n  - {model: gru, training: {clp: 1}}"), "6: unknown key 'clp': did you mean 'clip'?"),
        (row(parameters="many"), "5: rows: parameters=many: a whole number or none is needed"),
        (row(parameters="0"), "4: rnn: parameters=0: a budget of at least 1 is needed"),
        (row(tolerance="wide"), "5: rows: tolerance=wide: a number is needed"),
        (row(training="fast"), "5: rows: training=fast: a mapping is needed"),
        (row(training="{learning_rate: 1e-3x}"), "5: training: learning_rate='1e-3x': a number is needed"),
        (row(training="{batch: true}"), "5: training: batch=true: a whole number is needed"),
        (row(training="{batch: []}"), "5: training: batch=[]: a whole number is needed"),
        (row(training="{optimizer: adan}"), "5: training: optimizer=adan: did you mean 'adam'?"),
        (row(training="{optimizer: [adam, sdg]}"), "5: training: optimizer=sdg: did you mean 'sgd'?"),
        (row(training="{learning_rate: .nan}"), "5: training: learning_rate=nan: a number is needed"),
        (row(training="{epochs: 0}"), "4: rnn: training: epochs=0: at least 1 is needed"),
        (row(training="{momentum: 0.9}"), "4: rnn: training: momentum is an option of sgd and rmsprop"),
        (row(training="{schedule: stepp}"), "4: rnn: unknown schedule 'stepp': did you mean 'step'?"),
        (row("ading"), "3: unknown task 'ading': did you mean 'adding'?"),
        (row("adding(lenth=5)"), "3: task adding has no option 'lenth': did you mean 'length'?"),
        (row("adding(length=long)"), "3: task adding: length=long: a whole number is needed"),
        (row("adding(length=1)"), "3: task adding(length=1): adding: length must be 2 or more, got 1"),
        (row("adding(length=[])"), "3: task adding: length=[]: a whole number is needed"),
        (row("\n  - adding\n  - ading"), "5: unknown task 'ading'"),
        (row("[adding, 5]"), "3: rows: task=[adding,5]: a word or a list is needed"),
        (row(models="[rnn, tnc]"), "4: tnc: unknown model 'tnc': did you mean 'tcn'?"),
        (row(models="\n  - rnn\n  - lstm(layer=2)"), "6: lstm(layer=2): model lstm has no option 'layer'"),
        (row(models="[gru, 'lstm(dropout=0.5)']"), "4: lstm(dropout=0.5): dropout: acts between layers"),
        (row(models="[missing.py]"), "4: missing.py: no file missing.py (looked in "),
        (row(models="[5]"), "4: a mapping with the keys model, parameters"),
        (row(models="[{training: {}}]"), "4: the key 'model' is missing"),
        (row(models="[{model: [rnn, gru]}]"), "4: models: model=[rnn,gru]: a word is needed"),
        (row(models="[{model: rnn, assumed: clip}]"), "4: models: assumed=clip: a list is needed"),
        (row(head="lineal"), "4: rnn: unknown head 'lineal': did you mean 'linear'?"),
        (row(head="linear(sdt=1)"), "4: rnn: head linear has no option 'sdt': did you mean 'std'?"),
        (row(head="tied"), "4: rnn: head 'tied' does not answer what this task asks: linear is needed"),
        (row("ptb-word", head="linear"), "4: rnn: head 'linear' does not answer what this task asks: softmax or tied"),
        (row(head="5"), "5: rows: head=5: a word or none is needed"),
        (row(embedding="[a]"), "5: rows: embedding=[a]: a word or none is needed"),
        (row("ptb-word", embedding="embeding"), "4: rnn: unknown embedding 'embeding': did you mean 'embedding'?"),
        (row("text8", embedding="embedding(stdd=1)"), "4: rnn: embedding has no option 'stdd': did you mean 'std'?"),
        (row(embedding="embedding(width=3)"), "4: rnn: embedding(width=3): this task's input are numbers"),
        (row(embeding="embedding"), "5: unknown key 'embeding': did you mean 'embedding'?"),
        (f"{row()}precision: float16\n", "5: experiment: precision=float16: did you mean 'bfloat16'?"),
        (row(precision="bfloat16"), "5: unknown key 'precision'"),
        (row(training="{patience: 0}"), "4: rnn: training: patience=0: at least 1 is needed, or none"),
        (
            row("jsb", training="{until_solved: true}"),
            "4: rnn: training: until_solved=true: this task counts as solved at no score; use patience",
        ),
        (
            row("copy-memory", "[gru]", parameters="12530"),
            "4: gru: no width comes within 1.0% of 12,530 parameters: 61 ",
        ),
        (row(models="[rnn, gru, rnn]"), "4: the same run as in line 4: adding(length=20) rnn seed 0"),
        (row(models="\n  - rnn\n  - gru\n  - rnn(width=128)"), "7: the same run as in line 5: "),
        ("question: Q\nquestion: Q\n", "2: 'question' is given twice"),
        (row(task="adding\n  task: adding"), "4: 'task' is given twice"),
        ("question: [Q\n", "2: not YAML: expected ',' or ']'"),
        ("question: Q\n\trows: 5\n", "2: not YAML: found character '\\t'"),
        ("question: !!python/name:os.abort Q\n", "1: not YAML: could not determine a constructor"),
        ("question: 2001-02-30\n", " not YAML: day is out of range for month"),
        ("a: &a\n  b: *a\n", " not YAML: it contains itself, or is nested too deep"),
        ("question: Q\n---\nrows: []\n", "2: not YAML: but found another document"),
        ("<<: {question: Q}\n", "1: the key 'rows' is missing"),
        ("<<: 5\n", "1: <<: a mapping, or a list of mappings, is needed"),
        ("question: 5\nrows: []\n", "1: experiment: question=5: a word is needed"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text).startswith(message)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (row(models="[rnn, tcn(kernel=5, levels=4)]"), 4),
        (row("[adding(length=20, train=64)]"), 3),
        (row(models="[{model: tcn(kernel=5, levels=4)}]"), 4),
        (row(models="\n  - {model: rnn, head: linear(std=1, x=2)}"), 5),
    ],
)
def test_a_comma_in_brackets_is_explained(tmp_path: Path, text: str, line: int) -> None:
    """YAML reads `[rnn, tcn(kernel=5, levels=4)]` as three items."""
    message = refusal(tmp_path, text)
    assert message.startswith(f"{line}: ")
    assert message.endswith("a comma has cut it: write it on a line of its own, or put quotes around it")


def test_with_models_for_all_rows_the_row_is_named(tmp_path: Path) -> None:
    text = "question: Q\nmodels: [rnn, gru]\nrows:\n- task: adding(length=20)\n- task: jsb\n  parameters: 10\n"
    assert refusal(tmp_path, text).startswith("5: rnn: no width comes within 1.0% of 10 parameters: 1 gives ")
    text = "question: Q\nmodels: [rnn]\nrows:\n- task: adding\n- task: adding\n"
    assert refusal(tmp_path, text).startswith("5: the same run as in line 4: ")


def test_a_folder_or_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no experiment\.yaml there"):
        load(tmp_path)
    (tmp_path / "experiment.yaml").write_bytes(b"question: \xff\n")
    with pytest.raises(UsageError, match="codec can't decode"):
        load(tmp_path)


def test_a_tolerance_that_is_too_wide_to_be_a_match_is_written_down(tmp_path: Path) -> None:
    """The copy-memory row has no nearer GRU: an experiment says in writing that it takes 1.52 %."""
    text = row("copy-memory(delay=1000)", "[gru, lstm]", parameters="12530", tolerance="0.025")
    assert [cell.runs[0].model.options["width"] for cell in loaded(tmp_path, text).cells] == [62, 53]


def test_the_explanation_at_the_head_of_config_is_true(tmp_path: Path) -> None:
    text = (config.__doc__ or "").split("experiment.yaml`:\n")[1].split("\n\nA row")[0]
    experiment = loaded(tmp_path, "\n".join(line.removeprefix("    ") for line in text.splitlines()))
    assert names(experiment.cells) == [
        *(("copy-memory(delay=20)", "tcn(kernel=8, levels=4)"), ("copy-memory(delay=20)", "lstm"))
    ]
    assert len(experiment.runs) == 4


def test_only_settings_can_be_assumed(tmp_path: Path) -> None:
    model = "{model: gru, assumed: [layers, head, batch, lerning_rate]}"
    (tmp_path / "experiment.yaml").write_text(f"question: q\nrows:\n- task: adding\n  models:\n  - {model}\n")
    with pytest.raises(UsageError, match=r"experiment\.yaml:5: gru: assumed: .*'lerning_rate'.*'learning_rate'"):
        config.load(tmp_path)


def test_widths_tell_models_apart(tmp_path: Path) -> None:
    models = '["gru(width=[8, 16])", "lstm(width=4)"]'
    (tmp_path / "experiment.yaml").write_text(f"question: q\nrows:\n- task: adding\n  models: {models}\n")
    assert [cell.model for cell in load(tmp_path).cells] == ["gru, width=8", "gru, width=16", "lstm"]


def test_ends_tell_models_apart(tmp_path: Path) -> None:
    models = """
  - {model: gru(width=8), head: tied}
  - {model: gru(width=8), head: tied(dropout=0.1)}
  - {model: gru(width=9), head: tied, embedding: embedding(std=0.1)}
  - lstm(width=4)
  - {model: rnn(width=4), head: tied}"""
    (tmp_path / "experiment.yaml").write_text(f"question: q\nrows:\n- task: ptb-char\n  models: {models}\n")
    assert [cell.model for cell in load(tmp_path).cells] == [
        "gru, width=8, head=tied, embedding(width=100)",
        "gru, width=8, head=tied(dropout=0.1), embedding(width=100)",
        "gru, width=9, head=tied, embedding(std=0.1)",
        "lstm",
        "rnn",
    ]
