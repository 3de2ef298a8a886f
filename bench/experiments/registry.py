"""The file system is the registry: `tasks/<name>.py` holds class Task, `models/<name>.py` holds class Model.

A dash in a name is an underscore in its file. A file or a module of the user's own is named by its path
(`my_model.py`, `my_model.py:Class`) or as `package.module:Class`.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import posixpath
import re
import sys
import types
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from ..errors import UsageError, nearest
from . import imports, loading
from .notation import Spec
from .options import checked, options_of

Kind = Literal["task", "model"]
PLAIN = "models._plain_module"
"""The module of the suite that makes a model of a plain `nn.Module`."""
CLASS_NAME = {"task": "Task", "model": "Model"}
PACKAGE = __package__.partition(".")[0]
ROOT = Path(__file__).resolve().parents[2]
_PATH = re.compile(r"(?P<path>(?:[A-Za-z]:)?[^:]*\.py)(?P<rest>:.*)?")


@dataclass(frozen=True)
class Entry:
    """What the listing shows of a task or a model, read from its source without importing it."""

    name: str
    line: str
    source: str
    variants: tuple[str, ...]
    path: Path
    look: tuple[str, str, tuple[float, ...]] | None = None
    """Of a model: colour, marker and dashes, see `models.base.Model`."""


@lru_cache
def listing(kind: Kind) -> dict[str, Entry]:
    """Every task or model of the suite by name, read from the sources (no torch is imported)."""
    found = {}
    for path in sorted((ROOT / f"{kind}s").glob("*.py")):
        if path.stem.startswith("_") or path.stem == "base":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name == CLASS_NAME[kind]:
                name = path.stem.replace("_", "-")
                line = (ast.get_docstring(node) or "").partition("\n")[0]
                facts = _class_constants(node)
                variants, look = tuple(facts.get("variants", ())), facts.get("look")
                found[name] = Entry(name, line, facts.get("source", ""), variants, path, look)
    return found


def _class_constants(node: ast.ClassDef) -> dict[str, Any]:
    constants = {}
    for statement in node.body:
        if isinstance(statement, ast.Assign):
            target, value = statement.targets[0], statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            target, value = statement.target, statement.value
        else:
            continue
        if isinstance(target, ast.Name):
            try:
                constants[target.id] = ast.literal_eval(value)
            except ValueError:
                continue
    return constants


def find(kind: Kind, name: str, folder: Path | None = None) -> type[Any]:
    """The class that a name means.

    `folder` is where a relative path of a user's file is looked for first (then the current folder). Raises
    UsageError for an unknown name (with the nearest known), a file that does not load, or a class that does not
    keep the contract.
    """
    if name in listing(kind):
        module = importlib.import_module(f"{PACKAGE}.{kind}s.{name.replace('-', '_')}")
        return getattr(module, CLASS_NAME[kind])
    reference, separator, class_name = name.partition(":")
    if reference.endswith(".py"):
        module = loading.load_file(_file(reference, folder), folder, PACKAGE)
    elif separator:
        try:
            module = loading.load_module(reference, folder)
        except Exception as error:  # whatever a user's module does wrong
            raise UsageError(
                f"{kind} {name!r}: cannot import {reference!r}: {type(error).__name__}: {error}"
            ) from error
    else:
        raise UsageError(f"unknown {kind} {name!r}: {nearest(name, listing(kind))}")
    found = getattr(module, class_name or CLASS_NAME[kind], None)
    contract = getattr(importlib.import_module(f"{PACKAGE}.{kind}s.base"), CLASS_NAME[kind])
    if not isinstance(found, type) or not issubclass(found, contract):
        if kind == "model" and (adapted := _plain(found, reference)) is not None:
            return adapted
        wanted = f"that derives from {contract.__module__}.{contract.__name__}"
        raise UsageError(
            f"{kind} {name!r}: {reference} holds no class {class_name or CLASS_NAME[kind]} "
            f"{wanted}{' or from torch.nn.Module' if kind == 'model' else ''}{_others(kind, module, reference)}"
        )
    if inspect.isabstract(found):
        lacking = ", ".join(sorted(vars(found)["__abstractmethods__"]))
        raise UsageError(f"{kind} {name!r}: {reference}'s class {found.__name__} does not define {lacking}")
    return found


def _plain(found: Any, reference: str) -> type[Any] | None:
    """A plain `nn.Module` as a model; None where the class is none. No torch is imported for it here."""
    if not isinstance(found, type) or "torch" not in sys.modules or not issubclass(found, _torch_module()):
        return None
    try:
        return cast("type[Any]", importlib.import_module(f"{PACKAGE}.{PLAIN}").adapted(found))
    except (TypeError, NameError) as error:
        raise UsageError(f"{reference}: {error}") from error


def _torch_module() -> type[Any]:
    return cast("type[Any]", sys.modules["torch"].nn.Module)


def _others(kind: Kind, module: types.ModuleType, reference: str) -> str:
    """How the classes that a file does hold are named."""
    contract = getattr(importlib.import_module(f"{PACKAGE}.{kind}s.base"), CLASS_NAME[kind])
    accepted = (contract, _torch_module()) if kind == "model" else (contract,)
    held = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    names = [f"{reference}:{one.__name__}" for one in held if issubclass(one, accepted)]
    return f"; it holds {', '.join(names)}" if names else ""


def _file(reference: str, folder: Path | None) -> Path:
    """The file that a path means. Raises UsageError where it means none."""
    candidates = [base / reference for base in (folder, Path.cwd()) if base is not None]
    path = next((candidate.resolve() for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise UsageError(f"no file {reference} (looked in {', '.join(str(base.parent) for base in candidates)})")
    return path


class Origin(NamedTuple):
    """Where the class that a name means comes from.

    files: in which it and its base classes stand, and that which the name names; of the suite's own classes one.
    places: of a user's, where the modules that it imports are looked for first.
    """

    files: tuple[Path, ...]
    places: tuple[Path, ...] = ()


def origin(kind: Kind, name: str, folder: Path | None = None) -> Origin:
    """Where the class that a name means comes from. Raises UsageError as `find` does."""
    found = find(kind, name, folder)
    if name in listing(kind):
        return Origin((_file_of(found.__module__),))
    reference = name.partition(":")[0]
    named = _file(reference, folder) if reference.endswith(".py") else None
    files = {named or _file_of(reference)}
    plain = getattr(found, "module_class", None)  # of a plain `nn.Module`, see `_plain`
    classes = found.__mro__ if plain is None else (*found.__mro__, *plain.__mro__)
    bases = {base.__module__ for base in classes if base.__module__.partition(".")[0] != PACKAGE}
    files |= {file for file in map(_file_of, bases - {"builtins"}) if imports.counts(file)}
    if plain is not None:
        files.add(_file_of(f"{PACKAGE}.{PLAIN}"))
    return Origin(tuple(sorted(files)), tuple(loading.places_of(named, folder)))


def _file_of(module: str) -> Path:
    return _resolved(getattr(sys.modules[module], "__file__", None) or "")


@lru_cache
def _resolved(file: str) -> Path:
    """The file itself: a package that is reached through a link must have the names of its own folder."""
    return Path(file).resolve()


def resolve(kind: Kind, spec: Spec, folder: Path | None = None) -> tuple[type[Any], dict[str, Any]]:
    """The class of a spec, and its options checked against the constructor, defaults filled in.

    Raises UsageError for an unknown option (with the nearest) or a value of a wrong type.
    """
    cls = find(kind, spec.name, folder)
    known = options_of(cls)
    given = checked(f"{kind} {spec.name}", known, spec.options)
    missing = [option.name for option in known.values() if option.required and option.name not in given]
    if missing:
        raise UsageError(f"{kind} {spec.name} needs the option {missing[0]}")
    return cls, {name: given.get(name, option.default) for name, option in known.items()}


def short(name: str) -> str:
    """A name as ids, rows and tables carry it: of an absolute path only the file's name, as they must not depend on a
    machine; a relative one, which tells two files of one name apart, in its plainest form.

    >>> short("./a/net.py:Net"), short("/home/me/net.py"), short("copy-memory")
    ('a/net.py:Net', 'net.py', 'copy-memory')
    """
    found = _PATH.fullmatch(name.replace("\\", "/"))
    if found is None:
        return name
    absolute = found["path"].startswith("/") or found["path"][1:2] == ":"
    path = posixpath.basename(found["path"]) if absolute else posixpath.normpath(found["path"])
    return path + (found["rest"] or "")


def within(name: str, folder: Path) -> str:
    """The name of a file as an experiment in `folder` has it: its path from there, in its plainest form.

    An absolute path that leads elsewhere stays, and so does the name of anything else.
    """
    found = _PATH.fullmatch(name)
    if found is None:
        return name
    path = Path(found["path"])
    if not path.is_absolute():
        return short(name)
    inside = path.resolve().is_relative_to(folder.resolve())
    plain = path.resolve().relative_to(folder.resolve()).as_posix() if inside else found["path"]
    return plain + (found["rest"] or "")
