"""Where a row comes from: the commit, what makes it dirty, the machine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import made_rows
import pytest
import torch
from experiments import OWN_MODEL, write
from seqbench.bench import api
from seqbench.bench.experiments import config
from seqbench.bench.experiments.runs import Run
from seqbench.bench.rows import row_shape
from seqbench.bench.rows.making import make_row
from seqbench.bench.rows.provenance import of_process, of_sweep
from suite_copies import copied

TWO_MODELS = """\
question: Mine?
rows:
- task: adding(length=12)
  models: [my_model.py(width=4), gru(width=4)]
"""


pytestmark = pytest.mark.usefixtures("forgotten")


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the suite's sources, at which commits are looked up."""
    return copied(tmp_path, monkeypatch)


def gru() -> Run:
    return api.make_run("adding(length=12)", "gru(width=4)")


# The commit, and whether the sources differ from it.


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"]
    made = subprocess.run(["git", "-C", str(root), *who, *arguments], check=True, capture_output=True, text=True)
    return made.stdout.strip()


@pytest.fixture
def checkout(suite: Path) -> Path:
    """A git checkout of the suite, with a committed experiment in results/mine."""
    write(suite / "results" / "mine", TWO_MODELS, my_model=OWN_MODEL.replace("BODY", "pass"))
    (suite / ".gitignore").write_text("/runs/\n", encoding="utf-8")
    git(suite, "init", "-q")
    git(suite, "add", ".")
    git(suite, "commit", "-q", "-m", "all")
    return suite


def judged(checkout: Path) -> bool:
    folder = checkout / "results" / "mine"
    origin = of_sweep(folder, config.load(folder).runs)
    assert origin["commit"] == git(checkout, "rev-parse", "HEAD")
    dirty: bool = origin["dirty"]
    return dirty


@pytest.mark.parametrize(
    "name",
    [
        "tasks/adding.py",
        "models/new.py",
        "bench/engine/training.py",
        "requirements.lock",
        "results/mine/experiment.yaml",
        "results/mine/my_model.py",
    ],
)
def test_an_uncommitted_change_of_what_defines_results_is_dirty(name: str, checkout: Path) -> None:
    assert not judged(checkout)
    with (checkout / name).open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    assert judged(checkout)
    git(checkout, "add", ".")
    assert judged(checkout), "staged is not committed"
    git(checkout, "commit", "-q", "-m", "changed")
    assert not judged(checkout)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "bench/report/tables/experiment_table.py",
        "bench/cli/live.py",
        "results/mine/table.md",
        "results/mine/runs.jsonl",
        "results/other/experiment.yaml",
        "runs/mine/runs.jsonl",
    ],
)
def test_other_changes_are_not(name: str, checkout: Path) -> None:
    (checkout / name).parent.mkdir(parents=True, exist_ok=True)
    with (checkout / name).open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")
    assert not judged(checkout)


def diff_of(checkout: Path) -> str | None:
    folder = checkout / "results" / "mine"
    origin = of_sweep(folder, config.load(folder).runs)
    assert (origin["diff"] is not None) == origin["dirty"]
    found: str | None = origin["diff"]
    return found


def test_the_diff_of_a_dirty_row_stands_for_what_differed(checkout: Path) -> None:
    """Known files and new ones, by name and content; what defines no result does not count."""
    assert diff_of(checkout) is None
    changes = [
        ("tasks/adding.py", "\n# a\n"),
        ("tasks/adding.py", "\n# b\n"),
        ("models/new.py", "a"),
        ("models/new2.py", ""),
    ]
    diffs = []
    for name, text in changes:
        with (checkout / name).open("a", encoding="utf-8") as file:
            file.write(text)
        diffs.append(diff_of(checkout))
        (checkout / "README.md").write_text(text, encoding="utf-8")
        assert diff_of(checkout) == diffs[-1]
    assert len({*diffs, None}) == 5
    (checkout / "models" / "new2.py").rename(checkout / "models" / "new3.py")
    assert diff_of(checkout) not in diffs
    (checkout / "models" / "new3.py").rename(checkout / "models" / "new2.py")
    git(checkout, "add", "tasks/adding.py")
    assert diff_of(checkout) == diffs[-1], "staged or not, the difference is the same"
    for setting in ("diff.noprefix=true", "diff.context=9", "diff.renames=copies", "color.ui=always"):
        git(checkout, "config", *setting.split("="))
    assert diff_of(checkout) == diffs[-1], "nor does it depend on how a person likes to see it"


def test_a_change_that_is_no_text_has_a_diff(checkout: Path) -> None:
    (checkout / "models" / "weights.py").write_bytes(b"\xff\x00\xfe")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "bytes")
    diffs = {diff_of(checkout)}
    for content in (b"\xff\x00\xfd", b"\xff\xfd"):
        (checkout / "models" / "weights.py").write_bytes(content)
        diffs.add(diff_of(checkout))
    assert len(diffs) == 3


def test_without_a_checkout_the_version_stands_in(suite: Path) -> None:
    origin = of_sweep(suite / "results" / "mine", [])
    assert (origin["commit"], origin["dirty"], origin["diff"]) == (None, False, None)
    git(suite.parent, "init", "-q")  # an installed suite inside someone's own checkout is not that checkout
    assert of_sweep(suite / "results" / "mine", [])["commit"] is None
    assert of_process(torch.device("cpu"))["versions"]["seqbench"]


def test_a_row_has_all_that_is_required(tmp_path: Path) -> None:
    origin: dict[str, Any] = {**of_sweep(tmp_path, []), **of_process(torch.device("cpu"))}
    assert made_rows.REQUIRED - set(origin) == {"source", "source_files", "data", "started", "finished"}, (
        "which the worker knows"
    )
    assert set(origin["versions"]) == {"python", "torch", "numpy", "numba", "scipy", "seqbench"}
    assert all(origin["versions"].values())
    assert (origin["instructions"], origin["driver"]) == (torch.backends.cpu.get_cpu_capability(), None)
    row = make_row(gru(), "cpu", origin, error={"message": "no", "traceback": ""})
    assert (row["status"], row["provenance"], row["device"]) == ("failed", origin, "cpu")
    assert not {*origin} - {*row_shape.Provenance.__annotations__}
