"""The commands that make a row again on a fresh machine, from nothing but a shell, git and Python."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..experiments import naming, registry
from ..experiments.places import own_folders
from ..rows import commits, instructions, provenance, repositories
from ..rows.comparing import Cannot, run_of
from ..rows.newest import by_place, place_of
from ..rows.provenance import COMPUTE
from ..rows.store import Row, Workplace


@dataclass(frozen=True)
class Found:
    """A row, the folder of its experiment, and whether it is published there."""

    row: Row
    folder: Path
    published: bool


def find(text: str, folder: Path | None = None, device: str | None = None) -> Found:
    """The one row that a text means (`naming.means`), in a folder or in all of the suite.

    device: cpu or cuda, where there are rows of both. Raises UsageError where no row fits or several do.
    """
    folders = own_folders() if folder is None else [folder]
    found = [one for place in folders for one in _rows(place) if naming.means(text, one.row["id"], one.row["label"])]
    found = [one for one in found if device in (None, one.row["device"])]
    if len(found) == 1:
        return found[0]
    where = f"{folder}" if folder else "the experiments of the suite"
    if not found:
        raise UsageError(f"no row in {where} has {text!r} in its label or at the beginning of its id")
    there = naming.listed([(f"{one.folder} {one.row['id']}", _named(one.row)) for one in found])
    raise UsageError(f"{len(found)} rows in {where} fit {text!r}: {there}; name one, with its folder")


def _rows(folder: Path) -> Iterator[Found]:
    place = Workplace(folder)
    published = {row["sum"] for row in place.published.read() if "sum" in row}
    for row in by_place(place.rows()).values():
        yield Found(row, folder, row.get("sum") in published)


def commands(found: Found) -> list[str]:
    """The lines of a shell script: commands, and comments that begin with `#`.

    A row that an installed package made is made again by that version of it, in the repository of its experiment.
    Raises UsageError for a row of no commit: no one else can have the sources that made it.
    """
    row, origin = found.row, found.row["provenance"]
    what = f"{row['id']} {_named(row)}"
    if commits.of_no_commit(origin):
        raise UsageError(
            f"{what} is of no commit (neither the suite nor the experiment was in a git repository when it was made): "
            "its sources are not known; commit the experiment, and run it again"
        )
    try:
        run = run_of(row, found.folder)
        fetch = bool(run.task_class.remotes)
    except Cannot:  # of another version: its own commit knows it
        fetch = bool(origin["data"])
    packaged = origin["commit"] is None
    where, copied = _in_repository(found.folder) if packaged else _place(found.folder)
    python = ".".join(origin["versions"]["python"].split(".")[:2])
    lines = [f"# {what}, a row of {where}"]
    if origin["dirty"]:
        lines.append("# * the row is dirty: its sources differed from the commit, which these commands train as it is")
    lines += _clone_of_experiment(origin) if packaged else _clone_of_suite(found, where, copied)
    lines.append(f"# the row was made with Python {origin['versions']['python']}")
    lines.append(_line(f"python{python}", "-m", "venv", ".venv"))
    lines += _installation(origin)
    task = row["config"]["task"]["name"]
    if fetch and task in registry.listing("task"):  # else the run itself fetches them
        lines.append(_line(".venv/bin/seqbench", "fetch", task))
    lines.append(f"# {_machine(row)}")
    chosen = ["--only", row["id"], "--seeds", str(row["config"]["seed"]), "--device", row["device"]]
    threads = ["--threads", str(row["provenance"].get("threads", 1))]
    pinned = [f"{name}={value}" for name, value in instructions.environment(place_of(row).instructions).items()]
    pinned += ["SEQBENCH_RUNS=runs"] if packaged else []  # within the clone, wherever in it the experiment lies
    lines += [_line("export", one) for one in pinned]  # so that torch computes as it did, at whatever commit
    lines.append(_line(".venv/bin/seqbench", "run", where, *chosen, "--jobs", "1", *threads, "--afresh"))
    if not found.published:
        return [*lines, "# the row is not published: compare what came out with the working area that has it"]
    rows = f"runs/{found.folder.resolve().name}/runs.jsonl"
    lines += ["# the newest commit has the row, and compares", _line("git", "checkout", "--quiet", "-")]
    lines += [] if packaged else [_line(*PIP, "--editable", ".")]
    return [*lines, _line(".venv/bin/seqbench", "verify", where, row["id"], "--rows", rows)]


PIP = (".venv/bin/python", "-m", "pip", "install")


def _clone_of_suite(found: Found, where: str, copied: bool) -> list[str]:
    """The suite at the row's commit, with the experiment in it."""
    origin, target, url = found.row["provenance"], f"seqbench-{found.row['id']}", address()
    if url is None:
        lines = ["# begin inside a fresh clone of this repository, from wherever you have it"]
    else:
        lines = [_line("git", "clone", url, target), _line("cd", target)]
    lines.append(_line("git", "checkout", "--quiet", "--detach", origin["commit"]))
    if not copied:
        return lines
    lines += [f"# first check out {text}" for text in _others(origin)]
    return [
        *lines,
        "# the experiment is none of the suite's own",
        _line("cp", "-R", str(found.folder.resolve()), where),
    ]


def _clone_of_experiment(origin: Mapping[str, Any]) -> list[str]:
    """The user's own repository that holds the experiment, at the commit of the row."""
    name = origin["experiment"]
    others = [f"# beside it is needed {text}" for text in _others(origin, but=name)]
    commit = origin["repositories"][name]["commit"]
    return [
        f"# begin inside a fresh clone of the repository {name}, which holds the experiment, in a folder of that name",
        *others,
        _line("git", "checkout", "--quiet", "--detach", commit),
    ]


def _others(origin: Mapping[str, Any], but: str = "") -> list[str]:
    """The user's own repositories that hold files which define the row, and at which commit."""
    held = {name: one for name, one in origin.get("repositories", {}).items() if name != but}
    return [f"{one['commit']} in the repository {name}" for name, one in held.items()]


def _installation(origin: Mapping[str, Any]) -> list[str]:
    """The versions that computed, and the suite: the checkout, or the package of that version."""
    versions, lines = origin["versions"], []
    torch, _, build = versions["torch"].partition("+")
    if build:
        lines.append(f"# of torch it was the build {torch}+{build}; pytorch.org says which --index-url has that one")
    others = [f"{name}=={versions[name]}" for name in COMPUTE if name != "torch"]
    lines += [_line(*PIP, f"torch=={torch}"), _line(*PIP, *others)]
    if origin["commit"] is not None:
        return [*lines, _line(*PIP, "--editable", ".")]
    version = versions.get("seqbench") or "unknown"
    lines.append(f"# the suite was the installed package of version {version}; its wheel serves as well")
    return [*lines, _line(*PIP, f"seqbench=={version}")]


def _in_repository(folder: Path) -> tuple[str, bool]:
    """Where an experiment lies in the repository that holds it; nothing has to be copied."""
    top = repositories.top_of(folder.resolve())
    return (folder.resolve().relative_to(top).as_posix() if top is not None else folder.name), False


def _named(row: Row) -> str:
    return f"{row['label']} ({row['device']})"


def _line(*words: str) -> str:
    return shlex.join(words)


def _machine(row: Row) -> str:
    """Where the row was made, and how long it took."""
    origin, seconds = row["provenance"], row.get("seconds", {})
    took = f"; it took {sum(seconds[part] for part in ('training', 'evaluation')):.0f} s" if seconds else ""
    driver = f", driver {origin['driver']}" if origin.get("driver") else ""
    device = "" if row["device"] == "cpu" else f"{origin['device']}{driver}, "
    return f"made on: {device}{origin['processor']}, {origin['platform']}{took}"


def _place(folder: Path) -> tuple[str, bool]:
    """Where the experiment lies in a clone of the suite, and whether it must be copied there."""
    absolute = folder.resolve()
    if absolute.is_relative_to(registry.ROOT):
        return absolute.relative_to(registry.ROOT).as_posix(), False
    return f"results/{absolute.name}", True


def address() -> str | None:
    """Where the suite is cloned from: as pyproject.toml says, else as git knows it; None where neither does."""
    candidates = [*_from_project(_urls()), provenance.remote()]
    return next((_without_secrets(url) for url in candidates if url), None)


def _urls() -> Mapping[str, str]:
    """Label -> URL, of the checkout's pyproject.toml, or of the installed package."""
    file = registry.ROOT / "pyproject.toml"
    if file.is_file():
        urls: Mapping[str, str] = tomllib.loads(file.read_text(encoding="utf-8"))["project"].get("urls", {})
        return urls
    try:
        listed: Sequence[str] = importlib.metadata.metadata("seqbench").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        listed = []
    return {label.strip(): url.strip() for label, _, url in (line.partition(",") for line in listed)}


def _from_project(urls: Mapping[str, str]) -> Iterable[str]:
    """Those that name a repository, the surest first."""
    by_label = {label.lower(): url for label, url in urls.items()}
    return [by_label[label] for label in ("repository", "source", "source code", "homepage") if label in by_label]


def _without_secrets(url: str) -> str:
    """An address without the name and password that it may hold."""
    return re.sub(r"^(https?://)[^/@]*@", r"\1", url)
