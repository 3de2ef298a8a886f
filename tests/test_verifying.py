"""Rows are made again, from themselves alone, and every difference is found; a verification leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import seqbench
from experiments import (
    LONG,
    OWN,
    OWN_MODEL,
    SMALL,
    alive,
    clean,
    descendants,
    finish,
    in_session,
    published_in,
    rows_of,
    sweep_in,
    wait_for,
    write,
)
from seqbench.bench.errors import UsageError
from seqbench.bench.evidence import verifying
from seqbench.bench.experiments import config
from seqbench.bench.rows import sources
from seqbench.bench.rows.store import Row, Workplace
from test_sweep import OWN_TASK

pytestmark = pytest.mark.usefixtures("forgotten")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Clean rows of SMALL, the GRU's first; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SEQBENCH_RUNS", raising=False)
        folder = write(tmp_path_factory.mktemp("trained") / "results" / "small")
        assert sweep_in(folder).exit_code == 0
        return sorted((clean(row) for row in rows_of(folder)), key=lambda row: "tcn" in row["label"])


@pytest.fixture
def folder(tmp_path: Path, trained: list[Row]) -> Path:
    return published_in(write(tmp_path / "results" / "small"), trained)


def everything(place: Path) -> dict[str, bytes]:
    """All files beneath a folder."""
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def test_rows_are_the_same_to_the_bit_and_nothing_is_written(
    folder: Path, trained: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the rows alone: what the experiment asks for by now is of no matter."""
    write(folder, SMALL.replace("epochs: 2", "epochs: 3").replace("width=4", "width=5"))
    before = everything(tmp_path)
    answer = seqbench("verify", folder)
    assert answer.code == 0
    assert answer.out.splitlines() == [
        *(f"{row['id']} {row['label']} (cpu): the same to the bit" for row in trained),
        "2 rows: 2 the same",
    ]
    assert "[2/2]" in answer.err, "a person sees it go on"
    assert everything(tmp_path) == before


def changed(row: Row, change: Callable[[Row], object]) -> Row:
    """A copy of the row with a change, signed."""
    copy = json.loads(json.dumps(row))
    change(copy)
    return clean(copy)


def nudged(row: Row) -> None:
    row["curve"][2]["valid"]["mse"] *= 1 + 1e-12
    row["trace"][7][1] *= 1 - 1e-12


def test_a_changed_row_is_found_out(folder: Path, trained: list[Row]) -> None:
    """In the thirteenth digit, with a sum that is right; of the other row a run is told by a part of its label."""
    published_in(folder, [changed(trained[0], nudged), trained[1]])
    answer = seqbench("verify", folder, "gru")
    name, lines = f"{trained[0]['id']} {trained[0]['label']} (cpu)", answer.out.splitlines()
    here, there = trained[0], Workplace(folder).published.read()[0]
    valid = [row["curve"][2]["valid"]["mse"] for row in (here, there)]
    trace = [row["trace"][7][1] for row in (here, there)]
    assert answer.code == 1
    assert lines == [
        f"{name}: differs",
        f"{here['id']} curve[epoch 2].valid.mse: {valid[0]!r} here, {valid[1]!r} in the row",
        f"{here['id']} trace[7][1]: {trace[0]!r} here, {trace[1]!r} in the row",
        "1 rows: 1 differs",
    ]


def test_a_row_edited_by_hand_is_found_out(folder: Path, trained: list[Row]) -> None:
    """Where what was edited is not even a result, such as the commit."""
    edited = trained[0] | {"provenance": trained[0]["provenance"] | {"commit": "0" * 40}}
    published_in(folder, [edited])
    (verdict,) = seqbench("verify", folder, "--json").json["rows"]
    assert (verdict["outcome"], verdict["to_the_bit"]) == ("differs", True)
    ((path, row),) = [(one["path"], one["row"]) for one in verdict["differences"]]
    assert (path, row) == ("sum", trained[0]["sum"])


def test_a_stale_row_is_made_with_the_code_as_it_is(tmp_path: Path) -> None:
    """A change that changes nothing is told from one that does."""
    folder = write(tmp_path / "own", OWN, my_model=OWN_MODEL.replace("BODY", "inputs = inputs * 1.0"))
    assert sweep_in(folder).exit_code == 0
    published_in(folder, [clean(row) for row in rows_of(folder)])

    def answered(body: str) -> dict[str, Any]:
        write(folder, OWN, my_model=OWN_MODEL.replace("BODY", body))
        sources.forget()
        answer = seqbench("verify", folder, "my_model", "--json")
        (verdict,) = answer.json["rows"]
        assert answer.code == (0 if verdict["outcome"] == "the same" else 1)
        found: dict[str, Any] = verdict
        return found

    harmless = answered("inputs = inputs * 1.0 * 1.0")
    assert (harmless["outcome"], harmless["to_the_bit"], harmless["differences"]) == ("the same", False, [])
    assert harmless["elsewhere"] == ["stale: my_model.py changed since"]
    assert answered("inputs = inputs * 300.0")["outcome"] == "differs"
    broken = answered("raise ArithmeticError('too hard')")
    assert broken["outcome"] == "not verified"
    assert re.fullmatch(r"failed here: my_model\.py:\d+: ArithmeticError: too hard", broken["reason"])


def test_a_file_that_cannot_be_had(tmp_path: Path, trained: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQBENCH_MIRROR", str(tmp_path / "empty"))
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "data"))
    text = "question: q\nrows:\n- {task: my_task.py(length=9), training: {epochs: 1}, models: [gru(width=3)]}\n"
    folder = write(tmp_path / "own", text, my_task=OWN_TASK)
    (run,) = config.load(folder).runs
    row = clean(trained[0], id=run.id, label=str(run), config=run.config)
    (verdict,) = seqbench("verify", published_in(folder, [row]), "--json").json["rows"]
    assert verdict["outcome"] == "not verified"
    assert "numbers.bin (sha256 of the payload 000" in verdict["reason"]


def set_version(row: Row) -> None:
    row["config"]["model"]["version"] = 7
    row["id"] = "0" * 12


CANNOT: dict[str, tuple[Callable[[Row], object], str]] = {
    "version": (set_version, "it is of a newer version of the suite: model 7 in the row, 1 here; update the suite"),
    "id": (lambda row: row.update(id="0" * 12), "its id is not that of its configuration, "),
    "seed": (lambda row: row["config"].update(seed=5), "its id is not that of its configuration, "),
    "model": (
        lambda row: row["config"]["model"].update(name="gruu"),
        "its configuration is not known here: unknown model 'gruu': did you mean 'gru'?",
    ),
    "option": (
        lambda row: row["config"]["task"]["options"].update(depth=2),
        "its configuration is not known here: ",
    ),
    "torn": (lambda row: row["config"].pop("training"), "its configuration is not whole: KeyError: 'training'"),
    "failed": (
        lambda row: row.update(status="failed", error={"message": "no memory"}),
        "there is no result to compare with: it failed",
    ),
    "cuda": (lambda row: row.update(device="cuda"), "it was made on a GPU, and torch sees none here"),
}


@pytest.mark.parametrize("how", CANNOT)
def test_what_cannot_be_verified_is_no_success(
    how: str, folder: Path, trained: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying.torch.cuda, "is_available", lambda: False)
    change, reason = CANNOT[how]
    row = changed(trained[0], change)
    answer = seqbench("verify", published_in(folder, [row]))
    assert answer.code == 1
    first, last = answer.out.splitlines()
    assert first.startswith(f"{row['id']} {row['label']} ({row['device']}): not verified: {reason}")
    assert last == "1 rows: 1 not verified"


def test_rows_of_another_machine_need_not_have_the_same_bits(folder: Path, trained: list[Row]) -> None:
    def older(row: Row) -> None:
        nudged(row)
        row["provenance"]["versions"]["torch"] = "2.6.0"

    def better(row: Row) -> None:
        older(row)
        row["scores"]["best"]["test"]["mse"] /= 5

    published_in(folder, [changed(trained[0], older), changed(trained[1], better)])
    answer = seqbench("verify", folder)
    assert answer.code == 1
    torch = f"not comparable to the bit: torch {trained[0]['provenance']['versions']['torch']} here, 2.6.0 there"
    close, far, difference, last = answer.out.splitlines()
    assert close == f"{trained[0]['id']} {trained[0]['label']} (cpu): the same within the tolerance; {torch}"
    assert far == f"{trained[1]['id']} {trained[1]['label']} (cpu): differs; {torch}"
    assert difference.startswith(f"{trained[1]['id']} scores.best.test.mse: ")
    assert last == "2 rows: 1 within tolerance, 1 differs"


def test_rows_made_again_elsewhere_are_compared_without_training(
    folder: Path, trained: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying.sweep, "run", None)
    file = published_in(write(tmp_path / "there"), [trained[0]]) / "runs.jsonl"
    answer = seqbench("verify", folder, "--rows", file)
    assert answer.code == 1
    assert answer.out.splitlines() == [
        f"{trained[0]['id']} {trained[0]['label']} (cpu): the same to the bit",
        f"{trained[1]['id']} {trained[1]['label']} (cpu): not verified: it has not been made again there",
        "2 rows: 1 the same, 1 not verified",
    ]
    assert seqbench("verify", folder, trained[0]["id"][:6], "--rows", file).code == 0
    published_in(folder, [changed(trained[0], lambda row: row["trace"].extend([[99, 0.5]] * 30))])
    again = changed(trained[0], lambda row: row["trace"].extend([[98, 0.5]] * 30))
    Workplace(tmp_path / "there").published.replace([again])
    lines = seqbench("verify", folder, "--rows", file).out.splitlines()
    assert len(lines) == 1 + 20 + 1 + 1
    assert lines[-2] == f"{trained[0]['id']} and 10 differences more; --json has them all"


def made_up(number: int) -> Row:
    return {"id": f"{number:012x}", "label": f"adding gru seed {number}", "device": "cpu", "status": "done"}


def test_which_rows_are_chosen() -> None:
    rows = [made_up(number) for number in range(40)]
    assert verifying.chosen(rows) == rows
    assert verifying.chosen(rows, ["00000000001", "seed 3"]) == [
        row for row in rows if row["id"].startswith("00000000001") or row["label"].endswith("seed 3")
    ]
    newer = made_up(3) | {"more": 1}
    assert verifying.chosen([*rows, newer], ["000000000003"]) == [newer]
    sample = verifying.chosen(rows, sample=5)
    assert sample == verifying.chosen(rows, sample=5), "by lot, but the same call gives the same rows"
    assert len(sample) == 5
    assert sample == sorted(sample, key=lambda row: row["id"])
    samples = {tuple(row["id"] for row in verifying.chosen(rows, sample=5, seed=seed)) for seed in range(5)}
    assert len(samples) == 5
    assert verifying.chosen(rows, sample=99) == rows
    with pytest.raises(
        UsageError, match="no row has 'lstm' in its label or at the beginning of its id: 000000000000 a"
    ):
        verifying.chosen(rows, ["gru", "lstm"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "verify needs the folder of an experiment, such as results/quick"),
        (["results/nothing-of-this-name"], "no such experiment"),
        (["FOLDER"], "there are no published rows to verify"),
        (["FOLDER", "--working", "--device", "cuda"], "there are no working rows of cuda to verify"),
        (["--static", "FOLDER", "--sample", "3"], "--sample means nothing"),
        (["--static", "FOLDER", "--working"], "--working means nothing"),
        (["--static", "FOLDER", "--jobs", "3"], "--jobs means nothing"),
    ],
)
def test_mistakes(words: list[str], message: str, tmp_path: Path) -> None:
    empty = write(tmp_path / "results" / "small")
    answer = seqbench("verify", *(str(empty) if word == "FOLDER" else word for word in words))
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert message in answer.err


def test_a_mistake_in_the_name_of_a_file(folder: Path) -> None:
    answer = seqbench("verify", folder, "--rows", "nothing.jsonl")
    assert (answer.code, answer.err) == (2, "seqbench: --rows nothing.jsonl: no such file\n")


@pytest.fixture
def long(tmp_path: Path, trained: list[Row]) -> Path:
    """A row of an endless run, of which only the configuration is true; `begun` is there as soon as it trains."""
    body = f"Path({str(tmp_path / 'begun')!r}).touch()"
    text = LONG.replace("gru(width=4, input_dropout=0.2)", "my_model.py(width=4)").replace(
        "epochs: 20", "epochs: 1000000"
    )
    folder = write(tmp_path / "results" / "long", text, my_model=OWN_MODEL.replace("BODY", body))
    (run,) = config.load(folder).runs
    return published_in(folder, [clean(trained[0], id=run.id, label=str(run), config=run.config)])


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_verification_cut_short_leaves_nothing(sent: signal.Signals, code: int, long: Path, tmp_path: Path) -> None:
    """No file, no lock, no process; also where the parent alone is killed."""
    before = everything(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-m", "seqbench.bench.cli", "verify", str(long)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={name: value for name, value in os.environ.items() if name != "SEQBENCH_RUNS"},
    ) as process:  # fmt: skip
        try:
            wait_for((tmp_path / "begun").exists, "the first step of the training")
            family = descendants(process.pid)
            os.kill(process.pid, sent)
            ended, output = finish(process)
        finally:
            process.kill()
    assert ended == code, output
    wait_for(lambda: not in_session(process.pid), "the end of all its processes")
    assert not alive(family)
    (tmp_path / "begun").unlink()
    assert everything(tmp_path) == before
    if sent == signal.SIGINT:
        assert "stopping: nothing is kept" in output
        assert "not verified: it was stopped before it was done" in output
        assert "Traceback" not in output
