"""Texts in the formats of the true ones, a few thousand symbols each, in which a word often follows the same word."""

from __future__ import annotations

import gzip
import io
import string
import tarfile
import zipfile
from collections.abc import Mapping

import numpy as np

_WORDS = (
    "the <unk> N of to a in and 's that for $ is it said on by at as from million mr. was be its with has an have will "
    "would which company year but they this are he new n't stock or about corp. quick fox jumped over lazy dog zebra"
)
WORDS = _WORDS.split()
NOVEL = [word for word in WORDS if word[0] not in "<N$"]
LISTED = sorted([*NOVEL, "þórr", "zyzzyva"])  # the last is in no novel
TEXT8 = 10_000


def lines(count: int, seed: int, words: list[str] = WORDS, every: bool = False) -> list[list[str]]:
    """Lines of 3 to 12 words; after most words comes the one at twice its place. every: all come at least once."""
    random = np.random.RandomState(seed)
    text, word = [], 0
    for _ in range(count):
        line = []
        for _ in range(random.randint(3, 13)):
            word = 2 * word + 1 if random.rand() < 0.7 else int(random.zipf(1.5))
            word %= len(words)
            line.append(words[word])
        text.append(line)
    return [*text, words] if every else text


def treebank() -> dict[str, bytes]:
    """Plain files of lines with a space before and after."""
    texts = {}
    for number, (name, count) in enumerate((("train", 200), ("valid", 40), ("test", 40))):
        text = lines(count, number, every=name == "train")
        texts[f"ptb/ptb.{name}.txt"] = "".join(f" {' '.join(line)} \n" for line in text).encode()
    return texts


def wikitext() -> bytes:
    """A zip of articles: titles between equal signs, blank lines, words that are not ASCII."""
    words = [*WORDS, "@-@", "–", "Þórr"]
    parts = {}
    for number, (name, count) in enumerate((("train", 150), ("valid", 30), ("test", 30))):
        text = lines(count, 10 + number, words, every=name == "train")
        articles = (f" \n = {line[0]} = \n \n {' '.join(line[1:])} \n" for line in text)
        parts[f"wikitext-103/wiki.{name}.tokens"] = "".join(articles).encode()
    return zipped(parts)


def text8() -> bytes:
    """10,000 characters; the first have the whole alphabet."""
    text = " ".join(word for line in lines(800, 20, NOVEL) for word in line if word.isalpha())
    return (f" {string.ascii_lowercase} {text}").encode()[:TEXT8]


def lambada() -> bytes:
    """A tar.gz of three files of passages and a tar of three novels, which are not in the order of their names."""
    novels = {}
    for number, name in enumerate(("Romance/her_fox", "Adventure/zebras", "Adventure/lazy_dogs")):
        sentences = (" ".join(line).capitalize() for line in lines(60, 30 + number, [*NOVEL, "xylophone", "Þórr"]))
        novels[f"train-novels/{name}.txt"] = "\n\n".join(sentences).encode()
    parts = {"train-novels.tar": tarred(novels)}
    for number, (name, count) in enumerate((("development", 20), ("test", 20), ("control_test_data", 10))):
        passages = [line[:7] for line in lines(count, 40 + number, NOVEL)]
        passages[3] = [*passages[3][:4], "xylophone"]  # which the vocabulary lacks
        text = "".join(f"{' '.join(passage)}\n" for passage in passages)
        parts[f"lambada_{name}_plain_text.txt"] = text.encode()
    return gzip.compress(tarred(parts), mtime=0)


def reviews() -> dict[str, bytes]:
    """Labelled sentences, most of which have a word that gives their class away; and the same in a file a class.

    As in the true files one sentence has a non-breaking space, and the other files have an ellipsis of Windows-1252,
    which Unicode takes for the end of a line.
    """
    random = np.random.RandomState(50)
    parts: dict[str, bytes] = {}
    both: dict[int, list[str]] = {0: [], 1: []}
    for number, (name, count) in enumerate((("train", 60), ("dev", 24), ("test", 30))):
        rows = []
        for place, words in enumerate(lines(count, 60 + number, NOVEL)):
            label = int(random.randint(2))
            telling = "fox" if label else "zebra"
            sentence = " ".join([*words, telling] if random.rand() < 0.9 else words)
            both[label].append(sentence)
            rows.append(f"{label} {sentence}\u00a0." if place == 3 else f"{label} {sentence}")
        parts[f"sst2/stsa.binary.{name}"] = "".join(f"{row}\n" for row in rows).encode()
    for label, name in enumerate(("neg", "pos")):
        found = [f"{sentence} " for sentence in both[label]]
        found[2] = f"{found[2]}caf\u00e9 and so on\u2026 "
        parts[f"mr/rt-polarity.{name}"] = "".join(f"{row}\n" for row in found).encode("cp1252")
    return parts


def zipped(parts: Mapping[str, bytes]) -> bytes:
    """A zip, the same bytes whenever it is made."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def tarred(parts: Mapping[str, bytes]) -> bytes:
    """A tar, the same bytes whenever it is made."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, part in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(part)
            archive.addfile(entry, io.BytesIO(part))
    return content.getvalue()


def files() -> dict[str, bytes]:
    """Name in the mirror -> content of every file of text."""
    return treebank() | {
        "wikitext-103/wikitext-103-v1.zip": wikitext(),
        "text8/text8.zip": zipped({"text8": text8()}),
        "lambada/lambada-dataset.tar.gz": lambada(),
        "lambada/lambada_vocabulary_sorted.txt": "".join(f"{word}\n" for word in LISTED).encode(),
    }


def sizes() -> Mapping[str, Mapping[str, int]]:
    """Task -> the class constants that count what is in its files."""
    text = b"".join(treebank().values())
    return {
        "ptb_word": {"vocabulary": len({*text.split()}) + 1},
        "ptb_char": {"vocabulary": len({*text})},
        "wikitext_103": {"vocabulary": len(WORDS) + 5},
        "text8": {"vocabulary": 27, "characters": TEXT8},
        "lambada": {"vocabulary": len(LISTED) + 2},
    }
