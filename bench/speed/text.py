"""How fast texts are cut into words and characters and encoded, against a plain loop as published code has it.

An asv suite on a text of a million words; `python bench/speed/text.py` prints the two side by side, then makes a text
of the size of WikiText-103 (103 million tokens, words by Zipf's law), encodes it from its archive as the task does, and
prints seconds and the peak of memory of the process that did it. It needs 3 GB of disk for a while; `--small` leaves
this out.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

VOCABULARY, TOKENS, LINE = 267_735, 103_227_021, 57  # of WikiText-103, <eos> among them; tokens of a line
SMALL, SMALL_VOCABULARY = 1_000_000, 10_000
_AT_A_TIME = 1 << 20


def zipf_text(tokens: int, vocabulary: int) -> Iterator[bytes]:
    """A text of about `tokens` in pieces, the ends of lines counted, in which all of `vocabulary` occur.

    The n-th word is about 1/n as often there as the first.
    """
    words = np.array([_letters(rank) for rank in range(vocabulary - 1)], dtype=object)
    random = np.random.RandomState(0)
    every = np.arange(vocabulary - 1)
    drawn = tokens // LINE * (LINE - 1)  # a line is LINE - 1 words and its end
    for begin in range(0, drawn, _AT_A_TIME // LINE * (LINE - 1)):
        count = min(_AT_A_TIME // LINE * (LINE - 1), drawn - begin)
        ranks = (vocabulary ** random.rand(count)).astype(np.int64) - 1
        ranks = np.minimum(ranks, vocabulary - 2)
        first, every = every[:count], every[count:]
        ranks[: len(first)] = first
        lines = words[ranks].reshape(-1, LINE - 1)
        yield "".join(f" {' '.join(line)} \n" for line in lines.tolist()).encode()


def _letters(rank: int) -> str:
    """A word of four small letters for a rank: the text has 5 bytes a token, as WikiText-103 has."""
    word = ""
    rank += 26**3
    while rank:
        rank, letter = divmod(rank, 26)
        word += chr(97 + letter)
    return word


def published_loop(text: bytes) -> np.ndarray:
    """The published way: every word through a dictionary, twice, and each id put in its place."""
    numbers: dict[str, int] = {}
    words = [[*line.split(), "<eos>"] for line in text.decode().splitlines()]
    tokens = 0
    for line in words:
        tokens += len(line)
        for word in line:
            if word not in numbers:
                numbers[word] = len(numbers)
    ids = np.empty(tokens, np.int64)
    token = 0
    for line in words:
        for word in line:
            ids[token] = numbers[word]
            token += 1
    return ids


class Encoding:
    """A million words, and the five million characters of which they are made."""

    version = "1"
    rounds, repeat, timeout = 1, (2, 5, 2.0), 60

    def setup(self) -> None:
        try:
            from seqbench.tasks import _text
        except ImportError as error:
            raise NotImplementedError("there are no texts yet") from error
        self.encoding = _text
        self.text = b"".join(zipf_text(SMALL, SMALL_VOCABULARY))
        self.alphabet = len({*self.text})

    def time_words(self) -> None:
        self.encoding.encode_words({"train": self.encoding.given("text", self.text)}, SMALL_VOCABULARY)

    def time_characters(self) -> None:
        self.encoding.encode_characters({"train": self.encoding.given("text", self.text)}, self.alphabet, "\n")

    def peakmem_words(self) -> None:
        self.time_words()

    def time_published_loop(self) -> None:
        published_loop(self.text)


def fastest(function: Callable[[], object], repeat: int) -> float:
    """Milliseconds of the fastest of `repeat` calls."""
    milliseconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        milliseconds.append(1000 * (time.perf_counter() - start))
    return min(milliseconds)


def write_archive(path: Path) -> int:
    """An archive like WikiText-103's; returns the bytes of the training text."""
    size = 0
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, tokens in (("train", TOKENS), ("valid", 217_646), ("test", 245_569)):
            with archive.open(f"wikitext-103/wiki.{name}.tokens", "w", force_zip64=True) as file:
                for piece in zipf_text(tokens, VOCABULARY):
                    file.write(piece)
                    size += len(piece) if name == "train" else 0
    return size


def encode(folder: Path) -> tuple[float, float, int]:
    """Seconds to load the task from the archive, the peak of memory in MiB until then, and the tokens."""
    from seqbench.tasks import wikitext_103

    (remote,) = wikitext_103.Task.remotes
    os.environ |= {"SEQBENCH_MIRROR": str(folder / "mirror"), "SEQBENCH_DATA": str(folder / "cache")}
    digest = hashlib.sha256()
    with (folder / "mirror" / remote.filename).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    wikitext_103.Task.remotes = (replace(remote, sha256=digest.hexdigest(), urls=()),)
    start = time.perf_counter()
    tokens = len(wikitext_103.Task().text("train")) - 1
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return seconds, peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), tokens


def full_size() -> None:
    """Makes a text of the size of WikiText-103, encodes it in a process of its own, and prints what that took."""
    from seqbench.tasks import wikitext_103

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write_archive(folder / "mirror" / wikitext_103.Task.remotes[0].filename)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, peak, tokens = pool.apply(encode, (folder,))
    print(f"{tokens:,} tokens, {size / 1e6:.0f} MB, {VOCABULARY:,} words, from the archive into the cache:")
    print(f"{seconds:.0f} s, {tokens / seconds / 1e6:.1f} million tokens a second; peak of memory {peak:.0f} MiB")


def main() -> None:
    """Prints milliseconds of the small text, then what the text of full size takes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="the small text only")
    small_only = parser.parse_args().small
    suite = Encoding()
    suite.setup()
    published = fastest(suite.time_published_loop, repeat=3)
    print(f"about {SMALL:,} words, {len(suite.text):,} characters; fastest of several calls, in ms")
    print(f"{'words, loop as published':<26}{published:>9.1f}")
    words = fastest(suite.time_words, repeat=5)
    print(f"{'words':<26}{words:>9.1f}   {published / words:.1f} times faster")
    print(f"{'characters':<26}{fastest(suite.time_characters, repeat=5):>9.1f}")
    if not small_only:
        full_size()


if __name__ == "__main__":
    main()
