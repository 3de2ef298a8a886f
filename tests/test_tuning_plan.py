"""The plan of a study: its space, its trials, what is refused, and the winners that runs follow."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from experiments import write
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments import config, trials
from seqbench.bench.experiments.space import read
from seqbench.bench.rows.store import Workplace
from seqbench.bench.running import planning
from seqbench.bench.tuning.study import check
from studies import STUDY, study_in

SPACE = "learning_rate: log(low=1e-3, high=1e-1)\n    clip: [0.25, none]"
WINNERS = """\
study: {study}
winners:
- task: adding(length=12, train=32, valid=32, test=32)
  model: gru
  trial: 1
  settings: {{learning_rate: 0.0205, clip: 0.25}}
- task: adding(length=12, train=32, valid=32, test=32)
  model: lstm
  trial: 0
  settings: {{learning_rate: 0.00661, clip: none}}
"""


def test_values_of_ranges_and_lists() -> None:
    assert [read("rate", "log(low=1e-4, high=1e-2)").at(place) for place in (0, 0.25, 0.999999)] == [
        1e-4,
        3.16e-4,
        0.01,
    ]
    assert read("dropout", "uniform(low=0.0, high=0.5)").at(0.5) == 0.25
    assert [read("layers", "whole(low=1, high=3)").at(place) for place in (0, 0.34, 0.99)] == [1, 2, 3]
    assert [read("clip", [0.25, "none"]).at(place) for place in (0, 0.49, 0.5)] == [0.25, 0.25, None]
    assert str(read("clip", [0.25, "none"])), str(read("layers", "whole(low=1, high=3)")) == (
        "[0.25,none]", "whole(low=1, high=3)"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ("log(low=0, high=1)", "above 0"),
        ("uniform(low=2, high=1)", "low below high"),
        ("whole(low=1, high=2.5)", "whole numbers"),
        ("normal(low=1, high=2)", "no range 'normal'"),
        ("log(low=1)", "low=… and high=…"),
        ([1], "two different"),
        ([1, 1], "two different"),
        (3, "a list of values, or a range"),
    ],
)
def test_what_is_no_range_is_refused(values: object, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        read("x", values)


def test_the_points_are_those_of_always() -> None:
    """Another version of SciPy must not draw another plan: rows of before would be trials of none."""
    assert [tuple(round(place, 4) for place in point) for point in trials.points(3, 4, 0)] == [
        (0.4099, 0.9641, 0.8577),
        (0.7833, 0.1738, 0.2832),
        (0.7123, 0.5857, 0.6376),
        (0.0865, 0.3096, 0.1907),
    ]


def test_all_models_of_a_row_have_the_same_trials_and_the_same_size(tmp_path: Path) -> None:
    text = STUDY.replace(
        "  space:\n", "  additions:\n    gru:\n      input_dropout: uniform(low=0.0, high=0.3)\n  space:\n"
    )
    first, second, *_ = study_in(tmp_path, text).cells
    assert first.plan is not None
    assert second.plan is not None
    for trial in first.plan.trials:
        ours, theirs = first.plan.settings(trial), second.plan.settings(trial)
        assert 0 <= ours.pop("input_dropout") <= 0.3
        assert ours == theirs
        run = first.plan.run(trial, 1000)
        assert (run.seed, run.training.learning_rate, run.training.clip) == (1000, *ours.values())
        assert run.model.options["width"] == 4
    rates = [first.plan.settings(trial)["learning_rate"] for trial in first.plan.trials]
    quarters = sorted(int(4 * (3 + math.log10(rate)) / 2) for rate in rates)
    assert quarters == [0, 1, 2, 3], "one in each quarter: a Sobol sequence"


def test_an_option_that_changes_the_size_is_fitted_anew(tmp_path: Path) -> None:
    text = STUDY.replace("    clip: [0.25, none]\n", "    layers: [1, 2]\n")
    text = text.replace('"gru(width=4)", "lstm(width=4)"', "gru, lstm").replace(
        "  models", "  parameters: 2000\n  tolerance: 0.1\n  models"
    )
    cell = study_in(tmp_path, text).cells[0]
    assert cell.plan is not None
    widths = {
        cell.plan.settings(trial)["layers"]: cell.plan.run(trial, 1000).model.options["width"] for trial in range(4)
    }
    assert widths[1] > widths[2] > 0


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("trials: 4", "trials: 6", 4, "a power of two"),
        ("seeds: [1000]", "seeds: [1, 1000]", 5, "1 is a seed of the report too"),
        ("seeds: [1000]", "seeds: []", 5, "distinct seeds"),
        ("learning_rate: log", "learning_rate: lag", 7, "no range 'lag'"),
        ("clip: [0.25, none]", "clip: [0.25, -1]", 8, "clip must be positive"),
        ("clip: [0.25, none]", "forget_bias: [0.0, 1.0]", 8, "gru.*: neither a setting of training nor an option"),
        ("clip: [0.25, none]", "epochs: [1, 2]", 8, "a part of the budget"),
        ("clip: [0.25, none]", "width: [4, 8]", 8, "set by the budget of parameters"),
        ("clip: [0.25, none]", "input_dropout: [0.0, high]", 8, "input_dropout=high: a number is needed"),
        ("epochs: 1,", "epochs: 1, clip: 1.0,", 12, "clip is tuned, so no value of it can be given"),
        ("gru(width=4)", "gru(width=4, input_dropout=0.1)", 8, ""),
        ("  space:", "  additions: {tcn: {dropout: [0.0, 0.1]}}\n  space:", 6, "no model 'tcn'"),
        ("  space:", "  additions: {gru: {clip: [1.0, 2.0]}}\n  space:", 6, "in the space of all models already"),
        (SPACE, "accumulate: [1, 2]", 11, "two of the 4 trials have the same settings"),
    ],
)  # fmt: skip
def test_a_block_that_cannot_be_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, what: str
) -> None:
    text = STUDY.replace(old, new, 1)
    if not what:  # a value of a model's option that the space has too
        text = text.replace("clip: [0.25, none]", "input_dropout: [0.0, 0.2]")
        what = "it is tuned, but gru is given with a value of it"
    with pytest.raises(UsageError, match=rf"experiment.yaml:{line}: .*{what}"):
        study_in(tmp_path, text)


def test_values_that_a_model_refuses_are_found_before_the_first_trial(tmp_path: Path) -> None:
    experiment = study_in(tmp_path, STUDY.replace("clip: [0.25, none]", "dropout: [0.0, 0.1]"))
    with pytest.raises(UsageError, match=r"adding.*, gru: space: dropout: .*acts between layers"):
        check(experiment)
    check(study_in(tmp_path))


def test_a_space_needs_a_block(tmp_path: Path) -> None:
    text = STUDY.replace(STUDY[STUDY.index("tune:") : STUDY.index("training:")], "")
    write(tmp_path, text.replace("  models", "  space: {clip: [0.25, none]}\n  models", 1))
    with pytest.raises(UsageError, match=r"experiment.yaml:6: .*no `tune:` block"):
        config.load(tmp_path)


def test_runs_follow_the_winners_and_the_rest_waits(tmp_path: Path) -> None:
    experiment = study_in(tmp_path)
    (tmp_path / "tuned.yaml").write_text(WINNERS.format(study=experiment.study), encoding="utf-8")
    tuned = config.load(tmp_path)
    gru, lstm, *others = tuned.cells
    assert [run.training.learning_rate for run in gru.runs] == [0.0205, 0.0205]
    assert [(run.seed, run.training.clip) for run in lstm.runs] == [(0, None), (1, None)]
    assert (gru.model, gru.trial, lstm.trial) == ("gru", 1, 0)
    assert [cell.trial for cell in others] == [None, None]
    reasons = [item.reason for item in planning.plan(tuned, Workplace(tmp_path), "cpu")]
    assert reasons == ["new", "new", "not tuned yet", "not tuned yet"] * 2
    assert tuned.study == experiment.study, "a study is the same before and after"


@pytest.mark.parametrize(
    ("old", "new", "line", "what"),
    [
        ("study: ", "study: 0", 1, "of the study 0"),
        ("trial: 1", "trial: 2", 6, "not the settings of trial 2"),
        ("trial: 1", "trial: 4", 5, "there are 4, from 0 up"),
        ("0.0205", "0.0206", 6, "not the settings of trial 1"),
        ("model: gru", "model: grue", 3, "no model of the experiment"),
        ("model: lstm", "model: gru", 7, "has two winners"),
    ],
)
def test_winners_that_are_not_of_this_plan_are_refused(
    tmp_path: Path, old: str, new: str, line: int, what: str
) -> None:
    text = WINNERS.format(study=study_in(tmp_path).study).replace(old, new, 1)
    (tmp_path / "tuned.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=rf"tuned.yaml:{line}: .*{what}"):
        config.load(tmp_path)


def test_a_task_has_winners_for_all_models_or_none(tmp_path: Path) -> None:
    text = WINNERS.format(study=study_in(tmp_path).study)
    (tmp_path / "tuned.yaml").write_text(text[: text.index("- task", 60)], encoding="utf-8")
    with pytest.raises(UsageError, match=r"tuned.yaml:2: .* has no winner for lstm"):
        config.load(tmp_path)
