"""Tasks that show a source and ask for a target: what their symbols are, how examples are laid out and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from . import _random, base
from ._options import require_range

PAD, START, END = 0, 1, 2  # of a target; PAD is that of a source, too. Encoder-decoders have the same
SPECIAL = 3  # PAD, START, END: the first symbol of a target has this id, that of a source has 1
SOLVED_AT = 99.0  # per cent of the sequences
SAMPLED = 20_000  # answers from which a floor is computed

Ids = NDArray[np.int16]
Made = tuple[Ids, Ids]
"""Sources (N, S) and targets (N, T)."""


class PairExamples(base.Split):
    """N pairs: sources (N, S) int16 padded with PAD, and targets (N, T) int16 with END, padded with PAD.

    A batch is laid out for its longest source; targets are given as many steps as the longest that a source of such a
    length may have, so that all shapes follow from the extent.
    """

    def __init__(self, sources: Tensor, targets: Tensor, lengths: Tensor, longer: int) -> None:
        self.sources, self.targets, self.longer = sources, targets, longer
        self.ends = lengths.to(sources.device)
        self._lengths = lengths

    @classmethod
    def of(cls, sources: Ids, targets: Ids) -> PairExamples:
        """The pairs of a generator."""
        lengths, answers = (sources != PAD).sum(1), (targets != PAD).sum(1)
        columns = torch.from_numpy(sources), torch.from_numpy(targets), torch.from_numpy(lengths)
        return cls(*columns, longer=int((answers - lengths).max()))

    def __len__(self) -> int:
        return len(self._lengths)

    @property
    def lengths(self) -> Tensor | None:
        """Symbols of each source, (N,); None where all have as many."""
        return None if bool((self._lengths == self._lengths[0]).all()) else self._lengths

    def to(self, device: torch.device) -> PairExamples:
        return PairExamples(self.sources.to(device), self.targets.to(device), self._lengths, self.longer)

    def batch(self, index: Tensor) -> base.Batch:
        return self.laid_out(index.to(self.sources.device), self.extent(index))

    def laid_out(self, index: Tensor, extent: int | None) -> base.Batch:
        extent = self.sources.shape[1] if extent is None else extent
        source = _of_steps(self.sources, index, extent)  # (B, S)
        targets = _of_steps(self.targets, index, min(self.targets.shape[1], extent + self.longer))  # (B, T)
        inputs = F.pad(targets[:, :-1], (1, 0), value=START)
        return base.Batch(inputs, targets, targets != PAD, source=source, lengths=self.ends[index])


def _of_steps(column: Tensor, index: Tensor, steps: int) -> Tensor:  # (N, T) -> (B, steps) int64
    rows = column[:, :steps].index_select(0, index).long()
    return F.pad(rows, (0, steps - rows.shape[1]), value=PAD) if rows.shape[1] < steps else rows


@dataclass(frozen=True)
class PairTask(base.Task):
    """What they share; the fields are options of each.

    shortest, longest: lengths of training sources, in the task's own unit. length: of those of validation and test, all
    of this one length. train, valid, test: numbers of pairs. beam: hypotheses that decoding keeps when answers are
    judged; 1: the most probable symbol is taken at each step.

    Training shows the decoder the true target (teacher forcing). Judged is what it writes by itself from the source, as
    far as the target goes: `accuracy` is the share of the target's symbols, END included, that stand at their place,
    `sequences` the share of targets without a wrong symbol, both in per cent; `loss` is -ln P in nats of a symbol of
    the target given those before it. Floor of the accuracy: the most frequent symbol at each place, of 20,000 answers
    of this length. Solved where 99 % of the sequences are right.
    """

    name: ClassVar[str]
    """What the task is called, in errors and in the streams of its random numbers."""
    distribution: ClassVar[bool] = True
    head: ClassVar[str] = "softmax"
    variant: ClassVar[tuple[str, ...]] = ("length",)
    length_option: ClassVar[str | None] = "length"
    separator: ClassVar[str] = ""
    """What stands between two symbols of a text."""

    shortest: int = 1
    longest: int = 20
    length: int = 20
    train: int = 20_000
    valid: int = 500
    test: int = 1_000
    beam: int = 1

    def require_options(self) -> None:
        """Raises ValueError where an option that all have is out of its range."""
        require_range(self.name, "shortest", self.shortest, 1)
        require_range(self.name, "longest", self.longest, self.shortest)
        require_range(self.name, "length", self.length, 1)
        for option in ("train", "valid", "test", "beam"):
            require_range(self.name, option, getattr(self, option), 1)

    @cached_property
    def source_symbols(self) -> tuple[str, ...]:
        """The symbols of a source, without PAD; the first has the id 1."""
        raise NotImplementedError

    @cached_property
    def target_symbols(self) -> tuple[str, ...]:
        """The symbols of a target, without PAD, START and END; the first has the id 3. By default the source's."""
        return self.source_symbols

    def most_symbols(self, length: int) -> tuple[int, int]:
        """The largest numbers of symbols of a source of this length, and of its target, END included.

        By default a symbol of each is one of the length's unit.
        """
        return length, length + 1

    def examples(self, seed: int, split: str, start: int, count: int, threads: int = 1) -> Made:
        """Pairs `start`, …, `start` + `count` - 1 of a split: sources (count, S), targets (count, T) with END.

        Both padded with PAD. A pure function of its arguments, and of `threads` not even that: they change the speed
        only. `start` and `count` may go beyond the number of pairs that the task declares. Raises ValueError for an
        unknown split.
        """
        raise NotImplementedError

    def lengths_of(self, split: str, seed: int, start: int, count: int, threads: int = 1, columns: int = 1) -> Any:
        """Lengths (count, columns) of a split's sources: drawn for training, each as likely, else all `length`."""
        key = _random.split_stream(self.name, split, "lengths", seed)
        if split != "train":
            return np.full((count, columns), self.length)
        drawn = _random.integers(key, start, count, columns, self.shortest, self.longest + 1, threads)
        return drawn.astype(np.int64)

    @property
    def input(self) -> base.Pair:
        most = max(self.most_symbols(length)[1] for length in (self.longest, self.length))
        return base.Pair(1 + len(self.source_symbols), self.outputs, most)

    @property
    def outputs(self) -> int:
        return SPECIAL + len(self.target_symbols)

    @property
    def reads(self) -> None:
        return None

    @property
    def steps(self) -> int:
        return max(max(self.most_symbols(length)) for length in (self.longest, self.length))

    @property
    def trained_lengths(self) -> tuple[int, int]:
        return self.shortest, self.longest

    @property
    def metrics(self) -> tuple[base.Metric, ...]:
        return (
            base.Metric("accuracy", "%", "higher", floor=_floor(self), kind="share"),
            base.Metric("sequences", "%", "higher", floor=0.0, solved_at=SOLVED_AT, kind="share"),
            base.Metric("loss", "nats/symbol", "lower", floor=float("nan"), kind="likelihood", tolerance=0.75),
        )

    def load(self, seed: int) -> base.Splits:
        parts = (("train", self.train), ("valid", self.valid), ("test", self.test))
        return base.Splits(*(PairExamples.of(*self.examples(seed, name, 0, count)) for name, count in parts))

    def loss(self, outputs: base.Distribution, batch: base.Batch) -> Tensor:
        """The mean over all symbols of the batch's targets, in nats."""
        total, count = self._nats(outputs, batch)
        return total / count

    def totals(self, outputs: Any, batch: base.Batch) -> base.Totals:
        assert batch.mask is not None
        written = outputs.decoded(batch.targets.shape[1], self.beam)  # (B, T); what would come behind is not asked for
        right = (written == batch.targets) & batch.mask
        whole = (right | ~batch.mask).all(1)
        return {
            "accuracy": (100 * right.sum(), batch.mask.sum()),
            "sequences": (100 * whole.sum(), len(whole)),
            "loss": self._nats(outputs, batch),
        }

    def _nats(self, outputs: base.Distribution, batch: base.Batch) -> tuple[Tensor, Tensor]:
        assert batch.mask is not None
        nats = outputs.surprisal(batch.targets)  # (B, T)
        return torch.where(batch.mask, nats, 0).sum(), batch.mask.sum()

    def symbols(self) -> list[str]:
        """What each id of a source stands for; PAD for nothing."""
        return ["", *self.source_symbols]

    def encode(self, text: str) -> list[int]:
        """The ids of a source that a person wrote.

        Raises ValueError for an empty one, and for a symbol that no source has.
        """
        parts = text.split() if self.separator.isspace() else list(text)
        if not parts:
            raise ValueError(f"{self.name}: the source is empty; at least one symbol is needed")
        known = {symbol: place for place, symbol in enumerate(self.source_symbols, 1)}
        for place, part in enumerate(parts, 1):
            if part not in known:
                raise ValueError(
                    f"{self.name}: {part!r}, symbol {place} of the source, is unknown; "
                    f"sources have {_listed(self.source_symbols)}"
                )
        return [known[part] for part in parts]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a target's ids, up to the first END."""
        shown = [self.target_symbols[one - SPECIAL] for one in _until_end(ids)]
        return self.separator.join(shown)


def _until_end(ids: Sequence[int]) -> list[int]:
    wanted = list(ids)[: list(ids).index(END)] if END in ids else list(ids)
    return [one for one in wanted if one >= SPECIAL]


def _listed(symbols: Sequence[str]) -> str:
    """All symbols, or the first and the last of many.

    >>> _listed("abc"), _listed([str(number) for number in range(50)])
    ("'a', 'b', 'c'", "'0', '1', '2' … '49'")
    """
    if len(symbols) <= 16:
        return ", ".join(map(repr, symbols))
    return ", ".join(map(repr, symbols[:3])) + f" … {symbols[-1]!r}"


def with_end(targets: NDArray[Any], lengths: NDArray[Any]) -> Ids:
    """Targets (N, T + 1) int16 of ids (N, T), of which the first `lengths` (N,) count: then END, then PAD."""
    found = np.full((len(targets), targets.shape[1] + 1), PAD, np.int16)
    found[:, :-1] = targets
    found[np.arange(found.shape[1]) >= lengths[:, None]] = PAD
    found[np.arange(len(found)), lengths] = END
    return found


def spelled(texts: Sequence[str], symbols: Sequence[str], first: int) -> Ids:
    """Ids (N, longest text) of texts of ASCII characters, of which `symbols` have the ids from `first` on; then PAD."""
    width = max(map(len, texts))
    table = np.zeros(128, np.int16)
    table[[ord(symbol) for symbol in symbols]] = range(first, first + len(symbols))
    letters = np.frombuffer("".join(text.ljust(width, "\0") for text in texts).encode("ascii"), np.uint8)
    found: Ids = table[letters].reshape(len(texts), width)
    return found


@lru_cache(maxsize=256)
def _floor(task: PairTask) -> float:
    """The share of symbols, in per cent, that the most frequent one at each place gets right."""
    _, targets = task.examples(0, "valid", 0, SAMPLED)
    scored = targets != PAD
    columns = [column[counts] for column, counts in zip(targets.T, scored.T, strict=True)]
    best = sum(np.bincount(column).max() for column in columns if len(column))
    return float(100 * best / scored.sum())
