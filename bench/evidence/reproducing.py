"""The commands that make a row again on a fresh machine, from nothing but a shell, git and Python."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..experiments import naming, registry
from ..experiments.places import own_folders
from ..rows import instructions, provenance
from ..rows.comparing import Cannot, run_of
from ..rows.provenance import COMPUTE
from ..rows.store import Row, Workplace, by_place, place_of


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

    Raises UsageError for a row of no commit: no one else can have the sources that made it.
    """
    row, origin = found.row, found.row["provenance"]
    what = f"{row['id']} {_named(row)}"
    if not origin["commit"]:
        raise UsageError(f"{what} is of no commit (it was made outside a git checkout): its sources are not known")
    try:
        run = run_of(row, found.folder)
        fetch = bool(run.task_class.remotes)
    except Cannot:  # of another version: its own commit knows it
        fetch = bool(origin["data"])
    where, copied = _place(found.folder)
    versions = origin["versions"]
    python = ".".join(versions["python"].split(".")[:2])
    target = f"seqbench-{row['id']}"
    pip = [".venv/bin/python", "-m", "pip", "install"]
    torch, _, build = versions["torch"].partition("+")
    url = address()
    lines = [f"# {what}, a row of {where}"]
    if origin["dirty"]:
        lines.append("# * the row is dirty: its sources differed from the commit, which these commands train as it is")
    if url is None:
        lines.append("# begin inside a fresh clone of this repository, from wherever you have it")
    else:
        lines += [_line("git", "clone", url, target), _line("cd", target)]
    lines.append(_line("git", "checkout", "--quiet", "--detach", origin["commit"]))
    if copied:
        lines += ["# the experiment is none of the suite's own", _line("cp", "-R", str(found.folder.resolve()), where)]
    lines += [f"# the row was made with Python {versions['python']}", _line(f"python{python}", "-m", "venv", ".venv")]
    if build:
        lines.append(f"# of torch it was the build {torch}+{build}; pytorch.org says which --index-url has that one")
    others = [f"{name}=={versions[name]}" for name in COMPUTE if name != "torch"]
    lines += [_line(*pip, f"torch=={torch}"), _line(*pip, *others), _line(*pip, "--editable", ".")]
    task = row["config"]["task"]["name"]
    if fetch and task in registry.listing("task"):  # else the run itself fetches them
        lines.append(_line(".venv/bin/seqbench", "fetch", task))
    lines.append(f"# {_machine(row)}")
    chosen = ["--only", row["id"], "--seeds", str(row["config"]["seed"]), "--device", row["device"]]
    threads = ["--threads", str(row["provenance"].get("threads", 1))]
    pinned = [f"{name}={value}" for name, value in instructions.environment(place_of(row).instructions).items()]
    lines += [_line("export", one) for one in pinned]  # so that torch computes as it did, at whatever commit
    lines.append(_line(".venv/bin/seqbench", "run", where, *chosen, "--jobs", "1", *threads, "--afresh"))
    if not found.published:
        return [*lines, "# the row is not published: compare what came out with the working area that has it"]
    rows = f"runs/{found.folder.resolve().name}/runs.jsonl"
    return [
        *lines,
        "# the newest commit has the row, and compares",
        _line("git", "checkout", "--quiet", "-"),
        _line(*pip, "--editable", "."),
        _line(".venv/bin/seqbench", "verify", where, row["id"], "--rows", rows),
    ]


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
