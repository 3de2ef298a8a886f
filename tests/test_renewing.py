"""Stale rows whose first epoch comes out the same to the bit are stale no more; others stay so, and say why."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from command import Answer, seqbench
from experiments import OWN, OWN_MODEL, clean, published_in, rows_of, sweep_in, write
from seqbench.bench import config, provenance, registry, renewals, renewing, verifying
from seqbench.bench.checking import check
from seqbench.bench.comparing import Cannot, run_of
from seqbench.bench.runs import Run, from_config
from seqbench.bench.store import Row, Workplace, signed

pytestmark = pytest.mark.usefixtures("forgotten", "no_figure")

BODY = "inputs = inputs * 1.0"
HARMLESS, HARMFUL = f"{BODY} * 1.0", "inputs = inputs * 300.0"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Clean rows of a user's model and of a TCN, two epochs each; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SEQBENCH_RUNS", raising=False)
        folder = write(tmp_path_factory.mktemp("trained") / "own", OWN, my_model=OWN_MODEL.replace("BODY", BODY))
        assert sweep_in(folder).exit_code == 0
        return sorted((clean(row) for row in rows_of(folder)), key=lambda row: "tcn(" in row["label"])


@pytest.fixture
def folder(tmp_path: Path, trained: list[Row], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The rows, published; the checkout is taken for clean, and the user's model for all that changes."""
    monkeypatch.setattr(provenance, "of_sweep", lambda *arguments: {"commit": "a" * 40, "dirty": False, "diff": None})
    monkeypatch.setattr(provenance, "changed_since", lambda commit, run: [tmp_path / "own" / "my_model.py"])
    return published_in(write(tmp_path / "own", OWN, my_model=OWN_MODEL.replace("BODY", BODY)), trained)


def with_body(folder: Path, body: str) -> Path:
    """The folder after an edit of the user's model."""
    write(folder, OWN, my_model=OWN_MODEL.replace("BODY", body))
    provenance._hash_of.cache_clear()
    return folder


def stale(folder: Path) -> int:
    return check(folder).count("stale")


def renewed(folder: Path, *words: Any) -> Answer:
    return seqbench("renew", folder, *words)


def test_a_change_that_changes_nothing_is_renewed_over(folder: Path) -> None:
    assert renewed(folder).out == "no row is stale\n"
    assert stale(with_body(folder, HARMLESS)) > 0
    before = (folder / "runs.jsonl").read_bytes()
    answer = renewed(folder)
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "1 stale rows, 1 renewed")
    assert "my_model" in answer.out.splitlines()[0]
    assert "its first epoch is the same to the bit" in answer.out
    assert (folder / "runs.jsonl").read_bytes() == before, "rows say what made them"
    assert (stale(folder), check(folder).count("error")) == (0, 0)
    assert "†" not in (folder / "table.md").read_text(encoding="utf-8")
    (line,) = [json.loads(text) for text in (folder / renewals.FILE).read_text(encoding="utf-8").splitlines()]
    run = config.load(folder).runs[0]
    assert (line["source"], line["epochs"], line["steps"]) == (provenance.source_hash(run), 1, 8)
    assert renewed(folder).out == "no row is stale\n"


def test_a_renewal_is_of_one_state_of_the_sources(folder: Path) -> None:
    """The next change makes the row stale again; a renewal over that takes the place of the one before."""
    renewed(with_body(folder, HARMLESS))
    assert stale(with_body(folder, f"{HARMLESS} * 1.0")) > 0
    assert renewed(folder).code == 0
    assert len((folder / renewals.FILE).read_text(encoding="utf-8").splitlines()) == 1
    assert stale(folder) == 0
    assert stale(with_body(folder, HARMLESS)) > 0


def test_a_change_that_changes_something_is_not(folder: Path) -> None:
    answer = renewed(with_body(folder, HARMFUL))
    assert (answer.code, answer.out.splitlines()[-1]) == (1, "1 stale rows, 0 renewed")
    assert answer.out.startswith("still stale: ")
    assert "curve[epoch 0]." in answer.out
    assert not (folder / renewals.FILE).exists()
    assert stale(folder) > 0


def test_a_first_epoch_says_nothing_of_a_change_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [registry.ROOT / "bench" / "settings.py", registry.ROOT / "models" / "gru.py"]
    monkeypatch.setattr(provenance, "changed_since", lambda commit, run: files)
    answer = renewed(with_body(folder, HARMLESS), "--json")
    assert (answer.code, [one["outcome"] for one in answer.json]) == (1, ["not verified"])
    assert answer.json[0]["reason"] == ("more than models is not as in its commit: settings.py; train it again")


@pytest.mark.parametrize(("device", "allowed"), [("cpu", True), ("cuda", False)])
def test_what_runs_on_a_gpu_alone_is_of_no_matter_to_rows_of_a_cpu(
    device: str, allowed: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert renewing.GPU_ALONE.is_file()
    monkeypatch.setattr(provenance, "changed_since", lambda commit, run: [renewing.GPU_ALONE])
    monkeypatch.setattr(verifying, "trainable", run_of)  # which refuses a row of a GPU where there is none
    row = signed(Workplace(folder).published.read()[0] | {"device": device})
    with nullcontext() if allowed else pytest.raises(Cannot, match=r"not as in its commit: cuda\.py"):
        assert renewing.beginning(row, folder).training.epochs == 1


def test_uncommitted_sources_renew_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "of_sweep", lambda *arguments: {"dirty": True})
    answer = renewed(with_body(folder, HARMLESS))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("seqbench: renew: the sources differ from the commit")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"provenance": {"commit": None}}, "it was made by no commit, or by changed sources; train it again"),
        ({"provenance": {"dirty": True}}, "it was made by no commit, or by changed sources; train it again"),
    ],
)
def test_rows_of_which_nobody_knows_what_changed(
    change: dict[str, Any], reason: str, folder: Path, trained: list[Row]
) -> None:
    published_in(folder, [signed(row | {"provenance": row["provenance"] | change["provenance"]}) for row in trained])
    answer = renewed(with_body(folder, HARMLESS), "my_model", "--json")
    assert [one["reason"] for one in answer.json] == [reason]


def test_an_edited_row_is_not_renewed_and_an_edited_line_renews_nothing(folder: Path, trained: list[Row]) -> None:
    renewed(with_body(folder, HARMLESS))
    path = folder / renewals.FILE
    path.write_text(path.read_text(encoding="utf-8").replace('"steps":8', '"steps":16'), encoding="utf-8")
    assert stale(folder) > 0
    (error,) = [finding for finding in check(folder).findings if finding.kind == "error"]
    assert str(error).startswith(f"{renewals.FILE}:1: edited by hand")
    published_in(folder, [row | {"parameters": 1} for row in trained])
    assert "has not the sum that it was written with" in renewed(folder, "my_model").out


def test_a_line_without_its_row_is_found_and_goes_when_the_row_is_another(folder: Path, trained: list[Row]) -> None:
    renewed(with_body(folder, HARMLESS))
    others = [clean(row, peak_memory_mb=1.0) for row in trained]
    published_in(folder, others)
    assert [str(one) for one in check(folder).findings if one.where.startswith(renewals.FILE)] == [
        f"{renewals.FILE}:1: of a row that is not there: {trained[0]['label']}"
    ]
    renewals.keep(folder, others)
    assert not (folder / renewals.FILE).exists()


@pytest.mark.usefixtures("folder")
def test_a_run_of_one_epoch_is_compared_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "changed_since", lambda commit, run: [tmp_path / "short" / "my_model.py"])
    text = OWN.replace("epochs: 2", "epochs: 1")
    short = write(tmp_path / "short", text, my_model=OWN_MODEL.replace("BODY", BODY))
    assert sweep_in(short).exit_code == 0
    first, second = sorted(rows_of(short), key=lambda row: "tcn(" in row["label"])
    changed = clean(first, trace=[[steps, loss + 1] for steps, loss in first["trace"]])
    published_in(short, [changed, clean(second)])
    write(short, text, my_model=OWN_MODEL.replace("BODY", HARMLESS))
    provenance._hash_of.cache_clear()
    answer = renewed(short)
    assert answer.code == 1
    assert "trace[0]" in answer.out


def test_publishing_other_rows_takes_their_lines_away(folder: Path) -> None:
    renewed(with_body(folder, HARMLESS))
    sweep_in(folder, afresh=True)
    place = Workplace(folder)
    place.working.replace([clean(row) for row in place.working.read()])
    assert seqbench("publish", folder).code == 0
    assert not (folder / renewals.FILE).exists()
    assert stale(folder) == 0


def test_renewing_one_row_keeps_what_was_renewed_of_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed(with_body(folder, HARMLESS))
    monkeypatch.setattr(renewals, "is_stale", lambda row, run: "tcn" in row["label"])
    monkeypatch.setattr(provenance, "changed_since", lambda commit, run: [])
    assert renewed(folder, "tcn").code == 0
    assert ["tcn(" in line["label"] for _, line in renewals.lines(folder) if line] == [False, True]


def test_a_row_that_diverged_at_once_and_one_that_does_here(folder: Path, trained: list[Row]) -> None:
    published_in(folder, [clean(row, status="diverged", curve=[]) for row in trained])
    answer = renewed(with_body(folder, HARMLESS), "--json")
    assert [one["reason"] for one in answer.json] == ["it diverged before its first epoch was over; train it again"]
    published_in(folder, trained)
    answer = renewed(with_body(folder, "inputs = inputs * float('nan')"), "--json")
    assert [one["outcome"] for one in answer.json] == ["differs"]


def test_scores_at_other_lengths_are_not_of_a_first_epoch(folder: Path, trained: list[Row]) -> None:
    longer = [
        clean(row, config=row["config"] | {"training": row["config"]["training"] | {"test_lengths": [8]}})
        for row in trained
    ]
    runs = [from_config(row["config"], folder) for row in longer]
    published_in(folder, [clean(row, id=run.id) for row, run in zip(longer, runs, strict=True)])
    answer = renewed(with_body(folder, HARMLESS), "my_model", "--json")
    assert [one["reason"].partition(",")[0] for one in answer.json] == ["it was evaluated at other lengths in the end"]


def test_a_model_and_a_task_in_one_file_are_not_renewed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Workplace(folder).published.read()[0]
    run = with_task_of_its_own(run_of(row, folder))
    monkeypatch.setattr(verifying, "trainable", lambda row, folder: run)
    with pytest.raises(Cannot, match=r"more than models is not as in its commit: my_model\.py"):
        renewing.beginning(row, folder)


def with_task_of_its_own(run: Run) -> Run:
    """The run as if its task stood in the file of its model."""
    run.__dict__["task_class"] = run.model_class
    return run


@pytest.mark.parametrize("bad", [b"\xff\n", b"NaN\n", b'{"row": NaN}\n', b"[]\n", b"{\n", b"1\n"])
def test_a_line_that_is_none_is_an_error_and_no_crash(bad: bytes, folder: Path) -> None:
    renewed(with_body(folder, HARMLESS))
    path = folder / renewals.FILE
    path.write_bytes(path.read_bytes() + bad)
    assert stale(folder) == 0
    assert [one.where for one in check(folder).findings if one.kind == "error"] == [f"{renewals.FILE}:2"]


def test_wrong_words_are_one_line(folder: Path, tmp_path: Path) -> None:
    empty = write(tmp_path / "empty", OWN, my_model=OWN_MODEL.replace("BODY", BODY))
    for words, text in [
        ((empty,), "there are no published rows to renew"),
        ((folder, "transformer"), "no row has 'transformer'"),
        ((tmp_path / "nowhere",), "nowhere"),
    ]:
        answer = seqbench("renew", *words)
        assert (answer.code, len(answer.err.splitlines())) == (2, 1)
        assert text in answer.err
