"""A study from its first trial to its publication: what is run, what wins, what is written, what is found wrong."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean

import pytest
from backends import Scripted, all_done
from experiments import Recorder, clean, write
from made_rows import made
from seqbench.bench.analysis.grid import collect
from seqbench.bench.errors import UsageError
from seqbench.bench.evidence import checking, publishing
from seqbench.bench.experiments import config
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.page import page
from seqbench.bench.report.tables.experiment_table import table
from seqbench.bench.rows.store import Row, Workplace, signed
from seqbench.bench.running import planning, sweep
from seqbench.bench.running.backend import Begun, Event, Job, Lost
from seqbench.bench.tuning import budgets, selection, study_journal, winners
from seqbench.bench.tuning.study import FILE, trials_of
from studies import STUDY, by_rate, publish_trials, study_in, trial_rows


def tuned(experiment: Experiment, backend: Scripted) -> sweep.Result:
    """What `seqbench tune` runs of a study."""
    study = trials_of(experiment)
    workplace = Workplace(experiment.folder, record=FILE)
    return sweep.run(study, lambda: planning.plan(study, workplace, "cpu"), Recorder(), jobs=1, backend=backend)


def found_in(experiment: Experiment, rows: list[Row]) -> list[selection.Searched]:
    return selection.searched(experiment, rows)


def test_an_interrupted_study_goes_on_and_tries_nothing_twice(tmp_path: Path) -> None:
    experiment = study_in(tmp_path)
    ids = [run.id for run in trials_of(experiment).runs]
    assert len(ids) == len(set(ids)) == 16

    def dies(job: Job, asked_to_stop: Callable[[], bool]) -> Iterator[Event]:
        yield Begun(job.runs[0].run)
        yield Lost("was killed by SIGKILL", begun=(job.runs[0].run,))

    first = Scripted(all_done, all_done, dies)
    with pytest.MonkeyPatch.context() as patch:  # the third trial's worker dies, then the study itself
        patch.setattr(Recorder, "end", lambda self, run, row: end_with_a_death(row))
        with pytest.raises(Killed):
            tuned(experiment, first)
    rows = Workplace(tmp_path, record=FILE).working.read()
    assert [row["status"] for row in rows] == ["done", "done", "died"]
    assert not Workplace(tmp_path).working.path.exists(), "trials are not among the rows of the experiment"
    second = Scripted()
    tuned(experiment, second)
    again = [one.run for job in second.submitted for one in job.runs]
    assert again == ids[2:], "the one that died, and all that had not been tried"
    assert all(one.complete for one in found_in(experiment, [*Workplace(tmp_path, record=FILE).rows()]))
    third = Scripted()
    tuned(experiment, third)
    assert third.submitted == []


class Killed(BaseException):
    """Nobody catches it, as nobody catches SIGKILL."""


def end_with_a_death(row: Row | None) -> None:
    if row is not None and row["status"] == "died":
        raise Killed


def test_the_order_is_task_by_task_and_trial_by_trial(tmp_path: Path) -> None:
    runs = trials_of(study_in(tmp_path)).runs
    assert [run.task.name for run in runs] == ["adding"] * 8 + ["parity"] * 8
    assert [run.model.name for run in runs[:4]] == ["gru", "lstm"] * 2
    assert runs[0].training == runs[1].training != runs[2].training


def test_the_best_on_validation_wins_and_the_test_set_is_not_asked(tmp_path: Path) -> None:
    experiment = study_in(tmp_path)
    rows = trial_rows(experiment)
    for row in rows:  # on the test set it is the other way round
        row["scores"]["best"]["test"] = {name: 9 - score for name, score in row["scores"]["best"]["valid"].items()}
    least, _, most, _ = found_in(experiment, [signed(row) for row in rows])
    assert least.winner is not None
    assert most.winner is not None
    assert least.winner.settings["learning_rate"] == 0.00661, "of an error the least"
    assert most.winner.settings["learning_rate"] == 0.00147, "of a share the most"
    assert least.edges == []
    assert most.edges == ["learning_rate"], "no rate below it was tried"


def test_a_diverged_trial_counts_and_never_wins(tmp_path: Path) -> None:
    experiment = study_in(tmp_path)
    rows = trial_rows(experiment, lambda rate: None if rate < 0.01 else by_rate(rate))
    one = found_in(experiment, rows)[0]
    assert one.complete
    assert [trial.diverged for trial in one.trials] == [True, False, False, True]
    assert one.winner is not None
    assert one.winner.number == 1
    worst = max(trial.score for trial in one.trials if not trial.diverged)
    (first, *_, last) = budgets.curve(one)
    assert first.mean == pytest.approx(math.exp(fmean(math.log(score) for score in (*[worst] * 3, one.winner.score))))
    assert last.mean < first.mean
    nothing = found_in(experiment, trial_rows(experiment, lambda rate: None))[0]
    assert nothing.complete
    assert (nothing.winner, budgets.curve(nothing)) == (None, [])


def test_rows_that_do_not_count(tmp_path: Path) -> None:
    """Edited, of another space, failed: a trial is missing then, and a task with a missing trial has no winner."""
    experiment = study_in(tmp_path)
    rows = trial_rows(experiment)
    edited = {**rows[0], "label": "another"}
    failed = made(trials_of(experiment).runs[0], status="failed")
    other = made(experiment.runs[0], 0.0)
    for first in (edited, failed, other):
        one, *others = found_in(experiment, [first, *rows[1:]])
        assert not one.complete
        assert one.winner is None
        assert all(each.complete for each in others)
        assert "gru" not in winners.text_of(experiment, [one, *others]).partition("parity")[0]


def test_of_trials_that_end_when_solved_the_quickest_wins(tmp_path: Path) -> None:
    text = STUDY.replace("batch: 16}", "batch: 16, until_solved: true}")
    experiment = study_in(tmp_path, text)
    rows = []
    for number, run in enumerate(run for run in trials_of(experiment).runs if run.model.name == "gru"):
        curve = {0: [0.1, 9e-4], 1: [8e-4], 2: [0.1, 0.1, 1e-4], 3: [0.01]}[number % 4]
        rows.append(made(run, min(curve), curve=curve))
    one = found_in(experiment, rows)[0]
    assert [(trial.solved, trial.steps) for trial in one.trials[:3]] == [(1, 200), (1, 100), (1, 300)]
    assert math.isnan(one.trials[3].steps)
    assert one.winner is not None
    assert one.winner.number == 1, "though another has a tenth of its error"


def test_the_mean_over_tuning_seeds_is_geometric_for_errors(tmp_path: Path) -> None:
    experiment = study_in(tmp_path, STUDY.replace("[1000]", "[1000, 1001]"))
    rows = [made(run, 1e-4 if run.seed == 1000 else 1e-2) for run in trials_of(experiment).runs]
    error, _, share, _ = found_in(experiment, rows)
    assert error.trials[0].score == pytest.approx(1e-3)
    assert share.trials[0].score == pytest.approx(0.00505)
    assert len(found_in(experiment, rows[:-1])[-1].trials) == 3, "a trial is there with all its seeds"


def test_the_expected_best_is_that_of_all_draws() -> None:
    """Dodge et al. 2019, equation 5, by counting: all ways to draw n of N scores with replacement."""
    scores = [0.3, 0.1, 0.9, 0.9]
    for count in (1, 2, 3):
        best = [max(drawn) for drawn in itertools.product(scores, repeat=count)]
        mean, deviation = budgets.expected_best(scores, count)
        assert mean == pytest.approx(fmean(best))
        assert deviation**2 == pytest.approx(fmean((one - fmean(best)) ** 2 for one in best))


def test_ranks_by_budget_are_of_the_tasks_with_the_same_models(tmp_path: Path) -> None:
    text = STUDY + '- task: adding(length=13, train=32, valid=32, test=32)\n  models: ["gru(width=4)"]\n'
    experiment = study_in(tmp_path, text)
    rows = trial_rows(experiment, tasks=3)
    ahead = [made(run, 1e-9) if run.model.name == "lstm" and run.task.name == "adding" else row
             for run, row in zip(trials_of(experiment).runs, rows, strict=True)]  # fmt: skip
    found = budgets.mean_ranks(selection.by_task(found_in(experiment, ahead)))
    assert found.of_model == {"gru": [1.75] * 4, "lstm": [1.25] * 4}
    assert len(found.tasks) == 2
    assert found.left_out == ["adding(length=13, train=32, valid=32, test=32)"]


def test_winners_are_written_and_published_and_of_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = study_in(tmp_path / "results" / "x")
    rows = [clean(row) for row in trial_rows(experiment)]
    place = Workplace(experiment.folder, record=FILE)
    for row in rows:
        place.working.append(row)
    assert winners.write(experiment, found_in(experiment, rows)) == experiment.folder / "tuned.yaml"
    assert winners.write(experiment, found_in(experiment, rows)) is None, "it says that already"
    after = config.load(experiment.folder)
    assert {cell.trial is None for cell in after.cells} == {False}
    for run in after.runs:
        Workplace(experiment.folder).working.append(clean(made(run, 0.5, curve=[0.6, 0.5])))
    done = publishing.publish(after)
    assert len(done.moved) == len(rows) + len(after.runs)
    names = {path.name for path in done.written}
    assert {"tuning.md", "tuning-budgets.png", "tuning-settings.svg", "tuning-ranks.png", "table.md"} <= names
    report = checking.check(experiment.folder)
    assert [str(one) for one in report.findings if one.kind == "error"] == []
    shown = table(collect(after, [*Workplace(experiment.folder).rows()]))
    assert "Preset suite (tuned: the best of 4 trials on validation for each model and task)" in shown
    section, *_ = page.sections_of(after)
    assert len([picture for of in section.pictures.values() for picture in of if "trial" in picture.alt]) == 3
    monkeypatch.setattr(
        publishing, "write_figures", lambda *arguments, **options: []
    )  # those of runs are right, see above
    faults(experiment, rows)


def faults(experiment: Experiment, rows: list[Row]) -> None:
    """What `verify --static` says of published trials and winners that are not of one piece."""

    def errors() -> list[str]:
        return [str(one) for one in checking.check(experiment.folder).findings if one.kind == "error"]

    def said(text: str) -> bool:
        return any(text in one for one in errors())

    file = experiment.folder / "tuned.yaml"
    text = file.read_text(encoding="utf-8")
    publish_trials(experiment, rows[1:])
    assert said("unequal budgets: trials of each model: gru 3, lstm 4")
    assert said("tuned.yaml: not what the trials give")
    publish_trials(experiment, [signed(rows[0] | {"scores": rows[3]["scores"]}), *rows[1:]])
    assert said("tuning.md: not what the trials give")
    publish_trials(experiment, [*rows, clean(made(experiment.runs[0]))])
    assert said("a trial of another space, seed or version")
    publish_trials(experiment, rows)
    assert errors() == []
    file.write_text(text.replace("trial: 0", "trial: 1", 1), encoding="utf-8")
    assert said("tuned.yaml:6: not the settings of trial 1") or said("not the settings")
    file.unlink()
    assert said("tuned.yaml: not there, though trials and rows are")
    (experiment.folder / FILE).unlink()
    assert said("tuning.md: not what the trials give")


def test_the_published_plan_must_not_change_later(tmp_path: Path) -> None:
    from seqbench.bench.evidence.plans import plan_of

    before, after = plan_of(STUDY), plan_of(STUDY.replace("trials: 4", "trials: 8"))
    assert before is not None
    assert after is not None
    assert before["tune"] != after["tune"]
    assert {name for name in before if before[name] != after[name]} == {"tune"}


def test_there_is_nothing_to_tune_without_a_block(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no `tune:` block"):
        trials_of(config.load(write(tmp_path)))


def test_the_journal_follows_the_rows(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    experiment = study_in(tmp_path)
    rows = trial_rows(experiment, lambda rate: None if rate > 0.04 else by_rate(rate))
    for count in (3, 16, 16):  # a part, all, and once more
        path = study_journal.follow(found_in(experiment, rows[:count]), tmp_path / "runs")
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    studies = {one.study_name: one for one in optuna.get_all_study_summaries(storage)}
    assert len(studies) == 4
    name = "adding(length=12, train=32, valid=32, test=32) gru"
    study = optuna.load_study(study_name=name, storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4
    assert {trial.user_attrs["trial"]: trial.params for trial in study.trials}[0] == {
        "learning_rate": 0.00661, "clip": "None"
    }  # fmt: skip
    assert study.best_params["learning_rate"] == 0.00661
    assert math.isinf(study.trials[2].value), "a diverged trial counts"
    asked = study.ask()  # as of a process that was killed in between
    study_journal.follow(found_in(experiment, rows), tmp_path / "runs")
    study = optuna.load_study(study_name=name, storage=storage)
    assert study.trials[asked.number].state.name == "FAIL"
    assert len(study.trials) == 5
