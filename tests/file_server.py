"""A server of files on loopback whose answers a test lays down, with its faults, and which keeps what it was asked."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CONTENT = os.urandom(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = os.urandom(len(CONTENT))
LONGER = CONTENT + b"more"
PART = f".large.zip.{SHA256[:12]}.part"
"""The hidden name under which what has come of `set/large.zip` is kept."""


def everything_in(folder: Path) -> list[str]:
    """The names of all files, hidden ones too."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


class Handler(BaseHTTPRequestHandler):
    """Each path has a list of answers that are given in turn, the last of them for ever; all requests are kept."""

    server: Server

    def do_GET(self) -> None:
        asked_range = self.headers.get("Range")
        self.server.asked.append((self.path, asked_range))
        self.server.agents.add(self.headers["User-Agent"])
        answers = self.server.answers[self.path]
        how, _, detail = (answers.pop(0) if len(answers) > 1 else answers[0]).partition(" ")
        content = self.server.contents.get(self.path, CONTENT)
        content = {"longer": LONGER, "bad": OTHER}.get(how, content)
        if how == "missing":
            return self.send_error(404)
        if how == "moved":
            self.send_response(302)
            self.send_header("Location", detail)
            return self.end_headers()
        begin = 0
        if asked_range and how != "rangeless":
            begin = int(asked_range.removeprefix("bytes=").removesuffix("-"))
            if begin >= len(content) or how == "unsatisfiable":
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{detail or len(content)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            begin = 0 if how == "elsewhere" else begin
            self.send_response(206)
            if how != "unsaid":
                self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if how != "endless":
            self.send_header("Content-Length", detail if how == "declares" else str(len(content) - begin))
        self.end_headers()
        end = int(detail) if how in ("break", "hang") else len(content)
        try:
            for at in range(begin, end, 10_000):
                self.wfile.write(content[at : min(at + 10_000, end)])
                time.sleep(0.02 if how == "slow" else 0)
            while how == "endless" and not self.server.over.is_set():
                self.wfile.write(content)
            if how == "hang":
                self.wfile.flush()
                self.server.hung.set()
                self.server.over.wait()
        except OSError:  # the client is gone
            pass
        return None

    def log_message(self, *_: object) -> None:
        """Keeps the test's output clean."""


class Server(ThreadingHTTPServer):
    """Loopback, on a port of its own."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.agents: set[str] = set()
        self.answers: dict[str, list[str]] = {}
        self.contents: dict[str, bytes] = {}
        self.hung, self.over = threading.Event(), threading.Event()

    def url(self, path: str, *answers: str, content: bytes = CONTENT) -> str:
        """The address of a file that is answered for in this way."""
        self.answers[f"/{path}"] = [*answers]
        self.contents[f"/{path}"] = content
        return f"http://127.0.0.1:{self.server_port}/{path}"

    @property
    def ranges(self) -> list[str | None]:
        """What was asked for, in turn."""
        return [asked for _, asked in self.asked]


@contextmanager
def running() -> Iterator[Server]:
    """A server that answers until the end of the `with`."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
