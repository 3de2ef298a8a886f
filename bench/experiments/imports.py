"""Which files a file of the user's own imports, found by reading it: all of them define its result.

What lies in site-packages or belongs to Python is known by its version. Everything else counts, whether it is named
with dots before it or without, at the top or within a function, and whatever it imports in turn. A module that is named
at run time only (`import_module(name)` of a variable) cannot be found so; `named_at_run_time` says where that is done.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path, PurePath
from typing import NamedTuple

KNOWN_BY_VERSION = ("torch", "numpy", "numba", "scipy")
"""Packages whose versions a row keeps: where one is installed from its sources these do not count."""
INSTALLED = ("site-packages", "dist-packages")
BY_CALL = ("import_module", "__import__")
BY_PATH = ("spec_from_file_location", "SourceFileLoader", "run_path", "run_module", "exec")
"""Calls that run code which no import names."""
SUFFIXES = (".py", *EXTENSION_SUFFIXES)

Read = Callable[[PurePath], bytes | None]
"""The content of a file, as it is now or at a commit; None where there is none."""
Elsewhere = Callable[[str], PurePath | None]
"""The folder in which a top-level module lies that no place has; None where it is installed, or is nowhere."""


class Import(NamedTuple):
    """One import: `from ..module import names` has level 2; `import module` has level 0 and no names."""

    level: int
    module: str
    names: tuple[str, ...]


def files_of(
    path: PurePath, places: Sequence[PurePath], package: str, read: Read, elsewhere: Elsewhere
) -> dict[PurePath, str]:
    """All files that a file imports, directly or not, each with the module's name; itself with an empty one.

    places: folders in which a name is looked for first, in turn. package: the suite's, of which nothing is listed.
    The module of a relative import has an empty name: what stands before it is not known.
    """
    found = {path: ""}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        for one in imports_of(read(file) or b"") if file.suffix == ".py" else ():
            for name, other in _files(one, file, places, package, read, elsewhere):
                if other not in found:
                    waiting.append(other)
                found[other] = found.get(other) or name
    return found


@lru_cache(maxsize=512)
def imports_of(source: bytes) -> tuple[Import, ...]:
    """The imports in a source, wherever they stand; none where it is no Python."""
    try:
        tree = ast.parse(source)  # bytes: as Python reads them, whatever their encoding and line ends
    except (SyntaxError, ValueError):
        return ()
    return tuple(one for node in ast.walk(tree) for one in _imports_in(node))


class Hidden(NamedTuple):
    """A call that runs code which reading the file does not find: its line, and its text."""

    line: int
    text: str


@lru_cache(maxsize=512)
def named_at_run_time(source: bytes) -> tuple[Hidden, ...]:
    """The calls in a source that import by a name made at run time, or run code by its path; in the order of lines.

    >>> named_at_run_time(b"import_module('lab.cells')"), named_at_run_time(b"import_module(name)")
    ((), (Hidden(line=1, text='import_module(name)'),))
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _hides(node)]
    return tuple(sorted(Hidden(call.lineno, ast.unparse(call)) for call in calls))


def _hides(call: ast.Call) -> bool:
    name = _name_of(call)
    if name == "exec":
        return isinstance(call.func, ast.Name)
    return name in BY_PATH or (name in BY_CALL and not any(_imports_in(call)))


def _name_of(call: ast.Call) -> str:
    """What a call calls, without what stands before its last dot."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _imports_in(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(0, alias.name, ()) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield Import(node.level, node.module or "", tuple(alias.name for alias in node.names))
    elif isinstance(node, ast.Call) and _name_of(node) in BY_CALL and node.args:
        module = getattr(node.args[0], "value", None)
        if isinstance(node.args[0], ast.Constant) and isinstance(module, str):
            yield Import(len(module) - len(module.lstrip(".")), module.lstrip("."), ())


def _files(
    one: Import, file: PurePath, places: Sequence[PurePath], package: str, read: Read, elsewhere: Elsewhere
) -> Iterator[tuple[str, PurePath]]:
    """The files that an import runs: of each package on the way and of the module; name of the module, and file."""
    parts = one.module.split(".") if one.module else []
    ends = [parts, *([*parts, name] for name in one.names)]
    if one.level:
        if one.level <= len(file.parents):
            base = file.parents[one.level - 1]
            yield from (("", other) for end in ends for _, other in _chain(base, end, read))
            yield from (("", init) for init in [base / "__init__.py"] if read(init) is not None)
        return
    if not parts or parts[0] in (package, *KNOWN_BY_VERSION):
        return
    place = next((place for place in places if any(_chain(place, end, read) for end in ends)), None)
    if place is None:
        place = elsewhere(parts[0])
    if place is not None:
        yield from (pair for end in ends for pair in _chain(place, end, read))


def _chain(place: PurePath, parts: Sequence[str], read: Read) -> list[tuple[str, PurePath]]:
    """The files that `import a.b.c` runs in a folder, as far as they are there: a module's name, and its file."""
    found = []
    for count in range(1, len(parts) + 1):
        stem = place.joinpath(*parts[:count])
        candidates = [stem / "__init__.py", *(stem.with_name(f"{stem.name}{suffix}") for suffix in SUFFIXES)]
        file = next((one for one in candidates if read(one) is not None), None)
        found += [(".".join(parts[:count]), file)] if file is not None else []
    return found


def on_disk(path: PurePath) -> bytes | None:
    """The content of a file as it is now; None where there is none."""
    return Path(path).read_bytes() if Path(path).is_file() else None


def installed_elsewhere(name: str) -> PurePath | None:
    """The folder of a top-level module that Python finds, and that is neither its own nor in site-packages."""
    for finder in sys.meta_path:  # not `importlib.util.find_spec`, which first asks what is imported already
        try:
            found = finder.find_spec(name, None)
        except (ImportError, ValueError, AttributeError):
            continue
        if found is not None:
            break
    else:
        return None
    origins = [found.origin] if found.has_location and found.origin else [*(found.submodule_search_locations or ())]
    for origin in origins:
        file = Path(origin).resolve()
        if counts(file):
            return file.parents[1] if file.name == "__init__.py" else file.parent
    return None


def counts(file: PurePath) -> bool:
    """Whether a file is neither Python's own nor in site-packages."""
    return not set(INSTALLED) & set(file.parts) and not any(file.is_relative_to(place) for place in _pythons_own())


@lru_cache
def _pythons_own() -> tuple[Path, ...]:
    return tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib"))
