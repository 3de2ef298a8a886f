"""Files of real data: named by payload sum, found in the cache, a mirror or a public home, verified, then kept.

The payload is what is inside: of a file whose name ends in ".gz" the decompressed bytes, of any other the bytes
themselves. So a mirror that was compressed again, or that serves the plain bytes, is as good as the original. An
archive (.zip, .tgz and, for all its ending, .tar.gz) is its own payload: the sum of the archive is what is published;
`_archives` reads what is in it.

Two environment variables are read at each call: SEQBENCH_DATA moves the cache, and SEQBENCH_MIRROR names a folder or
URL (`file:` too), laid out as the cache is, that is asked before the public homes. One that is empty is not set.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ._downloads import Part, Progress, Say, SourceError, receive

_CHUNK = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"


class DataError(Exception):
    """A data file that cannot be had or is not what it should be; the message says which, and what to do."""


@dataclass(frozen=True)
class Remote:
    """One file: its name in the cache and in a mirror, the sha256 of its payload, its public homes in turn.

    size: bytes of the file as it is downloaded, where they are known; with it an interrupted download is gone on with
    more surely, and its message can say how much is missing.
    """

    filename: str
    sha256: str
    urls: tuple[str, ...] = ()
    size: int | None = None

    @property
    def name(self) -> str:
        """The filename without its folders."""
        return self.filename.rpartition("/")[2]


def cache_folder() -> Path:
    """Where verified files are kept: SEQBENCH_DATA, else `seqbench` in the user's cache folder.

    Raises DataError where that is in the home of a user who has none.
    """
    try:
        if moved := os.environ.get("SEQBENCH_DATA"):
            return Path(moved).expanduser()
        if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
            return Path(local) / "seqbench"
        if cache := os.environ.get("XDG_CACHE_HOME"):
            return Path(cache).expanduser() / "seqbench"
        return Path.home() / ".cache" / "seqbench"
    except RuntimeError as error:
        raise DataError("there is no home folder to keep data in: name a folder in SEQBENCH_DATA") from error


def fetch(
    remote: Remote, progress: Progress | None = None, say: Say | None = None, siblings: Iterable[Remote] = ()
) -> Path:
    """The verified file: from the cache, else from the mirror or the first public home that has it, then cached.

    A file is written under a hidden name beside its place, verified, flushed to disk and only then renamed, so
    whatever stands under the final name was whole when it came; a file that a person put there is as good, if its sum
    is right. Of a large download that was cut short, by a fault or a kill, the part that came stays under its hidden
    name: the next source or the next call goes on from there. Where the cache cannot be written, a verified file of a
    folder mirror is used in place. Two processes do not download the same file: the second waits for the first.

    progress: called as bytes come. say: called with one line before a large download and where another process is
    waited for. siblings: other files, one of which may have been taken for this one; the message then says so.

    Raises DataError where the cached file is not what it should be, where no source has the right file (the message
    gives the reason of each, and what is kept), or where the cache cannot be written.
    """
    target = cache_folder() / remote.filename
    part = Part(target, remote.sha256)
    if not target.is_file() and (elsewhere := _obtain(remote, target, part, progress, say, siblings)) is not None:
        return elsewhere
    remedy = f"delete it and fetch again, or put the right file at {target}"
    verified = _verified(target, remote, remedy, siblings)
    part.drop()
    return verified


def _obtain(
    remote: Remote, target: Path, part: Part, progress: Progress | None, say: Say | None, siblings: Iterable[Remote]
) -> Path | None:
    """Writes `target` from the first source that has it, or returns where else the file lies."""
    reasons = []
    for source in _sources(remote):
        try:
            if isinstance(source, Path):
                _copy(source, target, part, remote, say, siblings)
            else:
                _download(source, target, part, remote, progress, say, siblings)
            return None
        except OSError as error:
            if isinstance(source, Path) and source.is_file():
                return _verified(source, remote, "mend the mirror", siblings)
            raise DataError(
                f"cannot write {target} ({error.strerror or error}): make room or leave to write there, "
                f"or name another folder in SEQBENCH_DATA{_kept(part, remote)}"
            ) from error
        except SourceError as error:
            reasons.append(f"{source}: {error}")
    raise DataError(
        f"{remote.filename} (sha256 of the payload {remote.sha256}) cannot be had: put it at {target}, or name in "
        f"SEQBENCH_MIRROR a folder or URL that has it; tried {'; '.join(reasons) or 'nothing, as it has no source'}"
        f"{_kept(part, remote)}"
    )


def _kept(part: Part, remote: Remote) -> str:
    if not part.size:
        return ""
    of_all = f" of {remote.size}" if remote.size is not None else ""
    return f"; {part.size}{of_all} bytes are kept at {part.path} and the next try goes on from there"


def read(remote: Remote, progress: Progress | None = None, siblings: Iterable[Remote] = ()) -> bytes:
    """The payload of a file, fetched where needed. Raises DataError as `fetch` does."""
    return payload(fetch(remote, progress, siblings=siblings))


def payload(path: Path) -> bytes:
    """What is inside a file: the decompressed bytes of a ".gz" (unless it is plain in truth), else the bytes."""
    return b"".join(_payload_chunks(path, path.name))


def sums(remotes: Iterable[Remote]) -> dict[str, str]:
    """Filename -> sha256 of the payload: what a row keeps to say which data it is about."""
    return {remote.filename: remote.sha256 for remote in remotes}


def _sources(remote: Remote) -> list[Path | str]:
    """The mirror's file, a Path in a folder or a URL, then the public URLs."""
    mirror = os.environ.get("SEQBENCH_MIRROR")
    if not mirror:
        return [*remote.urls]
    address = urlsplit(mirror)
    if address.scheme.lower() in ("http", "https"):
        return [f"{mirror.rstrip('/')}/{remote.filename}", *remote.urls]
    if address.scheme.lower() == "file":
        mirror = url2pathname(address.path)
    elif "://" in mirror:
        raise DataError(f"SEQBENCH_MIRROR={mirror}: a folder, or a URL with http, https or file, is needed")
    try:
        return [Path(mirror).expanduser() / remote.filename, *remote.urls]
    except RuntimeError as error:
        raise DataError(f"SEQBENCH_MIRROR={mirror}: there is no such user, or no home folder") from error


def _copy(source: Path, target: Path, part: Part, remote: Remote, say: Say | None, siblings: Iterable[Remote]) -> None:
    """Writes `target`, or leaves nothing. Raises SourceError for a bad source, OSError where it cannot be written.

    A kill leaves its half, which the next holder of the part removes.
    """
    with part.held(say):
        if target.is_file():  # another process was there first
            return
        try:
            with part.copy.open("xb") as file:
                for chunk in _read_file(source):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            if fault := _fault(part.copy, remote, siblings):
                raise SourceError(fault)
            part.copy.replace(target)
        except BaseException:
            part.copy.unlink(missing_ok=True)
            raise
    _remember(target, remote)


def _read_file(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise SourceError(error.strerror or str(error)) from error


def _download(
    url: str,
    target: Path,
    part: Part,
    remote: Remote,
    progress: Progress | None,
    say: Say | None,
    siblings: Iterable[Remote],
) -> None:
    """Writes `target`, or leaves at most the part. Raises as `_copy` does."""
    with part.held(say) as path:
        if target.is_file():  # another process was there first
            return
        resumed = receive(url, path, remote.filename, remote.size, progress, say)
        fault = _fault(path, remote, siblings)
        if fault and resumed:  # it may lie in what was there before
            path.unlink()
            receive(url, path, remote.filename, remote.size, progress, say)
            fault = _fault(path, remote, siblings)
        if fault:
            path.unlink()
            raise SourceError(fault)
        path.replace(target)
    _remember(target, remote)


def _fault(path: Path, remote: Remote, siblings: Iterable[Remote]) -> str | None:
    """Why a received file is not the right one, if it is not."""
    found = _payload_sum(path, remote.name)
    if found == remote.sha256:
        return None
    return f"the payload's sha256 is {found}{_recognised(found, remote, siblings)}"


def _recognised(found: str, remote: Remote, siblings: Iterable[Remote]) -> str:
    """Which other file it is that has this sum, in words; nothing where that is unknown."""
    names = [sibling.name for sibling in siblings if sibling.sha256 == found]
    return f": this is {names[0]}, not {remote.name}" if names else ""


_seen: dict[tuple[Path, str], tuple[int, int]] = {}
"""(file, sum) -> the time and size that it had when this process found the sum right."""


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _remember(path: Path, remote: Remote) -> None:
    _seen[path, remote.sha256] = _stamp(path)


def _verified(path: Path, remote: Remote, remedy: str, siblings: Iterable[Remote]) -> Path:
    """`path`, if its payload has the right sum, which is computed once in a process; else raises DataError."""
    try:
        if _seen.get((path, remote.sha256)) == _stamp(path):
            return path
        found = _payload_sum(path, remote.name)
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror or error})") from error
    if found != remote.sha256:
        known = _recognised(found, remote, siblings)
        raise DataError(
            f"{path} is {'not the right file' if known else 'corrupt'}: the payload's sha256 is {found}, "
            f"expected {remote.sha256}{known}; {remedy}"
        )
    _remember(path, remote)
    return path


def _payload_chunks(path: Path, name: str) -> Iterator[bytes]:
    """The payload of a file that lies at `path` and is to be called `name`, whose end says how to read it."""
    compressed = name.endswith(".gz") and not name.endswith(".tar.gz")
    with path.open("rb") as file:
        magic = file.read(2)
        file.seek(0)
        if compressed and magic == _GZIP_MAGIC:
            with gzip.open(file, "rb") as inside:
                while chunk := inside.read(_CHUNK):
                    yield chunk
        else:
            while chunk := file.read(_CHUNK):
                yield chunk


def _payload_sum(path: Path, name: str) -> str:
    """The sha256 of the payload, or in words why there is none."""
    digest = hashlib.sha256()
    try:
        for chunk in _payload_chunks(path, name):
            digest.update(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return f"none, because it is no whole gzip file ({error})"
    return digest.hexdigest()
