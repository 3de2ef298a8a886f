"""HTTP answers that have to come on: a server that sends byte by byte is given up, be it in its headers or its body.

A time limit of a socket counts from byte to byte, so with one byte in time an answer might last for hours.
"""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Callable
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

Clock = Callable[[], float]


class TooSlow(Exception):
    """A server sends less than it has to; no OSError, of which urllib3 would make one of its own."""


class Punctual(io.RawIOBase):
    """What a socket's reader gives. Raises TooSlow where within a window of time not so many bytes have come.

    window: seconds, after which bytes are counted; it begins with the first byte, for which the socket's time limit is
    enough. rate: bytes a second. clock: gives seconds.
    """

    def __init__(self, inner: io.RawIOBase, window: float, rate: float, clock: Clock = time.monotonic) -> None:
        self.inner, self.window, self.rate, self.clock = inner, window, rate, clock
        self.since: float | None = None
        self.counted = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self.inner.readinto(buffer)
        self.counted, now = self.counted + (count or 0), self.clock()
        if self.since is None:
            self.since = now
        elif count and now - self.since > self.window:
            if self.counted < self.rate * (now - self.since):
                raise TooSlow(f"gave up below {self.rate:g} bytes a second")
            self.since, self.counted = now, 0
        return count

    def close(self) -> None:
        self.inner.close()
        super().close()


def session(window: float, rate: float, clock: Clock = time.monotonic) -> requests.Session:
    """A session whose answers are read by `Punctual`, and that follows five redirects at most."""

    class Response(http.client.HTTPResponse):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.fp = io.BufferedReader(Punctual(self.fp.detach(), window, rate, clock))

    class Connection(urllib3.connection.HTTPConnection):
        response_class = Response

    class SecureConnection(urllib3.connection.HTTPSConnection):
        response_class = Response

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, **options)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
            manager = super().proxy_manager_for(*arguments, **options)
            if type(manager) is urllib3.ProxyManager:  # SOCKS has classes of its own
                manager.pool_classes_by_scheme = pools
            return manager

    pools = {"http": Pool, "https": SecurePool}
    made = requests.Session()
    made.max_redirects = 5
    for scheme in pools:
        made.mount(f"{scheme}://", Adapter())
    return made
