"""The code that defines a result, as a hash that survives a moved file and a reworded message.

A result is defined by the training loop, the run's task and model, and every file that these import, of the suite and
of the user's own (`experiments.imports` says which). Each file has a hash of its own, so that a stale row can say which
files have changed; the hash of a run is made of these.

What does not count: comments, docstrings and layout; where below its room a file lies (`bench/engine/training.py` is
`bench/training`); how an import names the place of a module; the texts of `raise`, of `assert`, of `__str__` and of
`__repr__`. Hashes begin with the version of these rules, `2:`; rows made by older rules are compared by their commit.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from ..errors import UsageError
from ..experiments import imports, registry
from ..experiments.runs import Run
from .trees import Checkout, Commit, Tree

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
    return _digest_of((*entrances(run), Entrance(_loop())))


def file_hashes(run: Run) -> Hashes:
    """The hash of each file that defines a run's result, as the files are when this process first asks for it."""
    return dict(_hashes_of((*entrances(run), Entrance(_loop()))))


def files_of(run: Run) -> frozenset[Path]:
    """All files that define a run's result, as they are when this process first asks for it."""
    return _files_of((*entrances(run), Entrance(_loop())))


def loop_hash() -> str:
    """The hash of the loop alone and what it imports, on which every run rests; as the files are at this moment."""
    tree = Checkout(registry.ROOT)
    return digest(_hashed(_closure([Entrance(_loop())], tree), tree))


def digest(hashes: Mapping[str, str]) -> str:
    """The one hash that stands for the hashes of several files."""
    text = "".join(f"{name} {value}\n" for name, value in sorted(hashes.items()))
    return VERSION + hashlib.sha256(text.encode()).hexdigest()[:16]


def at_commit(commit: str, run: Run) -> Hashes:
    """The hash of each file that defined a run's result at a commit.

    Raises UsageError where the repository lacks the commit, or the commit lacks the run's task or model.
    """
    try:
        return dict(_hashes_at(registry.ROOT, commit, tuple(entrances(run))))
    except FileNotFoundError as error:
        raise UsageError(f"commit {commit[:10]} has no file {error}, which defines {run}") from error


@lru_cache
def _hashes_at(root: Path, commit: str, entrances: tuple[Entrance, ...]) -> Hashes:
    tree = Commit.of(root, commit)
    found = [Entrance(tree.named("bench", LOOP))]
    for one in entrances:
        inside = _inside(one.file)
        if inside is None or tree.read(inside) is None:
            raise FileNotFoundError(str(inside or one.file))
        found.append(Entrance(inside, tuple(filter(None, map(_inside, one.places)))))
    return _hashed(_closure(found, tree), tree)


def _inside(path: PurePath) -> PurePath | None:
    """A path from the top of the repository; None where it lies elsewhere."""
    return PurePosixPath(path.relative_to(registry.ROOT).as_posix()) if path.is_relative_to(registry.ROOT) else None


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The names of the files whose hashes differ, or that one of the two lacks.

    >>> changed({"bench/training": "a", "models/gru": "b"}, {"bench/training": "a", "models/gru": "c"})
    ['models/gru']
    """
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def forget() -> None:
    """Lets the next question read the files anew: for programs in which sources change."""
    _hashes_of.cache_clear()
    _digest_of.cache_clear()
    _hashes_at.cache_clear()
    _files_of.cache_clear()
    _loop.cache_clear()


@dataclass(frozen=True, order=True)
class Entrance:
    """A file from which others are reached.

    places: of a user's file, where a module that it imports is looked for first. folder: the experiment's, from which a
    user's files are named.
    """

    file: PurePath
    places: tuple[PurePath, ...] = ()
    folder: PurePath | None = None


def entrances(run: Run) -> list[Entrance]:
    """The files in which the run's task and model stand."""
    found = set()
    kinds: tuple[registry.Kind, ...] = ("task", "model")
    for kind in kinds:
        origin = registry.origin(kind, getattr(run, kind).name, run.folder)
        folder = run.folder.resolve() if origin.places and run.folder is not None else None
        found |= {Entrance(file, origin.places, folder) for file in origin.files}
    return sorted(found, key=lambda one: one.file)


@dataclass(frozen=True)
class _File:
    """What a file means, as a hash, and which files of the suite it imports."""

    hash: str
    imports: tuple[PurePath, ...]


def _parsed(path: PurePath, tree: Tree) -> _File:
    if isinstance(tree, Commit):
        return _parsed_at(path, tree)
    if not Path(path).is_file():  # what was typed into an interpreter has none
        return _File("none", ())
    there = Path(path).stat()
    return _parsed_now(path, tree, there.st_mtime_ns, there.st_size)


@lru_cache(maxsize=2048)
def _parsed_now(path: PurePath, tree: Checkout, modified: int, size: int) -> _File:
    return _parse(path, tree)


@lru_cache(maxsize=8192)
def _parsed_at(path: PurePath, tree: Commit) -> _File:
    return _parse(path, tree)


def _parse(path: PurePath, tree: Tree) -> _File:
    source = tree.read(path) or b""
    try:
        module = ast.parse(source)  # bytes, as Python reads them: with a coding line, a mark, any ends of lines
    except (SyntaxError, ValueError):  # a compiled module, or a user's file that is imported nowhere yet
        return _File(hashlib.sha256(source).hexdigest()[:12], ())
    own = [(node, *found) for node in ast.walk(module) for found in _own_imports(node, path, tree)]
    meaning = _meaning(module, leave=frozenset(id(node) for node, _, _ in own))
    text = f"{sorted({name for _, name, _ in own})}\n{meaning}"
    files = dict.fromkeys(file for _, _, file in own if file is not None)
    return _File(hashlib.sha256(text.encode()).hexdigest()[:12], tuple(files))


def _own_imports(node: ast.AST, path: PurePath, tree: Tree) -> Iterator[tuple[tuple[str, str, str], PurePath | None]]:
    """What a node imports of the suite: (module, name in it, other name here), and the module's file."""
    package = registry.PACKAGE
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name.startswith(f"{package}."):
                file = tree.root.joinpath(*alias.name.split(".")[1:]).with_suffix(".py")
                there = file if tree.read(file) is not None else None
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
        if tree.read(inner) is not None:
            yield (alias.name, "", alias.asname or ""), inner
        else:
            there = outer if outer is not None and tree.read(outer) is not None else None
            yield (parts[-1] if parts else "", alias.name, alias.asname or ""), there


def _closure(found: Iterable[Entrance], tree: Tree) -> dict[PurePath, str]:
    """All files that these reach, those of the suite and those of the user's own, and how each is named."""
    waiting, named = [], dict[PurePath, str]()
    for one in found:
        own = one.places and imports.files_of(one.file, one.places, registry.PACKAGE, tree.read, tree.elsewhere)
        waiting += [(_resolved(file), one.folder) for file in own or [one.file]]
    while waiting:
        path, folder = waiting.pop()
        name = _name(path, tree.root, folder)
        if path not in named and name not in STANDS_APART:
            named[path] = name
            waiting += [(file, folder) for file in _parsed(path, tree).imports]
    return named


def _resolved(path: PurePath) -> PurePath:
    return path.resolve() if isinstance(path, Path) else path


def _hashed(named: Mapping[PurePath, str], tree: Tree) -> Hashes:
    """The hash of each file by its name; of users' files several may have one."""
    found = dict[str, list[str]]()
    for path, name in named.items():
        found.setdefault(name, []).append(_parsed(path, tree).hash)
    return {name: "+".join(sorted(hashes)) for name, hashes in found.items()}


@lru_cache
def _hashes_of(found: tuple[Entrance, ...]) -> Hashes:
    tree = Checkout(registry.ROOT)
    return _hashed(_closure(found, tree), tree)


@lru_cache
def _digest_of(found: tuple[Entrance, ...]) -> str:
    return digest(_hashes_of(found))


@lru_cache
def _files_of(found: tuple[Entrance, ...]) -> frozenset[Path]:
    return frozenset(map(Path, _closure(found, Checkout(registry.ROOT))))


def _name(path: PurePath, root: PurePath, folder: PurePath | None) -> str:
    """How a file is named: by room and stem, a user's by its path in the repository, or without one in its experiment's
    folder, or else by its name.
    """
    if path.is_relative_to(root) and path.is_absolute() == root.is_absolute():
        parts = path.relative_to(root).parts
        return f"{parts[0]}/{path.stem}" if parts[0] in ROOMS else "/".join(parts)
    return path.relative_to(folder).as_posix() if folder is not None and path.is_relative_to(folder) else path.name


@lru_cache(maxsize=1)
def _loop() -> Path:
    """The file of the training loop, wherever in its room it lies."""
    (found,) = (registry.ROOT / "bench").rglob(f"{LOOP}.py")
    return found


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
