"""`seqbench speed` as a command, and what it keeps and shows: the file, the tables, the figure."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from experiments import PATIENCE, alive, in_session, wait_for
from seqbench.bench import cli
from seqbench.bench.errors import UsageError
from seqbench.bench.measuring import machine, peaks, record, scaling, shapes, throughput, turns
from seqbench.bench.report.figures import speed_lengths
from seqbench.bench.report.tables import speed_table, writers

ROOT = Path(__file__).resolve().parent.parent
ROWS = ("task", "model", "run", "parameters", "ours_ms", "reference_ms", "flushed_ms", "ratio_defaults", "spread")

MEASURED = {
    "flushed_ms": None,
    "ratio_flushed": None,
    "stream_ms": 0.25,
    "reference_stream_ms": 0.5,
    "ratio_stream": 2.0,
    "reference": "a package",
}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "seqbench.bench.cli", "speed", *words]


def test_ctrl_c_ends_all_helpers() -> None:
    words = command("--task", "adding(length=600)", "--model", "lstm", "--repeat", "1000")
    # A shell lets what it starts in the background ignore Ctrl-C, and so would all that comes of this test.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, preexec_fn=heeding, start_new_session=True
    ) as process:
        try:
            wait_for(lambda: at_work(process.pid), "a helper for each of the three variants")
            found = at_work(process.pid)
            process.send_signal(signal.SIGINT)
            code, left = process.wait(PATIENCE), alive(found)
            said = process.communicate(timeout=PATIENCE)[1]
        finally:
            for one in in_session(process.pid):
                one.kill()
    assert code == 130, said
    assert not left, "they are waited for before the command ends"
    assert "stopped" in said
    assert "Traceback" not in said


def at_work(process_id: int) -> list[psutil.Process]:
    """The three helpers of a process; none before each of them has read what it was sent, and imports torch."""
    helpers = []
    for child in psutil.Process(process_id).children():
        with suppress(psutil.NoSuchProcess):
            if "spawn_main" in " ".join(child.cmdline()) and child.cpu_times().user > 0.5:
                helpers.append(child)
    return helpers if len(helpers) == 3 else []


def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.json"
    other.write_text("[]", encoding="utf-8")
    for words, complaint in (
        (["--task", "jbs"], "did you mean 'jsb'"),
        (["--device", "tpu"], "--device tpu"),
        (["--threads", "1000", "--task", "jsb"], "--threads 1000: this machine has"),
        (["--lengths", "--task", "jsb"], "--lengths: the length of these sequences is given by the data"),
        (["--lengths", "--task", "adding"], "--lengths: one task is needed"),
        (["--suite", "--task", "jsb"], "--suite: its shapes are its own"),
        (["--suite", "--model", "mingur"], "did you mean 'mingru'"),
        (["--out", "x.txt"], "--out x.txt: a file name that ends in .json"),
        (["--read", str(tmp_path / "none.json")], "there is no such file"),
        (["--task", "jsb", "--out", str(other)], "other.json: expected `object`, got `array`"),
    ):
        monkeypatch.setattr(sys, "argv", ["seqbench", "speed", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr().err
        assert (ended.value.code, len(said.strip().splitlines())) == (2, 1), said
        assert complaint in said


def facts(**changes: Any) -> dict[str, Any]:
    return {**machine.facts(torch.device("cpu"), 2, "made-up"), "shared": False, **changes}


def made(task: str, model: str, ours: float | None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys([*ROWS, "batch", "steps", "run", "repeats"])
    return {**row, "task": task, "model": model, "ours_ms": ours, "spread": 0.0125}


def test_a_file_keeps_what_is_not_measured_anew(tmp_path: Path) -> None:
    path = tmp_path / "made-up.json"
    first = {"machine": facts(), "rows": [made("jsb", "gru", 1.0), made("jsb", "tcn", 2.0)], "left_out": []}
    record.write(path, first)
    way = {"jobs": 2, "threads": 1, "seconds": 9.0, "runs_per_hour": 400}
    sweep = {"runs": 1, "side_by_side": way, "in_turn": way, "ratio": 1.5}
    second = {"machine": facts(), "rows": [made("jsb", "tcn", 3.0)], "sweep": sweep, "left_out": []}
    record.write(path, record.merged(record.read(path), second))
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [(row["model"], row["ours_ms"]) for row in content["rows"]] == [("gru", 1.0), ("tcn", 3.0)]
    assert content["sweep"] == sweep
    assert not content["machine"]["shared"]
    third = record.merged({**content, "machine": facts(shared=True)}, {"machine": facts(), "rows": [], "left_out": []})
    assert third["machine"]["shared"], "once shared, always shared"
    record.check(path, facts())
    for key in ("commit", "processor", "threads"):
        with pytest.raises(UsageError, match=re.escape(f"{path}: measured with {key} ")):
            record.check(path, facts(**{key: "another"}))


def test_a_sweep_pays_nothing_for_what_the_first_has_to_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def seconds(experiment: str, jobs: int, threads: int, device: str) -> float:
        asked.append((jobs, threads))
        return [60.0, 20.0, 30.0, 44.0, 40.0, 24.0, 30.0][len(asked) - 1]

    monkeypatch.setattr(throughput, "_seconds", seconds)
    said: list[str] = []
    found = throughput.measure(2, "cpu", said.append)
    side, turn = (2, 1), (1, 2)
    assert asked == [side, side, turn, turn, side, side, turn], "the first does not count; then each begins in turn"
    assert (found["runs"], found["ratio"], found["ratios"]) == (16, 1.25, [1.5, 1.1, 1.25])
    assert (found["side_by_side"]["seconds"], found["side_by_side"]["runs_per_hour"]) == (24.0, 2400)
    assert (found["in_turn"]["seconds"], found["in_turn"]["runs_per_hour"]) == (30.0, 1920)
    assert said[:2] == ["16 runs, 2 at a time, 1 thread each: 20.0 s", "16 runs, 1 at a time, 2 threads each: 30.0 s"]


def test_the_models_of_the_suite_are_measured_at_two_shapes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(turns, "rates", lambda *_: {"matrix_product_gflops": 100.0, "memory_copy_gbps": 10.0})
    monkeypatch.setattr(turns, "measure", lambda case, *_: made(case.task, case.model, 1.5) | MEASURED)
    monkeypatch.setattr(peaks, "over_processes", lambda case, device, threads, row: row)
    monkeypatch.setattr(sys, "argv", ["seqbench", "speed", "--suite", "--model", "mingru", "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    content = json.loads(capsys.readouterr().out)
    assert [(row["task"], row["model"]) for row in content["rows"]] == [
        ("copy-memory(delay=764)", "mingru"),
        ("copy-memory(delay=108)", "mingru"),
    ]
    text = writers.markdown(speed_table.blocks(content))
    assert re.search(r"Streaming \| +Ratio, streaming \| +By ", text)
    assert "Streaming: a step of one sequence" in text
    assert "0.25" in text


def test_lengths_and_their_exponents(tmp_path: Path) -> None:
    run = shapes.cases(["copy-memory(delay=1000)"], ["tcn"])[0].run
    longer = scaling.at(run, 300, 16)
    assert (longer.make_task().steps, longer.training.batch) == (300, 16)
    assert len(longer.make_task().load(0).train) == 32
    points = [
        {"model": "tcn", "steps": steps, "batch": batch, "ms": 0.01 * steps**0.9 * batch**1.1, "spread": 0.0}
        for steps, batch in [(steps, 8) for steps in (100, 300, 1000)] + [(300, batch) for batch in (16, 32)]
    ]
    assert scaling.exponent(points, "tcn", "steps", "batch", 8) == 0.9
    assert scaling.exponent(points, "tcn", "batch", "steps", 300) == 1.1
    assert scaling.exponent(points, "gru", "batch", "steps", 300) is None
    exponents = [{"model": "tcn", "steps": 0.9, "batch": 1.1}]
    content = {"machine": facts(), "lengths": {"task": "made-up", "points": points, "exponents": exponents}}
    written = speed_lengths.write(content, tmp_path / "lengths")
    assert [path.name for path in written] == ["lengths.png", "lengths.svg"]
    figure = speed_lengths.draw(content)
    drawn = [line.get_xdata() for axes in figure.axes for line in axes.lines if line.get_marker() == "o"]
    assert [list(x) for x in drawn] == [[100, 300, 1000], [8, 16, 32]]
    assert "| tcn   |         0.900 |          1.10 |" in writers.markdown(speed_table.blocks(content))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (
            {"rows": [made("jsb", "gru", 1.0), made("jsb", "tcn", 1.0) | {"peaks_mb": 3.5}]},
            "rows[1].peaks_mb: ",
        ),
        ({"machine": {"others": "half"}}, "machine.others: "),
        ({"left_out": 7}, "left_out: "),
        ({"sweep": {"runs": 10**400}}, "sweep.runs: "),
        (
            {"lengths": {"task": "x", "exponents": [{"model": "tcn", "steps": {}}]}},
            "lengths.exponents[0].steps: ",
        ),
    ],
)
def test_a_damaged_file_is_said_with_the_place(change: dict[str, Any], where: str, tmp_path: Path) -> None:
    path = tmp_path / "made-up.json"
    path.write_text(json.dumps({"machine": facts(), **change}), encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        record.read(path)
    assert str(caught.value).startswith(f"{path}: {where}")


def test_a_table_says_what_it_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [made("jsb", "gru", 12.345), made("jsb", "tcn", None) | {"error": "ours: it failed"}]
    content = {
        "machine": facts(shared=True),
        "rows": rows,
        "left_out": [{"task": "text8", "model": "gru", "reason": "x"}],
    }
    path = tmp_path / "made-up.json"
    record.write(path, content)
    monkeypatch.setattr(sys, "argv", ["seqbench", "speed", "--read", str(path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("SHARED with other work")
    assert re.search(r"\| jsb +\| gru +\| +12\.3 \|", said)
    assert "jsb tcn: ours: it failed" in said
    assert "Left out: text8 (x)." in said
    assert "1.2%" in said


def test_ratios_at_a_glance() -> None:
    rows = [{**made("jsb", model, ms), "ratio_defaults": 2.5} for model, ms in (("tcn", 1.25), ("gru", 12.5))]
    rows += [{**made("adding", "gru", 3.0), "ratio_defaults": 0.75}, made("copy", "gru", 3.0)]
    text = writers.markdown(speed_table.blocks({"machine": facts(), "rows": rows}))
    lines = text.partition("**A training step of ours")[2].splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:6] if "---" not in line] == [
        ["Task", "tcn", "gru"],
        ["jsb", "1.25 (2.50)", "12.5 (2.50)"],
        ["adding", "–", "3.00 (0.750)"],
    ]


def test_hours_of_whole_runs_stand_in_a_table_of_their_own() -> None:
    rows = [{**made("jsb", model, 1.0), "run_hours": hours} for model, hours in (("tcn", 0.25), ("gru", 0.5))]
    rows.append({**made("adding", "tcn", 1.0), "run_hours": 0.125})
    text = writers.markdown(speed_table.blocks({"machine": facts(), "rows": rows}))
    lines = text.partition("**Hours of a whole run")[2].splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:6] if "---" not in line] == [
        ["Task", "tcn", "gru", "One seed of all"],
        ["jsb", "0.250", "0.500", "0.750"],
        ["adding", "0.125", "–", "–"],
    ]
    assert "Hours" not in writers.markdown(speed_table.blocks({"machine": facts(), "rows": [made("jsb", "tcn", 1.0)]}))


SPEED = ROOT / "results" / "speed"


def test_the_page_of_the_folder_is_what_its_files_say() -> None:
    """A measurement of the user's own need not stand there."""
    page = (SPEED / "README.md").read_text(encoding="utf-8")
    names = [name for name in re.findall(r"^## (.+)$", page, re.MULTILINE) if name != "How fast?"]
    assert {"epyc-avx2-2-cores", "epyc-1-thread"} <= {*names}
    for name in names:
        assert writers.markdown(speed_table.blocks(record.read(SPEED / f"{name}.json"))) in page, name
