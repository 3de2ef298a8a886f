"""The page as a file: it says what the Markdown says, escapes what files say, needs nothing, is the same each time."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from pathlib import Path

import ledgers
import made_rows
import pages
import pytest
from command import seqbench
from pages import HOSTILE, MODEL, Element
from seqbench.bench.analysis.grid import collect
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.page import page
from seqbench.bench.report.page.run_facts import commands
from seqbench.bench.report.tables.experiment_table import table
from seqbench.bench.rows.store import Workplace


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return pages.published(tmp_path_factory.mktemp("page") / "results" / "x")


@pytest.fixture(scope="module")
def written(experiment: Experiment) -> Path:
    return page.write(experiment.folder.parent / "page.html", [experiment.folder])


@pytest.fixture(scope="module")
def tree(written: Path) -> Element:
    return pages.read(written)


def seen(cell: Element) -> str:
    """What a cell says, without the seeds that it keeps for later."""
    hidden = [one.text for one in cell.all(of_class="seeds")]
    return " ".join(cell.text.replace(hidden[0] if hidden else "\0", "").split())


def listed(part: Element) -> dict[str, str]:
    """The facts in a part of the page: name -> text."""
    return {name.line: text.line for name, text in zip(part.all("dt"), part.all("dd"), strict=True)}


def markdown_lines(text: str) -> list[list[str]]:
    """The first table of a Markdown text, its escapes undone."""
    lines = text.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        parts = re.split(r"(?<!\\)\|", line)[1:-1]
        rows.append([re.sub(r"\\([*|<\\])", r"\1", part.strip()) for part in parts])
    return [rows[0], *rows[2:]]


def test_the_scores_are_those_of_the_markdown_and_so_is_what_is_bold(experiment: Experiment, tree: Element) -> None:
    entries = collect(experiment, pages.rows(experiment))
    header, *lines = markdown_lines(table(entries, "md", experiment.question))
    shown = tree.one("table", "scores")
    first, *rows = shown.all("tr")
    assert [cell.line for cell in pages.cells_of(first)] == header
    assert len(rows) == len(lines) == 4
    bold = 0
    for row, line in zip(rows, lines, strict=True):
        for cell, text in zip(pages.cells_of(row), line, strict=True):
            assert seen(cell) == text.replace("**", "")
            marked = [one.line.removesuffix(",") for one in cell.all(of_class="bold")]
            assert marked == ([text.split("**")[1]] if text.startswith("**") else [])
            bold += len(marked)
    assert bold > 3


def test_all_else_that_the_markdown_says_is_there_too(experiment: Experiment, tree: Element) -> None:
    text = table(collect(experiment, pages.rows(experiment)), "md", experiment.question)
    paragraphs = [part for part in text.split("\n\n") if not part.startswith(("|", "**"))]
    everything = tree.line
    assert len(paragraphs) > 5
    for paragraph in paragraphs:
        assert " ".join(re.sub(r"\\([*|<\\])", r"\1", paragraph).split()) in everything


def test_a_score_has_its_seeds_and_leads_to_its_runs(tree: Element) -> None:
    ids = {one["id"]: one for one in tree.all() if "id" in one.attributes}
    buttons = [*tree.all("button", "score")]
    assert len(buttons) == 4 * 4
    lstm = next(one for one in buttons if "2/5 solved" in one.text)
    seeds = ids[lstm["aria-describedby"]]
    assert [one.line for one in seeds.all("li")] == [
        "seed 0: 3.06e-4, solved after 100 steps",
        "seed 1: 3.21e-4, solved after 100 steps",
        "seed 2: 0.0560",
        "seed 3: diverged",
        "seed 4: 0.0610",
    ]
    assert ids[lstm["data-cell"]].one("summary").line.startswith("adding(length=50), lstm 2/5 solved")


def test_the_runs_of_a_cell_say_how_they_ended_where_they_come_from_and_how_to_make_them_again(
    experiment: Experiment, tree: Element
) -> None:
    of_model = {one.one("summary").line.split(" ")[1]: one for one in [*tree.all("details", "cell")][:3]}
    statuses = {model: [pages.cells_of(row)[1].line for row in one.all("tr")][1:] for model, one in of_model.items()}
    assert statuses == {
        "rnn": ["done*", "done", "done", "done", "done"],
        "lstm": ["done", "done", "done", "diverged", "done"],
        "gru": ["done", "done", "done", "done", "failed"],
    }
    rnn, gru = of_model["rnn"], of_model["gru"]
    assert f"seed 4 failed: RuntimeError: {HOSTILE}" in gru.line
    assert listed(gru)["assumed ‡"] == "learning_rate"
    assert "32 32 412 2026-11-24 11:16 yes" in " ".join(seen(cell) for cell in rnn.all("td"))
    facts = listed(rnn)
    assert facts["commit"] == "c0ffee1234"
    assert facts["SHA-256 of the data"] == f"jsb.mat {'ab' * 32}"
    assert facts["versions"] == "numba 0.68.1 numpy 2.4.6 python 3.11.7 scipy 1.17.1 torch 2.13.0"
    assert facts["sum of the uncommitted changes"] == f"{'d1' * 32} (seed 0)"  # the others have none
    assert facts["training"].startswith("epochs=1, batch=32, optimizer=adam, learning_rate=0.01")
    run = experiment.cells[0].runs[0]
    folder = shlex.quote(str(experiment.folder))
    assert f"seqbench run {folder} --only {run.id} --device cpu --afresh" in rnn.line
    assert f"seqbench reproduce {folder} {run.id} --device cpu" in rnn.line


def test_the_commands_of_a_page_do_what_it_says(experiment: Experiment) -> None:
    row = pages.rows(experiment)[1]
    again, elsewhere, *_ = [
        command for command, _ in commands(experiment, experiment.cells[0], {row["id"]: row}) if row["id"] in command
    ]
    planned = seqbench(*shlex.split(again)[1:], "--dry-run")
    assert planned.code == 0
    assert planned.out.split()[0] == row["id"]
    assert len(planned.out.splitlines()) == 1
    asked = seqbench(*shlex.split(elsewhere)[1:])
    assert f"--only {row['id']}" in asked.out, asked.err


def test_hostile_texts_stay_texts(written: Path, tree: Element) -> None:
    assert all(one["src"].startswith("data:image/svg+xml;base64,") for one in tree.all("img"))
    for tag in ("iframe", "object", "embed", "form"):
        assert not [*tree.all(tag)]
    data, script = tree.all("script")
    assert not [name for one in tree.all() for name in one.attributes if name.startswith("on")]
    assert HOSTILE in tree.one("p", "question").line
    assert HOSTILE in next(one for one in tree.all("section") if one.attributes.get("id") == "speed").line
    assert MODEL in {line["model"] for line in json.loads(data.text)["e0-d0"]}
    assert data["type"] == "application/json"
    assert "<" not in data.text
    assert "alert" not in script.text
    assert written.read_text(encoding="utf-8").count("<script") == 2


def test_the_page_needs_nothing_else_and_lets_no_other_script_run(written: Path, tree: Element) -> None:
    links = {one.attributes.get(name) for one in tree.all() for name in ("src", "href", "data", "action")} - {None}
    assert all(link is not None and link.startswith(("#", "data:")) for link in links)
    style = tree.one("style").text
    assert "@import" not in style
    assert "url(" not in style
    policy = next(one["content"] for one in tree.all("meta") if "http-equiv" in one.attributes)
    _, script = tree.all("script")
    allowed = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    assert policy.startswith("default-src 'none';")
    assert f"script-src 'sha256-{allowed}';" in policy
    assert written.stat().st_size < 500_000


def test_the_page_is_fit_for_readers_of_screens_and_for_phones(tree: Element) -> None:
    ids = [one["id"] for one in tree.all() if "id" in one.attributes]
    assert len(ids) == len(set(ids))
    for name in ("aria-describedby", "aria-labelledby", "data-cell"):
        assert {one[name] for one in tree.all() if name in one.attributes} <= set(ids)
    assert {one["href"][1:] for one in tree.all("a")} <= set(ids)
    assert tree.one("html")["lang"] == "en"
    assert "width=device-width" in next(
        one["content"] for one in tree.all("meta") if one.attributes.get("name") == "viewport"
    )
    assert tree.one("title").text == "seqbench report: x"
    assert all(button.line for button in tree.all("button"))
    assert all(svg.attributes.get("aria-label") or svg.attributes.get("aria-hidden") for svg in tree.all("svg"))
    assert all(image["alt"] for image in tree.all("img"))
    assert [heading.tag for heading in tree.all() if heading.tag in ("h1", "h2")] == ["h1", "h2", "h2", "h2"]


def test_the_same_rows_give_the_same_bytes(experiment: Experiment, written: Path, tmp_path: Path) -> None:
    again = page.write(tmp_path / "new folder" / "page.html", [experiment.folder, experiment.folder])
    assert again.read_bytes() == written.read_bytes()


def test_experiments_without_rows_wait_in_a_place_of_their_own(tmp_path: Path) -> None:
    made = pages.published(tmp_path / "results" / "made", speed=False)
    waiting = made_rows.write(tmp_path / "results" / "waiting", pages.PLAIN.replace("Which one?", "What if?"))
    tree = pages.read(page.write(tmp_path / "page.html", [waiting.folder, made.folder]))
    assert [heading.line for heading in tree.all("h2")] == ["made", "Not run yet", "Published numbers"]
    place = next(one for one in tree.all("section") if one.attributes.get("id") == "waiting")
    assert "What if?" in place.line
    assert f"seqbench run {waiting.folder}" in place.line
    assert [one.line for one in place.all("button", "score")] == ["not run"]
    assert "Report: 2 experiments" in tree.one("h1").line


def test_rows_of_two_devices_stand_apart(tmp_path: Path) -> None:
    experiment = made_rows.write(tmp_path / "x", pages.PLAIN)
    rows = [pages.row(experiment.runs[0], device=device, place=place) for place, device in enumerate(("cpu", "cuda"))]
    Workplace(experiment.folder).published.replace(rows)
    both = pages.read(page.write(tmp_path / "both.html", [experiment.folder]))
    assert [one.line for one in both.all("h2")][:2] == ["x on cpu", "x on cuda"]
    one = pages.read(page.write(tmp_path / "one.html", [experiment.folder], device="cuda"))
    assert [heading.line for heading in one.all("h2")][:1] == ["x"]
    assert "Device: cuda" in one.line


def test_rows_that_are_not_published_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQBENCH_RUNS", str(tmp_path / "runs"))
    experiment = made_rows.write(tmp_path / "x", pages.PLAIN)
    place = Workplace(experiment.folder)
    place.area.mkdir(parents=True)
    place.working.replace([pages.row(experiment.runs[0])])
    tree = pages.read(page.write(tmp_path / "page.html", [experiment.folder]))
    (run,) = pages.lines_of(tree.one("details", "cell").one("table"))
    assert run["Published"] == "no"
    only = pages.read(page.write(tmp_path / "page.html", [experiment.folder], source="published"))
    assert "not run" in only.one("button", "score").line


def test_the_ledger_is_that_of_the_table(tmp_path: Path) -> None:
    experiment = made_rows.write(tmp_path / "x", pages.PLAIN.replace("adding(length=20)", "jsb"))
    Workplace(experiment.folder).published.replace([pages.row(run) for run in experiment.runs])
    numbers = [ledgers.number("8.45", note=f"said by {HOSTILE}"), ledgers.number("9", task="nottingham")]
    tree = pages.read(page.write(tmp_path / "page.html", [experiment.folder], numbers=numbers))
    place = next(one for one in tree.all("section") if one.attributes.get("id") == "ledger")
    (badge,) = place.all("span", "badge")
    assert badge.line == "not judged"
    assert "8.45" in place.line
    other = pages.read(page.write(tmp_path / "page.html", [experiment.folder], numbers=numbers[1:]))
    assert not [one for one in other.all("section") if one.attributes.get("id") == "ledger"]


def test_the_verb_writes_into_the_working_area_or_where_it_is_told(
    experiment: Experiment, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQBENCH_RUNS", str(tmp_path))
    answer = seqbench("report", experiment.folder)
    path = tmp_path / "x" / "report.html"
    assert answer.code == 0, answer.err
    assert answer.out == f"wrote {path} ({path.stat().st_size / 1000:.0f} kB): open it in a browser\n"
    assert path.read_bytes() == written.read_bytes()
    assert "name a file in it" in seqbench("report", experiment.folder, "--out", tmp_path).err
    assert "no such experiment" in seqbench("report", "results/quik").err
