"""One file from one URL, received into a part of it that a later try, from wherever, goes on from.

A part is believed to be the beginning of the file; whoever completes it verifies the sum before it gets another name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import requests
from filelock import FileLock, Timeout
from urllib3.exceptions import HTTPError, ProtocolError

from ._punctual import TooSlow, session

CONNECT_TIMEOUT = 4.0  # seconds until an address of a server must have accepted
STALL_TIMEOUT = 30.0  # seconds without a byte, or below the slowest rate, until a server is given up
SLOWEST_RATE = 1024  # bytes a second
LARGEST = 1 << 30  # bytes of a file; the largest that any task names has 0.2 GB
LARGE = 8 << 20  # bytes from which a download is announced, and a part of it worth keeping

_CHUNK = 1 << 18
# Transfer in the form in which the file lies there, and a name, because some hosts refuse the clients' usual ones
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "seqbench"}

Progress = Callable[[str, int, int | None], None]
"""Called with the filename, the bytes there are so far, and the bytes of the file where they are known."""
Say = Callable[[str], None]
"""Called with a line for a person: what is being downloaded, how much of it, from where; or what is waited for."""


class SourceError(Exception):
    """Why one source was of no use."""


class TooMuch(SourceError):
    """A source sends more than the file can have: what has come is not its beginning."""


class Part:
    """What has come of a file so far: a hidden file beside the place of the whole one, known by the sum it is to have.

    target: where the whole file is to stand. sha256: the sum of its payload.
    """

    def __init__(self, target: Path, sha256: str) -> None:
        self.path = target.with_name(f".{target.name}.{sha256[:12]}.part")
        self.copy = self.path.with_suffix(".copy")  # what comes from a mirror in a folder
        self.name = target.name
        self._lock = FileLock(self.path.with_suffix(".lock"))

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return size_of(self.path)

    @contextmanager
    def held(self, say: Say | None = None) -> Iterator[Path]:
        """The path, which no other holder writes meanwhile: the second waits, and says so, until the first is done.

        Afterwards the part is gone, unless it is large enough to be worth keeping.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            if say is not None:
                say(f"{self.name} is being downloaded by another process: waiting for it")
            self._lock.acquire()
        try:
            self.copy.unlink(missing_ok=True)  # of a process that was killed
            yield self.path
        finally:
            if self.size < LARGE:
                self.path.unlink(missing_ok=True)
            self._release()

    def drop(self) -> None:
        """Removes the part, as the whole file has come in another way; not where someone still writes it."""
        if self.path.exists():
            with suppress(OSError, Timeout):
                self._lock.acquire(timeout=0)
                self.path.unlink(missing_ok=True)
                self._release()

    def _release(self) -> None:
        with suppress(OSError):  # Windows deletes no open file; there the lock does it itself
            Path(self._lock.lock_file).unlink()
        self._lock.release()


def receive(
    url: str,
    part: Path,
    filename: str,
    size: int | None = None,
    progress: Progress | None = None,
    say: Say | None = None,
) -> bool:
    """Completes `part` with what it lacks of the file at `url`; returns whether some of it was there before.

    Asks for the rest by an HTTP range. A server that knows no ranges, has another file (as its total or `size`, the
    bytes of the file, say), or does not reach as far as the part, is asked for the whole, in which the part begins
    anew. A source that breaks off is asked again as long as each answer brings the part on by `LARGE` bytes.
    The part, which the caller holds, is flushed to disk when it is complete.

    Raises SourceError where the source is of no use; what came is in the part. Raises OSError where it cannot be
    written.
    """
    resumed = False
    while True:
        before = size_of(part)
        try:
            return _receive(url, part, filename, size, progress, say) or resumed
        except TooMuch:
            part.unlink(missing_ok=True)
            raise
        except SourceError:
            if size_of(part) < before + LARGE:
                raise
            resumed = True


def size_of(path: Path) -> int:
    """The bytes of a file, 0 where there is none to be seen."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _receive(url: str, part: Path, filename: str, size: int | None, progress: Progress | None, say: Say | None) -> bool:
    had = size_of(part)
    if had and had == size:
        return True  # interrupted between the last byte and the sum
    host = urlsplit(url).netloc
    with _network(host):
        response, begin, total = _ask(url, had, size)
    with response:
        if begin and begin == total:
            return True
        if say is not None and (known := total or size) is not None and known >= LARGE:
            onward = f": going on from {begin >> 20} MiB" if begin else ""
            say(f"{filename.rpartition('/')[2]}, {known >> 20} MiB, from {host}{onward}")
        with part.open("ab" if begin else "wb") as file:
            for chunk, received in _chunks(response, host, begin, total, size):
                file.write(chunk)
                if progress is not None:
                    progress(filename, received, total)
            file.flush()
            os.fsync(file.fileno())
    return begin > 0


def _ask(url: str, had: int, size: int | None) -> tuple[requests.Response, int, int | None]:
    """The answer, the byte of the file at which it begins, and the bytes of the whole file where it says so."""
    if had and (size is None or had < size):
        response = _get(url, {"Range": f"bytes={had}-"})
        if response.status_code == 200:
            return response, 0, _number(response.headers.get("Content-Length"))
        stated = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        begin, total = (_number(stated[1]), _number(stated[2])) if stated else (None, None)
        same = size is None or total is None or total == size
        if response.status_code == 206 and begin == had and same:
            length = _number(response.headers.get("Content-Length"))
            return response, had, total or size or (None if length is None else had + length)
        if response.status_code == 416 and total == had:
            return response, had, had
        response.close()
        if response.status_code not in (206, 416):
            raise SourceError(f"HTTP {response.status_code}")
    response = _get(url, {})
    if response.status_code != 200:
        response.close()
        raise SourceError(f"HTTP {response.status_code}")
    return response, 0, _number(response.headers.get("Content-Length"))


def _get(url: str, headers: dict[str, str]) -> requests.Response:
    if urlsplit(url).netloc in _silent:
        raise SourceError("no answer a moment ago")
    asking = session(STALL_TIMEOUT, SLOWEST_RATE)
    return asking.get(url, stream=True, timeout=(CONNECT_TIMEOUT, STALL_TIMEOUT), headers=_HEADERS | headers)


def _number(text: str | None) -> int | None:
    """A number of bytes; None for none, and for one that no disk could hold."""
    return int(text) if text is not None and re.fullmatch("[0-9]{1,15}", text) else None


def _chunks(
    response: requests.Response, host: str, begin: int, total: int | None, size: int | None
) -> Iterator[tuple[bytes, int]]:
    """What comes, with the bytes of the file that there are with it.

    Raises SourceError where it does not all come, and where more comes than the server has declared (total). A server
    that declares nothing may send some more than the file is known to have (size), for it may not have compressed it.
    """
    most = min(LARGEST, total if total is not None else LARGEST if size is None else 20 * size + LARGE)
    if total is not None and total > LARGEST:
        raise SourceError(f"declares {total} bytes, and no file has more than {LARGEST}")
    # read1 gives what has come; read waits for a whole chunk, as long as each single byte is in time
    receive_some = getattr(response.raw, "read1", response.raw.read)
    response.raw.enforce_content_length = False  # it is counted here, and said in words
    received = begin
    while True:
        with _network(host):
            chunk = receive_some(_CHUNK)
        if not chunk:
            break
        received += len(chunk)
        if received > most:
            raise TooMuch(f"sends more than {most} bytes")
        yield chunk, received
    if total is not None and received < total:
        raise SourceError(f"broke off after {received} of {total} bytes")


_silent: set[str] = set()
"""Hosts that have not answered this process: a network that drops packets would make it wait for each file anew."""


@contextmanager
def _network(host: str) -> Iterator[None]:
    """Whatever goes wrong on the way as a SourceError in words."""
    try:
        yield
    except TooSlow as error:
        raise SourceError(str(error)) from error
    except requests.ConnectTimeout as error:
        _silent.add(host)
        raise SourceError(f"no answer within {CONNECT_TIMEOUT:g} s") from error
    except requests.exceptions.SSLError as error:
        raise SourceError("its certificate is not trusted") from error
    except requests.ConnectionError as error:
        raise SourceError("no connection") from error
    except ProtocolError as error:
        raise SourceError("the connection broke off") from error
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:  # ValueError: an address that is none
        kind = "stalled" if "timed out" in str(error) else " ".join(str(error).split())
        raise SourceError(kind) from error
