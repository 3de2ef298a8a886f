"""Penn Treebank, characters: predict the next character of newspaper text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from . import _language, _ptb, _text
from ._options import require_choice
from .datasets import Remote


@dataclass(frozen=True)
class Task(_language.Characters):
    """Predict the next character of the Wall Street Journal."""

    version: ClassVar[int] = 1
    variant: ClassVar[tuple[str, ...]] = ("eos",)
    variants: ClassVar[tuple[str, ...]] = ("ptb-char(eos=one)", "ptb-char(eos=spelled)")
    source: ClassVar[str] = "Mikolov et al. 2012"
    published_validation: ClassVar[bool] = True
    test_parameters: ClassVar[dict[str, Any]] = {"context": 4, "scored": 4}
    remotes: ClassVar[tuple[Remote, ...]] = _ptb.REMOTES
    head: ClassVar[str] = "softmax"
    embedding: ClassVar[str] = "embedding(width=100)"
    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tcn": {"kernel": 3, "levels": 3, "width": 450}}
    vocabulary: ClassVar[int] = 50

    eos: Literal["one", "spelled"] = "one"
    context: int = 80
    scored: int = 320
    train: int | None = None
    held: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("ptb-char", "eos", self.eos, ("one", "spelled"))

    @property
    def size(self) -> int:
        """The spelled end of a line saves the newline: its characters are in the text anyway."""
        return self.vocabulary - (self.eos == "spelled")

    def encoding_options(self) -> Mapping[str, Any]:
        return {"eos": self.eos}

    def encoded_now(self) -> _text.Encoded:
        spelled = self.eos == "spelled"
        return _text.encode_characters(_ptb.sources(self.remotes), self.size, ">" if spelled else "\n", spelled)

    def encode(self, text: str) -> list[int]:
        """Ids of the characters; where it is spelled, the end of a line as the five characters of `<eos>`.

        Raises ValueError, which names it, for a character that the vocabulary lacks.
        """
        return super().encode(text.replace("\n", _text.END_OF_LINE) if self.eos == "spelled" else text)
