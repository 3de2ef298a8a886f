"""Publishing: rows that can be trusted go into the folder, the others stay and are named."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from command import seqbench
from experiments import OWN, OWN_MODEL, SMALL, clean, sweep_in, write
from seqbench.bench.errors import UsageError
from seqbench.bench.evidence import publishing
from seqbench.bench.evidence.publishing import Publication, publish
from seqbench.bench.experiments import config
from seqbench.bench.rows import sources
from seqbench.bench.rows.store import RowFile, Workplace, untouched

FIGURES = ("overview", "scores", "score-parameters", "score-state", "score-cost", "learning-epochs", "learning-time")
ANSWERS = ["table.md", *(f"{name}.{format}" for name in FIGURES for format in ("png", "svg"))]
TWO_SEEDS = SMALL.replace("rows:", "seeds: 2\nrows:")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Clean rows of four runs, in the order in which they ended; not to be changed."""
    folder = write(tmp_path_factory.mktemp("trained") / "small", TWO_SEEDS)
    assert sweep_in(folder).exit_code == 0
    return [clean(row) for row in Workplace(folder).working.read()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "results" / "small", TWO_SEEDS)


def lay_out(folder: Path, rows: list[dict[str, Any]]) -> Workplace:
    """The rows in the working area as they are, with whatever sum they have."""
    place = Workplace(folder)
    place.area.mkdir(parents=True, exist_ok=True)
    place.working.replace(rows)
    return place


def published(folder: Path) -> Publication:
    return publish(config.load(folder))


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ANSWERS}


def test_clean_rows_move_in_the_order_of_the_grid(folder: Path, trained: list[dict[str, Any]]) -> None:
    ids = [run.id for run in config.load(folder).runs]
    place = lay_out(folder, sorted(trained, key=lambda row: ids.index(row["id"]), reverse=True))
    publication = published(folder)
    assert ([row["id"] for row in publication.left], len(publication.moved)) == ([], 4)
    assert [row["id"] for row in place.published.read()] == ids
    assert all(untouched(row) for row in place.published.read())
    assert place.working.read() == []
    assert [path.name for path in publication.written] == ANSWERS
    text = (folder / "table.md").read_text(encoding="utf-8")
    assert "Which one?" in text
    assert "4 of 4 runs" in text
    assert (folder / "overview.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "overview.svg").read_text(encoding="utf-8").rstrip().endswith("</svg>")


def test_answers_are_the_same_when_made_again(
    folder: Path, trained: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte by byte, so that a commit shows what has changed; also where the rows came in pieces."""
    lay_out(folder, trained)
    published(folder)
    first = contents(folder)
    for name in ANSWERS:
        (folder / name).unlink()
    again = published(folder)
    assert (again.moved, [path.name for path in again.written]) == ([], ANSWERS)
    assert contents(folder) == first
    (folder / "runs.jsonl").unlink()
    lay_out(folder, trained[2:])
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "write_figures", lambda *arguments: [])
        published(folder)
    lay_out(folder, trained[:2])
    published(folder)
    assert contents(folder) == first


def test_a_figure_that_the_rows_do_not_give_any_more_is_taken_away(folder: Path, trained: list[dict[str, Any]]) -> None:
    lay_out(folder, trained)
    (folder / "lengths.svg").write_text("of rows of before", encoding="utf-8")
    (folder / "mine.svg").write_text("of mine", encoding="utf-8")
    published(folder)
    assert sorted(path.name for path in folder.glob("*.svg")) == sorted(
        [*(f"{name}.svg" for name in FIGURES), "mine.svg"]
    )


def broken(row: dict[str, Any], how: str) -> dict[str, Any]:
    match how:
        case "dirty":
            return clean(row, provenance={"dirty": True, "differing": ["tasks/adding.py"]})
        case "commitless":
            return clean(row, provenance={"commit": None})
        case "stale":
            return clean(row, provenance={"source": "0" * 16})
        case "failed" | "died":
            return clean(row, status=how, error={"message": "too hard", "traceback": ""})
        case "foreign":
            return clean(row, id="0" * 12)
        case "mistaken":
            return clean(row, config=row["config"] | {"seed": row["config"]["seed"] + 1})
        case _:  # edited by hand, the sum is of what stood there before
            return row | {"scores": {**row["scores"], "last": row["scores"]["best"]}}


REASONS = {
    "dirty": "dirty: the sources differed from the commit when it was made (tasks/adding.py)",
    "commitless": "of no commit: neither the suite nor the experiment was in a git repository when it was made",
    "stale": "stale: made by other code, of a commit that is not in this repository",
    "failed": "failed: too hard",
    "died": "died: too hard",
    "foreign": "not a run of this experiment as it is now",
    "mistaken": "its id is not that of its configuration",
    "edited": "checksum mismatch: its line is not as it was written",
}


@pytest.mark.usefixtures("no_figure")
@pytest.mark.parametrize("how", REASONS)
def test_what_cannot_be_trusted_stays(how: str, folder: Path, trained: list[dict[str, Any]]) -> None:
    rows = [trained[0], broken(trained[1], how), *trained[2:]]
    place = lay_out(folder, rows)
    publication = published(folder)
    ((row, reason),) = publication.left
    assert row["label"] == rows[1]["label"]
    assert reason.startswith(REASONS[how])
    assert json.loads(place.working.path.read_bytes()) == rows[1], "as it is"
    assert {row["id"] for row in place.published.read()} == {row["id"] for row in trained} - {trained[1]["id"]}
    assert "3 of 4 runs" in (folder / "table.md").read_text(encoding="utf-8"), "a missing run shows"


@pytest.mark.usefixtures("no_figure")
def test_diverged_runs_are_published(folder: Path, trained: list[dict[str, Any]]) -> None:
    lay_out(folder, [clean(trained[0], status="diverged", scores={})])
    assert [row["status"] for row in published(folder).moved] == ["diverged"]


@pytest.mark.usefixtures("no_figure")
def test_newer_rows_take_the_place_of_older_ones(folder: Path, trained: list[dict[str, Any]]) -> None:
    place = lay_out(folder, trained)
    published(folder)
    newer = clean(trained[2], resumed=5)
    lay_out(folder, [newer])
    published(folder)
    assert [row["resumed"] for row in place.published.read() if row["id"] == newer["id"]] == [5]
    assert len(place.published.read()) == 4


@pytest.mark.usefixtures("no_figure")
def test_what_is_not_moved_is_not_lost(folder: Path, trained: list[dict[str, Any]]) -> None:
    """A clean row, behind a newer and dirty one of the same run, while another run is published."""
    rows = [trained[0], broken(trained[0], "dirty"), trained[1], broken(trained[1], "failed")]
    place = lay_out(folder, rows)
    assert [row["id"] for row in published(folder).moved] == [trained[1]["id"]]
    assert place.working.read() == rows[:2]


@pytest.mark.usefixtures("no_figure")
def test_a_stale_model_of_the_users_own(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", OWN, my_model=OWN_MODEL.replace("BODY", "inputs = inputs * 1.0"))
    assert sweep_in(folder).exit_code == 0
    lay_out(folder, [clean(row) for row in Workplace(folder).working.read()])
    write(folder, OWN, my_model=OWN_MODEL.replace("BODY", "inputs = inputs * 1.5"))
    sources.forget()
    publication = published(folder)
    assert [(row["label"].count("my_model"), reason) for row, reason in publication.left] == [
        (1, "stale: my_model.py changed since")
    ]
    assert len(publication.moved) == 1


def test_nothing_to_publish(folder: Path) -> None:
    publication = published(folder)
    assert (publication.moved, publication.left, publication.written) == ([], [], [])
    assert sorted(path.name for path in folder.parent.rglob("*")) == ["experiment.yaml", "small"]


@pytest.mark.usefixtures("no_figure")
def test_a_folder_that_cannot_be_written_loses_nothing(
    folder: Path, trained: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = lay_out(folder, trained)
    replace = RowFile.replace

    def read_only(self: RowFile, rows: Any) -> None:
        if self.path.parent == folder:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        replace(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(RowFile, "replace", read_only)
        with pytest.raises(OSError, match="Read-only file system"):
            published(folder)
    assert place.working.read() == trained
    assert len(published(folder).moved) == 4


@pytest.mark.usefixtures("no_figure")
def test_cut_short_between_the_two_files_loses_nothing(
    folder: Path, trained: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = lay_out(folder, trained)
    replace = RowFile.replace

    def cut_short(self: RowFile, rows: Any) -> None:
        if self.path.parent != folder:
            raise KeyboardInterrupt
        replace(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(RowFile, "replace", cut_short)
        with pytest.raises(KeyboardInterrupt):
            published(folder)
    published(folder)
    assert (len(place.published.read()), place.working.read()) == (4, [])


def test_not_while_a_sweep_writes(folder: Path, trained: list[dict[str, Any]]) -> None:
    """A row that comes between reading and writing anew would be lost."""
    place = lay_out(folder, trained)
    with place.held(), pytest.raises(UsageError, match="another process runs or publishes it"):
        published(folder)
    assert place.working.read() == trained


@pytest.mark.usefixtures("no_figure")
def test_two_devices(folder: Path, trained: list[dict[str, Any]]) -> None:
    """Their numbers are not one sample: which of them the table shows must be said."""
    place = lay_out(folder, [*trained, *(clean(row, device="cuda") for row in trained)])
    with pytest.raises(UsageError, match="choose one with --device"):
        published(folder)
    assert len(place.published.read()) == 8
    assert [path.name for path in publish(config.load(folder), "cuda").written] == ["table.md"]
    assert "Device: cuda" in (folder / "table.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_figure")
def test_the_command_says_what_is_left_and_ends_with_1(folder: Path, trained: list[dict[str, Any]]) -> None:
    lay_out(folder, [broken(trained[1], "dirty"), *trained[2:]])
    answer = seqbench("publish", folder)
    assert answer.code == 1
    assert answer.out.splitlines() == ["2 rows published", f"wrote {folder / 'table.md'}"]
    assert answer.err == f"left: {trained[1]['id']} {trained[1]['label']}: {REASONS['dirty']}\n"


@pytest.mark.usefixtures("no_figure")
def test_published_rows_are_plain_json_lines(folder: Path, trained: list[dict[str, Any]]) -> None:
    lay_out(folder, trained)
    published(folder)
    for line in (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert untouched(row)


@pytest.mark.usefixtures("no_figure")
def test_a_torn_line_is_set_aside_and_said(folder: Path, trained: list[dict[str, Any]]) -> None:
    place = lay_out(folder, trained[:2])
    content = place.working.path.read_bytes()
    place.working.path.write_bytes(content[:-40])
    publication = published(folder)
    assert [row["id"] for row in publication.moved] == [trained[0]["id"]]
    assert len(publication.repaired) == 1
    assert "half-written" in publication.repaired[0]
    torn = place.working.path.with_name("runs.jsonl.damaged").read_bytes()
    assert torn.startswith(b"{")
    assert torn.rstrip(b"\n") in content


CHORALES = """\
question: Which one?
preset: published
rows:
- {task: jsb, models: ["tcn(width=4, kernel=2, levels=2)"]}
"""


@pytest.mark.usefixtures("no_figure")
def test_the_ledger_is_written_anew_by_what_it_judges(tmp_path: Path, trained: list[dict[str, Any]]) -> None:
    """It stands beside the folders; an experiment by which no published number is judged leaves it alone."""
    for name, written in [("bai2018-jsb", ["table.md", "ledger.md"]), ("small", ["table.md"])]:
        folder = write(tmp_path / name / "results" / name, CHORALES)
        (run,) = config.load(folder).runs
        scores = {"test": {"nats": 8.5}, "valid": {"nats": 8.4}}
        changes = {"id": run.id, "label": str(run), "config": run.config, "curve": []}
        lay_out(
            folder,
            [
                clean(
                    trained[0],
                    **changes,
                    scores={"best": scores | {"epoch": 1}, "last": scores | {"epochs": [1]}},
                    provenance={"source": sources.source_hash(run)},
                )
            ],
        )
        publication = published(folder)
        assert (len(publication.moved), [path.name for path in publication.written]) == (1, written)
        ledger = folder.parent / "ledger.md"
        assert ledger.is_file() == (name != "small")
    again = published(tmp_path / "bai2018-jsb" / "results" / "bai2018-jsb")
    assert (len(again.moved), [path.name for path in again.written]) == (0, ["table.md", "ledger.md"])
