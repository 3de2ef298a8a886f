"""The code that defines a result, as a hash that survives a moved file and a reworded message.

A result is defined by the training loop, the run's task and model, and every file of the suite that these import. Each
file has a hash of its own, so that a stale row can say which files have changed; the hash of a run is made of these.

What does not count: comments, docstrings and layout; where below its room a file lies (`bench/engine/training.py` is
`bench/training`); how an import names the place of a module; the texts of `raise`, of `assert`, of `__str__` and of
`__repr__`. Hashes begin with the version of these rules, `2:`; rows made by older rules are compared by their commit.
"""

from __future__ import annotations

import ast
import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from ..errors import UsageError
from ..experiments import registry
from ..experiments.runs import Run

VERSION = "2:"
"""What every hash of these rules begins with."""
ROOMS = ("bench", "tasks", "models")
LOOP = "training"
STANDS_APART = {
    "tasks/datasets",
    "tasks/_archives",
    "tasks/_downloads",
    "bench/checkpoint",
    "bench/errors",
    "bench/registry",
    "bench/options",
}
"""Files that a result does not depend on: data are known by their checksums, a checkpoint resumes to the same bits."""
SPEAKING = ("__str__", "__repr__")
"""Methods whose texts are for people."""

Hashes = dict[str, str]
"""Name of a file, such as `bench/training` -> its hash."""


def source_hash(run: Run) -> str:
    """The hash of the code that defines a run's result, as the files are when this process first asks for it."""
    return digest(file_hashes(run))


def file_hashes(run: Run) -> Hashes:
    """The hash of each file that defines a run's result, as the files are when this process first asks for it."""
    return dict(_hashes_of(tuple(sorted({*class_files(run), _loop()}))))


def loop_hash() -> str:
    """The hash of the loop alone and what it imports, on which every run rests; as the files are at this moment."""
    return digest(_closure([_loop()], _Checkout(registry.ROOT)))


def digest(hashes: Mapping[str, str]) -> str:
    """The one hash that stands for the hashes of several files."""
    text = "".join(f"{name} {value}\n" for name, value in sorted(hashes.items()))
    return VERSION + hashlib.sha256(text.encode()).hexdigest()[:16]


def at_commit(commit: str, run: Run) -> Hashes:
    """The hash of each file that defined a run's result at a commit.

    Raises UsageError where the repository lacks the commit, or the commit lacks the run's task or model.
    """
    tree = _Commit.read(registry.ROOT, commit)
    entrances = [tree.named("bench", LOOP)]
    for path in class_files(run):
        inside = path.relative_to(registry.ROOT).as_posix() if path.is_relative_to(registry.ROOT) else None
        if inside is None or tree.text(PurePosixPath(inside)) is None:
            raise UsageError(f"commit {commit[:10]} has no file {inside or path}, which defines {run}")
        entrances.append(PurePosixPath(inside))
    return _closure(entrances, tree)


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The names of the files whose hashes differ, or that one of the two lacks.

    >>> changed({"bench/training": "a", "models/gru": "b"}, {"bench/training": "a", "models/gru": "c"})
    ['models/gru']
    """
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def forget() -> None:
    """Lets the next question read the files anew: for programs in which sources change."""
    _hashes_of.cache_clear()
    _loop.cache_clear()


class _Checkout:
    """The files as they are now."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def text(self, path: PurePath) -> str | None:
        return Path(path).read_text(encoding="utf-8") if Path(path).is_file() else None

    def parsed(self, path: PurePath) -> _File:
        there = Path(path).stat()
        return _parsed_file(Path(path), there.st_mtime_ns, there.st_size)


@dataclass(frozen=True)
class _Commit:
    """The Python files of a commit, by path from the top of the repository."""

    commit: str
    files: Mapping[str, str]
    root: PurePath

    @staticmethod
    @lru_cache(maxsize=64)
    def read(root: Path, commit: str) -> _Commit:
        """Raises UsageError where the repository at `root` lacks the commit."""
        command = ["git", "-C", str(root), "archive", "--format=tar", commit, "--", ":(glob)**/*.py"]
        try:
            packed = subprocess.run(command, capture_output=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise UsageError(f"commit {commit[:10]} is not in this repository: fetch the whole history") from error
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            texts = {item.name: archive.extractfile(item) for item in archive if item.isfile()}
            files = {name: file.read().decode() for name, file in texts.items() if file is not None}
        return _Commit(commit, files, PurePosixPath())

    def text(self, path: PurePath) -> str | None:
        return self.files.get(path.as_posix())

    def parsed(self, path: PurePath) -> _File:
        return _parsed_at(self, path)

    def named(self, room: str, stem: str) -> PurePath:
        """The file of this name in a room, wherever it lies."""
        found = [name for name in self.files if name.startswith(f"{room}/") and PurePosixPath(name).stem == stem]
        if len(found) != 1:
            raise UsageError(f"commit {self.commit[:10]} has {len(found)} files {room}/**/{stem}.py; one is needed")
        return PurePosixPath(found[0])

    def __hash__(self) -> int:
        return hash(self.commit)


_Tree = _Checkout | _Commit


@dataclass(frozen=True)
class _File:
    """What a file means, as a hash, and which files of the suite it imports."""

    hash: str
    imports: tuple[PurePath, ...]


@lru_cache(maxsize=2048)
def _parsed_file(path: Path, modified: int, size: int) -> _File:
    return _parsed(path, _Checkout(registry.ROOT))


@lru_cache(maxsize=8192)
def _parsed_at(tree: _Commit, path: PurePath) -> _File:
    return _parsed(path, tree)


def _parsed(path: PurePath, tree: _Tree) -> _File:
    module = ast.parse(tree.text(path) or "")
    own = [(node, *found) for node in ast.walk(module) for found in _own_imports(node, path, tree)]
    meaning = _meaning(module, leave=frozenset(id(node) for node, _, _ in own))
    text = f"{sorted({name for _, name, _ in own})}\n{meaning}"
    files = dict.fromkeys(file for _, _, file in own if file is not None)
    return _File(hashlib.sha256(text.encode()).hexdigest()[:12], tuple(files))


def _own_imports(node: ast.AST, path: PurePath, tree: _Tree) -> Iterator[tuple[tuple[str, str, str], PurePath | None]]:
    """What a node imports of the suite: (module, name in it, other name here), and the module's file."""
    package = registry.PACKAGE
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.startswith(f"{package}."):
                file = tree.root.joinpath(*alias.name.split(".")[1:]).with_suffix(".py")
                there = file if tree.text(file) is not None else None
                yield (alias.name.rpartition(".")[2], "", alias.asname or alias.name), there
        return
    if not isinstance(node, ast.ImportFrom):
        return
    if node.level:
        base, parts = path.parents[node.level - 1], (node.module or "").split(".") if node.module else []
    elif node.module == package or (node.module or "").startswith(f"{package}."):
        base, parts = tree.root, (node.module or "").split(".")[1:]
    else:
        return
    for alias in node.names:
        inner = base.joinpath(*parts, f"{alias.name}.py")
        outer = base.joinpath(*parts).with_suffix(".py") if parts else None
        if tree.text(inner) is not None:
            yield (alias.name, "", alias.asname or ""), inner
        else:
            there = outer if outer is not None and tree.text(outer) is not None else None
            yield (parts[-1] if parts else "", alias.name, alias.asname or ""), there


def _closure(files: Iterable[PurePath], tree: _Tree) -> Hashes:
    """The hash of these files and of all that they import of the suite, by name."""
    waiting, seen, found = list(files), set[PurePath](), dict[str, list[str]]()
    while waiting:
        path = waiting.pop()
        name = _name(path, tree.root)
        if path in seen or name in STANDS_APART:
            continue
        seen.add(path)
        file = tree.parsed(path)
        found.setdefault(name, []).append(file.hash)  # of users' files two may have one name
        waiting.extend(file.imports)
    return {name: "+".join(sorted(hashes)) for name, hashes in found.items()}


@lru_cache
def _hashes_of(files: tuple[Path, ...]) -> Hashes:
    return _closure(files, _Checkout(registry.ROOT))


def _name(path: PurePath, root: PurePath) -> str:
    """How a file is named: by room and stem, a user's by its path in the repository, or without one by its name."""
    if not path.is_relative_to(root) or (path.is_absolute() and not root.is_absolute()):
        return path.name
    parts = path.relative_to(root).parts
    return f"{parts[0]}/{path.stem}" if parts[0] in ROOMS else "/".join(parts)


@lru_cache(maxsize=1)
def _loop() -> Path:
    """The file of the training loop, wherever in its room it lies."""
    (found,) = (registry.ROOT / "bench").rglob(f"{LOOP}.py")
    return found


def class_files(run: Run) -> set[Path]:
    """The files in which the run's task and model stand."""
    # resolved, because a package that is reached through a link must have the names of its own folder
    return {Path(sys.modules[cls.__module__].__file__ or "").resolve() for cls in (run.task_class, run.model_class)}


def _meaning(node: Any, leave: frozenset[int] = frozenset(), spoken: bool = False) -> str:
    """A syntax tree as text: no positions, no docstrings, no empty fields, hence the same for every Python.

    leave: ids of nodes that are left out. spoken: whether texts are for people, and do not count.
    """
    if isinstance(node, list):
        return f"[{','.join(_meaning(item, leave, spoken) for item in node if id(item) not in leave)}]"
    if spoken and (isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))):
        return "TEXT"
    if not isinstance(node, ast.AST):
        return repr(node)
    function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    spoken = spoken or isinstance(node, ast.Raise) or (function and getattr(node, "name", "") in SPEAKING)
    parts = []
    for name, value in ast.iter_fields(node):
        if name == "body" and (function or isinstance(node, ast.Module | ast.ClassDef)):
            value = [item for item in value if not _is_text(item)]
        if value is not None and value != [] and name not in ("ctx", "kind", "type_comment"):
            aloud = spoken or (isinstance(node, ast.Assert) and name == "msg")
            parts.append(f"{name}={_meaning(value, leave, aloud)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _is_text(statement: ast.stmt) -> bool:
    """A docstring, of a module, a class, a function or an attribute."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
