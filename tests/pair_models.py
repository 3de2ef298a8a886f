"""Encoder-decoders that are small enough to try everything on, and what they are shown."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from seqbench.bench.experiments import registry
from seqbench.models.encoder_decoder import START, Answer, EncoderDecoder
from seqbench.models.heads import Softmax
from torch import Tensor

SOURCE, TARGET = 7, 6
LENGTHS = torch.tensor([5, 1, 8, 3])
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in registry.listing("model") if registry.find("model", name).pairs},
    "none": ("seq2seq", {"attention": None, "encoder": "lstm"}),
    "none, one direction": ("seq2seq", {"attention": None, "encoder": "rnn", "bidirectional": False}),
    "bahdanau, lstm": ("seq2seq", {"attention": "bahdanau", "encoder": "gru", "decoder": "lstm", "embedding": 3}),
    "luong-dot": ("seq2seq", {"attention": "luong-dot", "encoder": "lstm"}),
    "luong-general": ("seq2seq", {"attention": "luong-general", "encoder": "rnn", "decoder": "gru"}),
    "input feeding": ("seq2seq", {"attention": "luong-general", "encoder": "lstm", "input_feeding": True}),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def made(kind: str, dtype: torch.dtype = torch.float64, **options: Any) -> EncoderDecoder:
    """The model with its test parameters, in evaluation mode, the same weights every time."""
    name, given = KINDS[kind]
    found: Any = registry.find("model", name)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model: EncoderDecoder = found(SOURCE, TARGET, **{**found.test_parameters, **given, **options})
    return model.to(dtype).eval()


def head_of(model: EncoderDecoder) -> Softmax:
    """A read-out of the model's type, far from uniform, so that no two symbols are as likely."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        head = Softmax(model.features, TARGET, std=2.0)
    return head.to(next(model.parameters()).dtype)


def sources(steps: int = 8, batch: int = 4) -> Tensor:
    return torch.randint(1, SOURCE, (batch, steps), generator=torch.Generator().manual_seed(1))


def shown(steps: int = 6, batch: int = 4) -> Tensor:
    """START, then symbols of a target."""
    drawn = torch.randint(3, TARGET, (batch, steps), generator=torch.Generator().manual_seed(2))
    return torch.cat([torch.full((batch, 1), START), drawn[:, 1:]], 1)


def answered(model: EncoderDecoder, source: Tensor, inputs: Tensor, lengths: Tensor | None = LENGTHS) -> Answer:
    return model.answer(head_of(model), source, inputs, lengths)
