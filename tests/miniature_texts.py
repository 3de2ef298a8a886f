"""Texts in the formats of the true ones, a few thousand symbols each, in which a word often follows the same word."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_WORDS = (
    "the <unk> N of to a in and 's that for $ is it said on by at as from million mr. was be its with has an have will "
    "would which company year but they this are he new n't stock or about corp. quick fox jumped over lazy dog zebra"
)
WORDS = _WORDS.split()
NOVEL = [word for word in WORDS if word[0] not in "<N$"]


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


def files() -> dict[str, bytes]:
    """Name in the mirror -> content of every file of text."""
    return treebank()


def sizes() -> Mapping[str, Mapping[str, int]]:
    """Task -> what its true files and the miniature have differently: the class constants that count them."""
    text = b"".join(treebank().values())
    return {"ptb_word": {"vocabulary": len({*text.split()}) + 1}, "ptb_char": {"vocabulary": len({*text})}}
