"""The ledger as a picture: where marks stand on a number's own scale, and which colour a verdict has."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from drawing import points
from ledgers import JSB, gru_rows, lay_out, made, number, write
from matplotlib.axes import Axes
from seqbench.bench.analysis import ledger as report
from seqbench.bench.analysis.ledger import Line, lines
from seqbench.bench.analysis.verdicts import Verdict
from seqbench.bench.evidence import checking, publishing
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.report.figures import ledger_figure
from seqbench.bench.report.figures.ledger_figure import AXIS, COLOURS, END, position
from seqbench.bench.report.figures.panels import NothingToDraw
from seqbench.bench.report.figures.saving import digest_of
from seqbench.bench.report.tables.ledger_table import PICTURE


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    return write(tmp_path / "results" / "x", JSB)


def found(experiment: Experiment, *numbers: report.Number) -> list[Line]:
    return lines([experiment.folder], numbers=numbers)


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def runs(axes: Axes) -> list[float]:
    """Where the dots of our runs stand."""
    return [points(line)[0][0] for line in axes.lines if line.get_markersize() == 3]


@pytest.mark.parametrize(
    ("score", "expected"),
    [(8.1, 0.0), (8.1 * 1.02, -1.0), (8.1 / 1.02, 1.0), (8.1 / 1.02**2, 2.0)],
)
def test_an_error_is_placed_on_the_log_scale_in_margins(score: float, expected: float) -> None:
    """A margin of 2 % of nats a frame: two per cent lower is one margin better."""
    assert position(number("8.1", margin=0.02), score) == pytest.approx(expected)


def test_of_a_score_of_which_more_is_better_the_margin_is_in_its_unit() -> None:
    accuracy = {"task": "sequential-mnist(view=pixels)", "metric": "accuracy", "direction": "higher"}
    assert position(number("96.2", margin=1.4, **accuracy), 97.6) == pytest.approx(1.0)
    assert position(number("96.2", margin=1.4, **accuracy), 94.8) == pytest.approx(-1.0)


def test_without_a_margin_the_scale_is_that_of_the_verdict() -> None:
    assert position(number("8.1", margin=math.inf), 8.1 * math.e) == pytest.approx(-1.0)


def test_a_number_with_rows_has_its_runs_its_interval_and_its_verdict(experiment: Experiment) -> None:
    lay_out(experiment, gru_rows(experiment))
    one = number("8.10", margin=0.1)
    figure = ledger_figure.draw(found(experiment, one, number("8.91", name="RNN", model="rnn", margin=0.1)))
    (axes,) = figure.axes
    assert words(axes) == ["jsb, nats", "GRU", "8.10", "reproduced, n=3", "RNN", "8.91", "not run"]
    assert runs(axes) == [pytest.approx(position(one, score)) for score in (8.0, 8.1, 8.2)]
    (line, _) = found(experiment, one, number("8.91", name="RNN", model="rnn"))
    assert line.judgement.expected is not None
    ends = sorted(position(one, bound) for bound in line.judgement.expected[:2])
    bars = [[x for x, _ in points(bar)] for bar in axes.lines if bar.get_linewidth() == 1.6]
    assert bars == [pytest.approx(ends)]
    assert {bar.get_color() for bar in axes.lines if bar.get_linewidth() == 1.6} == {COLOURS[Verdict.REPRODUCED]}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["published", "reproduced"]


def test_what_lies_beyond_the_axis_is_a_triangle_at_its_end(experiment: Experiment) -> None:
    lay_out(experiment, [made(run, 16.0 + run.seed / 100) for run in experiment.cells[0].runs])
    (axes,) = ledger_figure.draw(found(experiment, number("8.10", margin=0.01))).axes
    assert runs(axes) == [-END] * 3
    assert "worse, n=3" in words(axes)


def test_variants_and_numbers_for_context_are_left_out(experiment: Experiment) -> None:
    lay_out(experiment, gru_rows(experiment))
    with pytest.raises(NothingToDraw, match="no number that is judged"):
        ledger_figure.draw(found(experiment, number("8.10", experiment=None)))


def test_all_41_numbers_are_there_and_no_text_meets_another() -> None:
    shown = lines(source="published")
    figure = ledger_figure.draw(shown)
    figure.draw_without_rendering()
    judged = [line for line in shown if line.number.judged and not line.variant]
    assert len(judged) == 41
    printed = [text for axes in figure.axes for text in words(axes)]
    for line in judged:
        assert line.number.printed in printed
    boxes = [text.get_window_extent() for axes in figure.axes for text in axes.texts]
    boxes += [text.get_window_extent() for legend in figure.legends for text in legend.get_texts()]
    for place, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        for other in boxes[:place]:
            shared = box.intersection(box, other)
            assert shared is None or min(shared.width, shared.height) < 0.5
    lengths = [len(axes.texts) for axes in figure.axes]
    assert len(lengths) == 2
    assert max(lengths) < 1.2 * min(lengths)
    assert AXIS[0] + AXIS[1] < ledger_figure.HALF


def test_the_files_say_which_ledger_they_show(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "read", lambda: (number("8.10"),))
    results = experiment.folder.parent
    lay_out(experiment, gru_rows(experiment))
    paths = ledger_figure.write(results / "ledger")
    assert [path.name for path in paths] == ["ledger.png", "ledger.svg"]
    before = report.of_results(results)
    assert {digest_of(path) for path in paths} == {ledger_figure.digest(before)}
    content = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in ledger_figure.write(results / "ledger")] == content
    lay_out(experiment, gru_rows(experiment)[:2])
    assert ledger_figure.digest(report.of_results(results)) != ledger_figure.digest(before)


def test_the_static_check_looks_at_the_page_and_its_figure(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "read", lambda: (number("8.10"),))
    results = experiment.folder.parent
    lay_out(experiment, gru_rows(experiment))
    written = publishing.write_ledger_and_figure(results)
    assert [path.name for path in written] == ["ledger.md", "ledger.png", "ledger.svg"]
    assert PICTURE in written[0].read_text(encoding="utf-8")
    (clean,) = checking.check_ledger(results)
    assert clean.findings == []
    lay_out(experiment, gru_rows(experiment)[:2])
    written[2].unlink()
    (report_of_it,) = checking.check_ledger(results)
    assert [(one.where, one.what.partition(";")[0]) for one in report_of_it.findings] == [
        ("ledger.md", "not what the rows give"),
        ("ledger.png", "not what the rows give"),
        ("ledger.svg", "not there"),
    ]
