"""Stale rows that the present code reproduces to the bit are current; others stay stale, and say why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import own_models
import pytest
from command import Answer, seqbench
from experiments import OWN, OWN_MODEL, Recorder, clean, published_in, rows_of, sweep_in, write
from seqbench.bench.errors import UsageError
from seqbench.bench.evidence import beginning, renewing
from seqbench.bench.evidence.checking import check
from seqbench.bench.experiments import config, registry
from seqbench.bench.experiments.notation import Spec
from seqbench.bench.rows import instructions, provenance, renewals, sources
from seqbench.bench.rows.comparing import run_of
from seqbench.bench.rows.store import Row, Workplace, signed

pytestmark = pytest.mark.usefixtures("forgotten", "no_figure")

BODY = "inputs = inputs * 1.0"
Facts = dict[str, Any]
Edited = Callable[[str], Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Clean rows of a user's model and of a TCN, two epochs each; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SEQBENCH_RUNS", raising=False)
        folder = write(tmp_path_factory.mktemp("trained") / "own", OWN, my_model=OWN_MODEL.replace("BODY", BODY))
        assert sweep_in(folder).exit_code == 0
        return sorted((clean(row) for row in rows_of(folder)), key=lambda row: "tcn(" in row["label"])


class Codes:
    """What two codes answer, in place of their processes: `before` and `now` of each run, and what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str], bool, str | None]] = []
        self.now: Callable[[str, bool], Facts] = lambda model, whole: {"facts": {"weights": "a", "trace": [1]}}

    def answers(self, code: Path, task: Facts, named: str | None, threads: int) -> list[Facts]:
        models = [one["model"]["name"] for one in task["runs"]]
        self.asked.append((code.name, models, bool(task["epochs"]), named))
        if code != registry.ROOT:
            return [{"facts": {"weights": "a", "trace": [1]}} for _ in models]
        return [self.now(model, bool(task["epochs"])) for model in models]


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> Codes:
    fake = Codes()
    monkeypatch.setattr(renewing, "_answers", fake.answers)
    monkeypatch.setattr(renewing, "_code_of", lambda commit: Path("code") / commit)
    monkeypatch.setattr(sources, "at_commit", lambda commit, run: {})
    return fake


@pytest.fixture
def folder(tmp_path: Path, trained: list[Row], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The rows, published; the checkout is taken for clean."""
    monkeypatch.setattr(provenance, "of_sweep", lambda *arguments: {"commit": "a" * 40, "dirty": False, "diff": None})
    return published_in(write(tmp_path / "own", OWN, my_model=OWN_MODEL.replace("BODY", BODY)), trained)


@pytest.fixture
def edited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Edited:
    """The folder after an edit of models/tcn.py, which is known by a word: its hash is that word from then on."""
    real = sources.file_hashes

    def edit(word: str) -> Path:
        def hashes(run: Any) -> dict[str, str]:
            files = dict(real(run))
            return files | {"models/tcn": word} if "models/tcn" in files else files

        monkeypatch.setattr(sources, "file_hashes", hashes)
        monkeypatch.setattr(sources, "source_hash", lambda run: sources.digest(hashes(run)))
        return folder

    return edit


def with_body(folder: Path, body: str) -> Path:
    """The folder after an edit of the user's model."""
    write(folder, OWN, my_model=OWN_MODEL.replace("BODY", body))
    sources.forget()
    return folder


def stale(folder: Path) -> int:
    return check(folder).count("stale")


def renewed(folder: Path, *words: Any) -> Answer:
    return seqbench("renew", folder, *words)


def records(folder: Path) -> list[Facts]:
    return [json.loads(text) for text in (folder / renewals.FILE).read_text(encoding="utf-8").splitlines()]


def test_a_change_that_changes_nothing_is_renewed_over(folder: Path, codes: Codes, edited: Edited) -> None:
    assert renewed(folder).out == "no row is stale\n"
    assert stale(edited("once")) > 0
    before = (folder / "runs.jsonl").read_bytes()
    answer = renewed(folder)
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "1 stale rows, 1 renewed")
    assert "tcn(" in answer.out.splitlines()[0]
    assert (folder / "runs.jsonl").read_bytes() == before, "rows say what made them"
    assert (stale(folder), check(folder).count("error")) == (0, 0)
    assert "†" not in (folder / "table.md").read_text(encoding="utf-8")
    (record,) = records(folder)
    run = next(run for run in config.load(folder).runs if run.model.name == "tcn")
    assert (record["source"], record["how"], record["commit"]) == (sources.source_hash(run), "renewed", "a" * 40)
    assert record["files"] == sources.file_hashes(run)
    assert record["compared_with"] == "c0ffee" * 6
    assert renewed(folder).out == "no row is stale\n"


def test_a_change_of_the_users_own_model_is_no_renewal(folder: Path, codes: Codes) -> None:
    """Both codes would read the model file that is there now."""
    answer = renewed(with_body(folder, f"{BODY} * 1.0"))
    assert (answer.code, answer.out.splitlines()[-1]) == (1, "1 stale rows, 0 renewed")
    assert "files of the experiment's own have changed (my_model.py), and only of the suite's code" in answer.out
    assert codes.asked == []


def test_a_renewal_is_of_one_state_of_the_code(folder: Path, codes: Codes, edited: Edited) -> None:
    """The next change makes the row stale again; a renewal over that takes the place of the one before."""
    renewed(edited("once"))
    assert stale(edited("twice")) > 0
    assert renewed(folder).code == 0
    assert codes.asked[-2][0] == "a" * 40, "compared with the code of the renewal before"
    assert len(records(folder)) == 1
    assert stale(folder) == 0
    assert stale(edited("once")) > 0


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ({"facts": {"weights": "b", "trace": [1]}}, "other weights than by the code of its commit"),
        ({"facts": {"weights": "b", "trace": [2]}}, "other weights, trace than by the code of its commit"),
        ({"error": "ValueError: no"}, "the present code fails here: ValueError: no"),
    ],
)
def test_a_change_that_changes_something_is_not(
    now: Facts, reason: str, folder: Path, codes: Codes, edited: Edited
) -> None:
    codes.now = lambda model, whole: {"facts": {"weights": "a", "trace": [1]}} if whole else now
    answer = renewed(edited("once"), "--json")
    (found,) = answer.json
    assert (answer.code, found["reason"], found["changed"]) == (1, reason, ["models/tcn"])
    assert not (folder / renewals.FILE).exists()
    assert stale(folder) > 0


def as_of_old_code(folder: Path, *names: str) -> Path:
    """The folder with rows whose files of these names had other hashes."""
    rows = []
    for row in Workplace(folder).published.read():
        files = row["provenance"]["source_files"] | dict.fromkeys(names, "other")
        rows.append({**row, "provenance": row["provenance"] | {"source_files": files, "source": sources.digest(files)}})
    return published_in(folder, [signed(row) for row in rows])


def test_beyond_models_a_witness_is_trained_whole(folder: Path, codes: Codes) -> None:
    answer = renewed(as_of_old_code(folder, "bench/training"))
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "2 stale rows, 2 renewed")
    (_, models, whole, _), *_ = codes.asked
    assert (len(models), whole) == (1, True)
    assert all(not whole for _, _, whole, _ in codes.asked[2:])
    assert {record["witness"] for record in records(folder)} == {
        next(row["label"] for row in Workplace(folder).published.read() if row["config"]["model"]["name"] == models[0])
    }


def test_a_change_of_models_alone_needs_no_witness(folder: Path, codes: Codes) -> None:
    assert renewed(as_of_old_code(folder, "models/base")).code == 0
    assert [whole for _, _, whole, _ in codes.asked] == [False, False]
    assert {record["witness"] for record in records(folder)} == {None}


def test_a_witness_that_differs_stops_all(folder: Path, codes: Codes) -> None:
    codes.now = lambda model, whole: {"facts": {"weights": "b" if whole else "a", "trace": [1]}}
    answer = renewed(as_of_old_code(folder, "bench/training"))
    assert (answer.code, answer.out.splitlines()[-1]) == (1, "2 stale rows, 0 renewed")
    assert "still stale: the witness adding(" in answer.out
    assert not (folder / renewals.FILE).exists()


def test_a_witness_is_trained_whole_where_its_rate_changes(folder: Path) -> None:
    (row, *_) = Workplace(folder).published.read()
    run = run_of(row, folder)
    for training, epochs in ({"epochs": 9}, 2), ({"epochs": 1}, 1), ({"epochs": 9, "schedule": "step(every=3)"}, 9):
        changed = replace(run, training=replace(run.training, **training))
        assert renewing._epochs_of_a_witness(renewing._Stale(row, changed, (), "c")) == epochs


def test_the_witness_is_a_row_whose_rate_changes(folder: Path, codes: Codes) -> None:
    rows = Workplace(folder).published.read()
    stale_rows = [renewing._Stale(row, run_of(row, folder), (), "c") for row in rows]
    slow = max(stale_rows, key=lambda one: one.row["seconds"]["cpu"])
    assert renewing._witness(stale_rows) is not slow
    slow.row["curve"][-1]["learning_rate"] /= 10
    assert renewing._witness(stale_rows) is slow


def test_other_decisions_are_no_renewal(folder: Path, codes: Codes) -> None:
    """The row's own curve would give another best epoch, or other rates."""
    rows = Workplace(folder).published.read()
    rows[0]["scores"]["best"]["epoch"] = 3 - rows[0]["scores"]["best"]["epoch"]
    rows[1]["curve"][-1]["learning_rate"] /= 10
    published_in(folder, [signed(row) for row in rows])
    answer = renewed(as_of_old_code(folder, "bench/settings"), "--json")
    first, second = sorted(one["reason"] for one in answer.json)
    assert first == "the best epoch or the mean of the last three would be another by the present code"
    assert second.startswith("the rate of epoch 2 would be 0.002, not 0.0002")
    assert codes.asked == []


def test_rows_are_compared_with_their_own_instructions(
    folder: Path, codes: Codes, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Workplace(folder).published.read()
    rows[0]["provenance"]["instructions"], rows[1]["provenance"]["instructions"] = "AVX2", "AVX512"
    published_in(folder, [signed(row) for row in rows])
    monkeypatch.setattr(instructions, "widest", lambda: "AVX2")
    answer = renewed(as_of_old_code(folder, "models/base"), "--json")
    assert {one["reason"] for one in answer.json} == {"", "needs AVX512, and this processor has AVX2"}
    assert {named for _, _, _, named in codes.asked} == {"AVX2"}
    monkeypatch.setattr(instructions, "widest", lambda: "AVX512")
    assert renewed(folder).code == 0
    assert {named for _, _, _, named in codes.asked} == {"AVX2", "AVX512"}


def test_what_was_seen_is_kept_though_a_later_job_fails(
    folder: Path, codes: Codes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_for_a_tcn(model: str, whole: bool) -> Facts:
        if model == "tcn" and not whole:
            raise KeyboardInterrupt
        return {"facts": {"weights": "a", "trace": [1]}}

    codes.now = fails_for_a_tcn
    monkeypatch.setattr(renewing, "AT_A_TIME", 1)
    with pytest.raises(KeyboardInterrupt):
        renewing.renew(as_of_old_code(folder, "models/base"), Workplace(folder).published.read(), Recorder(), jobs=1)
    assert ["tcn" not in record["label"] for record in records(folder)] == [True]


def test_uncommitted_sources_renew_nothing(
    folder: Path, codes: Codes, edited: Edited, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "of_sweep", lambda *arguments: {"dirty": True, "commit": "a" * 40})
    answer = renewed(edited("once"))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("seqbench: renew: the sources differ from the commit")


def test_a_commit_that_is_not_here(folder: Path, codes: Codes, edited: Edited, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(commit: str, run: Any) -> dict[str, str]:
        raise UsageError(f"commit {commit[:10]} is not in this repository: fetch the whole history")

    monkeypatch.setattr(sources, "at_commit", none)
    answer = renewed(edited("once"))
    assert (answer.code, answer.out.splitlines()[-1]) == (1, "1 stale rows, 0 renewed")
    assert "commit c0ffeec0ff is not in this repository: fetch the whole history" in answer.out


@pytest.mark.parametrize("harmful", [False, True])
def test_two_codes_side_by_side(
    harmful: bool, tmp_path: Path, trained: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With real processes: a copy of the suite, and another one, which is changed or not.

    The model is of torch's own layers: in a copy all kernels would be compiled anew, which takes half a minute.
    """

    def copied(name: str) -> Path:
        skipped = shutil.ignore_patterns("*.pyc", "kernels-*")
        for room in ("bench", "tasks", "models"):
            shutil.copytree(registry.ROOT / room, tmp_path / name / room, ignore=skipped)
        return tmp_path / name

    before, now = copied("before"), copied("now")
    if harmful:
        text = (now / "models" / "heads.py").read_text(encoding="utf-8")
        assert "bias" in text
        loop = next((now / "bench").rglob("evaluation.py"))
        loop.write_text(loop.read_text(encoding="utf-8").replace("means = {", "means = {} and {"), encoding="utf-8")
        seeds = next((now / "bench").rglob("seeding.py"))
        changed = seeds.read_text(encoding="utf-8").replace('"order", seed, epoch', '"order", seed, epoch, 1')
        assert changed != seeds.read_text(encoding="utf-8")
        seeds.write_text(changed, encoding="utf-8")
    folder = own_models.write(tmp_path / "mine")
    run = replace(run_of(trained[1], None), model=Spec("plain.py:Net", {"hidden_size": 4}), folder=folder)
    row = trained[1] | {"config": run.config}
    monkeypatch.setattr(registry, "ROOT", now)
    monkeypatch.setattr(renewing, "_code_of", lambda commit: before)
    found = renewing._compared([renewing._Stale(row, run, (), "c")], folder)
    assert found == (["other trace, weights, valid, test than by the code of its commit"] if harmful else [""])


def test_a_code_borrows_nothing_of_the_present_one(tmp_path: Path, trained: list[Row]) -> None:
    """Which is installed, too, with packages that the other code lacks."""
    skipped = shutil.ignore_patterns("__pycache__", "experiments")
    shutil.copytree(registry.ROOT / "bench", tmp_path / "before" / "bench", ignore=skipped)
    task = {"runs": [trained[1]["config"]], "folder": "", "epochs": 0, "device": "cpu", "threads": 1}
    (answer,) = renewing._answers(tmp_path / "before", task, None, 1)
    assert answer["error"].startswith("ModuleNotFoundError: ")
    assert "experiments" in answer["error"]


def test_a_beginning_is_that_of_the_row(trained: list[Row]) -> None:
    """On the machine that made it: the trace begins as the row's does, and the whole has the row's curve."""
    row = trained[1]
    begun = beginning.facts_of(row["config"], Path())
    assert begun["steps"] >= beginning.LEAST_STEPS
    assert begun["trace"] == row["trace"][: len(begun["trace"])]
    assert begun["parameters"] == row["parameters"]
    whole = beginning.facts_of(row["config"], Path(), epochs=2)
    assert whole["curve"] == [beginning.timeless(point) for point in row["curve"] if point["epoch"] > 0]
