"""What the page is made of besides tables: learning curves, colours, and measured speed."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import ledgers
import made_rows
import pages
import pytest
from pages import HOSTILE, MODEL, Element
from seqbench.bench.analysis import overall
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.figures import score_cost
from seqbench.bench.report.figures.panels import gather
from seqbench.bench.report.figures.profile import HOW
from seqbench.bench.report.figures.style import FURTHER, STYLE
from seqbench.bench.report.page import page
from seqbench.bench.report.page.colours import CONTRAST, DARK_PAPER, contrast, on_dark
from seqbench.bench.report.page.page_curves import HEIGHT, HOW_TO_READ, LEFT, curves
from seqbench.bench.report.tables import cost_table


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return pages.published(tmp_path_factory.mktemp("parts") / "results" / "x")


@pytest.fixture(scope="module")
def tree(experiment: Experiment) -> Element:
    """The page; its numbers over all tasks are of three runs, as the smallest of its cells has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overall, "FEWEST_RUNS", 3)
        return written(experiment)


def written(experiment: Experiment) -> Element:
    return pages.read(page.write(experiment.folder.parent / "page.html", [experiment.folder]))


def test_curves_show_each_seed_their_mean_and_where_one_diverged(experiment: Experiment) -> None:
    adding, copy, jsb = curves(gather(experiment, pages.rows(experiment))).drawings
    assert [model.label for model in adding.models] == ["rnn", "lstm", "gru", MODEL]
    rnn, lstm, _, _ = adding.models
    assert [path.seed for path in rnn.paths] == [True] * 5 + [False]
    assert [bool(path.ends) for path in lstm.paths] == [False, False, False, True, False, False]
    epochs, seconds = (
        [tuple(map(float, point.split(","))) for point in points.split()] for points in rnn.paths[-1].points
    )
    assert len(epochs) == len(seconds) == 12
    assert [y for _, y in epochs] == sorted(y for _, y in epochs)  # a falling error goes down the screen
    assert [y for _, y in epochs] == [y for _, y in seconds]
    assert all(x > LEFT for x, _ in epochs)
    assert all(0 < y < HEIGHT for _, y in epochs)
    assert [tick.text for tick in adding.y_ticks] == ["0.001", "0.01", "0.1"]  # decades apart, so logarithmic
    assert [tick.text for tick in adding.thresholds] == ["floor", "solved"]
    assert [tick.text for tick in jsb.x_ticks[0]] == ["0", "5", "10"]
    assert [one["model"] for one in adding.values] == ["rnn", "lstm", "gru", MODEL]
    assert adding.values[1]["points"][0][2:] == ["0.0120 (8.57e-4 to 0.171, n=4)", 1, "2.5 s"]
    assert copy.title == "copy-memory(delay=20)"
    assert {drawing.axes for drawing in (adding, copy, jsb)} == {("epochs", "seconds")}


def test_runs_of_one_epoch_show_their_training_loss(tmp_path: Path) -> None:
    experiment = made_rows.write(tmp_path / "x", pages.PLAIN.replace("rows:", "seeds: 3\nrows:"))
    falling = [[10 * place, 2.0 / place] for place in range(1, 201)]
    rows = [
        pages.row(run, epochs=1, trace=[[step, (1 + run.seed) * loss] for step, loss in falling])
        for run in experiment.runs[:2]
    ]
    rows.append(pages.row(experiment.runs[2], "diverged", epochs=1, curve=[], trace=[[10, 2.0], [20, 9.0], [30, None]]))
    drawn = curves(gather(experiment, rows))
    (drawing,) = drawn.drawings
    assert (drawing.score, drawing.axes) == ("training loss", ("steps",))
    assert not drawing.thresholds
    assert [tick.text for tick in drawing.x_ticks[0]] == ["0", "500", "1000", "1500", "2000"]
    assert [tick.text for tick in drawing.y_ticks] == ["0.01", "0.1", "1", "10"]
    paths = drawing.models[0].paths
    assert [(path.seed, bool(path.ends)) for path in paths] == [
        (True, False),
        (True, False),
        (True, True),
        (False, False),
    ]
    assert [len(path.points[0].split()) for path in paths] == [50, 50, 2, 50]  # neighbours are averaged
    across, _, text, step = drawing.values[0]["points"][-1]
    assert (len(across), text, step) == (1, "0.0142 (0.0101 to 0.0202, n=2)", 2000)
    task = experiment.cells[0].task
    assert drawn.note.startswith("Training loss against steps")
    assert f"because no run has a second epoch: {task}. {HOW_TO_READ}" in drawn.note


def test_each_task_is_drawn_or_said_to_have_nothing(tmp_path: Path) -> None:
    tasks = [f"adding(length={length})" for length in (10, 20, 30)]
    experiment = made_rows.write(tmp_path / "x", pages.PLAIN.replace("adding(length=20)", f"[{', '.join(tasks)}]"))
    long, short, bare = experiment.runs
    rows = [pages.row(long, trace=[[1, 1.0]]), pages.row(short, epochs=1, trace=[[1, 1.0]]), pages.row(bare, epochs=1)]
    note = curves(gather(experiment, rows)).note
    assert note.startswith("Score on the validation split after each epoch: adding(length=10). Training loss")
    assert "second epoch: adding(length=20). Nothing to draw, because no row has" in note
    assert f"or a trace: adding(length=30). {HOW_TO_READ}" in note


def test_runs_without_a_trace_have_no_curve_of_one_epoch_and_a_lone_run_is_its_own_mean(tmp_path: Path) -> None:
    experiment = made_rows.write(tmp_path / "x", pages.PLAIN)
    (run,) = experiment.runs
    assert curves(gather(experiment, [pages.row(run, epochs=1)])).drawings == []
    (drawing,) = curves(gather(experiment, [pages.row(run, epochs=3)])).drawings
    assert [(path.seed, path.title) for path in drawing.models[0].paths] == [(False, "gru, the only seed")]
    assert drawing.values[0]["points"][2][2:] == ["4.94e-4", 3, "4.5 s"]


def test_colours_are_those_of_the_figures_and_seen_on_black(tree: Element) -> None:
    for style in (*STYLE.values(), *FURTHER):
        assert contrast(on_dark(style.colour), DARK_PAPER) >= CONTRAST
    css = tree.one("style").text
    for name in ("rnn", "lstm", "gru", "tcn"):
        light, dark = STYLE[name].colour, on_dark(STYLE[name].colour)
        (variable,) = set(re.findall(rf"(--colour-\d+):{light};", css.split("@media")[0]))
        assert css.count(f"{variable}:{dark};") >= 2  # as the system says, and as the button says


def test_each_picture_stands_behind_its_table(tree: Element) -> None:
    below = [one for one in tree.all() if one.tag in ("h4", "figcaption", "img")]
    place, cost = [place for place, one in enumerate(below) if one.tag == "img"]
    for picture, table in ((place, "Over 3 tasks"), (cost, cost_table.TITLE)):
        assert [one.tag for one in below[picture - 1 : picture + 2]] == ["h4", "img", "figcaption"]
        assert below[picture - 1].line == table
    assert below[cost]["alt"].startswith("Score against the time of a run. On the Pareto front, ")
    assert below[cost + 1].line.startswith(score_cost.CAPTION)
    assert below[place]["alt"].startswith("Performance profile over 3 tasks: share of runs above 0, 0.5, 0.9: rnn ")
    svg = base64.b64decode(below[place]["src"].partition(",")[2]).decode()
    assert "seqbench rows" in svg
    assert below[place + 1].line.startswith(HOW)


def test_speed_is_shown_where_it_was_measured(tree: Element, tmp_path: Path) -> None:
    place = next(one for one in tree.all("section") if one.attributes.get("id") == "speed")
    lines = pages.lines_of(place.one("table"))
    assert place.one("summary").line == f"laptop two cores {HOSTILE}; 2 rows"
    assert "open" not in place.one("details").attributes
    assert lines[0]["Task"] == "adding(length=600)"
    assert lines[0]["Ours (ms)"] == "12.5"
    assert lines[1]["Reference, denormals flushed (ms)"] == "–"
    assert lines[1]["Ratio to reference"] == "0.737"
    bare = made_rows.write(tmp_path / "x", pages.PLAIN)
    without = pages.read(page.write(tmp_path / "page.html", [bare.folder]))
    assert "Speed" not in [one.line for one in without.all("h2")]
    assert not [*without.all("img")]


def test_published_numbers_without_a_verdict_are_folded(tmp_path: Path) -> None:
    experiment = made_rows.write(tmp_path / "x", pages.PLAIN.replace("adding(length=20)", "jsb"))
    numbers = [ledgers.number("8.45"), ledgers.number("9", experiment=None)]
    tree = pages.read(page.write(tmp_path / "page.html", [experiment.folder], numbers=numbers))
    place = next(one for one in tree.all("section") if one.attributes.get("id") == "ledger")
    (folded,) = place.all("details", "long")
    assert folded.one("summary").line.startswith("For context")
    assert folded.one("summary").line.endswith("1 row")
    assert [len([*one.all("span", "badge")]) for one in place.all("table")] == [1, 0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "no list of measurements"),
        ('{"rows": [1]}', "no list of measurements"),
        ('{"rows": [{"task": "jsb"}]}', "row 0: no model, ours_ms"),
    ],
)
def test_a_bad_file_of_speed_is_named(tmp_path: Path, content: str, complaint: str) -> None:
    experiment = made_rows.write(tmp_path / "x", pages.PLAIN)
    (tmp_path / "speed").mkdir()
    (tmp_path / "speed" / "bad.json").write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape("bad.json: ") + ".*" + re.escape(complaint)):
        page.write(tmp_path / "page.html", [experiment.folder])
