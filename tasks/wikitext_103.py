"""WikiText-103: predict the next word of whole Wikipedia articles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from . import _language, _text
from .datasets import Remote


@dataclass(frozen=True)
class Task(_language.Words):
    """Predict the next word of Wikipedia's good and featured articles.

    Merity, Xiong, Bradbury & Socher 2017, "Pointer sentinel mixture models"; in Bai, Kolter & Koltun 2018.
    28,475 training, 60 validation and 60 test articles, with case, numbers and punctuation.

    Words are what white space separates, and `<eos>` for the end of every line, blank lines included, as is usual.
    Rare words are the word `<unk>` in the files. V = 267,735 with `<eos>`; the validation and test files have no word
    that the training file lacks, and one that they had would be an error. 103 million / 217,646 / 245,569 tokens.
    Ids run from the frequent to the rare, as adaptive softmax (`head: adaptive`) needs it.

    Windows: 40 words of context, then 40 that are scored, as the published script has them for Penn Treebank
    (assumed: the paper gives none for this text, and the script, which is the same, no settings). Scored is every
    word from position 40 on, each exactly once, in 16 streams; `perplexity_all` is over all words. The
    published size of the TCN (148 million) is not what the script gives with the paper's numbers (132 million).

    Shapes: inputs (B, 80) int64, targets (B, 40) int64; a distribution over V words at each of the last 40 steps.
    `perplexity` is exp of the mean surprisal in nats a word. Floor: none is known without the training file; a run
    computes the unigram's and the bigram's perplexity. Options: `train` and `held` keep the first so many tokens of
    the training text, and of the validation and the test text.

    >>> article = b" \\n = Lobster = \\n \\n The lobster is a <unk> . \\n"
    >>> text = _text.encode_words({"train": _text.given("wiki.train.tokens", article)}, size=9)
    >>> text.symbols  # by falling frequency, then by bytes
    ['<eos>', '=', '.', '<unk>', 'Lobster', 'The', 'a', 'is', 'lobster']
    >>> text.texts["train"].tolist()  # a line's end, and then the 13 tokens
    [0, 0, 1, 4, 1, 0, 0, 5, 8, 7, 6, 3, 2, 0]
    """

    version: ClassVar[int] = 1
    source: ClassVar[str] = "Merity et al. 2017"
    published_validation: ClassVar[bool] = True
    test_parameters: ClassVar[dict[str, Any]] = {"context": 4, "scored": 4}
    remotes: ClassVar[tuple[Remote, ...]] = (
        Remote(
            "wikitext-103/wikitext-103-v1.zip",
            "242ba0f20b329cfdf1ccc61e9e9e5b59becf189db7f7a81cd2a0e2fc31539590",
            (
                "https://wikitext.smerity.com/wikitext-103-v1.zip",
                "https://s3.amazonaws.com/research.metamind.io/wikitext/wikitext-103-v1.zip",
            ),
            size=190_229_076,
        ),
    )
    head: ClassVar[str] = "tied"
    embedding: ClassVar[str] = "embedding(width=400)"
    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tcn": {"kernel": 3, "levels": 5, "width": 1000}}
    vocabulary: ClassVar[int] = 267_735

    context: int = 40
    scored: int = 40
    train: int | None = None
    held: int | None = None

    def encoded_now(self) -> _text.Encoded:
        (archive,) = self.remotes
        names = ("train", "valid", "test")
        sources = {name: _text.member(archive, f"wikitext-103/wiki.{name}.tokens") for name in names}
        return _text.encode_words(sources, self.size)
