"""A server that treats clients well or badly, as the path says, and what it serves."""

from __future__ import annotations

import gzip
import hashlib
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

CONTENT = bytes(range(256)) * 300
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PACKED = gzip.compress(CONTENT, 9, mtime=0)


DRIPPING = {
    "drip-headers": b"X-More: ",
    "drip-body": b"Content-Length: 76800\r\n\r\n" + bytes(100),
    "drip-endless": b"\r\n",
    "drip-chunks": b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n5;",
}
"""How a server can be in time with each byte, and never come to an end: with what it begins."""


class Handler(BaseHTTPRequestHandler):
    """The first part of the path says how to treat the client: /good/…, /truncated/…, /slow/… and so on."""

    over = threading.Event()
    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        how = self.path.split("/")[1]
        content = PACKED if self.path.endswith(".gz") else CONTENT
        if how == "missing":
            return self.send_error(404)
        if how == "hang":
            self.over.wait()
            return None
        if how == "corrupt":
            content = content[:500] + b"\xff" + content[501:]
        if how == "page":
            content = b"<html>please log in</html>"
        if how in DRIPPING:
            return self._drip(DRIPPING[how])
        self.send_response(302 if how == "moved" else 200)
        if how == "moved":
            self.send_header("Location", self.path.replace("/moved/", "/good/"))
        self.send_header("Content-Length", str(0 if how == "moved" else len(content)))
        self.end_headers()
        if how == "truncated":
            self.wfile.write(content[: len(content) // 2])
        elif how == "stall":
            self.wfile.write(content[:100])
            self.over.wait()
        elif how != "moved":
            self.wfile.write(content)
        return None

    def _drip(self, beginning: bytes) -> None:
        """Goes on for ever, a byte at a time."""
        with suppress(OSError):  # the client is gone
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + beginning)
            while not self.over.wait(0.05):
                self.wfile.write(b"1")

    def log_message(self, *_: object) -> None:
        """Keeps the test's output clean."""
