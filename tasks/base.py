"""The contract of a task: what is shown to a network, and how its answer is judged.

Shape letters, here and everywhere: B batch, T time, C channels, V vocabulary, R steps that are read (scored),
O outputs.

Examples of different lengths go into one batch like this. Each begins at step 0. Shorter ones are padded behind their
end, to the length T of the longest or longer; the values there do not matter, because a causal model's features do not
depend on later inputs. The split tells the lengths (`Split.lengths`, `Split.laid_out`), and the batch says which steps
count: where every step is answered, by a `mask` that is false behind the end; where each example is answered at its own
last steps, by `reads=last_steps(lengths)`. Training and evaluation then see what each example alone would give. For a
model that is not causal the batch tells the lengths as well (`Batch.lengths`); without them it sees the padding. The
state after a padded batch is of no use: only texts (`Split.streams`) are streamed, and their windows are all of one
length.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from ._metric import Metric as Metric
from .datasets import Remote


@dataclass(frozen=True)
class Continuous:
    """Inputs are real numbers: float tensors (B, T, C)."""

    channels: int


@dataclass(frozen=True)
class Tokens:
    """Inputs are symbols: integer tensors (B, T) with values below `vocabulary`."""

    vocabulary: int


@dataclass(frozen=True)
class Pair:
    """A source is shown and a target asked for: both are integer tensors, (B, S) and (B, T), see `Batch.source`.

    source, target: how many symbols each has, those for padding, start and end included. longest: how many symbols of
    a target are written at most, its end included.
    """

    source: int
    target: int
    longest: int


class Batch(NamedTuple):
    """What one step of training sees.

    inputs: (B, T, C) float or (B, T) integer. targets: the shape that the task's `loss` expects. mask: (B, R)
    bool, true where the answer is scored; None where every step that is read is scored. reads: where it is given it
    goes before the task's: how many of the last steps are read, or which, (B, R) int64. group: (B, R) integer, to
    which of the task's sets of scored positions each belongs; None where there is one set. lengths: (B,) int64, the
    steps of each example before its padding, for models that are not causal; None where none is padded.
    source: (B, S) int64, of a task whose input is a `Pair`, padded behind its ends, which `lengths` tells. Then
    inputs (B, T) is the target as a decoder is shown it: a start symbol, and all symbols but the last.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor | None = None
    reads: int | Tensor | None = None
    group: Tensor | None = None
    lengths: Tensor | None = None
    source: Tensor | None = None


def last_steps(lengths: Tensor, count: int = 1) -> Tensor:
    """`Batch.reads` of examples that are read at their own last steps: (B, R = count) int64, from lengths (B,).

    Lengths must be at least `count`.

    >>> last_steps(torch.tensor([3, 5]), 2).tolist()
    [[1, 2], [3, 4]]
    """
    return lengths.unsqueeze(1) + torch.arange(-count, 0, device=lengths.device)


class Distribution(Protocol):
    """What the head of a language model answers: a distribution over V symbols at each of (B, R) steps."""

    def surprisal(self, targets: Tensor) -> Tensor:
        """-ln P(target) in nats, (B, R), of targets (B, R) int64."""

    def log_probabilities(self) -> Tensor:
        """ln P of every symbol, (B, R, V)."""

    def most_probable(self) -> Tensor:
        """The symbol with the highest probability, (B, R) int64."""


class Split(ABC):
    """N examples, kept as compact as they come and gathered by index on the device that holds them.

    The windows of a text are examples too. `streams` is then how many of them go side by side: examples 0 … S-1 are
    the first windows of S stretches of the text, S … 2S-1 the windows that follow them. They are shown in this
    order, S at a time, and never shuffled. `context` is how many leading steps of a window the window before it has
    shown too: a model that carries its state over skips them.
    """

    streams: int | None = None
    context: int = 0

    def in_streams(self, count: int) -> Split:
        """The same text cut into `count` stretches; a split that is no text stays as it is."""
        return self

    @abstractmethod
    def __len__(self) -> int:
        """The number of examples N."""

    @abstractmethod
    def to(self, device: torch.device) -> Split:
        """The same examples on `device`."""

    @abstractmethod
    def batch(self, index: Tensor) -> Batch:
        """The examples at `index`, (B,) int64 on the CPU or on the split's own device, ready for a network."""

    def extent(self, index: Tensor) -> int | None:
        """What the host must know of the examples at `index` to lay out their batch; None where it is always one.

        It waits for the device where `index` is not on the CPU and there is something to know.
        """
        return None if self.lengths is None else int(self.lengths[index.cpu()].max())

    def laid_out(self, index: Tensor, extent: int | None) -> Batch:
        """The examples at `index`, (B,) int64 on the split's device, in the layout of an extent.

        A pure function of tensors on that device, and all shapes follow from B and `extent`, so that it can be
        captured on a GPU. Where examples differ in length, `extent` is the T to which they are padded, unscored; it
        may be longer than all of them. A split without it is shown by `batch`, for which the host may have to wait.
        Raises NotImplementedError there.
        """
        raise NotImplementedError(f"{type(self).__name__} does not lay batches out on the device")

    @property
    def text(self) -> Tensor | None:
        """All N ids of a text with the one that stands before it, (N + 1,), where the examples are its windows."""
        return None

    @property
    def lengths(self) -> Tensor | None:
        """Steps of each example, (N,) int64 on the CPU, where they differ; None where all are equal."""
        return None


class Examples(Split):
    """Examples of one fixed layout: tensors whose first dimension is N, and a function that shows them.

    `present` receives the gathered rows, one tensor a column, and returns the Batch; it must be a pure function
    of tensors (no host synchronisation), so that a whole step can be captured on a GPU.
    """

    def __init__(self, *columns: Tensor, present: Callable[..., Batch]) -> None:
        if len({len(column) for column in columns}) != 1:
            raise ValueError(f"columns of unequal length: {[len(column) for column in columns]}")
        self.columns = columns
        self.present = present

    def __len__(self) -> int:
        return len(self.columns[0])

    def to(self, device: torch.device) -> Examples:
        return Examples(*(column.to(device) for column in self.columns), present=self.present)

    def batch(self, index: Tensor) -> Batch:
        return self.laid_out(index.to(self.columns[0].device), None)

    def laid_out(self, index: Tensor, extent: int | None) -> Batch:
        return self.present(*(column.index_select(0, index) for column in self.columns))


class Splits(NamedTuple):
    """The three parts of a task's data. The test part is the same for every seed."""

    train: Split
    valid: Split
    test: Split


Totals = Mapping[str, tuple[Tensor, Tensor | int]]
"""Metric name -> (sum over the scored positions of a batch, their number)."""


@dataclass(frozen=True)
class Task(ABC):
    """What every task declares. A task is a frozen dataclass: its fields are its options.

    `version` counts changes that alter results. `variant` names the options that always stand in its id, because
    in the literature one name covers several tasks. `variants` lists the ids worth listing. `source` is the paper.
    `length_option` names the option that says how long sequences are, an integer; None where the data say it. Where
    it says this of validation and test alone, `trained_lengths` are those of training.
    `published_validation` says whether the reference protocol (Bai et al. 2018) had a validation set.
    `test_parameters` make the task small enough for the contract tests. `test_answers`: of how many answers a share on
    the test part is the mean, where that part is a fixed sample of what could be asked, such as sentences.
    `predicts_input`: the answer at a step is a later input, so that a model that sees later inputs would copy it.
    `distribution`: `loss` and `totals` receive the head's `Distribution` over symbols in place of numbers (B, R, O).
    `head` and `embedding` are the read-out and the embedding where none are named, in the notation; `sizes` are the
    options of models, by name, that give them the published size here, where they are not named.
    """

    version: ClassVar[int] = 1
    predicts_input: ClassVar[bool] = False
    distribution: ClassVar[bool] = False
    head: ClassVar[str] = "linear"
    embedding: ClassVar[str] = "embedding"
    sizes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    variant: ClassVar[tuple[str, ...]] = ()
    variants: ClassVar[tuple[str, ...]] = ()
    length_option: ClassVar[str | None] = None
    source: ClassVar[str] = ""
    published_validation: ClassVar[bool] = False
    test_answers: ClassVar[int | None] = None
    test_parameters: ClassVar[Mapping[str, Any]] = {}
    remotes: ClassVar[tuple[Remote, ...]] = ()

    @property
    @abstractmethod
    def input(self) -> Continuous | Tokens | Pair:
        """What a network reads at each step, or what it reads and writes."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """O: how many numbers the head gives for each step that is read."""

    @property
    @abstractmethod
    def reads(self) -> int | None:
        """R: how many of the last steps are read and mapped by the head; None for every step."""

    @property
    def asks_causality(self) -> bool:
        """Whether an answer may depend on the inputs up to its step alone: where more than the last step is read.

        At the last step of a sequence every model has seen all of it, and of a pair it is shown the whole source.
        """
        return not isinstance(self.input, Pair) and (self.predicts_input or self.reads != 1)

    @property
    @abstractmethod
    def steps(self) -> int:
        """T: steps of a sequence, of a pair's target (the longest where they differ)."""

    @property
    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics; the first is the one that the paper prints and that selects on validation."""

    @abstractmethod
    def load(self, seed: int) -> Splits:
        """The data of the run with this seed. Raises `datasets.DataError` where a file cannot be had."""

    @abstractmethod
    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        """The training loss, a scalar, from the head's outputs: (B, R, O), or a `Distribution`."""

    @abstractmethod
    def totals(self, outputs: Any, batch: Batch) -> Totals:
        """For each metric: its sum over the scored positions of this batch, and their number.

        A metric of which a whole split scores nothing is left out of that split's scores.
        """

    def yardsticks(self) -> dict[str, dict[str, float]]:
        """Scores of simple answers that were computed from the training split: name -> metric -> test score.

        The first is the best answer that ignores the input.
        Empty where `Metric.floor` says it all. Raises `datasets.DataError` where a file cannot be had.
        """
        return {}

    def symbols(self) -> list[str] | None:
        """What each id stands for, (V,), of a task whose input is a text; None for all others.

        Raises `datasets.DataError` where a file cannot be had.
        """
        return None

    def encode(self, text: str) -> list[int]:
        """The ids of a text that a person wrote, cut into symbols as the task does.

        Raises ValueError, which names the symbol, where the vocabulary lacks one; NotImplementedError where the
        task's input is not a text.
        """
        raise NotImplementedError("the input of this task is not a text")

    def decode(self, ids: Sequence[int]) -> str:
        """The text that ids stand for; such that pieces of it, put end to end, are the text of the whole."""
        raise NotImplementedError("the input of this task is not a text")

    @property
    def trained_lengths(self) -> tuple[int, int] | None:
        """The shortest and the longest sequence of training, in the unit of `length_option`.

        None where it is that option that says how long they are.
        """
        return None

    def at_length(self, length: int) -> Task:
        """The same task with `length` as its `length_option`, to evaluate where a network was not trained.

        All test sequences then have this length; only the test split is asked for.
        Raises ValueError where lengths are given by the data, and for a length that the task does not allow.
        """
        if self.length_option is None:
            raise ValueError(f"{type(self).__module__.rsplit('.', 1)[-1]}: the length is given by the data")
        return replace(self, **{self.length_option: length})

    def options(self) -> dict[str, Any]:
        """Every option with its value, in the order of the fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def generator_of(seed: int) -> torch.Generator:
    """A generator of its own for a seed, on the CPU; the global random state is not touched."""
    return torch.Generator().manual_seed(seed)
