"""Where a row comes from: commit, source, versions, machine, data. A row without it is refused by the store.

Keys of a row's `provenance`: `commit` (None outside a git checkout), `dirty`, `diff` (SHA-256 of what differed from the
commit, None where nothing did), `source` (hash of the code that defines the result), `command`, `versions`, `platform`,
`processor`, `instructions` (the widest vector instructions that torch uses: they decide the order of sums), `device`,
`driver` (of a GPU), `threads`, `data` (file -> SHA-256 of its payload), `started`, `finished` (UTC).
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil
import torch

from . import registry
from .checkpoint import COMPUTE as COMPUTE
from .checkpoint import processor_name
from .errors import UsageError
from .runs import Run

DEFINES_RESULTS = ("bench", "tasks", "models", "pyproject.toml", "requirements.lock")
SHOWS_RESULTS = (":(exclude)bench/report", ":(exclude)bench/cli", ":(exclude)bench/speed")
STANDS_APART = {
    "tasks/datasets.py",
    "tasks/_archives.py",
    "tasks/_downloads.py",
    "bench/checkpoint.py",
    "bench/errors.py",
    "bench/registry.py",
    "bench/options.py",
}
"""Sources that a result does not depend on: data are known by their sums, and a checkpoint resumes to the same bits."""
VERSIONS_OF = (*COMPUTE, "seqbench")
REQUIRED = (
    "commit", "dirty", "diff", "source", "versions", "platform", "processor", "instructions", "device", "driver",
    "threads", "data", "started", "finished",
)  # fmt: skip
MAY_BE_NONE = ("commit", "diff", "driver")
LATER = ("diff", "instructions")
"""What is asked for since rows were first published: rows of before are read all the same."""


def of_sweep(folder: Path, runs: Iterable[Run]) -> dict[str, Any]:
    """What is judged once, when a sweep starts: the commit, and whether the sources or the experiment differ from it.

    `diff` is the SHA-256 of how they differ: of git's diff against the commit, and the name and content of each file
    that git does not know. A user's task and model files are judged too, where they lie in the checkout.
    Outside a git checkout (an installed wheel) the commit is None and the version stands in for it.
    """
    root = registry.ROOT
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None or _git(root, "rev-parse", "--show-toplevel") != str(root):
        return {"commit": None, "dirty": False, "diff": None, "command": sys.argv[1:]}
    own = sorted({str(path) for run in runs for path in _class_files(run)})
    paths = [*DEFINES_RESULTS, str(folder.resolve() / "experiment.yaml"), *own]
    inside = [path for path in paths if not Path(path).is_absolute() or Path(path).is_relative_to(root)]
    dirty = bool(_git(root, "status", "--porcelain", "--", *inside, *SHOWS_RESULTS))
    diff = _diff(root, [*inside, *SHOWS_RESULTS]) if dirty else None
    return {"commit": commit, "dirty": dirty, "diff": diff, "command": sys.argv[1:]}


def remote() -> str | None:
    """The address that the checkout was cloned from; None outside a checkout, or where there is none."""
    root = registry.ROOT
    return (
        _git(root, "remote", "get-url", "origin") if _git(root, "rev-parse", "--show-toplevel") == str(root) else None
    )


def _diff(root: Path, paths: list[str]) -> str:
    """The SHA-256 of all that differs from the commit, whatever the user's own settings of git are."""
    plain = ("--binary", "--full-index", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--unified=3")
    prefix = ("--src-prefix=a/", "--dst-prefix=b/", "--diff-algorithm=myers")
    known = _git(root, "diff", *plain, *prefix, "HEAD", "--", *paths)
    unknown = _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *paths)
    digest = hashlib.sha256((known or "").encode(errors="surrogateescape"))
    for name in sorted(filter(None, (unknown or "").split("\0"))):
        digest.update(f"\n{name}\n".encode(errors="surrogateescape"))
        digest.update((root / name).read_bytes() if (root / name).is_file() else b"")  # else a repository in this one
    return digest.hexdigest()


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, encoding="utf-8", errors="surrogateescape", check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def of_process(device: torch.device) -> dict[str, Any]:
    """What is judged in the worker: versions, machine, device, threads."""
    return {
        "versions": versions(device),
        "platform": platform.platform(),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "driver": _driver() if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
    }


def versions(device: torch.device) -> dict[str, str | None]:
    """Of Python and the packages that compute; on a GPU also of the CUDA and cuDNN that torch was built with."""
    found = {"python": platform.python_version()} | {name: _version(name) for name in VERSIONS_OF}
    if device.type == "cuda":
        found |= {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())}
    return found


def _driver() -> str:
    """The version of the GPU's driver, as its own tool says it; `unknown` where that is not there."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    except (OSError, subprocess.SubprocessError):
        answer = []
    return answer[0] if answer else "unknown"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    return f"{processor_name()}, {os.cpu_count()} cores"


def peak_memory_mb(device: torch.device) -> float:
    """The most memory that this process, or on a GPU its tensors, have held, in MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 2**20
    import resource  # there is none on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def source_hash(run: Run) -> str:
    """A hash of the code that defines a run's result: its task, its model, the loop, and what these import.

    Comments, docstrings and layout do not count, so that a better explanation makes no row stale.
    """
    return _hash_of(tuple(sorted(_entrances(run))))


def loop_hash() -> str:
    """The same of the loop alone and what it imports, on which every run rests; as the files are at this moment."""
    return _digest((_loop(),))


def changed_since(commit: str, run: Run) -> list[Path]:
    """The files that define a run's result and mean something else than at a commit, or are not of it.

    Raises UsageError where the commit is not in this repository.
    """
    root = registry.ROOT
    if _git(root, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") is None:
        raise UsageError(f"commit {commit[:10]} is not in this repository: fetch the whole history")
    files = _closure(_entrances(run)).items()
    return sorted(path for path, (name, meaning) in files if _meaning_at(root, commit, name) != meaning)


@lru_cache(maxsize=4096)
def _meaning_at(root: Path, commit: str, name: str) -> str | None:
    """What a file meant at a commit; None where it was not there."""
    text = _git(root, "show", f"{commit}:{name}")
    return None if text is None else _meaning(ast.parse(text))


def _entrances(run: Run) -> set[Path]:
    """The files that a result begins in: all else that defines it is what these import."""
    return _class_files(run) | {_loop()}


def _loop() -> Path:
    return registry.ROOT / "bench" / "training.py"


def _class_files(run: Run) -> set[Path]:
    """The files in which the run's task and model stand."""
    # resolved, because a package that is reached through a link must have the names of its own folder
    return {Path(sys.modules[cls.__module__].__file__ or "").resolve() for cls in (run.task_class, run.model_class)}


@lru_cache
def _hash_of(files: tuple[Path, ...]) -> str:
    return _digest(files)


def _digest(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for name, meaning in sorted(_closure(files).values()):
        digest.update(f"{name}\n{meaning}\n".encode())
    return digest.hexdigest()[:16]


def _closure(files: Iterable[Path]) -> dict[Path, tuple[str, str]]:
    """The files and all that they import of the suite: path -> name, without the machine's own folders, and meaning."""
    root, waiting, seen = registry.ROOT, list(files), dict[Path, tuple[str, str]]()
    while waiting:
        path = waiting.pop()
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        if path in seen or name in STANDS_APART:
            continue
        there = path.stat()
        meaning, imported = _read(path, there.st_mtime_ns, there.st_size)
        seen[path] = name, meaning
        waiting.extend(imported)
    return seen


@lru_cache(maxsize=1024)
def _read(path: Path, modified: int, size: int) -> tuple[str, tuple[Path, ...]]:
    """What a source means and what it imports of the suite: read once, however many tasks and models rest on it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return _meaning(tree), tuple(_imported(tree, path))


def _imported(tree: ast.Module, path: Path) -> Iterator[Path]:
    """The files of the suite that a module imports relatively (as all of its own do), or that lie in the package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            ours = [alias.name.split(".")[1:] for alias in node.names if alias.name.startswith(f"{registry.PACKAGE}.")]
            yield from filter(Path.is_file, (registry.ROOT.joinpath(*parts).with_suffix(".py") for parts in ours))
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = path.parents[node.level - 1]
        elif node.module and node.module.startswith(f"{registry.PACKAGE}."):
            base = registry.ROOT
        else:
            continue
        parts = (node.module or "").removeprefix(f"{registry.PACKAGE}.").split(".") if node.module else []
        module = base.joinpath(*parts)
        candidates = [module.with_suffix(".py")] if parts else []
        candidates += [module / f"{alias.name}.py" for alias in node.names]
        yield from (candidate for candidate in candidates if candidate.is_file())


def _meaning(node: Any) -> str:
    """A syntax tree as text: no positions, no docstrings, no empty fields, hence the same for every Python."""
    if isinstance(node, list):
        return f"[{','.join(_meaning(item) for item in node)}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            value = [item for item in value if not _is_text(item)]
        if value is not None and value != [] and name not in ("ctx", "kind", "type_comment"):
            parts.append(f"{name}={_meaning(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _is_text(statement: ast.stmt) -> bool:
    """A docstring, of a module, a class, a function or an attribute."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
