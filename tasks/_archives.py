"""Files inside a .zip, .tar.gz or .tgz, read as a stream: nothing is unpacked to disk.

What kind of archive it is, its first bytes say, not its name. Members are named as in the archive, with "/" and
without a leading "./". What has no name, links, folders and devices are passed over and never followed, so they count
as not there;
an archive is refused as a whole as soon as a member's path would lead out of the folder it were unpacked in.

Every function raises DataError, which names the archive, for one that cannot be read, is of another kind, damaged or
truncated, has such a path, or has one file twice.
"""

from __future__ import annotations

import difflib
import gzip
import io
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, NoReturn, cast

from .datasets import DataError

_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")  # of a first member, or of the end where there is none
_GZIP_MAGIC = b"\x1f\x8b"
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1  # bit of a zip member's flags
_CHUNK = 1 << 18
_TarEnd: type[tarfile.HeaderError] = tarfile.EOFHeaderError  # type: ignore[attr-defined]  # the zeros after the last

_Damage = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    struct.error,
    NotImplementedError,
    ValueError,  # a name that is no text
    OverflowError,
)


def names(path: Path) -> list[str]:
    """The files in an archive, sorted. A .tar.gz is decompressed to its end, and so is known to be whole."""
    with _in_turn(path) as files:
        return sorted(name for name, _ in files)


@contextmanager
def opened(path: Path, member: str) -> Iterator[BinaryIO]:
    """A member as a stream of bytes that is read forwards; used in a `with`.

    In a .tar.gz all that comes before the member is decompressed, and nothing after it. The checksum stands at the
    very end, so a wrong bit can pass here, where the archive was not verified before; `members` reads to the end.

    Raises DataError, also while the stream is read, as said at the top of the module, and where there is no such
    file: the message names the nearest, or what is there.
    """
    passed = []
    with _in_turn(path) as files:
        for name, stream_of in files:
            if name == member:
                with _guarded(path, name, stream_of) as stream:
                    yield stream
                return
            passed.append(name)
    _missing(path, member, passed)


def read(path: Path, member: str) -> bytes:
    """All bytes of a member. Raises DataError as `opened` does."""
    with opened(path, member) as stream:
        return stream.read()


def members(
    path: Path, wanted: Callable[[str], bool] = lambda _: True, inside: str | None = None
) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every file whose name is `wanted`, in the archive's order and in one pass: one is in memory.

    `inside` names a member that is itself a plain .tar: then its files are the ones that are gone through.
    When the last has been given, a .tar.gz has been decompressed to its end, and its checksum was right.

    Raises DataError as said at the top of the module, at the latest when the pass is over, and where there is no
    member `inside`.
    """
    passed = []
    with _in_turn(path) as files:
        for name, stream_of in files:
            passed.append(name)
            if inside is None:
                if wanted(name):
                    yield name, _content(path, name, stream_of)
            elif name == inside:
                with _guarded(path, name, stream_of) as stream, _tar(path, stream) as inner_files:
                    for inner_name, inner_stream_of in inner_files:
                        if wanted(inner_name):
                            yield inner_name, _content(path, inner_name, inner_stream_of)
    if inside is not None and inside not in passed:
        _missing(path, inside, passed)


_StreamOf = Callable[[], IO[bytes]]
"""Opens a file of an archive, which must be done before the next one is asked for."""


@contextmanager
def _in_turn(path: Path) -> Iterator[Iterator[tuple[str, _StreamOf]]]:
    """The files of an archive in its order: name and how to open it."""
    with ExitStack() as stack:
        if _is_zip(path):
            with _translated(path):
                archive = stack.enter_context(zipfile.ZipFile(path))
            yield _zip_files(path, archive)
        else:
            with _translated(path):
                inside = stack.enter_context(gzip.open(path, "rb"))
            yield stack.enter_context(_tar(path, cast(IO[bytes], inside)))


def _is_zip(path: Path) -> bool:
    """Whether it is a zip, else a gzip; raises DataError where it is neither."""
    with _translated(path), path.open("rb") as file:
        magic = file.read(4)
    if magic in _ZIP_MAGIC:
        return True
    if magic.startswith(_GZIP_MAGIC):
        return False
    raise DataError(f"{path} is no .zip and no .tar.gz: it begins with {magic!r}; delete it and get it again")


def _zip_files(path: Path, archive: zipfile.ZipFile) -> Iterator[tuple[str, _StreamOf]]:
    files: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        name = _checked(path, entry.orig_filename)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not name or entry.is_dir() or kind not in (0, stat.S_IFREG):
            continue
        if name in files:
            _twice(path, name)
        files[name] = entry
    for name, entry in files.items():
        yield name, partial(_zip_stream, path, archive, entry)


def _zip_stream(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> IO[bytes]:
    if entry.flag_bits & _ENCRYPTED:
        raise DataError(f"{path} holds {entry.filename} encrypted: get the archive that anyone can read")
    if entry.compress_type not in _READABLE:
        raise DataError(
            f"{path} holds {entry.filename} compressed by method {entry.compress_type}, not stored or deflated: "
            "get the archive from its public home"
        )
    return archive.open(entry)


class _StrictEntry(tarfile.TarInfo):
    """A header of a tar. Tarfile takes a broken one that is not the first for the end of the archive; here it fails."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _StrictEntry:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if isinstance(error, _TarEnd):
                raise
            raise tarfile.ReadError(f"{error} at byte {tarfile_.offset} of the tar") from error


@contextmanager
def _tar(path: Path, content: IO[bytes]) -> Iterator[Iterator[tuple[str, _StreamOf]]]:
    """The files of a plain tar, which `content` gives, in turn; at the end `content` has been read to its end."""
    with ExitStack() as stack:
        with _translated(path):
            # "r|" never seeks: going back by a byte in a gzip file means decompressing it from the start
            archive = stack.enter_context(tarfile.open(fileobj=content, mode="r|", tarinfo=_StrictEntry))
        yield _tar_files(path, archive, content)


def _tar_files(path: Path, archive: tarfile.TarFile, content: IO[bytes]) -> Iterator[tuple[str, _StreamOf]]:
    seen = set()
    while True:
        with _translated(path):
            entry = archive.next()
        if entry is None:
            break
        name = _checked(path, entry.name)
        if not name or not entry.isreg():
            continue
        if name in seen:
            _twice(path, name)
        seen.add(name)
        yield name, partial(_tar_stream, archive, entry)
    with _translated(path):
        while content.read(_CHUNK):  # the checksum of a gzip file stands at its end
            pass


def _tar_stream(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    return cast(IO[bytes], archive.extractfile(entry))  # None only for what is no file


def _checked(path: Path, name: str) -> str:
    """A member's name without "." in it; raises DataError where it leads out of the archive's folder."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or re.search(r"^[A-Za-z]:|[\\\0]", name):
        raise DataError(f"{path} is refused: its member {name!r} leads out of the folder it belongs in; get another")
    return "/".join(parts)


def _twice(path: Path, name: str) -> NoReturn:
    raise DataError(f"{path} is refused: it holds {name} twice; get it again from its public home")


def _missing(path: Path, member: str, there: list[str]) -> NoReturn:
    near = difflib.get_close_matches(member, there, n=1)
    same = [name for name in there if name.rpartition("/")[2] == member.rpartition("/")[2]]
    if near or same:
        hint = f"the nearest is {(same or near)[0]}"
    else:
        hint = f"it holds {', '.join(sorted(there)[:5]) or 'no file'}{' …' if len(there) > 5 else ''}"
    raise DataError(f"{path} holds no {member}: {hint}; if it is another archive, get it again from its public home")


@contextmanager
def _translated(path: Path, member: str | None = None) -> Iterator[None]:
    """Whatever goes wrong inside as a DataError in words."""
    place = f"{path} (at {member})" if member else str(path)
    try:
        yield
    except _Damage as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{place} is damaged or truncated ({reason}): delete it and get it again") from error
    except OSError as error:
        raise DataError(f"cannot read {place} ({error.strerror or error})") from error


class _Guarded(io.RawIOBase):
    """A member's stream whose errors are DataErrors; only forwards."""

    def __init__(self, stream: IO[bytes], path: Path, member: str) -> None:
        self.stream, self.path, self.member = stream, path, member

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _translated(self.path, self.member):
            chunk = self.stream.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


@contextmanager
def _guarded(path: Path, member: str, stream_of: _StreamOf) -> Iterator[BinaryIO]:
    with _translated(path, member):
        stream = stream_of()
    with stream, io.BufferedReader(_Guarded(stream, path, member), _CHUNK) as guarded:
        yield guarded


def _content(path: Path, member: str, stream_of: _StreamOf) -> bytes:
    with _translated(path, member), stream_of() as stream:
        return stream.read()
