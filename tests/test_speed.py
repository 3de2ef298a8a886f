"""`seqbench speed`: which rows it measures, what it counts, what a row says, and helpers that fail."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
import pytest
import torch
from seqbench.bench.api import make_run
from seqbench.bench.engine.training import train
from seqbench.bench.errors import UsageError
from seqbench.bench.measuring import floors, helper, machine, peaks, shapes, turns
from seqbench.bench.measuring.variants import Ours, Part, Plain, indices
from seqbench.bench.report.tables import speed_table, writers
from seqbench.models.embeddings import Embedding
from torch import nn

from .experiments import OWN_MODEL, wait_for

ROOT = Path(__file__).resolve().parent.parent
TINY = """
question: How fast?
rows:
- task: adding(length=20, train=64, valid=8, test=8)
  training: {batch: 4, optimizer: rmsprop, clip: 1.0}
  models: ["lstm(width=5)", "tcn(width=4, kernel=2, levels=2)"]
- task: copy-memory(delay=5, train=64, valid=8, test=8)
  training: {batch: 4}
  models: ["gru(width=5)"]
"""
RATES = {"matrix_product_gflops": 100.0, "memory_copy_gbps": 10.0}
PROMISED = {
    "task", "model", "parameters", "ours_ms", "reference_ms", "flushed_ms", "ratio_defaults", "ratio_flushed",
    "floor_ms", "peak_mb", "spread", "run_hours",
}  # fmt: skip


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    folder = tmp_path / "bai2018-tiny"
    folder.mkdir()
    (folder / "experiment.yaml").write_text(TINY, encoding="utf-8")
    return folder


def test_unasked_are_one_length_of_a_task_and_no_giants() -> None:
    found = shapes.cases()
    tasks = dict.fromkeys(case.task for case in found)
    assert {"adding(length=600)", "copy-memory(delay=1000)", "sequential-mnist(view=pixels)", "jsb"} <= {*tasks}
    assert {"ptb-word", "ptb-char(eos=spelled)"} <= {*tasks}
    assert not {"wikitext-103", "lambada", "adding(length=200)"} & {*tasks}
    assert [case.model for case in found if case.task == "jsb"] == ["tcn", "lstm", "gru", "rnn"]


def test_rows_are_chosen_by_a_part_of_their_name_or_id() -> None:
    folders = [ROOT / "results" / f"bai2018-{name}" for name in ("adding-200", "adding-600", "jsb")]
    assert {case.task for case in shapes.cases(["adding"], folders=folders)} == {
        "adding(length=200)",
        "adding(length=600)",
    }
    (one,) = shapes.cases(["adding(length=200)"], ["lstm"], folders)
    assert shapes.cases([one.run.id], ["lstm"], folders) == [one]
    for tasks, models, complaint in (
        (["jbs"], [], "--task jbs: no row .* did you mean 'jsb'"),
        ([], ["lsmt"], "--model lsmt: no row .* did you mean 'lstm'"),
        ([one.run.id], ["tcn"], "no row has both"),
    ):
        with pytest.raises(UsageError, match=complaint):
            shapes.cases(tasks, models, folders)


def test_a_floor_counted_by_hand(tiny: Path) -> None:
    """An LSTM of width 5 on 2 channels, 4 sequences of 20 steps, the last of which is read by 5 weights."""
    case = shapes.cases(["adding"], ["lstm"], [tiny])[0]
    ours = Ours(case.run, torch.device("cpu"))
    ours.go(1)
    counts = ours.facts()["counts"]
    parameters = 4 * (2 * 5 + 5 * 5 + 2 * 5) + 5 + 1
    assert ours.facts()["parameters"] == parameters
    assert counts.operations == 3 * 2 * (4 * 20 * 4 * (2 * 5 + 5 * 5) + 4 * 5)
    activations = 2 * (4 * 20 * 2) + 4 * (4 * 20 * 5) + 4 * (4 * 1)
    assert counts.bytes == 4 * (activations + parameters * (6 + 2 * 1))  # RMSprop keeps one number a parameter
    assert floors.floor_ms(counts, 1.0, 1e9) == pytest.approx(1e-6 * counts.operations)
    assert floors.floor_ms(counts, 1e9, 1.0) == pytest.approx(1e-6 * counts.bytes)


def test_steps_leave_the_numbers_as_they_were(tiny: Path) -> None:
    """So that each is the same work, of ours as of the reference, and gradients are those at initialisation."""
    for case in shapes.cases(folders=[tiny], tasks=["adding"]):
        ours, plain = Ours(case.run, torch.device("cpu")), Plain(case.run, torch.device("cpu"))
        before = [[one.clone() for one in module.parameters()] for module in (ours.network, plain.reference)]
        for steps in (ours, plain):
            steps.prepare()
            steps.go(3)
        for module, was in zip((ours.network, plain.reference), before, strict=True):
            assert all(torch.equal(one, other) for one, other in zip(module.parameters(), was, strict=True))
            assert all(one.grad is not None for one in module.parameters())
            assert sum(float(one.grad.abs().sum()) for one in module.parameters() if one.grad is not None) > 0


@pytest.mark.usefixtures("miniature_data")
def test_pieces_are_from_all_over_the_range_of_lengths() -> None:
    (case,) = shapes.cases(["jsb"], ["gru"])
    split = case.run.make_task().load(0).train
    assert split.lengths is not None
    chosen = torch.cat(indices(split, case.run))
    taken = split.lengths[chosen]
    assert len(set(chosen.tolist())) == len(chosen)
    assert taken.double().mean() == pytest.approx(split.lengths.double().mean().item(), rel=0.2)
    assert torch.equal(taken, taken.sort().values)


@pytest.mark.usefixtures("miniature_data")
def test_a_text_goes_on_where_the_window_before_has_ended() -> None:
    for model in ("gru", "tcn"):
        run = make_run("ptb-char(context=4, scored=8)", f"{model}(width=5)", batch=4)
        ours = Ours(run, torch.device("cpu"))
        task = ours.task
        ours.go(2)
        read = task.steps - (ours.split.context if model == "gru" else 0)
        assert ours.facts()["steps"] == read
        part = Part(ours.held, task)
        batches = [part.batch(index) for index in torch.arange(len(part)).split(part.streams or 1)]
        inputs = [batches[0].inputs] + [batch.inputs[:, task.steps - read :] for batch in batches[1:]]
        assert ours.facts()["evaluated"] == sum(one.numel() for one in inputs)


def test_a_whole_run_is_counted_with_its_evaluations() -> None:
    run = make_run("adding(length=20, train=70, valid=8, test=12)", "gru(width=5)", batch=32, epochs=2)
    facts = Ours(run, torch.device("cpu")).facts()
    assert facts["run_steps"] == train(run).progress.total_steps == 6
    assert facts["run_evaluated"] == 3 * (8 + 12) * 20, "the untrained network is evaluated, too"


@pytest.mark.usefixtures("miniature_data")
@pytest.mark.parametrize("model", ["gru", "tcn"])
def test_of_a_text_is_counted_what_the_loop_reads(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("ptb-char(context=4, scored=8)", f"{model}(width=5)", batch=4, epochs=2)
    facts = Ours(run, torch.device("cpu")).facts()
    read, embed = [], Embedding.forward

    def counted(self: Embedding, ids: torch.Tensor) -> torch.Tensor:
        if not self.training:
            read.append(ids.numel())
        return embed(self, ids)

    monkeypatch.setattr(Embedding, "forward", counted)
    assert train(run).progress.total_steps == facts["run_steps"]
    assert sum(read) == facts["run_evaluated"]


@pytest.mark.skipif(sys.platform != "linux", reason="memory of a process is measured on Linux only")
def test_the_peak_is_what_was_held_meanwhile() -> None:
    # In a process of its own: one that has trained keeps freed memory, in which a little finds room.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        peak = processes.submit(peak_of_forty).result()
    assert peak is not None
    assert 39 < peak < 60


def peak_of_forty() -> float | None:
    with helper.Peak(torch.device("cpu")) as peak:
        torch.ones(40 << 18)  # 40 MiB, which are freed at once
    return peak.mb


class Told:
    """A helper that says a peak at once, or fails."""

    def __init__(self, peak: float | None) -> None:
        self.peak, self.ended = peak, False

    def hear(self, kind: str, seconds: float) -> dict[str, float]:
        if self.peak is None:
            raise turns.HelperFailed("out of memory")
        return {"peak_mb": self.peak}

    def end(self) -> None:
        self.ended = True


def test_a_peak_is_the_median_of_three_processes(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (case,) = shapes.cases(["adding"], ["lstm"], [tiny])
    tell: dict[str, list[float | None]] = {"ours": [31.5, 20.0], "defaults": [None, 44.0]}
    started: list[Told] = []

    def start(name: str, *_: object) -> Told:
        started.append(Told(tell[name].pop(0)))
        return started[-1]

    monkeypatch.setattr(peaks, "start", start)
    row = {"model": "lstm", "peak_mb": 30.0, "reference_peak_mb": 40.0}
    assert peaks.over_processes(case, "cuda", 2, row) == row, "torch's own count is the same each time"
    assert peaks.over_processes(case, "cpu", 2, row) == {
        "model": "lstm",
        "peak_mb": 30.0,
        "peaks_mb": [30.0, 31.5, 20.0],
        "reference_peak_mb": 40.0,  # one of its processes has failed
    }
    assert len(started) == 4
    assert all(one.ended for one in started)
    assert peaks.over_processes(case, "cpu", 2, dict.fromkeys(row)) == dict.fromkeys(row), "nothing was measured before"


def test_none_is_left_at_work_where_the_start_of_another_fails(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (case,) = shapes.cases(["adding"], ["lstm"], [tiny])
    for module, begin in (
        (peaks, lambda: peaks.over_processes(case, "cpu", 1, {"peak_mb": 1.0, "reference_peak_mb": 1.0})),
        (turns, lambda: turns.measure(case, "cpu", 1, 1, RATES)),
    ):
        started: list[Told] = []

        def start(*_: object, started: list[Told] = started) -> Told:
            if len(started) == 2:
                raise KeyboardInterrupt
            started.append(Told(1.0))
            return started[-1]

        monkeypatch.setattr(module, "start", start)
        with pytest.raises(KeyboardInterrupt):
            begin()
        assert [one.ended for one in started] == [True, True]


def test_of_how_many_processes_a_peak_is_the_median_is_said_where_all_are() -> None:
    row = {"task": "jsb", "model": "tcn", "ours_ms": 1.0, "peak_mb": 2.0, "reference_peak_mb": 3.0}
    of_three = row | {"peaks_mb": [1.0, 2.0, 3.0], "reference_peaks_mb": [2.0, 3.0, 4.0]}
    for rows, said in (([row], False), ([of_three], True), ([of_three, row], False)):
        text = writers.markdown(speed_table.blocks({"machine": {}, "rows": rows}))
        assert ("before (median of 3 processes). Spread" in text) == said
        assert ("before. Spread" in text) != said


def test_a_row_has_what_was_promised(tiny: Path) -> None:
    (case,) = shapes.cases(["adding"], ["lstm"], [tiny])
    row = turns.measure(case, "cpu", 1, 3, RATES)
    assert row.keys() >= PROMISED
    assert "error" not in row
    assert row["task"] == "adding(length=20, train=64, valid=8, test=8)"
    assert (row["model"], row["run"], row["parameters"], row["batch"], row["steps"]) == (
        "lstm",
        case.run.id,
        186,
        4,
        20,
    )
    for key in ("ours_ms", "evaluation_ms", "reference_ms", "flushed_ms", "floor_ms", "steps_per_second", "stream_ms"):
        assert row[key] > 0, key
    assert row["ratio_defaults"] == pytest.approx(row["reference_ms"] / row["ours_ms"], rel=1e-3)
    assert row["ratio_flushed"] == pytest.approx(row["flushed_ms"] / row["ours_ms"], rel=1e-3)
    assert row["ratio_floor"] == pytest.approx(row["ours_ms"] / row["floor_ms"], rel=1e-3)
    assert row["steps_per_second"] == pytest.approx(1000 * 4 * 20 / row["ours_ms"], rel=1e-3)
    assert row["ratio_stream"] == pytest.approx(row["reference_stream_ms"] / row["stream_ms"], rel=1e-3)
    assert (row["repeats"], row["reference"]) == (3, "torch")


def test_a_helper_that_dies_is_a_line_and_not_a_hang(tiny: Path) -> None:
    model = OWN_MODEL.replace("BODY", "os.kill(os.getpid(), signal.SIGKILL)")
    (tiny / "my_model.py").write_text(model, encoding="utf-8")
    text = TINY.replace('"gru(width=5)"', "my_model.py(width=3)")
    (tiny / "experiment.yaml").write_text(text, encoding="utf-8")
    (case,) = shapes.cases(["copy"], folders=[tiny])
    row = turns.measure(case, "cpu", 1, 2, RATES)
    assert "ours: the process was killed by SIGKILL" in row["error"]
    assert "reference: UsageError: " in row["error"]
    assert {row[key] for key in PROMISED - {"task", "model"}} == {None}
    lines = writers.markdown(speed_table.blocks({"machine": {}, "rows": [row]}))
    assert "killed by SIGKILL" in lines


def test_a_helper_that_gives_no_answer_is_ended() -> None:
    one = turns.Helper("sleeper", helper.measure_rates, "cpu", 1)
    try:
        with pytest.raises(turns.HelperFailed, match="sleeper: no answer within 0 s"):
            one.hear("ready", 0.01)
    finally:
        one.end()
    assert one.process.exitcode == -signal.SIGKILL


def test_other_work_on_the_cores_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of what one busy process does is enough here, as its share depends on how many cores there are."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        watch, begin = machine.Watch(), time.monotonic()
        worked = psutil.Process(busy.pid).cpu_times
        wait_for(lambda: worked().user > 0.5, "half a second of work")
        share = worked().user / (time.monotonic() - begin) / (os.cpu_count() or 1)
        monkeypatch.setattr(machine, "OTHERS", share / 2)
        told = watch.read()
    finally:
        busy.kill()
    assert told["shared"], told  # not yet waited for, so not one of ours
    busy.wait()


def test_denormals_are_as_each_variant_has_them() -> None:
    """The reference as PyTorch comes must not be flushed, or the comparison would be with itself."""
    code = (
        "import torch; from pathlib import Path; from seqbench.bench.measuring import helper; import sys;"
        "held = helper._set_up(helper.Order(sys.argv[1], {}, Path(), 'cpu', 1)); held.__enter__();"
        "print(torch.tensor(torch.finfo(torch.float32).tiny).div(2).item() == 0, torch.get_num_threads())"
    )
    for variant, flushed in (("ours", "True"), ("defaults", "False"), ("flushed", "True")):
        ended = subprocess.run([sys.executable, "-c", code, variant], capture_output=True, text=True, check=True)
        assert ended.stdout.split() == [flushed, "1"]


def test_what_an_optimizer_keeps() -> None:
    for name, kept in (("Adam", 2), ("RMSprop", 1), ("SGD", 0), ("Adagrad", 1)):
        module = nn.Linear(30, 40)
        optimizer = getattr(torch.optim, name)(module.parameters(), lr=0.1)
        module(torch.ones(1, 30)).sum().backward()
        optimizer.step()
        assert floors.states_of(optimizer) == kept
