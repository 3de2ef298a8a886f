"""An experiment that asks for several sets of vector instructions: planned for each, trained one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from command import seqbench
from made_rows import LONE, dirtied, made, write
from seqbench.bench.errors import UsageError
from seqbench.bench.experiments.config import Experiment
from seqbench.bench.rows import instructions
from seqbench.bench.rows.store import Workplace
from seqbench.bench.running import each_set, sweep

BOTH = LONE + "instructions: [avx2, avx512]\nseeds: 2\n"


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """Two runs that are wanted with both sets, on a processor that has both."""
    monkeypatch.delenv("SEQBENCH_RUNS", raising=False)
    monkeypatch.setattr(instructions, "widest", lambda: "AVX512")
    return write(tmp_path / "results" / "x", BOTH)


def reasons(experiment: Experiment) -> dict[str | None, list[str]]:
    """Why each run is or is not to do, with each set that there is here."""
    place = Workplace(experiment.folder)
    names, _ = each_set.available(experiment, None, "cpu")
    return {name: [item.reason for item in each_set.plan(experiment, place, "cpu", name)] for name in names}


def test_each_set_is_planned_for_itself(experiment: Experiment) -> None:
    place = Workplace(experiment.folder)
    place.area.mkdir(parents=True)
    first, second = experiment.runs
    place.working.replace([made(first), dirtied(made(second), instructions="AVX512")])
    assert reasons(experiment) == {"avx2": ["finished", "new"], "avx512": ["new", "finished"]}


def test_a_set_that_the_processor_lacks_is_left_out_and_named(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instructions, "widest", lambda: "AVX2")
    names, left_out = each_set.available(experiment, None, "cpu")
    assert names == ["avx2"]
    assert left_out == ["avx512 is left out: it needs AVX512, and this processor has AVX2"]
    with pytest.raises(UsageError, match="avx512"):  # whoever asks for it gets no other one
        each_set.plan(experiment, Workplace(experiment.folder), "cpu", "avx512")


def test_what_the_command_says_goes_before_and_a_gpu_has_none_to_choose(experiment: Experiment) -> None:
    assert each_set.wanted(experiment, None, "cpu") == ["avx2", "avx512"]
    assert each_set.wanted(experiment, "avx512", "cpu") == ["avx512"]
    assert each_set.wanted(experiment, None, "cuda") == [None]


@contextmanager
def silent() -> Iterator[sweep.Display]:
    yield cast(sweep.Display, None)


@pytest.mark.parametrize(
    ("codes", "trained", "code"),
    [((0, 0), ["avx2", "avx512"], 0), ((1, 0), ["avx2", "avx512"], 1), ((75, 0), ["avx2"], 75)],
)
def test_one_sweep_a_set_until_one_is_cut_short(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, codes: Sequence[int], trained: list[str], code: int
) -> None:
    ends, seen = iter(codes), []

    def run(*_: Any, instructions: str, threads: int) -> sweep.Result:
        seen.append(instructions)
        assert threads == 1
        return sweep.Result(next(ends))

    monkeypatch.setattr(sweep, "run", run)
    plans: each_set.Plans = {"avx2": list, "avx512": list}
    assert each_set.run(experiment, plans, silent, "cpu", 1, None, threads=1) == code
    assert seen == trained


def test_a_checkpoint_of_another_set_is_not_gone_on_with(experiment: Experiment) -> None:
    place = Workplace(experiment.folder)
    run_id = experiment.runs[0].id
    usual, pinned, wide = (place.checkpoint(run_id, "cpu", name) for name in (None, "AVX2", "AVX512"))
    assert usual == pinned != wide
    wide.parent.mkdir(parents=True)
    wide.touch()
    assert reasons(experiment) == {"avx2": ["new", "new"], "avx512": ["resumes", "new"]}


def test_a_dry_run_says_with_which_set(experiment: Experiment) -> None:
    lines = seqbench("run", experiment.folder, "--dry-run", "--device", "cpu").out.splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["(avx2)", "(avx2)", "(avx512)", "(avx512)"]
    found = json.loads(seqbench("run", experiment.folder, "--dry-run", "--json", "--device", "cpu").out)
    assert [one["instructions"] for one in found] == ["avx2", "avx2", "avx512", "avx512"]


@pytest.mark.parametrize("given", ["[avx3]", "[avx2, avx2]", "[native]"])
def test_a_set_that_there_is_not_is_refused_with_its_line(tmp_path: Path, given: str) -> None:
    with pytest.raises(UsageError, match=r"experiment\.yaml:6: instructions: '.*': each of avx2, avx512, default once"):
        write(tmp_path, LONE + f"instructions: {given}\n")
