"""From texts to ids, against plain Python; and the cache that keeps them."""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from seqbench.tasks import _text
from seqbench.tasks.datasets import DataError


def sources(contents: dict[str, str | bytes]) -> dict[str, _text.Source]:
    """Texts by name, each of a file of that name."""
    encoded = {name: text if isinstance(text, bytes) else text.encode() for name, text in contents.items()}
    return {name: _text.given(f"{name}.txt", content) for name, content in encoded.items()}


def words(text: str | bytes, size: int, **others: str | bytes) -> _text.Encoded:
    """A training text and others as words."""
    return _text.encode_words(sources({"train": text, **others}), size)


def characters(
    text: str | bytes, size: int, before: str = "\n", spelled: bool = False, **others: str | bytes
) -> _text.Encoded:
    """A training text and others as characters."""
    return _text.encode_characters(sources({"train": text, **others}), size, before, spelled)


def shown(encoded: _text.Encoded, name: str = "train") -> list[str]:
    """The symbols of a text, after the one that stands before it."""
    return [encoded.symbols[number] for number in encoded.texts[name].tolist()]


def test_words_lines_and_the_order_of_ids() -> None:
    encoded = words("  the cat  sat\n\n the\tdog\n", 5, test="dog sat")
    assert encoded.symbols == ["<eos>", "the", "cat", "dog", "sat"]  # 3, 2, 1, 1, 1 times
    assert shown(encoded) == ["<eos>", *["the", "cat", "sat", "<eos>", "<eos>", "the", "dog", "<eos>"]]
    assert shown(encoded, "test") == ["<eos>", "dog", "sat", "<eos>"]  # a last line needs no end
    assert encoded.texts["train"].dtype == np.int16
    assert encoded.files == {"train": "train.txt", "test": "test.txt"}


def test_characters_and_spelled_ends_of_lines() -> None:
    encoded = characters("ab\nb\n", 3, test="ba")
    assert encoded.symbols == ["\n", "b", "a"]
    assert shown(encoded) == ["\n", "a", "b", "\n", "b", "\n"]
    assert shown(encoded, "test") == ["\n", "b", "a"]
    spelled = characters("ab\nb\n", 7, ">", spelled=True)
    assert "".join(shown(spelled)) == ">ab<eos>b<eos>"
    assert spelled.symbols == ["<", ">", "b", "e", "o", "s", "a"]


def test_a_prose_of_a_known_vocabulary() -> None:
    source = _text.given("novel.txt", " The Þórr\n \t\n\nZZ the\nIT".encode())
    encoded = _text.encode_words({"train": source}, 6, ["it", "never", "the", "þórr"], prose=True)
    assert encoded.symbols == ["<eos>", "the", "<unk>", "it", "þórr", "never"]
    assert shown(encoded) == ["<eos>", "the", "þórr", "<eos>", "<unk>", "the", "<eos>", "it", "<eos>"]


@pytest.mark.parametrize("chunk", [1, 2, 5, 64, 1 << 24])
def test_any_text_in_pieces_of_any_size(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_text, "_CHUNK", chunk)
    draw = random.Random(chunk)
    pool = ["a", "bb", "ä", "Þórr", "日本", "🦊", "x\u00a0y", "N", "<unk>"]
    for _ in range(20):
        lines = [draw.choices(pool, k=draw.randint(0, 6)) for _ in range(draw.randint(1, 9))]
        text = "\n".join(draw.choice([" ", "  "]).join(line) + draw.choice(["", " "]) for line in lines) + "\n"
        expected = [word for line in lines for word in (*line, "<eos>")]
        counts = Counter(expected)
        encoded = words(text, len(counts))
        assert shown(encoded)[1:] == expected
        assert encoded.symbols == sorted(counts, key=lambda word: (-counts[word], word.encode()))
        plain = text.encode("ascii", "ignore").decode()
        each = Counter(plain)
        as_characters = characters(plain, len(each))
        assert shown(as_characters)[1:] == [*plain]
        assert as_characters.symbols == sorted(each, key=lambda character: (-each[character], character))


def test_ids_are_as_small_as_they_can_be() -> None:
    text = " ".join(f"w{number}" for number in range(33_000))
    encoded = words(text, 33_001)
    assert encoded.texts["train"].dtype == np.int32
    assert encoded.texts["train"].max() == 33_000
    assert len(encoded.texts["train"]) == 33_002


def test_parts_are_joined_in_the_order_of_their_names() -> None:
    def parts() -> _text.Parts:
        for name, content in (("b", b"two\n"), ("c", b""), ("a", b"one\n")):
            yield name, io.BytesIO(content)

    encoded = _text.encode_words({"train": _text.Source("novels", parts)}, 3)
    assert shown(encoded)[1:] == ["one", "<eos>", "two", "<eos>"]


@pytest.mark.parametrize("chunk", [3, 1 << 24])
@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda: words("", 1), "^train.txt is empty"),
        (lambda: characters("a\n", 2, test=""), "^test.txt is empty"),
        (lambda: words(b"abc\nx \xe9t\xe9\n", 3), "^train.txt is not UTF-8 text: byte 0xe9 at offset 6; "),
        (lambda: words("ä ä".encode() + b"\xc3", 2), "^train.txt is not UTF-8 text: byte 0xc3 at offset 5; "),
        (lambda: words(b"\xff\xfea\x00", 2), "^train.txt is not UTF-8 text: byte 0xff at offset 0; "),
        (lambda: characters("a\n", 2, test=b"a\x80"), "^test.txt is not UTF-8 text: byte 0x80 at offset 1; "),
        (lambda: words("a b\nc <eos> d\n", 5), "^train.txt has the word <eos>, which stands for the end of a line"),
        (lambda: words("a b\n", 7), r"^train.txt: vocabulary mismatch: 3 words \(with <eos>\), where 7 are expected"),
        (lambda: characters("a b\n", 1000), "^train.txt: vocabulary mismatch: 4 characters, where 1,000 are expected"),
        (
            lambda: words("a b\n", 3, valid="a\n\nb a\na x b y\n"),
            "^valid.txt: vocabulary mismatch: the word 'x' in line 4 is not in the training text",
        ),
        (
            lambda: characters("ab\n", 3, valid="aaaa\n\nabc\n"),
            "^valid.txt: vocabulary mismatch: the character 'c' in line 3 is not ASCII, or not in the training text",
        ),
        (
            lambda: characters("ab\n", 7, ">", spelled=True, valid="aaaa\n\nab…\n"),
            "^valid.txt: vocabulary mismatch: the character '…' in line 3 is not ASCII, or not",
        ),
        (lambda: characters("aä\n", 3), "^train.txt: vocabulary mismatch: the character 'ä' in line 1 is not ASCII"),
        (lambda: characters("ab", 2), r"^train.txt: vocabulary mismatch: '\\n', which ends a line, is not in it"),
    ],
)
def test_bad_texts_are_refused_in_words(
    encode: Callable[[], _text.Encoded], message: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_text, "_CHUNK", chunk)
    with pytest.raises(DataError, match=message):
        encode()
