"""Files and modules of the user's own, loaded as Python loads a script: what lies beside a file can be imported.

Two files may each have a neighbour of one name (`a/net.py` and `b/net.py`, each with a `cells.py`). In a process a name
means one module. So the name means the neighbour of whichever file was asked for last.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UsageError
from . import imports
from .user_code import place_in

Modules = dict[str, types.ModuleType]

_neighbours: dict[str, Modules] = {}
"""Name of the module of a loaded file -> its neighbours by their names, packages among them."""


def places_of(file: Path | None, folder: Path | None) -> list[Path]:
    """Where a module that a user's code imports is looked for first: beside its file, and in the experiment's folder.

    file: None for code that is named as a module; that is looked for in the current folder too.
    """
    places = (file.parent, folder) if file is not None else (folder, Path.cwd())
    return list(dict.fromkeys(place.resolve() for place in places if place is not None))


def load_module(name: str, folder: Path | None) -> types.ModuleType:
    """A module by its name. Whatever it does wrong comes through."""
    with _importable(places_of(None, folder)):
        return importlib.import_module(name)


def load_file(path: Path, folder: Path | None, package: str) -> types.ModuleType:
    """The module of a file, executed once in a process.

    folder: of the experiment. package: the suite's. Raises UsageError, which names the file, where it does not load, or
    where a neighbour cannot be imported because another module has its name.
    """
    name = f"seqbench_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        sys.modules.update(_neighbours.get(name, {}))
        return sys.modules[name]
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    places = places_of(path, folder)
    found = imports.files_of(path, places, package, imports.on_disk, lambda name: None)
    wanted = {module: Path(file) for file, module in found.items() if module}
    _make_way(path, wanted)
    before = set(sys.modules)
    module = sys.modules[name] = importlib.util.module_from_spec(specification)
    try:
        with _importable(places):
            specification.loader.exec_module(module)
            _import_the_rest(wanted)
    except Exception as error:
        for one in _of_packages(wanted) - before | {name}:
            sys.modules.pop(one, None)
        raise UsageError(f"{path}{_line(error, path)}: {type(error).__name__}: {error}") from error
    _neighbours[name] = {one: sys.modules[one] for one in _of_packages(wanted)}
    return module


def _line(error: Exception, path: Path) -> str:
    """The line that raised it, as it goes on from the path of the user's file; in brackets that of a neighbour."""
    file, _, line = place_in(error).removesuffix(": ").rpartition(":")
    if not file:  # a SyntaxError names its own line
        return ""
    return f":{line}" if file == path.name else f" ({file}:{line})"


def _make_way(path: Path, wanted: Mapping[str, Path]) -> None:
    """Lets names that mean neighbours of another file mean nothing, where this one has others of these names.

    Raises UsageError where a name is that of a module of another kind, which is needed as it is.
    """
    foreign = [
        name for name, file in wanted.items() if (there := _origin(name)) and Path(there).resolve() != file.resolve()
    ]
    for name in foreign:
        if not any(sys.modules[name] is modules.get(name) for modules in _neighbours.values()):
            raise UsageError(
                f"{path}: {name} means {_origin(name)} here, not its neighbour {wanted[name]}: give that another name"
            )
    for name in _of_packages([*foreign, *_folders_elsewhere(wanted)]):
        del sys.modules[name]


def _folders_elsewhere(wanted: Mapping[str, Path]) -> Iterator[str]:
    """Loaded packages that are to be found in other folders now, with a file of their own or without (a folder)."""
    for name, file in wanted.items():
        place = file.parent.parent if file.stem == "__init__" else file.parent
        while "." in name:
            name = name.rpartition(".")[0]
            there = sys.modules.get(name)
            folders = [Path(one).resolve() for one in getattr(there, "__path__", ())]
            if there is not None and place.resolve() not in folders:
                yield name
            place = place.parent


def _origin(name: str) -> str | None:
    """The file of the module that a name means now, or what stands for it; None where it means none."""
    if name not in sys.modules:
        return None
    return getattr(sys.modules[name], "__file__", None) or "a part of Python"


def _of_packages(names: Iterable[str]) -> set[str]:
    """All loaded modules of the top-level packages of these names."""
    packages = {name.partition(".")[0] for name in names}
    return {name for name in sys.modules if name.partition(".")[0] in packages}


def _import_the_rest(names: Iterable[str]) -> None:
    """Imports the neighbours that functions import later, when nobody looks beside the file any more."""
    for name in names:
        if name not in sys.modules:
            with suppress(Exception, SystemExit):  # what is wrong with it is said where it is needed
                importlib.import_module(name)


@contextmanager
def _importable(places: Sequence[Path]) -> Iterator[None]:
    """Within it modules are looked for in these places first, as Python itself does for a script."""
    before = [*sys.path]
    sys.path[:0] = [str(place) for place in places]
    importlib.invalidate_caches()  # a file may be younger than the last look at its folder
    try:
        yield
    finally:
        sys.path[:] = before
