"""The rooms of bench/: which may import which, that no two files share a name, and that none knows a task by name."""

from __future__ import annotations

import ast
import importlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from seqbench.bench.experiments import registry
from seqbench.bench.running import processes

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
GROUND = {"atomic", "errors", "locks", "seeding"}
"""Files of bench/ itself that every room may use. The others of bench/ itself are `front`: what Python users call."""
FLOORS: dict[str, str] = {
    "ground": "",
    "experiments": "ground",
    "engine": "ground experiments",
    "contract": "ground experiments engine",
    "rows": "ground experiments engine",
    "front": "ground experiments engine rows",
    "analysis": "ground experiments engine rows",
    "tuning": "ground experiments engine rows analysis",
    "running": "ground experiments engine rows front",
    "measuring": "ground experiments engine rows running",
    "report/tables": "ground experiments rows analysis tuning",
    "report/figures": "ground experiments rows analysis tuning report/tables",
    "report/page": "ground experiments engine rows analysis tuning report/tables report/figures",
    "report": "",
    "evidence": "ground experiments engine rows analysis tuning running report/tables report/figures",
    "cli": (
        "ground experiments engine contract rows front analysis tuning running measuring evidence "
        "report/tables report/figures report/page"
    ),
    "speed": "",
}
"""Room -> the rooms that it may import, beside itself; each stands above all that it imports."""
FILES = sorted(BENCH.rglob("*.py"))
MAY_NAME: dict[str, str] = {
    "engine/repeatable.py": "`rnn` is a setting of cuDNN there, not a model",
    "running/card.py": "the runs by which a card is checked",
    "measuring/machine.py": "the `date` of a measurement, which is no task there",
    "report/figures/speed_history.py": "the `date` of a measurement",
    "report/tables/speed_table.py": "the `date` of a measurement",
    "measuring/shapes.py": "the task whose sequences have the two lengths at which every model is measured",
    "measuring/throughput.py": "the sweep whose duration is measured",
}
"""Files that may write the name of a task or a model, and why. Those of speed/ are not asked: they measure models."""


def room_of(path: Path) -> str:
    room = path.relative_to(BENCH).parent.as_posix()
    if room == ".":
        return "ground" if path.stem in GROUND else "front"
    return room


def imported(path: Path) -> Iterator[Path]:
    """The files of bench/ that a file imports, wherever in it the import stands."""
    folder = path.parent
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ([folder, *folder.parents][node.level - 1]).joinpath(*(node.module or "").split("."))
            for alias in node.names:
                for target in (base / f"{alias.name}.py", base.with_suffix(".py"), base / "__init__.py"):
                    if target.is_file():
                        if target.is_relative_to(BENCH):
                            yield target
                        break


def test_every_room_is_on_a_floor_and_no_arrow_runs_up() -> None:
    assert {room_of(path) for path in FILES} == set(FLOORS), "a room is missing in FLOORS, or is there no more"
    above = list(FLOORS)
    for room, may_import in FLOORS.items():
        assert all(above.index(other) < above.index(room) for other in may_import.split()), room


def test_imports_run_down_the_floors() -> None:
    arrows = [(path, target) for path in FILES for target in imported(path)]
    assert len(arrows) > 200
    up = [
        f"{path.relative_to(ROOT)} imports {target.relative_to(ROOT)}"
        for path, target in arrows
        if room_of(target) not in {room_of(path), *FLOORS[room_of(path)].split()}
    ]
    assert not up


def test_no_two_files_import_each_other() -> None:
    """Nor in a longer circle, nor by an import within a function."""
    below = {path: set(imported(path)) - {path} for path in FILES}
    while free := [path for path, targets in below.items() if not targets & set(below)]:
        for path in free:
            del below[path]
    assert not below, f"these import each other: {[str(path.relative_to(ROOT)) for path in below]}"


def test_no_two_files_share_a_name() -> None:
    count = Counter(path.stem for path in FILES if not path.stem.startswith("__"))
    assert not [name for name, times in count.items() if times > 1]


@pytest.mark.parametrize("room", [room for room in FLOORS if room not in ("ground", "front", "report")])
def test_a_room_says_what_it_is_for(room: str) -> None:
    """And names the rooms that it may import, as the table does, and its front door."""
    text = ast.get_docstring(ast.parse((BENCH / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    assert "Front door" in text
    sentence = re.search(r"May import (.*?)\.\s", " ".join(text.split()) + " ")
    assert sentence, "it does not say what it may import"
    if room not in ("cli", "speed"):
        named = set(re.findall(r"`([\w/]+)`", sentence[1])) - {"api"}
        assert named == set(FLOORS[room].split()) - {"ground", "front"}
        assert ("`api`" in sentence[1]) == ("front" in FLOORS[room].split())


def names() -> set[str]:
    """What tasks and models of the suite are called: with a dash in experiments, with an underscore as files."""
    listed = {*registry.listing("task"), *registry.listing("model")}
    return listed | {name.replace("-", "_") for name in listed}


def named_in(path: Path) -> set[str]:
    """The tasks and models that a file imports, or writes in a text that the program reads (not in docstrings)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    shown = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    known, found = names(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and ({"tasks", "models"} & {*(node.module or "").split(".")}):
            found |= known & {*(node.module or "").split("."), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in shown:
            text = node.value.strip()
            found |= {name for name in known if text == name}
            found |= {name for name in known if re.search(rf"(?<![\w-]){re.escape(name)}\(", text)}
    return found


def test_bench_knows_no_task_and_no_model_by_name() -> None:
    assert {"adding", "copy_memory", "copy-memory", "tcn"} <= names()
    asked = [path for path in FILES if room_of(path) != "speed"]
    naming = {path.relative_to(BENCH).as_posix(): found for path in asked if (found := named_in(path))}
    assert {file: found for file, found in naming.items() if file not in MAY_NAME} == {}
    assert set(MAY_NAME) == set(naming), "a file is excused that names nothing any more"
    assert named_in(BENCH / "speed" / "history.py"), "the search finds what is there"


def test_what_the_fork_server_imports_is_there() -> None:
    """It passes over a name that does not exist, and every worker then imports all by itself: seconds, and no error."""
    own = [name for name in processes.PRELOAD if name.startswith("seqbench.")]
    assert own, "the worker itself is among them"
    for name in processes.PRELOAD:
        assert importlib.import_module(name), name


def test_the_readme_of_bench_names_every_file() -> None:
    readme = (BENCH / "README.md").read_text(encoding="utf-8")
    tree = re.search(r"```\n(?:pyproject\.toml.*?)?^(bench/ .*?)^tasks/ ", readme, re.DOTALL | re.MULTILINE)
    assert tree, "the annotated tree is missing"
    own, *parts = re.split(r"^  (?=[a-z/]+/ )", tree[1], flags=re.MULTILINE)
    lines = {part.partition("/ ")[0]: set(re.findall(r"\w+", part)) for part in parts} | {
        ".": set(re.findall(r"\w+", own))
    }
    for path in FILES:
        room = path.relative_to(BENCH).parent.as_posix()
        if not path.stem.startswith("__"):
            assert path.stem in lines.get(room, ()), f"{path.relative_to(ROOT)} is not in the tree of bench/README.md"
    there = {path.relative_to(BENCH).parent.as_posix() for path in FILES} - {"report"}
    assert there == set(lines), "bench/README.md names the rooms that there are"
