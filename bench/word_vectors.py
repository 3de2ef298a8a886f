"""Words as vectors: what the embedding of a trained network has learned, beside skip-gram vectors of the same text."""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.network import Network
from ..tasks.base import Split, Task
from ..tasks.datasets import DataError
from .errors import UsageError, nearest
from .experiments.runs import Run

SIMILARITIES = {"WordSim-353": "wordsim353.tsv", "SimLex-999": "simlex999.txt"}
"""Pairs of words that people rated -> their files in gensim's wheel."""
ANALOGIES = "questions-words.txt"
EXTRA = "the extra `embeddings` is needed: pip install 'seqbench[embeddings]' (it brings gensim, and the files with it)"
LINE_END = "<eos>"
WINDOW, LEAST, NEGATIVE, EPOCHS = 5, 1, 5, 5
"""Of skip-gram (Mikolov et al. 2013): words to each side, occurrences of a word, noise words, passes over the text."""


@dataclass(frozen=True)
class WordVectors:
    """V words, each with a vector: matrix (V, E) float64."""

    words: tuple[str, ...]
    matrix: NDArray[np.float64]

    def number(self, word: str) -> int:
        """The row of a word. Raises UsageError, with the nearest known one, where there is none."""
        try:
            return self.words.index(word)
        except ValueError:
            raise UsageError(f"no vector for the word {word!r}: {nearest(word, self.words)}") from None


@dataclass(frozen=True)
class Agreement:
    """How vectors agree with people: used of all questions have only known words.

    value: Spearman's rank correlation of cosines with ratings in -1 … 1, or the share of analogies that come out right
    in 0 … 1; NaN where no question could be asked.
    """

    name: str
    measure: str
    value: float
    used: int
    all: int


def text_run(runs: Sequence[Run]) -> list[Run]:
    """The runs whose input are words or characters of a text, so that their embedding has names."""
    return [run for run in runs if type(run.make_task()).symbols is not Task.symbols]


def of_network(network: Network, task: Task) -> WordVectors:
    """The input embedding of a network, by the names of its symbols.

    Raises UsageError where the network has none, the input is no text, or the text's files cannot be had.
    """
    try:
        symbols = task.symbols()
    except DataError as error:
        raise UsageError(str(error)) from error
    if network.embedding is None or symbols is None:
        raise UsageError("the input of this run is no text, so it has no embedding of words")
    matrix = network.embedding.weight.detach().cpu().double().numpy()
    return WordVectors(tuple(symbols), matrix[: len(symbols)])


def neighbours(vectors: WordVectors, word: str, count: int) -> list[tuple[str, float]]:
    """The `count` words whose vectors have the largest cosine with that of `word`, without itself, and the cosine.

    Raises UsageError for a word that has no vector.
    """
    place = vectors.number(word)
    lengths = np.maximum(np.linalg.norm(vectors.matrix, axis=1), np.finfo(float).tiny)
    cosines = vectors.matrix @ vectors.matrix[place] / (lengths * lengths[place])  # (V,)
    cosines[place] = -np.inf
    best = np.argsort(-cosines, kind="stable")[:count]
    return [(vectors.words[number], float(cosines[number])) for number in best]


def projected(vectors: WordVectors, words: Sequence[str]) -> tuple[NDArray[np.float64], float]:
    """The named words in the plane in which their vectors differ most (principal components), and the share of their
    variance that it shows: (n, 2) and a number in 0 … 1.

    Of each axis the word that lies farthest out lies on the positive side, so that the same vectors give the same
    picture. Raises UsageError for fewer than three words, and for one that has no vector.
    """
    if len(words) < 3:
        raise UsageError(f"an embedding map needs three words or more, got {len(words)}")
    points = vectors.matrix[[vectors.number(word) for word in words]]
    centred = points - points.mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(words), 2))
    known = min(2, len(sizes))
    plane[:, :known] = left[:, :known] * sizes[:known]
    farthest = plane[np.abs(plane).argmax(0), [0, 1]]
    total = float((sizes**2).sum())
    return plane * np.where(farthest < 0, -1, 1), float((sizes[:known] ** 2).sum() / total) if total else 0.0


def frequent(vectors: WordVectors, count: int) -> list[str]:
    """The first words of the vocabulary, which is from the frequent to the rare, that are words of letters."""
    found = [word for word in vectors.words if word.isalpha() and (len(word) > 2 or len(vectors.words) < 200)]
    return found[:count]


def sentences(task: Task, seed: int) -> Iterator[list[str]]:
    """The training text of a task, sentence by sentence: lines of a text, or the examples of which each is one.

    Raises UsageError where its files cannot be had.
    """
    try:
        symbols, train = task.symbols(), task.load(seed).train
    except DataError as error:
        raise UsageError(str(error)) from error
    assert symbols is not None
    if train.text is not None:
        words = [symbols[number] for number in train.text.tolist()]
        ends = [place for place, word in enumerate(words) if word == LINE_END] or [len(words)]
        for begin, end in zip([0, *[end + 1 for end in ends]], [*ends, len(words)], strict=True):
            if end > begin:
                yield words[begin:end]
        return
    yield from _examples(train, symbols)


def _examples(train: Split, symbols: Sequence[str]) -> Iterator[list[str]]:
    """Each example as the words before its padding."""
    for index in torch.arange(len(train)).split(256):
        batch = train.batch(index)
        ends = [batch.inputs.shape[1]] * len(index) if batch.lengths is None else batch.lengths.tolist()
        for row, end in zip(batch.inputs.tolist(), ends, strict=True):
            yield [symbols[number] for number in row[:end]]


def skip_gram(text: Sequence[Sequence[str]], width: int, seed: int) -> WordVectors:
    """Skip-gram vectors with negative sampling, trained by gensim on one thread, the same for the same seed.

    Raises UsageError where gensim is not installed.
    """
    models = _gensim("models")
    trained = models.Word2Vec(
        [list(sentence) for sentence in text], vector_size=width, sg=1, window=WINDOW, min_count=LEAST,
        negative=NEGATIVE, epochs=EPOCHS, seed=seed, workers=1,
    ).wv  # fmt: skip
    return WordVectors(tuple(trained.index_to_key), np.asarray(trained.vectors, np.float64))


def agreements(vectors: WordVectors) -> list[Agreement]:
    """Word similarity (Spearman on WordSim-353 and SimLex-999) and analogies, by gensim on the files of its wheel.

    An analogy a : b = c : ? is right where the word nearest to b - a + c (3CosAdd), the three left out, is the one that
    is wanted. Questions with a word that has no vector are left out, and how many were asked is told. Raises
    UsageError where gensim is not installed.
    """
    keyed = _gensim("models.keyedvectors").KeyedVectors(vectors.matrix.shape[1])
    keyed.add_vectors(list(vectors.words), vectors.matrix.astype(np.float32))
    known, size = {word.upper() for word in vectors.words}, len(vectors.words)
    found = []
    for name, file in SIMILARITIES.items():
        pairs = [line.split("\t")[:2] for line in _lines(file)]
        used = sum(one.upper() in known and other.upper() in known for one, other in pairs)
        value = math.nan
        if used > 2:
            _, spearman, _ = keyed.evaluate_word_pairs(str(_file(file)), restrict_vocab=size)
            value = float(spearman[0])
        found.append(Agreement(name, "Spearman", value, used, len(pairs)))
    _, sections = keyed.evaluate_word_analogies(str(_file(ANALOGIES)), restrict_vocab=size)
    right, wrong = (len(sections[-1][answer]) for answer in ("correct", "incorrect"))  # the last is the sum of all
    asked = sum(not line.startswith(":") for line in _lines(ANALOGIES))
    share = right / (right + wrong) if right + wrong else math.nan
    return [*found, Agreement("analogies", "share right", share, right + wrong, asked)]


def _gensim(module: str) -> Any:
    """A module of gensim. Raises UsageError where it is not installed."""
    if find_spec("gensim") is None:
        raise UsageError(f"embedding: {EXTRA}")
    return importlib.import_module(f"gensim.{module}")


def _file(name: str) -> Path:
    """A file of gensim's wheel."""
    return Path(str(_gensim("test").__file__)).parent / "test_data" / name


def _lines(name: str) -> list[str]:
    """Its lines that are no comments."""
    return [line for line in _file(name).read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
