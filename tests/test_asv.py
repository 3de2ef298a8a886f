"""The suites that asv runs over the commits: it finds them all, each says its version, and each can be run."""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = json.loads((ROOT / "asv.conf.json").read_text(encoding="utf-8"))
SUITES = [path for path in sorted((ROOT / CONFIGURATION["benchmark_dir"]).glob("*.py")) if path.stem != "__init__"]
ADDING = "adding(length=9, train=8, valid=2, test=2)", 200, 4
COPYING = "copy-memory(delay=5, train=8, valid=2, test=2)", 500, 4
TINY = {"sequential-mnist": ADDING, "adding-600": ADDING, "copy-memory-1000": COPYING, "jsb": COPYING}
SLOW = {"Commands": {"time_list"}, "References": set[str](), "Rows": set[str]()}
"""Of these only the named benchmarks are run here; the others take seconds, or start commands that other tests run."""


def module_of(path: Path) -> Any:
    return importlib.import_module(f"seqbench.bench.speed.{path.stem}")


def classes() -> Iterator[tuple[str, type]]:
    for path in SUITES:
        for name, found in inspect.getmembers(module_of(path), inspect.isclass):
            if found.__module__ == module_of(path).__name__ and benchmarks_of(found):
                yield f"{path.stem}.{name}", found


def benchmarks_of(suite: type) -> list[str]:
    return [name for name in vars(suite) if name.startswith(("time_", "peakmem_", "mem_", "track_"))]


CLASSES = dict(classes())


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """The threads and denormals of this process, which suites set as they like, are in the end as they were."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small shapes."""
    from seqbench.bench.speed import generators, text, training_steps

    monkeypatch.setattr(training_steps, "SHAPES", TINY)
    monkeypatch.setattr(training_steps, "TCN", dict.fromkeys(TINY, "tcn(kernel=2, levels=2)"))
    monkeypatch.setattr(generators, "COUNT", 100)
    monkeypatch.setattr(text, "SMALL", 10_000)
    monkeypatch.setattr(text, "SMALL_VOCABULARY", 100)


def test_asv_finds_every_suite() -> None:
    """asv itself imports them and looks at their parameters, as it does before it runs them."""
    words = ["check", "--environment", f"existing:{sys.executable}"]
    ended = subprocess.run([sys.executable, "-m", "asv", *words], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(CLASSES) >= 11


@pytest.mark.parametrize("name", CLASSES)
def test_a_suite_has_a_version_and_only_what_is_better_when_lower(name: str) -> None:
    suite: Any = CLASSES[name]
    assert isinstance(suite.version, str), "without one asv throws all results away when a line of it changes"
    found = benchmarks_of(suite)
    assert found
    assert all(one.startswith(("time_", "peakmem_")) for one in found)
    assert len(getattr(suite, "params", ())) == len(getattr(suite, "param_names", ()))


@pytest.mark.usefixtures("small", "miniature_data")
@pytest.mark.parametrize("name", CLASSES)
def test_a_suite_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each benchmark once, with the first of its parameters."""
    monkeypatch.setenv("SEQBENCH_MIRROR", "the miniature files")
    suite: Any = CLASSES[name]()
    first = [values[0] for values in getattr(suite, "params", ())]
    wanted = SLOW.get(name.partition(".")[2], set(benchmarks_of(type(suite))))
    if hasattr(suite, "setup") and wanted:
        suite.setup(*first)
    for one in wanted:
        assert getattr(suite, one)(*first) is None
    if hasattr(suite, "teardown") and wanted:
        suite.teardown(*first)


def test_a_step_is_one_of_training_that_changes_nothing() -> None:
    from seqbench.bench.speed import history

    history.training_step.cache_clear()
    step = history.training_step("adding(length=9, train=8, valid=2, test=2)", "gru(width=3)", 64, 4)
    network = inspect.getclosurevars(step).nonlocals["step"].network
    before = [one.clone() for one in network.parameters()]
    network.zero_grad()
    step()
    assert all(one.grad is not None for one in network.parameters())
    assert all(torch.equal(one, was) for one, was in zip(network.parameters(), before, strict=True))


def test_what_a_commit_or_machine_lacks_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    from seqbench.bench.speed import history

    history.training_step.cache_clear()
    monkeypatch.delenv("SEQBENCH_MIRROR", raising=False)
    with pytest.raises(NotImplementedError, match="names no mirror"):
        history.training_step("jsb", "gru", 1000, 1)
    monkeypatch.setitem(sys.modules, "seqbench.bench.api", None)
    with pytest.raises(NotImplementedError):
        history.training_step("adding(length=9)", "gru", 1000, 1)


@pytest.mark.parametrize("place", ["seqbench.bench.older", "seqbench.bench.engine.older"])
def test_a_module_is_found_wherever_a_commit_has_it(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from seqbench.bench.speed import history

    found = types.ModuleType(place)
    monkeypatch.setitem(sys.modules, place, found)
    assert history.module("older") is found
    with pytest.raises(NotImplementedError, match="has no make_tea"):
        history.module("older", "make_tea")
    with pytest.raises(NotImplementedError, match="no module newer"):
        history.module("newer")


def test_the_commits_of_the_history_begin_where_there_is_a_lock_file(tmp_path: Path) -> None:
    """The rule by which the Makefile chooses them: evenly, the first and the newest among them."""
    rule = (ROOT / "Makefile").read_text(encoding="utf-8")
    start = rule.index("awk -v most=$(COMMITS)")
    program = rule[start : rule.index("> .cache/asv-commits")].replace("\\\n", "").replace("$$", "$")
    program = program.replace("$(COMMITS)", "5")
    lines = "".join(f"{number}\n" for number in range(1, 18))
    ended = subprocess.run(["sh", "-c", program], input=lines, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["1", "5", "9", "13", "17"]
    for few in ("1\n", "1\n2\n3\n"):
        ended = subprocess.run(["sh", "-c", program], input=few, capture_output=True, text=True, check=True)
        assert ended.stdout == few


def test_asv_keeps_to_its_own_places() -> None:
    assert CONFIGURATION["benchmark_dir"] == "bench/speed"
    assert CONFIGURATION["results_dir"] == "results/asv"
    assert CONFIGURATION["env_dir"].startswith(".cache/")
    assert CONFIGURATION["html_dir"].startswith(".cache/")
