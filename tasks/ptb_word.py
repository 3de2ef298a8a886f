"""Penn Treebank, words: predict the next word of newspaper text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from . import _language, _ptb, _text
from .datasets import Remote


@dataclass(frozen=True)
class Task(_language.Words):
    """Predict the next word of the Wall Street Journal.

    Marcus, Santorini & Marcinkiewicz 1993, in the form of Mikolov et al. 2010, "Recurrent neural network based language
    model": small letters, no punctuation, numbers as `N`, the 10,000 most frequent words and else `<unk>`, sections
    0-20, 21-22 and 23-24. In Bai, Kolter & Koltun 2018.

    Words are what white space separates, and `<eos>` for the end of every line, which also stands before the text:
    929,589 / 73,760 / 82,430 tokens (the paper's 888 / 70 / 79 thousand leave out `<eos>`, its code does not). V =
    10,000 with `<eos>` and `<unk>`, all of them in the training text; ids run from the frequent to the rare.

    Windows: 40 words of context, then 40 that are scored, as published; 1,452 windows in each of 16 streams to train.
    `perplexity` is over every word from position 40 on, each exactly once, whatever the number of streams (16 to
    evaluate): 82,390 of the 82,430 test words. The published script evaluates 10 streams and leaves out the first 40
    words of each, so it scores 82,020. `perplexity_all` is over all words, the first 40 with as much context as there
    is. A model that carries its state from window to window has seen the text before; others see 40 to 79 words.

    Shapes: inputs (B, 80) int64, targets (B, 40) int64; a distribution over 10,000 words at each of the last 40 steps.
    `perplexity` is exp of the mean surprisal in nats a word.

    Floor: 639.7, each word's share of the training text (with one added to each count), without any memory. Knowing the
    word before as well costs 208.3 (the interpolated bigram of `_yardsticks`). Options: `train` and `held` keep the
    first so many tokens of the training text, and of the validation and the test text.

    >>> text = _text.encode_words({"train": _text.given("ptb.train.txt", b" no it was n't \\n it was \\n")}, size=5)
    >>> text.symbols  # by falling frequency, then by bytes
    ['<eos>', 'it', 'was', "n't", 'no']
    >>> text.texts["train"].tolist()  # a line's end, then the 7 tokens
    [0, 4, 1, 2, 3, 0, 1, 2, 0]
    >>> import torch
    >>> windows = _language.Windows(torch.from_numpy(text.texts["train"]), context=2, scored=2, name="an example")
    >>> windows.batch(torch.tensor([0, 1]))[:2]  # inputs and targets
    (tensor([[0, 4, 1, 2],
            [1, 2, 3, 0]]), tensor([[2, 3],
            [0, 1]]))
    """

    version: ClassVar[int] = 1
    source: ClassVar[str] = "Mikolov et al. 2010"
    published_validation: ClassVar[bool] = True
    test_parameters: ClassVar[dict[str, Any]] = {"context": 4, "scored": 4}
    remotes: ClassVar[tuple[Remote, ...]] = _ptb.REMOTES
    head: ClassVar[str] = "tied"
    embedding: ClassVar[str] = "embedding"
    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tcn": {"kernel": 3, "levels": 4, "width": 600}}
    vocabulary: ClassVar[int] = 10_000
    unigram: ClassVar[tuple[float, float]] = (639.7322, 639.7896)

    context: int = 40
    scored: int = 40
    train: int | None = None
    held: int | None = None

    def encoded_now(self) -> _text.Encoded:
        return _text.encode_words(_ptb.sources(self.remotes), self.size)
