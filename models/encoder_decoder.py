"""The contract of an encoder-decoder: it reads a source, and answers with a target that may have another length.

Shape letters beside those of `base`: S steps of the source, T steps of the target, V symbols of the target's
vocabulary, L symbols that are written at most, K hypotheses of a beam.

The encoder reads the source once and leaves a memory. The decoder goes from one symbol of the target to the next: it is
shown START, then each symbol of the target (teacher forcing), or each that it has written itself (decoding), and
expects the next one, END behind the last.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from . import base
from .base import State

PAD, START, END = 0, 1, 2
"""The first ids of a target's vocabulary: what stands behind an end, before the first symbol, behind the last. PAD is
also the id that pads sources. The tasks have the same."""

Memory = Any
"""What the encoder has left of a source: a nest of lists and tuples of tensors (B, …)."""


class Decoded(NamedTuple):
    """What a decoder gives for T symbols.

    features: (B, T, W), from which the head tells the symbol behind each. state: for what follows, a nest of tensors
    (B, …). weights: how much of each source symbol was looked at, (B, T, S), each row a distribution; None of a model
    without attention.
    """

    features: Tensor
    state: State
    weights: Tensor | None


class EncoderDecoder(base.Model):
    """What every encoder-decoder declares. The keyword-only arguments of its constructor are its options.

    Its constructor is given the sizes of the two vocabularies, PAD included, of the target also START and END. Both
    embeddings are its own; the read-out is the head of the network.

    state_size: numbers that are kept for each sequence while it is decoded, the encoder's memory included; None where
    they grow with the source or the target, then `state_size_after(steps)` counts those of S = T = steps.
    macs_per_step: multiply-adds of weights for one step of the source and one of the target.
    """

    pairs: ClassVar[bool] = True
    streamed = False

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        if source < 2 or target < 4:
            raise ValueError(
                f"an encoder-decoder needs a source of 2 symbols or more, one of them {PAD=}, and a target of 4 or "
                f"more, three of them {PAD=}, {START=} and {END=}; got {source} and {target}"
            )

    @abstractmethod
    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        """The memory of sources (B, S) int64, of which the first `lengths` (B,) symbols count, at least one each.

        What stands behind an end must not matter.
        """

    @abstractmethod
    def decode(self, memory: Memory, inputs: Tensor, state: State = None) -> Decoded:
        """Goes on through symbols of the target, inputs (B, T) int64, from the state that the symbols before have left.

        state: None at the start, where the first symbol is START. Causal: symbols in pieces give what the whole gives.
        """

    def forward(self, inputs: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Features (B, T, W) of symbols of the target (B, T), and the state after them.

        state: a pair of the memory that `encode` gives and the decoder's own state, None at the start. Raises
        ValueError without it.
        """
        if state is None:
            raise ValueError("a decoder goes on from a source: forward(inputs, (memory, None)) is needed")
        memory, before = state
        decoded = self.decode(memory, inputs, before)
        return decoded.features, (memory, decoded.state)

    def answer(self, head: nn.Module, source: Tensor, inputs: Tensor, lengths: Tensor | None = None) -> Answer:
        """The answer for sources (B, S) of these lengths (B,), None: of S steps; inputs (B, T) are START, then targets.

        head: gives a distribution of features. Targets (B, T), of which the answer gives the surprisal, are those of
        the inputs one step later.
        """
        if lengths is None:
            lengths = torch.full((len(source),), source.shape[1], device=source.device)
        memory = self.encode(source, lengths)
        return Answer(self, head, memory, self.decode(memory, inputs))


class Answer:
    """What an encoder-decoder expects of the T symbols of a target, and, when asked, what it writes by itself.

    weights: how much of each source symbol was looked at, (B, T, S); None of a model without attention.
    """

    def __init__(self, model: EncoderDecoder, head: nn.Module, memory: Memory, given: Decoded) -> None:
        self._model, self._head, self._memory = model, head, memory
        self._expected = head(given.features)
        self._size, self._device, self._type = len(given.features), given.features.device, given.features.dtype
        self.weights = given.weights

    def surprisal(self, targets: Tensor) -> Tensor:  # (B, T) int64 -> (B, T) nats
        """-ln P(target), each given the true symbols before it (teacher forcing)."""
        found: Tensor = self._expected.surprisal(targets)
        return found

    def log_probabilities(self) -> Tensor:  # (B, T, V)
        """ln P of every symbol, given the true symbols before it."""
        found: Tensor = self._expected.log_probabilities()
        return found

    def most_probable(self) -> Tensor:  # (B, T)
        """The symbol with the highest probability, given the true symbols before it."""
        found: Tensor = self._expected.most_probable()
        return found

    @torch.no_grad()
    def decoded(self, longest: int, beam: int = 1) -> Tensor:
        """What the decoder writes by itself from the source alone: (B, L = longest) int64, END included, PAD behind it.

        beam: K, how many hypotheses are kept; 1: the most probable symbol is taken at each step (greedy); with more it
        is the most probable of the hypotheses that were found. Decoding ends when all have written END; whoever has not
        after L symbols is cut off. PAD and START are never written.
        """
        if beam > 1:
            return self.hypotheses(longest, beam)[0][:, 0]
        written = torch.full((self._size, longest), PAD, device=self._device)
        ended = torch.zeros(self._size, dtype=torch.bool, device=self._device)
        shown, state = torch.full((self._size, 1), START, device=self._device), None
        for place in range(longest):
            expected, state = self._expect(self._memory, shown, state)
            symbols = expected.argmax(1).masked_fill(ended, PAD)  # (B,)
            written[:, place], shown = symbols, symbols.unsqueeze(1)
            ended = ended | (symbols == END)
            if _all(ended):
                break
        return written

    @torch.no_grad()
    def hypotheses(self, longest: int, beam: int) -> tuple[Tensor, Tensor]:
        """The K = beam hypotheses that a beam search ends with, (B, K, L), and their log-probabilities in nats, (B, K).

        In falling order of the latter. At each step those K are kept, of all that are one symbol longer and of all that
        have ended, whose log-probability is highest; it is the sum over symbols, not divided by their number. Where
        there are fewer than K, the others have a log-probability of -∞.
        """
        size, device = self._size, self._device
        first = torch.arange(size, device=device).unsqueeze(1) * beam  # (B, 1): where those of a sequence begin
        memory = _rows(self._memory, torch.arange(size, device=device).repeat_interleave(beam))
        written = torch.full((size, beam, longest), PAD, device=device)
        scores = torch.full((size, beam), -torch.inf, device=device, dtype=self._type)
        scores[:, 0] = 0.0  # at the start there is one hypothesis
        ended = torch.zeros((size, beam), dtype=torch.bool, device=device)
        shown, state = torch.full((size * beam, 1), START, device=device), None
        for place in range(longest):
            expected, state = self._expect(memory, shown, state)
            steps = expected.unflatten(0, (size, beam)).masked_fill(ended.unsqueeze(2), -torch.inf)  # (B, K, V)
            steps[:, :, PAD] = torch.where(ended, 0.0, -torch.inf)  # who has ended stays as it is
            scores, chosen = (scores.unsqueeze(2) + steps).flatten(1).topk(beam, 1)  # (B, K) each
            parents, symbols = chosen // steps.shape[2], chosen % steps.shape[2]
            state = _rows(state, (first + parents).flatten())
            written = written.gather(1, parents.unsqueeze(2).expand_as(written))
            written[:, :, place], shown = symbols, symbols.flatten().unsqueeze(1)
            ended = ended.gather(1, parents) | (symbols == END)
            if _all(ended):
                break
        return written, scores

    def _expect(self, memory: Memory, shown: Tensor, state: State) -> tuple[Tensor, State]:
        """ln P of the symbol behind `shown` (B, 1), (B, V), that of symbols which nobody writes -∞, and the state."""
        decoded = self._model.decode(memory, shown, state)
        expected: Tensor = self._head(decoded.features).log_probabilities()[:, -1].clone()
        expected[:, [PAD, START]] = -torch.inf
        return expected, decoded.state


def _all(ended: Tensor) -> bool:
    """Whether all have ended; not asked where a step is captured on a GPU, as the host would have to wait for it."""
    return not (ended.is_cuda and torch.cuda.is_current_stream_capturing()) and bool(ended.all())


def _rows(nest: Any, index: Tensor) -> Any:
    """The rows at `index` of every tensor in a nest of lists and tuples."""
    if isinstance(nest, Tensor):
        return nest.index_select(0, index)
    if isinstance(nest, list | tuple):
        parts = [_rows(part, index) for part in nest]
        return nest._make(parts) if hasattr(nest, "_make") else type(nest)(parts)
    return nest
