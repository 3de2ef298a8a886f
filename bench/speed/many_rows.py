"""The verbs that read rows, at a thousand rows and at five thousand: what a person waits for where a study is large.

The rows are made up and look like real ones: clean, current, twenty epochs, a trace of a hundred points, in cells of a
thousand seeds. As a program, `python -m seqbench.bench.speed.many_rows 5000`, it prints seconds of the processor and
the peak of memory of each verb.
"""

from __future__ import annotations

import copy
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar

import torch

from .history import module

SEEDS = 1000
EPOCHS, POINTS = 20, 100
MODELS = ("gru(width=4)", "lstm(width=4)", "rnn(width=4)", '"tcn(width=4, kernel=2, levels=2)"', '"gru(width=5)"')
"""A cell of a thousand seeds each, as many of them as the rows need."""
VERBS = {
    "status": ("status", "{folder}"),
    "dry-run": ("run", "{folder}", "--dry-run", "--device", "cpu"),
    "table": ("table", "{folder}"),
    "report": ("report", "{folder}", "--out", "{folder}/page.html"),
    "verify": ("verify", "{folder}", "--static"),
}


def write(folder: Path, rows: int) -> None:
    """An experiment of so many runs with a row of each, published in its folder."""
    config, store = module("config"), module("store")
    models = ", ".join(MODELS[: -(-rows // SEEDS)])
    text = f"question: Which one?\nseeds: {min(rows, SEEDS)}\nrows:\n- task: adding(length=20)\n"
    text += f"  training: {{epochs: {EPOCHS}}}\n  models: [{models}]\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.yaml").write_text(text, encoding="utf-8")
    cells = config.load(folder).cells
    store.Workplace(folder).published.replace(row for cell in cells for row in _rows_of(cell.runs))


def _rows_of(runs: Any) -> Any:
    """A row of each of these runs of one cell."""
    pattern = _row_of(runs[0])
    for run in runs:
        row = copy.copy(pattern)
        row |= {"id": run.id, "label": str(run), "config": {**pattern["config"], "seed": run.seed}}
        score = 0.1 + (run.seed * 37 % 101) / 1000
        best = {"epoch": EPOCHS, "valid": {"mse": score}, "test": {"mse": score}}
        row["scores"] = {"best": best, "last": {"test": {"mse": 1.1 * score}}}
        yield module("store").signed(row)


def _row_of(run: Any) -> dict[str, Any]:
    provenance, sources = module("provenance"), module("sources")
    scores = {"mse": 0.123456789}
    point = {
        "seconds": 1.2345678,
        "learning_rate": 0.002,
        "train_loss": 0.1234567890123,
        "valid": scores,
        "test": scores,
    }
    origin = {
        **{
            "commit": "c0ffee" * 6 + "c0ff",
            "dirty": False,
            "diff": None,
            "threads": 1,
            "device": "cpu",
            "driver": None,
        },
        **{"source": sources.source_hash(run), "source_files": sources.file_hashes(run), "data": {}},
        **{"platform": "Linux-6.1-x86_64", "processor": "a processor, 2 cores", "instructions": "AVX2"},
        **{"cpu": "AuthenticAMD family 25 model 1", "command": ["run", "results/x"]},
        **{"versions": provenance.versions(torch.device("cpu")), "started": "2026-11-01T10:00:00+00:00"},
        "finished": "2026-11-01T10:05:00+00:00",
    }
    return {
        "status": "done",
        "device": "cpu",
        "config": run.config,
        "error": None,
        "parameters": 105,
        "seconds": {"training": 3.0, "evaluation": 1.0, "cpu": 3.5},
        "peak_memory_mb": 400.5,
        "curve": [{**point, "epoch": epoch, "steps": 100 * epoch} for epoch in range(1, EPOCHS + 1)],
        "trace": [[20.0 * place, 0.1234567890123] for place in range(1, POINTS + 1)],
        "provenance": origin,
    }


class Rows:
    """Each verb in a process of its own, the interpreter's start in it; params: the number of rows."""

    version = "1"
    params: ClassVar = [[1000, 5000]]
    param_names: ClassVar = ["rows"]
    number, rounds, repeat, warmup_time, timeout = 1, 1, (1, 3, 6.0), 0.0, 600

    def setup(self, rows: int) -> None:
        self.place = tempfile.TemporaryDirectory()
        write(Path(self.place.name) / "many", rows)

    def teardown(self, rows: int) -> None:
        self.place.cleanup()

    def time_status(self, rows: int) -> None:
        _verb("status", self.place.name)

    def time_dry_run(self, rows: int) -> None:
        _verb("dry-run", self.place.name)

    def time_table(self, rows: int) -> None:
        _verb("table", self.place.name)

    def time_report(self, rows: int) -> None:
        _verb("report", self.place.name)

    def time_verify(self, rows: int) -> None:
        _verb("verify", self.place.name)


def _verb(name: str, place: str) -> None:
    """Runs a verb. Raises NotImplementedError where it cannot be run at all: nothing to be timed.

    `verify` may end with 1: no table stands beside the made-up rows.
    """
    words = [word.format(folder=f"{place}/many") for word in VERBS[name]]
    ended = subprocess.run([sys.executable, "-m", "seqbench.bench.cli", *words], capture_output=True, text=True)
    if ended.returncode not in (0, 1 if name == "verify" else 0):
        raise NotImplementedError(f"{name}: {ended.stderr[-500:]}")


def main(rows: int, names: list[str]) -> None:
    """Prints what each verb costs."""
    with tempfile.TemporaryDirectory() as place:
        write(Path(place) / "many", rows)
        for name in names or VERBS:
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            _verb(name, place)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            wall = time.perf_counter() - started
            print(f"{name}: {worked:.1f} s of the processor, {wall:.1f} s, at most {after.ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
