"""A model as a user would have it: each layer from the package that it names, and no kernels of this suite.

What has no package, or where that is not installed, is computed by torch's operations alone.
"""

from __future__ import annotations

import importlib
from typing import Any

from torch import Tensor, nn

from ...models._compiling import plain
from ...models.base import Model, State

TORCH = "torch"
"""What a reference is called that is built of torch's operations alone."""


class Packaged(nn.Module):
    """The body of a run's network, (B, T, C) -> (B, T, W), its layers from packages where they are installed.

    name: of the packages, or `TORCH`. streams: whether it can go on from a state. written: numbers that it is counted
    to write at each step, the features alone.
    """

    def __init__(self, body: Model) -> None:
        super().__init__()
        names = {}
        part: Any
        for parent in list(body.modules()):
            for name, part in list(parent.named_children()):
                package = part.package() if hasattr(part, "package") else None
                if package is None:
                    continue
                module, _, layer = package.layer.partition(":")
                try:
                    made = getattr(importlib.import_module(module), layer)(**package.arguments)
                except ImportError:
                    continue
                names[module.partition(".")[0]] = package.state is not None
                setattr(parent, name, Layer(made, package.state, package.flag))
        self.body = body
        self.name = ", ".join(names) or TORCH
        self.streams = all(names.values()) and body.causal
        self.features = self.written = body.features

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Features (B, T, W) of inputs (B, T, C), and the state after the last step."""
        with plain():
            outputs: tuple[Tensor, State] = self.body(inputs, state)
        return outputs


class Layer(nn.Module):
    """A package's layer where a mixer was; for state and flag see `models._mixer.Package`."""

    def __init__(self, layer: nn.Module, state: str | None, flag: str | None) -> None:
        super().__init__()
        self.layer, self.state, self.flag = layer, state, flag

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Outputs (B, T, W) of inputs (B, T, W); and a state in evaluation mode, where there is one."""
        if self.state is None or self.training:
            return self.layer(inputs), ()
        more = {} if state is None else {self.state: state}
        if self.flag is not None:
            more[self.flag] = True
        outputs, state = self.layer(inputs, **more)
        return outputs, state
