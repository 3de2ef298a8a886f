"""Which commits the sources of a sweep are of, and whether they differ from them: the suite's and the user's own."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..experiments import registry
from . import repositories
from .repositories import Repository

DEFINES_RESULTS = ("bench", "tasks", "models", "pyproject.toml", "requirements.lock")
SHOWS_RESULTS = tuple(f"bench/{room}" for room in ("analysis", "report", "cli", "speed"))
NAMED = 8
"""So many of the files that differ are named."""


def judged(folder: Path, files: Iterable[Path]) -> dict[str, Any]:
    """What a row's provenance says of commits; `provenance` describes the keys.

    folder: of the experiment. files: all that define its runs. Each file is compared with the commit of the repository
    in which it lies, and one that no commit has differs, too. What is installed is compared with what was installed.
    """
    experiment = folder.resolve() / "experiment.yaml"
    suite, files = of_suite(), {*files}
    own = {file for file in files if not _of_suite(file)}
    if suite is None:
        different = _changed_since_installed(files - own)
        inside = set[Path]()
    else:
        inside = {file for file in files | {experiment} if file.is_relative_to(suite.root)}
        different = repositories.differing(suite, inside, DEFINES_RESULTS, SHOWS_RESULTS)
    found: dict[str, Any] = {}
    for repository, held in _by_repository((own | {experiment}) - inside).items():
        if repository is None:  # a result does not depend on the experiment's file: a row says all that it asks for
            different |= {file.name: repositories.content(file) or repositories.GONE for file in held - {experiment}}
            continue
        name = _new_name(repository, found)
        there = repositories.differing(repository, held)
        different |= {f"{name}/{path}": content for path, content in there.items()}
        diff = repositories.digest(there) if there else None
        found.setdefault("repositories", {})[name] = {"commit": repository.commit, "dirty": bool(there), "diff": diff}
        if experiment in held and (suite is not None or _installed()):
            found["experiment"] = name
    commit, diff = suite.commit if suite is not None else None, repositories.digest(different) if different else None
    names = {"differing": sorted(different)[:NAMED]} if different else {}
    return {"commit": commit, "dirty": bool(different), "diff": diff, **names, **found}


def why_unclean(origin: Mapping[str, Any]) -> str | None:
    """Why a row of this provenance cannot be published; None where all that made it can be had again.

    That is a commit of the suite; or the version of the package, and the commit in which a user has the experiment.
    """
    if of_no_commit(origin):
        return "of no commit: neither the suite nor the experiment was in a git repository when it was made"
    if origin.get("unhashed"):
        return (
            f"dirty: its hash does not cover {', '.join(origin['unhashed'][:NAMED])}, loaded by a name made at run "
            "time; name the module in an import, and train again"
        )
    if origin["dirty"]:
        names = f" ({', '.join(origin['differing'])})" if origin.get("differing") else ""
        return f"dirty: the sources differed from the commit when it was made{names}"
    return None


def of_no_commit(origin: Mapping[str, Any]) -> bool:
    """Whether neither the suite's commit is known, nor that in which a user of the package has the experiment."""
    return origin["commit"] is None and not origin.get("experiment")


def troubles(folder: Path) -> list[str]:
    """Why git does not say the commit of the suite or of an experiment's folder, which would be noticed too late."""
    places = [folder, *([registry.ROOT] if (registry.ROOT / ".git").exists() else [])]
    return list(dict.fromkeys(text for place in places if (text := repositories.trouble(place)) is not None))


def of_suite() -> Repository | None:
    """The suite's own repository; None where it is installed as a package, be it inside someone's repository."""
    found = repositories.of(registry.ROOT)
    return found if found is not None and found.root == registry.ROOT else None


def _of_suite(file: Path) -> bool:
    return any(file.is_relative_to(registry.ROOT / room) for room in ("bench", "tasks", "models"))


def _by_repository(files: Iterable[Path]) -> dict[Repository | None, set[Path]]:
    """The files by the repository in which they lie, in the order of its path."""
    found: dict[Repository | None, set[Path]] = {}
    of_folder: dict[Path, Repository | None] = {}
    for file in sorted(files):
        if file.parent not in of_folder:
            of_folder[file.parent] = repositories.of(file.parent)
        found.setdefault(of_folder[file.parent], set()).add(file)
    return dict(sorted(found.items(), key=lambda item: str(item[0])))


def _new_name(repository: Repository, found: Mapping[str, Any]) -> str:
    """The name of a repository's folder, with a number where another has it already."""
    names, name, number = found.get("repositories", {}), repository.root.name, 2
    while name in names:
        name, number = f"{repository.root.name}-{number}", number + 1
    return name


def _changed_since_installed(files: Iterable[Path]) -> dict[str, bytes]:
    """The files of the installed package that are not as they were installed, by their path in it."""
    found = {}
    for file in files:
        content = file.read_bytes()
        checksum = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        if _installed().get(file, checksum) != checksum:
            found[file.relative_to(registry.ROOT).as_posix()] = content
    return found


@lru_cache(maxsize=1)
def _installed() -> Mapping[Path, str]:
    """The checksum of each file of the installed package; empty where there is none, as in a copy of the sources."""
    try:
        listed = importlib.metadata.distribution("seqbench").files or ()
    except importlib.metadata.PackageNotFoundError:
        return {}
    own = (item for item in listed if item.hash is not None and item.hash.mode == "sha256")
    found = {Path(str(item.locate())).resolve(): item.hash.value for item in own if item.hash is not None}
    return {file: checksum for file, checksum in found.items() if file.is_relative_to(registry.ROOT)}
