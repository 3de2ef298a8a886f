"""LAMBADA: name the last word of a passage that only its whole makes plain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from . import _language, _passages, _text, _yardsticks, base
from ._options import require_range
from .datasets import DataError, Remote


@dataclass(frozen=True)
class Task(_language.Words):
    """Name the last word of a passage of a novel, from the passage alone.

    Paperno et al. 2016, "The LAMBADA dataset: word prediction requiring a broad discourse context"; in Bai, Kolter &
    Koltun 2018. People guess these words when they see the whole passage, and not when they see its last sentence.
    A language model is trained on 2,662 other novels of 203 million words, and validated on 4,869 development
    passages. The 5,153 test passages give `perplexity` and `accuracy`; 5,000 passages that were not chosen for being
    hard, the control set, give `control_perplexity` and `control_accuracy`.

    Words are what white space separates, lower-cased; blank lines are passed over and every other line ends with
    `<eos>`. As in the published code the words "n't", "'s", "'re", "'ve" and "wo", which the list lacks, are "not",
    "is", "are", "have" and "will". The vocabulary is the 93,215 words of the list of 2016, `<eos>`, and `<unk>` for all
    other words: 93,217 from the frequent to the rare in the novels, which are joined in the order of their names. (The
    published code has 93,216: it strips words that are not in the list of their punctuation, and drops them where
    they are not in it even then.) A passage is a line of its file; the target is its last word, and what comes before
    is `<eos>` and the words of the passage before it, nothing else. A target that the vocabulary lacks is left out of
    the perplexity, and is an error in the accuracy.

    To train: windows of 50 words of context, then 50 that are scored, as published; the text in streams.

    How the number differs from the published script's, which never ran as it was released (a NameError in its first
    step): that one asks what follows the last word, with the target among the inputs; fills passages up on the left
    with a word of the vocabulary; and where the target is not in the list asks for the word before it. So 1279, the
    perplexity that the paper prints for a TCN, is not of this quantity.

    Shapes: to train, inputs (B, 100) int64 and targets (B, 50); passages are (B, T) with T the longest of the batch,
    filled up on the right, where no causal model looks: `reads` (B, 1) int64 is the step of the last word before the
    target, targets (B, 1), mask (B, 1) false where the vocabulary lacks the target, group (B, 1) int8: 0 test, 1
    control. A distribution over V words at each step that is read. `perplexity` is exp of the mean surprisal in nats a
    target, `accuracy` in per cent of the passages. Floor: none is known without the novels; a run computes the
    unigram's and the bigram's perplexity. Options: `train` keeps the first so many tokens of the novels, `held` the
    first so many passages of the development, the test and the control file.

    >>> passages = _text.given("passages.txt", b"the fox saw the dog\\nThe dog saw the fox\\n")
    >>> novels = _text.given("novels", b"The fox saw\\n\\nthe cow .\\n")
    >>> text = _text.encode_words({"train": novels, "test": passages}, 6, ["the", "dog", "fox", "saw"], prose=True)
    >>> text.symbols
    ['<eos>', '<unk>', 'the', 'fox', 'saw', 'dog']
    >>> batch = _passages.read(torch.from_numpy(text.texts["test"]), unknown=1).batch(torch.tensor([0, 1]))
    >>> batch.inputs.tolist()  # a line's end, then all words but the last
    [[0, 2, 3, 4, 2], [0, 2, 5, 4, 2]]
    >>> batch.targets.tolist(), batch.reads.tolist(), batch.mask.tolist()
    ([[5], [3]], [[4], [4]], [[True], [True]])
    """

    version: ClassVar[int] = 1
    source: ClassVar[str] = "Paperno et al. 2016"
    published_validation: ClassVar[bool] = True
    test_parameters: ClassVar[dict[str, Any]] = {"context": 4, "scored": 4}
    remotes: ClassVar[tuple[Remote, ...]] = (
        Remote(
            "lambada/lambada-dataset.tar.gz",
            "8fbe499096ddbdcbbd0cac406861b5026fb451d15b8fe04e0e4f3d082f2ad5d7",
            (
                "https://zenodo.org/records/2630551/files/lambada-dataset.tar.gz?download=1",
                "https://zenodo.org/record/2630551/files/lambada-dataset.tar.gz",
                "http://clic.cimec.unitn.it/lambada/lambada-dataset.tar.gz",
            ),
            size=334_527_694,
        ),
        Remote(
            "lambada/lambada_vocabulary_sorted.txt",
            "05ffebd3388cc5272a23a3d93583231506ff6f91443904dd446fdfe4037e333c",
            (
                "https://raw.githubusercontent.com/locuslab/TCN/master/TCN/lambada_language/data/lambada_vocabulary_sorted.txt",
                "https://github.com/locuslab/TCN/raw/master/TCN/lambada_language/data/lambada_vocabulary_sorted.txt",
            ),
            size=788_353,
        ),
    )
    head: ClassVar[str] = "tied"
    embedding: ClassVar[str] = "embedding"
    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tcn": {"kernel": 4, "levels": 5, "width": 500}}
    vocabulary: ClassVar[int] = 93_217

    context: int = 50
    scored: int = 50
    train: int | None = None
    held: int | None = None

    @property
    def metrics(self) -> tuple[base.Metric, ...]:
        return tuple(
            metric
            for name in ("", "control_")
            for metric in (
                base.Metric(f"{name}perplexity", "per word", "lower", floor=math.nan, scale="exp", kind="likelihood"),
                base.Metric(f"{name}accuracy", "%", "higher", floor=math.nan, kind="share"),
            )
        )

    def encoded_now(self) -> _text.Encoded:
        archive, listed = self.remotes
        words = _text.word_list(listed)
        if len(words) + 2 != self.size:
            raise DataError(
                f"{listed.filename}: vocabulary mismatch: {len(words):,} words, where {self.size - 2:,} are expected; "
                "it is another list"
            )
        sources = {"train": _passages.in_full(_passages.novels(archive))}
        for name, part in (("valid", "development"), ("test", "test"), ("control", "control_test_data")):
            sources[name] = _passages.in_full(_text.member(archive, f"lambada_{part}_plain_text.txt"))
        return _text.encode_words(sources, self.size, words, prose=True)

    def passages(self, name: str) -> _passages.Passages:
        """The passages of a file: "valid", "test" or "control"."""
        encoded = self.encoded()
        unknown = encoded.symbols.index(_text.UNKNOWN)
        found = _passages.read(torch.from_numpy(encoded.texts[name]), unknown, self.held)
        if self.held is not None:
            require_range("lambada", "held", self.held, 1, len(found))
        return found

    def load(self, seed: int) -> base.Splits:
        test = self.passages("test").with_control(self.passages("control"))
        return base.Splits(self.windows("train"), self.passages("valid"), test)

    def asked(self, name: str) -> _yardsticks.Pairs:
        """The targets that the vocabulary has, each with the last word before it."""
        return _yardsticks.Pairs(*self.passages(name).last_pairs())

    def totals(self, outputs: base.Distribution, batch: base.Batch) -> base.Totals:
        """Nats and right answers of the test passages, and of the control passages; in training all count as test."""
        group = torch.zeros_like(batch.targets) if batch.group is None else batch.group
        known = torch.ones_like(batch.targets, dtype=torch.bool) if batch.mask is None else batch.mask
        surprisal = outputs.surprisal(batch.targets).double()  # (B, R)
        right = (outputs.most_probable() == batch.targets) & known
        totals: dict[str, tuple[Tensor, Tensor]] = {}
        for number, name in enumerate(("", "control_")):
            among = group == number
            counted = among & known
            totals[f"{name}perplexity"] = surprisal.masked_fill(~counted, 0).sum(), counted.sum()
            totals[f"{name}accuracy"] = 100 * (right & among).sum(), among.sum()
        return totals

    def encode(self, text: str) -> list[int]:
        """As the other texts of words, lower-cased, contractions spelled out."""
        return super().encode(_passages.spelled_out(text.lower().encode()).decode())
