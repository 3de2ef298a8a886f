"""Where a row comes from: what makes it stale, what makes it dirty, and what does neither."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from experiments import OWN_MODEL, write
from seqbench.bench import api, config, provenance, registry
from seqbench.bench.errors import UsageError
from seqbench.bench.making import make_row
from seqbench.bench.provenance import REQUIRED, of_process, of_sweep, source_hash
from seqbench.bench.runs import Run

TWO_MODELS = """\
question: Mine?
rows:
- task: adding(length=12)
  models: [my_model.py(width=4), gru(width=4)]
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Hashes are kept for the life of a process; here the sources change within it."""
    provenance._hash_of.cache_clear()
    yield
    provenance._hash_of.cache_clear()


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the suite's sources, at which hashes and commits are looked up."""
    original = registry.ROOT
    copy = tmp_path / "suite"
    for folder in ("bench", "tasks", "models"):
        shutil.copytree(original / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(original / name, copy / name)
    class_files = provenance._class_files

    def moved(run: Run) -> set[Path]:
        return {copy / file.relative_to(original) if original in file.parents else file for file in class_files(run)}

    monkeypatch.setattr(registry, "ROOT", copy)
    monkeypatch.setattr(provenance, "_class_files", moved)
    return copy


def edit(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text(encoding="utf-8")
    after = change(before)
    assert after != before
    ast.parse(after)
    path.write_text(after, encoding="utf-8")
    provenance._hash_of.cache_clear()


def gru() -> Run:
    return api.make_run("adding(length=12)", "gru(width=4)")


def test_a_hash_is_the_same_wherever_the_suite_lies(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = source_hash(gru())
    monkeypatch.undo()
    provenance._hash_of.cache_clear()
    assert source_hash(gru()) == there


EXPLANATIONS: list[Callable[[str], str]] = [
    lambda text: f"# A comment.\n{text}\n\n# Another.\n",
    lambda text: text.replace('"""', '"""Better explained: ', 1),
    lambda text: text.replace("\n\n\n", "\n\n\n\n"),
    lambda text: ast.unparse(ast.parse(text)),
    lambda text: f'{text}\n\n"""A string that stands alone."""\n',
]


@pytest.mark.parametrize("change", EXPLANATIONS)
@pytest.mark.parametrize("name", ["tasks/adding.py", "models/gru.py", "bench/training.py"])
def test_explanations_make_nothing_stale(name: str, change: Callable[[str], str], suite: Path) -> None:
    before = source_hash(gru())
    edit(suite / name, change)
    assert source_hash(gru()) == before


@pytest.mark.parametrize(
    "name",
    [
        "tasks/adding.py",
        "tasks/base.py",
        "tasks/_random.py",
        "models/gru.py",
        "models/_recurrent.py",
        "models/base.py",
        "models/network.py",
        "models/heads.py",
        "bench/training.py",
        "bench/evaluation.py",
        "bench/settings.py",
        "bench/seeding.py",
        "bench/sizing.py",
    ],
)
def test_code_makes_rows_stale(name: str, suite: Path) -> None:
    before = source_hash(gru())
    edit(suite / name, lambda text: f"{text}\nADDED = 1\n")
    assert source_hash(gru()) != before


def test_a_number_that_changes_makes_rows_stale(suite: Path) -> None:
    before = source_hash(gru())
    edit(suite / "models" / "gru.py", lambda text: text.replace("width: int = 128", "width: int = 129"))
    assert source_hash(gru()) != before


@pytest.mark.parametrize(
    "name",
    [
        "tasks/copy_memory.py",
        "tasks/_music.py",
        "tasks/datasets.py",
        "models/tcn.py",
        "bench/sweep.py",
        "bench/worker.py",
        "bench/store.py",
        "bench/checkpoint.py",
        "bench/report/tables.py",
        "bench/cli/experiments.py",
    ],
)
def test_what_the_run_does_not_stand_on_makes_nothing_stale(name: str, suite: Path) -> None:
    before = source_hash(gru())
    edit(suite / name, lambda text: f"{text}\nADDED = 1\n")
    assert source_hash(gru()) == before


def test_shared_modules_count_for_those_who_share_them(suite: Path) -> None:
    runs = [api.make_run(task, model) for task, model in [("jsb", "gru(width=4)"), ("jsb", "tcn(width=4, levels=2)")]]
    before = [source_hash(run) for run in runs]
    edit(suite / "models" / "_recurrent.py", lambda text: f"{text}\nADDED = 1\n")
    after = [source_hash(run) for run in runs]
    assert (after[0] != before[0], after[1] != before[1]) == (True, False)
    edit(suite / "tasks" / "_music.py", lambda text: f"{text}\nADDED = 1\n")
    assert all(source_hash(run) != old for run, old in zip(runs, after, strict=True))


@pytest.mark.parametrize("imports", ["from seqbench.models import gru", "import seqbench.models.gru as gru"])
def test_a_users_model_counts_with_what_it_imports_of_the_suite(imports: str, suite: Path, tmp_path: Path) -> None:
    text = OWN_MODEL.replace("from seqbench.models import gru", imports).replace("BODY", "inputs = inputs * 1.0")
    folder = write(tmp_path / "mine", TWO_MODELS, my_model=text)
    run, other = config.load(folder).runs
    before = source_hash(run), source_hash(other)
    edit(folder / "my_model.py", lambda text: text.replace("# no comment yet", "# a comment"))
    assert source_hash(run) == before[0]
    edit(folder / "my_model.py", lambda text: text.replace("1.0", "1.1"))
    edited = source_hash(run)
    assert edited != before[0]
    assert source_hash(other) == before[1]
    edit(suite / "models" / "_recurrent.py", lambda text: f"{text}\nADDED = 1\n")
    assert source_hash(run) != edited


def test_two_files_of_one_name_both_count(tmp_path: Path) -> None:
    task = "from seqbench.tasks import adding\n\n\nclass Task(adding.Task):\n    pass\n"
    model = OWN_MODEL.replace("BODY", "inputs = inputs * 1.0")
    text = TWO_MODELS.replace("adding(", "own/same.py(").replace("my_model.py", "same.py")
    folder = write(tmp_path / "mine", text, same=model)
    write(folder / "own", same=task)
    run = config.load(folder).runs[0]
    hashes = {source_hash(run)}
    edit(folder / "same.py", lambda text: text.replace("1.0", "1.1"))
    hashes.add(source_hash(run))
    edit(folder / "own" / "same.py", lambda text: f"{text}\nADDED = 1\n")
    hashes.add(source_hash(run))
    assert len(hashes) == 3


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
        "bench/training.py",
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
        "bench/report/tables.py",
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
    assert set(REQUIRED) - set(origin) == {"source", "data", "started", "finished"}, "which the worker knows"
    assert set(origin["versions"]) == {"python", "torch", "numpy", "numba", "scipy", "seqbench"}
    assert all(origin["versions"].values())
    assert (origin["instructions"], origin["driver"]) == (torch.backends.cpu.get_cpu_capability(), None)
    row = make_row(gru(), "cpu", origin, error={"message": "no", "traceback": ""})
    assert (row["status"], row["provenance"], row["device"]) == ("failed", origin, "cpu")


def test_what_has_changed_since_a_commit_by_what_it_means(checkout: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    assert provenance.changed_since(commit, gru()) == []
    edit(checkout / "tasks" / "adding.py", EXPLANATIONS[0])
    edit(checkout / "models" / "gru.py", lambda text: f"{text}\nADDED = 1\n")
    (checkout / "bench" / "further.py").write_text("NEW = 1\n", encoding="utf-8")
    edit(checkout / "bench" / "training.py", lambda text: f"{text}\nfrom . import further\n")
    changed = ["bench/further.py", "bench/training.py", "models/gru.py"]
    assert provenance.changed_since(commit, gru()) == [checkout / name for name in changed]
    with pytest.raises(UsageError, match="commit 0123456789 is not in this repository: fetch the whole history"):
        provenance.changed_since("0123456789" * 4, gru())
