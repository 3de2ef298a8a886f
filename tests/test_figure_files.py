"""Figures as files: which are written, that the same rows give the same bytes, and that they say which rows."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from drawing import FEW, all_rows, made, write
from PIL import Image
from seqbench.bench.errors import UsageError
from seqbench.bench.report.figures import drawing
from seqbench.bench.report.figures.panels import NothingToDraw, pooled
from seqbench.bench.report.figures.saving import alike, digest, digest_of, drawn_by
from seqbench.bench.rows.store import signed

ONE = FEW.replace(', "copy-memory(delay=5, train=20800)"', "").replace("seeds: 3", "seeds: 1")


def test_the_figures_that_apply_are_written_and_the_others_named(tmp_path: Path) -> None:
    experiment = write(tmp_path, ONE)
    rows = [signed(row | {"state_size": 8 + place}) for place, row in enumerate(all_rows(experiment, epochs=2))]
    drawn = drawing.write(experiment, rows, tmp_path / "figures", formats=("png",))
    written = {path.stem for path in drawn.written}
    assert written == {"overview", "scores", "score-state", "score-cost", "learning-epochs", "learning-time"}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {f"{name}.png" for name in written}
    assert set(drawn.left_out) == {"score-parameters", "profile", "lengths", "score-lengths", "gradients", "ranks"}
    assert "seqbench gradients" in drawn.left_out["gradients"]


def test_figures_are_chosen_by_name(tmp_path: Path) -> None:
    experiment = write(tmp_path, ONE)
    rows = all_rows(experiment)
    assert [path.name for path in drawing.write(experiment, rows, tmp_path, only=["scores"], formats=("svg",)).written]
    with pytest.raises(UsageError, match="there is no figure 'score': did you mean 'scores'"):
        drawing.write(experiment, rows, tmp_path, only=["score"])
    with pytest.raises(NothingToDraw, match="learning-time: no run has a second epoch"):
        drawing.write(experiment, rows, tmp_path, only=["learning-time"])
    for name in ("scores", "score-state"):
        with pytest.raises(NothingToDraw, match="no run has a score"):
            drawing.write(experiment, [], tmp_path, only=[name])


def test_files_are_the_same_each_time_and_settings_are_left_alone(tmp_path: Path) -> None:
    experiment = write(tmp_path, ONE)
    before = dict(matplotlib.rcParams)
    rows = all_rows(experiment)
    contents = []
    for folder in ("one", "two"):
        drawn = drawing.write(experiment, rows, tmp_path / folder, only=["scores"])
        assert [path.suffix for path in drawn.written] == [".png", ".svg", ".pdf"]
        contents.append([path.read_bytes() for path in drawn.written])
    assert contents[0] == contents[1]
    assert dict(matplotlib.rcParams) == before


ELSEWHERE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from drawing import all_rows
from seqbench.bench.experiments import config
from seqbench.bench.report.figures import drawing
experiment = config.load(Path(sys.argv[2]))
drawing.write(experiment, all_rows(experiment), Path(sys.argv[2]) / "elsewhere", only=["scores"])
"""


def test_another_process_writes_the_same_bytes(tmp_path: Path) -> None:
    experiment = write(tmp_path, ONE)
    here = drawing.write(experiment, all_rows(experiment), tmp_path / "here", only=["scores"]).written
    command = [sys.executable, "-c", ELSEWHERE, str(Path(__file__).parent), str(tmp_path)]
    subprocess.run(command, check=True, env={"PYTHONHASHSEED": "7"})
    for path in here:
        assert path.read_bytes() == (tmp_path / "elsewhere" / path.name).read_bytes(), path.name


def test_files_say_which_rows_they_show_and_not_when_they_were_made(tmp_path: Path) -> None:
    experiment = write(tmp_path, ONE)
    rows = all_rows(experiment)
    paths = drawing.write(experiment, rows, tmp_path, only=["scores"]).written
    assert {digest_of(path) for path in paths} == {digest(rows)}
    png, svg, pdf = paths
    with Image.open(png) as image:
        assert image.info["Title"] == f"{tmp_path.name}: scores"
    for path in (svg, pdf):
        content = path.read_bytes()
        assert b"<dc:date>" not in content
        assert b"Date" not in content
    assert b"/Subtype /Type3" not in pdf.read_bytes()
    (tmp_path / "other.svg").write_text("<svg/>", encoding="utf-8")
    assert digest_of(tmp_path / "other.svg") is None


def test_the_digest_is_of_the_sums_in_order() -> None:
    rows = [signed({"id": str(number)}) for number in range(3)]
    sums = "\n".join(row["sum"] for row in rows)
    assert digest(rows) == hashlib.sha256(sums.encode()).hexdigest()[:16]
    assert digest(reversed(rows)) != digest(rows) != digest(rows[:2])
    assert digest([{"id": "0"}, *rows[1:]]) == digest(rows)  # a row that is not signed yet


def test_the_overview_alone_is_png_and_svg(tmp_path: Path) -> None:
    experiment = write(tmp_path, ONE)
    rows = all_rows(experiment)
    paths = drawing.overview(experiment, rows, tmp_path / "folder" / "over.view")
    assert [path.name for path in paths] == ["over.view.png", "over.view.svg"]
    assert {digest_of(path) for path in paths} == {digest(rows)}


def test_several_experiments_are_drawn_as_one(tmp_path: Path) -> None:
    one = write(tmp_path / "one", ONE)
    other = write(tmp_path / "other", ONE.replace("length=20", "length=30"))
    both = pooled([one, other, one])
    assert [cell.task for cell in both.cells] == [cell.task for cell in (*one.cells, *other.cells)]
    rows = [made(run, place) for place, run in enumerate(both.runs)]
    assert len(drawing.draw(both, rows).axes) == 4
    published = write(tmp_path / "third", "preset: published\n" + ONE.lstrip())
    with pytest.raises(UsageError, match="one has preset suite and third has published"):
        pooled([one, published])


def test_files_that_differ_by_rounding_alone_show_the_same(tmp_path: Path) -> None:
    experiment = write(tmp_path, ONE)
    rows = all_rows(experiment)
    png, svg, pdf = drawing.write(experiment, rows, tmp_path / "one", only=["scores"]).written
    assert {drawn_by(path) for path in (png, svg, pdf)} == {matplotlib.__version__}
    text, other = svg.read_text(encoding="utf-8"), tmp_path / "other.svg"
    number = re.search(r'd="M (\d+\.\d+)', text)
    assert number is not None
    for shift, same in ((0.001, True), (3.0, False)):
        other.write_text(text.replace(number[1], f"{float(number[1]) + shift}"), encoding="utf-8")
        assert alike(svg, other) is same
    other.write_text(text.replace("test mse", "test MSE"), encoding="utf-8")
    assert not alike(svg, other)
    spotted = tmp_path / "other.png"
    with Image.open(png) as image:
        shown = image.convert("RGB")
    shown.putpixel((5, 5), (0, 0, 0))
    shown.save(spotted)
    assert alike(png, spotted)
    shown.paste((0, 0, 0), (200, 200, 212, 212))  # a mark that was painted in
    shown.save(spotted)
    assert not alike(png, spotted)
    spotted.write_bytes(png.read_bytes()[:-200])
    assert not alike(png, spotted), "a file that is cut short"
