"""Penn Treebank with gaps: name a word from the words on both sides of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import _ptb, _random, _text, _yardsticks, base, ptb_word
from ._options import require_range
from .datasets import DataError, Remote

MASK = "<mask>"


class Gaps(base.Split):
    """The windows of a text, each shown several times with other gaps.

    ids: (N, T) int64, windows side by side in the text. order: (N, T) int64, a permutation of the steps of each window.
    gaps: g. An example is a window and g steps of its permutation: example i is window i // (T // g) with the steps of
    group i % (T // g), so that all examples of a window ask for each of its words once. mask: the id of a gap. views:
    how many groups of each window there are, at most T // g.
    """

    def __init__(self, ids: Tensor, order: Tensor, gaps: int, mask: int, views: int) -> None:
        self.ids, self.order, self.gaps, self.mask, self.views = ids, order, gaps, mask, views

    def __len__(self) -> int:
        return len(self.ids) * self.views

    def to(self, device: torch.device) -> Gaps:
        return Gaps(self.ids.to(device), self.order.to(device), self.gaps, self.mask, self.views)

    def batch(self, index: Tensor) -> base.Batch:
        return self.laid_out(index.to(self.ids.device), None)

    def laid_out(self, index: Tensor, extent: int | None) -> base.Batch:
        window, group = torch.div(index, self.views, rounding_mode="floor"), index % self.views
        words = self.ids[window]  # (B, T)
        places = group.unsqueeze(1) * self.gaps + torch.arange(self.gaps, device=index.device)  # (B, g)
        reads = self.order[window].gather(1, places).sort(1).values  # (B, g), the steps of the gaps
        return base.Batch(words.scatter(1, reads, self.mask), words.gather(1, reads), reads=reads)


@dataclass(frozen=True)
class Task(base.Task):
    """Name the words that were taken out of a line of newspaper, from what stands before them and behind.

    The lecture's example for networks that read in both directions; as the gaps of Taylor 1953 ("Cloze procedure"), and
    the training of Devlin et al. 2019, "BERT" (arXiv:1810.04805), which takes out 15 %. The text is that of `ptb-word`
    (Marcus, Santorini & Marcinkiewicz 1993; Mikolov et al. 2010): 929,589 / 73,760 / 82,430 words with `<eos>`.

    It is cut into windows of `length` words, one after the other; fewer than `length` at its end are left out. An
    example is a window in which `gaps` words are `<mask>`, a tenth of them. Which they are is drawn for each window
    from a fixed stream: a permutation of its steps, cut into groups of `gaps`. All groups are shown, so an epoch asks
    for each word once, and so do validation and test: 82,400 of the 82,430 test words are scored, each exactly once,
    from the 36 other words of its window. `views` shows only so many groups of each window in training.

    A model that reads from left to right sees the words before a gap alone. What it scores is what the left side is
    worth; the difference to a bidirectional one is what the right side adds.

    Shapes, with T = `length`: inputs (B, T) int64, `<mask>` is V - 1; reads and targets (B, gaps) int64; a
    distribution over V = 10,001 symbols at each gap. `perplexity` is exp of the mean surprisal in nats a word,
    `accuracy` in per cent of the words. Floor: each word's share of the training text (with one added to each count)
    costs 639.8; the most frequent word, "the", is 5.50 % of the test words. Option `train` keeps the first so many
    tokens of the training text.

    >>> order = torch.tensor([[2, 0, 3, 1]])
    >>> batch = Gaps(torch.tensor([[5, 6, 7, 8]]), order, gaps=2, mask=9, views=2).batch(torch.tensor([0, 1]))
    >>> batch.inputs.tolist(), batch.reads.tolist(), batch.targets.tolist()
    ([[9, 6, 9, 8], [5, 9, 7, 9]], [[0, 2], [1, 3]], [[5, 7], [6, 8]])
    """

    version: ClassVar[int] = 1
    distribution: ClassVar[bool] = True
    head: ClassVar[str] = "tied"
    source: ClassVar[str] = "Taylor 1953; text of Mikolov et al. 2010"
    published_validation: ClassVar[bool] = True
    test_parameters: ClassVar[dict[str, Any]] = {"length": 8, "gaps": 2}
    remotes: ClassVar[tuple[Remote, ...]] = _ptb.REMOTES
    floors: ClassVar[tuple[float, float]] = (639.8255, 5.4964)
    """Perplexity of the unigram and per cent of the most frequent word, on the test words of the true files."""

    length: int = 40
    gaps: int = 4
    views: int | None = None
    train: int | None = None

    def __post_init__(self) -> None:
        require_range("masked-word", "length", self.length, 2)
        require_range("masked-word", "gaps", self.gaps, 1, self.length // 2)
        if self.length % self.gaps:
            raise ValueError(f"masked-word: gaps must divide length={self.length}, got {self.gaps}")
        if self.views is not None:
            require_range("masked-word", "views", self.views, 1, self.length // self.gaps)
        if self.train is not None:
            require_range("masked-word", "train", self.train, self.length)

    @property
    def asks_causality(self) -> bool:
        """No: the words behind a gap are there to be seen."""
        return False

    @property
    def input(self) -> base.Tokens:
        return base.Tokens(self.outputs)

    @property
    def outputs(self) -> int:
        return ptb_word.Task.vocabulary + 1

    @property
    def reads(self) -> int:
        return self.gaps

    @property
    def steps(self) -> int:
        return self.length

    @property
    def metrics(self) -> tuple[base.Metric, ...]:
        altered = self.train is not None or self.length != type(self).length
        perplexity, share = (math.nan, math.nan) if altered else self.floors
        return (
            base.Metric("perplexity", "per word", "lower", floor=perplexity, scale="exp", kind="likelihood"),
            base.Metric("accuracy", "%", "higher", floor=share, kind="share"),
        )

    def load(self, seed: int) -> base.Splits:
        return base.Splits(*(self._split(name) for name in ("train", "valid", "test")))

    def _words(self, name: str) -> NDArray[Any]:
        """The ids of a text that are shown and asked for, a whole number of windows, (N * T,)."""
        encoded = ptb_word.Task(train=self.train).encoded()
        ids = np.asarray(encoded.texts[name])[1:]  # the first stands before the text
        if name == "train" and self.train is not None:
            require_range("masked-word", "train", self.train, self.length, len(ids))
            ids = ids[: self.train]
        if len(ids) < self.length:
            raise DataError(f"{encoded.files[name]}: {len(ids)} words are fewer than one window of {self.length}")
        return ids[: len(ids) // self.length * self.length]

    def _split(self, name: str) -> Gaps:
        ids = self._words(name).reshape(-1, self.length)
        draws = _random.draws(_random.stream(f"masked-word/{name}"), 0, ids.size).reshape(ids.shape)
        views = self.length // self.gaps
        if name == "train" and self.views is not None:
            views = self.views
        order = torch.from_numpy(np.argsort(draws, axis=1))
        return Gaps(torch.from_numpy(ids.astype(np.int64)), order, self.gaps, self.outputs - 1, views)

    def loss(self, outputs: base.Distribution, batch: base.Batch) -> Tensor:
        """The mean surprisal of the words that were taken out, in nats."""
        return outputs.surprisal(batch.targets).mean()

    def totals(self, outputs: base.Distribution, batch: base.Batch) -> base.Totals:
        count = batch.targets.numel()
        nats = outputs.surprisal(batch.targets).double().sum()
        return {
            "perplexity": (nats, count),
            "accuracy": (100 * (outputs.most_probable() == batch.targets).sum(), count),
        }

    def yardsticks(self) -> dict[str, dict[str, float]]:
        """Unigram, and bigram from the word before a gap (see `_yardsticks`), counted from the training text."""
        train = np.concatenate([self._words("train")[:1], self._words("train")])
        valid, test = (_yardsticks.pairs(self._words(name)) for name in ("valid", "test"))
        nats = _yardsticks.nats(train, ptb_word.Task.vocabulary, valid, test)._asdict()
        return {name: {"perplexity": self.metrics[0].value(nats[name], 1)} for name in ("unigram", "bigram")}

    def symbols(self) -> list[str]:
        return [*ptb_word.Task().symbols(), MASK]

    def encode(self, text: str) -> list[int]:
        """Ids of a text cut at white space, as those of `ptb-word`; `<mask>` is a gap."""
        known = {symbol: number for number, symbol in enumerate(self.symbols())}
        unknown = known.get(_text.UNKNOWN)
        ids = []
        for word in text.replace("\n", f" {_text.END_OF_LINE} ").split():
            number = known.get(word, unknown)
            if number is None:
                raise ValueError(f"masked-word: {word!r} is not in the vocabulary of {len(known):,} symbols")
            ids.append(number)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Each word with a space after it."""
        symbols = self.symbols()
        return "".join(f"{symbols[number]} " for number in ids)
