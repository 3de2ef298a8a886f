"""What nodes of a cluster share: checkpoints, learned parameters and data, in a folder or at a URL that fsspec knows.

Below the storage's place lie `checkpoints/NAME/ID-cpu.pt` and `trained/NAME/ID-cpu.pt` of the experiment NAME, and
`data/FILE`, laid out as a mirror of data is. Each node works with files on its own disk, so that a slow storage holds
up no training, and brings them here whole: written under another name, then renamed.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ...tasks.datasets import Remote, cache_folder, fetch
from ..errors import UsageError
from .backend import Assignment

LOOK_EVERY = 1.0
"""Seconds between two looks at whether a file has changed."""


PATIENCE = 30.0
"""Seconds that a row waits at the most for a checkpoint that is on its way to a slow storage."""


class Storage:
    """A place that all nodes read and write: a folder, or a URL such as `s3://bucket/folder`.

    Raises UsageError where fsspec or what it needs for this kind of URL is not installed, or the place cannot be used.
    """

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise UsageError("--storage needs fsspec: pip install 'seqbench[ray]'") from error
        self.url = url if "://" in url else str(Path(url).expanduser().resolve())
        try:
            self._files, self._root = url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise UsageError(f"--storage {url}: {error}") from error

    def try_out(self) -> None:
        """Writes a file, reads it and removes it. Raises UsageError where that does not work."""
        place = self._at(f".tried-{secrets.token_hex(4)}")
        try:
            self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(place, b"seqbench")
            if self._files.cat_file(place) != b"seqbench":
                raise OSError("what was written there is not what is read")
            self._files.rm_file(place)
        except Exception as error:  # each kind of storage has errors of its own
            raise UsageError(f"--storage {self.url} cannot be used: {error}") from error

    def keep(self, file: Path, name: str) -> None:
        """Stores a file under this name, whole. Raises what the storage raises, most often OSError."""
        place = self._at(name)
        aside = f"{place}.{secrets.token_hex(4)}.tmp"
        self._files.makedirs(place.rpartition("/")[0], exist_ok=True)
        try:
            self._files.put_file(str(file), aside)
            self._files.mv(aside, place)
        except BaseException:
            with suppress(Exception):
                self._files.rm_file(aside)
            raise

    def take(self, name: str, file: Path) -> bool:
        """Copies what is stored under this name into a file, whole; False where nothing is."""
        aside = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._files.get_file(self._at(name), str(aside))
            aside.replace(file)
        except FileNotFoundError:
            return False
        finally:
            aside.unlink(missing_ok=True)
        return True

    def has(self, name: str) -> bool:
        """Whether something is stored under this name."""
        return bool(self._files.exists(self._at(name)))

    def remove(self, name: str) -> None:
        """Removes what is stored under this name, if anything is."""
        with suppress(FileNotFoundError):
            self._files.rm_file(self._at(name))

    def keep_data(self, remotes: Iterable[Remote]) -> None:
        """Stores the files of a task that are in this machine's cache and not stored yet."""
        for remote in remotes:
            file, name = cache_folder() / remote.filename, f"data/{remote.filename}"
            if file.is_file() and not self.has(name):
                self.keep(file, name)

    def fetch_data(self, remotes: Iterable[Remote], say: Callable[[str], None]) -> None:
        """Brings files of a task into this node's cache, verified, each once; those that are not stored are left out.

        Processes of one node wait for each other. Whatever is wrong is said; the run then looks elsewhere for the file.
        """
        remotes = tuple(remotes)
        for remote in remotes:
            if (cache_folder() / remote.filename).is_file():
                continue
            try:
                with tempfile.TemporaryDirectory(prefix="seqbench-") as mirror, _mirror(mirror):
                    if self.take(f"data/{remote.filename}", Path(mirror) / remote.filename):
                        fetch(remote, siblings=remotes)
            except Exception as error:  # each kind of storage has errors of its own; DataError: another content
                say(f"{remote.filename} of {self.url}: {error}")

    def _at(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"


@contextmanager
def _mirror(folder: str) -> Iterator[None]:
    """Within it data are looked for in this folder first."""
    before = os.environ.get("SEQBENCH_MIRROR")
    os.environ["SEQBENCH_MIRROR"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["SEQBENCH_MIRROR"]
        else:
            os.environ["SEQBENCH_MIRROR"] = before


def name_of(file: Path) -> str:
    """The name under which a file of a working area is stored: `runs/NAME/checkpoints/F` as `checkpoints/NAME/F`.

    >>> name_of(Path("/home/me/runs/quick/checkpoints/7d9f-cpu.pt"))
    'checkpoints/quick/7d9f-cpu.pt'
    """
    kind, experiment = file.parent.name, file.parent.parent.name
    return f"{kind}/{experiment}/{file.name}"


class NodeFiles:
    """The checkpoint of one run on this node's disk, brought to the storage whenever it has changed.

    assignment: as the driver has it. folder: of this node, for files that are stored elsewhere. A thread looks at the
    file, so that nobody waits for the storage; `close` brings what came last. say: told, once, why something cannot be
    stored; the run goes on, and a retry on another node then begins where the storage was last.
    """

    def __init__(self, assignment: Assignment, storage: Storage, folder: Path, say: Callable[[str], None]) -> None:
        self._storage, self._say = storage, say
        self._names: dict[str, str] = {}
        self._files: dict[str, Path] = {}
        for kind, file in (("checkpoint", assignment.checkpoint), ("trained", assignment.trained)):
            if file is not None:
                self._names[kind] = name_of(file)
                self._files[kind] = folder / self._names[kind]
        self._stored: tuple[int, int] | None = None
        self._complained = self._finished = False
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        if checkpoint := self._files.get("checkpoint"):
            self._guarded(lambda: self._fetch(checkpoint))
            self._thread = threading.Thread(target=self._watch, args=(checkpoint,), daemon=True)
            self._thread.start()

    @property
    def files(self) -> dict[str, Path]:
        """The files on this node: `checkpoint` and `trained`, where the assignment has them."""
        return self._files

    def close(self, finished: bool) -> None:
        """Brings what came last. finished: the run has a result, so its checkpoint is needed no more."""
        self._finished = finished
        self._done.set()
        if self._thread is not None:
            self._thread.join(PATIENCE)
        checkpoint, trained = self._files.get("checkpoint"), self._files.get("trained")
        if checkpoint is not None and finished:
            checkpoint.unlink(missing_ok=True)
        elif checkpoint is not None:
            self._store(checkpoint, again=self._complained)
        if trained is not None and finished and trained.is_file():
            self._guarded(lambda: self._storage.keep(trained, self._names["trained"]))

    def _fetch(self, checkpoint: Path) -> None:
        """What is stored counts, not what an earlier attempt has left here: another node may have gone on, or begun."""
        there = False
        try:
            there = self._storage.take(self._names["checkpoint"], checkpoint)
        finally:
            if not there:
                checkpoint.unlink(missing_ok=True)
        self._stored = _stamp(checkpoint)

    def _watch(self, checkpoint: Path) -> None:
        while not self._done.wait(LOOK_EVERY):
            self._store(checkpoint)

    def _store(self, checkpoint: Path, again: bool = False) -> None:
        stamp = _stamp(checkpoint)
        if stamp is not None and (again or stamp != self._stored):
            self._stored = stamp
            self._guarded(lambda: self._storage.keep(checkpoint, self._names["checkpoint"]))
            if self._finished:  # meanwhile: the storage was slow, and the driver has removed what it had then
                self._guarded(lambda: self._storage.remove(self._names["checkpoint"]))

    def _guarded(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except Exception as error:  # each kind of storage has errors of its own
            if not self._complained:
                self._complained = True
                self._say(f"{self._storage.url}: {reason(error)}; the run goes on, its checkpoint is on its node alone")


def reason(error: Exception) -> object:
    """What is the matter, without the name of a file: of many runs it is said once."""
    return getattr(error, "strerror", None) or error


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size
