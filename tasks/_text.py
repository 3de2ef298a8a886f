"""From a text to the ids of its symbols: read in pieces, cut into words or characters, and counted.

An encoded text of N tokens is an integer array of N + 1: the symbol that stands before the text, then its tokens.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from . import _archives
from .datasets import DataError, Remote, fetch

END_OF_LINE, UNKNOWN = "<eos>", "<unk>"

_CHUNK = 1 << 24  # bytes cut into words at a time: some 400 MiB of small objects, however long the text

Ids = NDArray[Any]  # of integers
Parts = Generator[tuple[str, BinaryIO], None, None]


@dataclass(frozen=True)
class Source:
    """A text: what messages call it, and what gives its parts, which are joined in the order of their names."""

    name: str
    parts: Callable[[], Parts]


@dataclass(frozen=True)
class Encoded:
    """Texts by name, and what their ids stand for: the more frequent in the training text the lower, then by bytes."""

    symbols: list[str]
    texts: dict[str, Ids]
    files: dict[str, str]
    """Where each text comes from, for messages."""


def given(name: str, content: bytes) -> Source:
    """A text that is in memory already."""

    def parts() -> Parts:
        yield name, io.BytesIO(content)

    return Source(name, parts)


def file(remote: Remote) -> Source:
    """A text that is a file."""

    def parts() -> Parts:
        with fetch(remote).open("rb") as stream:
            yield remote.filename, stream

    return Source(remote.filename, parts)


def member(remote: Remote, path: str) -> Source:
    """A text that is a file in an archive, read from there."""
    name = f"{remote.filename}:{path}"

    def parts() -> Parts:
        with _archives.opened(fetch(remote), path) as stream:
            yield name, stream

    return Source(name, parts)


def word_list(remote: Remote) -> list[str]:
    """The different words of a file, in its order. Raises DataError where it is not UTF-8."""
    with fetch(remote).open("rb") as stream:
        words = [word for block in _lines(remote.filename, stream) for word in block.split()]
    return [word.decode() for word in dict.fromkeys(words)]


def encode_words(
    sources: Mapping[str, Source], size: int, known: Sequence[str] | None = None, prose: bool = False
) -> Encoded:
    """Texts cut into words at ASCII white space, each line (blank ones too) ended by `<eos>`.

    The vocabulary, of `size`, is what the text "train" holds; or it is `known` with `<eos>` and `<unk>` added, and
    `<unk>` stands for all other words. prose: lower-cased, and blank lines are passed over.

    Raises DataError where a text is empty, not UTF-8, has `<eos>` for a word, or a word that the vocabulary lacks,
    and where the vocabulary is not of `size`.
    """
    cut = _cut_prose if prose else _cut_lines
    index: Mapping[bytes, int]
    if known is None:
        index = defaultdict(count().__next__)  # numbers the words as they come
    else:
        index = _Open({word.encode(): number for number, word in enumerate([*known, END_OF_LINE, UNKNOWN])})
    pieces = _word_ids(sources["train"], index, cut)
    words = [*index]
    counts = _counts(pieces, len(words))
    order = sorted(range(len(words)), key=lambda number: (-counts[number], words[number]))
    symbols = [words[number] for number in order]
    _check(sources["train"], len(symbols), size, "words (with <eos>)")
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order))
    closed = (dict if known is None else _Open)(zip(symbols, count(), strict=False))
    before = closed[END_OF_LINE.encode()]
    texts = {"train": _joined(pieces, before, size, rank)}
    for name, source in sources.items():
        if name != "train":
            texts[name] = _joined(_word_ids(source, closed, cut), before, size)
    return Encoded([symbol.decode() for symbol in symbols], texts, _names(sources))


def encode_characters(sources: Mapping[str, Source], size: int, before: str, spelled: bool = False) -> Encoded:
    """Texts cut into characters, all ASCII; `before` stands before each text.

    The vocabulary, of `size`, is what the text "train" holds. spelled: the end of a line is the five characters of
    `<eos>` in place of one.

    Raises DataError where a text is empty, not UTF-8 or has a character that the vocabulary lacks, and where the
    vocabulary is not of `size`.
    """
    rank = np.full(256, -1, np.int16)
    rank[:128] = np.arange(128)
    pieces = _character_ids(sources["train"], rank, spelled)
    counts = _counts(pieces, 128)
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda code: (-counts[code], code))
    _check(sources["train"], len(order), size, "characters")
    rank[:] = -1
    rank[order] = np.arange(len(order))
    if rank[ord(before)] < 0:
        raise DataError(f"{sources['train'].name}: vocabulary mismatch: {before!r}, which ends a line, is not in it")
    texts = {"train": _joined(pieces, rank[ord(before)], size, rank)}
    for name, source in sources.items():
        if name != "train":
            texts[name] = _joined(_character_ids(source, rank, spelled), rank[ord(before)], size)
    return Encoded([chr(code) for code in order], texts, _names(sources))


def _names(sources: Mapping[str, Source]) -> dict[str, str]:
    return {name: source.name for name, source in sources.items()}


class _Open(dict[bytes, int]):
    """A vocabulary in which `<unk>` stands for every word that it lacks."""

    def __missing__(self, word: bytes) -> int:
        return self[UNKNOWN.encode()]


def _cut_lines(block: bytes) -> list[bytes]:
    return block.replace(b"\n", b" <eos> ").split()


def _cut_prose(block: bytes) -> list[bytes]:
    lines = block.decode().lower().encode().split(b"\n")
    return b"".join(line + b" <eos> " for line in lines if line.strip()).split()


def _word_ids(source: Source, index: Mapping[bytes, int], cut: Callable[[bytes], list[bytes]]) -> list[Ids]:
    """The ids of a text, piece by piece."""
    pieces_of: dict[str, list[Ids]] = {}
    with closing(source.parts()) as parts:
        for name, stream in parts:
            pieces, line = pieces_of.setdefault(name, []), 1
            for block in _lines(name, stream):
                words = cut(block)
                if b"<eos>" in block and b"<eos>" in block.split():
                    raise DataError(f"{name} has the word <eos>, which stands for the end of a line")
                try:
                    pieces.append(np.fromiter(map(index.__getitem__, words), np.int32, len(words)))
                except KeyError:
                    at = next(at for at, word in enumerate(words) if word not in index)
                    place = line + words[:at].count(b"<eos>")
                    raise DataError(
                        f"{name}: vocabulary mismatch: the word {words[at].decode()!r} in line {place} "
                        "is not in the training text; the files do not belong together"
                    ) from None
                line += block.count(b"\n")
    return _not_empty(source, [piece for name in sorted(pieces_of) for piece in pieces_of[name]])


def _character_ids(source: Source, rank: NDArray[np.int16], spelled: bool) -> list[Ids]:
    """`rank` of every byte of a text, piece by piece."""
    pieces = []
    with closing(source.parts()) as parts:
        for name, stream in parts:
            line = 1
            for chunk in _chunks(name, stream):
                shown = chunk.replace(b"\n", END_OF_LINE.encode()) if spelled else chunk
                ids = rank[np.frombuffer(shown, np.uint8)]
                if ids.min() < 0:
                    text = chunk.decode()
                    at = next(at for at, character in enumerate(text) if not _has(rank, character, spelled))
                    raise DataError(
                        f"{name}: vocabulary mismatch: the character {text[at]!r} in line "
                        f"{line + text[:at].count(chr(10))} is not ASCII, or not in the training text; "
                        "it is another text, or the files do not belong together"
                    )
                pieces.append(ids)
                line += chunk.count(b"\n")
    return _not_empty(source, pieces)


def _has(rank: NDArray[np.int16], character: str, spelled: bool) -> bool:
    return (spelled and character == "\n") or (ord(character) < 128 and bool(rank[ord(character)] >= 0))


def _not_empty(source: Source, pieces: list[Ids]) -> list[Ids]:
    if not sum(map(len, pieces)):
        raise DataError(f"{source.name} is empty: delete it and get it again")
    return pieces


def _lines(name: str, stream: BinaryIO) -> Iterator[bytes]:
    """The text in blocks of whole lines, each with its end."""
    rest = b""
    for chunk in _chunks(name, stream):
        cut = chunk.rfind(b"\n") + 1
        if cut:
            yield rest + chunk[:cut]
            rest = chunk[cut:]
        else:
            rest += chunk
    if rest:
        yield rest + b"\n"


def _chunks(name: str, stream: BinaryIO) -> Iterator[bytes]:
    """The text in blocks of whole characters. Raises DataError where it is not UTF-8."""
    rest, offset = b"", 0
    while chunk := stream.read(_CHUNK):
        text = rest + chunk
        end = len(text)
        try:
            text.decode()
        except UnicodeDecodeError as error:
            end = error.start
            if error.reason != "unexpected end of data":  # else the rest of the character comes with the next chunk
                raise _no_text(name, text[end], offset + end) from None
        if end:
            yield text[:end]
        rest, offset = text[end:], offset + end
    if rest:
        raise _no_text(name, rest[0], offset)


def _no_text(name: str, byte: int, offset: int) -> DataError:
    return DataError(f"{name} is not UTF-8 text: byte 0x{byte:02x} at offset {offset}; delete it and get it again")


def _check(source: Source, found: int, size: int, what: str) -> None:
    if found != size:
        raise DataError(
            f"{source.name}: vocabulary mismatch: {found:,} {what}, where {size:,} are expected; it is another text, "
            "or another version of it"
        )


def _counts(pieces: Iterable[Ids], size: int) -> NDArray[np.int64]:
    """How often each id occurs, (size,)."""
    counts = np.zeros(size, np.int64)
    for piece in pieces:
        counts += np.bincount(piece, minlength=size)
    return counts


def _joined(pieces: list[Ids], before: int, size: int, rank: Ids | None = None) -> Ids:
    """`before`, then the pieces, each id as its `rank`, in the smallest type; the pieces are used up."""
    joined = np.empty(1 + sum(map(len, pieces)), np.int16 if size < 1 << 15 else np.int32)
    joined[0] = before
    end = len(joined)
    while pieces:  # from the end, so that what is done with can go
        piece = pieces.pop()
        joined[end - len(piece) : end] = piece if rank is None else rank[piece]
        end -= len(piece)
    return joined
