"""Where sources are read from: the checkout as it is now, or a commit of it."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePath, PurePosixPath

from ..errors import UsageError
from ..experiments import imports


@dataclass(frozen=True)
class Checkout:
    """The files as they are now. root: the folder of the suite."""

    root: Path
    read = staticmethod(imports.on_disk)
    elsewhere = staticmethod(imports.installed_elsewhere)


@dataclass(frozen=True)
class Commit:
    """The Python files of a commit, by path from the top of the repository, which is the `root` of these paths."""

    commit: str
    files: Mapping[str, bytes]
    root: PurePath = field(default_factory=PurePosixPath)

    @staticmethod
    @lru_cache(maxsize=64)
    def of(root: Path, commit: str) -> Commit:
        """Raises UsageError where the repository at `root` lacks the commit."""
        command = ["git", "-C", str(root), "archive", "--format=tar", commit, "--", ":(glob)**/*.py"]
        try:
            packed = subprocess.run(command, capture_output=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise UsageError(f"commit {commit[:10]} is not in this repository: fetch the whole history") from error
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            contents = {item.name: archive.extractfile(item) for item in archive if item.isfile()}
            return Commit(commit, {name: file.read() for name, file in contents.items() if file is not None})

    def read(self, path: PurePath) -> bytes | None:
        """The content of a file; None where there is none."""
        return self.files.get(path.as_posix())

    def elsewhere(self, name: str) -> PurePath | None:
        """Nowhere: a commit has what is in its repository."""
        return None

    def named(self, room: str, stem: str) -> PurePath:
        """The file of this name in a room, wherever it lies."""
        found = [name for name in self.files if name.startswith(f"{room}/") and PurePosixPath(name).stem == stem]
        if len(found) != 1:
            raise UsageError(f"commit {self.commit[:10]} has {len(found)} files {room}/**/{stem}.py; one is needed")
        return PurePosixPath(found[0])

    def __hash__(self) -> int:
        return hash(self.commit)


Tree = Checkout | Commit
