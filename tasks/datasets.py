"""Files of real data: named by payload sum, found in the cache, a mirror or a public home, verified, then kept.

The payload is what is inside: of a file whose name ends in ".gz" the decompressed bytes, of any other the bytes
themselves. So a mirror that was compressed again, or that serves the plain bytes, is as good as the original.

Two environment variables are read at each call: SEQBENCH_DATA moves the cache, and SEQBENCH_MIRROR names a folder or
URL, laid out as the cache is, that is asked before the public homes.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

CONNECT_TIMEOUT = 4.0  # seconds until an address of a server must have accepted
STALL_TIMEOUT = 30.0  # seconds without a byte, or below the slowest rate, until a server is given up
SLOWEST_RATE = 1024  # bytes a second

_CHUNK = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"

Progress = Callable[[str, int, int | None], None]
"""Called with the filename, the bytes received so far, and the bytes to come in all where the sender says so."""


class DataError(Exception):
    """A data file that cannot be had or is not what it should be; the message says which, and what to do."""


@dataclass(frozen=True)
class Remote:
    """One file: its name in the cache and in a mirror, the sha256 of its payload, its public homes in turn."""

    filename: str
    sha256: str
    urls: tuple[str, ...] = ()


class _SourceError(Exception):
    """Why one source was of no use."""


def cache_folder() -> Path:
    """Where verified files are kept: SEQBENCH_DATA, else `seqbench` in the user's cache folder."""
    if moved := os.environ.get("SEQBENCH_DATA"):
        return Path(moved).expanduser()
    if sys.platform == "win32" and (local := os.environ.get("LOCALAPPDATA")):
        return Path(local) / "seqbench"
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache).expanduser() / "seqbench"
    return Path.home() / ".cache" / "seqbench"


def fetch(remote: Remote, progress: Progress | None = None) -> Path:
    """The verified file: from the cache, else from the mirror or the first public home that has it, then cached.

    A file is written under a name of its own beside its place, verified, flushed to disk and only then renamed, so
    whatever stands under the final name was whole when it came. Where the cache cannot be written, a verified file
    of a folder mirror is used in place.

    Raises DataError where the cached file is not what it should be, where no source has the right file (the message
    gives the reason of each), or where the cache cannot be written.
    """
    target = cache_folder() / remote.filename
    if target.is_file():
        return _verified(target, remote, f"delete it and fetch again, or put the right file at {target}")
    reasons = []
    for source in _sources(remote):
        try:
            chunks = _read_file(source) if isinstance(source, Path) else _read_url(source, remote.filename, progress)
            try:
                _keep(chunks, target, remote)
            except OSError as error:
                if isinstance(source, Path) and source.is_file():
                    return _verified(source, remote, "mend the mirror")
                raise DataError(
                    f"cannot write {target} ({error.strerror or error}): make room or leave to write there, "
                    "or name another folder in SEQBENCH_DATA"
                ) from error
            return target
        except _SourceError as error:
            reasons.append(f"{source}: {error}")
    raise DataError(
        f"{remote.filename} (sha256 of the payload {remote.sha256}) cannot be had: put it at {target}, or name in "
        f"SEQBENCH_MIRROR a folder or URL that has it; tried {'; '.join(reasons) or 'nothing, as it has no source'}"
    )


def read(remote: Remote, progress: Progress | None = None) -> bytes:
    """The payload of a file, fetched where needed. Raises DataError as `fetch` does."""
    return payload(fetch(remote, progress))


def payload(path: Path) -> bytes:
    """What is inside a file: the decompressed bytes of a ".gz" (unless it is plain in truth), else the bytes."""
    return b"".join(_payload_chunks(path))


def sums(remotes: Iterable[Remote]) -> dict[str, str]:
    """Filename -> sha256 of the payload: what a row keeps to say which data it is about."""
    return {remote.filename: remote.sha256 for remote in remotes}


def _sources(remote: Remote) -> list[Path | str]:
    """The mirror's file, a Path in a folder or a URL, then the public URLs."""
    mirror = os.environ.get("SEQBENCH_MIRROR")
    if not mirror:
        return [*remote.urls]
    if mirror.startswith(("http://", "https://")):
        return [f"{mirror.rstrip('/')}/{remote.filename}", *remote.urls]
    return [Path(mirror).expanduser() / remote.filename, *remote.urls]


def _read_file(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise _SourceError(error.strerror or str(error)) from error


def _read_url(url: str, filename: str, progress: Progress | None) -> Iterator[bytes]:
    host = urlsplit(url).netloc
    if host in _silent:
        raise _SourceError("no answer a moment ago")
    try:
        with requests.get(
            url, stream=True, timeout=(CONNECT_TIMEOUT, STALL_TIMEOUT), headers={"Accept-Encoding": "identity"}
        ) as response:
            if response.status_code != 200:
                raise _SourceError(f"HTTP {response.status_code}")
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            # read1 gives what has come; read waits for a whole chunk, as long as each single byte is in time
            receive = getattr(response.raw, "read1", response.raw.read)
            received = counted = 0
            since = time.monotonic()
            while chunk := receive(_CHUNK):
                received += len(chunk)
                if progress is not None:
                    progress(filename, received, total)
                if (now := time.monotonic()) - since > STALL_TIMEOUT:
                    if received - counted < SLOWEST_RATE * (now - since):
                        raise _SourceError(f"gave up below {SLOWEST_RATE} bytes a second")
                    since, counted = now, received
                yield chunk
            if total is not None and received < total:
                raise _SourceError(f"broke off after {received} of {total} bytes")
    except requests.ConnectTimeout as error:
        _silent.add(host)
        raise _SourceError(f"no answer within {CONNECT_TIMEOUT:g} s") from error
    except requests.exceptions.SSLError as error:
        raise _SourceError("its certificate is not trusted") from error
    except requests.ConnectionError as error:
        raise _SourceError("no connection") from error
    except (requests.RequestException, HTTPError, OSError) as error:
        kind = "stalled" if "timed out" in str(error) else " ".join(str(error).split())
        raise _SourceError(kind) from error


def _keep(chunks: Iterator[bytes], target: Path, remote: Remote) -> None:
    """Writes `target`, or leaves nothing. Raises _SourceError for a bad source, OSError where it cannot be written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{uuid.uuid4().hex}.{target.name}")  # the end of the name says how to read it
    try:
        with unfinished.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        found = _payload_sum(unfinished)
        if found != remote.sha256:
            raise _SourceError(f"the payload's sha256 is {found}")
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _remember(target, remote)


_silent: set[str] = set()
"""Hosts that have not answered this process: a network that drops packets would make it wait for each file anew."""
_seen: dict[tuple[Path, str], tuple[int, int]] = {}
"""(file, sum) -> the time and size that it had when this process found the sum right."""


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _remember(path: Path, remote: Remote) -> None:
    _seen[path, remote.sha256] = _stamp(path)


def _verified(path: Path, remote: Remote, remedy: str) -> Path:
    """`path`, if its payload has the right sum, which is computed once in a process; else raises DataError."""
    try:
        if _seen.get((path, remote.sha256)) == _stamp(path):
            return path
        found = _payload_sum(path)
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror or error})") from error
    if found != remote.sha256:
        raise DataError(f"{path} is corrupt: the payload's sha256 is {found}, expected {remote.sha256}; {remedy}")
    _remember(path, remote)
    return path


def _payload_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        magic = file.read(2)
        file.seek(0)
        if path.name.endswith(".gz") and magic == _GZIP_MAGIC:
            with gzip.open(file, "rb") as inside:
                while chunk := inside.read(_CHUNK):
                    yield chunk
        else:
            while chunk := file.read(_CHUNK):
                yield chunk


def _payload_sum(path: Path) -> str:
    """The sha256 of the payload, or in words why there is none."""
    digest = hashlib.sha256()
    try:
        for chunk in _payload_chunks(path):
            digest.update(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return f"none, because it is no whole gzip file ({error})"
    return digest.hexdigest()
