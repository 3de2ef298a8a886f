"""Repositories of git, asked whatever the user's settings and environment are; and how files differ from a commit.

`git status` believes what a user has told it: which files to ignore, which untracked ones to pass over, which tracked
ones not to look at. For a row only contents count. So files are compared with the commit by their content.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

GONE = b"gone"


class Repository(NamedTuple):
    """A repository: its folder, and the commit that is checked out."""

    root: Path
    commit: str


class Answer(NamedTuple):
    """What git answered; `trouble` says why it did not, else it is empty."""

    output: bytes
    trouble: str = ""


def ask(place: Path, *arguments: str) -> Answer:
    """Runs git in a folder. Where another repository is named by the environment, that does not count."""
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG")
    }
    command = ["git", "-C", str(place), "-c", "core.quotePath=false", *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, env=variables | {"LC_ALL": "C"})
    except OSError as error:
        return Answer(b"", f"git cannot be run ({error.strerror})")
    if ended.returncode == 0:
        return Answer(ended.stdout)
    said = ended.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {ended.returncode}"]
    return Answer(b"", said[0].removeprefix("fatal: "))


def of(place: Path) -> Repository | None:
    """The repository in which a file or folder lies; None where it lies in none, or git cannot say."""
    folder = place if place.is_dir() else place.parent
    top, head = top_of(folder), ask(folder, "rev-parse", "--verify", "HEAD^{commit}")
    return None if top is None or head.trouble else Repository(top, head.output.decode().strip())


def top_of(folder: Path) -> Path | None:
    """The folder of the repository in which a folder lies; None where it lies in none, or git cannot say."""
    answer = ask(folder, "rev-parse", "--show-toplevel")
    return None if answer.trouble else Path(os.fsdecode(answer.output.rstrip(b"\n"))).resolve()


def trouble(place: Path) -> str | None:
    """Why git does not say the commit of a folder that is in a repository, with a remedy; None where all is well."""
    place = place.resolve()
    root = next((one for one in (place, *place.parents) if (one / ".git").exists()), None)
    if root is None:
        return None
    answer = ask(root, "rev-parse", "--verify", "HEAD^{commit}")
    if not answer.trouble:
        return None
    remedy = "mend that before you train"
    if "dubious ownership" in answer.trouble:
        answer = Answer(b"", "its folder belongs to another user")
        remedy = f"git config --global --add safe.directory {root}"
    elif "git cannot be run" in answer.trouble:
        remedy = "install git"
    elif "Needed a single revision" in answer.trouble:
        answer, remedy = Answer(b"", "it has no commit"), "commit before you train"
    return f"{root}: git does not say its commit ({answer.trouble}), and rows of no commit are not published: {remedy}"


def differing(
    repository: Repository, files: Iterable[Path], folders: Iterable[str] = (), but: Iterable[str] = ()
) -> dict[str, bytes]:
    """What differs from the commit, by path from the top: the content that it has now, or `GONE`.

    files: these are compared, and one that the commit lacks differs. folders: paths from the top of which all files are
    compared that the commit has, and those that git would add; except what lies in the folders `but`.
    """
    skipped = tuple(f"{one}/" for one in but)
    committed = _committed(repository)
    wanted = {file.relative_to(repository.root).as_posix() for file in files}
    folders = [*folders]
    for folder in folders:
        wanted |= {name for name in committed if name == folder or name.startswith(f"{folder}/")}
    if folders:
        known = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--full-name", "--", *folders)
        wanted |= {os.fsdecode(name) for name in ask(repository.root, *known).output.split(b"\0") if name}
    found = {}
    for name in sorted(name for name in wanted if not name.startswith(skipped)):
        now = content(repository.root / name)
        if now is None:  # or a repository within this one, or code that was typed into an interpreter
            found[name] = GONE
        elif committed.get(name) not in _identities(now, len(repository.commit)):
            found[name] = now
    return found


def digest(found: Mapping[str, bytes]) -> str:
    """The SHA-256 of what differs."""
    whole = hashlib.sha256()
    for name, now in sorted(found.items()):
        whole.update(f"{len(name)} {len(now)}\n{name}\n".encode(errors="surrogateescape") + now)
    return whole.hexdigest()


def _committed(repository: Repository) -> dict[str, str]:
    """Path from the top -> identity of the content, of all files of the commit."""
    lines = ask(repository.root, "ls-tree", "-r", "-z", "--full-tree", repository.commit).output.split(b"\0")
    parts = (line.partition(b"\t") for line in lines if line)
    return {os.fsdecode(name): facts.split()[2].decode() for facts, _, name in parts}


def content(path: Path) -> bytes | None:
    """The content of a file, as git has it; None where there is none."""
    if path.is_symlink():
        return os.fsencode(path.readlink())
    return path.read_bytes() if path.is_file() else None


def _identities(now: bytes, digits: int) -> set[str]:
    """What git calls a content: as it is, and with the ends of lines that it may have in the commit."""
    algorithm = hashlib.sha1 if digits == 40 else hashlib.sha256
    forms = {now, now.replace(b"\r\n", b"\n")}
    return {algorithm(b"blob %d\0" % len(one) + one).hexdigest() for one in forms}
