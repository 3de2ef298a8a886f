"""MR: is a sentence of a film review for or against the film? The older set, without a split of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from . import _sentences
from ._options import require_range
from .datasets import Remote

FOLDS = 10
_HOMES = (
    "https://raw.githubusercontent.com/yoonkim/CNN_sentence/master",
    "https://github.com/yoonkim/CNN_sentence/raw/master",
)


def _remote(name: str, sha256: str) -> Remote:
    return Remote(f"mr/{name}", sha256, tuple(f"{home}/{name}" for home in _HOMES))


@dataclass(frozen=True)
class Task(_sentences.Sentiment):
    """Say whether a sentence of a film review is for (1) or against (0) the film, in one of ten folds.

    Pang & Lee 2005, "Seeing stars": 5,331 positive and 5,331 negative sentences of reviews, in small letters and cut
    into words, 10,662 in all. Half of the test sentences of `sst2` stand here: never train on one for the other.

    The files are Windows-1252, where 0x85 is an ellipsis. Who takes them for Latin-1, where it ends a line, and lets
    `str.splitlines` cut them finds 10,685 lines; here they are cut at "\\n" alone. There is no split. The fold of a
    sentence is a hash of its words (SHA-256, modulo 10), so that it is the same everywhere; fold `fold` is the test
    part, the one after it the validation part, the other eight train: of fold 0 8,519 / 1,095 / 1,048. A published
    number is a mean over ten folds drawn at random, so it is compared with a mean over all ten.

    Words are what blanks separate. Ids: 0 `<pad>`, 1 `<unk>`, then the `words` most frequent words of the training part
    (8,000: each occurs there at least twice); all others are `<unk>`.

    Shapes: inputs (B, T) int64 with T the longest of the batch, at most 59, padded behind the ends; lengths (B,);
    targets (B, 1) int64; logits (B, 1, 2) at the last word of each sentence. `accuracy` in per cent of the sentences,
    `loss` in nats a sentence.

    Floor: the class that is the more frequent in the training folds, on the test fold: 47.13 to 52.02 %. Published for
    the convolution of Kim 2014 with random word vectors: 75.9, a mean over ten folds (repository of the files of
    `sst2`).

    >>> [_sentences.fold_of(sentence.split(" "), 10) for sentence in ("a fine film", "dull", "a fine film")]
    [1, 6, 1]
    """

    version: ClassVar[int] = 1
    variant: ClassVar[tuple[str, ...]] = ("fold",)
    source: ClassVar[str] = "Pang & Lee 2005"
    test_parameters: ClassVar[dict[str, Any]] = {"words": 20}
    remotes: ClassVar[tuple[Remote, ...]] = (
        _remote("rt-polarity.neg", "4ace77d558c3714723843f1d65b60c01e3417b208180f0728808d76ad0eeeaca"),
        _remote("rt-polarity.pos", "2da124ec187a9d5a29c9f04e91c540e02baed5af8868f550a26bd6fd4dbf8bf0"),
    )
    longest: ClassVar[int] = 59
    tested: ClassVar[tuple[tuple[int, int], ...]] = (
        (523, 1048), (563, 1095), (560, 1080), (485, 1029), (553, 1063),
        (512, 1085), (544, 1147), (514, 1047), (485, 1021), (512, 1047),
    )  # fmt: skip
    """For each fold: its sentences of the class that the training folds have more often, and all its sentences."""

    fold: int = 0
    words: int = 8_000
    train: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_range("mr", "fold", self.fold, 0, FOLDS - 1)

    @property
    def floor(self) -> float:
        found, all_sentences = self.tested[self.fold]
        return 100 * found / all_sentences

    @property
    def test_answers(self) -> int:  # type: ignore[override]  # of the fold, where others have one number
        return self.tested[self.fold][1]

    def sentences(self) -> tuple[list[_sentences.Sentence], list[_sentences.Sentence], list[_sentences.Sentence]]:
        parts: tuple[list[_sentences.Sentence], list[_sentences.Sentence], list[_sentences.Sentence]] = [], [], []
        for label, remote in enumerate(self.remotes):
            name = remote.filename
            for number, line in _sentences.lines_of(name, _sentences.text_of(remote, "cp1252")):
                words = _sentences.words_of(name, number, line)
                behind = (_sentences.fold_of(words, FOLDS) - self.fold) % FOLDS  # 0 the test fold, 1 validation
                parts[{0: 2, 1: 1}.get(behind, 0)].append(_sentences.Sentence(words, label))
        for part in parts:  # so that the first of a part are of both classes
            part.sort(key=lambda sentence: (_sentences.hash_of(sentence.words), sentence.label))
        return parts
