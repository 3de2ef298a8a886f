"""What the unrolled graph of a model lets through: how strongly each input reaches the feature of each step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...models.base import Model
from .. import seeding
from ..errors import UsageError
from ..experiments import registry
from ..experiments.notation import Spec, parse
from ..experiments.options import options_of

CHANNELS, WIDTH, EXAMPLES = 4, 16, 16
"""Of the model that is looked at, and how many random sequences a norm is the mean of."""


@dataclass(frozen=True)
class Reach:
    """norms[t, s]: mean over examples of ‖∂y_t / ∂x_s‖ (Frobenius), (T, T) float64, of a model at initialisation.

    parameters: of the model, which all steps share. label: its name in the notation.
    """

    label: str
    norms: NDArray[np.float64]
    parameters: int


def reach(text: str, steps: int, seed: int = 0, folder: Path | None = None) -> Reach:
    """The reach of a model, named in the notation, on random inputs; its width is 16 where none is named.

    Raises UsageError for what is not known, and for a model that reads pairs of sequences.
    """
    spec = parse(text)
    cls = registry.find("model", spec.name, folder)
    if cls.pairs:
        raise UsageError(f"{spec.name} reads a source and writes a target: its attention map shows what it looks at")
    named = {cls.sized_by: WIDTH} if cls.sized_by in options_of(cls) else {}
    _, options = registry.resolve("model", Spec(spec.name, {**named, **spec.options}), folder)
    with seeding.forked("initialization", seed):
        model: Model = cls(CHANNELS, **options).double().eval()
    shown = torch.randn(EXAMPLES, steps, CHANNELS, dtype=torch.float64, generator=seeding.generator("reach", seed))
    shown.requires_grad_()
    features, _ = model(shown)  # (B, T, W)
    norms = np.zeros((steps, steps))
    for step in range(steps):
        squares = torch.zeros(EXAMPLES, steps, dtype=torch.float64)
        for part in features[:, step].unbind(1):  # one number of the features of every example
            (gradient,) = torch.autograd.grad(part.sum(), shown, retain_graph=True)
            squares += gradient.square().sum(2)
        norms[step] = squares.sqrt().mean(0).numpy()
    return Reach(text, norms, sum(parameter.numel() for parameter in model.parameters()))
