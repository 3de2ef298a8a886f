"""Language models: the judgement, the splits and the symbols that all texts share."""

from __future__ import annotations

import hashlib
import json
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from . import _encoded, _text, _yardsticks, base
from ._options import require_range
from ._windows import Windows
from .datasets import sums


class Language(base.Task):
    """What every text shares: predict each symbol from those before it.

    Inputs are ids (B, T) int64 with T = `context` + `scored`, targets (B, R) int64, each the symbol after its input;
    the head answers with a distribution over the vocabulary at the last R = `scored` steps.
    """

    predicts_input: ClassVar[bool] = True
    distribution: ClassVar[bool] = True
    vocabulary: ClassVar[int]
    """V, the symbols of the true files; they are counted when a file is read."""
    evaluation_streams: ClassVar[int]
    """How many stretches of the validation and of the test text are evaluated side by side."""
    before: ClassVar[str] = _text.END_OF_LINE
    """The symbol that stands before a text, which ends a line; so the first token has one before it too."""
    unigram: ClassVar[tuple[float, float]] = (math.nan, math.nan)
    """Scores of the unigram yardstick of the true files, over the scored set and over all tokens."""

    context: int  # these four are options of each task
    scored: int
    train: int | None
    held: int | None

    def __post_init__(self) -> None:
        require_range(self._name, "context", self.context, 0)
        require_range(self._name, "scored", self.scored, 1)
        for option in ("train", "held"):
            if (value := getattr(self, option)) is not None:
                require_range(self._name, option, value, 1)

    @property
    def _name(self) -> str:
        return type(self).__module__.rpartition(".")[2].replace("_", "-")

    @property
    def size(self) -> int:
        """V of this variant."""
        return self.vocabulary

    @property
    def unigram_scores(self) -> tuple[float, float]:
        """`unigram` of this variant."""
        return self.unigram

    @property
    def input(self) -> base.Tokens:
        return base.Tokens(self.size)

    @property
    def outputs(self) -> int:
        return self.size

    @property
    def reads(self) -> int:
        return self.scored

    @property
    def steps(self) -> int:
        return self.context + self.scored

    @property
    def floors(self) -> tuple[float, float]:
        """The unigram's scores, or NaN where options alter what is scored or counted."""
        altered = any(getattr(self, name) != getattr(type(self), name) for name in ("context", "train", "held"))
        return (math.nan, math.nan) if altered else self.unigram_scores

    @abstractmethod
    def encoded_now(self) -> _text.Encoded:
        """The texts "train", "valid" and "test", encoded from the files. Raises DataError as `load` does."""

    def encoding_options(self) -> Mapping[str, Any]:
        """The options that alter ids."""
        return {}

    @property
    def folder(self) -> Path:
        """Where the encoded texts are kept, in the cache."""
        code = _encoded.code_of(type(self))
        return _encoded.folder_of(self._name, self.version, sums(self.remotes), self.encoding_options(), code)

    def encoded(self) -> _text.Encoded:
        """The encoded texts, from the cache where they are there. Raises DataError as `load` does."""
        return _encoded.kept(self.folder, self.encoded_now)

    def text(self, name: str) -> Tensor:
        """The ids of a text, (N + 1,), as far as `train` or `held` go. Raises ValueError where they go too far."""
        ids = self.encoded().texts[name]
        option = "train" if name == "train" else "held"
        wanted = getattr(self, option)
        if wanted is not None:
            require_range(self._name, option, wanted, 1, len(ids) - 1)
            ids = ids[: wanted + 1]
        return torch.from_numpy(np.asarray(ids))

    def windows(self, name: str) -> Windows:
        """A text as a split; for training as one stream, which `in_streams` cuts."""
        streams = 1 if name == "train" else self.evaluation_streams
        file = self.encoded().files[name]
        return Windows(self.text(name), self.context, self.scored, file, streams, whole=name != "train")

    def load(self, seed: int) -> base.Splits:
        return base.Splits(self.windows("train"), self.windows("valid"), self.windows("test"))

    def loss(self, outputs: base.Distribution, batch: base.Batch) -> Tensor:
        """The mean surprisal of the targets in nats, over those that the mask lets through."""
        surprisal = outputs.surprisal(batch.targets)  # (B, R)
        if batch.mask is None:
            return surprisal.mean()
        return surprisal.masked_fill(~batch.mask, 0).sum() / batch.mask.sum().clamp(min=1)

    def totals(self, outputs: base.Distribution, batch: base.Batch) -> base.Totals:
        """Nats over the scored set, and over all tokens; without a mask and groups (in training) both are the same."""
        surprisal = outputs.surprisal(batch.targets).double()
        all_tokens = torch.ones_like(batch.targets, dtype=torch.bool) if batch.mask is None else batch.mask
        scored = all_tokens if batch.group is None else all_tokens & (batch.group == 1)
        first, second = (metric.name for metric in self.metrics)
        return {
            first: (surprisal.masked_fill(~scored, 0).sum(), scored.sum()),
            second: (surprisal.masked_fill(~all_tokens, 0).sum(), all_tokens.sum()),
        }

    def asked(self, name: str) -> _yardsticks.Pairs:
        """What the first metric scores in a text, each symbol with the one before it, for the yardsticks."""
        return _yardsticks.pairs(self.text(name).numpy(), self.context)

    def yardsticks(self) -> dict[str, dict[str, float]]:
        """The first metric of a unigram and of a bigram counted from the training text (see `_yardsticks`).

        Computed once and kept beside the encoded texts. Raises DataError as `load` does.
        """
        facts = json.dumps([self.context, self.train, self.held])
        file = self.folder / f"yardsticks-{hashlib.sha256(facts.encode()).hexdigest()[:8]}.json"
        try:
            nats = _encoded.read_json(file)
        except (OSError, ValueError):
            train = self.text("train").numpy()
            nats = _yardsticks.nats(train, self.size, self.asked("valid"), self.asked("test"))._asdict()
            with suppress(OSError):  # then it is computed again next time
                _encoded.write_json(file, nats)
        metric = self.metrics[0]
        return {name: {metric.name: metric.value(nats[name], 1)} for name in ("unigram", "bigram")}

    def symbols(self) -> list[str]:
        return self.encoded().symbols

    def _ids(self, symbols: Sequence[str]) -> list[int]:
        """Ids of symbols. Raises ValueError, which names it, for one that the vocabulary lacks and `<unk>` as well."""
        known = {symbol: number for number, symbol in enumerate(self.symbols())}
        unknown = known.get(_text.UNKNOWN)
        ids = [known.get(symbol, unknown) for symbol in symbols]
        for symbol, number in zip(symbols, ids, strict=True):
            if number is None:
                raise ValueError(f"{self._name}: {symbol!r} is not in the vocabulary of {len(known):,} symbols")
        return [number for number in ids if number is not None]


class Words(Language):
    """A text of words, scored by perplexity."""

    evaluation_streams: ClassVar[int] = 16

    @property
    def metrics(self) -> tuple[base.Metric, ...]:
        scored, all_tokens = self.floors
        return (
            base.Metric("perplexity", "per word", "lower", floor=scored, scale="exp", kind="likelihood"),
            base.Metric("perplexity_all", "per word", "lower", floor=all_tokens, scale="exp", kind="likelihood"),
        )

    def encode(self, text: str) -> list[int]:
        """Ids of a text cut at white space, the end of a line as `<eos>`, an unknown word as `<unk>`.

        Raises ValueError, which names the word, where the vocabulary lacks it and `<unk>` as well.
        """
        return self._ids(text.replace("\n", f" {_text.END_OF_LINE} ").split())

    def decode(self, ids: Sequence[int]) -> str:
        """Each word with a space after it, `<eos>` as the end of a line."""
        symbols = self.symbols()
        words = (symbols[number] for number in ids)
        return "".join("\n" if word == _text.END_OF_LINE else f"{word} " for word in words)


class Characters(Language):
    """A text of characters, scored in bits."""

    evaluation_streams: ClassVar[int] = 32

    @property
    def metrics(self) -> tuple[base.Metric, ...]:
        scored, all_tokens = self.floors
        return (
            base.Metric("bpc", "bits/character", "lower", floor=scored, scale="bits", kind="likelihood"),
            base.Metric("bpc_all", "bits/character", "lower", floor=all_tokens, scale="bits", kind="likelihood"),
        )

    def encode(self, text: str) -> list[int]:
        """Ids of the characters. Raises ValueError, which names it, for one that the vocabulary lacks."""
        return self._ids(list(text))

    def decode(self, ids: Sequence[int]) -> str:
        symbols = self.symbols()
        return "".join(symbols[number] for number in ids)
