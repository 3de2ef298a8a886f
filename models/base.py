"""The contract of a model: a causal, streamable map from a sequence to a sequence of features.

Shape letters, here and everywhere: B batch, T time, C channels, W width of the features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

State = Any
"""What a model remembers between two pieces of a sequence: a nest of lists and tuples of tensors (B, …)."""

Unknown = Literal["unknown"]
UNKNOWN: Unknown = "unknown"
"""What a model does not tell of itself."""


class ContractError(Exception):
    """A model gives what the contract does not allow; the message names the line and what is needed."""


class ParameterGroup(NamedTuple):
    """Parameters that are trained alike.

    learning_rate_factor: their learning rate is that of the run times this. decays: whether weight decay acts on them.
    """

    parameters: Sequence[nn.Parameter]
    learning_rate_factor: float = 1.0
    decays: bool = True


class Model(nn.Module, ABC):
    """What every architecture declares. The keyword-only arguments of its constructor are its options.

    `version` counts changes that alter results; `sized_by` names the option that `sizing` varies to meet a
    parameter budget; `source` is the paper; `test_parameters` make it small enough for the contract tests.
    `look` is how figures draw it: its colour, its marker as matplotlib names it, and the dashes of its line in points,
    drawn and left out in turn (none: a solid line); where it is None figures choose a look.
    `carries`: on a text it goes on from the state that the window before has left, detached from the gradient, and
    reads each symbol once; a model that does not reads overlapping windows, each from the start.
    `causal`: no feature depends on a later input. A model that reads in both directions says False, as an attribute
    of its class or as a property that follows from its options; it cannot be streamed.
    `streamed`: `forward` goes on from a state, so that a sequence may be fed in pieces.
    `width_step`: `sizing` tries only widths that are multiples of it.
    `variant` names the options that always stand in its label, because they say which architecture it is.
    `fine_option`: the option, a whole number such as the inner width of a block, by which `sizing` comes nearer to a
    parameter budget once the width is chosen; counts grow with it, from 1 on. It is part of the size, as the width is.
    `pairs`: it reads a source and writes a target, and is offered only to tasks that show such pairs.
    """

    version: ClassVar[int] = 1
    sized_by: ClassVar[str] = "width"
    variant: ClassVar[tuple[str, ...]] = ()
    variants: ClassVar[tuple[str, ...]] = ()
    source: ClassVar[str] = ""
    look: ClassVar[tuple[str, str, tuple[float, ...]] | None] = None
    test_parameters: ClassVar[Mapping[str, Any]] = {}
    carries: ClassVar[bool] = False
    width_step: ClassVar[int] = 1
    fine_option: ClassVar[str | None] = None
    pairs: ClassVar[bool] = False

    causal: bool = True
    streamed: bool = True

    features: int
    """W: the width of the features."""
    state_size: int | Unknown | None = UNKNOWN
    """Numbers kept for each sequence between two steps when it is streamed; None where they grow with the sequence."""
    receptive_field: int | Unknown | None = UNKNOWN
    """Steps of input that can reach one feature; None where the memory has no fixed end."""
    macs_per_step: int | Unknown = UNKNOWN
    """Multiply-adds of weights for each time step of one sequence, without the head."""

    @classmethod
    def width_step_for(cls, options: Mapping[str, Any]) -> int:
        """The `width_step` of a model with these options (all of them); where heads divide the width, their number."""
        return cls.width_step

    def state_size_after(self, steps: int) -> int | Unknown:
        """Numbers kept for each sequence after so many steps; a model whose state grows says here how."""
        assert self.state_size is not None, "a model whose state grows says how"
        return self.state_size

    @abstractmethod
    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Features (B, T, W) of inputs (B, T, C), and the state after the last step.

        `state` is what an earlier call returned for the piece before; None at the start of a sequence. A sequence
        fed in pieces gives what the whole gives (in evaluation mode).
        """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "forward" in vars(cls) and "read" not in vars(cls):  # what it inherits would pass its own `forward` by
            cls.read = Model.read  # type: ignore[method-assign]

    def __setattr__(self, name: str, value: Any) -> None:
        """Raises AttributeError for a part or a parameter named like a method, such as `read`: that would hide it."""
        if isinstance(value, nn.Module | nn.Parameter) and callable(getattr(type(self), name, None)):
            model = f"{type(self).__module__}.{type(self).__name__}"
            raise AttributeError(
                f"{model}: self.{name} = {type(value).__name__}(…): {name!r} is a method of its class, "
                "which the part would be hidden by; give the part another name"
            )
        super().__setattr__(name, value)

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Those of its parameters that are to be trained otherwise than usual; all others are trained as usual.

        An example: a state-space model exempts its eigenvalues from weight decay and trains them more slowly, with
        `[ParameterGroup([self.eigenvalues], learning_rate_factor=0.1, decays=False)]`.
        """
        return []

    def read(self, inputs: Tensor, reads: int | None = None) -> Tensor:
        """Features (B, R, W) of the last R = `reads` steps (None: of all) of whole sequences (B, T, C).

        For those who need no state: what `forward` gives, as fast as the architecture can give it. An architecture
        may override this to leave out what does not reach the steps that are read.
        """
        features, _ = self(inputs)
        return features if reads is None else features[:, -reads:]

    def answer(self, head: nn.Module, source: Tensor, inputs: Tensor, lengths: Tensor | None = None) -> Any:
        """Of a model that reads pairs: the answer for a source (B, S) and the target as it is shown, `inputs` (B, T).

        Raises TypeError where the model reads one sequence.
        """
        raise TypeError(f"{type(self).__qualname__} reads one sequence: it cannot read a source and write a target")

    def read_padded(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Features (B, T, W) of sequences (B, T, C) that are padded behind their ends, which `lengths` (B,) tells.

        What each sequence alone would give; behind its end they do not matter. For a model that is not causal, as
        features of a causal one do not depend on the padding. This reads the sequences of one length at a time; an
        architecture may override it to read them together.
        """
        features = inputs.new_zeros((*inputs.shape[:2], self.features))  # (B, T, W)
        for length in lengths.unique().tolist():
            (rows,) = (lengths == length).nonzero(as_tuple=True)
            read = self.read(inputs[rows, :length])
            features = features.index_put((rows,), nn.functional.pad(read, (0, 0, 0, inputs.shape[1] - length)))
        return features


def detached(state: State) -> State:
    """The same state cut off from the computation that gave it: no gradient flows through it any more."""
    if isinstance(state, Tensor):
        return state.detach()
    if isinstance(state, list | tuple):
        return type(state)(detached(part) for part in state)
    return state


class Dropout(nn.Module):
    """Inverted dropout on (B, T, C) that draws from a generator of its own, never from the global random state.

    kind="element" drops single numbers (Srivastava et al. 2014), "channel" whole channels for all steps of a
    sequence (Tompson et al. 2015, called spatial dropout; for recurrent nets the variational dropout of Gal &
    Ghahramani 2016). The generator is given by `seed_dropout`; training without one raises RuntimeError.
    """

    def __init__(self, probability: float, kind: Literal["element", "channel"] = "element") -> None:
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"dropout: a probability in [0, 1) is needed, got {probability}")
        if kind not in ("element", "channel"):
            raise ValueError(f"dropout: 'element' or 'channel', got {kind!r}")
        self.probability = probability
        self.kind = kind
        self.generator: torch.Generator | None = None

    def mask(self, like: Tensor) -> Tensor:
        """A mask of zeros and 1/(1-p), (B, T, C) for elements, (B, 1, C) for channels."""
        if self.generator is None:
            raise RuntimeError("dropout has no random stream: call seed_dropout(model, generator) before training")
        kept = 1 - self.probability
        # empty_like lays the mask out as `like`, so that dropping in a transposed view (B, T, C) copies nothing.
        mask = torch.empty_like(like) if self.kind == "element" else like.new_empty((like.shape[0], 1, like.shape[2]))
        return mask.bernoulli_(kept, generator=self.generator).div_(kept)

    @property
    def drops_elements(self) -> bool:
        """Whether it draws a number for each step of a sequence now, so that what it drops depends on how many."""
        return self.training and self.probability > 0 and self.kind == "element"

    def forward(self, inputs: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        if not self.training or self.probability == 0:
            return inputs
        return inputs * self.mask(inputs)

    def extra_repr(self) -> str:
        return f"{self.probability}, kind={self.kind!r}"


def seed_dropout(module: nn.Module, generator: torch.Generator) -> None:
    """Gives every `Dropout` inside `module` the stream from which it draws (on the module's device)."""
    for part in module.modules():
        if isinstance(part, Dropout):
            part.generator = generator
