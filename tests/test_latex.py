"""LaTeX: it fits the page, says all that Markdown says, and loses no character."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from seqbench.bench.analysis import grid
from seqbench.bench.analysis.ledger import lines
from seqbench.bench.experiments import config
from seqbench.bench.report.tables import experiment_table, writers
from seqbench.bench.report.tables.latex_text import UNKNOWN, latex_text, width
from seqbench.bench.report.tables.ledger_table import ledger
from seqbench.bench.rows.store import Workplace

from .latex_pages import NEEDS_TEX, cells, colliding, compiled
from .made_rows import dirtied, made

RESULTS = Path(__file__).resolve().parent.parent / "results"
PAGES = ("", "a4paper,margin=1in", "letterpaper,margin=1in")


@pytest.fixture(scope="module")
def quick() -> dict[str, str]:
    """The table of results/quick, as committed, in both formats."""
    experiment = config.load(RESULTS / "quick")
    entries = grid.collect(experiment, [*Workplace(experiment.folder).published.read()])
    return {"md": experiment_table.table(entries, "md"), "latex": experiment_table.table(entries, "latex")}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The ledger of all published numbers on a few tasks, with made-up rows of ours that wear every mark."""
    folders = []
    for name in ("bai2018-adding-600", "bai2018-copy-memory-1000", "bai2018-jsb", "bai2018-permuted-mnist"):
        folder = tmp_path_factory.mktemp("results") / name
        folder.mkdir()
        shutil.copy(RESULTS / name / "experiment.yaml", folder)
        experiment = config.load(folder)
        rows = [
            made(run, None if place == 1 else 1.2345e-5 * (run.seed + 1))
            for cell in experiment.cells
            for place, run in enumerate(cell.runs[:3])
        ]
        place = Workplace(folder)
        place.area.mkdir(parents=True, exist_ok=True)
        place.published.replace([dirtied(row, dirty=True, source="old") for row in rows])
        folders.append(folder)
    found = lines(folders)
    return {format: ledger(found, format) for format in ("md", "latex")}


def markdown_cells(text: str) -> list[list[str]]:
    """The texts of all lines of tables in Markdown, but the rules'."""
    found = [re.split(r" +\| +", line[2:-2]) for line in text.splitlines() if line.startswith("| ")]
    rows = [line for line in found if not re.fullmatch("[-: ]+", "".join(line))]
    return [[re.sub(r"\*\*|\\(?=[*|<\\])", "", cell).strip() for cell in line] for line in rows]


@pytest.mark.parametrize("table", ["quick", "judged"])
def test_latex_has_every_cell_of_the_markdown(table: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(table)
    expected = markdown_cells(re.sub(r"(?<=\de-)0", "", text["md"].replace("’", "'")))  # both look the same in LaTeX
    assert len(expected) > 30
    assert cells(text["latex"]) == expected


@pytest.mark.parametrize("table", ["quick", "judged"])
def test_tables_go_over_pages_with_title_and_header(table: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(table)["latex"]
    found = re.findall(r"\\begin\{longtblr\}.*?\\end\{longtblr\}", text, re.DOTALL)
    assert found
    assert all(f"rowhead={1 + one.count('SetCell')}," in one for one in found)
    needed = text.partition("\n")[0]
    assert ("pdflscape" in needed) == (r"\begin{landscape}" in text)
    assert "tabularray" in needed


@NEEDS_TEX
@pytest.mark.parametrize("pages", PAGES)
@pytest.mark.parametrize("table", ["quick", "judged"])
def test_it_fits_the_page(table: str, pages: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    compiled(request.getfixturevalue(table)["latex"], tmp_path, pages)
    assert colliding(tmp_path) == []


@NEEDS_TEX
def test_many_models_fit_a_page_that_is_turned(tmp_path: Path) -> None:
    score = ("89.69 [86.32–93.05]", "n=10")
    table = writers.Table(
        "", ["Task", *"abcdefghijk"], "l" * 12, [[("adding(length=50", "train=25600)"), *[score] * 11]], wide=True
    )
    text = writers.latex([table])
    assert r"\begin{landscape}" in text
    compiled(text, tmp_path)
    assert colliding(tmp_path) == []


@NEEDS_TEX
def test_every_character_can_be_set(tmp_path: Path) -> None:
    signs = [chr(number) for number in [*range(0x20, 0x250), *range(0x370, 0x400), *range(0x2010, 0x2300)]]
    log = compiled(writers.latex(signs), tmp_path)
    assert "Missing character" not in log


def test_no_character_is_lost() -> None:
    assert latex_text("1e-05 and 2.50e12, v1e3 ü") == r"$1\times10^{-5}$ and $2.50\times10^{12}$, v1e3 ü"
    assert latex_text("é ő → α ≈ “x” a--b") == r"é ő $\rightarrow$ $\alpha$ $\approx$ ``x'' a-{}-b"
    assert latex_text("☃ « \x07") == r"\texttt{U+2603} \texttt{U+00AB} \texttt{U+0007}"
    assert all("U+" in latex_text(sign) for sign in UNKNOWN)


def test_columns_have_room_for_their_words_and_share_the_rest() -> None:
    text = writers.latex([writers.Table("", ["a", "b"], "lr", [[("12345678901234567890",), ("word " * 120,)]])])
    (one, other) = map(float, re.findall(r"X\[-([\d.]+),[lr]\]", text))
    assert one >= width("12345678901234567890")
    assert other > one
    assert one + other + writers.GAP == pytest.approx(writers.PAGES[0][-1], abs=0.1)
    assert "landscape" not in text


def test_a_document_keeps_its_own_captions() -> None:
    text = writers.latex([writers.Table("Costs", ["A"], "l", [[("x",)]])])
    assert re.search(r"\\begingroup.*\\SetTblrTemplate\{.*\}\{empty\}", text)
    assert r"\SetCell[c=1]{l} \textbf{Costs} \\" in text


def test_a_line_in_brackets_and_a_table_without_lines() -> None:
    text = writers.latex([writers.Table("", ["A", "B"], "ll", [[("x",), ("y",)], [("[1–2]",), ("z",)]])])
    assert "\\\\\n\\mbox{[" in text, "the end of a line would take a bracket for its option"
    assert "toprule" in writers.latex([writers.Table("", ["A"], "l", [])])
