"""A plain `nn.Module` as a model: one whose class knows nothing of the contract in `base`."""

from __future__ import annotations

import inspect
import random
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from .base import UNKNOWN, ContractError, Model, ParameterGroup, State

WIDTHS = ("width", "hidden_size", "hidden_dim", "hidden", "d_model", "dim", "embed_dim", "features")
"""Options that mean a width, where the class does not say `sized_by`: the first of these that it has."""
DECLARED = ("version", "source", "look", "width_step", "width_step_for", "fine_option")
"""What the class may declare, as a model does."""
TRIAL = (2, 5)
"""B and T of the call by which features are measured."""


class PlainModule(Model):
    """What `adapted` makes of a module's class.

    The module's constructor takes the number of channels first; all its other parameters are options. Its forward is
    `forward(x)` or `forward(x, state)` on x (B, T, C), and gives features (B, T, W), or a pair of features and state.
    W is measured by a call when the module is made. It is streamed only where it takes a state and gives one.
    `causal`, `state_size`, `receptive_field` and `macs_per_step` are those that the module has as attributes; what it
    does not say of its size is unknown. Raises ContractError where forward gives something else.
    """

    module_class: ClassVar[type[nn.Module]]

    def __init__(self, channels: int, **options: Any) -> None:
        super().__init__()
        self.module = self.module_class(channels, **options)
        _, *others = inspect.signature(self.module_class.forward).parameters.values()
        taken = [one for one in others if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
        self._takes_state = len(taken) > 1
        self._needs_state = self._takes_state and taken[1].default is inspect.Parameter.empty
        self.streamed = False
        self.causal = _attribute(self.module, "causal", bool, True)
        self.state_size = _attribute(self.module, "state_size", int, UNKNOWN)
        self.receptive_field = _attribute(self.module, "receptive_field", int | None, UNKNOWN)
        self.macs_per_step = _attribute(self.module, "macs_per_step", int, UNKNOWN)
        self.features, self.streamed = self._measured(channels)
        if not self.streamed:
            self.state_size = 0 if self.state_size == 0 else UNKNOWN

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        if state is not None and not self.streamed:
            raise ValueError(f"{type(self).__qualname__} has no state, so it cannot go on from one")
        features, state = self._called(inputs, state)
        return features, state if self.streamed else None

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        own = getattr(self.module, "parameter_groups", None)
        return own() if callable(own) else []

    def _called(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        given = self.module(inputs, state) if state is not None or self._needs_state else self.module(inputs)
        if isinstance(given, Tensor):
            return given, None
        if isinstance(given, tuple | list) and len(given) == 2 and isinstance(given[0], Tensor):
            return given[0], given[1]
        raise ContractError(
            f"{self._place()}: forward gave {_named(given)}; features (B, T, W) are needed, or a pair (features, state)"
        )

    def _measured(self, channels: int) -> tuple[int, bool]:
        """W, and whether the module takes a state and gives one."""
        batch, steps = TRIAL
        training = self.module.training
        self.module.eval()
        with _undisturbed(), torch.no_grad():
            features, state = self._called(torch.zeros(batch, steps, channels), None)
        self.module.train(training)
        if features.ndim != 3 or features.shape[:2] != TRIAL:
            shape = tuple(features.shape)
            hint = ""
            if shape[:2] == (steps, batch):
                hint = ": batch and time are exchanged (batch_first=True makes torch's own layers right)"
            elif shape[:1] == (batch,) and len(shape) == 2:
                hint = ": features of every step are needed, not of one"
            raise ContractError(
                f"{self._place()}: forward gave features {shape} for inputs {(batch, steps, channels)}; "
                f"(B, T, W) = ({batch}, {steps}, W) is needed{hint}"
            )
        return features.shape[2], self._takes_state and state is not None

    def _place(self) -> str:
        """The line of the module's forward."""
        code = inspect.unwrap(self.module_class.forward).__code__
        return f"{Path(code.co_filename).name}:{code.co_firstlineno}"


@lru_cache(maxsize=256)
def adapted(module: type[nn.Module]) -> type[PlainModule]:
    """The class as a model's. Raises TypeError where its constructor takes no number of channels first."""
    parameters = [*inspect.signature(module).parameters.values()]
    first, others = parameters[0] if parameters else None, parameters[1:]
    if first is None or first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        raise TypeError(f"{module.__qualname__}: its constructor takes no number of channels C as its first argument")
    named = [one for one in others if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    hints = typing.get_type_hints(module.__init__)
    names = [one.name for one in named]
    sized_by = getattr(module, "sized_by", next((name for name in WIDTHS if name in names), ""))

    def __init__(self: PlainModule, channels: int, **options: Any) -> None:
        PlainModule.__init__(self, channels, **options)

    annotations = {one.name: hints.get(one.name, _type_of(one.default)) for one in named}
    __init__.__annotations__ = {"channels": int, **annotations}
    __init__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY),
            inspect.Parameter("channels", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(inspect.Parameter(one.name, one.KEYWORD_ONLY, default=one.default) for one in named),
        ]
    )
    declared = {name: inspect.getattr_static(module, name) for name in DECLARED if hasattr(module, name)}
    own = {"__module__": module.__module__, "__qualname__": module.__qualname__, "__doc__": module.__doc__}
    return type(
        module.__name__,
        (PlainModule,),
        {**own, **declared, "module_class": module, "sized_by": sized_by, "__init__": __init__},
    )


def _type_of(default: Any) -> Any:
    """The type of an option of which only the default is known."""
    if isinstance(default, bool) or not isinstance(default, int | float | str):
        return bool if isinstance(default, bool) else Any
    return int | float if isinstance(default, int) else type(default)


def _attribute(module: nn.Module, name: str, kind: Any, otherwise: Any) -> Any:
    """What a module says of itself; something else of that name does not count."""
    value = getattr(module, name, otherwise)
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    return value if fits else otherwise


def _named(given: Any) -> str:
    """What a call gave, in words."""
    if isinstance(given, Tensor):
        return f"a tensor {tuple(given.shape)}"
    if isinstance(given, tuple | list):
        return f"a {type(given).__name__} ({', '.join(_named(part) for part in given)})"
    return "a mapping" if isinstance(given, Mapping) else f"a {type(given).__name__}"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """After it the global generators of Python, NumPy and torch's CPU are what they were before."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
