"""The recurrent encoder-decoder, with one context for the whole source or with attention to all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from . import base, gru, lstm, rnn
from ._attended import KINDS, Attended, Attention, Kind
from ._options import at_least, one_of, probability
from ._recurrent import Recurrent
from .embeddings import Embedding
from .encoder_decoder import Decoded, EncoderDecoder

RECURRENT: Mapping[str, Callable[..., Recurrent]] = {"rnn": rnn.Model, "lstm": lstm.Model, "gru": gru.Model}


class Memory(NamedTuple):
    """What the encoder leaves.

    state: the decoder's first. context: of the whole source, (B, W); with attention none, as it is in the state.
    attended: the states of all its steps; None without attention.
    """

    state: base.State
    context: Tensor | None
    attended: Attended | None


class Model(EncoderDecoder):
    """Recurrent encoder-decoder (Cho et al. 2014), with the attention of Bahdanau et al. or of Luong et al.

    The encoder reads the embedded source x_1 … x_S and gives states h_i (W,). With `bidirectional` one cell of W/2
    units reads it forwards, another backwards from each source's own end, and h_i = [h→_i; h←_i]. The context of the
    whole source is c = [h→_S; h←_1]. The decoder begins with s_0 = tanh(B c + b); of an LSTM its cell likewise, by
    another matrix. With E the embedding of the target's symbols y_0 = START, y_1, …, for t = 1, 2, …

        none       s_t = cell([E y_{t-1}; c], s_{t-1})         o_t = tanh(M [s_t; c; E y_{t-1}] + m)
        bahdanau   s_t = cell([E y_{t-1}; c_t], s_{t-1})       o_t = tanh(M [s_t; c_t; E y_{t-1}] + m)
        luong-*    s_t = cell(E y_{t-1}, s_{t-1})              o_t = tanh(M [s_t; c_t] + m)

    and o_t are the features, of which the head tells y_t. The context c_t is what attention finds (`_attended`): in
    Bahdanau's form by s_{t-1}, before the step, in Luong's by s_t, behind it. So `none` has the context of the whole
    source at every step and in the read-out, as Cho et al. have it (section 2.2), and differs from `bahdanau` in the
    attention alone. A layer of tanh stands where Cho et al. and Bahdanau et al. have a maxout layer of pairs; Luong et
    al. have o_t as it is here (eq. 5).

    encoder, decoder: the cells; decoder none: that of the encoder. input_feeding: of Luong's kinds, whether the cell
    also reads o_{t-1}, with o_0 = 0 (section 3.3). embedding: numbers of each embedding; none: W. dropout: probability
    for the numbers of embedded symbols and of o_t. Initially cells, B and M are PyTorch's draws, embeddings N(0, 1).

    State: s, and c; with attention the states of the source and their keys, so that it grows with S. `none`, and
    Luong's decoder without input feeding, read a whole target at once; the others go step by step, which takes several
    times as long. Sources that are longer than those of training are read; how well is to be seen.
    Raises ValueError where an option is out of its range, for an odd width with `bidirectional`, and for input feeding
    where there is none.

    Sources: K. Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP 2014, arXiv:1406.1078; I.
    Sutskever, O. Vinyals & Q. Le, NeurIPS 2014, arXiv:1409.3215; Bahdanau et al. 2015; Luong et al. 2015.
    """

    version = 1
    sized_by = "width"
    variant = ("encoder", "attention")
    variants = (
        "seq2seq(encoder=gru, attention=none)",
        "seq2seq(encoder=gru, attention=bahdanau)",
        "seq2seq(encoder=gru, attention=luong-dot)",
        "seq2seq(encoder=gru, attention=luong-general)",
        "seq2seq(encoder=lstm, attention=bahdanau)",
    )
    source = "Cho et al. 2014, arXiv:1406.1078; Bahdanau et al. 2015, arXiv:1409.0473; Luong et al. 2015"
    look = ("#8C4A9E", "o", (3, 1))
    test_parameters: ClassVar[dict[str, Any]] = {"width": 8}
    fine_option: ClassVar[str | None] = "embedding"

    def __init__(
        self,
        source: int,
        target: int,
        *,
        width: int = 128,
        encoder: Literal["rnn", "lstm", "gru"] = "gru",
        decoder: Literal["rnn", "lstm", "gru"] | None = None,
        bidirectional: bool = True,
        attention: Kind | None = "bahdanau",
        input_feeding: bool = False,
        embedding: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(source, target)
        decoder, embedding = decoder or encoder, width if embedding is None else embedding
        at_least(1, width=width, embedding=embedding)
        probability(dropout=dropout)
        one_of(tuple(RECURRENT), encoder=encoder, decoder=decoder)
        if attention is not None:
            one_of(KINDS, attention=attention)
        if bidirectional and width % 2:
            raise ValueError(f"width: an even number is needed, half of it for each direction, got {width}")
        luong = attention is not None and attention.startswith("luong")
        if input_feeding and not luong:
            raise ValueError(
                f"input_feeding: attention=luong-dot or luong-general is needed, got {attention or 'none'}"
            )
        self.width, self.luong, self.feeds = width, luong, input_feeding
        self.embed_source = Embedding(source, embedding, dropout=dropout, std=1.0)
        self.embed_target = Embedding(target, embedding, dropout=dropout, std=1.0)
        half = width // 2 if bidirectional else width
        self.reads_forwards = RECURRENT[encoder](embedding, width=half)
        self.reads_backwards = RECURRENT[encoder](embedding, width=half) if bidirectional else None
        self.cell = RECURRENT[decoder](embedding + width * (input_feeding or not luong), width=width)
        self.memories = self.cell.memories
        self.to_first_state = nn.Linear(width, self.memories * width)
        self.attention = None if attention is None else Attention(attention, width)
        self.to_outputs = nn.Linear(2 * width + (0 if luong else embedding), width)
        self.dropout = base.Dropout(dropout)
        self.features, self.receptive_field = width, None
        self.state_size = None if self.attention is not None else self.state_size_after(1)
        self.macs_per_step = self._macs()

    @classmethod
    def width_step_for(cls, options: Mapping[str, Any]) -> int:
        """Two where there are two directions."""
        return 2 if options["bidirectional"] else 1

    def state_size_after(self, steps: int) -> int:
        """Numbers kept for each sequence while a target is written, of a source of so many steps."""
        attended = 0 if self.attention is None else steps * self.width * (1 if self._keys_are_states else 2)
        decoder = self.memories * self.width + (self.width if self.feeds else 0)
        return decoder + (self.width if self.attention is None else attended)

    @property
    def _keys_are_states(self) -> bool:
        return self.attention is not None and isinstance(self.attention.to_keys, nn.Identity)

    def _macs(self) -> int:
        told: list[Any] = [self.reads_forwards, self.reads_backwards, self.cell]  # which tell their multiply-adds
        cells = sum(one.macs_per_step for one in told if one is not None)
        attention = 0 if self.attention is None else self.attention.macs_of_source + self.attention.macs_of_query
        return int(cells) + attention + self.to_outputs.weight.numel()

    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        """The decoder's first state, the context and what is attended to, of sources (B, S) of these lengths (B,)."""
        inputs = self.embed_source(source)  # (B, S, E)
        steps = torch.arange(source.shape[1], device=source.device)  # (S,)
        last = (lengths - 1).unsqueeze(1)  # (B, 1)
        states, _ = self.reads_forwards(inputs)  # (B, S, W or W/2); what pads comes behind all that counts
        context = _at(states, last)  # (B, W or W/2)
        if self.reads_backwards is not None:
            # Each source backwards from its own end; what pads stays behind.
            order = torch.where(steps <= last, last - steps, steps).unsqueeze(2)  # (B, S, 1)
            backwards, _ = self.reads_backwards(inputs.take_along_dim(order, 1))
            context = torch.cat([context, _at(backwards, last)], 1)  # (B, W)
            states = torch.cat([states, backwards.take_along_dim(order, 1)], 2)  # (B, S, W)
        first = torch.tanh(self.to_first_state(context)).split(self.width, 1)  # (B, W) for each memory
        state: base.State = [first[0] if self.memories == 1 else tuple(first)]
        if self.attention is None:
            return Memory(state, context, None)
        state = (state, torch.zeros_like(context)) if self.feeds else state
        return Memory(state, None, self.attention.attended(states, steps > last))

    def decode(self, memory: Memory, inputs: Tensor, state: base.State = None) -> Decoded:
        """Features o (B, T, W) of symbols (B, T), the state after them and the weights, see `EncoderDecoder.decode`.

        The state is that of the cell; with input feeding a pair of it and o (B, W).
        """
        embedded = self.embed_target(inputs)  # (B, T, E)
        state = memory.state if state is None else state
        if memory.context is not None:
            contexts = memory.context.unsqueeze(1).expand(-1, inputs.shape[1], -1)  # (B, T, W)
            hidden, state = self.cell(torch.cat([embedded, contexts], 2), state)
            return Decoded(self._outputs(hidden, contexts, embedded), state, None)
        assert self.attention is not None
        assert memory.attended is not None
        if self.luong and not self.feeds:
            hidden, state = self.cell(embedded, state)  # (B, T, W)
            contexts, weights = self.attention(hidden, memory.attended)
            return Decoded(self._outputs(hidden, contexts, embedded), state, weights)
        step = self._step_fed if self.feeds else self._step_of_bahdanau
        outputs, looked = [], []
        for shown in embedded.split(1, 1):  # (B, 1, E) each
            said, weights, state = step(self.attention, memory.attended, shown, state)
            outputs.append(said)
            looked.append(weights)
        return Decoded(torch.cat(outputs, 1), state, torch.cat(looked, 1))

    def _step_of_bahdanau(
        self, attention: Attention, attended: Attended, shown: Tensor, state: base.State
    ) -> tuple[Tensor, Tensor, base.State]:
        """o (B, 1, W), weights (B, 1, S) and the state after a symbol (B, 1, E): attention by the state before."""
        contexts, weights = attention(self.cell.shown(state[-1]).unsqueeze(1), attended)
        hidden, state = self.cell(torch.cat([shown, contexts], 2), state)
        return self._outputs(hidden, contexts, shown), weights, state

    def _step_fed(
        self, attention: Attention, attended: Attended, shown: Tensor, state: base.State
    ) -> tuple[Tensor, Tensor, base.State]:
        """The same of Luong's forms with input feeding, where the state is a pair."""
        before, fed = state
        hidden, before = self.cell(torch.cat([shown, fed.unsqueeze(1)], 2), before)
        contexts, weights = attention(hidden, attended)
        outputs = self._outputs(hidden, contexts, shown)
        return outputs, weights, (before, outputs.squeeze(1))

    def _outputs(self, hidden: Tensor, contexts: Tensor, embedded: Tensor) -> Tensor:
        """o (B, T, W), of s (B, T, W), contexts (B, T, W) and embedded symbols (B, T, E)."""
        parts = [hidden, contexts] if self.luong else [hidden, contexts, embedded]
        return self.dropout(torch.tanh(self.to_outputs(torch.cat(parts, 2))))


def _at(states: Tensor, steps: Tensor) -> Tensor:  # (B, S, W), (B, 1) -> (B, W)
    return states.take_along_dim(steps.unsqueeze(2), 1).squeeze(1)
