"""Large downloads: going on where one broke off, from wherever, and every way in which that could go wrong."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest
from file_server import CONTENT, LONGER, OTHER, PART, SHA256, Handler, Server, everything_in
from seqbench.tasks import _downloads
from seqbench.tasks.datasets import DataError, Remote, fetch


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, in which already a thousand bytes are worth keeping."""
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.delenv("SEQBENCH_MIRROR", raising=False)
    monkeypatch.setattr(_downloads, "LARGE", 1000)
    return tmp_path / "cache"


def remote(*urls: str, size: int | None = len(CONTENT)) -> Remote:
    return Remote("set/large.zip", SHA256, urls, size)


def leave_part(cache: Path, content: bytes) -> None:
    (cache / "set").mkdir(parents=True)
    (cache / "set" / PART).write_bytes(content)


def test_a_broken_download_goes_on_from_where_it_broke_off(server: Server, cache: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    url = server.url("a", "break 50000", "break 120000", "whole")
    path = fetch(remote(url), progress=lambda *state: seen.append(state))
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=50000-", "bytes=120000-"]
    assert [received for _, received, _ in seen] == sorted({received for _, received, _ in seen})
    assert seen[-1] == ("set/large.zip", len(CONTENT), len(CONTENT))
    assert {total for _, _, total in seen} == {len(CONTENT)}
    assert everything_in(cache) == ["large.zip"]
    assert server.agents == {"seqbench"}


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_the_next_source_goes_on(server: Server, size: int | None) -> None:
    first, second = server.url("a", "break 50000", "missing"), server.url("b", "whole")
    assert fetch(remote(first, second, size=size)).read_bytes() == CONTENT
    assert server.asked == [("/a", None), ("/a", "bytes=50000-"), ("/b", "bytes=50000-")]


@pytest.mark.parametrize(("size", "of_all"), [(len(CONTENT), " of 200000"), (None, "")])
def test_the_next_call_goes_on(server: Server, cache: Path, size: int | None, of_all: str) -> None:
    url = server.url("a", "break 50000", "missing", "whole")
    part = cache / "set" / PART
    kept = f"50000{of_all} bytes are kept at {part} and the next try goes on from there"
    with pytest.raises(DataError, match=re.escape(f"{url}: HTTP 404; {kept}")):
        fetch(remote(url, size=size))
    assert part.read_bytes() == CONTENT[:50_000]
    assert everything_in(cache) == [PART]
    assert fetch(remote(url, size=size)).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=50000-", "bytes=50000-"]
    assert everything_in(cache) == ["large.zip"]


def test_a_small_part_is_not_kept(server: Server, cache: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch(remote(server.url("a", "break 900")))
    assert "broke off after 900 of 200000 bytes" in str(caught.value)
    assert "bytes are kept" not in str(caught.value)
    assert everything_in(cache) == []
    assert server.ranges == [None]


def test_an_interruption_keeps_a_large_part(server: Server, cache: Path) -> None:
    def interrupt(_: str, received: int, __: int | None) -> None:
        if received >= 50_000:
            raise KeyboardInterrupt

    url = server.url("a", "whole")
    with pytest.raises(KeyboardInterrupt):
        fetch(remote(url), progress=interrupt)
    (name,) = everything_in(cache)
    had = (cache / "set" / name).stat().st_size
    assert name == PART
    assert 50_000 <= had < len(CONTENT)
    assert fetch(remote(url)).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={had}-"]


def test_a_full_disk_keeps_a_large_part(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    url = server.url("a", "whole")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match=r"cannot write .* \(No space left on device\): .*; 200000 of 200000 bytes"):
            fetch(remote(url))
    assert fetch(remote(url)).read_bytes() == CONTENT
    assert server.ranges == [None]
    assert everything_in(cache) == ["large.zip"]


@pytest.mark.parametrize("answer", ["rangeless", "elsewhere", "unsaid", "unsatisfiable 3", "unsatisfiable *"])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_server_that_cannot_go_on_gives_the_whole(server: Server, cache: Path, answer: str, size: int | None) -> None:
    leave_part(cache, CONTENT[:50_000])
    assert fetch(remote(server.url("a", answer, "whole"), size=size)).read_bytes() == CONTENT
    assert server.ranges == ["bytes=50000-"] + [None] * (answer != "rangeless")
    assert everything_in(cache) == ["large.zip"]


def test_a_rangeless_server_that_always_breaks_off_is_given_up(server: Server, cache: Path) -> None:
    class Rangeless(Handler):
        def parse_request(self) -> bool:
            parsed = super().parse_request()
            del self.headers["Range"]
            return parsed

    server.RequestHandlerClass = Rangeless
    with pytest.raises(DataError, match="50000 of 200000 bytes are kept"):
        fetch(remote(server.url("a", "break 50000")))
    assert server.ranges == [None, None]


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_another_total_is_not_gone_on_with(server: Server, cache: Path, size: int | None) -> None:
    leave_part(cache, CONTENT[:50_000])
    bad, good = server.url("a", "longer"), server.url("b", "whole")
    said: list[str] = []
    assert fetch(remote(bad, good, size=size), say=said.append).read_bytes() == CONTENT
    assert server.asked == [("/a", "bytes=50000-"), ("/a", None), ("/b", None)]
    assert any("going on" in line for line in said) == (size is None), "where the size is known, it is seen at once"


def test_content_that_changed_between_tries_is_asked_for_anew(server: Server, cache: Path) -> None:
    leave_part(cache, OTHER[:50_000])
    assert fetch(remote(server.url("a", "whole"))).read_bytes() == CONTENT
    assert server.ranges == ["bytes=50000-", None]
    assert everything_in(cache) == ["large.zip"]


@pytest.mark.parametrize("begun", [CONTENT[:50_000], OTHER[:50_000], b""])
def test_a_wrong_sum_leaves_nothing(server: Server, cache: Path, begun: bytes) -> None:
    leave_part(cache, begun)
    with pytest.raises(DataError, match=f"the payload's sha256 is {hashlib.sha256(OTHER).hexdigest()}") as caught:
        fetch(remote(server.url("a", "bad")))
    assert "bytes are kept" not in str(caught.value)
    assert server.ranges == (["bytes=50000-", None] if begun else [None])
    assert everything_in(cache) == []


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_part_that_lacks_nothing_is_verified(server: Server, cache: Path, size: int | None) -> None:
    leave_part(cache, CONTENT)
    assert fetch(remote(server.url("a", "whole"), size=size)).read_bytes() == CONTENT
    assert server.ranges == ([] if size else ["bytes=200000-"])


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_part_that_is_too_long_begins_anew(server: Server, cache: Path, size: int | None) -> None:
    leave_part(cache, LONGER)
    assert fetch(remote(server.url("a", "whole"), size=size)).read_bytes() == CONTENT
    assert server.ranges == ([None] if size else ["bytes=200004-", None])


def test_a_part_is_dropped_when_the_file_comes_in_another_way(cache: Path) -> None:
    leave_part(cache, CONTENT[:50_000])
    (cache / "set" / "large.zip").write_bytes(CONTENT)
    assert fetch(remote()).read_bytes() == CONTENT
    assert everything_in(cache) == ["large.zip"]


def test_a_part_that_someone_writes_is_not_dropped(cache: Path) -> None:
    part = _downloads.Part(cache / "set" / "large.zip", SHA256)
    with part.held() as path:
        path.write_bytes(CONTENT[:50_000])
        _downloads.Part(cache / "set" / "large.zip", SHA256).drop()
        assert path.read_bytes() == CONTENT[:50_000]
    assert everything_in(cache) == [PART]


@pytest.mark.parametrize(
    ("answer", "size", "reason"),
    [
        ("declares " + "9" * 5000, None, "sha256|HTTP|broke off"),
        ("declares 5000000000", None, "declares 5000000000 bytes, and no file has more than"),
        ("endless", len(CONTENT), r"sends more than \d+ bytes"),
        ("endless", None, r"sends more than \d+ bytes"),
        ("moved http://[::1", None, r"."),
        ("moved http://a..b/", None, r"."),
        ("moved http://" + "a" * 300 + "/", None, r"."),
        ("moved http://127.0.0.1:99999999/", None, r"."),
        ("moved //", None, r"."),
        ("moved file:///etc/passwd", None, r"."),
    ],
)
def test_a_server_that_misleads_is_passed_over(
    answer: str, size: int | None, reason: str, server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_downloads, "LARGEST", 20 * len(CONTENT))
    first = server.url("a", answer)
    if not answer.startswith("declares 99"):  # such a number says nothing, and the file comes all the same
        with pytest.raises(DataError, match=f"tried {re.escape(first)}: {reason}") as raised:
            fetch(remote(first, size=size))
        assert "\n" not in str(raised.value)
        assert everything_in(cache) == []
    assert fetch(remote(first, server.url("b", "whole"), size=size)).read_bytes() == CONTENT
    assert everything_in(cache) == ["large.zip"]


@pytest.mark.parametrize("from_mirror", [True, False])
def test_what_a_killed_copy_left_is_removed(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_mirror: bool
) -> None:
    """By the next that fetches the file, from wherever."""
    left = _downloads.Part(cache / "set" / "large.zip", SHA256).copy
    left.parent.mkdir(parents=True)
    left.write_bytes(CONTENT[:10])
    if from_mirror:
        (tmp_path / "mirror" / "set").mkdir(parents=True)
        (tmp_path / "mirror" / "set" / "large.zip").write_bytes(CONTENT)
        monkeypatch.setenv("SEQBENCH_MIRROR", str(tmp_path / "mirror"))
    assert fetch(remote(server.url("a", "whole"))).read_bytes() == CONTENT
    assert everything_in(cache) == ["large.zip"]
    assert len(server.asked) == (0 if from_mirror else 1)
