"""The rules of the house: where imports may go, how long a file may be, what a wheel holds, that examples are true."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import shlex
from pathlib import Path

import pytest
from command import seqbench

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("bench", "tasks", "models")
MAY_IMPORT = {"bench": {"bench", "tasks", "models"}, "tasks": {"tasks"}, "models": {"models"}}
LONGEST = 330
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MODULES = [path for path in SOURCES if "speed" not in path.parts]
EXTRAS = {"ray_engine": "ray"}
"""Files that need an extra, and the package that they import."""


def name_of(path: Path) -> str:
    """`bench/cli/__init__.py` as `seqbench.bench.cli`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("seqbench", *(part for part in parts if part != "__init__")))


def imports_of(path: Path) -> set[str]:
    """The rooms of the house that a file imports from, and the top names of all else."""
    found = set()
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = [*base, *(node.module or "").split(".")] if node.module else [*base, node.names[0].name]
            found.add(f"room {target[0]}")
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    imported = imports_of(path)
    rooms = {name.removeprefix("room ") for name in imported if name.startswith("room ")}
    assert rooms <= MAY_IMPORT[room]
    # `import tasks` would load a second copy of every class; our own modules are imported relatively.
    assert not imported & {*ROOMS, "seqbench"}


@pytest.mark.parametrize(
    "path", [*SOURCES, *(ROOT / "tests").glob("*.py")], ids=lambda path: str(path.relative_to(ROOT))
)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize("path", MODULES, ids=lambda path: name_of(path))
def test_doctests(path: Path) -> None:
    if path.stem in EXTRAS:
        pytest.importorskip(EXTRAS[path.stem])
    module = importlib.import_module(name_of(path))
    assert module.__doc__, "a module says what it is for"
    assert doctest.testmod(module).failed == 0


def test_public_functions_have_docstrings() -> None:
    bare = []
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                bare.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not bare


def test_the_readmes_python_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines run as they stand; the model of models/README.md, in a file of its own, can be described on a task."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (interface,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    model = re.findall(r"```python\n(.*?)```", (ROOT / "models" / "README.md").read_text(encoding="utf-8"), re.DOTALL)[
        0
    ]
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    exec(interface, names)
    assert len(interface.strip().splitlines()) <= 10
    assert names["batch"].inputs.shape == (4, 50, 2)  # type: ignore[attr-defined]
    (tmp_path / "my_model.py").write_text(model, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    from seqbench.bench.experiments.describing import facts_of

    assert facts_of("adding", "my_model.py", parameters=400, tolerance=0.1, head_text="linear")["width"] == 100


def test_the_readmes_commands_are_true(
    tmp_path: Path, users_mirror: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every `seqbench` line of the README answers; long ones as a dry run, those that write in another place."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line.split("#")[0].strip() for line in readme.splitlines() if line.startswith("seqbench ")]
    assert len(lines) >= 8
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SEQBENCH_RUNS", str(tmp_path))
    for line in lines:
        if line.startswith("seqbench fetch") and users_mirror is None:
            continue
        answer = seqbench(*shorter(line, tmp_path))
        if line.startswith("seqbench sample"):  # what a run has learned is not in a checkout
            assert answer.code == 0 or "is not here" in answer.err, f"{line}: {answer.err}"
            continue
        assert answer.code == 0, f"{line}: {answer.err}"
        assert answer.out.strip(), line


def shorter(line: str, folder: Path) -> list[str]:
    """The words of a command of the README, for less work than it says, and with its files in another folder."""
    words = shlex.split(line)[1:]
    words = ["table" if word in ("publish", "renew") else word for word in words]
    less = {
        "run": ["--dry-run"],
        "check": ["--no-speed", "--task", "adding(length=6, train=16, valid=8, test=8)"],
        "gradients": ["--steps", "2", "--out", str(folder)],
        "plot": ["--only", "score-state"],
        "speed": ["--help"],
    }
    words += less.get(words[0], [])  # --help comes after the options: one that is not there is refused first
    words += ["--out", str(folder / "page.html")] * (words[0] == "report")
    if words[0] == "verify":  # continuous integration checks all folders; none is trained here
        one, there = ["results/bai2018-adding-adam"], ["--rows", str(ROOT / "results" / "quick" / "runs.jsonl")]
        words += one if "--static" in words else there
    return [str(folder / Path(word).name) if word.endswith((".npz", ".md")) else word for word in words]


def test_the_readme_shows_the_committed_table() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = (ROOT / "results" / "quick" / "table.md").read_text(encoding="utf-8")
    scores = next(part for part in table.split("\n\n") if part.startswith("|"))
    assert scores in readme
