"""What a layer of the shared block is built around: a map from a sequence to a sequence of the same width."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from .base import ParameterGroup, State


class Package(NamedTuple):
    """A layer (B, T, W) -> (B, T, W) that a user would install in a mixer's place: what its speed is compared with.

    layer: its class as `module:Class`. arguments: of its constructor. state: the name under which a call takes the
    state that the call before has returned beside its outputs; None where it cannot be streamed. flag: the argument
    that must be true for a call to return the state, where there is such.
    """

    layer: str
    arguments: dict[str, Any]
    state: str | None = None
    flag: str | None = None


class Mixer(nn.Module, ABC):
    """A causal, streamable map from (B, T, W) to (B, T, W): what a layer of `Blocks` is built around."""

    state_size: int | None
    """Numbers kept for each sequence between two steps; None where it grows with the sequence."""
    receptive_field: int | None
    """Steps of input that can reach one output; None where the memory has no fixed end."""
    macs_per_step: int
    """Multiply-adds of weights for each time step of one sequence."""

    @abstractmethod
    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Outputs (B, T, W) of inputs (B, T, W), and the state after the last step, as `base.Model.forward` has it."""

    def read(self, inputs: Tensor, reads: int) -> Tensor:
        """Outputs (B, R, W) of the last R steps of whole sequences (B, T, W), for those who need no state.

        A mixer may override this to leave out what does not reach the steps that are read.
        """
        outputs, _ = self(inputs)
        return outputs[:, -reads:]

    def package(self) -> Package | None:
        """What a user would install in its place; None where there is nothing."""
        return None

    def state_size_after(self, steps: int) -> int:
        """Numbers kept for each sequence after so many steps."""
        assert self.state_size is not None, "a mixer whose state grows says how"
        return self.state_size

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Those of its parameters that are to be trained otherwise than usual, see `base.Model.parameter_groups`."""
        return []
