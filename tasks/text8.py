"""text8: predict the next character of Wikipedia, reduced to small letters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from . import _archives, _language, _text
from .datasets import DataError, Remote, fetch


@dataclass(frozen=True)
class Task(_language.Characters):
    """Predict the next character of Wikipedia, reduced to small letters.

    Mahoney 2011, "Large text compression benchmark"; split as Mikolov et al. 2012, "Subword language modeling with
    neural networks", do; in Bai, Kolter & Koltun 2018. The text is a dump of 2006 without markup: the small letters a
    to z and single spaces, V = 27, numbers spelled out digit by digit. It has no lines; a space stands before it.

    The file must have exactly 100,000,000 bytes: the first 90 million are for training, the next 5 million for
    validation, the last 5 million for the test.

    Windows: 80 characters of context, then 320 that are scored (assumed: the paper states none for this text; these are
    the script's for Penn Treebank). Scored is every character from position 80 on, each exactly once, in 32 streams:
    4,999,920 of the test text; `bpc_all` is over all characters. The paper's README prefers Adam to SGD here.

    Shapes: inputs (B, 400) int64, targets (B, 320) int64; a distribution over 27 characters at each of the last 320
    steps. `bpc` is the mean surprisal in bits a character. Floor: none is known without the file; a run computes the
    unigram's and the bigram's. Options: `train` and `held` keep the first so many characters of the training text, and
    of the validation and the test text.

    >>> text = _text.encode_characters({"train": _text.given("text8", b" anarchism originated")}, size=14, before=" ")
    >>> "".join(text.symbols)  # by falling frequency, then by bytes
    'ai nrcdeghmost'
    >>> text.texts["train"][:5].tolist()  # a space, and then " ana"
    [2, 2, 0, 3, 0]
    """

    version: ClassVar[int] = 1
    source: ClassVar[str] = "Mahoney 2011"
    published_validation: ClassVar[bool] = True
    test_parameters: ClassVar[dict[str, Any]] = {"context": 4, "scored": 4}
    remotes: ClassVar[tuple[Remote, ...]] = (
        Remote(
            "text8/text8.zip",
            "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232",
            (
                "https://mattmahoney.net/dc/text8.zip",
                "http://mattmahoney.net/dc/text8.zip",
                "https://huggingface.co/datasets/ardMLX/text8/resolve/main/text8.zip",
                "https://data.deepai.org/text8.zip",
            ),
            size=31_344_016,
        ),
    )
    head: ClassVar[str] = "softmax"
    embedding: ClassVar[str] = "embedding(width=100)"
    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tcn": {"kernel": 2, "levels": 5, "width": 520}}
    before: ClassVar[str] = " "
    vocabulary: ClassVar[int] = 27
    characters: ClassVar[int] = 100_000_000
    """Of the whole file."""

    context: int = 80
    scored: int = 320
    train: int | None = None
    held: int | None = None

    def encoded_now(self) -> _text.Encoded:
        (archive,) = self.remotes
        content = _archives.read(fetch(archive), "text8")
        if len(content) != self.characters:
            raise DataError(
                f"{archive.filename}: text8 has {len(content):,} characters, where {self.characters:,} are expected; "
                "it is another text"
            )
        held = self.characters // 20
        parts = {"train": content[: -2 * held], "valid": content[-2 * held : -held], "test": content[-held:]}
        sources = {name: _text.given(f"{archive.filename}:text8", part) for name, part in parts.items()}
        return _text.encode_characters(sources, self.size, self.before)
