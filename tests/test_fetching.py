"""Fetching from end to end: several processes, archives that are then read, what a person sees of it."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from command import seqbench
from experiments import PATIENCE, SMALL, Recorder, sweep_in, wait_for, write
from file_server import CONTENT, OTHER, PART, SHA256, Server, everything_in
from seqbench.tasks import _archives
from seqbench.tasks.datasets import DataError, Remote, fetch, payload
from test_archives import FILES, MAKERS

BIG = bytes(range(256)) * (36 << 10)  # 9 MiB

PROGRAM = """
import sys
from seqbench.tasks import _downloads
from seqbench.tasks.datasets import Remote, fetch

_downloads.STALL_TIMEOUT = 600  # a server that hangs is not given up before the test lets it go
remote = Remote("set/large.zip", sys.argv[1], (sys.argv[2],), int(sys.argv[3]))
print(fetch(remote, say=lambda line: print(line, flush=True)))
"""

OWN_TASK = '''\
"""A task that needs a large file."""

from seqbench.tasks import adding, datasets


class Task(adding.Task):
    """Adding with a file."""

    remotes = (datasets.Remote("mine/numbers.bin", "SHA256", ("URL",), SIZE),)
'''


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEQBENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.delenv("SEQBENCH_MIRROR", raising=False)
    return tmp_path / "cache"


def process(url: str) -> subprocess.Popen[str]:
    """Another process that fetches."""
    command = [sys.executable, "-c", PROGRAM, SHA256, url, str(len(CONTENT))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_download_goes_on_in_the_next_process(server: Server, cache: Path) -> None:
    url = server.url("a", "hang 50000", "whole")
    part = cache / "set" / PART
    with process(url) as killed:
        try:
            assert server.hung.wait(PATIENCE)
            wait_for(lambda: part.exists() and part.stat().st_size, "what the server has sent")
        finally:
            killed.kill()
    had = part.stat().st_size
    assert not (cache / "set" / "large.zip").exists()
    with process(url) as second:
        assert second.stdout is not None
        assert second.stdout.read().strip() == str(cache / "set" / "large.zip")
    assert second.returncode == 0
    assert (cache / "set" / "large.zip").read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={had}-"]
    assert everything_in(cache) == ["large.zip"]


def test_two_processes_download_once(server: Server, cache: Path) -> None:
    url = server.url("a", "slow")
    with process(url) as one, process(url) as other:
        said = [one.communicate()[0].splitlines(), other.communicate()[0].splitlines()]
    assert [lines[-1] for lines in said] == [str(cache / "set" / "large.zip")] * 2
    assert one.returncode == other.returncode == 0
    assert server.ranges == [None]
    assert (cache / "set" / "large.zip").read_bytes() == CONTENT
    assert everything_in(cache) == ["large.zip"]


def test_who_waits_says_so_and_goes_on_when_the_first_is_killed(server: Server, cache: Path) -> None:
    url = server.url("a", "hang 50000", "whole")
    with process(url) as first:
        try:
            assert server.hung.wait(PATIENCE)
            with process(url) as second:
                assert second.stdout is not None
                assert second.stdout.readline() == "large.zip is being downloaded by another process: waiting for it\n"
                first.kill()
                assert second.stdout.read().strip() == str(cache / "set" / "large.zip")
        finally:
            first.kill()
    assert second.returncode == 0
    assert len(server.ranges) == 2
    assert (cache / "set" / "large.zip").read_bytes() == CONTENT
    assert everything_in(cache) == ["large.zip"]


@pytest.mark.parametrize(
    ("kind", "name"), [("zip", "wikitext.zip"), ("tar.gz", "wikitext.tar.gz"), ("tar.gz", "wikitext.tgz")]
)
def test_an_archive_is_fetched_and_read(server: Server, tmp_path: Path, cache: Path, kind: str, name: str) -> None:
    content = MAKERS[kind](tmp_path / "made", FILES.items()).read_bytes()
    url = server.url(name, f"break {len(content) // 2}", "whole", content=content)
    remote = Remote(f"set/{name}", hashlib.sha256(content).hexdigest(), (url, url), len(content))
    path = fetch(remote)
    assert path == cache / "set" / name
    assert payload(path) == content, "an archive is its own payload"
    assert _archives.names(path) == sorted(FILES)
    assert dict(_archives.members(path)) == FILES
    with _archives.opened(path, "wikitext/wiki.valid.tokens") as stream:
        assert stream.read() == FILES["wikitext/wiki.valid.tokens"]


def test_an_archive_that_was_compressed_again_is_another_file(server: Server, tmp_path: Path) -> None:
    content = MAKERS["tar.gz"](tmp_path / "made", FILES.items()).read_bytes()
    again = gzip.compress(gzip.decompress(content), 1, mtime=1)
    remote = Remote("a.tar.gz", hashlib.sha256(content).hexdigest(), (server.url("a", "whole", content=again),))
    with pytest.raises(DataError, match=f"the payload's sha256 is {hashlib.sha256(again).hexdigest()}"):
        fetch(remote)


@pytest.fixture
def siblings(server: Server) -> tuple[Remote, ...]:
    contents = {"train": CONTENT, "valid": OTHER}
    return tuple(
        Remote(f"ptb/ptb.{split}.txt", hashlib.sha256(content).hexdigest(), (server.url(split, "whole"),))
        for split, content in contents.items()
    )


def test_another_file_of_the_set_is_recognised(server: Server, siblings: tuple[Remote, ...], cache: Path) -> None:
    train, valid = siblings
    with pytest.raises(DataError, match=r"the payload's sha256 is \w+: this is ptb\.train\.txt, not ptb\.valid\.txt"):
        fetch(valid, siblings=siblings)
    with pytest.raises(DataError) as caught:
        fetch(valid)
    assert "this is" not in str(caught.value)
    place = cache / "ptb" / "ptb.train.txt"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(OTHER)
    with pytest.raises(DataError) as caught:
        fetch(train, siblings=siblings)
    message = str(caught.value)
    assert f"{place} is not the right file" in message
    assert "this is ptb.valid.txt, not ptb.train.txt; delete it and fetch again" in message


def test_a_persons_own_file_is_taken_for_its_sum(cache: Path) -> None:
    place = cache / "set" / "large.zip"
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    assert fetch(Remote("set/large.zip", SHA256, size=1)) == place


@pytest.fixture
def own_task(server: Server) -> str:
    """The text of a task that needs a file of 9 MiB, of which the server gives the first 8 and a half, then all."""
    url = server.url("numbers.bin", f"break {17 << 19}", "missing", "whole", content=BIG)
    text = OWN_TASK.replace("SHA256", hashlib.sha256(BIG).hexdigest()).replace("URL", url)
    return text.replace("SIZE", str(len(BIG)))


def test_the_verb_says_what_it_downloads(
    server: Server, own_task: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_task.py").write_text(own_task, encoding="utf-8")
    line = f"numbers.bin, 9 MiB, from 127.0.0.1:{server.server_port}"
    first = seqbench("fetch", "my_task.py")
    assert first.code == 1
    assert first.err.splitlines()[0] == line
    assert f"{17 << 19} of {len(BIG)} bytes are kept at {cache / 'mine'}" in first.err
    second = seqbench("fetch", "my_task.py", "--json")
    assert second.code == 0
    assert second.err.splitlines()[0] == f"{line}: going on from 8 MiB"
    assert second.json["failed"] == {}
    assert list(second.json["files"]) == ["mine/numbers.bin"]
    assert line not in seqbench("fetch", "my_task.py").err
    assert server.ranges == [None, f"bytes={17 << 19}-", f"bytes={17 << 19}-"]


def test_a_run_says_what_it_downloads_before_it_trains(server: Server, own_task: str, tmp_path: Path) -> None:
    server.answers["/numbers.bin"] = ["whole"]
    folder = write(tmp_path / "own", SMALL.replace("adding(", "my_task.py("), my_task=own_task)
    said: list[str] = []

    def begin() -> None:
        said.extend(display.said)
        raise KeyboardInterrupt  # the training is no matter

    display = Recorder(on_begin=begin)
    with pytest.raises(KeyboardInterrupt):
        sweep_in(folder, display)
    assert said == [f"numbers.bin, 9 MiB, from 127.0.0.1:{server.server_port}"]
