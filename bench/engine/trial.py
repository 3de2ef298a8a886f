"""A model of the user's own on trial, before it is trained: does it give what the contract says, and is it causal?

The suite's own models are held to it by tests.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...models.base import Model
from ...models.network import Network
from ...tasks.base import Continuous, Pair, Task
from ..errors import UsageError
from ..experiments.networks import on_paper
from ..experiments.registry import PACKAGE
from ..experiments.runs import Run
from ..experiments.user_code import place_in

BATCH = 2
TOLERANCE = 1e-4
"""The largest gradient at later inputs, as a share of that at earlier ones, that counts as rounding."""


def is_causal(run: Run, task: Task, device: torch.device) -> bool:
    """Whether a run's model sees no later input, where its task asks that; True where it does not ask.

    A model of the user's own is tried for it, in a network that is thrown away; for this the global generators are
    drawn from. Raises UsageError, which names the line of their file, where the model gives what the contract does not
    allow, and where a model that sees later inputs would have to predict them.
    """
    if isinstance(task.input, Pair):  # the whole source is shown; what is written is never shown ahead
        return True
    if is_own(run.model_class):
        declared = run.model_class.causal  # a property where it follows from the options
        if not isinstance(declared, bool):
            network = on_paper(task, run.model_class, run.model.options, run.head, run.embedding)
            declared = network.body.causal
        causal, reach = declared or not task.asks_causality, "its class says so"
    else:
        network = run.make_network(task).to(device).eval()
        inputs = trial_inputs(network, task, task.steps, device)
        check_shapes(network.body, inputs, task.reads)
        causal, reach = True, ""
        if task.asks_causality:
            later = sees_later_inputs(network.body, inputs)
            causal, reach = network.body.causal and not later, later or "its class says so"
    if not causal and task.predicts_input:
        raise UsageError(
            f"{place_of(run.model_class)}: the model is not causal ({reach}), and {run.task_label} asks it to predict "
            "inputs that it would see; a convolution must be padded on its left alone, attention masked"
        )
    return causal


def is_own(model: type[Any]) -> bool:
    """Whether a class is one of the suite's."""
    return model.__module__.startswith(f"{PACKAGE}.")


def place_of(model: type[Any]) -> str:
    """The file and line of a model's forward."""
    code = inspect.unwrap(getattr(model, "module_class", model).forward).__code__
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}"


def trial_inputs(network: Network, task: Task, steps: int, device: torch.device) -> Tensor:
    """What a body may be shown, (B, T, C): normal numbers, the same each time."""
    channels = task.input.channels if isinstance(task.input, Continuous) else network.embedding.width  # type: ignore[union-attr]
    drawn = torch.randn(BATCH, steps, channels, generator=torch.Generator().manual_seed(0))
    return drawn.to(device)


def check_shapes(body: Model, inputs: Tensor, reads: int | None = None) -> None:
    """Raises UsageError where a model gives no features (B, T, W), or no state, for inputs (B, T, C)."""
    place, shape = place_of(type(body)), tuple(inputs.shape)
    expected = (*shape[:2], body.features)
    with torch.no_grad():
        given = _called(body, inputs)
        if not isinstance(given, tuple) or len(given) != 2:
            raise UsageError(
                f"{place}: forward gave {in_words(given)}; a pair (features, state) is needed, the state None where "
                "there is none; a class that derives from torch.nn.Module may give only features"
            )
        features, _ = given
        if not isinstance(features, Tensor) or tuple(features.shape) != expected:
            raise UsageError(
                f"{place}: forward gave features of {in_words(features)} for inputs {shape}; (B, T, W) = {expected} is "
                "needed, where W is what the constructor has set as self.features"
            )
        if not features.dtype.is_floating_point:
            raise UsageError(f"{place}: forward gave features of type {features.dtype}; floating-point ones are needed")
        read = body.read(inputs, reads)
    wanted = (shape[0], shape[1] if reads is None else min(reads, shape[1]), body.features)
    if not isinstance(read, Tensor) or tuple(read.shape) != wanted:
        raise UsageError(f"{place}: read(inputs, {reads}) gave {in_words(read)}; (B, R, W) = {wanted} is needed")


def _called(body: Model, inputs: Tensor) -> Any:
    """What forward gives; an error of its call itself, which no line of the user's has raised, is told with its line.

    Other errors are left as they are.
    """
    try:
        return body(inputs)
    except TypeError as error:
        if place_in(error):
            raise
        raise UsageError(f"{place_of(type(body))}: forward(inputs, state=None) is needed: {error}") from error


def sees_later_inputs(body: Model, inputs: Tensor) -> str:
    """How a gradient shows that features depend on later inputs; empty where it shows no such thing.

    Features up to a step, weighted at random, must have no gradient at inputs after it, beyond rounding (an FFT leaves
    some). Parameters that are all zero are given numbers first, as they would hide what is behind them. `body` is not
    to be used afterwards. Where a model decides by what has no gradient, such as a greatest value, this sees nothing.
    """
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in body.parameters():
            if parameter.is_floating_point() and not parameter.any():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=stream))
    shown = inputs.clone().requires_grad_()
    features = body.read(shown)  # (B, T, W)
    steps = inputs.shape[1]
    weights = torch.randn(features.shape, generator=stream).to(features.device)
    for cut in sorted({max(1, steps * quarter // 4) for quarter in (1, 2, 3)}):
        (gradient,) = torch.autograd.grad(
            (features * weights)[:, :cut].sum(), shown, retain_graph=True, allow_unused=True
        )
        if gradient is None or cut >= steps:
            continue
        size = gradient.abs().amax((0, 2))  # (T,)
        before, after = float(size[:cut].max()), float(size[cut:].max())
        if after > TOLERANCE * before:
            last = int((size > TOLERANCE * before).nonzero().max())
            return f"features of steps up to {cut} have a gradient at the input of step {last + 1}"
    return ""


def in_words(given: Any) -> str:
    """What a call gave: the shape of a tensor, the type of anything else."""
    if isinstance(given, Tensor):
        return f"a tensor {tuple(given.shape)}"
    if isinstance(given, tuple | list):
        return f"a {type(given).__name__} ({', '.join(in_words(part) for part in given)})"
    return f"a {type(given).__name__}"
