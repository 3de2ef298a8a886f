"""Files inside archives: read as they are, and every way in which an archive is not what it should be."""

from __future__ import annotations

import gzip
import io
import random
import re
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from seqbench.tasks import _archives
from seqbench.tasks.datasets import DataError

WORDS = random.Random(0)
FILES = {
    "wikitext/wiki.train.tokens": bytes(WORDS.choices(b"abc \n", k=70_000)),
    "wikitext/wiki.valid.tokens": " = Größe = \n".encode() * 9,
    "wikitext/empty": b"",
    "wikitext/block": b"b" * 1024,  # whole blocks of a tar, no padding
    "licence": b"free",
}


def zipped(path: Path, files: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.mkdir("wikitext")
        for name, content in files:
            entry = zipfile.ZipInfo()
            entry.filename = entry.orig_filename = name  # as it is: the constructor would mend some names
            entry.compress_type = method
            archive.writestr(entry, content)
    return path


def tarred(path: Path, files: Iterable[tuple[str, bytes]], form: int = tarfile.GNU_FORMAT) -> Path:
    with tarfile.open(path, "w:gz", format=form) as archive:
        archive.addfile(folder("./wikitext"))
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def folder(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE
    return entry


MAKERS: dict[str, Callable[[Path, Iterable[tuple[str, bytes]]], Path]] = {
    "zip": zipped,
    "stored": lambda path, files: zipped(path, files, zipfile.ZIP_STORED),
    "tar.gz": tarred,
    "pax": lambda path, files: tarred(path, files, tarfile.PAX_FORMAT),
    "dotted": lambda path, files: tarred(path, [(f"./{name}", content) for name, content in files]),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Iterable[tuple[str, bytes]]], Path]:
    """Makes an archive of each kind, under a name that says nothing of it."""
    return lambda files: MAKERS[request.param](tmp_path / "archive", files)


Make = Callable[[Iterable[tuple[str, bytes]]], Path]


def test_members_are_listed_and_read(make: Make) -> None:
    archive = make(FILES.items())
    assert _archives.names(archive) == sorted(FILES)
    for name, content in FILES.items():
        assert _archives.read(archive, name) == content
        with _archives.opened(archive, name) as stream:
            lines = list(io.TextIOWrapper(stream, encoding="utf-8", newline="\n"))
        assert "".join(lines).encode() == content


def test_many_are_read_in_one_pass_in_the_archives_order(make: Make) -> None:
    archive = make(FILES.items())
    assert list(_archives.members(archive)) == list(FILES.items())
    asked: list[str] = []
    some = _archives.members(archive, lambda name: asked.append(name) or name.endswith("tokens"))  # type: ignore[func-returns-value]
    assert [name for name, _ in some] == [name for name in FILES if name.endswith("tokens")]
    assert asked == list(FILES)


def test_a_tar_inside_an_archive_is_read_in_the_same_pass(make: Make, tmp_path: Path) -> None:
    """So the novels of LAMBADA are kept."""
    novels = {f"train-novels/Fantasy/{number}.txt": b"x" * 511 * number for number in range(5)}
    inner = gzip.decompress(tarred(tmp_path / "inner", novels.items()).read_bytes())
    archive = make([("first", b"1"), ("train-novels.tar", inner), ("last", b"2")])
    assert list(_archives.members(archive, inside="train-novels.tar")) == list(novels.items())
    some = _archives.members(archive, lambda name: name.endswith("3.txt"), inside="train-novels.tar")
    assert [name for name, _ in some] == ["train-novels/Fantasy/3.txt"]
    with pytest.raises(DataError, match=r"holds no novels\.tar: the nearest is train-novels\.tar"):
        list(_archives.members(archive, inside="novels.tar"))
    with pytest.raises(DataError, match=r"archive is damaged or truncated"):
        list(_archives.members(archive, inside="last"))
    archive = make([("train-novels.tar", inner[:-2000])])
    with pytest.raises(DataError, match=r"archive .*is damaged or truncated"):
        list(_archives.members(archive, inside="train-novels.tar"))


def test_nothing_is_unpacked(make: Make, tmp_path: Path) -> None:
    archive = make(FILES.items())
    dict(_archives.members(archive))
    _archives.read(archive, "licence")
    assert list(tmp_path.iterdir()) == [archive]


def test_an_archive_can_be_empty(make: Make) -> None:
    archive = make([])
    assert _archives.names(archive) == list(_archives.members(archive)) == []
    with pytest.raises(DataError, match="holds no licence: it holds no file"):
        _archives.read(archive, "licence")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_one_member_at_a_time_is_in_memory(tmp_path: Path, kind: str) -> None:
    size = 4 << 20
    archive = MAKERS[kind](tmp_path / "archive", [(f"{number}", bytes(size)) for number in range(8)])
    tracemalloc.start()
    try:
        for item in _archives.members(archive):
            del item
        assert tracemalloc.get_traced_memory()[1] < 3.5 * size
        tracemalloc.reset_peak()
        with _archives.opened(archive, "7") as stream:
            while stream.read(1 << 16):
                pass
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def test_a_stream_may_be_left_early(make: Make) -> None:
    archive = make(FILES.items())
    with _archives.opened(archive, "wikitext/wiki.train.tokens") as stream:
        assert stream.read(10) == FILES["wikitext/wiki.train.tokens"][:10]
    passing = _archives.members(archive)
    assert next(passing)[0] == "wikitext/wiki.train.tokens"
    passing.close()  # type: ignore[attr-defined]


def test_errors_of_the_reader_are_its_own(make: Make) -> None:
    archive = make(FILES.items())
    with pytest.raises(EOFError), _archives.opened(archive, "licence"):
        raise EOFError
    with pytest.raises(ValueError, match="mine"):
        list(_archives.members(archive, lambda _: int("mine") > 0))


@pytest.mark.parametrize(
    ("member", "hint"),
    [
        ("wikitext/wiki.valid.token", "the nearest is wikitext/wiki.valid.tokens"),
        ("wikitext-103/wiki.valid.tokens", "the nearest is wikitext/wiki.valid.tokens"),
        ("xyz", "it holds licence, wikitext/block, wikitext/empty, wikitext/wiki.train.tokens, "),
        ("wikitext", "the nearest is wikitext/"),  # a folder is no file
    ],
)
def test_a_member_that_is_not_there(make: Make, member: str, hint: str) -> None:
    archive = make(FILES.items())
    with pytest.raises(DataError, match=f"{re.escape(str(archive))} holds no {member}: {hint}"):
        _archives.read(archive, member)


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "a/..", "C:/up", "c:up", "a\\b", "..\\up"])
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    archive = MAKERS[kind](tmp_path / "archive", [*FILES.items(), (name, b"")])
    for reading in every_reading(archive, "absent"):
        with pytest.raises(DataError, match=f"{re.escape(str(archive))} is refused: its member .* leads out"):
            reading()


def every_reading(archive: Path, member: str) -> list[Callable[[], object]]:
    return [
        lambda: _archives.names(archive),
        lambda: dict(_archives.members(archive)),
        lambda: _archives.read(archive, member),
    ]


def test_names_that_only_look_odd_are_read(make: Make) -> None:
    odd = {"a..b/c...txt": b"1", ".hidden": b"2", "größe": b"3", "with space": b"4", "x" * 180: b"5"}
    assert dict(_archives.members(make(odd.items()))) == odd


@pytest.mark.parametrize("name", ["", "."])
def test_what_has_no_name_is_passed_over(make: Make, name: str) -> None:
    archive = make([*FILES.items(), (name, b"nameless")])
    assert dict(_archives.members(archive)) == FILES


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../up", "licence"])
def test_links_in_a_tar_are_passed_over(tmp_path: Path, kind: bytes, target: str) -> None:
    archive = tmp_path / "archive"
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(real := tarfile.TarInfo("licence"))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = kind, target
        tar.addfile(link)
    assert _archives.names(archive) == [real.name]
    assert dict(_archives.members(archive)) == {"licence": b""}
    with pytest.raises(DataError, match="holds no link"):
        _archives.read(archive, "link")


def test_links_in_a_zip_are_passed_over(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    with zipfile.ZipFile(archive, "w") as held:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        held.writestr(link, "/etc/passwd")
    assert _archives.names(archive) == []
    with pytest.raises(DataError, match="holds no link"):
        _archives.read(archive, "link")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar.gz", "dotted"])
def test_a_file_that_is_there_twice_is_refused(tmp_path: Path, kind: str) -> None:
    archive = MAKERS[kind](tmp_path / "archive", [("licence", b"free"), ("licence", b"not free")])
    for reading in every_reading(archive, "absent"):
        with pytest.raises(DataError, match="is refused: it holds licence twice"):
            reading()


@pytest.mark.parametrize("content", [b"", b"P", b"<html>please log in</html>", b"\x1f\x9d\x90", b"PK\x07\x08"])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "wikitext-103-v1.zip"
    archive.write_bytes(content)
    for reading in every_reading(archive, "licence"):
        with pytest.raises(DataError, match=r"wikitext-103-v1\.zip is no \.zip and no \.tar\.gz: it begins with b"):
            reading()


def test_a_gzip_file_of_no_tar(tmp_path: Path) -> None:
    archive = tmp_path / "lambada.tar.gz"
    archive.write_bytes(gzip.compress(b"no tar " * 1000))
    for reading in every_reading(archive, "licence"):
        with pytest.raises(DataError, match=r"lambada\.tar\.gz is damaged or truncated \("):
            reading()


def test_what_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.zip", tmp_path):
        for reading in every_reading(path, "licence"):
            with pytest.raises(DataError, match=rf"cannot read {re.escape(str(path))} \("):
                reading()


def test_a_truncated_archive_is_said(make: Make) -> None:
    archive = make(FILES.items())
    whole = archive.read_bytes()
    for size in (*range(4, 60), len(whole) // 2, *range(len(whole) - 60, len(whole))):
        archive.write_bytes(whole[:size])
        for reading in every_reading(archive, "licence")[:2]:
            with pytest.raises(DataError, match=r"is damaged or truncated .*: delete it and get it again"):
                reading()


@pytest.mark.parametrize("end", ["in a header", "in a member", "between members"])
def test_a_tar_that_was_truncated_before_it_was_compressed_is_said(tmp_path: Path, end: str) -> None:
    archive = tarred(tmp_path / "archive", [("block", b"b" * 1024), ("licence", b"free")])
    size = {"in a header": 512 + 600 + 1024, "in a member": 512 + 512 + 1000, "between members": 512 + 512 + 1024}[end]
    archive.write_bytes(gzip.compress(gzip.decompress(archive.read_bytes())[:size]))
    for reading in every_reading(archive, "licence"):
        with pytest.raises(DataError, match="is damaged or truncated"):
            reading()


def test_a_broken_header_is_not_the_end_of_a_tar(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "archive", [("block", b"b" * 1024), ("licence", b"free")])
    content = bytearray(gzip.decompress(archive.read_bytes()))
    content[512 + 512 + 1024 + 3] ^= 1  # in the name of the second
    archive.write_bytes(gzip.compress(content))
    for reading in every_reading(archive, "licence"):
        with pytest.raises(DataError, match=r"is damaged or truncated \(bad checksum at byte 2048 of the tar\)"):
            reading()


def test_a_wrong_bit_is_never_taken_for_content(make: Make) -> None:
    """Whatever bit is wrong, reading fails or gives the true bytes (of a single member of a tar see `opened`)."""
    archive = make(FILES.items())
    whole = archive.read_bytes()
    chance = random.Random(1)
    refused = 0
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        archive.write_bytes(damaged)
        try:
            found = dict(_archives.members(archive))
        except DataError:
            refused += 1
        else:
            assert all(FILES[name] == content for name, content in found.items() if name in FILES)
    assert refused > 100


def test_a_wrong_checksum_names_the_member(tmp_path: Path) -> None:
    archive = MAKERS["stored"](tmp_path / "archive", FILES.items())
    archive.write_bytes(archive.read_bytes().replace(b"free", b"fred"))
    with pytest.raises(DataError, match=r"\(at licence\) is damaged or truncated \(Bad CRC-32"):
        _archives.read(archive, "licence")
    assert _archives.read(archive, "wikitext/block") == FILES["wikitext/block"]
    with pytest.raises(DataError, match=r"at licence"), _archives.opened(archive, "licence") as stream:
        stream.readlines()


def test_what_was_packed_in_another_way_is_said(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "archive", FILES.items(), zipfile.ZIP_BZIP2)
    with pytest.raises(DataError, match="compressed by method 12, not stored or deflated"):
        _archives.read(archive, "licence")
    content = bytearray(zipped(archive, FILES.items()).read_bytes())
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for found in re.finditer(re.escape(magic), bytes(content)):
            content[found.start() + flags] |= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match="holds licence encrypted"):
        _archives.read(archive, "licence")
