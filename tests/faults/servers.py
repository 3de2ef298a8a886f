"""Servers and archives that do what none should: on the loopback interface, and as files."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import struct
import tarfile
import threading
import zipfile
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any
from unittest import mock

from corruption import damaged
from seqbench.tasks import _archives, _downloads
from seqbench.tasks.datasets import DataError, Remote, fetch
from trials import Hung, Trial, time_limit

LARGEST = 4 << 20
"""Bytes of a file while servers are tried, so that one that never ends is cheap."""
NUMBERS = ("", "0", "-1", "1", "20000", "20001", "99999999999", "9" * 5000, "1e3", "0x10", "²", "2, 3", "nan")


def trial(one: Trial) -> None:
    """A file from one or two hostile servers and perhaps a good one; or an archive."""
    if one.random.random() < 0.6:
        _download(one)
    else:
        _archive(one)


def _download(one: Trial) -> None:
    random, content = one.random, one.random.randbytes(20_000)
    with Hostile(random.getrandbits(32), content) as server:
        urls = [server.url, server.url] + [server.url.replace("/any", "/good")] * random.randint(0, 1)
        remote = Remote("set/file.bin", hashlib.sha256(content).hexdigest(), tuple(urls), random.choice([None, 20_000]))
        own = {"SEQBENCH_DATA": str(one.room / "data"), "SEQBENCH_MIRROR": "", "no_proxy": "*"}
        limits = mock.patch.multiple(
            _downloads, STALL_TIMEOUT=1.0, CONNECT_TIMEOUT=1.0, LARGEST=LARGEST, _silent=set(), LARGE=1000
        )
        one.counts["downloads"] += 1
        with mock.patch.dict(os.environ, own), limits:
            for _ in range(2):
                try:
                    with time_limit():
                        if fetch(remote).read_bytes() != content:
                            one.found("other bits", "a wrong file was taken")
                except DataError as error:
                    if "\n" in str(error):
                        one.found("tracebacks", f"not one line: {str(error)[:300]!r}")
                except Hung:
                    one.found("hangs", f"{server.did}")
                except Exception as error:
                    one.found("tracebacks", f"{type(error).__name__}: {str(error)[:200]}; {server.did}")
        used = sum(path.stat().st_size for path in (one.room / "data").rglob("*") if path.is_file())
        if used > 2 * LARGEST:
            one.found("left behind", f"{used} bytes; {server.did}")


class Hostile:
    """A server on loopback: `url` is answered by lot, /good with the content. did: what it has sent, in words."""

    def __init__(self, seed: int, content: bytes) -> None:
        self.random, self.content, self.did = Random(seed), content, list[str]()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/any"
        self.over = threading.Event()

    def __enter__(self) -> Hostile:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.listening.close()

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(5)
                asked = connection.recv(65536)
                if asked.startswith(b"GET /good"):
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\nConnection: close\r\n\r\n" + self.content
                    )
                else:
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        random = self.random
        how = random.choice(["rubbish", "headers", "headers", "headers", "moved", "silent", "reset", "drip", "many"])
        self.did.append(how)
        if how == "rubbish":
            connection.sendall(random.randbytes(random.randrange(400)))
        elif how == "silent":
            self.over.wait(3)
        elif how == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "many":
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n")
        elif how == "drip":
            where = random.choice(["Content-Length: 20000\r\n\r\n", "X: ", "Transfer-Encoding: chunked\r\n\r\n1;"])
            self.did.append(where.strip())
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + where.encode())
            while not self.over.wait(0.05):
                connection.sendall(b"0")
        elif how == "moved":
            places = ["", "/any", "http://", "http://[::1", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://127.0.0.1:1/",
                      "http://127.0.0.1:99999999/", "//", "http://\x00/", "javascript:1", "x" * 60_000]  # fmt: skip
            where = random.choice(places)
            self.did.append(where[:40])
            connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            self._odd_headers(connection)

    def _odd_headers(self, connection: socket.socket) -> None:
        random = self.random
        status = random.choice(
            ["200 OK", "206 Partial", "416 Range", "204 None", "100 Continue", "999 X", "abc", "304 N"]
        )
        number = lambda: random.choice(NUMBERS)  # noqa: E731
        possible = [
            f"Content-Length: {number()}",
            f"Content-Range: bytes {number()}-{number()}/{number()}",
            "Transfer-Encoding: chunked",
            f"Content-Encoding: {random.choice(['gzip', 'br', 'deflate', 'x'])}",
            "Connection: close",
            "no colon",
        ]
        chosen = random.sample(possible, random.randint(1, 3))
        self.did.append(f"{status[:3]} {'; '.join(one[:60] for one in chosen)}")
        connection.sendall("\r\n".join([f"HTTP/1.1 {status}", *chosen, "", ""]).encode())
        if random.random() < 0.2:
            while not self.over.is_set():
                connection.sendall(bytes(1 << 16))
        elif random.random() < 0.5:
            connection.sendall(self.content)
        else:
            connection.sendall(
                random.choice([b"ffffffffffff\r\n", b"-5\r\n", b"zz\r\n", b"5\r\nab", b"", self.content[:999]])
            )


def _archive(one: Trial) -> None:
    random, path = one.random, one.room / "archive"
    files = {f"a/{number}": random.randbytes(random.choice([0, 10, 3000])) for number in range(random.randint(1, 4))}
    path.write_bytes(_zip(files, random) if random.random() < 0.5 else _tar(files, random))
    changed = random.random() < 0.8
    if changed:
        for _ in range(random.choice([1, 1, 3])):
            path.write_bytes(damaged(one, path.read_bytes()))
    readings: list[Callable[[], Any]] = [
        lambda: _archives.names(path),
        lambda: dict(_archives.members(path)),
        lambda: _archives.read(path, "a/0"),
    ]
    one.counts["archives read"] += 1
    for reading in readings:
        try:
            with time_limit():
                reading()
        except DataError as error:
            if "\n" in str(error):
                one.found("tracebacks", f"not one line: {str(error)[:300]!r}")
        except Hung:
            one.found("hangs", "an archive")
        except Exception as error:
            one.found("tracebacks", f"an archive: {type(error).__name__}: {str(error)[:200]}")
    if [*one.room.rglob("*")] != [path]:
        one.found("left behind", "an archive was unpacked")


NAMES = ("../x", "/tmp/x", "a/../../x", "a\\b", "a/0", "", ".", "\x00", "é" * 300, "a/0/b", "con")


def _zip(files: dict[str, bytes], random: Random) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.NameToInfo.clear()  # else it warns of what is there twice
        if random.random() < 0.4:
            odd = zipfile.ZipInfo()
            odd.filename = odd.orig_filename = random.choice(NAMES)
            with suppress(Exception):
                archive.writestr(odd, b"odd")
    return whole.getvalue()


def _tar(files: dict[str, bytes], random: Random) -> bytes:
    whole = io.BytesIO()
    kinds = [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
        tarfile.GNUTYPE_SPARSE,
    ]
    with tarfile.open(
        fileobj=whole, mode="w:gz", format=random.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    ) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if random.random() < 0.4:
            entry = tarfile.TarInfo(random.choice(NAMES))
            entry.type, entry.linkname = random.choice(kinds), "../../etc/passwd"
            with suppress(Exception):
                archive.addfile(entry)
    return whole.getvalue()
