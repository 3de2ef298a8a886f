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
    """Predict the next character of the Wall Street Journal.

    The text of `ptb-word`, as in Mikolov et al. 2012, "Subword language modeling with neural networks"; in Bai, Kolter
    & Koltun 2018. The characters are the bytes of the files, so `<unk>` is five of them, and each line begins and ends
    with a space. All are ASCII.

    `eos` says what the end of a line is: "one" symbol, the newline, which is 5,101,618 / 399,782 / 449,945 characters
    of an alphabet of 50; or "spelled", the five characters `<eos>`, which is 5,269,890 / 413,262 / 464,989 of 49. The
    published code reads the latter (the counts in the paper, 5,059 / 396 / 446 thousand of 50, fit neither), so only
    it can be compared with the 1.31 printed there: some four characters a line are nearly free, and the same bits in
    all would be 1.354 with one symbol. Before the text stands the newline, or ">", the last of a spelled end.

    Windows: 80 characters of context, then 320 that are scored, as published. `bpc` is over every character from
    position 80 on, each exactly once, whatever the number of streams (32 to evaluate): 449,865 of the test text, or
    464,909, as in the published script. `bpc_all` is over all characters, the first 80 with as much context as there
    is.

    Shapes: inputs (B, 400) int64, targets (B, 320) int64; a distribution over the alphabet at each of the last 320
    steps. `bpc` is the mean surprisal in bits a character.

    Floors: 4.3151 ("one") or 4.3012 ("spelled") bits, each character's share of the training text, without any memory.
    Knowing the character before as well costs 3.3121 or 3.3044. Options: `train` and `held` keep the first so many
    characters of the training text, and of the validation and the test text.

    >>> line = {"train": _text.given("ptb.train.txt", b" so it is \\n")}
    >>> text = _text.encode_characters(line, size=6, before="\\n")
    >>> text.symbols  # by falling frequency, then by bytes
    [' ', 'i', 's', '\\n', 'o', 't']
    >>> text.texts["train"].tolist()  # a line's end, then 11 characters
    [3, 0, 2, 4, 0, 1, 5, 0, 1, 2, 0, 3]
    >>> text = _text.encode_characters(line, size=8, before=">", spelled=True)
    >>> "".join(text.symbols[number] for number in text.texts["train"])
    '> so it is <eos>'
    """

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
    unigram: ClassVar[tuple[float, float]] = (4.315071, 4.315088)
    unigram_spelled: ClassVar[tuple[float, float]] = (4.301224, 4.301239)

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

    @property
    def unigram_scores(self) -> tuple[float, float]:
        return self.unigram if self.eos == "one" else self.unigram_spelled

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
