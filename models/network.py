"""A whole network: a body that makes features of every step, and a head that answers where the task reads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .base import Model, ParameterGroup, State, seed_dropout
from .embeddings import Embedding
from .heads import Head


class Network(nn.Module):
    """body (B, T, C) -> features (B, T, W) -> the R steps that are read -> head -> outputs (B, R, O).

    `embedding` stands before the body where the inputs are symbols (B, T); then the head may answer with a
    distribution over symbols in place of numbers. `reads` is how many of the last steps are read, None for every
    step: a task that is answered at the last step pays for one.
    """

    def __init__(self, body: Model, head: Head, reads: int | None, embedding: Embedding | None = None) -> None:
        super().__init__()
        self.embedding = embedding
        self.body = body
        self.head = head
        self.reads = reads

    def forward(self, inputs: Tensor, state: State = None, reads: int | Tensor | None = None) -> tuple[Any, State]:
        """The head's answer for a batch, and the state after its last step.

        reads: in place of the network's own: how many of the last steps are read, or which, (B, R) int64.
        """
        features, state = self.body(self._embedded(inputs), state)  # (B, T, W)
        return self.head(_of_steps(features, self.reads if reads is None else reads)), state  # (B, R, O)

    def read(
        self,
        inputs: Tensor,
        reads: int | Tensor | None = None,
        lengths: Tensor | None = None,
        source: Tensor | None = None,
    ) -> Any:
        """The head's answer for whole sequences of which no state is needed; faster than `forward` for some bodies.

        lengths: (B,) int64, of sequences that are padded behind their ends; a causal body needs none. source: (B, S),
        where the body reads one and writes the target, of which `inputs` (B, T) is what it is shown.
        """
        if source is not None:
            return self.body.answer(self.head, source, inputs, lengths)
        inputs, reads = self._embedded(inputs), self.reads if reads is None else reads
        if lengths is not None and not self.body.causal:
            return self.head(_of_steps(self.body.read_padded(inputs, lengths), reads))  # (B, R, O)
        if isinstance(reads, Tensor):
            return self.head(_of_steps(self.body.read(inputs), reads))  # (B, R, O)
        return self.head(self.body.read(inputs, reads))  # (B, R, O)

    def _embedded(self, inputs: Tensor) -> Tensor:  # (B, T) or (B, T, C) -> (B, T, C)
        return inputs if self.embedding is None else self.embedding(inputs)

    def seed_dropout(self, generator: torch.Generator) -> None:
        """Gives all dropout inside the stream from which it draws (a generator on the network's device)."""
        seed_dropout(self, generator)

    def parameter_groups(self) -> list[ParameterGroup]:
        """All parameters, each once: first the group of those that are trained as usual, then those of the body's own.

        Raises ValueError where the body names a parameter twice, or one that is not its own, or a factor below 0.
        """
        name = type(self.body).__module__
        own = {id(parameter) for parameter in self.body.parameters()}
        special = [group._replace(parameters=list(group.parameters)) for group in self.body.parameter_groups()]
        taken: set[int] = set()
        for group in special:
            if group.learning_rate_factor < 0:
                raise ValueError(f"{name}: learning_rate_factor={group.learning_rate_factor}: at least 0 is needed")
            for parameter in group.parameters:
                if id(parameter) not in own or id(parameter) in taken:
                    fault = "stands in two groups" if id(parameter) in taken else "is not one of the model's"
                    shape = tuple(parameter.shape)
                    raise ValueError(f"{name}: parameter_groups: a parameter of shape {shape} {fault}")
                taken.add(id(parameter))
        usual = ParameterGroup([parameter for parameter in self.parameters() if id(parameter) not in taken])
        return [usual, *special] if usual.parameters else special

    @property
    def parameter_count(self) -> int:
        """Trainable numbers of embedding, body and head, a shared matrix counted once, as `torch.nn` counts them."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)


def _of_steps(features: Tensor, reads: int | Tensor | None) -> Tensor:  # (B, T, W) -> (B, R, W)
    if isinstance(reads, Tensor):
        return features.take_along_dim(reads.unsqueeze(2), 1)
    return features if reads is None else features[:, -reads:]
