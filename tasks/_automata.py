"""What a finite automaton says of random strings: the ground of the formal languages and of the word problems.

Training strings have random lengths in a range; the strings of validation and test are all of one length, most often
one that was never trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from . import _random, base
from ._answers import Answers
from ._options import require_choice, require_range

Target = Literal["end", "prefixes"]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Automaton:
    """A machine that goes from state to state as it reads symbols, and has an answer for each state.

    following: the state after a symbol, (states, V) uint8. answers: of each state, (states,) uint8. start: the first
    state. alphabets: name of a column of random numbers -> the symbols low, …, high - 1 that it is drawn from. Where
    there are several, the steps take turns; a string then ends with the first, and only there it has an answer.
    """

    following: Bytes
    answers: Bytes
    alphabets: Mapping[str, tuple[int, int]]
    start: int = 0

    @property
    def period(self) -> int:
        """Every how many steps a prefix has an answer, from the first step on."""
        return len(self.alphabets)

    def whole(self, length: int) -> int:
        """The greatest length up to `length` of a string that has an answer at its end."""
        return 1 + (length - 1) // self.period * self.period

    def read(self, symbols: Bytes) -> Bytes:
        """The answer after every symbol of strings (N, T): (N, T) uint8."""
        said = np.empty_like(symbols)
        state = np.full(len(symbols), self.start, np.uint8)
        for step in range(symbols.shape[1]):
            state = self.following[state, symbols[:, step]]
            said[:, step] = self.answers[state]
        return said

    def chances(self, length: int) -> NDArray[np.float64]:
        """How likely each answer is after 1, …, `length` random symbols: (length, answers), each row with sum 1."""
        states = len(self.following)
        moves = []  # for each alphabet the matrix (states, states) of the chances to go from one to another
        for low, high in self.alphabets.values():
            move = np.zeros((states, states))
            for symbol in range(low, high):
                np.add.at(move, (np.arange(states), self.following[:, symbol]), 1 / (high - low))
            moves.append(move)
        says = np.eye(int(self.answers.max()) + 1)[self.answers]  # (states, answers)
        chance, found = np.eye(states)[self.start], []
        for step in range(length):
            chance = chance @ moves[step % self.period]
            found.append(chance @ says)
        return np.stack(found)


class Strings(base.Split):
    """N strings with the answers after all of their symbols.

    symbols, answers: (N, T) uint8. lengths: of each string, (N,) int64 on the CPU; None where all have T symbols.
    target: whether the answer at the end is asked for, or after every `period`-th symbol from the first on.
    """

    def __init__(self, symbols: Tensor, answers: Tensor, lengths: Tensor | None, target: Target, period: int) -> None:
        self.symbols, self.answers, self.target, self.period = symbols, answers, target, period
        self.ends = None if lengths is None else lengths.to(symbols.device)
        self._lengths = lengths

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def lengths(self) -> Tensor | None:
        return self._lengths

    def to(self, device: torch.device) -> Strings:
        return Strings(self.symbols.to(device), self.answers.to(device), self._lengths, self.target, self.period)

    def batch(self, index: Tensor) -> base.Batch:
        return self.laid_out(index.to(self.symbols.device), self.extent(index))

    def laid_out(self, index: Tensor, extent: int | None) -> base.Batch:
        steps = self.symbols.shape[1] if extent is None else extent
        inputs, answers = (self._of(column, index, steps) for column in (self.symbols, self.answers))  # (B, T)
        ends = None if self.ends is None else self.ends[index]
        if self.target == "end":
            if ends is None:
                return base.Batch(inputs, answers[:, -1:])
            reads = base.last_steps(ends)
            return base.Batch(inputs, answers.gather(1, reads), reads=reads, lengths=ends)
        if ends is None and self.period == 1:
            return base.Batch(inputs, answers)
        step = torch.arange(steps, device=inputs.device)
        inside = step < (steps if ends is None else ends.unsqueeze(1))
        mask = (inside & (step % self.period == 0)).expand(inputs.shape)
        return base.Batch(inputs, answers, mask, lengths=ends)

    def _of(self, column: Tensor, index: Tensor, steps: int) -> Tensor:  # (N, T) -> (B, steps) int64
        rows = column[:, :steps].index_select(0, index).long()
        return F.pad(rows, (0, steps - rows.shape[1])) if rows.shape[1] < steps else rows


class Recognition(Answers):
    """What tasks share that ask for an automaton's answer; the fields are options of each task.

    target: "end" asks after the last symbol, "prefixes" after each that a string may end with. shortest, longest:
    the lengths of training strings, uniform. length: of the strings of validation and test. train, valid, test:
    numbers of strings.
    """

    name: ClassVar[str]
    """What the task is called, in errors and in the streams of its random numbers."""

    target: Target
    shortest: int
    longest: int
    length: int
    train: int
    valid: int
    test: int

    @property
    def automaton(self) -> Automaton:
        """The machine that gives the answers."""
        raise NotImplementedError

    def require_options(self) -> None:
        """Raises ValueError where an option is out of its range."""
        require_choice(self.name, "target", self.target, ("end", "prefixes"))
        require_range(self.name, "shortest", self.shortest, 1)
        require_range(self.name, "longest", self.longest, self.shortest)
        require_range(self.name, "length", self.length, 1)
        if self.automaton.whole(self.longest) < self.shortest:
            raise ValueError(f"{self.name}: no string of {self.shortest} to {self.longest} symbols has an answer")
        for split in ("train", "valid", "test"):
            require_range(self.name, split, getattr(self, split), 1)

    @property
    def input(self) -> base.Tokens:
        return base.Tokens(self.automaton.following.shape[1])

    @property
    def outputs(self) -> int:
        return int(self.automaton.answers.max()) + 1

    @property
    def reads(self) -> int | None:
        return 1 if self.target == "end" else None

    @property
    def steps(self) -> int:
        return self.automaton.whole(max(self.length, self.longest))

    @property
    def trained_lengths(self) -> tuple[int, int]:
        return self.shortest, self.longest

    @property
    def floor(self) -> float:
        return _floor(self)

    @property
    def several(self) -> bool:
        return self.target == "prefixes"

    def examples(
        self, seed: int, split: str, start: int, count: int, threads: int = 1
    ) -> tuple[Bytes, NDArray[np.int32]]:
        """Strings `start`, …, `start` + `count` - 1 of a split: symbols (count, T) uint8, of which the first so many
        count, and how many these are, (count,) int32.

        A pure function of its arguments, and of `threads` not even that: they change the speed only. `start` and
        `count` may go beyond the number of strings that the task declares. Raises ValueError for an unknown split.
        """
        automaton, period = self.automaton, self.automaton.period
        steps = automaton.whole(self.longest if split == "train" else self.length)
        symbols = np.empty((count, steps), np.uint8)
        for turn, (column, (low, high)) in enumerate(automaton.alphabets.items()):
            key, size = _random.split_stream(self.name, split, column, seed), len(range(turn, steps, period))
            symbols[:, turn::period] = _random.integers(key, start, count, size, low, high, threads)
        if split != "train":
            return symbols, np.full(count, steps, np.int32)
        low, high = -(-(self.shortest - 1) // period), (self.longest - 1) // period
        key = _random.split_stream(self.name, split, "lengths", seed)
        turns = _random.integers(key, start, count, 1, low, high + 1, threads)[:, 0]
        return symbols, 1 + period * turns.astype(np.int32)

    def load(self, seed: int) -> base.Splits:
        def split(name: str, count: int) -> base.Split:
            symbols, lengths = self.examples(seed, name, 0, count)
            answers = self.automaton.read(symbols)
            varying = torch.from_numpy(lengths).long() if name == "train" else None
            columns = torch.from_numpy(symbols), torch.from_numpy(answers)
            return Strings(*columns, varying, self.target, self.automaton.period)

        return base.Splits(split("train", self.train), split("valid", self.valid), split("test", self.test))


@dataclass(frozen=True)
class FormalLanguage(Recognition):
    """The options of the languages that are trained on strings of 3 to 40 symbols and judged at 256."""

    variant: ClassVar[tuple[str, ...]] = ("target",)
    length_option: ClassVar[str | None] = "length"
    test_parameters: ClassVar[dict[str, Any]] = {"longest": 8, "length": 12, "train": 64, "valid": 32, "test": 32}

    target: Target = "end"
    shortest: int = 3
    longest: int = 40
    length: int = 256
    train: int = 20_000
    valid: int = 500
    test: int = 1_000

    def __post_init__(self) -> None:
        self.require_options()


@lru_cache(maxsize=256)
def _floor(task: Recognition) -> float:
    """The share of right answers, in 0 … 1, of who knows how likely each is after so many symbols, and no symbol."""
    steps = task.automaton.whole(task.length)
    best = task.automaton.chances(steps).max(1)[:: task.automaton.period]  # of the prefixes that have an answer
    return float(best[-1] if task.target == "end" else best.mean())
