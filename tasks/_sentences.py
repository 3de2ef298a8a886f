"""Sentences with a class each: how they are read, their vocabulary from the training part, and their judgement."""

from __future__ import annotations

import hashlib
import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import base
from ._options import require_range
from .datasets import DataError, Remote, fetch, payload

PAD, UNKNOWN = 0, 1
SPECIAL = ("<pad>", "<unk>")
"""What the first ids stand for: what pads, and every word that the vocabulary lacks."""
CLASSES = 2


class Sentence(NamedTuple):
    """Words and their class, 0 (negative) or 1 (positive)."""

    words: tuple[str, ...]
    label: int


def text_of(remote: Remote, encoding: str) -> str:
    """A file as text, its lines ended by "\\n" alone. Raises DataError, with the line, for a byte that is none."""
    content = payload(fetch(remote))
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{remote.filename}:{line}: byte 0x{content[error.start]:02x} is not {encoding} text; "
            "the file has another encoding: delete it and get it again"
        ) from None


def lines_of(name: str, text: str) -> list[tuple[int, str]]:
    """The lines of a text that are not empty, each with its number.

    Lines end at "\\n" alone: `str.splitlines` also cuts at characters that stand within a sentence of MR (0x85).
    Raises DataError where there are none.
    """
    found = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line]
    if not found:
        raise DataError(f"{name} is empty: delete it and get it again")
    return found


def words_of(name: str, number: int, line: str) -> tuple[str, ...]:
    """The words of a line, cut at the blank alone: a non-breaking space stands within a word.

    Raises DataError, with the line, where there are none.
    """
    words = tuple(word for word in line.split(" ") if word)
    if not words:
        raise DataError(f"{name}:{number}: a sentence without a word; delete the file and get it again")
    return words


def labelled(name: str, text: str) -> list[Sentence]:
    """Sentences of lines `LABEL SENTENCE`. Raises DataError, with the line, for a label other than 0 or 1.

    >>> labelled("an example", "1 a fine film .\\n0 dull\\n")
    [Sentence(words=('a', 'fine', 'film', '.'), label=1), Sentence(words=('dull',), label=0)]
    """
    sentences = []
    for number, line in lines_of(name, text):
        label, _, rest = line.partition(" ")
        if label not in ("0", "1"):
            raise DataError(f"{name}:{number}: the label must be 0 or 1, got {label[:20]!r}")
        sentences.append(Sentence(words_of(name, number, rest), int(label)))
    return sentences


def fold_of(words: Sequence[str], folds: int) -> int:
    """The fold of a sentence, 0 … folds - 1: a hash of its words, so that equal sentences are in one fold.

    >>> [fold_of(("a", "fine", "film"), 10), fold_of(("dull",), 10)]
    [1, 6]
    """
    return hash_of(words) % folds


def hash_of(words: Sequence[str]) -> int:
    """64 bits of the SHA-256 of a sentence."""
    return int.from_bytes(hashlib.sha256(" ".join(words).encode()).digest()[:8], "big")


def vocabulary(sentences: Sequence[Sentence], words: int, name: str) -> list[str]:
    """`<pad>`, `<unk>`, then the `words` most frequent words, the frequent first and equals by their bytes.

    Raises DataError where there are not that many different words.
    """
    counts = Counter(word for sentence in sentences for word in sentence.words)
    for special in SPECIAL:
        counts.pop(special, None)
    if len(counts) < words:
        raise DataError(
            f"{name} has {len(counts):,} different words, fewer than words={words}: a smaller one is needed"
        )
    order = sorted(counts, key=lambda word: (-counts[word], word.encode()))
    return [*SPECIAL, *order[:words]]


class Sentences(base.Split):
    """N sentences of differing length, one after the other.

    ids: all their words, (all,) int64. ends: (N,) int64, where each sentence ends; both and labels (N,) int64 on one
    device. lengths: (N,) int64 on the CPU, the words of each.
    """

    def __init__(self, ids: Tensor, ends: Tensor, labels: Tensor, lengths: Tensor) -> None:
        self.ids, self.ends, self.labels, self.words = ids, ends, labels, lengths
        self.steps_of = lengths.to(ids.device)

    @classmethod
    def of(cls, sentences: Sequence[Sentence], symbols: Sequence[str]) -> Sentences:
        """Sentences whose words are numbered as `symbols` are; others are `<unk>`."""
        number = {symbol: place for place, symbol in enumerate(symbols) if place >= len(SPECIAL)}
        ids = torch.tensor([number.get(word, UNKNOWN) for sentence in sentences for word in sentence.words])
        lengths = torch.tensor([len(sentence.words) for sentence in sentences])
        return cls(ids, lengths.cumsum(0), torch.tensor([sentence.label for sentence in sentences]), lengths)

    def __len__(self) -> int:
        return len(self.words)

    @property
    def lengths(self) -> Tensor:
        """Words of each sentence, (N,) int64 on the CPU."""
        return self.words

    def to(self, device: torch.device) -> Sentences:
        return Sentences(self.ids.to(device), self.ends.to(device), self.labels.to(device), self.words)

    def batch(self, index: Tensor) -> base.Batch:
        """The sentences at `index` as (B, T), padded behind their ends, and read at their last words."""
        return self.laid_out(index.to(self.ids.device), self.extent(index))

    def laid_out(self, index: Tensor, extent: int | None) -> base.Batch:
        assert extent is not None  # the sentences differ in length
        step = torch.arange(extent, device=self.ids.device)  # (T,)
        lengths = self.steps_of[index]  # (B,)
        begins = self.ends[index] - lengths
        within = step < lengths.unsqueeze(1)  # (B, T)
        inputs = self.ids[torch.where(within, begins.unsqueeze(1) + step, 0)]
        inputs = torch.where(within, inputs, PAD)
        targets = self.labels[index].unsqueeze(1)  # (B, 1)
        return base.Batch(inputs, targets, reads=base.last_steps(lengths), lengths=lengths)


class Sentiment(base.Task):
    """What both tasks share: a sentence (B, T), one answer (B, 1, 2) after its last word."""

    longest: ClassVar[int]
    """Words of the longest sentence of the true files."""

    words: int  # these are options of each task
    train: int | None

    @property
    def _name(self) -> str:
        return type(self).__module__.rpartition(".")[2].replace("_", "-")

    def __post_init__(self) -> None:
        require_range(self._name, "words", self.words, 1)
        if self.train is not None:
            require_range(self._name, "train", self.train, 1)

    @property
    @abstractmethod
    def floor(self) -> float:
        """Per cent of the test sentences that are of the class that is the more frequent in training."""

    @abstractmethod
    def sentences(self) -> tuple[list[Sentence], list[Sentence], list[Sentence]]:
        """Training, validation and test sentences. Raises DataError where a file cannot be had or is not right."""

    @property
    def input(self) -> base.Tokens:
        return base.Tokens(len(SPECIAL) + self.words)

    @property
    def outputs(self) -> int:
        return CLASSES

    @property
    def reads(self) -> int:
        return 1

    @property
    def steps(self) -> int:
        return self.longest

    @property
    def metrics(self) -> tuple[base.Metric, ...]:
        return (
            base.Metric("accuracy", "%", "higher", floor=self.floor, kind="share"),
            base.Metric("loss", "nats", "lower", floor=math.log(2), kind="likelihood"),
        )

    def read(self) -> tuple[list[str], list[Sentence], list[Sentence], list[Sentence]]:
        """The vocabulary, from the training part alone, and the three parts."""
        return _read(self, tuple(remote.sha256 for remote in self.remotes))

    def load(self, seed: int) -> base.Splits:
        symbols, *parts = self.read()
        return base.Splits(*(Sentences.of(part, symbols) for part in parts))

    def loss(self, outputs: Tensor, batch: base.Batch) -> Tensor:
        """The cross-entropy in nats, the mean over the sentences."""
        return F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten())

    def totals(self, outputs: Tensor, batch: base.Batch) -> base.Totals:
        logits, targets = outputs.flatten(0, 1), batch.targets.flatten()
        right = (logits.argmax(1) == targets).sum()
        nats = F.cross_entropy(logits, targets, reduction="sum")
        return {"accuracy": (100 * right, len(targets)), "loss": (nats, len(targets))}

    def symbols(self) -> list[str]:
        return self.read()[0]

    def encode(self, text: str) -> list[int]:
        """Ids of a text cut at white space; a word that the vocabulary lacks is `<unk>`."""
        known = {symbol: number for number, symbol in enumerate(self.symbols())}
        return [known.get(word, UNKNOWN) for word in text.split()]

    def decode(self, ids: Sequence[int]) -> str:
        """Each word with a space after it."""
        symbols = self.symbols()
        return "".join(f"{symbols[number]} " for number in ids)


@lru_cache(maxsize=4)
def _read(task: Sentiment, checksums: tuple[str, ...]) -> Any:
    """The parts of a task, read once in a process."""
    train, valid, test = task.sentences()
    if task.train is not None:
        require_range(task._name, "train", task.train, 1, len(train))
        train = train[: task.train]
    return vocabulary(train, task.words, f"{task._name}: the training part"), train, valid, test
