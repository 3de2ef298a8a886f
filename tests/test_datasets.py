"""Getting files: from the cache, a mirror or the network, and every way in which that fails."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from experiments import PATIENCE
from seqbench.tasks import _downloads, _punctual, datasets
from seqbench.tasks.datasets import DataError, Remote, fetch
from unkind_server import CONTENT, DRIPPING, PACKED, SHA256, Handler


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    Handler.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    Handler.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server(running: str, monkeypatch: pytest.MonkeyPatch) -> str:
    Handler.asked = []
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    return running


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.delenv("SEQBENCH_MIRROR", raising=False)
    get = _downloads._get

    def impatient(url: str, headers: dict[str, str]) -> Any:
        """Gives up soon on a server that will never answer, and never on one that only has to wait for the machine."""
        silent = any(how in url for how in ("/hang/", "/stall/", "/drip-"))
        monkeypatch.setattr(_downloads, "STALL_TIMEOUT", 0.3 if silent else PATIENCE)
        return get(url, headers)

    monkeypatch.setattr(_downloads, "_get", impatient)
    monkeypatch.setattr(_downloads, "CONNECT_TIMEOUT", PATIENCE)
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder mirror with a plain file and a compressed one."""
    folder = tmp_path / "mirror" / "set"
    folder.mkdir(parents=True)
    (folder / "plain.mat").write_bytes(CONTENT)
    (folder / "packed.gz").write_bytes(PACKED)
    monkeypatch.setenv("SEQBENCH_MIRROR", str(folder.parent))
    return folder


def everything_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def remote(*urls: str, filename: str = "set/plain.mat") -> Remote:
    return Remote(filename, SHA256, urls)


@pytest.mark.parametrize("filename", ["set/plain.mat", "set/packed.gz"])
def test_a_file_comes_from_the_network_once(server: str, cache: Path, filename: str) -> None:
    wanted = remote(f"{server}/good/{filename}", filename=filename)
    seen: list[tuple[str, int, int | None]] = []
    path = fetch(wanted, progress=lambda *state: seen.append(state))
    assert path == cache / filename
    assert datasets.payload(path) == datasets.read(wanted) == CONTENT
    size = len(PACKED if filename.endswith(".gz") else CONTENT)
    assert seen[-1] == (filename, size, size)
    assert fetch(wanted) == path
    assert len(Handler.asked) == 1
    assert everything_in(cache) == [path.name]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("missing", "HTTP 404"),
        ("truncated", "broke off after 38400 of 76800 bytes"),
        ("corrupt", "the payload's sha256 is"),
        ("page", "the payload's sha256 is"),
        ("hang", "stalled"),
        ("stall", "stalled"),
        *((how, "gave up below 1024 bytes a second") for how in DRIPPING),
    ],
)
def test_a_bad_source_is_passed_over(server: str, cache: Path, how: str, reason: str) -> None:
    bad, good = f"{server}/{how}/plain.mat", f"{server}/good/plain.mat"
    with pytest.raises(DataError, match=f"(?i){reason}") as caught:
        fetch(remote(bad))
    assert bad in str(caught.value)
    assert everything_in(cache) == []
    assert fetch(remote(bad, good)).read_bytes() == CONTENT
    assert everything_in(cache) == ["plain.mat"]


@pytest.mark.parametrize(("sizes", "is_enough"), [([10] * 9, True), ([10, 9, 9, 1], False), ([99, *[1] * 6], False)])
def test_bytes_have_to_come_at_a_rate(sizes: list[int], is_enough: bool) -> None:
    """Ten bytes a second are asked for, counted over more than two seconds; a piece comes each second."""

    class Pieces(io.RawIOBase):
        def readinto(self, buffer: Any) -> int:
            return sizes.pop(0) if sizes else 0

    seconds = itertools.count()
    reader = _punctual.Punctual(Pieces(), 2, 10, lambda: next(seconds))
    if is_enough:
        assert [reader.readinto(bytearray(100)) for _ in [*sizes, 0]] == [10] * 9 + [0]
    else:
        with pytest.raises(_punctual.TooSlow, match="gave up below 10 bytes a second"):
            _ = [reader.readinto(bytearray(100)) for _ in [*sizes]]


def test_a_damaged_gzip_is_passed_over(server: str, cache: Path) -> None:
    bad, good = f"{server}/corrupt/packed.gz", f"{server}/good/packed.gz"
    assert datasets.payload(fetch(remote(bad, good, filename="packed.gz"))) == CONTENT
    assert everything_in(cache) == ["packed.gz"]


def test_redirects_are_followed(server: str) -> None:
    assert fetch(remote(f"{server}/moved/plain.mat")).read_bytes() == CONTENT


def test_no_network_is_one_clear_line(cache: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/plain.mat"
        with pytest.raises(DataError) as caught:
            fetch(remote(url))
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "set/plain.mat",
        SHA256,
        f"put it at {cache / 'set/plain.mat'}",
        "SEQBENCH_MIRROR",
        f"{url}: no connection",
    ):
        assert part in message


def test_a_url_mirror_is_asked_first(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQBENCH_MIRROR", f"{server}/good/")
    fetch(remote(f"{server}/good/elsewhere.mat"))
    assert Handler.asked == ["/good/set/plain.mat"]


@pytest.mark.parametrize("how", ["missing", "corrupt", "hang"])
def test_after_a_bad_mirror_come_the_public_homes(server: str, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setenv("SEQBENCH_MIRROR", f"{server}/{how}")
    fetch(remote(f"{server}/good/elsewhere.mat"))
    assert Handler.asked == [f"/{how}/set/plain.mat", "/good/elsewhere.mat"]


def test_a_folder_mirror_is_copied(server: str, mirror: Path, cache: Path) -> None:
    wanted = remote(f"{server}/good/plain.mat")
    assert not everything_in(cache)
    assert fetch(wanted) == cache / "set" / "plain.mat"
    assert not Handler.asked
    shutil.rmtree(mirror)
    assert fetch(wanted).read_bytes() == CONTENT


def test_a_file_missing_in_a_folder_mirror(server: str, mirror: Path) -> None:
    (mirror / "plain.mat").unlink()
    with pytest.raises(DataError, match=r"mirror/set/plain\.mat: No such file"):
        fetch(remote())
    assert fetch(remote(f"{server}/good/plain.mat")).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "other", [gzip.compress(CONTENT, 1, mtime=1), CONTENT], ids=["compressed again", "not compressed"]
)
def test_only_the_payload_counts(mirror: Path, other: bytes) -> None:
    (mirror / "packed.gz").write_bytes(other)
    assert datasets.read(remote(filename="set/packed.gz")) == CONTENT


@pytest.mark.parametrize("filename", ["set/plain.mat", "set/packed.gz"])
def test_a_corrupt_cache_is_refused(server: str, mirror: Path, filename: str) -> None:
    wanted = remote(f"{server}/good/{filename}", filename=filename)
    path = fetch(wanted)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(
        DataError, match=r"is corrupt: the payload's sha256 is .* expected .*; delete it and fetch"
    ) as caught:
        fetch(wanted)
    assert str(path) in str(caught.value)
    assert SHA256 in str(caught.value)
    assert not Handler.asked
    path.unlink()
    assert datasets.read(wanted) == CONTENT


def test_the_sum_is_computed_once_for_an_unchanged_file(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetch(remote())
    summed: list[Path] = []
    plainly = datasets._payload_sum
    monkeypatch.setattr(datasets, "_payload_sum", lambda path, name: summed.append(path) or plainly(path, name))  # type: ignore[func-returns-value]
    fetch(remote())
    assert summed == []
    os.utime(path, ns=(1, 1))
    fetch(remote())
    fetch(remote())
    assert summed == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
def test_nothing_is_left_by_an_interruption(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupt(*_: object) -> None:
        raise error

    with pytest.raises(error):
        fetch(remote(f"{server}/good/plain.mat"), progress=interrupt)
    monkeypatch.setattr(datasets, "_payload_sum", interrupt)
    with pytest.raises(error):
        fetch(remote(f"{server}/good/plain.mat"))
    assert everything_in(cache) == []


def test_a_full_disk_is_said_and_nothing_is_left(server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"cannot write .*plain\.mat \(No space left on device\): make room"):
        fetch(remote(f"{server}/good/plain.mat", f"{server}/good/plain.mat"))
    assert len(Handler.asked) == 1
    assert everything_in(cache) == []


@pytest.fixture
def unwritable(cache: Path) -> Path:
    """A cache that nobody can write, root included: where its folder should be is a file."""
    cache.write_bytes(b"")
    return cache


def test_an_unwritable_cache_is_said(server: str, unwritable: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write .* or name another folder in SEQBENCH_DATA"):
        fetch(remote(f"{server}/good/plain.mat"))


def test_with_an_unwritable_cache_a_folder_mirror_is_used_in_place(unwritable: Path, mirror: Path) -> None:
    assert fetch(remote()) == mirror / "plain.mat"
    (mirror / "plain.mat").write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match=r"mirror/set/plain\.mat is corrupt"):
        fetch(remote())


def test_two_at_once_are_both_served(server: str, cache: Path) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch(remote(f"{server}/good/plain.mat")).read_bytes()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 8
    assert everything_in(cache) == ["plain.mat"]


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert datasets.cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("SEQBENCH_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert datasets.cache_folder() == tmp_path / "xdg" / "seqbench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert datasets.cache_folder() == Path.home() / ".cache" / "seqbench"
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setattr(sys, "platform", "win32")
    assert datasets.cache_folder() == tmp_path / "local" / "seqbench"


def test_sums_for_provenance() -> None:
    assert datasets.sums([remote(), Remote("b.gz", "1f")]) == {"set/plain.mat": SHA256, "b.gz": "1f"}
