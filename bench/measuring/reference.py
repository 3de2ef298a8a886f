"""What a user would write or install: the baseline of speed.

The same networks from `torch.nn`, and the published TCN block, compute the same function as the suite's own network of
a run (a test compares outputs and gradients), from random draws of their own. Other models name the packages of their
layers (`packages`). No model is known by its name: the layers that a model is built of say what there is for it
(`plain_body`).
Shape letters: B batch, T time, C channels, W width of the features, R steps that are read, O outputs.
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...models.base import Model, State, detached
from ...models.network import Network
from ...tasks.base import Batch, Continuous, Pair, Task
from ..errors import UsageError
from ..experiments.notation import Spec
from ..experiments.runs import Run
from .packages import TORCH, Packaged


class Chomp(nn.Module):
    """Cuts off what padding on both sides has added at the end."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, inputs: Tensor) -> Tensor:  # (B, W, T + size) -> (B, W, T)
        return inputs[:, :, : -self.size].contiguous()


class PublishedBlock(nn.Module):
    """The residual block of the published TCN (locuslab/TCN, `tcn.py`): weight norm, padding, chomp, ReLU, dropout."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int, dropout: nn.Module) -> None:
        super().__init__()
        padding = (kernel - 1) * dilation
        first = nn.Conv1d(inputs, outputs, kernel, padding=padding, dilation=dilation)
        second = nn.Conv1d(outputs, outputs, kernel, padding=padding, dilation=dilation)
        with warnings.catch_warnings():  # deprecated, and what the published code has
            warnings.simplefilter("ignore", FutureWarning)
            self.first, self.second = nn.utils.weight_norm(first), nn.utils.weight_norm(second)
        chomp: nn.Module = Chomp(padding) if padding else nn.Identity()
        self.net = nn.Sequential(*(self.first, chomp, nn.ReLU(), dropout, self.second, chomp, nn.ReLU(), dropout))
        self.residual = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, inputs: Tensor) -> Tensor:  # (B, C_i, T) -> (B, C_{i+1}, T)
        kept = inputs if self.residual is None else self.residual(inputs)
        return torch.relu(self.net(inputs) + kept)


class Convolutions(nn.Module):
    """The published TCN: blocks of dilation 1, 2, 4, … over (B, C, T)."""

    def __init__(self, channels: int, options: dict[str, Any]) -> None:
        super().__init__()
        if not options["weight_norm"]:
            raise UsageError("the published TCN has weight normalisation; there is no reference without it")
        sizes = (channels, *(options["widths"] or (options["width"],) * options["levels"]))
        drop = nn.Dropout if options["dropout_kind"] == "element" else nn.Dropout1d
        self.blocks = nn.Sequential(
            *(
                PublishedBlock(inputs, outputs, options["kernel"], 2**level, drop(options["dropout"]))
                for level, (inputs, outputs) in enumerate(pairwise(sizes))
            )
        )
        self.features = sizes[-1]
        self.written = 2 * sum(sizes[1:])

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:  # (B, C, T) -> (B, W, T)
        return self.blocks(inputs), None


class Cells(nn.Module):
    """`nn.RNN`, `nn.LSTM` or `nn.GRU` over (B, T, C), with the dropout that the run has.

    like: a one-layer cell of the suite's own network, which says of what kind the layers are.

    That of recurrent weights as the code that came with it does it (salesforce/awd-lstm-lm, `weight_drop.py`): the
    parameters go by another name, and before each call their places are filled with what is left of them.
    """

    def __init__(self, like: nn.RNNBase, channels: int, options: dict[str, Any]) -> None:
        super().__init__()
        if options.get("reset", "after") != "after":
            raise UsageError("nn.GRU has its reset gate after the matrix; there is no reference for another form")
        shape: dict[str, Any] = {"batch_first": True, "dropout": options["dropout"]}
        if isinstance(like, nn.RNN):
            shape["nonlinearity"] = like.nonlinearity
        kind: Any = type(like)
        self.cells = kind(channels, options["width"], options["layers"], **shape)
        self.weight_drop = options["recurrent_dropout"]
        self.dropped = [f"weight_hh_l{layer}" for layer in range(options["layers"])] if self.weight_drop else []
        for weight in self.dropped:
            parameter = getattr(self.cells, weight)
            delattr(self.cells, weight)
            self.cells.register_parameter(f"{weight}_raw", parameter)
        self.before, self.after = nn.Dropout(options["input_dropout"]), nn.Dropout(options["output_dropout"])
        self.features = options["width"]
        self.written = options["layers"] * options["width"]

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:  # (B, T, C) -> (B, T, W)
        for weight in self.dropped:
            setattr(self.cells, weight, F.dropout(self.parameter(weight), self.weight_drop, self.training))
        features, state = self.cells(self.before(inputs), state)
        return self.after(features), state

    def parameter(self, name: str) -> Tensor:
        """The parameter that has this name in `torch.nn`, whatever dropout has made of it."""
        return getattr(self.cells, f"{name}_raw" if name in self.dropped else name)


class Reference(nn.Module):
    """The network of a run in plain `torch.nn`: embedding where symbols are read, body, `nn.Linear`.

    written: numbers that the layers of the body write for each step of a sequence; for counting bytes. name: what it is
    built of. streams: whether it can go on from the state that it returns.
    Raises UsageError where there is no such network: for models that are built of other layers than `plain_body`
    knows, and for adaptive heads.
    """

    def __init__(self, run: Run, task: Task) -> None:
        super().__init__()
        if run.model_class.__module__.rpartition(".")[0] != Network.__module__.rpartition(".")[0]:
            raise UsageError(f"{run.model.name} is not a model of the suite; there is no reference for it")
        self.front: nn.Module | None = None
        if isinstance(task.input, Pair):
            raise UsageError(f"{run.task_label}: there is no reference for models of pairs, a source and a target")
        if isinstance(task.input, Continuous):
            channels = task.input.channels
        else:
            width = run.embedding.options.get("width") or _own_body(run).features
            drop = nn.Dropout(run.embedding.options.get("dropout", 0.0))
            self.front, channels = nn.Sequential(nn.Embedding(task.input.vocabulary, width), drop), width
        self.body = plain_body(run, channels)
        self.name = self.body.name if isinstance(self.body, Packaged) else TORCH
        self.time_last = isinstance(self.body, Convolutions)
        self.streams = self.body.streams if isinstance(self.body, Packaged) else not self.time_last
        self.written = self.body.written
        self.head = _head(run.head, self.body.features, task.outputs, self.front)
        self.reads = task.reads
        self.distribution = task.distribution

    def prepare(self, batch: Batch) -> Batch:
        """A batch as a user would keep it ready: for convolutions with time last, (B, C, T)."""
        if self.time_last and self.front is None:
            return batch._replace(inputs=batch.inputs.transpose(1, 2).contiguous())
        return batch

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Outputs (B, R, O) of prepared inputs (B, T, C), (B, C, T) or (B, T), and the state of recurrent cells."""
        if self.front is not None:
            inputs = self.front(inputs)  # (B, T) -> (B, T, C)
            inputs = inputs.transpose(1, 2) if self.time_last else inputs
        features, state = self.body(inputs, state)
        if self.time_last:
            features = (features if self.reads is None else features[:, :, -self.reads :]).transpose(1, 2)
        elif self.reads is not None:
            features = features[:, -self.reads :]  # (B, R, W)
        return self.head(features), state

    def loss(self, outputs: Tensor, batch: Batch, task: Task) -> Tensor:
        """The task's training loss, of a text from logits (B, R, V)."""
        if self.distribution:
            return F.cross_entropy(outputs.flatten(0, 1), batch.targets.flatten())
        return task.loss(outputs, batch)

    def take(self, network: Network) -> Reference:
        """Starts from the numbers of the suite's own network of the same run."""
        with torch.no_grad():
            for own, other in pairs(self, network):
                own.copy_(other)
        return self


class PlainStep:
    """One training step as a user would write it, over batches that are ready: no gathering, no running sums.

    On a text recurrent cells go on from the state that the step before has left, cut off from its gradient, and read
    only what the window before has not shown.
    """

    def __init__(
        self, run: Run, task: Task, reference: Reference, optimizer: torch.optim.Optimizer, carries: bool, context: int
    ) -> None:
        self.task, self.reference, self.optimizer = task, reference, optimizer
        self.clip, self.carries, self.context = run.training.clip, carries, context
        self.state: State = None

    def run(self, batch: Batch) -> None:
        """Forward, loss, backward, clipping, optimizer."""
        inputs = batch.inputs if self.state is None else batch.inputs[:, self.context :]
        self.optimizer.zero_grad()
        outputs, state = self.reference(inputs, self.state)
        loss = self.reference.loss(outputs, batch, self.task)
        loss.backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.reference.parameters(), self.clip)
        self.optimizer.step()
        self.state = detached(state) if self.carries else None


class TiedLinear(nn.Module):
    """logits = E · p + b with the embedding's own matrix E, p = features, or a linear map of them to its width."""

    def __init__(self, features: int, outputs: int, embedding: nn.Embedding, dropout: float) -> None:
        super().__init__()
        width = embedding.embedding_dim
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(features, width) if width != features else None
        self.linear = nn.Linear(width, outputs)
        self.linear.weight = embedding.weight

    def forward(self, features: Tensor) -> Tensor:  # (B, R, W) -> (B, R, V)
        features = self.dropout(features)
        return self.linear(features if self.projection is None else self.projection(features))


def plain_body(run: Run, channels: int) -> Cells | Convolutions | Packaged:
    """What a user would have for the model of a run: it follows from the layers that the model is built of.

    A model that keeps its weights in `torch.nn` cells is a stack of such cells; one whose blocks have two causal
    convolutions each is the published TCN; one with layers that can name packages has these. Raises UsageError for all
    others.
    """
    own: Any = _own_body(run)
    options = dict(run.model.options)
    cell, block = (next(iter(getattr(own, name, ())), None) for name in ("cells", "blocks"))
    if isinstance(cell, nn.RNNBase):
        return Cells(cell, channels, options)
    if all(hasattr(getattr(block, name, None), "direction") for name in ("first", "second")):
        return Convolutions(channels, options)
    if any(hasattr(part, "package") for part in own.modules()):
        return Packaged(run.model_class(channels, **options))
    raise UsageError(f"{run.model.name}: plain PyTorch has no such layer; there is no reference for it")


def _own_body(run: Run) -> Model:
    """The model of a run without its numbers, for inputs of one channel."""
    with torch.device("meta"):
        return run.model_class(1, **run.model.options)


def _head(head: Spec, features: int, outputs: int, front: nn.Module | None) -> nn.Module:
    dropout = head.options.get("dropout", 0.0)
    match head.name:
        case "linear":
            return nn.Linear(features, outputs)
        case "softmax":
            return nn.Sequential(nn.Dropout(dropout), nn.Linear(features, outputs))
        case "tied":
            assert isinstance(front, nn.Sequential)
            assert isinstance(front[0], nn.Embedding)
            return TiedLinear(features, outputs, front[0], dropout)
    raise UsageError(f"head {head.name}: there is no reference for it")


def pairs(reference: Reference, network: Network) -> list[tuple[Tensor, Tensor]]:
    """The reference's parameters, each beside the one of the suite's own network that it stands for."""
    found: list[tuple[Tensor, Tensor]] = []
    if reference.front is not None:
        assert network.embedding is not None
        found.append((reference.front[0].weight, network.embedding.weight))  # type: ignore[index]
    own: Any = network.body
    if isinstance(reference.body, Cells):
        for layer, cell in enumerate(own.cells):
            names = ("weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l")
            found += [(reference.body.parameter(f"{name}{layer}"), getattr(cell, f"{name}0")) for name in names]
    elif isinstance(reference.body, Packaged):  # those that are not in the packages' layers
        others = dict(network.body.named_parameters())
        found += [(part, others[name]) for name, part in reference.body.body.named_parameters() if name in others]
    else:
        blocks: Any = reference.body.blocks
        for block, other in zip(blocks, own.blocks, strict=True):
            for name in ("first", "second"):
                plain, causal = getattr(block, name), getattr(other, name)
                found += [(plain.weight_v, causal.direction), (plain.weight_g, causal.gain), (plain.bias, causal.bias)]
            if block.residual is not None:
                found += [(block.residual.weight, other.residual.weight), (block.residual.bias, other.residual.bias)]
    return found + _head_pairs(reference.head, network.head)


def _head_pairs(head: Any, other: Any) -> list[tuple[Tensor, Tensor]]:
    pairs: list[tuple[Tensor, Tensor]] = []
    if isinstance(head, TiedLinear):  # its matrix is the embedding's
        pairs.append((head.linear.bias, other.bias))
        if head.projection is not None:
            pairs += [(head.projection.weight, other.projection.weight), (head.projection.bias, other.projection.bias)]
        return pairs
    linear: Any = head[1] if isinstance(head, nn.Sequential) else head
    own = getattr(other, "linear", other)
    return [(linear.weight, own.weight), (linear.bias, own.bias)]
