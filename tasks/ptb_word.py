"""Penn Treebank, words: predict the next word of newspaper text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from . import _language, _ptb, _text
from .datasets import Remote


@dataclass(frozen=True)
class Task(_language.Words):
    """Predict the next word of the Wall Street Journal."""

    version: ClassVar[int] = 1
    source: ClassVar[str] = "Mikolov et al. 2010"
    published_validation: ClassVar[bool] = True
    test_parameters: ClassVar[dict[str, Any]] = {"context": 4, "scored": 4}
    remotes: ClassVar[tuple[Remote, ...]] = _ptb.REMOTES
    head: ClassVar[str] = "tied"
    embedding: ClassVar[str] = "embedding"
    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tcn": {"kernel": 3, "levels": 4, "width": 600}}
    vocabulary: ClassVar[int] = 10_000

    context: int = 40
    scored: int = 40
    train: int | None = None
    held: int | None = None

    def encoded_now(self) -> _text.Encoded:
        return _text.encode_words(_ptb.sources(self.remotes), self.size)
