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
NOT_INSTALLED = ("ray", "grpc")
"""What an extra of pyproject.toml brings, and `make` does not."""
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
MODULES = [path for path in SOURCES if "speed" not in path.parts]


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


def test_imports_run_one_way() -> None:
    wrong = []
    for path in MODULES:
        room = path.relative_to(ROOT).parts[0]
        imported = imports_of(path)
        rooms = {name.removeprefix("room ") for name in imported if name.startswith("room ")}
        # `import tasks` would load a second copy of every class; our own modules are imported relatively.
        if not rooms <= MAY_IMPORT[room] or imported & {*ROOMS, "seqbench"}:
            wrong.append(f"{path.relative_to(ROOT)} imports {sorted(imported)}")
    assert not wrong


def test_files_are_short() -> None:
    files = [*SOURCES, *(ROOT / "tests").glob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_doctests() -> None:
    for path in MODULES:
        try:
            module = importlib.import_module(name_of(path))
        except ModuleNotFoundError as error:
            if error.name not in NOT_INSTALLED:
                raise
            continue
        assert module.__doc__, f"{path}: a module says what it is for"
        assert doctest.testmod(module).failed == 0, path


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


READMES = [f"{room}README.md" for room in ("", "bench/", "results/", "results/speed/", "models/", "tasks/")]
LONGEST_README = 170


def commands_of(readme: str) -> list[str]:
    """The `seqbench` lines of a text, without their comments."""
    lines = (ROOT / readme).read_text(encoding="utf-8").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.startswith("seqbench ")]


def test_the_readmes_commands_are_true(
    tmp_path: Path, users_mirror: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every `seqbench` line of the READMEs answers; long ones as a dry run, those that write in another place."""
    lines = list(dict.fromkeys(line for readme in READMES for line in commands_of(readme)))
    assert len(lines) >= 20
    assert set(commands_of("README.md")) <= set(commands_of("bench/README.md")), "that has every verb"
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SEQBENCH_RUNS", str(tmp_path))
    for line in lines:
        own = " my_" in line and not line.startswith("seqbench new")
        if (line.startswith("seqbench fetch") and users_mirror is None) or own:
            continue  # those of models and tasks of one's own are tried in test_wheel
        answer = seqbench(*shorter(line, tmp_path))
        if line.startswith("seqbench sample"):  # what a run has learned is not in a checkout
            assert answer.code == 0 or "is not here" in answer.err, f"{line}: {answer.err}"
            continue
        assert answer.code == 0, f"{line}: {answer.err}"
        assert answer.out.strip(), line


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= LONGEST_README
    for readme in READMES:
        text = (ROOT / readme).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = link.partition("#")
            if path.startswith("http"):
                continue
            file = (ROOT / readme).parent / path if path else ROOT / readme
            assert file.exists(), f"{readme}: {link}"
            if anchor and file.suffix == ".md":
                headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {heading_of(heading) for heading in headings}, f"{readme}: {link}"


def heading_of(text: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


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
        "attention": ["--help"],  # it would train the run
        "tune": ["--dry-run"],
    }
    words = [str(folder / "mine") if word == "results/mine" else word.replace("my_model.py", "gru") for word in words]
    words += less.get(words[0], [])  # --help comes after the options: one that is not there is refused first
    words += ["--out", str(folder / "page.html")] * (words[0] == "report")
    if words[0] == "verify":  # continuous integration checks all folders; none is trained here
        one, there = ["results/bai2018-adding-adam"], ["--rows", str(ROOT / "results" / "quick" / "runs.jsonl")]
        words += one if "--static" in words else there
    return [str(folder / Path(word).name) if word.endswith((".npz", ".md")) else word for word in words]


def test_the_readme_of_the_results_shows_the_committed_table() -> None:
    readme = (ROOT / "results" / "README.md").read_text(encoding="utf-8")
    table = (ROOT / "results" / "quick" / "table.md").read_text(encoding="utf-8")
    scores = next(part for part in table.split("\n\n") if part.startswith("|"))
    assert scores in readme
