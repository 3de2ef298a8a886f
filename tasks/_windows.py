"""A text as examples: stretches side by side, each cut into windows that follow one another."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import base
from .datasets import DataError


class Windows(base.Split):
    """The windows of a text of N tokens, S at a time.

    ids: (N + 1,) integer: a symbol that stands before the text, then its tokens. The target of position p is
    ids[p + 1] and its input ids[p], p = 0 … N-1. A window shows T = `context` + `scored` inputs and asks for the last
    `scored` of their targets, so that each of these has at least `context` inputs before it.

    The scored set is every position from `context` on, whatever S is. Its M = N - `context` positions are cut into S
    chunks of L, one a stream; a window's inputs begin `context` positions before what it asks for. Example i is
    window i // S of stream i % S.

    For training (`whole` false) L = M // S, and only full windows are shown: fewer than `scored` tokens of each chunk
    and fewer than S of the text are left out. No mask, no groups: targets (B, scored).

    To evaluate (`whole` true) L = ceil(M / S), and every token is counted exactly once. The first window of each
    stream is read whole (`reads` is T, targets, mask and group are (B, T)), so that a model that carries its state
    over has seen what one without a state sees; the others are (B, scored). `mask` is true where the target counts:
    in the `context` part only at the very beginning of the text, and nowhere beyond the end of a chunk. `group` is 1
    in the scored set and 0 in the first `context` positions of the text.

    Raises DataError, with `name` in it, where the text is shorter than one window.

    >>> text = Windows(torch.arange(12), context=2, scored=3, name="abc.txt").in_streams(2)  # 11 tokens
    >>> len(text), text.streams  # chunks of (11 - 2) // 2 = 4 positions: one full window each
    (2, 2)
    >>> batch = text.batch(torch.tensor([0, 1]))
    >>> batch.inputs.tolist(), batch.targets.tolist()
    ([[0, 1, 2, 3, 4], [4, 5, 6, 7, 8]], [[3, 4, 5], [7, 8, 9]])
    >>> text = Windows(torch.arange(12), context=2, scored=3, name="abc.txt", streams=2, whole=True)
    >>> len(text)  # chunks of 5 and 4 positions, in two windows each
    4
    >>> batch = text.batch(torch.tensor([2, 3]))
    >>> batch.targets.tolist(), batch.mask.int().tolist()
    ([[6, 7, 8], [11, 11, 11]], [[1, 1, 0], [1, 0, 0]])
    """

    streams: int

    def __init__(
        self, ids: Tensor, context: int, scored: int, name: str, streams: int = 1, whole: bool = False
    ) -> None:
        tokens = len(ids) - 1
        if tokens < context + scored:
            raise DataError(
                f"{name}: {tokens} tokens are a text shorter than one window of {context} + {scored}: "
                "take more of the text, or a smaller context"
            )
        self.ids = ids
        self.context = context
        self.scored = scored
        self.name = name
        self.streams = streams
        self.whole = whole
        positions = tokens - context  # M
        if whole:
            self.chunk = math.ceil(positions / streams)  # L
            self.windows = math.ceil(self.chunk / scored)  # of each stream
        else:
            self.chunk = positions // streams
            self.windows = self.chunk // scored
            if not self.windows:
                raise ValueError(
                    f"{name}: {streams} streams leave no full window of {scored} tokens each; "
                    f"{positions // scored} streams are the most"
                )

    def in_streams(self, count: int) -> Windows:
        """The same text in `count` stretches, to train on; what is evaluated stays in its own.

        Raises ValueError where that many leave no full window.
        """
        if self.whole or count == self.streams:
            return self
        return Windows(self.ids, self.context, self.scored, self.name, count)

    def __len__(self) -> int:
        return self.streams * self.windows

    @property
    def text(self) -> Tensor:
        return self.ids

    def to(self, device: torch.device) -> Windows:
        return Windows(self.ids.to(device), self.context, self.scored, self.name, self.streams, self.whole)

    def batch(self, index: Tensor) -> base.Batch:
        """The windows at `index`. To train, an `index` on the split's device costs no synchronisation with it."""
        return self.laid_out(index.to(self.ids.device), self.extent(index))

    def extent(self, index: Tensor) -> int | None:
        """R, how many targets are asked for: all where a window of the first step is among them. None to train."""
        if not self.whole:
            return None
        return self.context + self.scored if bool((index < self.streams).any()) else self.scored

    def laid_out(self, index: Tensor, extent: int | None) -> base.Batch:
        device = self.ids.device
        index = index.unsqueeze(1)  # (B, 1)
        stream, step = index % self.streams, torch.div(index, self.streams, rounding_mode="floor")
        begin = stream * self.chunk + step * self.scored  # (B, 1), the position of the first input
        place = begin + torch.arange(self.context + self.scored + 1, device=device)  # (B, T + 1)
        if not self.whole:
            window = self.ids[place].long()
            return base.Batch(window[:, :-1], window[:, self.context + 1 :])
        assert extent is not None  # how many are asked for, R
        window = self.ids[place.clamp(max=len(self.ids) - 1)].long()
        position = place[:, -1 - extent : -1]  # (B, R), of what is asked for
        begins = torch.where(index == 0, 0, begin + self.context)  # only the very first window counts its context
        ends = (self.context + (stream + 1) * self.chunk).clamp(max=len(self.ids) - 1)
        mask = (position >= begins) & (position < ends)
        group = (position >= self.context).to(torch.int8)
        return base.Batch(window[:, :-1], window[:, -extent:], mask, extent, group)
