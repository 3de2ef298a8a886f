"""The static check: every kind of edit and mismatch is found, what has grown old is told from it, order is praised."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import seqbench
from experiments import OWN, OWN_MODEL, clean, published_in, rows_of, sweep_in, write
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from seqbench.bench.evidence import checking, publishing
from seqbench.bench.experiments import config
from seqbench.bench.report.figures.saving import digest
from seqbench.bench.rows.store import Row, Workplace, signed
from test_sweep import OWN_TASK

SKETCHED = ("overview.png", "overview.svg")
HARMLESS = OWN_MODEL.replace("BODY", "inputs = inputs * 1.0")

pytestmark = pytest.mark.usefixtures("forgotten")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OWN, trained and published: a row of a user's model, one of the TCN, table and figures; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SEQBENCH_RUNS", raising=False)
        folder = write(tmp_path_factory.mktemp("finished") / "results" / "own", OWN, my_model=HARMLESS)
        assert sweep_in(folder).exit_code == 0
        place = Workplace(folder)
        place.working.replace([clean(row) for row in rows_of(folder)])
        assert len(publishing.publish(config.load(folder)).moved) == 2
        return folder


@pytest.fixture
def folder(tmp_path: Path, finished: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of it, with figures like those that this test draws."""
    copy = Path(shutil.copytree(finished, tmp_path / "results" / "own"))
    if "drawn" not in request.fixturenames:
        for path in (*copy.glob("*.png"), *copy.glob("*.svg")):
            path.unlink()
        publishing.write_figures(config.load(copy), rows_in(copy), copy)
    return copy


@pytest.fixture(autouse=True)
def sketched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn in no time, except where a test asks for `drawn`."""

    def sketch(experiment: config.Experiment, rows: list[Row], place: Path, device: str | None = None) -> list[Path]:
        origin, paths = f"seqbench rows {digest(rows)}, matplotlib 3", [place / name for name in SKETCHED]
        information = PngInfo()
        information.add_text("Source", origin)
        Image.new("L", (1, 1)).save(paths[0], pnginfo=information)
        paths[1].write_text(f"<svg><!-- {origin} --></svg>", encoding="utf-8")
        return paths

    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(publishing, "write_figures", sketch)


@pytest.fixture
def drawn() -> None:
    """Figures are drawn as they are."""


def rows_in(folder: Path) -> list[Row]:
    return Workplace(folder).published.read()


def answered(folder: Path) -> tuple[int, list[dict[str, str]]]:
    """The exit code, and what was found."""
    answer = seqbench("verify", "--static", folder, "--json")
    (report,) = answer.json
    findings: list[dict[str, str]] = report["findings"]
    return answer.code, findings


@pytest.mark.usefixtures("drawn")
def test_a_folder_in_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parents[1])
    answer = seqbench("verify", "--static", "results/own")
    assert (answer.code, answer.out) == (0, "results/own: 2 rows, all of one piece\n")
    assert {path.name for path in folder.iterdir()} >= {"table.md", *SKETCHED, "scores.svg"}


def test_nothing_is_written(folder: Path) -> None:
    found = []
    for _ in range(2):
        there = [path for path in folder.parents[1].rglob("*") if "__pycache__" not in path.parts]
        found.append({path: path.stat().st_mtime_ns for path in there})
        assert answered(folder) == (0, [])
    assert found[0] == found[1]


def test_an_experiment_that_has_not_been_run(tmp_path: Path) -> None:
    folder = write(tmp_path / "new")
    answer = seqbench("verify", "--static", folder)
    assert (answer.code, answer.out) == (0, f"{folder}: no rows yet\n")
    (folder / "table.md").write_text("Invented.\n", encoding="utf-8")
    (folder / "overview.png").write_bytes(b"\x89PNG")
    code, findings = answered(folder)
    assert code == 1
    assert [one["where"] for one in findings] == ["overview.png", "table.md"]
    assert {one["what"] for one in findings} == {"there are no rows that it could be made of"}


def resigned(row: Row, **changes: Any) -> Row:
    """With a right sum."""
    copy = json.loads(json.dumps(row)) | changes
    return signed({key: value for key, value in copy.items() if key != "sum"})


def origin(row: Row, **changes: Any) -> Row:
    return resigned(row, provenance=row["provenance"] | changes)


def without(row: Row, name: str) -> Row:
    return resigned(row, provenance={key: value for key, value in row["provenance"].items() if key != name})


def of_seed(row: Row, seed: int) -> Row:
    return resigned(row, config=row["config"] | {"seed": seed})


ERRORS: dict[str, tuple[Any, ...]] = {
    "edited": (lambda row: row | {"parameters": 1}, "checksum mismatch: its line is not as it was written"),
    "no sum": (lambda row: {key: row[key] for key in row if key != "sum"}, "checksum mismatch: "),
    "id": (lambda row: resigned(row, id="0" * 12), "its id is not that of its configuration, "),
    "seed": (lambda row: of_seed(row, 7), "its id is not that of its configuration, "),
    "label": (lambda row: resigned(row, label="adding best"), "its label is not that of its configuration, adding("),
    "commit": (lambda row: origin(row, commit=None), "published, though of no commit"),
    "dirty": (lambda row: origin(row, dirty=True, diff="0" * 64), "published, though dirty: "),
    "failed": (
        lambda row: resigned(row, status="failed", error={"message": "x"}),
        "published, though no result: failed",
    ),
    "data": (
        lambda row: origin(row, data={"a.bin": "5" * 64}),
        "made with other data: a.bin has sha256 555555555555… in the row, none… in the task",
    ),
    "settings": (
        lambda row: resigned(row, config={key: row["config"][key] for key in row["config"] if key != "training"}),
        "its configuration is not whole: KeyError: 'training'",
    ),
    "model": (
        lambda row: resigned(row, config=row["config"] | {"model": row["config"]["model"] | {"name": "gruu"}}),
        "its configuration is not known here: unknown model 'gruu'",
    ),
}


@pytest.mark.parametrize("how", ERRORS)
def test_a_row_that_is_not_in_order(how: str, folder: Path) -> None:
    change, *what = ERRORS[how]
    row, *others = rows_in(folder)
    changed = change(row)
    published_in(folder, [changed, *others])
    code, findings = answered(folder)
    assert code == 1
    errors = [one for one in findings if one["kind"] == "error"]
    assert [one["what"][: len(text)] for one, text in zip(errors, what, strict=True)] == what
    assert errors[0]["where"] == f"{changed['id']} {changed['label']}"


def test_the_same_run_twice(folder: Path) -> None:
    rows = rows_in(folder)
    published_in(folder, [*rows, resigned(rows[0], resumed=1)])
    what = f"2 rows of this run on cpu {rows[0]['provenance']['instructions']}"
    assert answered(folder) == (1, [vars(checking.Finding(rows[0]["id"], what))])


def test_a_line_that_is_no_row(folder: Path) -> None:
    content = (folder / "runs.jsonl").read_bytes()
    (folder / "runs.jsonl").write_bytes(content[:-1])
    assert [one["what"] for one in answered(folder)[1]] == [
        "its last line has no end: it was cut short, or written by hand"
    ]
    (folder / "runs.jsonl").write_bytes(b"{}\n" + content)
    code, findings = answered(folder)
    assert code == 1
    assert (findings[0]["where"], findings[0]["what"]) == ("runs.jsonl:1", "object missing required field `id`")


def test_an_experiment_that_cannot_be_read(folder: Path) -> None:
    write(folder, "question: q\nrows: []\nseed: 3\n")
    code, findings = answered(folder)
    assert (code, findings[0]["where"]) == (1, "experiment")
    assert "unknown key 'seed': did you mean 'seeds'?" in findings[0]["what"]
    answer = seqbench("verify", "--static", "results/nothing-of-this-name")
    assert (answer.code, answer.err.count("\n"), "no such experiment" in answer.err) == (2, 1, True)


def edit(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_text(encoding="utf-8")
    assert change(text) != text
    path.write_text(change(text), encoding="utf-8")


def test_a_table_that_the_rows_do_not_give(folder: Path) -> None:
    edit(folder / "table.md", lambda text: text.replace("Which one?", "Which one is best?"))
    code, findings = answered(folder)
    assert (code, findings) == (1, [vars(checking.Finding("table.md", "not what the rows give: line 1 is another"))])
    (folder / "table.md").unlink()
    assert answered(folder)[1][0]["what"] == "not there, though there are rows; seqbench publish makes it"


def test_figures_of_other_rows(folder: Path) -> None:
    """The rows have changed, and the table with them, but not the figures."""
    row, *others = rows_in(folder)
    published_in(folder, [resigned(row, resumed=1), *others])
    code, findings = answered(folder)
    assert code == 1
    assert {one["what"] for one in findings} == {"made of other rows; seqbench publish draws it anew"}
    assert [one["where"] for one in findings] == ["overview.png", "overview.svg"]


def test_figures_without_an_origin_or_not_there(folder: Path) -> None:
    edit(folder / "overview.svg", lambda text: re.sub("seqbench rows [0-9a-f]+", "", text))
    (folder / "overview.png").unlink()
    (folder / "mine.svg").write_text("<svg/>", encoding="utf-8")
    code, findings = answered(folder)
    assert code == 1
    assert [(one["where"], one["what"].partition(";")[0]) for one in findings] == [
        ("mine.svg", "does not say of which rows it was made"),
        ("overview.svg", "does not say of which rows it was made"),
        ("overview.png", "not there, though there are rows"),
    ]


def test_a_figure_that_looks_otherwise(folder: Path) -> None:
    """By the same matplotlib it is an error; what another version draws may look otherwise without an edit."""
    edit(folder / "overview.svg", lambda text: text.replace("<svg>", "<svg >"))
    assert [(one["where"], one["kind"]) for one in answered(folder)[1]] == [("overview.svg", "error")]
    edit(folder / "overview.svg", lambda text: text.replace("matplotlib 3", "matplotlib 2"))
    code, findings = answered(folder)
    assert (code, [(one["where"], one["kind"]) for one in findings]) == (0, [("overview.svg", "remark")])


def test_stale_rows_are_counted_and_no_error(folder: Path) -> None:
    """And a table that was made before they grew stale is told from one that was edited."""
    write(folder, OWN, my_model=HARMLESS.replace("1.0", "1.5"))
    code, findings = answered(folder)
    assert code == 0
    assert [(one["kind"], one["what"].partition(";")[0]) for one in findings] == [
        ("stale", "stale: my_model.py changed since"),
        ("stale", "rows have grown stale since"),
    ]
    answer = seqbench("verify", "--static", folder)
    assert answer.out.splitlines()[-1] == f"{folder}: 2 rows, 2 stale"
    edit(folder / "table.md", lambda text: text.replace("Which one?", "Which one is best?"))
    code, findings = answered(folder)
    assert (code, findings[-1]["kind"]) == (1, "error")
    seqbench("publish", folder)
    assert "†" in (folder / "table.md").read_text(encoding="utf-8")
    code, findings = answered(folder)
    assert (code, [one["kind"] for one in findings]) == (0, ["stale"])


def test_rows_of_another_version_of_the_contract(folder: Path) -> None:
    row, *others = rows_in(folder)
    kind = row["config"]["model"] | {"version": 3}
    published_in(folder, [resigned(row, config=row["config"] | {"model": kind}, id="0" * 12), *others])
    finding = answered(folder)[1][0]
    what = "it is of a newer version of the suite: model 3 in the row, 1 here; update the suite"
    assert (finding["what"], finding["kind"]) == (what, "error")


def test_rows_that_the_experiment_does_not_ask_for_any_more(folder: Path) -> None:
    edit(folder / "experiment.yaml", lambda text: text.replace("my_model.py(width=3)", "my_model.py(width=5)"))
    code, findings = answered(folder)
    assert findings[0]["what"] == "not a run of the experiment as it is now: no table shows it"
    assert findings[0]["kind"] == "remark"
    assert (code, findings[1]["where"]) == (1, "table.md"), "which shows it still"


def test_rows_of_before_are_remarked_only(folder: Path) -> None:
    old = [without(without(row, "diff"), "instructions") for row in rows_in(folder)]
    published_in(folder, old)
    publishing.write_answers(config.load(folder))
    answer = seqbench("verify", "--static", folder)
    assert answer.code == 0
    assert answer.out.splitlines() == [
        f"{folder}: 2 rows: made before rows had provenance.diff, provenance.instructions",
        f"{folder}: 2 rows, 2 remarks",
    ]


def test_the_data_of_a_row(tmp_path: Path, finished: Path) -> None:
    """A row must name every file that its task needs."""
    text = "question: q\nrows:\n- {task: my_task.py(length=9), training: {epochs: 1}, models: [gru(width=3)]}\n"
    folder = write(tmp_path / "data", text, my_task=OWN_TASK)
    (run,) = config.load(folder).runs
    changes = {"id": run.id, "label": str(run), "config": run.config}
    for data, message in [({}, "none…"), ({"mine/numbers.bin": "1" * 64}, "111111111111…")]:
        published_in(folder, [origin(resigned(rows_in(finished)[0], **changes), data=data)])
        errors = [one["what"] for one in answered(folder)[1] if one["kind"] == "error"]
        assert errors == [
            f"made with other data: mine/numbers.bin has sha256 {message} in the row, 000000000000… in the task"
        ]


def test_rows_of_two_devices(folder: Path) -> None:
    """The table is of one of them; which does not matter."""
    rows = rows_in(folder)
    published_in(folder, [*rows, *(resigned(row, device="cuda") for row in rows)])
    for device in ("cpu", "cuda"):
        publishing.write_answers(config.load(folder), device)
        assert answered(folder) == (0, [])
    edit(folder / "table.md", lambda text: text.replace("cuda", "gpu"))
    assert answered(folder)[0] == 1


def test_all_folders_of_the_suite_by_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write(folder.parent / "empty")
    monkeypatch.setattr("seqbench.bench.experiments.places.ROOT", folder.parents[1])
    answer = seqbench("verify", "--static")
    assert answer.out.splitlines() == [f"{other}: no rows yet", f"{folder}: 2 rows, all of one piece"]
    (folder.parent / "ledger.md").write_text("All is reproduced.\n", encoding="utf-8")
    answer = seqbench("verify", "--static")
    assert answer.code == 1
    assert "ledger.md: not what the rows give; seqbench publish writes it anew" in answer.out
