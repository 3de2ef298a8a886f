"""The network of a run in JAX, as a user would write it there: `jit`, `lax.scan`, its own convolution.

From the reference's numbers (`reference`), with its loss and its optimizer, so that a step is the same step; a test
holds losses and gradients to it where JAX is installed. What this does not know (dropout, symbols, packages' layers,
other losses and optimizers) is refused, as another step would be measured.
Shape letters: B batch, T time, C channels, W width, R steps that are read, O outputs.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import torch
from torch import nn

from ...tasks.base import Continuous
from ..errors import UsageError
from ..experiments.runs import Run
from .packages import TORCH
from .reference import Cells, Convolutions, Reference
from .variants import Steps

try:
    jax: Any = importlib.import_module("jax")
except ImportError:
    jax = None

Tree = Any
"""Arrays of JAX in dictionaries and lists: parameters, or the optimizer's numbers."""
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class JaxSteps(Steps):
    """Training steps of a run's network in JAX, on the CPU, over batches that were made before.

    Raises UsageError where JAX is not installed, and for what it is not written for.
    """

    def __init__(self, run: Run, device: torch.device) -> None:
        if jax is None:
            raise UsageError("JAX is not installed: pip install jax")
        super().__init__(run, device)
        self.reference = Reference(run, self.task).take(self.network)
        refuse(run, self)
        self.parameters = parameters_of(self.reference)
        batches = [self.split.batch(index) for index in self.indices]
        self.batches = [(_array(batch.inputs), _array(batch.targets)) for batch in batches]
        self.numbers = (jax.tree.map(jax.numpy.zeros_like, self.parameters),) * 2
        self.count = jax.numpy.zeros(())
        self.loss = self.batches[0][0].sum()
        self.compiled = jax.jit(self.step)

    def step(self, parameters: Tree, numbers: Tree, count: Any, rate: Any, inputs: Any, targets: Any) -> Any:
        """Parameters, the optimizer's numbers, the count of steps and the loss, after one step."""
        loss, gradients = jax.value_and_grad(self.loss_of)(parameters, inputs, targets)
        training = self.run.training
        if training.clip is not None:
            norm = jax.numpy.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(gradients)))
            scale = jax.numpy.minimum(1.0, training.clip / (norm + 1e-6))
            gradients = jax.tree.map(lambda leaf: leaf * scale, gradients)
        count = count + 1
        if training.optimizer == "sgd":
            return jax.tree.map(lambda own, slope: own - rate * slope, parameters, gradients), numbers, count, loss
        first = jax.tree.map(lambda old, slope: 0.9 * old + 0.1 * slope, numbers[0], gradients)
        second = jax.tree.map(lambda old, slope: 0.999 * old + 0.001 * slope**2, numbers[1], gradients)

        def moved(own: Any, mean: Any, square: Any) -> Any:
            root = jax.numpy.sqrt(square / (1 - 0.999**count)) + 1e-8
            return own - rate * mean / (1 - 0.9**count) / root

        return jax.tree.map(moved, parameters, first, second), (first, second), count, loss

    def loss_of(self, parameters: Tree, inputs: Any, targets: Any) -> Any:
        """The task's training loss of outputs (B, R, O): cross-entropy of symbols, else the mean squared error."""
        outputs = self.outputs(parameters, inputs)
        if jax.numpy.issubdtype(targets.dtype, jax.numpy.integer):
            picked = jax.numpy.take_along_axis(jax.nn.log_softmax(outputs), targets[..., None], -1)
            return -picked.mean()
        return ((outputs - targets.reshape(outputs.shape)) ** 2).mean()

    def outputs(self, parameters: Tree, inputs: Any) -> Any:  # (B, T, C) -> (B, R, O)
        """The network's outputs at the steps that are read."""
        body = self.reference.body
        if isinstance(body, Convolutions):
            features = convolutions(parameters["body"], body, inputs)
        else:
            assert isinstance(body, Cells)  # `refuse` lets no others through
            features = cells(parameters["body"], body, inputs)
        reads = self.reference.reads
        features = features if reads is None else features[:, -reads:]  # (B, R, W)
        return features @ parameters["head"]["weight"].T + parameters["head"]["bias"]

    def take(self, place: int) -> None:
        found = self.compiled(self.parameters, self.numbers, self.count, 0.0, *self.batches[place])
        self.parameters, self.numbers, self.count, self.loss = found

    def go(self, count: int) -> None:
        super().go(count)
        self.loss.block_until_ready()

    def prepare(self) -> None:
        self.go(1)

    @property
    def streaming(self) -> nn.Module:
        return self.reference

    @property
    def streams(self) -> bool:
        return False

    def facts(self) -> dict[str, Any]:
        """What it is built of."""
        return {"reference": f"JAX {jax.__version__}"}


def keep_to(threads: int) -> None:
    """Lets this process use so many cores: XLA makes a thread for each core that it may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def refuse(run: Run, steps: JaxSteps) -> None:
    """Raises UsageError where a step in JAX would not be the reference's step."""
    dropouts = {name: value for name, value in run.model.options.items() if "dropout" in name and value}
    dropouts.pop("dropout_kind", None)
    reasons = {
        f"it has dropout ({', '.join(dropouts)})": bool(dropouts),
        "its task reads symbols or a text": not isinstance(steps.task.input, Continuous) or steps.task.distribution,
        "its sequences have several lengths": steps.split.lengths is not None,
        "its layers are neither torch.nn's cells nor the published TCN": steps.reference.name != TORCH
        or not isinstance(steps.reference.body, Cells | Convolutions),
        f"its optimizer is {run.training.optimizer}": run.training.optimizer not in ("adam", "sgd"),
        "its read-out is not one matrix": not isinstance(steps.reference.head, nn.Linear),
        "its loss is neither cross-entropy nor a mean squared error": not _known_loss(steps),
        "it is on a GPU": steps.device.type != "cpu",
    }
    if found := [reason for reason, holds in reasons.items() if holds]:
        raise UsageError(f"no step of it in JAX: {'; '.join(found)}")


def _known_loss(steps: JaxSteps) -> bool:
    """Whether the task's loss of the first batch is what `loss_of` would make of it."""
    batch = steps.split.batch(steps.indices[0])
    with torch.no_grad():
        outputs, _ = steps.reference(steps.reference.prepare(batch).inputs)
        if not isinstance(outputs, torch.Tensor):
            return False
        theirs = steps.task.loss(outputs, batch)
        if not batch.targets.is_floating_point():
            ours = nn.functional.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten())
        elif batch.targets.numel() == outputs.numel():
            ours = (outputs - batch.targets.reshape(outputs.shape)).square().mean()
        else:
            return False
    return bool(torch.allclose(ours, theirs, rtol=1e-4))


def parameters_of(reference: Reference) -> Tree:
    """The reference's parameters as arrays of JAX."""
    body: Any = reference.body
    if isinstance(body, Cells):
        layers = range(body.cells.num_layers)
        of_body: list[dict[str, Any]] = [
            {name: _array(body.parameter(f"{name}_l{layer}")) for name in NAMES} for layer in layers
        ]
    else:
        of_body = [{name.replace(".", "_"): _array(one) for name, one in _of_block(block)} for block in body.blocks]
    head: Any = reference.head
    return {"body": of_body, "head": {"weight": _array(head.weight), "bias": _array(head.bias)}}


def _of_block(block: Any) -> list[tuple[str, torch.Tensor]]:
    found = [
        (f"{name}.{kind}", getattr(getattr(block, name), kind))
        for name in ("first", "second")
        for kind in ("weight_g", "weight_v", "bias")
    ]
    if block.residual is not None:
        found += [("residual.weight", block.residual.weight), ("residual.bias", block.residual.bias)]
    return found


def cells(layers: Tree, body: Cells, inputs: Any) -> Any:  # (B, T, C) -> (B, T, W)
    """Layers of torch's cells, the products with the inputs made ahead of the scan over time."""
    width, kind = body.features, type(body.cells)
    features = inputs.swapaxes(0, 1)  # (T, B, C)
    for layer in layers:
        ahead = features @ layer["weight_ih"].T + layer["bias_ih"]  # (T, B, gates · W)
        start = jax.numpy.zeros((features.shape[1], width))
        if kind is nn.LSTM:
            _, features = jax.lax.scan(_lstm(layer), (start, start), ahead)
        elif kind is nn.GRU:
            _, features = jax.lax.scan(_gru(layer), start, ahead)
        else:
            relu = getattr(body.cells, "nonlinearity", "tanh") == "relu"
            _, features = jax.lax.scan(_rnn(layer, jax.nn.relu if relu else jax.numpy.tanh), start, ahead)
    return features.swapaxes(0, 1)


def _lstm(layer: Tree) -> Any:
    def step(state: Any, ahead: Any) -> Any:
        hidden, cell = state
        gates = ahead + hidden @ layer["weight_hh"].T + layer["bias_hh"]
        enter, forget, new, out = jax.numpy.split(gates, 4, -1)
        cell = jax.nn.sigmoid(forget) * cell + jax.nn.sigmoid(enter) * jax.numpy.tanh(new)
        hidden = jax.nn.sigmoid(out) * jax.numpy.tanh(cell)
        return (hidden, cell), hidden

    return step


def _gru(layer: Tree) -> Any:
    def step(hidden: Any, ahead: Any) -> Any:
        before = jax.numpy.split(hidden @ layer["weight_hh"].T + layer["bias_hh"], 3, -1)
        reset, update, new = jax.numpy.split(ahead, 3, -1)
        update = jax.nn.sigmoid(update + before[1])
        new = jax.numpy.tanh(new + jax.nn.sigmoid(reset + before[0]) * before[2])
        hidden = (1 - update) * new + update * hidden
        return hidden, hidden

    return step


def _rnn(layer: Tree, activation: Any) -> Any:
    def step(hidden: Any, ahead: Any) -> Any:
        hidden = activation(ahead + hidden @ layer["weight_hh"].T + layer["bias_hh"])
        return hidden, hidden

    return step


def convolutions(blocks: Tree, body: Convolutions, inputs: Any) -> Any:  # (B, T, C) -> (B, T, W)
    """The published TCN's blocks, over (B, C, T)."""
    features = inputs.swapaxes(1, 2)
    for level, (own, block) in enumerate(zip(blocks, body.blocks, strict=True)):
        made = features
        for name in ("first", "second"):
            matrix = own[f"{name}_weight_v"]
            norm = jax.numpy.sqrt((matrix**2).sum((1, 2), keepdims=True))
            made = jax.nn.relu(_causal(made, own[f"{name}_weight_g"] * matrix / norm, own[f"{name}_bias"], 2**level))
        if block.residual is not None:
            features = _causal(features, own["residual_weight"], own["residual_bias"], 1)
        features = jax.nn.relu(made + features)
    return features.swapaxes(1, 2)


def _causal(inputs: Any, weight: Any, bias: Any, dilation: int) -> Any:  # (B, C_i, T) -> (B, C_o, T)
    padding = [((weight.shape[2] - 1) * dilation, 0)]
    made = jax.lax.conv_general_dilated(
        inputs, weight, (1,), padding, rhs_dilation=(dilation,), dimension_numbers=("NCH", "OIH", "NCH")
    )
    return made + bias[:, None]


def _array(tensor: torch.Tensor) -> Any:
    found = tensor.detach().numpy()
    return jax.numpy.asarray(found.astype("int32") if found.dtype.kind in "iu" else found)
